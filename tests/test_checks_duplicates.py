"""Planted repeats are found and nothing else; an order number is no contradiction; big clusters stay cheap."""

import json
import os
import random
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftlab.checks.duplicates import exact_repeats, find_duplicates, find_leaks
from ftlab.data import similar
from ftlab.data.findings import Row, codes
from ftlab.data.schema import check_chat
from ftlab.data.similar import clusters, normalise, split_words
from ftlab.errors import DataError

ROOT = Path(__file__).parents[1]
RECORD = {"queue": "logistics", "urgency": "P3", "product": None, "order_id": None, "tone": "neutral"}
LATE = "Hello, my parcel with order 195925 has not arrived after nine days. Where is it now?"


def chat(text, answer="Yes.", system=None):
    answer = json.dumps(answer) if isinstance(answer, dict) else answer
    turns = [{"role": "user", "content": text}, {"role": "assistant", "content": answer}]
    return {"messages": ([{"role": "system", "content": system}] if system else []) + turns}


def place(*chats, file="train.jsonl"):
    return [Row(data, file, number) for number, data in enumerate(chats, 1)]


def found(*chats, **options):
    """(code, line) of each finding."""
    return [(finding.code, finding.line) for finding in find_duplicates(place(*chats), **options)]


def to_drop(rows):
    return [row for row, _ in exact_repeats(rows)]


def label(**values):
    return RECORD | values


# normalisation


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("Where  is\tit?\n", "where is it?"),
        ("ＦＵＬＬ width ﬁne", "full width fine"),
        ("cafe\u0301", "caf\u00e9"),
        ("Straße", "STRASSE"),
        ("non\u00a0breaking", "non breaking"),
        ("re\u200bfund\ufeff", "refund"),
    ],
)
def test_normalise_makes_equal_what_looks_equal(text, same):
    assert normalise(text) == normalise(same)


def test_normalise_keeps_what_differs():
    assert len({normalise(text) for text in ("10 days", "1 0 days", "10 day", "10, days", "ten days")}) == 5
    assert normalise("It IS  late", fold_case=False) == "It IS late"


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_normalise_twice_is_normalise_once(text):
    once = normalise(text)
    assert normalise(once) == once
    assert once == " ".join(once.split())


# exact duplicates


def test_exact_duplicates_name_the_first_and_only_the_first_is_kept():
    rows = place(chat("Where is it?"), chat("A lamp?"), chat("Where is it?") | {"id": "7"}, chat("Where is it?"))
    findings = find_duplicates(rows)
    assert [(f.code, f.line, f.severity, f.field) for f in findings] == [
        ("exact_duplicate", 3, "warning", "messages"),
        ("exact_duplicate", 4, "warning", "messages"),
    ]
    assert all("line 1 " in finding.message for finding in findings)
    assert [row.line for row in to_drop(rows)] == [3, 4]
    (other,) = find_duplicates(rows[:2] + place(chat("Where is it?"), file="more.jsonl"))
    assert (other.file, other.line, "train.jsonl:1" in other.message) == ("more.jsonl", 1, True)


@pytest.mark.parametrize(
    "other",
    [
        chat("where is it?"),
        chat("Where is  it?"),
        chat("Where is it?", "yes."),
        chat("Where is it?", system="Triage."),
        chat("Where is it?") | {"tools": [{"name": "f"}]},
        {"messages": [chat("Where is it?")["messages"][0], {"role": "assistant", "content": "Yes.", "weight": 1}]},
    ],
)
def test_only_what_is_the_same_letter_for_letter_is_dropped(other):
    rows = place(chat("Where is it?"), other)
    assert to_drop(rows) == []
    assert [finding.code for finding in find_duplicates(rows)] == ["near_duplicate"]


# contradictions


def test_a_contradiction_names_the_lines_and_the_fields():
    rows = place(chat(LATE, label(tone="neutral")), chat("A lamp?"), chat(LATE, label(tone="annoyed", urgency="P2")))
    (finding,) = find_duplicates(rows)
    assert (finding.code, finding.line, finding.field) == ("contradiction", 3, "messages[1].content")
    for part in ("line 1 ", 'tone: "neutral" there, "annoyed" here', 'urgency: "P3" there, "P2" here'):
        assert part in finding.message
    assert "queue" not in finding.message
    assert to_drop(rows) == []


def test_the_rarer_answer_is_the_one_reported_and_repeats_of_it_are_exact_duplicates():
    spaced = [LATE.replace(" ", " " * width) for width in (1, 2, 3)]
    chats = [chat(LATE, label(tone="furious")), *(chat(text, label()) for text in spaced)]
    findings = find_duplicates(place(*chats, chats[0]))
    by_line = {finding.line: finding for finding in findings}
    assert by_line[1].code == "contradiction"
    assert "line 2 " in by_line[1].message
    assert by_line[5].code == "exact_duplicate"
    assert {by_line[3].code, by_line[4].code} == {"near_duplicate"}


@pytest.mark.parametrize(
    ("first", "second", "path"),
    [
        ('{"a": {"b": 1}}', '{"a": {"b": 2}}', "a.b: 1 there, 2 here"),
        ('{"a": 1}', '{"a": "1"}', 'a: 1 there, "1" here'),
        ('{"a": 1}', '{"a": 1, "b": null}', "b: nothing there, null here"),
        ("Yes.", "No.", 'text: "yes." there, "no." here'),
        ('{"a": 1', '{"a": 2', "text: "),
    ],
)
def test_what_differs_is_said(first, second, path):
    (finding,) = find_duplicates(place(chat(LATE, first), chat(LATE, second)))
    assert finding.code == "contradiction"
    assert path in finding.message


PARCEL = LATE.replace("parcel", "pacrel")
OTHER = LATE.replace("195925", "331807")
FEW, MANY = "The shop took 3 payments for it.", "The shop took 9 payments for it."
A104, A377 = "It is order A-104, nothing came.", "It is order A-377, nothing came."
KETTLE, KETTEL = "My kettle is leaking all over.", "My kettel is leaking all over."
LONG = [f"word{'abcdefghijklmnopqrstuvwxyz'[n % 26]}{'aeiou'[n // 26 % 5]}x" for n in range(260)]


def thread(middle, last):
    turns = [("user", "Hello there, can you help?"), ("assistant", middle), ("user", "Thanks, do so."),
             ("assistant", last)]  # fmt: skip
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


# what the second of two rows is to the first
TWO = {
    "another system turn may ask for another answer": (
        chat(LATE, "logistics", "Name the queue."), chat(LATE, "neutral", "Name the tone."), set()),
    "also where one word is mistyped": (
        chat(LATE, "logistics", "Name the queue."), chat(PARCEL, "neutral", "Name the tone."), set()),
    "the system turn in other letters": (
        chat(LATE, "logistics", "Name  the QUEUE."), chat(LATE, "x", "Name the queue."), {"contradiction"}),
    "a count is no identifier": (chat(FEW, label(urgency="P3")), chat(MANY, label(urgency="P2")), set()),
    "a value copied into the answer is one": (
        chat(A104, label(order_id="A-104")), chat(A377, label(order_id="A-377")), set()),
    "and beside it the labels are compared": (
        chat(A104, label(order_id="A-104")), chat(A377, label(order_id="A-377", urgency="P2")),
        {"near_contradiction"}),
    "a missing copy": (chat(LATE, label(order_id="195925")), chat(OTHER, label()), {"near_contradiction"}),
    "a free answer that repeats the number": (
        chat(LATE, "Order 195925 is late."), chat(OTHER, "Order 331807 is late."), {"near_duplicate"}),
    "a free answer that says something else": (
        chat(LATE, "Order 195925 is late."), chat(OTHER, "Order 331807 is lost."), {"near_contradiction"}),
    "a typo copied into the answer": (
        chat(KETTLE, label(product="kettle")), chat(KETTEL, label(product="kettel")), set()),
    "a typo mended in the answer": (
        chat(KETTLE, label(product="kettle")), chat(KETTEL, label(product="kettle")), set()),
    "a typo and a product that is lost": (
        chat(KETTLE, label(product="kettle")), chat(KETTEL, label(product=None)), {"near_contradiction"}),
    "a typo in a long input is seen by similarity": (
        chat(" ".join(LONG), label()), chat(" ".join([*LONG[:100], LONG[100] + "q", *LONG[101:]]),
                                            label(tone="furious")), {"near_contradiction"}),
    "the last answer is compared": (thread("Yes.", "Done."), thread("Yes.", "Failed."), {"contradiction"}),
    "earlier turns belong to the input": (thread("Certainly not today.", "Done."), thread("Yes.", "Failed."), set()),
    "the order of keys": (
        chat("Where is it?"),
        {"messages": [dict(reversed(turn.items())) for turn in chat("Where is it?")["messages"]]},
        {"exact_duplicate"}),
    "JSON written otherwise": (
        chat(LATE, '{"a": 1, "b": {"c": 2}}'), chat(LATE, '{"b":{"c":2},"a":1}'), {"near_duplicate"}),
    "an answer in other spaces": (
        chat(LATE, "The parcel is late."), chat(LATE, "the parcel  is late."), {"near_duplicate"}),
}  # fmt: skip


@pytest.mark.parametrize("what", TWO)
def test_what_a_row_is_to_another(what):
    first, second, codes = TWO[what]
    assert {code for code, line in found(first, second) if line == 2} == codes
    assert {line for _, line in found(first, second)} <= {2}


NEAR = {
    "case": LATE.upper(),
    "spacing": LATE.replace("has not", "hasnot"),
    "punctuation": LATE.replace(".", "!!!").replace(",", ""),
    "typo: swapped": LATE.replace("parcel", "pacrel"),
    "typo: missing": LATE.replace("arrived", "arived"),
    "typo: extra": LATE.replace("order", "orrder"),
    "typo: other": LATE.replace("where", "whete").replace("Hello", "Hallo"),
    "order number": LATE.replace("195925", "331807"),
    "order number and typo": LATE.replace("195925", "331807").replace("parcel", "parccel"),
}


@pytest.mark.parametrize("how", NEAR)
def test_nearly_the_same_input_with_another_label_is_a_near_contradiction(how):
    order = "331807" if "331807" in NEAR[how] else "195925"
    first, same = chat(LATE, label(order_id="195925")), chat(NEAR[how], label(order_id=order))
    other = chat(NEAR[how], label(order_id=order, urgency="P1"))
    (finding,) = find_duplicates(place(first, other))
    assert (finding.code, finding.line) == ("near_contradiction", 2)
    assert 'urgency: "P3" there, "P1" here' in finding.message
    assert "order_id" not in finding.message
    assert not {code for code, _ in found(first, same)} & {"contradiction", "near_contradiction"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("nine days", "three days"),
        ("parcel", "lamp"),
        ("Hello", "Hello Sam"),
        ("has not", "has now"),
        ("after nine days", "after 12 days"),
        ("order", "other"),
        ("after", "rafter"),
        ("model hdmi21", "model hdmi20"),
    ],
)
def test_another_word_or_count_makes_another_ticket(old, new):
    """Another or one more word, a short word, a first letter, a number that says something: the labels may differ."""
    text = f"{LATE} It is model hdmi21."
    assert old in text
    codes = {code for code, _ in found(chat(text, label()), chat(text.replace(old, new), label(urgency="P1")))}
    assert codes <= {"near_duplicate"}


@pytest.mark.parametrize("text", ["", " ", "\u200b"])
def test_rows_without_an_input_do_not_contradict(text):
    assert found(chat(text, "a"), chat(text, "b"), chat(text, "a")) == [("exact_duplicate", 3)]
    only_answers = [{"messages": [{"role": "assistant", "content": answer}]} for answer in "ab"]
    assert found(*only_answers) == []


# near duplicates, against a key


def vocabulary(seed, size=4000):
    letters = random.Random(seed)
    return ["".join(letters.choices("abcdefghijklmnopqrstuvwxyz", k=letters.randint(3, 9))) for _ in range(size)]


def similarity(a, b):
    """The definition, written out: shared words and word pairs over all of them."""
    a, b = ({*words, *pairwise(words)} for words in (a.lower().split(), b.lower().split()))
    return len(a & b) / len(a | b)


def planted(seed, documents=1500, pairs=120, length=30):
    """Texts of random words; of the last `pairs`, each is an earlier one with one or two words changed."""
    rng, words = random.Random(seed), vocabulary(seed)
    texts = [" ".join(rng.choices(words, k=length)) for _ in range(documents)]
    key = {}
    for original in rng.sample(range(documents), pairs):
        changed = texts[original].split()
        for spot in rng.sample(range(length), rng.choice((1, 2))):
            changed[spot] = rng.choice(words)
        key[len(texts)] = original
        texts.append(" ".join(changed))
    return texts, key


@pytest.mark.parametrize("seed", [1, 2])
def test_planted_near_duplicates_are_found_and_nothing_else(seed):
    texts, key = planted(seed)
    within = {copy for copy, original in key.items() if similarity(texts[copy], texts[original]) >= 0.8}
    assert len(within) >= 0.9 * len(key)  # a text that repeats a word may fall below
    findings = find_duplicates(place(*map(chat, texts)))
    assert {finding.code for finding in findings} == {"near_duplicate"}
    assert {finding.line - 1 for finding in findings} <= set(key)  # precision 1
    assert len({finding.line - 1 for finding in findings} & within) >= 0.98 * len(within)  # recall
    for finding in findings:
        original = key[finding.line - 1]
        assert f"line {original + 1} " in finding.message
        assert f"{similarity(texts[finding.line - 1], texts[original]):.2f}" in finding.message


def test_planted_leaks_are_found_and_nothing_else():
    rng, (texts, key) = random.Random(3), planted(3, documents=900, pairs=90)
    words = vocabulary(4)
    train, evaluation, expected = texts[:900], [], {}
    for number, (copy, original) in enumerate(key.items()):
        kind = ("leak_exact", "leak_near", "leak_contained")[number % 3]
        if kind == "leak_contained":  # the evaluation input inside a longer training text
            around = rng.choices(words, k=40)
            evaluation.append(train[original])
            train[original] = " ".join([*around[:25], train[original], *around[25:]])
        else:
            evaluation.append(train[original].upper() if kind == "leak_exact" else texts[copy])
            if kind == "leak_near" and similarity(train[original], texts[copy]) < 0.8:
                kind = "leak_contained"  # still most of its word sequences
        expected[original + 1] = (kind, number + 1)
    evaluation += [" ".join(rng.choices(words, k=30)) for _ in range(100)]
    findings = find_leaks(place(*map(chat, train)), place(*map(chat, evaluation), file="test.jsonl"))
    seen = {finding.line: finding for finding in findings}
    assert len(seen) == len(findings)
    assert set(seen) <= set(expected)
    assert len(seen) >= 0.98 * len(expected)
    for line, finding in seen.items():
        kind, other = expected[line]
        assert f"test.jsonl:{other} " in finding.message.replace(",", " ")
        assert finding.file == "train.jsonl"
        assert finding.code == kind or kind != "leak_exact"
    for kind in ("leak_exact", "leak_near", "leak_contained"):
        assert sum(finding.code == kind for finding in findings) >= 25


WORDS = st.lists(st.sampled_from("red blue green lamp chair table late lost".split()), min_size=1, max_size=9)


@settings(max_examples=60, deadline=None)
@given(st.lists(WORDS.map(" ".join), max_size=12, unique=True), st.sampled_from([0.5, 0.8, 1.0]))
def test_every_near_duplicate_is_as_similar_as_it_says_and_the_plain_search_agrees(texts, threshold):
    findings = find_duplicates(place(*map(chat, texts)), threshold=threshold)
    near = {finding.line - 1 for finding in findings}
    allowed = {i for i in range(len(texts)) if any(similarity(texts[i], texts[j]) >= threshold for j in range(i))}
    sure = {i for i in range(len(texts)) if any(similarity(texts[i], texts[j]) >= 0.95 for j in range(i))}
    assert sure <= near <= allowed


def test_the_threshold_moves_what_counts_and_must_make_sense():
    words = vocabulary(5)[:30]
    changed = " ".join([*words[:12], "zzz", *words[13:20], "qqq", *words[21:]])
    other = similarity(" ".join(words), changed)
    assert 0.8 < other < 0.9
    assert found(chat(" ".join(words)), chat(changed)) == [("near_duplicate", 2)]
    assert found(chat(" ".join(words)), chat(changed), threshold=0.9) == []
    for bad in (0, -1, 1.1, "0.8", None, True, float("nan")):
        with pytest.raises(DataError, match="threshold"):
            find_duplicates([], threshold=bad)


CHINESE = "我的包裹已经九天了还没有到请告诉我它现在在哪里谢谢"
JAPANESE = "先週の月曜日に注文した荷物がまだ届きません。いつ届くか教えてください。とても急いでいます。"
THAI = "สวัสดีค่ะ ฉันสั่งซื้อโคมไฟสีแดงเมื่อสัปดาห์ที่แล้ว แต่ยังไม่ได้รับสินค้าเลย กรุณาตรวจสอบให้ด้วย"


@pytest.mark.parametrize(
    ("text", "old", "new", "other"),
    [
        (CHINESE, "谢谢", "多谢", "请问你们店里还有这种红色的台灯卖吗我想买两个"),
        (THAI, "สีแดง", "สีดำ", "ร้านของคุณเปิดกี่โมงในวันอาทิตย์ และมีที่จอดรถสำหรับลูกค้าหรือไม่"),
        (JAPANESE, "急いで", "困って", "このランプは赤い色もありますか"),
    ],
)
def test_scripts_without_spaces_are_compared_by_letters(text, old, new, other):
    assert found(chat(text), chat(text.replace(old, new))) == [("near_duplicate", 2)]
    assert found(chat(text), chat(other)) == []


@pytest.mark.parametrize(
    ("short", "text"),
    [
        ("ฉันสั่งซื้อโคมไฟ", THAI),  # "I ordered a lamp": seven words or fewer stand in other texts by chance
        ("荷物がまだ届きません", JAPANESE),
    ],
)
def test_a_few_words_without_spaces_are_no_leak(short, text):
    assert find_leaks(place(chat(text)), place(chat(short), file="test.jsonl")) == []
    (leak,) = find_leaks(place(chat(f"{text}{text[:9]}{CHINESE}")), place(chat(text), file="test.jsonl"))
    assert leak.code == "leak_contained"


# two texts that differ in the marks of one word only, which makes it another word: fruit and flower; who and what ...
MARKS = {
    "Hindi": ("मुझे फल दीजिए", "मुझे फूल दीजिए"),
    "Marathi": ("ती बोलते", "ती बोलती"),
    "Tamil": ("எனக்கு கல் வேண்டும்", "எனக்கு கால் வேண்டும்"),
    "Bengali": ("আমার দিন চাই", "আমার দান চাই"),
    "Arabic": ("مَا مَعْنَى عِلْم", "مَا مَعْنَى عَلَم"),
    "Hebrew": ("מה זה סֵפֶר", "מה זה סַפָּר"),
    "Thai": ("นี่คือเสือ", "นี่คือเสื้อ"),
    "Latin": ("what is a m\u0331r", "what is a m\u0332r"),
}


@pytest.mark.parametrize("script", MARKS)
def test_a_vowel_sign_or_a_point_makes_another_word(script):
    one, other = MARKS[script]
    assert found(chat(one, label()), chat(other, label(tone="furious"))) == []
    assert find_leaks(place(chat(one)), place(chat(other), file="test.jsonl")) == []
    spaced = one.replace(" ", "  ")
    assert [code for code, _ in found(chat(one, label()), chat(spaced + "!", label(tone="furious")))] == [
        "near_contradiction"
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("हिन्दी में काम", ["हिन्दी", "में", "काम"]),
        ("தமிழ் மொழி", ["தமிழ்", "மொழி"]),
        ("كَتَبَ الوَلَدُ", ["كَتَبَ", "الوَلَدُ"]),
        ("می\u200cخواهم بروم", ["میخواهم", "بروم"]),  # a joiner does not end a word
        ("ශ්\u200dරී ලංකා", ["ශ්රී", "ලංකා"]),
        ("我的包裹", ["我", "的", "包", "裹"]),
        ("สินค้า", ["สินค้", "นค้า"]),
        ("ฉันรัก", ["ฉันรั", "นรัก"]),
        ("C++ and C# or c?", ["c", "+", "+", "and", "c#", "or", "c"]),
        ("3 - 5, well-known", ["3", "-", "5", "well", "known"]),
        ("caf\u00e9 \U0001f642 1/2", ["caf\u00e9", "\U0001f642", "1", "/", "2"]),
        ("ok \U0001f44d\U0001f3fb \U0001f44d\U0001f3ff", ["ok", "\U0001f44d\U0001f3fb", "\U0001f44d\U0001f3ff"]),
    ],
)
def test_words_of_any_script(text, words):
    assert split_words(normalise(text)) == words or text.isascii() and split_words(text) == words


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is 7 + 5?", "What is 7 - 5?"),
        ("What is C++?", "What is C#?"),
        ("6 * 2", "6 / 2"),
        ("I am \U0001f642", "I am \U0001f622"),
        ("Is 5 > 3?", "Is 5 < 3?"),
    ],
)
def test_a_sign_that_changes_the_meaning_makes_another_input(one, other):
    assert "near_contradiction" not in {code for code, _ in found(chat(one, "Yes."), chat(other, "No."))}


# preference pairs and rated answers


def pair(text, chosen, rejected):
    return chat(text, chosen) | {"rejected": [{"role": "assistant", "content": rejected}]}


def test_several_rejected_answers_for_one_choice_are_no_duplicates():
    rows = [pair(LATE, "Sorry, we look into it.", worse) for worse in ("No.", "Why?", "So what?")]
    assert found(*rows) == []
    assert to_drop(place(*rows)) == []
    assert found(*rows, rows[1]) == [("exact_duplicate", 4)]
    assert found(rows[0], pair(LATE, "We look into it.", "No.")) == []  # two good answers do not contradict
    assert found(rows[0], pair(LATE.upper(), "Sorry, we look into it.", "no.")) == [("near_duplicate", 2)]


def test_a_pair_turned_round_contradicts():
    assert found(pair(LATE, "Sorry.", "No."), pair(LATE, "No.", "Sorry.")) == [("contradiction", 2)]
    assert found(pair(LATE, "Sorry.", "No."), pair(LATE.upper(), "No.", "Sorry.")) == [("near_contradiction", 2)]


def test_rated_answers_contradict_only_where_one_answer_is_good_and_bad():
    good, bad = (chat(LATE, "Sorry.") | {"label": label} for label in (True, False))
    assert found(good, chat(LATE, "So what?") | {"label": False}) == []
    assert found(good, bad) == [("contradiction", 2)]
    assert to_drop(place(good, bad)) == []


# big clusters


def template(count, start=0):
    return [chat(f"{LATE} Please answer to Sam, box {number}.") for number in range(start, start + count)]


@pytest.fixture
def compared(monkeypatch):
    """Every pair of sets that was compared exactly."""
    pairs, jaccard = [], similar.jaccard
    monkeypatch.setattr(similar, "jaccard", lambda a, b: pairs.append((frozenset(a), frozenset(b))) or jaccard(a, b))
    return pairs


def test_work_and_findings_of_one_big_cluster_grow_with_its_rows(compared):
    for count in (300, 600, 1200):
        compared.clear()
        assert len(find_duplicates(place(*template(count)))) == count - 1
        assert count / 2 < len(compared) <= 3 * count
    compared.clear()
    assert len(find_leaks(place(*template(600)), place(*template(300, start=5000)))) == 600
    assert len(compared) <= 3 * 600


def test_copies_of_an_answer_count_and_a_cluster_with_two_answers_says_so_once():
    findings = find_duplicates(place(*[chat(LATE, "Yes.")] * 40, *[chat(LATE, "No.")] * 50))
    assert len(findings) == 89
    (said,) = [finding for finding in findings if finding.code == "contradiction"]
    assert (said.line, "line 41 " in said.message) == (1, True)


def alike(count, changed, seed=6):
    """Texts of 40 words, any two of which differ in up to twice `changed` words."""
    rng, words = random.Random(seed), vocabulary(seed)
    texts = [list(words[:40]) for _ in range(count)]
    for text in texts:
        for spot in rng.sample(range(40), changed):
            text[spot] = rng.choice(words)
    return [" ".join(text) for text in texts]


def test_rows_just_below_the_threshold_are_compared_a_bounded_number_of_times_and_it_is_said(compared, monkeypatch):
    monkeypatch.setattr(similar, "MAX_ALIKE", 20)
    texts = alike(400, changed=2)  # any two have a similarity of about 0.73
    findings = find_duplicates(place(*map(chat, texts)), threshold=0.85)
    assert 400 < len(compared) < 400 * 60  # a text may meet 20 in each of its bands
    assert len(set(compared)) == len(compared)  # no pair twice
    (crowded,) = (finding for finding in findings if finding.code == "crowded")
    assert crowded.severity == "info"
    assert 100 < int(crowded.message.split()[0]) < 400
    compared.clear()
    monkeypatch.setattr(similar, "MAX_ALIKE", 500)
    assert {finding.code for finding in find_duplicates(place(*map(chat, texts)), threshold=0.85)} <= {"near_duplicate"}


def test_clusters_are_groups_of_rows_largest_first():
    rows = place(chat("A lamp?"), *template(3), chat("Another matter altogether."), chat("A lamp?"), chat("a LAMP!"))
    assert [[row.line for row in group] for group in clusters(rows)] == [[1, 6, 7], [2, 3, 4]]
    assert clusters([]) == find_duplicates([]) == find_leaks([], []) == find_leaks(rows, []) == []


# leaks


def test_a_leak_names_both_places():
    rows = place(chat("A lamp?"), chat(LATE.upper()))
    (finding,) = find_leaks(rows, place(chat("No."), chat(LATE, "Other answer."), file="test.jsonl"))
    assert (finding.code, finding.file, finding.line, finding.severity) == ("leak_exact", "train.jsonl", 2, "error")
    assert finding.field == "messages[0].content"
    assert "test.jsonl:2" in finding.message


def test_an_evaluation_input_quoted_in_an_answer_is_contained_but_the_system_turn_is_not_read():
    evaluation = place(chat(LATE), file="test.jsonl")
    (finding,) = find_leaks(place(chat("Write a complaint.", f"Dear shop! {LATE} Yours, Sam")), evaluation)
    assert finding.code == "leak_contained"
    assert "holds test.jsonl:1, " in finding.message
    assert "100% of its 5-word sequences" in finding.message
    assert finding.field == "messages"
    assert find_leaks(place(chat("Write a complaint.", "No.", system=f"Example: {LATE}")), evaluation) == []


@pytest.mark.parametrize(("length", "size"), [(7, 0), (8, 5), (23, 5), (24, 8), (38, 8), (39, 13), (500, 13)])
def test_short_inputs_have_short_sequences(length, size):
    words = vocabulary(7)[:length]
    text = " ".join(words)
    around = " ".join(vocabulary(8)[:600])
    findings = find_leaks(place(chat(f"{around} {text} {around}")), place(chat(text), file="test.jsonl"))
    assert len(findings) == bool(size)
    if size:
        assert f"100% of its {size}-word sequences" in findings[0].message


def test_half_of_an_input_is_enough():
    words, around = vocabulary(7)[:40], vocabulary(8)[:300]
    evaluation = place(chat(" ".join(words)), file="test.jsonl")

    def leaks(part):
        return [found.code for found in find_leaks(place(chat(" ".join(around + part))), evaluation)]

    assert leaks(words[:40]) == ["leak_contained"]
    assert leaks(words[:26]) == ["leak_contained"]  # 14 of 28 sequences of 13 words
    assert leaks(words[:25]) == []
    assert leaks([*words[:20], "zzz", *words[21:]]) == ["leak_contained"]


def test_a_greeting_that_many_evaluation_rows_share_is_no_leak():
    words, greeting = vocabulary(9), "Hello dear team of the shop I hope that you are all well today"
    evaluation = [f"{greeting} {' '.join(words[i * 40 : i * 40 + 40])}" for i in range(20)]
    train = [f"{greeting} {' '.join(words[i * 40 : i * 40 + 40])}" for i in range(20, 40)]
    assert find_leaks(place(*map(chat, train)), place(*map(chat, evaluation), file="test.jsonl")) == []


def test_an_instruction_that_all_rows_share_is_no_leak_and_what_is_left_is_compared():
    words, instruction = vocabulary(9), " ".join(vocabulary(10)[:60])
    texts = [f"{instruction} {' '.join(words[i * 30 : i * 30 + 30])}" for i in range(40)]
    evaluation = place(*map(chat, texts[:20]), file="test.jsonl")
    assert find_leaks(place(*map(chat, texts[20:])), evaluation) == []
    ours = " ".join(words[3 * 30 : 3 * 30 + 30])  # the input of row 4 without the instruction
    (finding,) = find_leaks(place(chat(f"{' '.join(words[3000:3060])} {ours}")), evaluation)
    assert (finding.code, "test.jsonl:4, " in finding.message) == ("leak_contained", True)


def test_evaluation_rows_that_were_not_compared_are_said(monkeypatch):
    monkeypatch.setattr(similar, "MAX_ALIKE", 20)
    evaluation = place(*map(chat, alike(100, changed=2)), file="test.jsonl")
    (crowded,) = (f for f in find_leaks(place(chat("A lamp?")), evaluation) if f.code == "crowded")
    assert crowded.file == "test.jsonl"


def test_the_bundled_parts_do_not_leak_and_a_copied_row_does():
    parts = {part: check_chat(ROOT / f"data/support_triage/{part}.jsonl").placed for part in ("train", "test", "hard")}
    for part in ("test", "hard"):
        assert find_leaks(parts["train"], parts[part]) == []
    copied = [*parts["train"][:300], parts["test"][5]]
    assert [finding.code for finding in find_leaks(copied, parts["test"])] == ["leak_exact"]
    codes = {finding.code for finding in find_duplicates(parts["train"])}
    assert not codes & {"exact_duplicate", "contradiction", "near_contradiction"}


def test_of_evaluation_rows_with_a_common_half_the_right_one_is_named():
    words = vocabulary(9)
    evaluation = [" ".join(words[:24] + words[start : start + 16]) for start in (100, 200, 300)]
    train = chat(" ".join([*words[500:600], evaluation[2], *words[600:700]]))
    (finding,) = find_leaks([Row(train, "train.jsonl", 1)], place(*map(chat, evaluation), file="test.jsonl"))
    assert "test.jsonl:3, " in finding.message
    assert "100%" in finding.message


# anything


CONTENT = st.text(max_size=12) | st.sampled_from(["a b", "A b", "{}", '{"a": 1}', "1" * 6, "\ud800", None, 3])
TURN = st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant", "tool"]), "content": CONTENT})
ANY_ROW = st.fixed_dictionaries({"messages": st.lists(TURN, max_size=4)}) | st.sampled_from(
    [{}, {"messages": None}, {"prompt": "a"}, chat("q", '{"a":' + "[" * 5000), chat("q", '{"a":' * 2000 + "}" * 2000)]
)


@settings(max_examples=100, deadline=None)
@given(st.lists(ANY_ROW, max_size=5))
def test_any_rows_give_findings_in_order_at_most_one_a_row(chats):
    rows = place(*chats)
    for findings in (find_duplicates(rows), find_leaks(rows, place(*reversed(chats), file="test.jsonl"))):
        lines = [finding.line for finding in findings]
        assert lines == sorted(set(lines))
        assert all(finding.code in codes("duplicates") for finding in findings)
    dropped = to_drop(rows)
    assert [row.line for row in dropped] == [f.line for f in find_duplicates(rows) if f.code == "exact_duplicate"]
    assert all(len(group) > 1 for group in clusters(rows))
    kept = [row for row in rows if row not in dropped]
    assert to_drop(kept) == []


SCRIPT = """
from ftlab.checks.duplicates import find_duplicates
from ftlab.data.schema import check_chat
print(*find_duplicates(check_chat("data/support_triage/validation.jsonl").placed, threshold=0.6), sep="\\n")
"""


def test_the_findings_are_the_same_in_every_process():
    outputs = [
        subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, env=os.environ | {"PYTHONHASHSEED": seed},
                       capture_output=True, text=True, check=True).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert outputs[0].count("resembles") > 5
    assert outputs[0] == outputs[1]
