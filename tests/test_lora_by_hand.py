"""What notebook 05 writes by hand gives the libraries' own numbers, on other matrices than the notebook's."""

import ast
from pathlib import Path

import bitsandbytes.functional as bnb
import pytest
import torch
from peft import LoraConfig, get_peft_model

SOURCE = Path(__file__).parents[1] / "notebooks" / "src" / "05_lora_by_hand.py"
WANTED = ("LoRA", "pack", "unpack")


@pytest.fixture(scope="module")
def by_hand():
    """The notebook's class and functions, as they stand there."""
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"))
    nodes = [node for node in tree.body if getattr(node, "name", None) in WANTED]
    assert len(nodes) == len(WANTED)
    names = {"torch": torch, "NF4": bnb.get_4bit_type("nf4", device="cpu")}
    exec(compile(ast.Module(nodes, []), SOURCE, "exec"), names)  # noqa: S102
    return names


class Tiny(torch.nn.Module):
    def __init__(self, columns, rows):
        super().__init__()
        self.linear = torch.nn.Linear(columns, rows, bias=False)

    def forward(self, x):
        return self.linear(x)


@pytest.fixture
def adapted():
    """A matrix, and PEFT's adapter beside it with numbers as after a training."""

    def make(rows, columns, r, alpha):
        torch.manual_seed(r)
        tiny = Tiny(columns, rows)
        model = get_peft_model(tiny, LoraConfig(r=r, lora_alpha=alpha, target_modules=["linear"]))
        torch.nn.init.normal_(model.base_model.model.linear.lora_B["default"].weight)
        return model

    return make


SIZES = [(8, 8, 1, 2), (48, 32, 4, 16), (32, 96, 16, 16), (5, 7, 9, 3)]


@pytest.mark.parametrize(("rows", "columns", "r", "alpha"), SIZES)
def test_forward_and_merge_are_pefts(by_hand, adapted, rows, columns, r, alpha):
    model, x = adapted(rows, columns, r, alpha), torch.randn(6, columns)
    theirs = model.base_model.model.linear
    ours = by_hand["LoRA"](theirs.base_layer, r, alpha)
    assert torch.equal(ours(x), theirs.base_layer(x)), "B is zero at the start"
    ours.A.data, ours.B.data = theirs.lora_A["default"].weight.data, theirs.lora_B["default"].weight.data
    assert torch.allclose(ours(x), model(x), atol=1e-5)
    merged = theirs.base_layer.weight + ours.scale * ours.B @ ours.A
    assert torch.allclose(merged, model.merge_and_unload().linear.weight, atol=1e-5)


def test_the_random_half_begins_as_pefts(by_hand):
    ours = by_hand["LoRA"](torch.nn.Linear(4000, 8), 16, 16)
    theirs = get_peft_model(Tiny(4000, 8), LoraConfig(r=16, target_modules=["linear"])).base_model.model.linear
    assert ours.A.std().item() == pytest.approx(theirs.lora_A["default"].weight.std().item(), rel=0.05)


@pytest.mark.parametrize("shape", [(64, 64), (96, 128), (576, 192)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_index_is_that_of_bitsandbytes(by_hand, shape, dtype):
    weight = (torch.randn(shape) * 0.05).to(dtype)
    packed, state = bnb.quantize_4bit(weight, blocksize=64, quant_type="nf4")
    index, largest = by_hand["pack"](weight)
    theirs = torch.stack([packed.flatten() >> 4, packed.flatten() & 15], 1).flatten().long()
    assert torch.equal(index.flatten(), theirs)
    assert torch.equal(largest, state.absmax)
    back = by_hand["unpack"](index, largest).reshape(shape)
    assert torch.allclose(back.to(dtype), bnb.dequantize_4bit(packed, state), atol=1e-6)


def test_double_quantisation_is_that_of_bitsandbytes_but_for_ties(by_hand):
    weight = torch.randn(576, 576) * 0.05
    _, state = bnb.quantize_4bit(weight, blocksize=64, quant_type="nf4", compress_statistics=True)
    _, largest = by_hand["pack"](weight)
    centred = torch.nn.functional.pad(largest - largest.mean(), (0, -len(largest) % 256))
    index, scale = by_hand["pack"](centred, state.state2.code, 256)
    assert torch.equal(scale, state.state2.absmax)
    apart = (index.flatten()[: len(largest)] - state.absmax.long()).abs()
    assert apart.max() <= 1
    assert (apart == 0).float().mean() > 0.99
