"""Tokens of the data: the same rows as TRL prepares, every cut answer named, every template fault seen.

The small tokenizers are honest: one token a byte, control tokens of their own, and chat templates written here
that behave as the families they are named after.
"""

import json
from importlib.resources import files

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftlab.checks.tokens import find_token_problems, lengths, trained_rows
from ftlab.data import rendering
from ftlab.data.findings import Row
from ftlab.data.schema import read_chat
from ftlab.errors import DataError, ModelError
from ftlab.models import data_folder, resolve
from ftlab.training.preflight import tokenize_for_training

NANO_TRAIN = data_folder() / "support_triage" / "train.jsonl"

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CHATML_MARKED = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}"
    "{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}{% else %}{{ m.content }}<|im_end|>{% endif %}"
    "{{ '\n' }}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CHATML_OPEN = CHATML_MARKED.replace("<|im_end|>{% endgeneration %}", "{% endgeneration %}<|im_end|>")
CHATML_EMPTY = CHATML_MARKED.replace("{{ m.content }}<|im_end|>{% endgeneration %}", "{% endgeneration %}", 1)
LLAMA = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
    "{{ m.content | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
GEMMA = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('no system role here') }}{% endif %}"
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content | trim }}<end_of_turn>\n"
    "{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] "
    "{% if loop.index0 == 1 and messages[0].role == 'system' %}{{ messages[0].content }}\n\n{% endif %}"
    "{{ m.content }} [/INST]{% elif m.role == 'assistant' %} {{ m.content | trim }}{{ eos_token }}{% endif %}"
    "{% endfor %}"
)
DROPS_SYSTEM = CHATML.replace("{% for m in messages %}", "{% for m in messages if m.role != 'system' %}")
PLAIN = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
THINKS = (  # an empty thought before the last answer only, as Qwen3 does
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' and loop.last %}<think>\n\n</think>\n\n{% endif %}{{ m.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
RENDERS = (
    "{{ tools | tojson if tools else '' }}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content or '' }}"
    "{{ m.tool_calls | tojson if m.tool_calls else '' }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CONTROL = (
    "<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
    "<start_of_turn>", "<end_of_turn>", "[INST]", "[/INST]",
)  # fmt: skip


def tokenizer_of(template, eos="</s>", adds="", control=CONTROL):
    """One token a byte; `adds` is what the tokenizer itself puts around a text, as in `<s> $A`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({letter: number for number, letter in enumerate(letters)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(list(control))
    if adds:
        added = [(token, backend.token_to_id(token)) for token in adds.split() if token != "$A"]
        backend.post_processor = processors.TemplateProcessing(single=adds, special_tokens=added)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token=eos)
    tokenizer.chat_template = template
    return tokenizer


@pytest.fixture(scope="module")
def nano():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(resolve("nano"))


def turn(role, content, **extra):
    return {"role": role, "content": content, **extra}


def row(*turns, line=1, **extra):
    return Row({"messages": list(turns), **extra}, "rows.jsonl", line)


USER, ANSWER = turn("user", "Where is it?"), turn("assistant", "Here.")
SYSTEM = turn("system", "Be brief.")
SIMPLE = row(USER, ANSWER)
TWO = row(USER, ANSWER, turn("user", "Sure?"), turn("assistant", "Yes, quite."))
WITH_SYSTEM = row(SYSTEM, USER, ANSWER)


def problems_of(rows, tokenizer, max_length=1024):
    return find_token_problems(rows, tokenizer, max_length)[0]


def found(rows, tokenizer, max_length=1024):
    return {problem.code: problem for problem in problems_of(rows, tokenizer, max_length)}


def trained_text(data, tokenizer):
    """The text under the loss, one entry an unbroken run."""
    runs, open_run = [], False
    for token, label in zip(data["input_ids"], data["labels"], strict=True):
        assert label in (token, -100)
        if label == -100:
            open_run = False
        elif open_run:
            runs[-1].append(token)
        else:
            runs.append([token])
            open_run = True
    return [tokenizer.decode(run) for run in runs]


def prepared(rows, tokenizer, **options):
    return tokenize_for_training(rows, tokenizer, **options).to_list()


# -- the same as TRL


def sft_trainer(dataset, tokenizer, folder, **settings):
    """The real trainer on nano; making one prepares its data set and trains nothing."""
    from transformers import AutoModelForCausalLM
    from trl import SFTConfig, SFTTrainer

    config = SFTConfig(output_dir=str(folder), report_to="none", use_cpu=True, bf16=False, **settings)
    model = AutoModelForCausalLM.from_pretrained(resolve("nano"))
    return SFTTrainer(model=model, args=config, train_dataset=dataset, processing_class=tokenizer)


def trl_rows(rows, tokenizer, folder, max_length=1024):
    from datasets import Dataset

    data = Dataset.from_list([{"messages": data["messages"]} for data in rows])
    trainer = sft_trainer(data, tokenizer, folder, max_length=max_length, assistant_only_loss=True)
    return trainer.train_dataset.select_columns(["input_ids", "labels"])


@pytest.mark.parametrize(("number", "max_length"), [(2000, 1024), (300, 100)])
def test_the_same_rows_as_trl(nano, tmp_path, number, max_length):
    rows = read_chat(NANO_TRAIN)[:number]
    theirs = trl_rows(rows, nano, tmp_path, max_length)
    ours = tokenize_for_training(rows, nano, max_length, drop=True)
    assert ours.to_list() == theirs.to_list()
    assert ours.features == theirs.features
    count = trained_rows(rows, nano, max_length)
    assert count.trained == len(theirs)
    assert sum(count.lost.values()) == len(rows) - len(theirs)
    ends = sum(data["labels"][-1] == nano.eos_token_id for data in ours)
    assert count.cut == len(theirs) - ends


def test_trl_has_the_conversations_with_several_turns_too(nano, tmp_path):
    texts = ["a", " b\n", "zwölf\u2028", "\U0001f600", "x" * 40]
    rows = [
        {"messages": [message for i in range(n) for message in (turn("user", texts[i]), turn("assistant", texts[-i]))]}
        for n in range(1, 6)
    ]
    theirs = trl_rows(rows, nano, tmp_path, 30)
    assert prepared(rows, nano, max_length=30) == theirs.to_list()
    assert trained_rows(rows, nano, 30).trained == len(theirs)


def test_trl_trains_turns_of_weight_0_and_we_do_not(nano, tmp_path):
    rows = [{"messages": [USER, ANSWER | {"weight": 0}, USER, turn("assistant", "There.", weight=1)]}]
    assert trained_text(trl_rows(rows, nano, tmp_path)[0], nano) == ["Here.<|end|>", "There.<|end|>"]
    assert trained_text(prepared(rows, nano)[0], nano) == ["There.<|end|>"]
    warning = found([Row(rows[0], "rows.jsonl", 7)], nano)["weight_ignored"]
    assert (warning.severity, warning.line, "line 7" in warning.message) == ("warning", None, True)


def test_trl_stops_where_we_say_so(nano, tmp_path):
    from copy import deepcopy

    from jinja2 import TemplateError

    strict, unmarked = deepcopy(nano), deepcopy(nano)
    strict.chat_template = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('system') }}{% endif %}" + nano.chat_template
    )
    unmarked.chat_template = CHATML
    rows = [SIMPLE.data, WITH_SYSTEM.data]
    for tokenizer, error in ((strict, TemplateError), (unmarked, ValueError)):
        with pytest.raises(error):
            trl_rows(rows, tokenizer, tmp_path)
        count = trained_rows(rows, tokenizer)
        assert count.trained == 0
        assert list(count.lost.values()) == [2]
        assert "stops" in next(iter(count.lost))
    no_answer = [SIMPLE.data, {"messages": [USER]}]
    with pytest.raises(RuntimeError):
        trl_rows(no_answer, nano, tmp_path)
    assert trained_rows(no_answer, nano).trained == 0


def test_the_trainer_takes_our_rows_as_they_are(nano, tmp_path):
    import torch

    rows = read_chat(NANO_TRAIN)[:8]
    ours = sft_trainer(
        tokenize_for_training(rows, nano), nano, tmp_path, dataset_kwargs={"skip_prepare_dataset": True}
    )
    theirs = trl_rows(rows, nano, tmp_path)
    batch = ours.data_collator([ours.train_dataset[i] for i in range(8)])
    other = ours.data_collator([theirs[i] for i in range(8)])
    assert batch.keys() == other.keys()
    assert all(torch.equal(batch[name], other[name]) for name in batch)
    assert (batch["labels"] != -100).sum() == sum(lengths(rows, nano).answer)


# -- answers found by rendering


@pytest.mark.parametrize(
    ("template", "end"), [(CHATML, "<|im_end|>"), (LLAMA, "<|eot_id|>"), (GEMMA, "<end_of_turn>"), (MISTRAL, "</s>")]
)
def test_templates_without_markers(template, end):
    tokenizer = tokenizer_of(template, eos=end)
    data = prepared([TWO], tokenizer)[0]
    assert trained_text(data, tokenizer) == ["Here." + end, "Yes, quite." + end]
    assert tokenizer.decode(data["input_ids"]) == tokenizer.apply_chat_template(TWO.data["messages"], tokenize=False)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.text(min_size=1, max_size=8), st.text(min_size=1, max_size=8), st.sampled_from([0, 1, None])),
        min_size=1,
        max_size=4,
    )
)
def test_rendering_and_markers_agree(turns):
    chat = [m for user, answer, weight in turns for m in (turn("user", user), turn("assistant", answer, weight=weight))]
    rows = [{"messages": chat}] * 2
    by_rendering, by_markers = (list(rendering.encode_chats(rows, tokenizer_of(t))) for t in (CHATML, CHATML_MARKED))
    assert by_rendering == by_markers
    assert [answer.trained for answer in by_markers[0].answers] == [weight != 0 for *_, weight in turns]


def test_a_thought_before_the_last_answer_is_what_the_model_must_write():
    tokenizer = tokenizer_of(THINKS, eos="<|im_end|>")
    assert trained_text(prepared([TWO], tokenizer)[0], tokenizer) == [
        "Here.<|im_end|>",
        "<think>\n\n</think>\n\nYes, quite.<|im_end|>",
    ]


@pytest.mark.parametrize("name", ["llama3", "qwen2_5", "qwen3", "qwen3_instruct_2507", "gemma", "gemma3"])
def test_real_templates_mask_as_trl_marks_them(name):
    """The answers found in a family's own template are those in TRL's marked version of it, but for line ends."""
    folder = files("trl") / "chat_templates"
    own, marked = ((folder / f"{name}{kind}.jinja").read_text(encoding="utf-8") for kind in ("", "_training"))
    tokenizer = tokenizer_of(own, eos="<|im_end|>")
    for chat in [SIMPLE] if name == "qwen3" else [SIMPLE, TWO]:  # TRL writes a thought before every answer of qwen3
        ours, theirs = prepared([chat], tokenizer)[0], prepared([chat], tokenizer, chat_template=marked)[0]
        assert ours["input_ids"] == theirs["input_ids"]
        texts = [[text.strip() for text in trained_text(data, tokenizer)] for data in (ours, theirs)]
        assert texts[0] == texts[1]


def test_tools_and_tool_calls_are_rendered_with_their_row():
    tokenizer = tokenizer_of(RENDERS, eos="<|im_end|>")
    call = turn("assistant", None, tool_calls=[{"function": {"name": "look", "arguments": {}}}])
    tool = {"type": "function", "function": {"name": "look", "description": "", "parameters": {}}}
    chat = row(USER, call, turn("tool", "shelf 3"), ANSWER, tools=json.dumps([tool]))
    data = prepared([SIMPLE, chat], tokenizer)[1]
    first, last = trained_text(data, tokenizer)
    assert "look" in first
    assert first.endswith("<|im_end|>")
    assert last == "Here.<|im_end|>"
    assert tokenizer.decode(data["input_ids"]).startswith("[{")
    broken = row(USER, ANSWER, tools="{not json")
    assert set(found([broken], tokenizer)) == {"no_generation_markers", "template_fails"}


# -- tools and calls that a template leaves out

TOOL = {"type": "function", "function": {"name": "tide", "description": "Height of the tide. " * 40, "parameters": {}}}
TIDE = {"id": "c1", "type": "function", "function": {"name": "tide", "arguments": "{}"}}
LOST = {"tools_not_rendered", "answer_not_rendered"}


def tidal(content=None, **extra):
    calling = turn("assistant", content, tool_calls=[TIDE])
    return row(USER, calling, turn("tool", "2.1", tool_call_id="c1"), ANSWER, **extra)


@pytest.mark.parametrize(
    ("template", "data", "codes"),
    [
        (RENDERS, tidal(tools=[TOOL]), set()),
        (CHATML, tidal(tools=[TOOL]), LOST),
        (CHATML, tidal(), LOST),
        (CHATML_MARKED, tidal("One moment."), LOST),
        (CHATML, row(USER, ANSWER, tools=[TOOL]), {"tools_not_rendered"}),
        (CHATML, row(USER, ANSWER, tools=[]), set()),
        (RENDERS.replace("tools | tojson if tools else ''", "''"), tidal(tools=[TOOL]), {"tools_not_rendered"}),
        (RENDERS.replace("m.content or ''", "m.content"), tidal(), {"answer_not_rendered"}),
        (RENDERS.replace("m.content or ''", "m.content"), tidal("None of it, so I ask."), set()),
    ],
)
def test_tools_and_calls_that_the_template_leaves_out(template, data, codes):
    tokenizer = tokenizer_of(template, eos="<|im_end|>")
    problems = found([data], tokenizer, 4096)
    assert set(problems) - {"no_generation_markers"} == codes
    counted = lengths([data], tokenizer)
    assert counted.unrendered == ("tools_not_rendered" in codes)
    assert ("does not render" in repr(counted)) == ("tools_not_rendered" in codes)
    if "answer_not_rendered" in codes:
        assert problems["answer_not_rendered"].severity == "error"
        assert problems["answer_not_rendered"].field == "messages[1].tool_calls"
        assert ("None" in problems["answer_not_rendered"].message) == (data.data["messages"][1]["content"] is None)


def test_a_template_that_stumbles_over_a_call_without_text():
    adds = CHATML.replace("{{ m.role }}\n{{ m.content }}<|im_end|>", "{{ m.role + '\n' + m.content + '<|im_end|>' }}")
    tokenizer = tokenizer_of(adds, eos="<|im_end|>")  # as SmolLM2 writes a turn
    assert "take one that renders them" in found([tidal()], tokenizer)["template_fails"].message
    assert set(found([tidal("")], tokenizer)) == LOST | {"no_generation_markers"}


def test_rendered_tools_count():
    tokenizer = tokenizer_of(RENDERS, eos="<|im_end|>")
    with_tools, without = lengths([tidal(tools=[TOOL]), tidal()], tokenizer).total
    assert with_tools - without > len(TOOL["function"]["description"])


# -- preference pairs


def test_both_answers_of_a_pair_are_counted_and_checked():
    tokenizer = tokenizer_of(CHATML_MARKED, eos="<|im_end|>")
    bad = turn("assistant", "No idea<|im_end|>" + "." * 99)
    earlier = [USER, turn("assistant", "Earlier.", weight=0)]
    pair = row(*earlier, USER, ANSWER, rejected=[bad])
    own, other = lengths([pair], tokenizer).answer
    assert (own, other) == (len("Here.") + 1, len("No idea") + 99 + 2)
    prompts = lengths([pair], tokenizer).prompt
    assert prompts[0] == prompts[1]
    places = {problem.code: problem.field for problem in problems_of([pair], tokenizer, prompts[0] + 10)}
    assert places == {"special_token_in_text": "rejected[0].content", "answer_truncated": "rejected[0].content"}
    sound = row(*earlier, USER, ANSWER, rejected=[turn("assistant", "No idea.")])
    both = [find_token_problems(rows, tokenizer, 900) for rows in ([sound], [SIMPLE])]
    assert [(findings, trained is None) for findings, trained in both] == [([], True), ([], False)]
    cut = row(turn("user", "p" * 300), ANSWER, rejected=[bad])
    told = [p.field for p in problems_of([cut], tokenizer, 100) if p.code == "answer_cut_away"]
    assert told == ["messages[1].content", "rejected[0].content"]


# -- the findings


def test_a_clean_file_has_no_findings(nano):
    from ftlab.data.schema import check_chat

    assert problems_of(check_chat(NANO_TRAIN).placed, nano) == []
    assert problems_of([], nano) == []


def test_every_length_has_its_finding():
    """One token a byte: the row and its answer are known to the token."""
    tokenizer = tokenizer_of(CHATML_MARKED, eos="<|im_end|>")
    whole = len(prepared([SIMPLE], tokenizer)[0]["input_ids"])
    end = whole - 1  # a line end follows the answer
    begin = end - len("Here.") - 1
    for max_length in range(1, whole + 2):
        kept = min(max(max_length - begin, 0), 6)
        code = "answer_cut_away" if not kept else "answer_truncated" if kept < 6 else "too_long"
        problems = found([SIMPLE], tokenizer, max_length)
        if max_length >= whole:
            assert problems == {}
            continue
        assert set(problems) == {code}
        assert code == "too_long" or problems[code].field == "messages[1].content"
        if code == "answer_truncated":
            assert f"only {kept} of 6 answer tokens" in problems[code].message
        labels = tokenize_for_training([SIMPLE, TWO], tokenizer, max_length, drop=True)["labels"] if kept else []
        assert all(sum(label != -100 for label in row_labels) <= kept for row_labels in labels[:1])


def test_a_cut_counts_only_the_trained_turns():
    tokenizer = tokenizer_of(CHATML_MARKED, eos="<|im_end|>")
    chat = row(USER, ANSWER | {"weight": 0}, turn("user", "Sure?"), turn("assistant", "Yes, quite."))
    begin = len(tokenizer.apply_chat_template(chat.data["messages"][:3], add_generation_prompt=True)["input_ids"])
    assert found([chat], tokenizer, begin)["answer_cut_away"].field == "messages[3].content"
    assert "only 1 of 12" in found([chat], tokenizer, begin + 1)["answer_truncated"].message
    reverse = row(USER, ANSWER, turn("user", "Sure?"), turn("assistant", "Yes, quite.", weight=0))
    assert "too_long" in found([reverse], tokenizer, begin + 1)
    assert "all_masked" in found([row(USER, ANSWER | {"weight": 0})], tokenizer)


def test_a_template_that_marks_nothing():
    problem = found([SIMPLE], tokenizer_of(CHATML_EMPTY.replace("<|im_end|>\n", "")))["all_masked"]
    assert problem.severity == "error"
    assert "marks no text" in problem.message


@pytest.mark.parametrize(
    ("template", "eos", "rows", "codes"),
    [
        (CHATML_MARKED, "<|im_end|>", [WITH_SYSTEM, TWO], set()),
        (CHATML_OPEN, "<|im_end|>", [WITH_SYSTEM, TWO], {"missing_eos"}),
        (CHATML_MARKED, "</s>", [WITH_SYSTEM, TWO], {"eos_differs"}),
        (PLAIN, "</s>", [SIMPLE, TWO], {"no_generation_markers", "missing_eos"}),
        (CHATML, "<|im_end|>", [WITH_SYSTEM], {"no_generation_markers"}),
        (LLAMA, "<|eot_id|>", [WITH_SYSTEM, TWO], {"no_generation_markers"}),
        (GEMMA, "<end_of_turn>", [SIMPLE, WITH_SYSTEM], {"no_generation_markers", "template_fails"}),
        (GEMMA, "<end_of_turn>", [row(USER, USER, ANSWER)], {"no_generation_markers", "template_fails"}),
        (MISTRAL, "</s>", [WITH_SYSTEM], {"no_generation_markers", "system_merged"}),
        (DROPS_SYSTEM, "<|im_end|>", [WITH_SYSTEM, SIMPLE], {"no_generation_markers", "system_ignored"}),
        (PLAIN.replace("{{ m.content }}", "?"), "</s>", [SIMPLE], {"no_generation_markers", "answer_not_found"}),
    ],
)
def test_template_faults(template, eos, rows, codes):
    problems = problems_of(rows, tokenizer_of(template, eos=eos))
    assert {problem.code for problem in problems} == codes
    assert len(problems) == len(codes)  # a fault of the template is said once, with its rows
    assert not any("{" in problem.message.replace("{%", "") for problem in problems)


def test_the_refused_row_is_named_with_reason_and_remedy():
    rows = [row(USER, ANSWER, line=n) for n in (1, 2, 3)] + [row(SYSTEM, USER, ANSWER, line=4)]
    rows += [row(ANSWER, USER, ANSWER, line=5)]
    tokenizer = tokenizer_of(GEMMA, eos="<end_of_turn>")
    problems = [p for p in problems_of(rows, tokenizer) if p.code == "template_fails"]
    assert [problem.line for problem in problems] == [4, 5]
    assert "no system role here" in problems[0].message
    assert "first user turn" in problems[0].message
    assert "take turns" in problems[1].message
    assert lengths(rows, tokenizer).refused == 2
    with pytest.raises(DataError, match=r"rows\.jsonl:4.*\n.*rows\.jsonl:5"):
        tokenize_for_training(rows, tokenizer)
    assert len(tokenize_for_training(rows, tokenizer, drop=True)) == 3


@pytest.mark.parametrize(
    ("template", "adds", "eos", "code"),
    [
        (LLAMA, "<s> $A", "<|eot_id|>", "double_bos"),
        (CHATML_MARKED, "<s> $A", "<|im_end|>", None),
        (LLAMA, "$A", "<|eot_id|>", None),
        (MISTRAL, "$A </s>", "</s>", "double_eos"),
    ],
)
def test_what_the_tokenizer_adds_a_second_time(template, adds, eos, code):
    tokenizer = tokenizer_of(template, eos=eos, adds=adds)
    codes = set(found([SIMPLE, TWO], tokenizer)) - {"no_generation_markers"}
    assert codes == ({code} if code else set())
    ids = tokenizer(tokenizer.apply_chat_template(SIMPLE.data["messages"], tokenize=False))["input_ids"]
    assert (ids[0] == ids[1] or ids[-1] == ids[-2]) == bool(code)  # the fault is real


def test_an_end_token_in_the_answer():
    tokenizer = tokenizer_of(CHATML_MARKED, eos="<|im_end|>")
    chat = row(USER, turn("assistant", "Here.<|im_end|>"), line=3)
    problems = found([SIMPLE, chat], tokenizer)
    assert set(problems) == {"double_eos", "special_token_in_text"}
    assert "(1 row(s), line 3)" in problems["double_eos"].message
    assert problems["special_token_in_text"].field == "messages[1].content"
    doubled = row(turn("user", "<s>Where?"), ANSWER)
    template = "{{ bos_token }}" + CHATML_MARKED.replace("<|im_start|>{{ m.role }}\n", "")
    assert "double_bos" in found([doubled], tokenizer_of(template, eos="<|im_end|>"))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Stop.<|im_end|>", "special_token_in_text"),
        ("[INST] hello [/INST]", "special_token_in_text"),
        ("bye<|endoftext|>", "foreign_marker"),
        ("<|user|>hello", "foreign_marker"),
        ("a < b > c |end| [inst]", None),
        ("<p>HTML</p> and <s2>", None),
    ],
)
def test_control_tokens_in_a_text(text, code):
    tokenizer = tokenizer_of(CHATML_MARKED, eos="<|im_end|>")
    problems = found([row(turn("user", text), ANSWER)], tokenizer)
    assert set(problems) == ({code} if code else set())
    assert not code or problems[code].field == "messages[0].content"
    control = set(tokenizer.all_special_ids) | set(tokenizer.get_added_vocab().values())
    holds_control = not control.isdisjoint(tokenizer(text, add_special_tokens=False)["input_ids"])
    assert holds_control == (code == "special_token_in_text")  # what we say is what the tokenizer does


# -- lengths, and what TRL trains on


def test_lengths_add_up():
    tokenizer = tokenizer_of(CHATML_MARKED, eos="<|im_end|>")
    rows = [SIMPLE, TWO]
    result = lengths(rows, tokenizer)
    texts = [tokenizer.apply_chat_template(r.data["messages"], tokenize=False) for r in rows]
    assert result.total == [len(tokenizer(text)["input_ids"]) for text in texts]
    assert result.answer == [len("Here.") + 1, len("Here.Yes, quite.") + 2]
    assert [a + b for a, b in zip(result.prompt, result.answer, strict=True)] == result.total
    shorter, longer = result.total
    assert result.share_over(shorter - 1) == 1
    assert result.share_over(shorter) == 0.5
    assert result.share_over(longer) == 0
    assert result.tokens() == shorter + longer
    assert result.tokens(max_length=shorter, epochs=3) == 6 * shorter
    assert result.percentile(50) == (shorter + longer) / 2
    assert "2 rows" in repr(result)
    assert "longest" in result._repr_html_()
    empty = lengths([], tokenizer)
    assert (empty.tokens(), empty.share_over(1), empty.percentile(50)) == (0, 0.0, 0.0)
    assert "0 rows" in repr(empty)


def test_the_rows_that_trl_trains_on_are_counted():
    tokenizer = tokenizer_of(CHATML_MARKED, eos="<|im_end|>")
    long_prompt = row(turn("user", "p" * 300), ANSWER)
    long_answer = row(USER, turn("assistant", "a" * 300))
    count = trained_rows([SIMPLE, long_prompt, long_answer], tokenizer, 200)
    assert (count.rows, count.trained, count.cut) == (3, 2, 1)  # the answer after the long prompt is gone
    assert sum(count.lost.values()) == 1
    assert "2, of them 1 with a cut answer" in repr(count)
    assert "other trainers" in count._repr_html_()  # what they drop is theirs to say
    refused = trained_rows([SIMPLE, WITH_SYSTEM, {"messages": "?"}], tokenizer_of(GEMMA, eos="<end_of_turn>"))
    assert (refused.trained, sum(refused.lost.values())) == (0, 3)


def test_trls_own_version_of_a_template_is_used():
    own = (files("trl") / "chat_templates" / "llama3.jinja").read_text(encoding="utf-8")
    count = trained_rows([SIMPLE, TWO], tokenizer_of(own, eos="<|eot_id|>"))
    assert (count.trained, count.cut, count.lost) == (2, 0, {})


# -- input that cannot be used


def test_tokenizers_that_cannot_be_used(nano):
    with pytest.raises(ModelError, match="no chat template"):
        problems_of([SIMPLE], tokenizer_of(None))
    with pytest.raises(ModelError, match="not a fast tokenizer"):
        lengths([SIMPLE], object())


@pytest.mark.parametrize("bad", [0, -1, 1.5, True, "100"])
def test_max_length_is_a_number_of_tokens(nano, bad):
    for function in (find_token_problems, trained_rows):
        with pytest.raises(DataError, match="max_length"):
            function([SIMPLE], nano, bad)


def test_without_a_cut(nano):
    assert prepared([SIMPLE], nano, max_length=None) == prepared([SIMPLE], nano)
    assert problems_of([SIMPLE], nano, None) == []
    with pytest.raises(DataError, match="max_length"):
        trained_rows([SIMPLE], nano, None)


def test_a_lost_row_is_an_error_until_it_is_allowed(nano):
    with pytest.raises(DataError, match=r"row 2: .* tokens, and none of an answer .*max_length=30") as error:
        tokenize_for_training([SIMPLE.data, row(turn("user", "long " * 40), ANSWER).data], nano, 30)
    assert "drop=True" in str(error.value)
    with pytest.raises(DataError, match="nothing to hand"):
        tokenize_for_training([], nano)
    with pytest.raises(DataError, match="nothing to hand"):
        tokenize_for_training([row(USER)], nano, drop=True)


ANY_TURN = st.dictionaries(
    st.sampled_from(["role", "content", "weight", "tool_calls"]),
    st.none() | st.integers(0, 1) | st.text(st.characters(), max_size=3)
    | st.sampled_from(["user", "assistant", "system", "tool", "<|end|>", [], {}]),
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {"messages": st.none() | st.text(max_size=2) | st.lists(ANY_TURN | st.none(), max_size=3)},
            optional={"tools": st.sampled_from(["[", "[]", [1], {}]), "chat_template_kwargs": st.sampled_from([1, {}])},
        )
        | st.none(),
        max_size=4,
    ),
    st.booleans(),
)
def test_any_rows_give_findings_that_add_up(nano, rows, marked):
    tokenizer = nano if marked else tokenizer_of(CHATML)
    placed = [Row(data, "rows.jsonl", line) for line, data in enumerate(rows, 1)]
    problems = problems_of(placed, tokenizer)
    lost = {problem.line for problem in problems
            if problem.code in ("template_fails", "answer_not_found", "all_masked")}  # fmt: skip
    count = trained_rows(placed, tokenizer)
    assert count.trained + sum(count.lost.values()) == len(rows)
    if len(lost) < len(rows):
        assert len(tokenize_for_training(placed, tokenizer, drop=True)) == len(rows) - len(lost)
    assert len(lengths(placed, tokenizer).total) + lengths(placed, tokenizer).refused == len(rows)


def test_one_pass_for_both_reports():
    rows = [TWO, Row({"messages": [turn("user", "q" * 400), turn("assistant", "Yes.")]}, "f", 2)]
    for template in (CHATML, CHATML_MARKED):
        tokenizer = tokenizer_of(template)
        found, trained = find_token_problems(rows, tokenizer, 60)
        assert repr(trained) == repr(trained_rows(rows, tokenizer, 60))
        assert {"answer_cut_away"} <= {finding.code for finding in found}
