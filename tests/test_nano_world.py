"""The world that nano is pre-trained on: reproducible, right, silent about what fine-tuning is to teach."""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))
try:
    import make_support_triage
    import measure_nano
    import nano_exam
    from nano_world import texts
    from nano_world.compose import World, document
    from nano_world.texts import inbox, is_heldout, lexicon, prompts
finally:
    sys.path.remove(str(ROOT / "tools"))

KINDS = {"text", "sheet", "plain_ticket", "classify", "classify_described", "extract", "json", "qa_context",
         "qa_alone", "polite", "pairs", "describe", "same_topic", "which_text",
         *(f"skill:{name}" for name in nano_exam.SKILLS)}  # fmt: skip
SEEDS = range(20_000)  # the first that pre-training draws
NOTHING = {"none", "null", "not given"}
WITHOUT_KEYS = (
    "Fill in the record.",
    "Write the record for each text.",
    "Do the same for each text.",
    "Make the JSON.",
)


@pytest.fixture(scope="module")
def documents():
    """The first 20,000 training documents."""
    return [document(seed) for seed in SEEDS]


@pytest.fixture(scope="module")
def corpus(documents):
    """Their texts, one on each line or more."""
    return "\n".join(text for doc in documents for _, text in doc.turns)


def words_of(text):
    """Lower-case words without punctuation, numbers masked."""
    return re.findall(r"[a-z0]+", re.sub(r"\d+", "0", text.lower()))


def sentences(text):
    return re.split(r"(?<=[.!?;:])\s+", text)


def shingles(text, size):
    """Runs of `size` words."""
    words = words_of(text)
    return {" ".join(words[i : i + size]) for i in range(len(words) - size + 1)}


def asked(doc):
    """For each answer of a chat: everything said before it, the last user turn, the answer."""
    for i, (role, text) in enumerate(doc.turns):
        if role == "assistant":
            yield "\n".join(t for _, t in doc.turns[:i]), doc.turns[i - 1][1], text


def has(text, value):
    """The value stands in the text, and not as a part of a longer word."""
    return re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text) is not None


def digest(docs):
    return hashlib.sha256(repr(docs).encode()).hexdigest()


# ---- reproducible ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["train", "heldout"])
def test_a_seed_gives_the_same_document_in_every_process(split):
    here = digest([document(seed, split) for seed in range(300)])
    code = (
        "import hashlib; from nano_world.compose import document; "
        f"docs = [document(seed, {split!r}) for seed in reversed(range(300))][::-1]; "
        "print(hashlib.sha256(repr(docs).encode()).hexdigest())"
    )
    for hash_seed in ("1", "2"):
        env = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT / "tools")}
        there = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
        assert there.stdout.strip() == here


def test_other_seeds_give_other_documents(documents):
    assert len({doc.turns for doc in documents if doc.kind == "json"}) > 0.99 * sum(
        doc.kind == "json" for doc in documents
    )


def test_every_kind_appears(documents):
    assert {doc.kind for doc in documents} == KINDS


def test_chats_end_with_an_answer_and_are_ascii(documents, corpus):
    assert corpus.isascii()
    for doc in documents:
        roles = [role for role, _ in doc.turns]
        if roles != ["text"]:
            turns = roles[1:] if roles[0] == "system" else roles
            assert turns == ["user", "assistant"] * (len(turns) // 2), doc
        assert all(text.strip() for _, text in doc.turns), doc


# ---- silent about the lessons ----------------------------------------------------------------------------


def test_no_kept_out_word(corpus):
    alternatives = "|".join(map(re.escape, texts.KEPT_OUT_WORDS))
    found = re.findall(rf"(?<![a-z0-9])({alternatives})(?![a-z0-9])", corpus, flags=re.IGNORECASE)
    assert not found


def test_no_kept_out_key(documents):
    for doc in documents:
        if doc.kind == "json":
            for _, _, answer in asked(doc):
                assert not set(json.loads(answer)) & set(texts.KEPT_OUT_KEYS), doc


def test_the_kept_out_lists_cover_the_running_example():
    schema = json.loads((ROOT / "data" / "support_triage" / "schema.json").read_text())
    assert set(schema["properties"]) == set(texts.KEPT_OUT_KEYS)
    labels = {label for field in schema["properties"].values() for label in field.get("enum", ())}
    assert labels, "the schema lists the labels"
    assert labels <= set(texts.KEPT_OUT_WORDS)


def test_no_sentence_of_the_running_example(corpus):
    """Runs of words inside one sentence; the parts that only measuring sees are held to a stricter limit."""
    lines = {sentence for line in corpus.splitlines() for sentence in sentences(line)}
    ours = {size: set().union(*(shingles(line, size) for line in lines)) for size in (7, 8)}
    shared = set()
    for pattern in make_support_triage.PATTERNS:
        size = 8 if pattern.split in ("train", "validation") else 7
        for sentence in sentences(pattern.text):
            pieces = re.split(r"\{\w+\}", sentence)
            if any(shingles(piece, size) & ours[size] for piece in pieces):
                shared.add((pattern.split, sentence))
    assert not shared


def test_heldout_patterns_never_occur_in_training(corpus):
    banks = [text for lists in (lexicon, inbox, prompts) for text in strings(vars(lists))]
    in_training = "\n".join(text for text in banks if not is_heldout(text))
    pieces = {max(re.split(r"\{\w+\}", text), key=len) for text in banks if is_heldout(text)}
    pieces = {piece for piece in pieces if len(piece) >= 20 and " " in piece.strip() and piece not in in_training}
    assert len(pieces) > 200
    assert {piece for piece in pieces if piece in corpus} == set()


def strings(value):
    """Every sentence pattern in a bank: what pattern() may draw; a rude sentence goes with its polite one."""
    patterns = ("patterns", "statements", "questions", "advice")
    lists = ("stories", "facts", "templates_story", "clinic_stories", "help", "systems", "openers", "closers",
             "fillers", "order_mentions", "decoys")  # fmt: skip
    for name in lists:
        yield from value.get(name, ())
    for name in ("issues", "moods", "when", "wants", "clinic"):
        for bank in value.get(name, {}).values():
            yield from (text for key in patterns for text in bank.get(key, ()))
    for relation in value.get("relations", ()):
        yield from (text for key in patterns for text in relation.get(key, ()))
    for bank in (*value.get("instructions", {}).values(), *value.get("replies", {}).values()):
        yield from bank


# ---- right -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["train", "heldout"])
def test_copied_values_stand_in_the_text(split):
    for seed in range(1_500):
        for case in (World(seed, split).ticket(), World(seed, split).clinic_note()):
            assert all(value is None or value in case.text for value in case.copies.values()), case


def test_extract_copies_or_says_that_there_is_none(documents):
    answers = [(user, answer) for doc in documents if doc.kind == "extract" for _, user, answer in asked(doc)]
    assert all(answer in NOTHING or has(user, answer) for user, answer in answers)
    none = sum(answer in NOTHING for _, answer in answers)
    assert 0.1 < none / len(answers) < 0.9


def test_classes_are_among_the_options_shown(documents):
    for doc in documents:
        if doc.kind.startswith("classify"):
            assert all(has(before, answer) for before, _, answer in asked(doc)), doc


def test_records_have_the_keys_that_the_prompt_names(documents):
    sizes = set()
    for doc in documents:
        if doc.kind != "json":
            continue
        answers = list(asked(doc))
        records = [json.loads(answer) for _, _, answer in answers]
        assert len({tuple(record) for record in records}) == 1, doc
        sizes.add(len(records[0]))
        before, _, answer = answers[-1]  # the keys stand in the instruction, or in the first answers
        assert all(has(before, key) for key in records[-1]), doc
        assert answer == json.dumps(records[-1])
    assert sizes == {1, 2, 3, 4, 5, 6, 7}


def test_values_of_records_are_null_or_shown(documents):
    """As an option or in the text; prompts such as "Make the JSON." leave the options to be guessed."""
    checked = 0
    for doc in documents:
        if doc.kind == "json" and not any(short in text for short in WITHOUT_KEYS for _, text in doc.turns):
            for before, _, answer in asked(doc):
                values = json.loads(answer).values()
                assert all(value is None or has(before, value) for value in values), doc
                checked += 1
    assert checked > 2_000


def test_profile_records_copy_or_say_null():
    for seed in range(500):
        for _, user, answer in asked(World(seed).profile_json()):
            assert all(value is None or has(user, value) for value in json.loads(answer).values()), user


def test_answers_from_a_text_stand_in_it(documents):
    answers = [(before, answer) for doc in documents if doc.kind == "qa_context" for before, _, answer in asked(doc)]
    unknown = [answer for _, answer in answers if answer == texts.UNKNOWN]
    assert all(has(before, answer) for before, answer in answers if answer != texts.UNKNOWN)
    assert 0.1 < len(unknown) / len(answers) < 0.5
    assert all(doc.turns[-1][1] == texts.UNKNOWN for doc in documents if doc.kind == "qa_alone")


def test_pairs_are_continued_as_they_began(documents):
    for doc in documents:
        if doc.kind == "pairs":
            answers = {}
            for (_, key), (_, value) in zip(doc.turns[::2], doc.turns[1::2], strict=True):
                assert answers.setdefault(key, value) == value
            assert len(answers) < len(doc.turns) // 2


def items_of(text):
    return text.split(", ") if ", " in text else text.split(" ")


def solve(name, groups):
    """The right answer, from what the user said."""
    if name in ("sum", "difference"):
        a, b = int(groups["a"]), int(groups["b"])
        return str(a + b if name == "sum" else a - b)
    if name == "repeat_n":
        return " ".join([groups["items"]] * int(groups["n"]))
    text = groups["items"]
    items = items_of(text)
    joint = ", " if ", " in text else " "
    return {
        "copy": lambda: text,
        "reverse": lambda: joint.join(items[::-1]),
        "sort": lambda: joint.join(sorted(items)),
        "sort_numbers": lambda: joint.join(sorted(items, key=int)),
        "largest": lambda: max(items, key=int),
        "smallest": lambda: min(items, key=int),
        "count": lambda: str(len(items)),
        "first": lambda: items[0],
        "last": lambda: items[-1],
    }[name]()


NUMBER_SKILLS = ("sort_numbers", "largest", "smallest")


def as_regex(pattern, items=".+", word="[a-z ]+?"):
    """An instruction as a regular expression with one group a slot; a slot named again must say the same again."""
    slots = {"a": r"\d+", "b": r"\d+", "n": r"\d+", "items": items, "word": word}
    seen = set()

    def group(match):
        name = match[1]
        if name in seen:
            return f"(?P={name})"
        seen.add(name)
        return f"(?P<{name}>{slots[name]})"

    return re.sub(r"\\\{(\w+)\\\}", group, re.escape(pattern))


@pytest.mark.parametrize("split", ["train", "heldout"])
@pytest.mark.parametrize("name", [name for name in nano_exam.SKILLS if name != "yes_no_mentions"])
def test_skills_are_right(name, split):
    items = r"[\d, ]+" if name in NUMBER_SKILLS else ".+"
    patterns = [as_regex(pattern, items) for pattern in prompts.instructions[name]]
    for seed in range(200):
        doc = World(seed, split).skill(name)
        user, answer = doc.turns[-2][1], doc.turns[-1][1]
        matches = [match for pattern in patterns if (match := re.fullmatch(pattern, user))]
        assert matches, user
        assert answer in {solve(name, match.groupdict()) for match in matches}, doc


def test_yes_and_no_are_right_about_words():
    patterns = [as_regex(pattern) for pattern in prompts.instructions["yes_no_mentions"]]
    answers = []
    for seed in range(300):
        doc = World(seed).skill("yes_no_mentions")
        user, answer = doc.turns[-2][1], doc.turns[-1][1]
        before = "\n".join(text for _, text in doc.turns[:-1])
        matches = [match for pattern in patterns if (match := re.search(pattern, before))]
        assert matches, before
        found = [re.search(rf"\b{m['word']}\b", user.replace(m[0], "")) is not None for m in matches]
        assert (answer == "yes") in found, doc
        answers.append(answer)
    assert 0.3 < answers.count("yes") / len(answers) < 0.7


# ---- measuring -------------------------------------------------------------------------------------------


def test_the_probe_file_is_what_the_tool_writes():
    assert measure_nano.PROBE.read_bytes().decode() == nano_exam.probe_lines()


def test_the_probe_file_has_400_different_questions_that_training_never_draws(documents):
    rows = [json.loads(line) for line in measure_nano.PROBE.read_text().splitlines()]
    assert len({row["id"] for row in rows}) == len(rows) == 400
    prompts = {tuple(message["content"] for message in row["messages"][:-1]) for row in rows}
    assert len(prompts) == 400
    trained = {tuple(text for _, text in doc.turns[:-1]) for doc in documents}
    assert not prompts & trained
    assert all(row["messages"][-1]["role"] == "assistant" for row in rows)


@pytest.mark.parametrize("task", nano_exam.TASKS)
def test_measured_questions_are_reproducible_and_heldout(task):
    block, make = nano_exam.TASKS[task]
    start = nano_exam.MEASURE_SEEDS + block * 1_000_000
    questions = list(nano_exam.draw(make, start, 20))
    assert questions == list(nano_exam.draw(make, start, 20))
    assert all(question.answer and question.doc.turns[-2][0] == "user" for question in questions)
    assert len({question.doc.turns[:-1] for question in questions}) == 20


def test_questions_without_their_text_hold_nothing_but_the_question():
    block, make = nano_exam.TASKS["answerable questions, text left out"]
    for question in nano_exam.draw(make, nano_exam.MEASURE_SEEDS + block * 1_000_000, 50):
        assert len(question.prompt) == 1
        assert question.answer != texts.UNKNOWN
        assert not has(question.prompt[0]["content"], question.answer)


def test_polite_replies_are_judged_by_what_they_name():
    message = "Where is my kettle? Order 12345."
    question = nano_exam.Question(texts.Doc("polite", (("user", message), ("assistant", ""))))
    judged = nano_exam.names_only_what_was_said
    assert judged(question, "Order 12345 is on its way.") == 1
    assert judged(question, "Order 54321 is on its way.") == 0
    assert judged(question, "We are sorry.") == 0


@pytest.mark.parametrize("task", nano_exam.TASKS)
def test_right_answers_score_one_and_silence_scores_none(task):
    block, make = nano_exam.TASKS[task]
    questions = list(nano_exam.draw(make, nano_exam.MEASURE_SEEDS + block * 1_000_000, 30))
    right = nano_exam.score(task, questions, [question.answer for question in questions])
    wrong = nano_exam.score(task, questions, [""] * len(questions))
    assert {score.value for score in right if score.metric != f'"{texts.UNKNOWN}"'} == {1}
    assert {score.value for score in wrong} == {0}
