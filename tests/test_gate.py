"""Every cell of the gate's decision table, and that the reasons carry the numbers."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ftlab.errors import RecipeError
from ftlab.evaluation.gate import Bars, Gate, agree_on, decide_gate
from ftlab.evaluation.statistics import Comparison, compare

BARS = Bars(min_gain=0.05, max_probe_loss=0.02)


def seen(delta, low, high, sees=0.04, n=400, disagreement=0.1, **extra):
    """A comparison with just the numbers that the gate looks at; `sees` is its smallest detectable gain."""
    p_value = extra.pop("p_value", 0.01 if low > 0 or high < 0 else 0.5)
    scores = {"a": 0.5, "b": 0.5 + delta, "delta": delta, "low": low, "high": high, "p_value": p_value}
    rest = {"disagreement": disagreement, "smallest_detectable_gain": sees, "verdict": ""}
    return Comparison(n=n, **scores, **rest, **extra)


TABLE = {
    "met, chance ruled out": (seen(0.06, 0.02, 0.10), "ship", "chance is ruled out"),
    "met by an interval that is a single point": (
        seen(0.6, 0.6, 0.6, sees=0.9, n=1, p_value=1.0),
        "not enough data",
        "may be chance",
    ),
    "missed by an interval that is a single point": (
        seen(-0.1, -0.1, -0.1, sees=0.9, n=3, disagreement=0.3, p_value=1.0),
        "not enough data",
        "neither shown nor ruled out",
    ),
    "met exactly": (seen(0.75 - 0.70, 0.01, 0.09), "ship", "chance is ruled out"),
    "met on a small test, chance ruled out": (seen(0.3, 0.1, 0.5, sees=0.2), "ship", "chance is ruled out"),
    "met, but may be chance": (seen(0.08, -0.02, 0.18, sees=0.15), "not enough data", "may be chance"),
    "met, low exactly 0": (seen(0.08, 0.0, 0.16, sees=0.12), "not enough data", "may be chance"),
    "met, may be chance, though planned for": (seen(0.05, -0.001, 0.1), "not enough data", "may be chance"),
    "nothing differs, few": (
        seen(0, 0, 0, sees=0.14, disagreement=0, n=20),
        "not enough data",
        "no example differs",
    ),
    "nothing differs, many": (seen(0, 0, 0, sees=0.003, disagreement=0), "do not ship", "ruled out"),
    "ruled out": (seen(0.01, -0.02, 0.04), "do not ship", "a gain that large is ruled out"),
    "worse on a small test": (seen(-0.3, -0.5, -0.1, sees=0.2), "do not ship", "it got worse"),
    "worse in few groups": (seen(-0.1, -0.17, -0.03, sees=0.12, n=200, groups=9), "do not ship", "it got worse"),
    "worse in few groups, or chance": (
        seen(-0.1, -0.25, 0.01, sees=0.12, n=200, groups=9), "not enough data", "neither shown nor ruled out"),
    "better for sure, yet below": (seen(0.03, 0.02, 0.04), "do not ship", "a gain that large is ruled out"),
    "cannot tell": (seen(0.02, -0.06, 0.10, sees=0.11), "not enough data", "neither shown nor ruled out"),
    "better, cannot tell how much": (
        seen(0.045, 0.005, 0.085, sees=0.057),
        "not enough data",
        "neither shown nor ruled out",
    ),
    "near miss on a fair test": (seen(0.03, -0.005, 0.065, sees=0.05), "do not ship", "large enough"),
}


@pytest.mark.parametrize("name", TABLE)
def test_decision_table(name):
    comparison, verdict, reason = TABLE[name]
    gate = decide_gate(comparison, {"general": seen(0.0, -0.01, 0.01)}, BARS)
    assert gate.verdict == verdict
    assert reason in gate.reasons[0]
    assert f"{100 * comparison.delta:+.1f} points" in gate.reasons[0]
    assert f"on {comparison.n} examples" in gate.reasons[0]


@pytest.mark.parametrize("name", TABLE)
def test_a_failed_probe_stops_every_verdict(name):
    probes = {"general": seen(0.01, 0.0, 0.02), "safety": seen(-0.05, -0.08, -0.03)}
    gate = decide_gate(TABLE[name][0], probes, BARS)
    assert gate.verdict == "do not ship"
    assert gate.reasons[1].startswith("Probe general changed by +1.0 points")
    assert "Probe safety changed by -5.0 points" in gate.reasons[2]
    assert gate.reasons[2].endswith("it got worse.")


@pytest.mark.parametrize(
    ("probe", "verdict", "reason"),
    [
        (seen(-0.02, -0.02, -0.02), "ship", "it passes."),
        (seen(0.5 - 0.52, -0.02, 0.01), "ship", "it passes."),
        (seen(-0.021, -0.022, -0.0205), "do not ship", "it got worse."),
        (seen(-0.03, -0.09, 0.03, n=50), "do not ship", "small and part of it may be chance"),
        (seen(-0.01, -0.07, 0.05, n=50), "ship", "too small to rule out a larger loss"),
        (seen(0.10, 0.05, 0.15), "ship", "it passes."),
    ],
)
def test_probes(probe, verdict, reason):
    gate = decide_gate(seen(0.1, 0.06, 0.14), {"general": probe}, BARS)
    assert gate.verdict == verdict
    assert reason in gate.reasons[1]


@pytest.mark.parametrize(
    ("before", "reason"), [(0.02, "scored 2.0 % before training, so it could not show a loss."), (0.021, "it passes.")]
)
def test_a_probe_that_had_nothing_to_lose_says_so(before, reason):
    """With a loss of two points allowed, a probe shows one only when it was above them before."""
    probe = dataclasses.replace(seen(0.0, -0.01, 0.01), a=before, b=before)
    gate = decide_gate(seen(0.1, 0.06, 0.14), {"general": probe}, BARS)
    assert gate.verdict == "ship"
    assert gate.reasons[1].endswith(reason)


@pytest.mark.parametrize(
    ("rival", "verdict", "reason"),
    [
        (seen(0.03, 0.01, 0.05), "ship", "the simpler one does no better."),
        (seen(0.0, -0.02, 0.02), "ship", "the simpler one does no better."),
        (seen(-0.01, -0.03, 0.01), "do not ship", "may be chance, but it costs less"),
        (seen(-0.17, -0.19, -0.15), "do not ship", "the simpler one does better. Take it"),
    ],
)
def test_a_simpler_system_that_does_better_stops_the_verdict(rival, verdict, reason):
    gate = decide_gate(seen(0.1, 0.06, 0.14), bars=BARS, rivals={"linear": rival})
    assert gate.verdict == verdict
    assert reason in gate.reasons[1]
    assert f"linear, which reaches 50.0 %: {100 * rival.delta:+.1f} points" in gate.reasons[1]


def test_without_probes_the_gate_says_so():
    gate = decide_gate(seen(0.1, 0.06, 0.14))
    assert gate.verdict == "ship"
    assert "No probe was given" in gate.reasons[1]
    assert gate.bars == Bars()


@pytest.mark.parametrize(
    ("mean", "alone", "verdict", "reason"),
    [
        ("ship", ["ship", "ship"], "ship", "Each of the 2 seeds alone has the same verdict."),
        ("ship", ["ship", "not enough data"], "not enough data", "(1: ship, 2: not enough data); what ships is one"),
        ("ship", ["not enough data"] * 2, "not enough data", "what ships is one of these trainings"),
        ("do not ship", ["ship", "do not ship"], "do not ship", "do not agree (1: ship, 2: do not ship)."),
        ("not enough data", ["ship", "ship"], "not enough data", "do not agree"),
        ("ship", ["ship"], "ship", ""),
        ("do not ship", [], "do not ship", ""),
    ],
)
def test_what_one_seed_does_not_reach_does_not_ship(mean, alone, verdict, reason):
    gate = Gate(mean, ("first",), BARS)
    agreed = agree_on(gate, {seed: Gate(each, (), BARS) for seed, each in enumerate(alone, 1)})
    assert agreed.verdict == verdict
    assert agreed.reasons[0] == "first"
    assert reason in " ".join(agreed.reasons)
    assert len(agreed.reasons) == (2 if reason else 1)


def test_few_groups_of_many_examples_rule_nothing_out():
    many = seen(0.0, -0.01, 0.02, sees=0.2, n=400)
    assert decide_gate(many, bars=BARS).verdict == "do not ship"
    assert decide_gate(dataclasses.replace(many, groups=12), bars=BARS).verdict == "not enough data"


def test_small_real_comparisons():
    """Eight of ten against seven of ten is no ground to ship or to give up; a large clear gain is."""
    bars = Bars(metric="exact_match")
    ten = compare([1] * 7 + [0] * 3, [1] * 8 + [0] * 2, metric="exact_match")
    assert decide_gate(ten, bars=bars).verdict == "not enough data"
    same = compare([1, 0] * 10, [1, 0] * 10)
    assert decide_gate(same, bars=bars).verdict == "not enough data"
    graded = compare([0.5] * 20, [0.5] * 20)
    assert decide_gate(graded, bars=bars).verdict == "not enough data"
    clear = compare([1] * 300 + [0] * 200, [1] * 400 + [0] * 100)
    assert decide_gate(clear, bars=bars).verdict == "ship"
    many = compare([1, 0] * 1000, [1, 0] * 1000)
    assert decide_gate(many, bars=bars).verdict == "do not ship"


@pytest.mark.parametrize(
    ("a", "b"), [([0.2], [0.8]), ([0.0, 0.0, 0.0], [0.5, 0.5, 1.0]), ([0.2] * 5, [0.8] * 5), ([0] * 4, [1] * 4)]
)
def test_a_handful_of_examples_never_ships(a, b):
    """Not even when each of them gains: signs alone fall so by chance in 1 of 2, 4, 8 ... tries, times two sides."""
    seen = compare(a, b)
    assert seen.delta >= BARS.min_gain
    assert decide_gate(seen, bars=BARS).verdict == "not enough data"
    assert decide_gate(compare(b, a), bars=BARS).verdict != "ship"


@given(
    st.floats(-0.5, 0.5), st.floats(0, 0.5), st.floats(0, 0.5), st.floats(0.001, 0.3), st.floats(-0.1, 0.1)
)
def test_ship_only_by_the_rule(delta, below, above, sees, probe):
    comparison = seen(delta, delta - below, delta + above, sees)
    gate = decide_gate(comparison, {"p": seen(probe, probe - 0.01, probe + 0.01)}, BARS)
    may_ship = delta >= 0.05 - 1e-9 and delta - below > 0 and probe >= -0.02 - 1e-9
    assert (gate.verdict == "ship") == may_ship
    assert gate.verdict in ("ship", "do not ship", "not enough data")
    assert len(gate.reasons) == 2


@pytest.mark.parametrize("bad", [{"min_gain": 5}, {"min_gain": 0}, {"max_probe_loss": -0.02}, {"alpha": 1}])
def test_bars_are_fractions(bad):
    with pytest.raises(RecipeError, match="fraction of 1"):
        Bars(**bad)


@pytest.mark.parametrize("other", [{"alpha": 0.1}, {"metric": "exact_match"}])
def test_bars_cannot_change_unseen(other):
    fits, other = seen(0.1, 0.06, 0.14), seen(0.1, 0.06, 0.14, **other)
    with pytest.raises(ValidationError, match="frozen"):
        BARS.min_gain = 0.01
    for comparison, rivals in ((other, {}), (fits, {"linear": other})):
        with pytest.raises(RecipeError, match="use one"):
            decide_gate(comparison, bars=BARS, rivals=rivals)
    with pytest.raises(RecipeError, match="safety"):
        decide_gate(fits, {"safety": seen(0, 0, 0, alpha=0.1)}, BARS)


@pytest.mark.parametrize(
    ("compared", "bars", "named"),
    [
        ("field_accuracy", Bars(), "field_accuracy"),
        ("exact_match", Bars(metric="exact_match"), "exact_match"),
        (None, Bars(metric="valid_json"), "valid_json"),
        (None, Bars(), "the score"),  # nobody said what was compared: answers in one word, say
    ],
)
def test_the_reason_names_the_metric_that_was_compared(compared, bars, named):
    gate = decide_gate(seen(0.1, 0.06, 0.14, metric=compared), bars=bars)
    assert gate.reasons[0].startswith(f"{named} changed by +10.0 points")


def test_gate_report():
    gate = decide_gate(seen(0.1, 0.06, 0.14, metric="field_accuracy"), {"general": seen(0.0, -0.01, 0.01)}, BARS)
    bars = {"min_gain": 0.05, "max_probe_loss": 0.02, "alpha": 0.05, "metric": "field_accuracy"}
    assert gate.to_dict()["bars"] == bars
    assert gate.to_dict()["reasons"] == list(gate.reasons)
    assert repr(gate).startswith("Gate: ship\n  - field_accuracy changed by +10.0 points")
    assert "verdict: ship" in gate._repr_html_()
