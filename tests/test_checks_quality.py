"""Each check finds what was planted among ordinary rows and nothing else; ordinary rows have no findings."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftlab.checks import damage, quality
from ftlab.checks.labels import label_repairs, label_table
from ftlab.checks.quality import find_quality_problems
from ftlab.data.findings import Row, codes
from ftlab.data.schema import check_chat
from ftlab.models import data_folder

CODES = codes("quality") | codes("labels") | codes("damage")
QUEUES = ("billing", "logistics", "workshop")
SYSTEM = "Triage the ticket."
THINGS = ("toaster", "lamp", "kettle", "sofa", "mirror", "freezer", "wardrobe")


def turns(user, answer, system=SYSTEM):
    start = [{"role": "system", "content": system}] if system is not None else []
    return [*start, {"role": "user", "content": user}, {"role": "assistant", "content": answer}]


def placed(conversations):
    return [Row({"messages": messages}, "f.jsonl", line) for line, messages in enumerate(conversations, 1)]


def codes(conversations):
    return {finding.code for finding in find_quality_problems(placed(conversations))}


def record(number):
    return {"queue": QUEUES[number % 3], "order_id": str(100000 + 7 * number) if number % 2 else None}


def user_text(number):
    return f"The {THINGS[number % 7]} of order {100000 + 7 * number} has not come and I would like to know why."


def json_rows(count=100):
    return [turns(user_text(n), json.dumps(record(n))) for n in range(count)]


def prose_rows(count=100):
    return [turns(user_text(n), f"I am sorry about order {n + 100}. We look into it today.") for n in range(count)]


# name: (ordinary rows, the answer or the conversation planted at line 51, code, field, words of the message)
PLANTED = {
    "other system": (json_rows, turns("Hi", "{}", "Sort it."), "system_drift", 0, '"Sort it."'),
    "system case": (json_rows, turns("Hi", "{}", "triage  the ticket."), "system_drift", 0, "letter case only"),
    "no system": (json_rows, turns("Hi", "{}", None), "missing_system", None, "unlike 100 of 101"),
    "empty object": (json_rows, "{}", "empty_answer", 2, '"{}"'),
    "dots": (prose_rows, " ... ", "empty_answer", 2, '"..."'),
    "invisible": (prose_rows, "\u200b", "empty_answer", 2, "drop the row"),
    "n/a": (prose_rows, "N/A", "placeholder_answer", 2, '"N/A"'),
    "todo": (prose_rows, "TODO", "placeholder_answer", 2, '"TODO"'),
    "insert": (prose_rows, "[Insert answer here]", "placeholder_answer", 2, "placeholder"),
    "lorem": (prose_rows, "Lorem ipsum dolor sit amet.", "placeholder_answer", 2, "placeholder"),
    "question": (prose_rows, turns("Where is it now?", "where is it  now?"), "placeholder_answer", 2, "repeats"),
    "todo inside": (json_rows, '{"queue": "TODO", "order_id": null}', "placeholder_answer", 2, 'queue is "TODO"'),
    "copied": (
        prose_rows, turns("Text: the sofa is red and old. Say it.", "The sofa is red and old."),
        "answer_in_prompt", 2, "word for word"),
    "cut object": (json_rows, '{"queue": "billing", "order', "answer_cut", 2, "a string of the JSON is open"),
    "cut list": (json_rows, '{"queue": [1, 2', "answer_cut", 2, "a list of the JSON is open"),
    "cut prose": (prose_rows, "I am sorry about the lamp. We look in", "answer_cut", 2, "nearly all others"),
    "cut fence": (prose_rows, "Here it is:\n```python\nprint(1).", "answer_cut", 2, "code fence"),
    "prose": (json_rows, "It is for billing.", "answer_not_json", 2, "unlike 100 of 101 answers"),
    "fenced": (json_rows, '```json\n{"queue": "billing"}\n```', "answer_not_json", 2, "in a code fence"),
    "single quotes": (json_rows, "{'queue': 'billing'}", "answer_not_json", 2, "at character 2"),
    "one key": (json_rows, '{"queue": "billing"}', "answer_keys_differ", 2, 'lacks "order_id"'),
    "three keys": (
        json_rows, '{"queue": "billing", "order_id": null, "x": 1}', "answer_keys_differ", 2, 'adds "x"'),
    "other order": (json_rows, '{"order_id": null, "queue": "billing"}', "answer_keys_differ", 2, "in the order"),
    "number": (json_rows, '{"queue": "billing", "order_id": 195925}', "answer_type_differs", 2, "a number where"),
    "capital": (json_rows, '{"queue": "Billing", "order_id": null}', "label_variant", 2, 'beside "billing"'),
    "typo": (json_rows, '{"queue": "biling", "order_id": null}', "label_variant", 2, 'beside "billing"'),
    "spaced": (json_rows, '{"queue": "billing ", "order_id": null}', "label_variant", 2, 'beside "billing"'),
    "null word": (json_rows, '{"queue": "billing", "order_id": "None"}', "label_variant", 2, 'beside "null"'),
    "rare": (json_rows, '{"queue": "hazards", "order_id": null}', "rare_label", 2, '"hazards" occurs 1 time(s)'),
    "long": (prose_rows, "I am sorry, and we look into it. " * 60, "length_outlier", 2, "robust z +"),
    "short": (prose_rows, "No.", "length_outlier", 2, "3 characters where"),
    "german": (
        prose_rows, "Es tut mir leid wegen der Lampe. Wir sehen heute nach.", "other_language", 2, "seems to be de"),
    "german question": (
        json_rows, turns("Wo bleibt denn mein Paket? Ich warte seit einer Woche darauf.", json.dumps(record(1))),
        "other_language", 1, "are en"),
    "mojibake": (
        prose_rows, "I am sorry about the caf\u00c3\u00a9 table. We look.", "mojibake", 2, 'had been "\u00e9"'),
    "quotes": (prose_rows, "I am sorry, we don\u00e2\u20ac\u2122t know.", "mojibake", 2, 'had been "\u2019t"'),
    "tag": (prose_rows, "I am sorry.<br/>We look into it today.", "html_residue", 2, '"<br/>"'),
    "entity": (prose_rows, "I am sorry &amp; we look into it today.", "html_residue", 2, '"&amp;"'),
    "doubled": (prose_rows, "I am sorry. We look.<|im_end|><|im_end|>.", "doubled_token", 2, "<|im_end|> stands"),
    "control": (prose_rows, "I am sorry.<|eot_id|> We look.", "control_token", 2, "<|eot_id|>, a control token"),
    "control in a question": (
        prose_rows, turns("Hello there<start_of_turn>model", "I am sorry. We look."), "control_token", 1,
        "<start_of_turn>"),
    "bidirectional": (
        prose_rows, "I am sorry \u202eabout\u202c it. We look.", "invisible_character", 2, "U+202C, U+202E"),
    "nan": (prose_rows, turns("nan", "I am sorry. We look into it today."), "placeholder_input", 1, '"nan"'),
    "noinput": (
        prose_rows, turns("Sum this up.\n\n<noinput>", "I am sorry. We look into it today."), "placeholder_input", 1,
        '"<noinput>"'),
    "open thought": (prose_rows, "<think>The lamp is late. So I", "thought_open", 2, "<think> begins"),
    "stray end": (
        prose_rows, "The lamp is late.</think> We look into it.", "thought_not_begun", 2, "write <think> before it"),
    "only a thought": (
        prose_rows, "<think>The lamp is late.</think>", "thought_without_answer", 2, "write the answer"),
    "no thought": (prose_rows, "<think>\n\n</think>\n\nWe look into it.", "empty_thought", 2, "not to think"),
    "other thought": (
        prose_rows, "<thinking>It is late.</thinking> We look.", "thought_form", 2, "<thinking> and </thinking>"),
    "trailing": (prose_rows, "I am sorry. We look into it today.\n", "trailing_space", 2, "1 blank(s)"),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTED)
def test_planted(name):
    ordinary, planted, code, turn, words = PLANTED[name]
    rows = ordinary()
    rows.insert(50, turns(user_text(50), planted) if isinstance(planted, str) else planted)
    found = find_quality_problems(placed(rows))
    hits = [finding for finding in found if finding.code == code]
    assert len(hits) == 1, found
    assert (hits[0].line, hits[0].file, hits[0].severity) == (51, "f.jsonl", CODES[code][0])
    assert hits[0].field == ("messages[0]" if turn is None else f"messages[{turn}].content")
    assert words in hits[0].message
    assert {finding.line for finding in found} == {51}


def test_every_code_is_planted_or_tested_here():
    others = {"many_systems", "same_answers", "nearly_same_answers"}
    assert {code for _, _, code, _, _ in PLANTED.values()} | others == set(CODES)


@pytest.mark.parametrize(
    "answer",
    [
        "I am sorry, the table at the CAF\u00c9\u00a0\u00bb is gone. \u201eHallo\u201c, \u00fcber \u00c4\u00d6\u00dc.",
        "I am sorry: 1 < 2 and a > b & c. We look into it today.",
        "I am sorry. Use `<br>` or\n```html\n<p>this</p>\n```\nWe look.",
        "I am sorry \U0001f622 about it. We look into it today \U0001f642",
        "I am sorry (we look into it today)",
        "Sure! Step one: [open] the box. Step two: {close} it.",
    ],
)
def test_ordinary_answers_have_no_findings(answer):
    rows = prose_rows()
    rows.insert(50, turns(user_text(50), answer))
    assert find_quality_problems(placed(rows)) == []


@pytest.mark.parametrize("name", ["train", "validation", "test", "hard", "other_shop"])
def test_hardly_a_false_alarm_on_the_tickets(name):
    rows = check_chat(data_folder() / "support_triage" / f"{name}.jsonl").placed
    found = find_quality_problems(rows)
    assert {finding.code for finding in found} <= {"rare_label"}
    assert len(found) <= 3
    if name == "train":
        assert found == []


@pytest.mark.parametrize("rows", [[], json_rows(1), json_rows(3), prose_rows(1)])
def test_few_rows(rows):
    assert find_quality_problems(placed(rows)) == []


def test_many_system_prompts_are_one_finding():
    rows = [turns(user_text(n), json.dumps(record(n)), f"You are helper {n}.") for n in range(50)]
    found = find_quality_problems(placed(rows))
    assert [(each.code, each.severity, each.line) for each in found] == [("many_systems", "info", None)]
    assert "50 different" in found[0].message


def test_what_many_rows_do_is_named_once():
    rows = [turns(user_text(n), f"<p>I am sorry about the {THINGS[n % 7]}.</p>") for n in range(50)]
    found = [finding for finding in find_quality_problems(placed(rows)) if finding.code == "html_residue"]
    assert [(finding.line, finding.severity) for finding in found] == [(None, "info")]
    assert "in 50 places, the first is line 1:" in found[0].message


def test_a_frequent_none_is_a_label():
    rows = [turns(user_text(n), ("none", "refund")[n % 2]) for n in range(100)]
    assert find_quality_problems(placed(rows)) == []


def test_labels_that_are_copied_from_the_prompt_are_no_typos():
    rows = [turns(f"My order: {word}", word) for word in ["table"] * 100 + ["tables"]]
    assert "label_variant" not in codes(rows)
    assert "label_variant" in codes([*rows[:-1], turns("My order", "tables")])


@pytest.mark.parametrize(
    ("a", "b"),
    [("typical", "atypical"), ("model-10", "model-11"), ("P1", "P2"), ("cat", "car"), ("relevant", "irrelevant")],
)
def test_two_labels_that_look_alike(a, b):
    rows = [turns("My order", word) for word in [a] * 100 + [b]]
    assert "label_variant" not in codes(rows)


def test_two_languages_are_meant():
    german = "Wo bleibt denn mein Paket? Ich warte seit einer Woche darauf."
    rows = [turns(german if n % 3 else user_text(n), json.dumps(record(n))) for n in range(90)]
    assert find_quality_problems(placed(rows)) == []


def test_planted_languages_among_tickets():
    rows = check_chat(data_folder() / "support_triage" / "train.jsonl").placed[:600]
    foreign = [
        "Mein Stuhl ist kaputt, bitte schicken Sie mir einen neuen.",
        "Le grille-pain fume et je veux un remboursement. Merci.",
        "La l\u00e1mpara lleg\u00f3 rota y quiero que me devuelvan el dinero.",
        "Mijn pakket is niet aangekomen, kunnen jullie dat nakijken?",
        "\u6211\u7684\u5305\u88f9\u5728\u54ea\u91cc\uff1f\u6211\u7b49\u4e86\u4e24\u4e2a\u661f\u671f\u4e86\u3002",
    ]
    spots = random.Random(0).sample(range(600), len(foreign))
    for spot, text in zip(spots, foreign, strict=True):
        messages = rows[spot].data["messages"]
        rows[spot].data["messages"] = [messages[0], {"role": "user", "content": text}, messages[2]]
    found = list(quality.find_other_languages(rows))
    assert sorted(finding.line for finding in found) == sorted(rows[spot].line for spot in spots)


def test_excerpts_hide_secrets():
    rows = json_rows()
    rows.insert(50, turns("Hi", "{}", "My password is Tr0ub4dor&3, keep it"))
    assert "Tr0ub4dor&3" not in str(find_quality_problems(placed(rows)))


def test_weight_zero_turns_are_not_judged():
    rows = prose_rows()
    first = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "TODO", "weight": 0}]
    rows[50] = [rows[50][0], *first, *rows[50][1:]]
    assert "placeholder_answer" not in codes(rows)


def test_label_table_counts():
    rows = placed([*json_rows(10), turns("Hi", "none of it")])
    table = label_table(rows, "queue")
    assert table.counts == {"billing": 4, "logistics": 3, "workshop": 3}
    assert (table.rows, table.missing) == (11, 1)
    assert 0.99 < table.balance < 1
    assert "<table" in table._repr_html_()
    assert label_table(rows, "order_id").counts["null"] == 5
    assert label_table(rows).counts["none of it"] == 1


def test_label_table_of_lists_and_inner_fields():
    answers = ['{"tags": ["a", "b"], "x": {"y": "null"}}', '{"tags": ["a"], "x": {"y": null}}']
    rows = placed([turns("Hi", answer) for answer in answers])
    assert label_table(rows, "tags[]").counts == {"a": 2, "b": 1}
    assert label_table(rows, "x.y").counts == {'"null"': 1, "null": 1}


@pytest.mark.parametrize("style", [{}, {"indent": 2}, {"separators": (",", ":")}])
def test_repairs_touch_the_label_only(style):
    rows = json_rows()
    bad = {"note": "Billing", "queue": "Billing", "order_id": None}
    rows = [turns(m[1]["content"], json.dumps({"note": f"n{n}", **json.loads(m[2]["content"])}, **style))
            for n, m in enumerate(rows)]
    rows.insert(50, turns("Hi", json.dumps(bad, **style)))
    (row, field, before, after), = label_repairs(placed(rows))
    assert (row.line, field, before) == (51, "messages[2].content", json.dumps(bad, **style))
    assert after == json.dumps(bad | {"queue": "billing"}, **style)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
ANSWERS = TEXT | st.sampled_from(["billing", "Billing", '{"a": 1}', '{"a": [', "[1]", "null", "TODO", "{}", "```"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(TEXT, ANSWERS, st.none() | st.sampled_from(["s", "S ", "t"])), max_size=40))
def test_any_text_gives_findings_that_point_to_it(conversations):
    rows = placed([turns(user, answer, system) for user, answer, system in conversations])
    for finding in find_quality_problems(rows):
        assert finding.code in CODES
        assert finding.line is None or 1 <= finding.line <= len(rows)
    for _, _, before, after in label_repairs(rows):
        assert before != after


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
@pytest.mark.parametrize("text", ["caf\u00e9", "na\u00efve \u20ac5 \u2013 \u201cyes\u201d", "\U0001f600", "Fu\u00df"])
def test_common_mojibake(text, encoding):
    damaged = text.encode("utf-8").decode(encoding, "surrogateescape")
    damaged = "".join(chr(ord(c) - 0xDC00) if 0xDC80 <= ord(c) <= 0xDCFF else c for c in damaged)
    assert damage.mend_mojibake(damaged) == text
    assert damage.mend_mojibake(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "Ça coûte 5 € à Noël\u00a0: « oui », l’été où l'œuvre naît.",
        "„Hallo“, über ÄÖÜ, Straße – 5 €, 20 °C, ½ ©",
        "IL ÉTAIT À L’HÔTEL «ÉTÉ» – ÂGE ÎLE",
        "São Paulo, maçã, coração; mañana: ¿qué? ¡Sí!",
        "Zażółć gęślą jaźń; Ștefan; İstanbul’da güş; Šárka",
        "привет, «мир» – Ελληνικά",
        "हिन्दी में, தமிழ், مُحَمّد, שָׁלוֹם",
        "日本語テスト、我的包裹, ฉันรัก",
    ],
)  # fmt: skip
def test_sound_text_of_other_languages_is_no_mojibake(text):
    assert damage.mend_mojibake(text) == text
    assert damage.find_damage(placed([turns(text, text)])) == []


@pytest.mark.parametrize(
    "text",
    [
        "می\u200cخواهم",  # Persian, a joiner within a word
        "ශ්\u200dරී क्\u200dष",  # Sinhala, Hindi
        "👨\u200d👩\u200d👧 ❤\ufe0f\u200d🔥 1\ufe0f\u20e3",
        "🏴" + "".join(chr(0xE0000 + ord(char)) for char in "gbeng") + "\U000e007f",  # a flag
        "שלום!\u200f (OK)\u200e",
        "הזמנה \u2066AB-12\u2069 בדרך",  # Hebrew around an order's number
        "ខ្ញុំ\u200bចង់",  # Khmer, a place where a line may break
        "one\ttwo\nthree\u00a0four",
    ],
)  # fmt: skip
def test_joiners_where_a_script_or_an_emoji_needs_them_are_no_alarm(text):
    assert damage.find_damage(placed([turns(text, text)])) == []


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("re\u200bfund", "U+200B"),
        ("BOM \ufeffinside", "U+FEFF"),
        ("wa\u00adter", "U+00AD"),
        ("a\u200cb and c\u200dd", "U+200C, U+200D"),
        ("\u2066left\u2069", "U+2066, U+2069"),
        ("\u05e9\u05dc\u05d5\u05dd\u202e", "U+202E"),
        ("ok" + "".join(chr(0xE0000 + ord(char)) for char in "hi"), "U+E0068, U+E0069"),
        ("x\ufe01\U000e0120", "U+E0120"),
        ("a colour \x1b[31m code", "U+001B"),
    ],
)
def test_unseen_characters_are_named(text, points):
    (finding,) = damage.find_damage(placed([turns(text, "Yes.")]))
    assert (finding.code, finding.field) == ("invisible_character", "messages[1].content")
    assert f": {points};" in finding.message


@pytest.mark.parametrize(
    "token",
    ["<|im_start|>", "<|eot_id|>", "<end_of_turn>", "[INST]", "[/INST]", "<s>", "<|end|>", "<|channel|>",
     "<|endoftext|>", "<\uff5cUser\uff5c>", "<<SYS>>", "[TOOL_CALLS]", "<|START_OF_TURN_TOKEN|>", "<turn|>"],
)  # fmt: skip
def test_control_tokens_of_the_common_templates(token):
    rows = placed([turns(f"What is {token} for?", "It marks a turn.")])
    assert [finding.code for finding in find_quality_problems(rows)] == ["control_token"]
    assert find_quality_problems(rows, control_tokens=False) == []


@pytest.mark.parametrize("text", ["a <| b |> c", "x = y |> f <| z", "[inst] and [1]", "5 < 6 > 4", "`a <b> c`", "<|>"])
def test_what_only_looks_like_a_control_token(text):
    assert "control_token" not in {finding.code for finding in damage.find_damage(placed([turns(text, text)]))}


THOUGHTS = {
    "<think>\n2 + 2\n</think>\n\n4": [],
    "<think>a</think>b<think>c</think>d": [],
    "Wrap it in `<think>` or\n```\n</think>\n```": [],
    "<think>\n\n</think>\n\n4": ["empty_thought"],
    "<think>\n\n</think>\n\n": ["thought_without_answer"],
    "<think>2 + 2": ["thought_open"],
    "<think>a</think>b<think>c": ["thought_open"],
    "2 + 2</think>4": ["thought_not_begun"],
    "<reasoning>2 + 2</think>4": ["thought_open"],
    "[THINK]2 + 2[/THINK]4": ["thought_form"],
    "[THINK]2 + 2": ["thought_open"],
    "<|channel|>analysis<|message|>2 + 2<|end|><|start|>assistant<|channel|>final<|message|>4": ["thought_form"],
    "<|channel|>analysis<|message|>2 + 2<|end|>": ["thought_open"],
    "<|channel|>final<|message|>4": [],
}


@pytest.mark.parametrize("answer", THOUGHTS)
def test_thoughts(answer):
    rows = placed([*prose_rows(50), turns("What is 2 + 2?", answer)])
    found = [finding for finding in damage.find_damage(rows, control_tokens=False) if finding.code != "trailing_space"]
    assert [finding.code for finding in found] == THOUGHTS[answer]
    assert all((finding.line, finding.field) == (51, "messages[2].content") for finding in found)
    asked = damage.find_damage(placed([turns(answer, "Yes.")]), control_tokens=False)  # a user may write so
    assert {finding.code for finding in asked} <= {"trailing_space"}


def test_a_thought_before_a_call_of_tools_needs_no_answer():
    call = {"role": "assistant", "content": "<think>Look it up.</think>", "tool_calls": [{"function": {"name": "f"}}]}
    assert damage.find_damage(placed([[{"role": "user", "content": "Hi"}, call]])) == []


def pairs(*answers):
    rejected = [[{"role": "assistant", "content": bad}] for _, bad in answers]
    conversations = [turns("Offer tea.", good) for good, _ in answers]
    return [Row(row.data | {"rejected": bad}, row.file, row.line)
            for row, bad in zip(placed(conversations), rejected, strict=True)]  # fmt: skip


def test_a_pair_of_one_answer_teaches_nothing():
    rows = pairs(("Tea?", "Tea?"), ("Tea?", "No."), ("Tea?", "tea?  "), ("Tea?", "Tea!"), ("Tea\u200b?", "Tea?"))
    found = list(quality.find_pair_problems(rows))
    assert [(finding.line, finding.code, finding.severity) for finding in found] == [
        (1, "same_answers", "warning"),
        (3, "nearly_same_answers", "info"),
        (5, "nearly_same_answers", "info"),
    ]
    assert {finding.field for finding in found} == {"rejected[0].content"}


def test_damage_is_looked_for_in_a_rejected_answer_too():
    found = damage.find_damage(pairs(("Tea?", "Th\u00c3\u00a9? "), ("Tea?", "<think>no")))
    assert [(finding.code, finding.line, finding.field) for finding in found] == [
        ("mojibake", 1, "rejected[0].content"),
        ("trailing_space", 1, "rejected[0].content"),
        ("thought_open", 2, "rejected[0].content"),
    ]


@pytest.mark.parametrize(
    "text", ["nan", "None", "null", "<noinput>", "N/A", "[insert name]", "TODO", "Answer this.\n\nnan", "undefined",
             "Dear [insert name], where is it?", "(no input)", "[Enter your question here]"],
)  # fmt: skip
def test_inputs_that_were_never_written(text):
    found = list(quality.find_input_problems(placed([turns(text, "Yes, of course.")])))
    assert [finding.field for finding in found] == ["messages[1].content"]


@pytest.mark.parametrize(
    "text",
    ["None of them came.", "What does nan mean?", "Is null the same as None?", "What is a placeholder", "Nancy",
     "Todos?", "Write an answer to this letter", "Insert a row into the table", "Your name?", "a [1] b",
     "Nil by mouth\n\nWhy?"],
)  # fmt: skip
def test_inputs_that_only_speak_of_them(text):
    assert list(quality.find_input_problems(placed([turns(text, "Yes.")]))) == []


def test_none_as_a_reply_to_a_question_is_an_input():
    messages = turns("I cook for ten.", "Any allergies?") + turns("None", "Good.", None)
    assert list(quality.find_input_problems(placed([messages]))) == []


@pytest.mark.parametrize("field", ["", "label", "queue"])
def test_label_table_of_one_word_answers(field):
    rows = [turns("Hi", word) for word in ["billing", "billing", "logistics"]]
    table = label_table(placed(rows), field)
    assert (table.counts, table.missing) == ({"billing": 2, "logistics": 1}, 0)
    assert label_table([{"messages": messages} for messages in rows], field) == table  # as read_chat gives them
