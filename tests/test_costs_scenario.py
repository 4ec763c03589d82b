"""Scenarios: each billing rule and each kind by hand, the break-even against its curves, and every faulty file."""

import json
import math
import random
from datetime import date, timedelta

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ftlab.costs import scenario as module
from ftlab.costs.assumptions import read_scenario
from ftlab.costs.keys import HOURS_PER_MONTH, KINDS
from ftlab.costs.options import OptionCost, money, training_charge
from ftlab.costs.prices import PriceBook, PriceRow, load_prices
from ftlab.costs.scenario import break_even, cost
from ftlab.costs.uncertainty import draw
from ftlab.errors import RecipeError
from ftlab.models import REPOSITORY

TODAY = date(2026, 11, 22)
BOOK = load_prices()
FOLDER = REPOSITORY / "recipes" / "costs"
EXAMPLES = sorted(path for path in FOLDER.glob("*.yaml") if not path.stem.endswith("_payback"))


def example(path):
    """One of the scenarios that ship; words stand for tokens where it counts a file."""
    return read_scenario(path, lambda text: len(text.split()))


TEXT = """\
name: small
task: try it
horizon_months: 24
discount_rate: 0
calls_per_month: [1000, 10000, 100000]
input_tokens: 100
output_tokens: 50
labour: {expert_usd_per_hour: 30, engineer_usd_per_hour: 60}
compare: {baseline: long, candidate: tuned}
options:
  long:
    kind: prompted
    provider: shop
    model: m
    prompt_tokens: [1000, 2000, 4000]
  tuned:
    kind: tuned_hosted
    provider: shop
    model: m
    prompt_tokens: 0
    training: {rows: 1000, tokens_per_row: 200, epochs: 3, runs: 2}
    labelling: {rows: 10, minutes_per_row: 2}
    evaluation: {rows: 20, minutes_per_row: 3}
    retraining: {per_quarter: 1, rows: 4, minutes_per_row: 5}
"""


def price_row(provider, model, what, usd, unit="1M tokens", **more):
    """A row of today."""
    return PriceRow(provider=provider, model=model, what=what, unit=unit, usd=usd, source_date=TODAY, **more)


def shop(retires=None, training=10.0, hosting=5.0):
    """A price book of one provider with round prices, so that sums can be done by hand."""
    usd = {"input": 1, "cached_input": 0.25, "output": 4, "tuned_input": 2, "tuned_cached_input": 0.5,
           "tuned_output": 8}  # fmt: skip
    rows = [price_row("shop", "m", what, value) for what, value in usd.items()]
    rows.append(price_row("shop", "m", "training", training, method="sft"))
    rows.append(price_row("shop", "*", "hosting", hosting, unit="month", model_retires=retires))
    return PriceBook(tuple(rows), BOOK.gpus)


@pytest.fixture
def read(tmp_path):
    """A function that writes a scenario and reads it, with replacements in its text."""

    def read(*replacements, text=TEXT, **settings):
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new, 1)
        path = tmp_path / "small.yaml"
        path.write_text(text, encoding="utf-8")
        return read_scenario(path, **settings)

    return read


def small(**changes) -> OptionCost:
    """An option of three plain numbers."""
    given = {"one_time": 0.0, "monthly": 0.0, "per_call": 0.0, "calls": 100.0, "lumps": ()} | changes
    parts = ({"all": given[key]} for key in ("one_time", "monthly", "per_call"))
    return OptionCost("an option", "prompted", *parts, given["calls"], given["lumps"])


# billing rules, each by hand


NOVA = price_row("aws", "amazon.nova-lite-v1:0", "training", 8, method="sft")
JOBS = [  # provider, model, rows, tokens a row, epochs, further terms -> millions billed, dollars, own prices
    # 500 rows x 400 tokens x 3 epochs; validation tokens are not billed
    ("openai", "gpt-4.1-mini", 500, 400, 3, {"validation_rows": 100, "evaluations": 9}, 0.6, 3.0, None),
    ("azure", "gpt-4.1-mini", 500, 400, 3, {}, 0.6, None, None),  # its rate was not found
    ("azure", "o4-mini", 0, 0, 1, {"method": "rft", "hours": 2.5}, 2.5, 250, None),  # by the hour, at 100 dollars
    # packed: 2 x 1,000 x 300 + 5 evaluations x 100 x 300; not packed, 2 x 1,000 x 2,048
    ("together", "any", 1000, 300, 2, {"size_b": 8, "validation_rows": 100, "evaluations": 5}, 0.75, 0.36, None),
    ("together", "any", 1000, 300, 2, {"size_b": 8, "packing": False, "max_seq_length": 2048}, 4.096, 1.96608, None),
    ("fireworks", "any", 2000, 500, 1, {"size_b": 8}, 1, 0.5, None),
    ("fireworks", "any", 2000, 500, 1, {"size_b": 70}, 1, 3, None),
    ("fireworks", "any", 2000, 500, 1, {"size_b": 70, "method": "dpo"}, 1, 6, None),
    ("google", "gemini-3.1-flash-lite", 1000, 250, 4, {}, 1, 3, None),
    ("aws", "amazon.nova-lite-v1:0", 300, 1000, 2, {}, 0.6, None, None),
    ("aws", "amazon.nova-lite-v1:0", 300, 1000, 2, {}, 0.6, 4.8, NOVA),
]


@pytest.mark.parametrize(("provider", "model", "rows", "tokens", "epochs", "terms", "billed", "usd", "own"), JOBS)
def test_a_training_job_is_billed_by_the_services_own_rule(
    provider, model, rows, tokens, epochs, terms, billed, usd, own
):
    book = BOOK if own is None else PriceBook((own,), ())
    job = training_charge(book, provider, model, rows, tokens, epochs, today=TODAY, **terms)
    assert job.billed == pytest.approx(billed)
    assert job.usd == (None if usd is None else pytest.approx(usd))


@pytest.mark.parametrize(
    ("provider", "model", "terms", "missing"),
    [
        ("azure", "o4-mini", {"method": "rft"}, "training.hours"),
        ("together", "any", {"size_b": 8, "packing": False}, "training.max_seq_length"),
    ],
)
def test_what_a_service_bills_by_has_to_be_given(provider, model, terms, missing):
    with pytest.raises(RecipeError, match=f"{missing}: is missing"):
        training_charge(BOOK, provider, model, 10, 10, 1, today=TODAY, **terms)


SERVICES = {  # provider, model, what is added to the training: two jobs, hosting a month, one call; None: not known
    "openai": ("gpt-4.1-mini", "", 2 * 0.6 * 5, 0, (100 * 0.8 + 50 * 3.2) / 1e6),
    "azure": ("gpt-4.1-mini", "", None, 1.70 * 730, None),
    "google": ("gemini-3.1-flash-lite", "", 2 * 0.6 * 3, None, None),
    "aws": ("amazon.nova-micro-v1:0", "", None, 0, (100 * 0.035 + 50 * 0.14) / 1e6),
    "together": ("any", ", size_b: 8", 2 * 0.6 * 0.48, None, 0),
    "fireworks": ("any", ", size_b: 70", 2 * 0.6 * 3, 8 * 730, 0),
}


@pytest.mark.parametrize("provider", SERVICES)
def test_training_hosting_and_calls_of_each_service_by_hand(read, provider):
    model, size, training, hosting, call = SERVICES[provider]
    old = "kind: tuned_hosted\n    provider: shop\n    model: m"
    new = f"kind: tuned_hosted\n    provider: {provider}\n    model: {model}"
    report = cost(read((old, new), ("runs: 2", f"runs: 2{size}")), TODAY)
    tuned = report["tuned"]
    assert tuned.one_time["training"] == (training if training is None else pytest.approx(training))
    assert tuned.monthly["hosting"] == (hosting if hosting is None else pytest.approx(hosting))
    assert tuned.usd_per_call == (call if call is None else pytest.approx(call))
    stored = tuned.monthly.get("storage", 0)  # Bedrock bills the storing of a model, at a rate we did not find
    assert (stored is None) == (provider == "aws")
    assert (tuned.total_usd(12) is None) == (None in (training, hosting, call, stored))


def test_hosting_is_paid_for_the_hours(read):
    old = "kind: tuned_hosted\n    provider: shop\n    model: m"
    new = "kind: tuned_hosted\n    provider: azure\n    model: gpt-4.1-mini"
    # 170 hours at 1.70: 289; that price is of March, and the report says so
    report = cost(read((old, new), text=TEXT + "    hosting: {hours_per_month: 170}\n"), TODAY)
    assert report["tuned"].monthly["hosting"] == pytest.approx(289)
    assert any("the price is 248 days old" in warning for warning in report.warnings)
    free = cost(read((old, new), text=TEXT + "    hosting: {tier: developer}\n"), TODAY)
    assert free["tuned"].monthly["hosting"] == 0
    odd = cost(read((old, new), text=TEXT + "    hosting: {tier: gold}\n"), TODAY)
    assert odd["tuned"].monthly["hosting"] is None
    assert any("tier gold: no such price" in warning for warning in odd.warnings)


# the kinds of options, each by hand


def test_a_prompt_and_a_hosted_fine_tune_by_hand(read):
    report = cost(read(), TODAY, shop())
    # long: 2,100 in at 1 and 50 out at 4 per million: 0.0021 + 0.0002 = 0.0023
    assert report["long"].usd_per_call == pytest.approx(0.0023)
    assert report["long"].one_time_usd == report["long"].monthly_usd == 0
    # tuned: 100 in at 2 and 50 out at 8: 0.0002 + 0.0004 = 0.0006
    tuned = report["tuned"]
    assert tuned.usd_per_call == pytest.approx(0.0006)
    # training 2 jobs x 0.6 million x 10 = 12; labels 10 x 2 min at 30/h = 10; test set 20 x 3 min = 30
    assert tuned.one_time == {"training": pytest.approx(12), "labelling": 10, "evaluation": 30}
    # hosting 5 a month; a third of a job of 6 a month, 2; a third of 4 x 5 min at 30/h, 10/3
    assert tuned.monthly == {"hosting": 5, "retraining": pytest.approx(2), "new labels": pytest.approx(10 / 3)}
    # 10,000 calls save 17 a month less 31/3: 20/3; 52 at the start come back after 7.8 months, 78,000 calls
    assert report.break_even.months == pytest.approx(7.8)
    assert report.break_even.calls == pytest.approx(78_000)
    # 24 months x 20/3 - 52 = 108
    assert report.saving_usd == pytest.approx(108)


def test_a_cached_prompt_is_billed_in_part_and_only_when_long_enough(read):
    cached = cost(read(("    prompt_tokens: [1000, 2000, 4000]", CACHED.format(2000))), TODAY, shop())
    # 80 %: 2,000 at 0.25, 100 at 1, 50 at 4: 0.0008; 20 %: 0.0023; mean 0.00064 + 0.00046 = 0.0011
    assert cached["long"].usd_per_call == pytest.approx(0.0011)
    short = cost(read(("    prompt_tokens: [1000, 2000, 4000]", CACHED.format(1000))), TODAY, shop())
    assert short["long"].usd_per_call == pytest.approx(0.0013)
    assert any("under the 1024" in warning for warning in short.warnings)
    # the cache turns the answer: at 0.0011 a call tuning saves 5 a month and costs 31/3
    assert cached.break_even.to_json() == "never"


CACHED = "    prompt_tokens: {}\n    cache_hit_rate: 0.8"


def test_retrieval_by_hand(read):
    option = """\
  rag:
    kind: rag
    provider: shop
    model: m
    prompt_tokens: 400
    context_tokens: 500
    retrieval: {provider: openai, model: text-embedding-3-small, index_tokens: 3000000, reindexings_per_month: 2,
                usd_per_search: 0.001, store_usd_per_month: 7}
"""
    rag = cost(read(text=TEXT + option), TODAY, shop())["rag"]
    # 1,000 in at 1 and 50 out at 4: 0.0012; the query's 100 tokens at 0.02 per million: 0.000002
    assert rag.per_call == {
        "model": pytest.approx(0.0012), "query embedding": pytest.approx(2e-6), "search": 0.001
    }  # fmt: skip
    # 3 million tokens at 0.02: 0.06, and twice again each month
    assert rag.one_time == {"index": pytest.approx(0.06)}
    assert rag.monthly == {"index again": pytest.approx(0.12), "index store": 7}


RENTED = """\
  rented:
    kind: tuned_self_hosted
    training: {cloud: lambda, gpu: H100, hours: 2, runs: 3, failed_share: 0.5}
    serving: {cloud: runpod, gpu: A100-80, calls_per_hour: 1000, utilisation: 0.25}
"""


def test_a_rented_gpu_by_hand_idle_hours_and_failed_runs_included(read):
    rented = cost(read(text=TEXT + RENTED), TODAY, shop())["rented"]
    # 3 runs x 1.5 x 2 hours x 4.29 = 38.61
    assert rented.one_time == {"training": pytest.approx(38.61)}
    # 10,000 calls at 1,000 an hour are 10 hours of work; one machine runs 730 hours at 1.79
    assert rented.monthly == {"GPU at work": pytest.approx(17.9), "GPU idle": pytest.approx(720 * 1.79)}
    assert rented.usd_per_call == 0
    assert any("labelling, evaluation, retraining not counted" in warning for warning in rented.warnings)


def test_more_machines_are_rented_when_one_is_not_enough(read):
    report = cost(read(text=TEXT + RENTED), TODAY, shop())
    capacity = 1000 * 0.25 * HOURS_PER_MONTH
    for machines, calls in ((1, capacity * 0.99), (2, capacity * 1.01), (4, capacity * 3.5)):
        option = report.at({"calls_per_month": calls})["rented"]
        assert option.monthly_usd == pytest.approx(machines * HOURS_PER_MONTH * 1.79)


def test_a_machine_that_stops_is_paid_by_the_call(read):
    text = TEXT + RENTED.replace("utilisation: 0.25}", "utilisation: 0.25, always_on: false}")
    rented = cost(read(text=text), TODAY, shop())["rented"]
    # 10,000 calls need 10 / 0.25 = 40 hours at 1.79
    assert rented.usd_per_call == pytest.approx(40 * 1.79 / 10_000)
    assert rented.monthly_usd == 0


def test_a_machine_of_ones_own_by_hand(read):
    option = """\
  own:
    kind: own_gpu
    machine_usd: 3000
    watts: 500
    usd_per_kwh: 0.2
    calls_per_hour: 100
    utilisation: 0.1
    training: {hours: 10, runs: 2, failed_share: 0.5}
"""
    own = cost(read(text=TEXT + option), TODAY, shop())["own"]
    # 10 calls an hour x 730 = 7,300 a machine: 10,000 calls need two; power 2 x 0.5 kW x 730 h x 0.2 = 146
    assert own.one_time == {"machines": 6000, "training": pytest.approx(2 * 1.5 * 10 * 0.5 * 0.2)}
    assert own.monthly == {"power": pytest.approx(146)}


def test_people_are_counted_by_the_hour(read):
    people = """\
    setup: {engineer_hours: 3}
    maintenance: {engineer_hours_per_month: 2}
    review: {share: 0.1, minutes: 2}
    drafting: {provider: shop, model: m, prompt_tokens: 1000, output_tokens: 250, rows: 500}
"""
    option = cost(read(text=TEXT + people), TODAY, shop())["tuned"]
    assert (option.one_time["setup"], option.monthly["maintenance"]) == (180, 120)
    assert option.per_call["review"] == pytest.approx(0.1 * 2 / 60 * 30)
    # 1,000 in at 1 and 250 out at 4: 0.002 a draft
    assert option.one_time["drafting"] == pytest.approx(1.0)


# retirement


def test_a_retirement_inside_the_horizon_costs_a_migration(read):
    plain = cost(read(), TODAY, shop())
    report = cost(read(), TODAY, shop(retires=TODAY + timedelta(365)))
    ((month, usd, reason),) = report["tuned"].lumps
    # after 12 months, by default: one training job of 6 and the evaluation of 30
    assert (month, usd) == (pytest.approx(12), pytest.approx(36))
    assert "forces a migration for $36.00" in reason
    baseline_pays = report["long"].lumps[0][1]
    assert baseline_pays == 0
    assert any("write migration_usd" in warning for warning in report.warnings)
    assert report.saving_usd == pytest.approx(plain.saving_usd - 36)
    # the break-even of 7.8 months comes before it, but at month 12 only 28 of 36 have been saved
    assert report.break_even.months == pytest.approx(7.8)
    assert any("behind again" in warning for warning in report.warnings)


def test_a_retirement_before_the_break_even_moves_it(read):
    report = cost(read(text=TEXT + "    retires: 2027-01-14\n"), TODAY, shop())
    # 53 days are 1.7 months; then (52 + 36) / (20/3) = 13.2 months
    assert report.break_even.months == pytest.approx(13.2)
    assert any("paid in the break-even" in warning for warning in report.warnings)
    assert any("retires on 2027-01-14" in warning for warning in report.warnings)
    given = cost(read(text=TEXT + "    retires: 2027-01-14\n    migration_usd: 8\n"), TODAY, shop())
    assert given.break_even.months == pytest.approx((52 + 8) / (20 / 3))


def test_a_retirement_past_or_after_the_horizon_costs_nothing_but_is_told(read):
    past = cost(read(text=TEXT + "    retires: 2026-01-01\n"), TODAY, shop())
    assert past["tuned"].lumps == ()
    assert any("retired on 2026-01-01" in warning for warning in past.warnings)
    assert cost(read(text=TEXT + "    retires: 2030-01-01\n"), TODAY, shop())["tuned"].lumps == ()


# one sum for the start

TRAINING = "    training: {rows: 1000, tokens_per_row: 200, epochs: 3, runs: 2}\n"
UNPACKED = TRAINING.replace("runs: 2", "packing: false")
AGAIN = "    retraining: {per_quarter: 1, rows: 4, minutes_per_row: 5}\n"


def test_one_sum_may_stand_for_the_training(read):
    sum_alone = cost(read((TRAINING, "    one_time_usd: [100, 400, 900]\n"), (AGAIN, "")), TODAY, shop())
    tuned = sum_alone["tuned"]
    assert tuned.one_time == {"in one sum": 400}
    assert "one_time_usd is the whole start: labelling, evaluation not added to it" in tuned.warnings
    assert tuned.monthly == {"hosting": 5}
    # 10,000 calls save 17 a month less 5: 400 come back after 33.3 months
    assert sum_alone.break_even.months == pytest.approx(400 / 12)
    assert "options.tuned.one_time_usd" in [band.name for band in sum_alone.scenario.bands]
    both = cost(read((TRAINING, f"{TRAINING}    one_time_usd: 400\n")), TODAY, shop())["tuned"]
    assert both.one_time_usd == 400
    retired = cost(read((TRAINING, "    one_time_usd: 400\n"), (AGAIN, "")), TODAY, shop(TODAY + timedelta(365)))
    assert retired["tuned"].lumps[0][1] == 400  # the sum once more


@pytest.mark.parametrize("kind", ["tuned_self_hosted", "own_gpu"])
def test_every_tuned_kind_takes_one_sum(read, kind):
    speed = "calls_per_hour: 1000, utilisation: 0.25"
    keys = {
        "tuned_self_hosted": f"serving: {{cloud: runpod, gpu: a100 80gb, {speed}}}",
        "own_gpu": "machine_usd: 3000\n    watts: 500\n    usd_per_kwh: 0.2\n    " + speed.replace(", ", "\n    "),
    }
    option = f"  own:\n    kind: {kind}\n    {keys[kind]}\n    one_time_usd: 700\n"
    own = cost(read(text=TEXT + option), TODAY, shop())["own"]
    assert own.one_time == {"in one sum": 700}
    assert own.total_usd(1) is not None


# what is not known


def test_an_unknown_price_leaves_the_answer_open(read):
    for book in (shop(training=None), shop(hosting=None)):
        report = cost(read(), TODAY, book)
        assert report.break_even.to_json() == "unknown"
        assert report.saving_usd is None
        assert report.npv("tuned") is None
        assert report["long"].usd_per_call == pytest.approx(0.0023)
        assert any("price unknown" in warning for warning in report.warnings)
        assert report.tornado().flips == ()
        assert report.saving_band(draws=3).likely is None
        assert "unknown" in repr(report)
        assert report.volume_curve([1000]).usd["tuned"] == (None,)
        assert json.loads(json.dumps(report.to_dict()))["options"][1]["one_time_usd"] == report["tuned"].one_time_usd


# break-even and curves


options = st.builds(
    small,
    one_time=st.floats(0, 1e5),
    monthly=st.floats(0, 1e4),
    per_call=st.floats(0, 10),
    calls=st.just(100.0),
)
lumps = st.lists(st.tuples(st.floats(0.1, 50), st.floats(0, 1e5), st.just("moved")), max_size=3).map(tuple)


@settings(deadline=None)
@given(options, options)
def test_never_exactly_when_the_saving_a_month_is_not_positive(baseline, candidate):
    saving = baseline.monthly_total_usd - candidate.monthly_total_usd
    assume(not 0 < saving < 1e-6)  # there the months leave the range of a float
    assert (break_even(baseline, candidate).to_json() == "never") == (saving <= 0)


@settings(deadline=None)
@given(options, options, lumps)
def test_the_break_even_is_where_the_curves_cross(baseline, candidate, due):
    candidate = small(**plain(candidate), lumps=due)
    even = break_even(baseline, candidate)
    assume(even.months is not None and even.months < 1e6)
    scale = max(1.0, baseline.total_usd(even.months), candidate.total_usd(even.months))
    gap = candidate.total_usd(even.months) - baseline.total_usd(even.months)
    if even.months == 0:
        assert gap <= 1e-9 * scale
        return
    assert gap == pytest.approx(0, abs=1e-6 * scale)
    for share in (0.0, 0.3, 0.9):
        earlier = even.months * share
        assert candidate.total_usd(earlier) >= baseline.total_usd(earlier) - 1e-6 * scale
    assert even.calls == pytest.approx(even.months * 100)


def plain(option):
    """What `small` made an option of."""
    parts = ("one_time", "monthly", "per_call")
    return {part: getattr(option, part)["all"] for part in parts} | {"calls": option.calls_per_month}


def test_present_value_by_hand():
    # 10 now, 5 at the end of each of 12 months at 12.6825 % a year, which is 1 % a month: 10 + 5 x 11.25508
    option = small(one_time=10.0, monthly=5.0)
    assert option.total_usd(12, 1.01**12 - 1) == pytest.approx(10 + 5 * (1 - 1.01**-12) / 0.01)
    assert option.total_usd(2.5) == pytest.approx(22.5)


def test_no_break_even_is_infinite():
    barely = break_even(small(one_time=0.0, monthly=1e-310), small(one_time=1e5))
    assert barely.to_json() == "never"


@settings(deadline=None, max_examples=20)
@given(st.lists(st.floats(1, 1e7), min_size=2, max_size=4).map(sorted), st.sampled_from(EXAMPLES))
def test_more_calls_are_never_cheaper(grid, path):
    report = cost(example(path), TODAY, BOOK)
    for totals in report.volume_curve(grid).usd.values():
        known = [usd for usd in totals if usd is not None]
        assert all(usd >= 0 for usd in known)
        assert all(more >= less * (1 - 1e-9) for less, more in zip(known, known[1:], strict=False))


def test_a_curve_is_the_present_value_at_each_number_of_calls(read):
    report = cost(read(), TODAY, shop())
    curve = report.volume_curve([1000, 20_000])
    assert curve.usd["tuned"] == tuple(report.at({"calls_per_month": n}).npv("tuned") for n in (1000, 20_000))
    assert "78,000" in repr(report)


# bands


def test_a_tornado_is_the_saving_at_both_ends_and_names_what_flips_it(read):
    report = cost(read(), TODAY, shop())
    tornado = report.tornado()
    swings = {swing.assumption: swing for swing in tornado.swings}
    assert set(swings) == {"calls_per_month", "options.long.prompt_tokens"}
    # 1,000 calls save 1.7 a month and cost 31/3: 24 x (1.7 - 31/3) - 52
    assert swings["calls_per_month"].at_low == pytest.approx(24 * (1.7 - 31 / 3) - 52)
    assert swings["calls_per_month"].at_high == pytest.approx(24 * (170 - 31 / 3) - 52)
    # a prompt of 1,000 tokens: 10,000 calls save 7 a month
    assert swings["options.long.prompt_tokens"].at_low == pytest.approx(24 * (7 - 31 / 3) - 52)
    assert tornado.flips == ("calls_per_month", "options.long.prompt_tokens")
    assert tornado.saving == report.saving_usd
    certain = cost(read(("calls_per_month: [1000, 10000, 100000]", "calls_per_month: [9999, 10000, 10001]")), TODAY,
                   shop()).tornado()  # fmt: skip
    assert certain.flips == ("options.long.prompt_tokens",)


def test_a_band_of_an_option_outside_the_comparison_is_left_out(read):
    report = cost(read(text=TEXT + RENTED.replace("hours: 2", "hours: [1, 2, 9]")), TODAY, shop())
    assert "options.rented.training.hours" in [band.name for band in report.scenario.bands]
    assert not any("rented" in swing.assumption for swing in report.tornado().swings)


def test_the_saving_band_lies_between_the_worst_and_the_best(read):
    report = cost(read(), TODAY, shop())
    band = report.saving_band(draws=60)
    worst = report.at({"calls_per_month": 1000, "options.long.prompt_tokens": 1000}).saving_usd
    best = report.at({"calls_per_month": 100_000, "options.long.prompt_tokens": 4000}).saving_usd
    assert worst < band.low < band.likely < band.high < best
    assert 0 <= band.share_positive <= 1
    assert band == report.saving_band(draws=60)


def test_every_option_and_the_break_even_come_with_a_band(read):
    report = cost(read(), TODAY, shop())
    low, high = report.at({"options.long.prompt_tokens": 1000}), report.at({"options.long.prompt_tokens": 4000})
    for name in ("long", "tuned"):
        worst, best = (
            [each.at({"calls_per_month": calls}).npv(name) for each in (low, high)] for calls in (1000, 100_000)
        )
        band = report.worth_bands[name]
        assert min(worst) < band.low < band.middle < band.high < max(best)
    assert report.months_band.low < report.months_band.middle < report.months_band.high
    # a prompt of 1,000 tokens and 1,000 calls never pay back; many of the draws do
    unsure = cost(read(("[1000, 10000, 100000]", "[1000, 3000, 30000]")), TODAY, shop())
    assert unsure.months_band.low < math.inf
    assert unsure.months_band.high == math.inf
    answer = json.loads(json.dumps(unsure.to_dict(), allow_nan=False))
    assert answer["break_even_months"]["high"] == "never"
    assert set(answer["options"][0]["worth_today_usd"]) == {"likely", "low", "middle", "high"}
    assert answer["saving_band"]["draws"] == module.DRAWS
    assert [swing["assumption"] for swing in answer["tornado"]] == [
        swing.assumption for swing in unsure.tornado().swings
    ]  # fmt: skip
    for text in (repr(unsure), unsure._repr_html_()):
        assert "8 of 10 draws" in text
        assert "to never" in text
        assert "alone enough to turn the answer round: calls_per_month" in text


BANDS = st.tuples(st.just(0.0) | st.floats(0.001, 1e6), st.floats(0.001, 1e6), st.floats(0.001, 1e6)).map(sorted)


@settings(deadline=None, max_examples=30)
@given(BANDS, st.integers(0, 1000))
def test_half_of_the_draws_lie_on_each_side_of_the_likely_value(band, seed):
    dice = random.Random(seed)
    drawn = [draw(dice, *band) for _ in range(200)]
    low, likely, high = band
    assert all(low <= each <= high for each in drawn)
    if low * 1.001 < likely < high / 1.001:
        assert 60 <= sum(each < likely for each in drawn) <= 140  # 100 with a deviation of 7


def test_bands_of_ratios_are_drawn_as_ratios():
    dice = random.Random(0)
    drawn = sorted(draw(dice, 100, 10_000, 1_000_000) for _ in range(2000))
    # a quarter of the draws above the middle are beyond half of the way: (1 - 0.5)^2; half of the way is ten times
    assert sum(each > 100_000 for each in drawn) / 2000 == pytest.approx(0.125, abs=0.03)
    assert sum(each < 1000 for each in drawn) / 2000 == pytest.approx(0.125, abs=0.03)
    from_zero = [draw(dice, 0, 50, 1050) for _ in range(2000)]
    assert sum(each > 550 for each in from_zero) / 2000 == pytest.approx(0.125, abs=0.03)


def test_without_bands_there_is_one_answer(read):
    report = cost(read(("[1000, 10000, 100000]", "10000"), ("[1000, 2000, 4000]", "2000")), TODAY, shop())
    assert report.worth_bands["long"].low == report.worth_bands["long"].high == report.npv("long")
    assert report.months_band.low == report.months_band.high == report.break_even.months
    assert "drawn at once" not in repr(report)


@pytest.mark.parametrize("draws", [0, -3, 2.5, True, "many"])
def test_the_number_of_draws_is_a_whole_one(read, draws):
    with pytest.raises(RecipeError, match="^draws: .*whole number"):
        cost(read(), TODAY, shop()).saving_band(draws)


def test_values_are_changed_by_the_names_of_assumptions(read):
    report = cost(read(), TODAY, shop())
    assert report.at({"options.tuned.training.runs": 3})["tuned"].one_time["training"] == pytest.approx(18)
    with pytest.raises(RecipeError, match="no assumption is called run"):
        report.at({"run": 3})
    with pytest.raises(RecipeError, match="no option is called cheap; the options are long, tuned"):
        report["cheap"]


# the file


def test_other_values_leave_the_other_bands(read):
    report = cost(read(), TODAY, shop())
    moved = report.at({"calls_per_month": 20_000})
    (swing,) = moved.tornado().swings
    assert [swing.assumption] == [band.name for band in moved.scenario.bands] == ["options.long.prompt_tokens"]
    ends = [report.at({"calls_per_month": 20_000, "options.long.prompt_tokens": n}).saving_usd for n in (1000, 4000)]
    assert [swing.at_low, swing.at_high] == ends
    band = moved.saving_band(draws=30)
    assert ends[0] < band.low < band.high < ends[1]
    assert report.at({}).tornado() == report.tornado()
    assert [band.name for band in report.scenario.bands] == ["calls_per_month", "options.long.prompt_tokens"]  # kept


def test_calls_may_be_given_a_day(read):
    scenario = read(("calls_per_month: [1000, 10000, 100000]", "calls_per_day: [12, 120, 1200]"))
    assert scenario.point()["calls_per_month"] == pytest.approx(120 * 365 / 12)


def test_tokens_come_from_the_learners_file_through_the_callers_counter(read, tmp_path):
    turns = [("system", "a b"), ("user", "c d e"), ("assistant", "f")], [("user", "g"), ("assistant", "h i j")]
    rows = [{"messages": [{"role": role, "content": text} for role, text in row]} for row in turns]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    # user 3 and 1, assistant 1 and 3, all turns 6 and 4
    changes = [("input_tokens: 100\noutput_tokens: 50", "tokens_from: rows.jsonl"),
               ("rows: 1000, tokens_per_row: 200, ", "")]  # fmt: skip
    point = read(*changes, count_tokens=lambda text: len(text.split())).point()
    assert (point["input_tokens"], point["output_tokens"]) == (2, 2)
    assert (point["options"]["tuned"]["training"]["rows"], point["options"]["tuned"]["training"]["tokens_per_row"]) == (
        2,
        5,
    )
    with pytest.raises(RecipeError, match="tokens_from: nobody counts the tokens; pass count_tokens"):
        read(*changes)


def test_own_prices_are_named_in_the_scenario_and_found_beside_it(read, tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "prices:\n"
        + "".join(
            f"  - {{provider: shop, model: m, what: {what}, unit: 1M tokens, usd: 1, source_date: {TODAY}}}\n"
            for what in ("input", "output", "tuned_input", "tuned_output")
        )
    )
    report = cost(read(("discount_rate: 0", "prices: mine.yaml")), TODAY)
    assert report["long"].usd_per_call == pytest.approx(2150 / 1e6)
    assert any("no such price" in warning for warning in report.warnings)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("horizon_months: 24", "horizont: 24", r":3: horizont: is unknown; did you mean horizon_months"),
        ("horizon_months: 24\n", "", "horizon_months: is missing; write over how many months"),
        ("horizon_months: 24", "horizon_months: 0", r":3: horizon_months: is 0"),
        ("input_tokens: 100", "input_tokens: many", r":6: input_tokens: is .many.; write tokens"),
        ("input_tokens: 100", "input_tokens: .inf", r"input_tokens: is a huge number"),
        ("input_tokens: 100", "input_tokens: .nan", r"input_tokens: is nan;"),
        ("input_tokens: 100", "input_tokens: -1", r"input_tokens: is -1"),
        ("input_tokens: 100\n", "", "input_tokens: is missing; write tokens per call, or tokens_from"),
        ("[1000, 10000, 100000]", "[1000, 10000]", r":5: calls_per_month: is \[1000, 10000\]; .* band"),
        ("[1000, 10000, 100000]", "[1, 3, 2]", "from small to large"),
        ("[1000, 10000, 100000]", "0", "calls_per_month: is 0"),
        ("calls_per_month: [1000, 10000, 100000]\n", "", "stands beside calls_per_day"),
        ("candidate: tuned", "candidate: tunde", ":9: compare.candidate: is tunde; write one of long, tuned"),
        ("candidate: tuned", "candidate: long", "is the baseline itself"),
        ("kind: prompted", "kind: prompt", r"did you mean prompted.*; write one of prompted"),
        ("    kind: prompted\n", "", "options.long.kind: is missing"),
        ("    provider: shop\n", "", "options.long.provider: is missing"),
        ("    prompt_tokens: 0", "    context_tokens: 0", "options.tuned.context_tokens: is unknown"),
        ("epochs: 3", "epoch: 3", "training.epoch: is unknown; did you mean epochs"),
        ("rows: 1000, ", "", "training.rows: is missing"),
        (TRAINING, "", r":16: options.tuned.training: is missing; write what is trained, or one_time_usd: one sum"),
        (TRAINING, "    one_time_usd: 3\n", "options.tuned.retraining: is there without training"),
        (
            "shop\n    model: m\n    prompt_tokens: 0\n" + TRAINING,
            "together\n    model: m\n    prompt_tokens: 0\n" + UNPACKED,
            "training.max_seq_length: is missing",
        ),
        ("    prompt_tokens: 0", "    prompt_tokens: 0\n    prices: my.csv", "prices: is unknown here; put it"),
        ("discount_rate: 0", "prices: [1]", r"prices: is \[1\]; write the name of a CSV or YAML file"),
        ("name: small", "name: small\nname: large", ":2: name: stands there twice"),
        ("name: small", "name: [", "not YAML"),
        ("  long:", "  1:", "options"),
        ("  long:", "  a.b:", "in letters, digits"),
        ("    prompt_tokens: 0", "    prompt_tokens: 0\n    retires: 2027-02-30", "write a day as|not readable"),
        ("    prompt_tokens: 0", "    prompt_tokens: 0\n    retires: soon", "write the day"),
    ],
)
def test_a_faulty_file_names_line_key_and_remedy(read, old, new, message):
    with pytest.raises(RecipeError, match=message) as caught:
        read((old, new))
    assert "small.yaml:" in str(caught.value)


def leaves(content, at=()):
    for key, value in content.items():
        yield (*at, key)
        if isinstance(value, dict):
            yield from leaves(value, (*at, key))


JUNK = (None, "x", True, -1, 0, 1e300, [], [1, 2, "a"], [3, 2, 1], [0, 1e12, 1e12], {"a": 1})


@pytest.mark.parametrize("at", list(leaves(yaml.safe_load(TEXT + RENTED))), ids=".".join)
def test_junk_in_any_place_is_counted_or_refused_with_the_file(read, monkeypatch, at):
    monkeypatch.setattr(module, "DRAWS", 2)
    for junk in JUNK:
        content = yaml.safe_load(TEXT + RENTED)
        section = content
        for key in at[:-1]:
            section = section[key]
        section[at[-1]] = junk
        message = "small.yaml:"
        try:
            report = cost(read(text=yaml.safe_dump(content, sort_keys=False)), TODAY, shop())
            json.dumps(report.to_dict(), allow_nan=False)
        except RecipeError as error:
            message = str(error)
        assert "small.yaml:" in message, junk


def test_a_file_without_settings_is_refused(tmp_path):
    (tmp_path / "empty.yaml").write_text("")
    for name in ("empty.yaml", "nowhere.yaml", "."):
        with pytest.raises(RecipeError):
            read_scenario(tmp_path / name)


# the contract and the examples


def test_the_report_keeps_the_contract(read):
    answer = json.loads(json.dumps(cost(read(), TODAY, shop()).to_dict()))
    assert {"options", "break_even", "assumptions", "warnings"} <= set(answer)
    for option in answer["options"]:
        assert {"name", "one_time_usd", "monthly_usd", "usd_per_call", "parts"} <= set(option)
        for part, total in (("one_time", "one_time_usd"), ("monthly", "monthly_usd"), ("per_call", "usd_per_call")):
            assert math.fsum(option["parts"][part].values()) == pytest.approx(option[total])
    assert set(answer["break_even"]) == {"calls", "months"}
    assert {"name": "input_tokens", "low": 100, "likely": 100, "high": 100} in answer["assumptions"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_read_and_answer_within_their_bands(path):
    report = cost(example(path), TODAY)
    assert report.scenario.name == path.stem
    assert report.scenario.bands
    assert report.scenario.name in repr(report)
    assert "worth today" in report._repr_html_()
    json.dumps(report.to_dict(), allow_nan=False)
    unknown = report.break_even.verdict == "unknown"
    assert unknown == any("price unknown" in warning for warning in report.warnings)
    for option in report.options:
        band, likely = report.worth_bands[option.name], report.npv(option.name)
        assert (band.low is None) == (likely is None)
        assert likely is None or band.low <= likely <= band.high, option.name


def test_examples_show_every_kind_and_every_verdict():
    contents = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in EXAMPLES]
    kinds = {option["kind"] for content in contents for option in content["options"].values()}
    assert kinds == set(KINDS)
    assert any("tokens_from" in content for content in contents)
    verdicts = {cost(example(path), TODAY).break_even.verdict for path in EXAMPLES}
    assert verdicts == {"break-even", "never", "unknown"}


def test_money_is_readable():
    assert [money(usd) for usd in (None, 0, -0.001, -3, 1234.5)] == ["unknown", "$0.00", "$0.00", "-$3.00", "$1,234"]
    assert money(0.000123, 6) == "$0.000123"
