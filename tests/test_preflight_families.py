"""The faults that ruin a training, planted on the chat templates of the families as Unsloth ships them.

A family's tokenizer is nano's with the family's control tokens and template: what is checked is the template's work.
The right mask is Unsloth's own. Unsloth changes other libraries when it is imported, so it works in a process of its
own: this file, run as a script.
"""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from test_generation import load_tokenizer

from ftlab.errors import DataError
from ftlab.families import families as table
from ftlab.families import newer, template_habits
from ftlab.models import CATALOGUE, resolve
from ftlab.smol import is_here
from ftlab.training.preflight import IGNORED, check_masks, tokenize_for_training

FAMILIES = {  # name of the template: tokens that begin and end, other control tokens
    "llama-3.1": ("<|begin_of_text|>", "<|eot_id|>", ("<|start_header_id|>", "<|end_header_id|>")),
    "mistral": ("<s>", "</s>", ("[INST]", "[/INST]")),
    "phi-3.5": (None, "<|end|>", ("<|user|>", "<|assistant|>", "<|system|>")),
    "phi-4": (None, "<|im_end|>", ("<|im_start|>", "<|im_sep|>")),
    "gemma-3": ("<bos>", "<end_of_turn>", ("<start_of_turn>",)),
    "qwen-2.5": (None, "<|im_end|>", ("<|im_start|>",)),
    "qwen-3": (None, "<|im_end|>", ("<|im_start|>", "<think>", "</think>")),
    "smol": ("<|im_start|>", "<|im_end|>", ()),
}
CHAT = [
    {"role": "user", "content": "The lamp of order 195925 is broken."},
    {"role": "assistant", "content": '{"queue": "workshop"}'},
    {"role": "user", "content": "And the other one?"},
    {"role": "assistant", "content": '{"queue": "billing"}'},
]
TOOL = {"type": "function", "function": {"name": "find_order", "description": "Find an order.", "parameters": {
    "type": "object", "properties": {"number": {"type": "string"}}, "required": ["number"]}}}  # fmt: skip


def tokenizer_of(family: str, template: str | None):
    """nano's tokenizer with the control tokens and the template of a family; that of smol is its own."""
    if family == "smol":
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(resolve("smol"))
    begin, end, others = FAMILIES[family]
    made = load_tokenizer()
    made.add_special_tokens({"eos_token": end, "additional_special_tokens": [*others]})
    made.bos_token = begin
    if begin:
        made.add_special_tokens({"bos_token": begin})
    made.chat_template = template
    return made


def by_unsloth() -> dict:
    """For each family its template, and what a trainer has without and with tools: ids, and Unsloth's labels."""
    from unsloth.chat_templates import CHAT_TEMPLATES, train_on_responses_only

    found = {}
    for family in FAMILIES:
        if family == "smol" and not is_here():
            continue
        template = None if family == "smol" else CHAT_TEMPLATES[family][0]
        tokenizer = tokenizer_of(family, template)
        mask = train_on_responses_only(None, tokenizer=tokenizer, return_function=True)
        rows = {}
        for name, tools in (("plain", None), ("tools", [TOOL])):
            text = tokenizer.apply_chat_template(CHAT, tools=tools, tokenize=False).rstrip()
            ids = tokenizer(text, add_special_tokens=False)["input_ids"]
            rows[name] = {"input_ids": ids, "labels": list(map(int, mask({"input_ids": [ids]})["labels"][0]))}
        found[family] = {"template": template, "rows": rows}
    found["qwen-3"]["thinking"] = CHAT_TEMPLATES["qwen3-thinking"][0]
    found["catalogue"] = catalogue(CHAT_TEMPLATES)
    return found


def catalogue(chat_templates) -> dict:
    """What notebook 06 reads for its table: templates by hub id, and the models that Unsloth lists."""
    import unsloth
    from unsloth.ollama_template_mappers import MODEL_TO_OLLAMA_TEMPLATE_MAPPER as TEMPLATE_OF

    mapper = Path(unsloth.__file__).parent / "models" / "mapper.py"  # the package around it wants a GPU
    named = {model.hub_id: TEMPLATE_OF.get(model.hub_id) for model in CATALOGUE}
    return {
        "templates": {hub_id: chat_templates[name][0] for hub_id, name in named.items() if name in chat_templates},
        "listed": list(runpy.run_path(str(mapper))["FLOAT_TO_INT_MAPPER"]),
    }


@pytest.fixture(scope="module")
def families(tmp_path_factory) -> dict:
    out = tmp_path_factory.mktemp("families") / "made.json"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, __file__, str(out)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(out.read_text())


@pytest.fixture(params=FAMILIES)
def family(request, families) -> dict:
    if request.param not in families:
        pytest.skip("smol is not installed")
    return families[request.param] | {"name": request.param}


@pytest.fixture
def tokenizer(family):
    return tokenizer_of(family["name"], family["template"])


@pytest.fixture
def row(family) -> dict:
    """What a trainer has: the template's text, tokenised, with Unsloth's own mask."""
    return family["rows"]["plain"]


def test_the_right_mask_passes(row, tokenizer):
    mask = check_masks([row], [CHAT], tokenizer)
    assert "billing" in mask.trained
    assert "195925" in mask.ignored


def ends(row, tokenizer):
    return [at for at, (token, label) in enumerate(zip(row["input_ids"], row["labels"], strict=True))
            if token == label == tokenizer.eos_token_id]  # fmt: skip


def without_the_end(row, tokenizer):
    (*_, last) = ends(row, tokenizer)
    return {key: values[:last] + values[last + 1 :] for key, values in row.items()}


def with_two_ends(row, tokenizer):
    (*_, last) = ends(row, tokenizer)
    return {key: values[: last + 1] + [tokenizer.eos_token_id] + values[last + 1 :] for key, values in row.items()}


def masked(row, tokenizer):
    return row | {"labels": [IGNORED] * len(row["labels"])}


def cut(row, tokenizer):
    (*_, last) = ends(row, tokenizer)
    return {key: values[: last - 3] for key, values in row.items()}


FAULTS = {
    "all labels masked": (masked, "no token is trained.*Raise max_length, or check the chat template"),
    "answer truncated": (cut, "a cut answer means that max_length is too small"),
    "missing end token": (without_the_end, "missing end token teaches endless answers"),
    "doubled end token": (with_two_ends, "the answer ends with .* twice: .*rstrip"),
}


@pytest.mark.parametrize(("spoil", "told"), FAULTS.values(), ids=FAULTS)
def test_a_planted_fault_is_named(row, tokenizer, spoil, told):
    with pytest.raises(DataError, match=f"(?s)example 1: .*{told}"):
        check_masks([row, spoil(row, tokenizer)], [CHAT, CHAT], tokenizer)


def test_a_doubled_bos_is_named(row, tokenizer):
    if tokenizer.bos_token is None:
        pytest.skip("this family has none")
    doubled = {"input_ids": [tokenizer.bos_token_id, *row["input_ids"]], "labels": [IGNORED, *row["labels"]]}
    if row["input_ids"][0] != tokenizer.bos_token_id:
        assert check_masks([doubled], [CHAT], tokenizer)  # the template writes none: one is right
        return
    with pytest.raises(DataError, match="twice.*add_special_tokens=False"):
        check_masks([doubled], [CHAT], tokenizer)


def test_a_training_by_another_template_is_named(tokenizer):
    other = "{% for m in messages %}### {{ m['role'] }}:\n{{ m['content'] }}" + tokenizer.eos_token + "\n{% endfor %}"
    text = tokenizer.apply_chat_template(CHAT, tokenize=False, chat_template=other)
    out = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    places = [(start := text.index(m["content"]), start + len(m["content"] + tokenizer.eos_token))
              for m in CHAT if m["role"] == "assistant"]  # fmt: skip
    labels = [token if any(low <= start < high for low, high in places) else IGNORED
              for token, (start, _) in zip(out["input_ids"], out["offset_mapping"], strict=True)]  # fmt: skip
    with pytest.raises(DataError, match="is not what the chat template writes.*Render the rows with"):
        check_masks([{"input_ids": out["input_ids"], "labels": labels}], [CHAT], tokenizer)


def test_a_template_without_a_generation_prompt_is_named(row, tokenizer):
    silent = tokenizer.chat_template.replace("add_generation_prompt", "false")
    if silent == tokenizer.chat_template or tokenizer.apply_chat_template(
        CHAT[:1], tokenize=False, add_generation_prompt=True
    ) == tokenizer.apply_chat_template(CHAT[:1], tokenize=False):
        pytest.skip("in this family nothing stands between a question and its answer")
    tokenizer.chat_template = silent
    with pytest.raises(DataError, match="Take a chat template that knows add_generation_prompt"):
        check_masks([row], [CHAT], tokenizer)


def test_a_template_without_tools_is_named(family, tokenizer):
    chat, row = {"messages": CHAT, "tools": [TOOL]}, family["rows"]["tools"]
    written = "find_order" in tokenizer.apply_chat_template(CHAT, tools=[TOOL], tokenize=False)
    if written:
        assert "find_order" in check_masks([row], [chat], tokenizer).ignored
        return
    with pytest.raises(DataError, match="the chat template writes nothing of them.*Take a template that renders tools"):
        check_masks([row], [chat], tokenizer)


def test_a_template_that_opens_a_thought_wants_thoughts(families):
    made = tokenizer_of("qwen-3", families["qwen-3"]["thinking"])
    with pytest.raises(DataError, match="at inference .*<think>.*A template that opens a thought wants thoughts"):
        check_masks([families["qwen-3"]["rows"]["plain"]], [CHAT], made)


THOUGHTFUL = [
    {"role": "user", "content": "The lamp is broken."},
    {"role": "assistant", "content": "<think>\nA lamp: the workshop.\n</think>\n\nworkshop"},
]


@pytest.mark.parametrize("template", ["template", "thinking"])
def test_a_row_with_a_thought_passes(families, template):
    made = tokenizer_of("qwen-3", families["qwen-3"][template])
    (row,) = tokenize_for_training([{"messages": THOUGHTFUL}], made)
    mask = check_masks([row], [THOUGHTFUL], made)
    assert "A lamp: the workshop." in mask.trained
    assert mask.trained.endswith("workshop<|im_end|>")


@pytest.mark.parametrize("template", ["template", "thinking"])
def test_a_thought_that_the_template_leaves_out_is_named(families, template):
    made = tokenizer_of("qwen-3", families["qwen-3"][template])
    chat = [*THOUGHTFUL, {"role": "user", "content": "Sure?"},
            {"role": "assistant", "content": "<think>\nI am.\n</think>\n\nyes"}]  # fmt: skip
    (row,) = tokenize_for_training([{"messages": chat}], made)
    with pytest.raises(DataError, match="turn 1 has a thought.*leaves it out.*a row for each answer"):
        check_masks([row], [chat], made)


def test_calls_of_tools_are_trained_and_their_results_are_not(families):
    made = tokenizer_of("qwen-3", families["qwen-3"]["template"])
    call = {"id": "one", "type": "function", "function": {"name": "find_order", "arguments": '{"number": "195925"}'}}
    chat = [CHAT[0], {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "one", "content": "on its way"},
            {"role": "assistant", "content": "It is on its way to you."}]  # fmt: skip
    data = {"messages": chat, "tools": [TOOL]}
    (row,) = tokenize_for_training([data], made)
    mask = check_masks([row], [data], made)
    assert '{"name": "find_order", "arguments": {"number": "195925"}}' in mask.trained
    assert "It is on its way to you." in mask.trained
    assert "on its way\n</tool_response>" in mask.ignored


def test_unsloth_lists_every_model_of_the_table_but_the_newer_smollm(families):
    unlisted = table(**families["catalogue"]).notes[-1].removeprefix("not in Unsloth's list: ")
    assert set(unlisted.split(", ")) == {"HuggingFaceTB/SmolLM2-135M-Instruct", "unsloth/SmolLM3-3B"}


def test_the_habits_that_notebook_06_tells(families):
    heading, *rows = table(**families["catalogue"]).rows
    first, last = heading.index("system"), heading.index("end") + 1
    habits = {row[0].removeprefix("unsloth/"): row[first:last] for row in rows}
    assert habits["Llama-3.1-8B-Instruct"] == ("own turn *", "no", "yes", "<|eot_id|>")
    assert habits["Qwen3-8B"] == ("own turn", "optional", "yes", "<|im_end|>")
    assert habits["Qwen3-4B-Instruct-2507"] == ("own turn", "no", "yes", "<|im_end|>")
    assert habits["gemma-3-1b-it"] == ("user's turn", "no", "no", "<end_of_turn>")
    assert habits["Phi-3.5-mini-instruct"] == ("own turn", "no", "no", "<|end|>")
    assert template_habits(families["mistral"]["template"]).system == "user's turn"


def test_newer_models_are_listed_and_not_ours(families):
    found = newer(families["catalogue"]["listed"])
    assert any(name.startswith("Qwen3.8") for name in found["qwen"])
    assert any(name.startswith("gemma-4") for name in found["gemma"])
    ours = {str(model.hub_id).removeprefix("unsloth/") for model in CATALOGUE}
    assert not ours & {name for names in found.values() for name in names}


if __name__ == "__main__":
    with open(sys.argv[1], "w") as file:
        json.dump(by_unsloth(), file)
