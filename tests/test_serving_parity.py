"""Parity: a side that is the same is equal, and each fault that people report is caught and named.

The model is tiny and random, with nano's tokenizer: what differs is planted, and nothing else differs.
"""

import importlib.util
import json
import math
from copy import deepcopy
from dataclasses import replace
from functools import partial

import pytest
import torch
from chat_server import ChatServer, completion
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from ftlab.errors import DataError, ModelError, RecipeError
from ftlab.hosted.stand_in_model import ServedModel
from ftlab.models import resolve
from ftlab.serving.export import modelfile, to_gguf
from ftlab.serving.parity import Parity, compare_sides, parity_table
from ftlab.serving.sides import EVALUATED, local_side, served_side

CHATS = [[{"role": "system", "content": "Triage the ticket."}, {"role": "user", "content": text}]
         for text in ("My lamp broke, order 123456.", "Where is my parcel?")]  # fmt: skip
BARE = [chat[1:] for chat in CHATS]
NEW_TOKENS = 8
HABIT = "{%- if messages[0]['role'] != 'system' -%}<|system|>Be kind.<|end|>{%- endif -%}"
SWITCH = "{%- if enable_thinking is defined and not enable_thinking -%}(no thought){%- endif -%}"


def fresh(folder, **settings):
    return AutoModelForCausalLM.from_pretrained(folder, **({"dtype": torch.float32} | settings))


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(resolve("nano"))


@pytest.fixture(scope="module")
def folders(tokenizer, tmp_path_factory):
    """A base model, an adapter that changes it much, and the two merged."""
    place = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=512, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
    )  # fmt: skip
    for name in ("base", "other"):
        LlamaForCausalLM(config).save_pretrained(place / name)
        tokenizer.save_pretrained(place / name)
    settings = LoraConfig(r=4, lora_alpha=64, init_lora_weights=False, target_modules="all-linear")
    tuned = get_peft_model(fresh(place / "base"), settings)
    tuned.save_pretrained(place / "adapter")
    tuned.merge_and_unload().save_pretrained(place / "merged")
    tokenizer.save_pretrained(place / "merged")
    return place


@pytest.fixture(scope="module")
def adapter(folders):
    return PeftModel.from_pretrained(fresh(folders / "base"), folders / "adapter")


@pytest.fixture
def ask(tokenizer):
    """`ask(name, model, reference)`: the side, asked as the reference is unless told otherwise."""

    def side(name, model, reference=None, chats=CHATS, tokens=NEW_TOKENS, using=None, **settings):
        return local_side(name, model, using or tokenizer, chats, reference, tokens, **settings)

    return side


@pytest.fixture
def reference(ask, adapter):
    return ask("adapter", adapter, template_kwargs=EVALUATED)


def test_merged_and_reloaded_are_equal(ask, adapter, reference, folders):
    merged = PeftModel.from_pretrained(fresh(folders / "base"), folders / "adapter").merge_and_unload()
    reloaded = AutoTokenizer.from_pretrained(folders / "merged")
    sides = [ask("merged", merged, reference), ask("reloaded", fresh(folders / "merged"), reference, using=reloaded)]
    reports = [compare_sides(reference, side) for side in sides]
    assert [(report.verdict, report.not_told) for report in reports] == [("equal", ())] * 2
    assert list(parity_table(reports)["verdict"]) == ["equal", "equal"]
    assert len(parity_table([*reports, *reports])) == 4  # two sides of one name are two lines


@pytest.mark.parametrize("name", ["base", "other"])
def test_an_adapter_that_is_not_loaded_and_another_base_are_caught(ask, reference, folders, name):
    model = fresh(folders / name)
    if name == "other":
        model = PeftModel.from_pretrained(model, folders / "adapter")
    report = compare_sides(reference, ask(name, model, reference))
    assert "log-probabilities" in report.differences
    assert "prompt text" not in report.differences
    assert "adapter that is not loaded" in repr(report)


def test_another_precision_is_caught_and_named(ask, reference, folders):
    report = compare_sides(reference, ask("bf16", fresh(folders / "merged", dtype=torch.bfloat16), reference))
    assert "precision" in report.differences
    assert "float32 -> bfloat16" in repr(report)


def test_a_tolerance_is_not_passed_by_little(ask, reference, folders):
    side = ask("merged", fresh(folders / "merged"), reference)
    off = replace(side, scored=tuple(tuple(p - 0.002 for p in row) for row in side.scored))
    assert compare_sides(reference, off).differences == ("log-probabilities",)
    assert compare_sides(reference, off, tolerance=0.01).verdict == "equal"


@pytest.mark.parametrize("at", [0, 1, -1])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_log_probability_that_is_no_number_is_never_equal(reference, at, value):
    row = list(reference.scored[0])
    row[at] = value
    report = compare_sides(reference, replace(reference, scored=(tuple(row), *reference.scored[1:])))
    assert report.differences == ("log-probabilities",)
    assert "no finite number (at 1 of" in repr(report)
    assert parity_table([report])["log-probability off by"].iloc[0] == "no finite number"


def test_another_template_is_caught_and_not_taken_for_other_weights(ask, reference, folders, tokenizer):
    other = deepcopy(tokenizer)
    other.chat_template = tokenizer.chat_template.replace("<|assistant|>", "<|assistant|>Answer: ")
    report = compare_sides(reference, ask("template", fresh(folders / "merged"), reference, using=other))
    assert {"prompt text", "prompt tokens"} <= set(report.differences)
    assert "log-probabilities" not in report.differences


def test_a_default_system_prompt_that_was_lost_is_caught(ask, adapter, folders, tokenizer):
    trained = deepcopy(tokenizer)
    trained.chat_template = HABIT + tokenizer.chat_template
    wanted = ask("adapter", adapter, chats=BARE, using=trained)
    report = compare_sides(wanted, ask("lost", fresh(folders / "merged"), wanted, chats=BARE))
    assert "prompt text" in report.differences
    assert "Be kind" in repr(report)
    kept = ask("kept", fresh(folders / "merged"), wanted, chats=BARE, using=trained)
    assert compare_sides(wanted, kept).verdict == "equal"


def test_an_end_token_that_the_merge_rewrote_is_caught(ask, reference, folders):
    model = fresh(folders / "merged")
    model.generation_config.eos_token_id = 5
    report = compare_sides(reference, ask("rewritten", model, reference))
    assert "end tokens" in report.differences
    assert "generation_config.json" in repr(report)


def test_a_thinking_mode_that_comes_back_is_caught(ask, adapter, folders, tokenizer):
    thinker = deepcopy(tokenizer)
    thinker.chat_template = tokenizer.chat_template + SWITCH
    judged = ask("adapter", adapter, using=thinker, template_kwargs=EVALUATED)
    report = compare_sides(judged, ask("merged", fresh(folders / "merged"), judged, using=thinker))
    assert {"thinking", "prompt text"} <= set(report.differences)
    assert "off -> on" in repr(report)
    off = ask("merged", fresh(folders / "merged"), judged, using=thinker, template_kwargs=EVALUATED)
    assert compare_sides(judged, off).verdict == "equal"


def test_padding_and_generation_settings_are_compared(ask, reference, folders, tokenizer):
    right = deepcopy(tokenizer)
    right.padding_side = "right"
    model = fresh(folders / "merged")
    model.generation_config.repetition_penalty = 1.3
    report = compare_sides(reference, ask("settings", model, reference, using=right))
    assert {"padding", "generation settings"} <= set(report.differences)


def test_a_tokenizer_without_a_template_says_so(ask, adapter, tokenizer):
    bare = deepcopy(tokenizer)
    bare.chat_template = None
    with pytest.raises(ModelError, match="no chat template was saved"):
        ask("bare", adapter, using=bare)


def test_an_answer_may_differ_after_a_tie_and_nowhere_else(reference):
    text, tokens = "ab", ("a", "b")
    a = replace(reference, answers=(text,), ended=("stop",), prompts=("p",), prompt_ids=((1,),), prompt_tokens=(1,),
                answer_ids=((7, 8),), tokens=(tokens,), logprobs=((0.0, -0.7),), scored=((0.0, -0.7),),
                scored_ids=(((1,),), ((7, 8),)))  # fmt: skip
    b = replace(a, answers=("ac",))
    tie = replace(a, margins=((9.0, 0.0005),))
    clear = replace(a, margins=((9.0, 3.0),))
    assert compare_sides(tie, b).verdict == "equal"
    assert compare_sides(clear, b).differences == ("answers",)


def test_sides_that_were_asked_different_chats_are_refused(reference):
    with pytest.raises(DataError, match="the same chats"):
        compare_sides(reference, replace(reference, answers=("one",)))


def test_a_side_that_was_asked_without_this_reference_is_refused(ask, adapter, reference, folders):
    other = fresh(folders / "other")
    for side in (ask("alone", other), ask("alone", adapter, tokens=3), ask("odd", adapter, ask("other", other))):
        with pytest.raises(DataError, match=rf"{side.name}: .* ask it with local_side\(..., reference=...\)"):
            compare_sides(reference, side)
    assert compare_sides(reference, ask("alone", adapter, template_kwargs=EVALUATED)).verdict == "equal"


def test_a_server_is_no_reference(ask, adapter, reference, tokenizer):
    for tells in (tells_nothing, partial(as_vllm, tokenizer)):
        with server_of(reference, tells=tells) as server:
            served = served_side("served", server.url, "m", CHATS, NEW_TOKENS)
        with pytest.raises(DataError, match="served: a server is no reference"):
            ask("local", adapter, served)
        for side in (reference, served):
            with pytest.raises(DataError, match="the reference must be local"):
                compare_sides(served, side)


def test_no_chats_are_no_comparison(ask, adapter):
    with pytest.raises(DataError, match="no chats"):
        ask("adapter", adapter, chats=[])


# --- a server, as it may behave


def tells_nothing(body):
    return 404, {}, {"detail": "Not Found"}


def as_vllm(tokenizer, body):
    """vLLM's /tokenize takes a chat."""
    return 200, {}, {"tokens": tokenizer.apply_chat_template(body["messages"], add_generation_prompt=True)["input_ids"]}


def as_llama_cpp(tokenizer, body):
    """llama.cpp's /apply-template takes a chat; its /tokenize only a text, and makes no tokens of a chat."""
    if "content" in body:
        return 200, {}, {"tokens": tokenizer(body["content"], add_special_tokens=False)["input_ids"]}
    if "model" in body:
        return 200, {}, {"tokens": []}
    text = tokenizer.apply_chat_template(body["messages"], tokenize=False, add_generation_prompt=True)
    return 200, {}, {"prompt": text}


def server_of(side, status=200, tells=tells_nothing, **changes):
    """A server that answers as a side did; `changes` to what it says, `tells` what it says of its prompts."""

    def script(number, body):
        if "max_tokens" not in body:
            return tells(body)
        if body.get("logprobs") and changes.get("refuses"):
            return 422, {}, {"detail": "Unsupported fields: {'logprobs'}"}
        number = [chat[-1]["content"] for chat in CHATS].index(body["messages"][-1]["content"])
        usage = {"prompt_tokens": len(side.prompt_ids[number]) + changes.get("more", 0), "completion_tokens": 8}
        answer = completion(side.answers[number], usage, side.ended[number], **changes.get("message", {}))
        if body.get("logprobs"):
            pairs = zip(side.tokens[number], side.logprobs[number], strict=True)
            content = [{"token": token, "logprob": p + changes.get("off", 0)} for token, p in pairs]
            answer["choices"][0]["logprobs"] = {"content": content}
        return status, {}, answer

    return ChatServer(script)


@pytest.mark.parametrize(
    ("changes", "differences", "told"),
    [
        ({}, (), True),
        ({"refuses": True}, (), False),
        ({"more": 3}, ("prompt tokens",), True),
        ({"off": -0.1}, ("log-probabilities",), True),
        ({"message": {"reasoning_content": "Well, let me think."}}, ("thinking",), True),
    ],
)
def test_what_a_server_tells_is_compared_and_the_rest_is_not_told(reference, changes, differences, told):
    with server_of(reference, **changes) as server:
        report = compare_sides(reference, served_side("served", server.url, "m", CHATS, NEW_TOKENS))
    assert report.differences == differences
    assert ("log-probabilities" in report.not_told) is not told
    assert Parity.from_dict(json.loads(json.dumps(report.to_dict()))) == report
    assert "prompt text" in report.not_told


@pytest.mark.parametrize(("tells", "not_told"), [(as_vllm, True), (as_llama_cpp, False)])
def test_the_prompts_that_a_server_tells_are_compared(reference, tokenizer, tells, not_told):
    other = deepcopy(tokenizer)
    other.chat_template = HABIT.replace("!=", "==") + tokenizer.chat_template
    for using, wrong in ((tokenizer, set()), (other, {"prompt tokens"} | (set() if not_told else {"prompt text"}))):
        with server_of(reference, tells=partial(tells, using)) as server:
            report = compare_sides(reference, served_side("served", server.url, "m", CHATS, NEW_TOKENS))
        assert set(report.differences) == wrong
        assert ("prompt text" in report.not_told) is not_told


def test_texts_leave_this_machine_only_when_that_is_confirmed():
    with pytest.raises(RecipeError, match="2 chats would be sent to https://example.com"):
        served_side("far", "https://example.com/v1", "m", CHATS)


# --- export


def test_the_modelfile_is_proved_against_the_tokenizer(tokenizer):
    text = modelfile(tokenizer, "./model.gguf", CHATS)
    assert text.startswith("FROM ./model.gguf\n")
    assert "<|user|>{{ .Content }}<|end|>" in text
    assert text.split('"""')[1].endswith("{{ end }}<|assistant|>")
    assert 'PARAMETER stop "<|end|>"' in text
    assert {"PARAMETER temperature 0", "PARAMETER repeat_penalty 1"} <= set(text.splitlines())  # greedy, as judged
    other = deepcopy(tokenizer)
    other.chat_template = HABIT + tokenizer.chat_template
    assert modelfile(other, "m", CHATS)
    with pytest.raises(DataError, match="chat 0: turn by turn"):
        modelfile(other, "m", BARE)


def test_a_missing_converter_is_said_with_the_commands(folders, tmp_path):
    with pytest.raises(ModelError, match="git clone .*llama.cpp.*--outtype f16"):
        to_gguf(folders / "merged", tmp_path / "m.gguf", llama_cpp=tmp_path)


def test_the_converter_is_called_and_its_words_are_passed_on(folders, tmp_path, monkeypatch):
    script = tmp_path / "convert_hf_to_gguf.py"
    monkeypatch.delenv("NO_LOCAL_GGUF", raising=False)  # it must read the gguf package beside it: its names are newer
    own = "import os, sys; assert 'NO_LOCAL_GGUF' not in os.environ; "
    script.write_text(own + "open(sys.argv[sys.argv.index('--outfile') + 1], 'w').write(sys.argv[-1])")
    assert to_gguf(folders / "merged", tmp_path / "m.gguf", "q8_0", tmp_path).read_text() == "q8_0"
    with pytest.raises(DataError, match="exists already"):
        to_gguf(folders / "merged", tmp_path / "m.gguf", "q8_0", tmp_path)
    script.write_text("raise SystemExit('unknown pre-tokenizer')")
    with pytest.raises(ModelError, match="unknown pre-tokenizer"):
        to_gguf(folders / "merged", tmp_path / "n.gguf", "q8_0", tmp_path)


# --- a real server


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("fastapi") is None, reason="transformers serve needs fastapi and uvicorn")
def test_transformers_serve_is_equal_and_with_another_template_is_not(reference, folders, tokenizer, tmp_path):
    wrong = tmp_path / "wrong"
    fresh(folders / "merged").save_pretrained(wrong)
    other = deepcopy(tokenizer)
    other.chat_template = HABIT.replace("!=", "==") + tokenizer.chat_template
    other.save_pretrained(wrong)
    server = ServedModel(None)
    url = f"{server.url}/v1"
    try:
        server.wait(600)
        right = compare_sides(reference, served_side("served", url, str(folders / "merged"), CHATS, NEW_TOKENS))
        other = compare_sides(reference, served_side("served", url, str(wrong), CHATS, NEW_TOKENS))
    finally:
        server.stop()
    assert right.verdict == "equal"
    assert "prompt tokens" in other.differences
