"""A blind comparison: hidden, balanced, stable, nothing lost; results by hand; the form drives it."""

import html
import json
import re

import ipywidgets as widgets
import pytest
from controls import control, shown, walk
from sklearn.metrics import cohen_kappa_score

from ftlab.errors import DataError
from ftlab.evaluation.blind import BlindTest
from ftlab.widgets.blind import BLIND_BUTTONS, blind_form

PAIRS = [{"id": f"p{n}", "request": f"<i>q{n}</i>", "a": f"from a {n}", "b": f"from b {n}"} for n in range(20)]
SYSTEMS = ("the prompt", "the training")


@pytest.fixture
def out(tmp_path):
    return tmp_path / "deep" / "blind.jsonl"


def opened(out, judge="Ada", pairs=PAIRS, seed=0):
    return BlindTest.open(pairs, SYSTEMS, out, judge, seed)


def judge_all(test, wanted):
    """Judge every pair by a function of its number: "a", "b" or "tie"."""
    for at in range(len(test)):
        winner = wanted(int(test.pairs[at]["id"][1:]))
        left = "a" if test.sides(at)[0].startswith("from a") else "b"
        test.say(at, "tie" if winner == "tie" else "A" if winner == left else "B")


def test_each_system_stands_left_half_of_the_time_in_an_order_that_is_stable_and_the_judges_own(out):
    order = {judge: [(opened(out, judge).sides(at)) for at in range(20)] for judge in ("Ada", "Bob")}
    assert order["Ada"] == [opened(out).sides(at) for at in range(20)]
    assert order["Ada"] == [opened(out, pairs=PAIRS).sides(at) for at in range(20)]
    assert order["Ada"] != order["Bob"]
    assert order["Ada"] != [opened(out, seed=1).sides(at) for at in range(20)]
    for sides in order.values():
        assert sum(left.startswith("from a") for left, _ in sides) == 10
        assert sorted(text for pair in sides for text in pair) == sorted(p[s] for p in PAIRS for s in "ab")


def test_what_is_said_is_on_the_disk_at_once_and_goes_to_the_right_system(out):
    test = opened(out)
    test.say(0, "A")
    line = json.loads(out.read_text().splitlines()[1])
    assert (line["pair"], line["said"], line["judge"]) == (test.pairs[0]["id"], "A", "Ada")
    assert test.pairs[0][line["winner"]] == test.sides(0)[0]
    again = opened(out)
    assert (again.said(0), again.said(1), again.next_open()) == ("A", None, 1)


def test_one_who_decides_anew_adds_a_line_and_the_last_one_counts(out):
    test = opened(out)
    test.say(0, "A")
    test.say(0, "B")
    assert [json.loads(line)["said"] for line in out.read_text().splitlines()[1:]] == ["A", "B"]
    assert opened(out).said(0) == "B"
    assert sum(opened(out).result().judged.values()) == 1


def test_win_rate_place_and_kappa_are_those_by_hand(out):
    wanted = {"Ada": lambda n: "b" if n < 12 else "a" if n < 18 else "tie", "Bob": lambda n: "b" if n % 2 else "a"}
    for judge, rule in wanted.items():
        judge_all(opened(out, judge), rule)
    result = opened(out).result()
    score = {"a": 0, "tie": 0.5, "b": 1}
    labels = [[rule(n) for n in range(20)] for rule in wanted.values()]
    means = [(score[x] + score[y]) / 2 for x, y in zip(*labels, strict=True)]
    assert result.rate.rate.value == pytest.approx(sum(means) / 20)
    assert (result.judged, result.pairs) == ({"Ada": 20, "Bob": 20}, 20)
    (two,) = result.agreements
    assert two == "Ada and Bob"
    assert result.agreements[two].kappa.value == pytest.approx(cohen_kappa_score(*labels))
    assert result.first.n == 38  # all that were no tie
    assert "20 groups" in result.first.method  # two judges of a pair are no two pairs
    for part in ("the training against the prompt", "Ada 20, Bob 20", "the left one preferred", "kappa"):
        assert part in repr(result)


def test_a_judge_of_places_is_found_out_and_the_order_evens_it_out(out):
    test = opened(out)
    for at in range(20):
        test.say(at, "A")
    result = test.result()
    assert (result.first.value, result.rate.rate.value) == (1, 0.5)
    assert "the place has an influence" in repr(result)
    judge_all(opened(out, "Bob"), lambda n: "b")
    fair = BlindTest.open(PAIRS, SYSTEMS, out.with_name("fair.jsonl"), "Bob")
    judge_all(fair, lambda n: "b")
    assert fair.result().first.value == 0.5
    assert "the place has" not in repr(fair.result())


def test_only_ties_have_no_place(out):
    test = opened(out)
    test.say(0, "tie")
    assert test.result().first is None
    assert "never decided" in repr(test.result())


def test_a_line_that_a_crash_has_cut_is_taken_off_and_the_rest_counts(out):
    test = opened(out)
    test.say(0, "A")
    whole = out.read_bytes()
    out.write_bytes(whole + b'{"pair": "p1", "jud')
    assert opened(out).said(0) == "A"
    assert out.read_bytes() == whole


def test_another_file_is_never_touched(out):
    out.parent.mkdir()
    for content in (b"my notes", b"my notes\nmore", b'{"a": 1}\nmore'):
        out.write_bytes(content)
        with pytest.raises(DataError, match=r"blind.jsonl:1: no line of a blind comparison"):
            opened(out)
        assert out.read_bytes() == content


def test_other_pairs_systems_or_seeds_are_refused_and_other_judges_are_not(out):
    opened(out).say(0, "A")
    changed = [PAIRS[0] | {"b": "mended"}, *PAIRS[1:]]
    for wrong in ({"pairs": changed}, {"seed": 1}, {"pairs": PAIRS[:5]}):
        with pytest.raises(DataError, match="is about other pairs"):
            opened(out, **wrong)
    assert opened(out, "Bob", pairs=PAIRS[::-1]).said(0) is None


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"pairs": [{"id": "x", "request": "q", "a": "t"}]}, "pair 1: b must be a text"),
        ({"pairs": [PAIRS[0], PAIRS[0]]}, "each with an id of its own"),
        ({"pairs": []}, "at least one"),
        ({"judge": " "}, "judge: is empty"),
    ],
)
def test_what_cannot_be_judged_is_refused(out, wrong, told):
    with pytest.raises(DataError, match=told):
        opened(out, **wrong)
    assert not out.exists()


def test_a_wrong_judgement_a_broken_line_and_no_judgement_are_told(out):
    test = opened(out)
    with pytest.raises(DataError, match="nobody has judged"):
        test.result()
    with pytest.raises(DataError, match="'left' is no judgement"):
        test.say(0, "left")
    test.say(0, "A")
    out.write_text(out.read_text() + '{"pair": "p1", "judge": "Ada", "said": "A", "winner": "c"}\n')
    with pytest.raises(DataError, match=r"blind.jsonl:3: no line of a blind comparison \(no judgement\)"):
        opened(out)


def test_a_file_that_cannot_be_written_says_so_and_nothing_counts(tmp_path):
    (tmp_path / "file").write_text("")
    test = opened(tmp_path / "file" / "blind.jsonl")
    with pytest.raises(DataError, match="this judgement is not saved"):
        test.say(0, "A")
    assert test.said(0) is None


def test_the_table_shows_pairs_and_names_no_system(out):
    test = opened(out)
    test.say(0, "tie")
    told = test._repr_html_()
    assert "Ada: 1 of 20 pairs judged, in blind.jsonl" in told
    assert "and 14 more" in told
    assert "&lt;i&gt;q" in told
    assert not [name for name in (*SYSTEMS, str(out.parent)) if name in told]


# --- the form


@pytest.fixture
def form(out):
    return blind_form(opened(out))


def press(form, name):
    control(form, name).click()


def test_a_whole_session_by_buttons(form, out):
    assert "pair 1 of 20: not judged yet" in shown(form)
    assert not any(name in shown(form) for name in SYSTEMS)
    for n in range(20):
        assert f"pair {n + 1} of 20" in shown(form)
        press(form, ("A is better", "tie", "B is better")[n % 3])
        assert opened(out).said(n) == ("A", "tie", "B")[n % 3]
    assert "All are judged" in shown(form)
    assert html.escape(repr(opened(out).result())) in shown(form)
    assert "All are judged" in shown(blind_form(opened(out)))


def test_it_goes_on_where_it_stopped_and_a_judgement_can_be_changed(form, out):
    press(form, "tie")
    again = blind_form(opened(out))
    assert "pair 2 of 20: not judged yet" in shown(again)
    press(again, "back")
    assert "pair 1 of 20: tie" in shown(again)
    press(again, "B is better")
    assert opened(out).said(0) == "B"
    assert "pair 2 of 20" in shown(again)


def test_texts_are_shown_as_they_are(form, out):
    test = opened(out)
    for text in (test.pairs[0]["request"], *test.sides(0)):
        assert html.escape(text) in shown(form)
    assert "<i>" not in shown(form)


def test_an_error_is_told_and_nothing_moves(form, out):
    out.parent.mkdir(parents=True)
    out.mkdir()  # no file can be written there
    press(form, "tie")
    assert "this judgement is not saved" in shown(form)
    assert "pair 1 of 20: not judged yet" in shown(form)


def test_each_button_has_its_own_key_and_none_of_the_review_table():
    from ftlab.widgets.review import REVIEW_BUTTONS

    keys = [key for key, _, _ in BLIND_BUTTONS.values()]
    assert len(set(keys)) == len(keys)
    assert not set(keys) & {key for key, _, _ in REVIEW_BUTTONS.values()}


def test_the_keys_name_their_buttons_and_the_controls_are_those_of_ipywidgets_7(form):
    named = re.findall(r'accesskey="(\w)"[^>]*>\w: ([\w ]+)<', shown(form))
    assert [name for _, name in named] == list(BLIND_BUTTONS)
    for each in walk(form):
        assert type(each) in (widgets.Button, widgets.HTML, widgets.VBox, widgets.HBox)
