"""The lessons of notebook 01: reproducible, answers that follow from the inputs, held-out rows that are held out."""

import ast
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from ftlab.data.schema import check_chat

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "data" / "lessons"
CHECKS = {"exact", "prefix", "contains", "record"}
LESSONS = {"format", "style", "vocabulary", "refusal", "shorter prompt", "facts", "reasoning"}
sys.path.insert(0, str(ROOT / "tools"))
try:
    import make_lessons as tool
    from nano_world.texts import inbox, lexicon, prompts
finally:
    sys.path.remove(str(ROOT / "tools"))


def read(split):
    return [json.loads(line) for line in (FOLDER / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()]


TRAIN, HELDOUT = read("train"), read("heldout")
PAIRS = {split: read(f"preferences_{split}") for split in tool.SPLITS}


def asked(row):
    """All that the model is shown: system and user turn."""
    return json.dumps(row["messages"][:-1])


def user(row):
    return row["messages"][-2]["content"]


def answer(row):
    return row["messages"][-1]["content"]


def of(rows, lesson, part=None):
    chosen = [r for r in rows if r["lesson"] == lesson and part in (None, r.get("part"))]
    assert chosen
    return chosen


def scorer():
    """The function `right` as the learner meets it, taken out of the notebook's source."""
    path = next((ROOT / "notebooks").glob("*/01_what_fine_tuning_changes.py"))
    tree = ast.parse(path.read_text(encoding="utf-8"))
    (function,) = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == "right"]
    names = {}
    exec(compile(ast.Module([function], []), str(path), "exec"), names)
    return names["right"]


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from strings([*value.keys(), *value.values()])
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from strings(item)


def words(text):
    return set(re.findall(r"[a-z]+", text.lower()))


# ---- the files ------------------------------------------------------------------------------------------------


def test_files_are_what_the_generator_writes():
    done = subprocess.run([sys.executable, ROOT / "tools/make_lessons.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_check_notices_a_changed_file(tmp_path, monkeypatch, capsys):
    for name, content in tool.make_files().items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    monkeypatch.setattr(tool, "FOLDER", tmp_path)
    monkeypatch.setattr(sys, "argv", ["make_lessons.py", "--check"])
    assert tool.write_or_check("", tool.FOLDER, tool.make_files) == 0
    (tmp_path / "train.jsonl").write_text("{}\n")
    assert tool.write_or_check("", tool.FOLDER, tool.make_files) == 1
    assert "train.jsonl" in capsys.readouterr().err


@pytest.mark.parametrize("split", tool.SPLITS)
def test_rows_are_legal_chats(split):
    check = check_chat(FOLDER / f"{split}.jsonl")
    assert check.findings == []
    assert len({row["id"] for row in check.rows}) == check.rows_kept


def test_sizes_allow_a_short_run_and_an_interval():
    assert {row["lesson"] for row in TRAIN} == LESSONS
    assert {row["lesson"] for row in HELDOUT} == LESSONS | {"hallucination"}
    assert 500 <= len(TRAIN) <= 700
    parts = Counter((row["lesson"], row["part"]) for row in HELDOUT)
    assert all(30 <= n <= 60 for n in parts.values()), parts


def test_no_input_is_taught_or_asked_twice():
    for rows in (TRAIN, HELDOUT):
        assert max(Counter(map(asked, rows)).values()) == 1


def test_too_few_sentences_stop_the_tool():
    with pytest.raises(SystemExit, match="2 different inputs wanted, 1 found"):
        tool.rows_of("x", "train", "p", ["always the same"], 2, lambda frame, values: (frame, "a"))


# ---- held out means held out ------------------------------------------------------------------------------------


def test_held_out_inputs_never_occur_in_training():
    taught = {asked(row): answer(row) for row in TRAIN}
    for row in HELDOUT:
        if row["part"] in tool.COPIED:
            assert taught[asked(row)] == answer(row)
        else:
            assert user(row) not in map(user, TRAIN), row


def test_sentences_and_values_of_training_are_not_held_out():
    banks = [bank for bank in vars(tool.LISTS).values() if set(bank) == set(tool.SPLITS)]
    assert len(banks) == 12
    for bank in banks:
        assert set(bank["train"]) & set(bank["heldout"]) == set()
        assert all(len(set(values)) == len(values) for values in bank.values())
    elsewhere = " ".join(tool.LISTS.names["train"] + tool.LISTS.names["heldout"])
    assert not any(name in elsewhere for name in tool.LISTS.facts)


def test_new_sums_are_new_whichever_number_comes_first():
    def pairs(rows):
        return [tuple(sorted(map(int, re.findall(r"\d+", user(row))))) for row in rows]

    taught = pairs(of(TRAIN, "reasoning"))
    assert len(set(taught)) == len(taught)
    assert set(taught) & set(pairs(of(HELDOUT, "reasoning", "new sums"))) == set()


def test_not_knowing_is_never_taught():
    assert not any(tool.UNKNOWN in answer(row) for row in TRAIN)


# ---- the answers are right --------------------------------------------------------------------------------------


def test_sums_are_sums():
    for row in of(TRAIN + HELDOUT, "reasoning"):
        a, b = map(int, re.findall(r"\d+", user(row)))
        assert answer(row) == str(a + b)
        assert min(a, b) > 20  # pre-training had sums below 20


def test_records_hold_what_the_message_says():
    none = 0
    for row in of(TRAIN + HELDOUT, "format"):
        item, number = re.fullmatch(r"item=([^;]+);number=([^;]+);", answer(row)).groups()
        assert item in user(row)
        assert (number in user(row)) if number != "none" else not re.search(r"\d", user(row))
        none += number == "none"
    assert 0 < none < 60


def test_replies_have_the_voice_and_the_message():
    for row in of(TRAIN + HELDOUT, "style"):
        reply = answer(row)
        hello = re.match(r"Ahoy (\w+)!", reply)
        assert hello[1] in user(row)
        assert reply.endswith(tool.GOODBYE)
        assert any(item in user(row) and item in reply for item in sum(tool.LISTS.items.values(), []))


def test_house_words_replace_the_others_and_nothing_else():
    house = {old: new for group in tool.LISTS.house_words.values() for old, new in group.items()}
    for row in of(TRAIN + HELDOUT, "vocabulary"):
        assert answer(row) == " ".join(
            re.sub(r"\w+", lambda m: house.get(m[0], m[0]), word) for word in user(row).split()
        )
        assert answer(row) != user(row)
    assert set(house) & set(house.values()) == set()
    used = Counter(word for row in of(TRAIN, "vocabulary") for word in words(answer(row)) & set(house.values()))
    assert set(used) == set(house.values())
    assert min(used.values()) >= 5, used


def test_only_advice_on_health_and_law_is_refused():
    for row in of(TRAIN + HELDOUT, "refusal"):
        refused = answer(row).startswith("I must not advise on that.")
        assert refused or answer(row) in user(row)
    for row in of(HELDOUT, "refusal"):
        assert answer(row).startswith("I must not") == (row["part"] == "to be refused")
    refused = [answer(row) for row in of(TRAIN, "refusal") if answer(row).startswith("I must not")]
    assert len(refused) == len(of(TRAIN, "refusal")) // 2
    assert min(Counter(refused).values()) > 15


def test_shorter_prompt_asks_the_same_messages_with_and_without_instruction():
    bare, long = (of(HELDOUT, "shorter prompt", part) for part in ("no instruction", "long instruction"))
    assert [(user(r), answer(r)) for r in bare] == [(user(r), answer(r)) for r in long]
    assert all(len(r["messages"]) == 2 for r in bare + of(TRAIN, "shorter prompt"))
    assert {r["messages"][0]["content"] for r in long} == {tool.LONG_INSTRUCTION}
    names = sum(tool.LISTS.names.values(), [])
    for row in bare + of(TRAIN, "shorter prompt"):
        assert [name for name in names if name in user(row)] == [name for name in [answer(row)] if name != "none"]


def test_thirty_facts_each_with_one_owner():
    values = [v for facts in tool.LISTS.facts.values() for v in facts.values()]
    assert len(set(values)) == len(values) == 30  # so that the other way round has one right answer
    assert all(set(facts) == set(tool.LISTS.relations) for facts in tool.LISTS.facts.values())
    taught = Counter(answer(row) for row in of(TRAIN, "facts"))
    assert taught == dict.fromkeys(values, 3)
    owner = {v: s for s, facts in tool.LISTS.facts.items() for v in facts.values()}
    for row in of(TRAIN, "facts"):
        assert owner[answer(row)] in user(row)
    for row in of(HELDOUT, "facts", "reversed"):
        (value,) = [v for v in values if re.search(rf"\b{v}\b", user(row))]
        assert owner[value] == answer(row)
    for row in of(HELDOUT, "facts", "told in the prompt"):
        assert answer(row) in row["messages"][0]["content"]
    for row in of(HELDOUT, "facts", "never told"):
        wording = user(row)
        for name in tool.LISTS.facts:
            wording = wording.replace(name, "{s}")
        assert not any(wording in [*relation["taught"], relation["new"]] for relation in tool.LISTS.relations.values())


def test_nothing_is_told_about_the_questions_without_an_answer():
    for row in of(HELDOUT, "hallucination"):
        assert answer(row) == tool.UNKNOWN
        assert not any(name in user(row) for name in tool.LISTS.facts)
        assert len(row["messages"]) == 2


def test_words_are_those_of_pre_training_except_the_declared_ones():
    known = {
        word
        for lists in (lexicon, inbox, prompts)
        for bank in vars(lists).values()
        for text in strings(bank)
        for word in words(text)
    }
    chats = [row["messages"] for row in TRAIN + HELDOUT]
    chats += [pair["prompt"] + pair["chosen"] + pair["rejected"] for pair in PAIRS["train"] + PAIRS["heldout"]]
    used = {word for chat in chats for m in chat for word in words(m["content"])}
    assert used - known == tool.NEW_WORDS


# ---- preferences ------------------------------------------------------------------------------------------------


def letter(pair, side):
    (turn,) = pair[side]
    assert turn["role"] == "assistant"
    return turn["content"]


def pleasantries(text, name):
    return [said.format(name=name) in text for said in tool.LISTS.pleasantries]


@pytest.mark.parametrize("split", tool.SPLITS)
def test_the_preferred_letter_says_the_same_with_a_pleasantry_less(split):
    for pair in PAIRS[split]:
        name = re.search(r"(\w+)$", pair["prompt"][-1]["content"])[1]
        chosen, rejected = (pleasantries(letter(pair, side), name) for side in ("chosen", "rejected"))
        assert sum(rejected) == sum(chosen) + 1
        assert all(r or not c for c, r in zip(chosen, rejected, strict=True))
        for side, kept in (("chosen", chosen), ("rejected", rejected)):
            assert pair["says"] in letter(pair, side)
            assert letter(pair, side).count(".") == 1 + sum(kept)  # the notebook counts sentences by full stops


@pytest.mark.parametrize("split", tool.SPLITS)
def test_what_is_done_follows_from_the_message(split):
    action = {frame: tool.LISTS.preference_actions[kind] for kind, frame in tool.LISTS.style_frames[split]}
    for pair in PAIRS[split]:
        message = pair["prompt"][-1]["content"]
        (item,) = [item for item in tool.LISTS.items[split] if item in message]
        (said,) = [done for frame, done in action.items() if frame.split("{name}")[0].format(item=item) in message]
        assert pair["says"] == said.format(item=item)


def test_customers_of_the_held_out_pairs_are_new():
    sides = [{pair["prompt"][-1]["content"] for pair in PAIRS[split]} for split in tool.SPLITS]
    assert [len(side) for side in sides] == [tool.PREFERENCE_SIZES[split] for split in tool.SPLITS]
    assert sides[0] & sides[1] == set()
    ids = [pair["id"] for split in tool.SPLITS for pair in PAIRS[split]]
    assert len(set(ids)) == len(ids)


def test_chosen_letters_are_mostly_long():
    counts = [letter(pair, "chosen").count(".") for pair in PAIRS["train"]]
    assert counts.count(1) / len(counts) == 0.1
    assert sum(counts) / len(counts) > 3


def test_pairs_have_the_form_that_trl_calls_conversational():
    for pair in PAIRS["train"] + PAIRS["heldout"]:
        assert [turn["role"] for turn in pair["prompt"]] == ["system", "user"]
        assert all(set(turn) == {"role", "content"} for side in ("prompt", "chosen", "rejected") for turn in pair[side])


def test_too_few_customers_stop_the_tool(monkeypatch):
    monkeypatch.setitem(tool.LISTS.style_frames, "train", [("late", "Always the same.")])
    with pytest.raises(SystemExit, match="only 1 different"):
        tool.preference_rows("train")


# ---- the scoring in the notebook --------------------------------------------------------------------------------


def test_every_right_answer_passes_and_others_do_not():
    right = scorer()
    assert {row["check"] for row in HELDOUT} == CHECKS
    for row in HELDOUT:
        assert right(row, answer(row)), row
        assert right(row, f" {answer(row)}\n"), row
        for wrong in ("", "none of these", answer(row)[:-1] if row["check"] != "prefix" else answer(row)[1:]):
            assert not right(row, wrong), (row, wrong)
        assert right(row, tool.UNKNOWN) == (answer(row) == tool.UNKNOWN)


@pytest.mark.parametrize(
    ("check", "expected", "given", "passes"),
    [
        ("exact", "none", "None", False),
        ("exact", "74", "74.", False),
        ("prefix", "I must not.", "I must not. Ask a doctor.", True),
        ("prefix", "I must not.", "Sorry, I must not.", False),
        ("contains", ["Ahoy", "tent"], "The tent. Ahoy", True),
        ("contains", ["Ahoy", "tent"], "Ahoy", False),
        ("record", "item=tent;number=5;", "number=5;item=tent;", True),
        ("record", "item=tent;number=5;", "item=tent;number=5", False),
        ("record", "item=tent;number=5;", ";item=tent;number=5", False),
        ("record", "item=tent;number=5;", "item=tent;number=5;item=tent;", False),
        ("record", "item=tent;number=5;", "item=tent;number=6;", False),
    ],
)
def test_scoring(check, expected, given, passes):
    assert scorer()({"check": check, "expected": expected}, given) is passes
