"""The size of an adapter: PEFT's own count, for nano and for a model of the table built without memory."""

import pytest
import torch
from controls import control
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

from ftlab.costs.adapter import ATTENTION, TARGETS, adapter_size
from ftlab.errors import DataError, ModelError
from ftlab.models import resolve
from ftlab.widgets.adapter import adapter_form


@pytest.mark.parametrize("r", [1, 16])
@pytest.mark.parametrize("targets", [TARGETS, ATTENTION, ("down_proj",)])
def test_it_counts_as_peft_does(r, targets):
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(resolve("nano")))
        model = get_peft_model(model, LoraConfig(r=r, target_modules=list(targets)))
    size = adapter_size("nano", r, targets)
    trained, everything = model.get_nb_trainable_parameters()
    assert size.parameters == trained
    assert size.share == pytest.approx(trained / (everything - trained))


def test_all_matrices_give_the_number_that_the_memory_model_uses():
    size = adapter_size("llama-3.1-8b", 16)
    assert size.parameters == size.architecture.lora_parameters(16) == 41_943_040
    assert "41,943,040 trained numbers, 0.52%" in repr(size)
    assert "q_proj" in size._repr_html_()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nano", 0), "r is 0"),
        (("nano", 4, ()), "target_modules is empty"),
        (("nano", 4, ["w1"]), "w1; nano has q_proj"),
    ],
)
def test_what_cannot_be_is_refused(arguments, said):
    with pytest.raises(DataError, match=said):
        adapter_size(*arguments)


def test_an_unknown_model_is_refused():
    with pytest.raises(ModelError, match="not in the catalogue"):
        adapter_size("no-such-model", 4)


def test_the_form_follows_its_controls():
    form = adapter_form("llama-3.1-8b", r=16)
    assert form.children[-1].value == adapter_size("llama-3.1-8b", 16)._repr_html_()
    control(form, "rank r").value = 64
    for name in TARGETS[4:]:
        control(form, name).value = False
    assert form.children[-1].value == adapter_size("llama-3.1-8b", 64, ATTENTION)._repr_html_()
    for name in ATTENTION:
        control(form, name).value = False
    assert "target_modules is empty" in form.children[-1].value
