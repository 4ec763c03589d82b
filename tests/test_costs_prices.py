"""Prices: the tables as they ship, what is unknown, what is old, one call by hand, and a learner's own file."""

import csv
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftlab.costs.prices import (
    CALL,
    GPU_HOUR,
    NEAR_DAYS,
    OLD_DAYS,
    TOKENS,
    Price,
    PriceRow,
    base_name,
    load_prices,
)
from ftlab.errors import DataError, FtlabError
from ftlab.models import data_folder

TODAY = date(2026, 11, 22)
BOOK = load_prices()


@pytest.fixture
def book():
    return BOOK


def price_row(**more):
    """A price of one dollar for training."""
    return PriceRow(provider="p", model="m", what="training", unit=TOKENS, usd=1.0, **more)


def test_tables_hold_no_two_rows_for_one_offer_and_every_price_has_source_and_date(book):
    keys = [row.key for row in book.rows] + [row.key for row in book.gpus]
    assert len(keys) == len(set(keys)) > 100
    for row in (*book.rows, *book.gpus):
        assert row.source
        assert row.source_date <= TODAY
        assert row.source_url.startswith("https://")
        price = row.usd if isinstance(row, PriceRow) else row.usd_per_gpu_hour
        assert (price is None) == (row.confidence == "")


def test_an_empty_cell_is_unknown_and_never_zero(book):
    with (data_folder() / "prices" / "training.csv").open(encoding="utf-8", newline="") as file:
        empty = sum(not row["usd"] for row in csv.DictReader(file))
    assert empty == sum(row.usd is None for row in book.rows) > 0
    price = book.price("azure", "gpt-4.1-mini", "training", TODAY, method="sft")
    assert price.amount is None
    assert price.usd(5, TOKENS) is None
    assert "unknown" in price.warnings[0]
    assert "prices file" in price.warnings[0]


def test_units_do_not_mix():
    with pytest.raises(DataError, match="per call and one per 1M tokens do not mix"):
        Price(1.0, CALL).usd(1, TOKENS)


def test_warnings_come_with_age_and_with_retirement():
    row = price_row(source_date=TODAY, model_retires=TODAY + timedelta(1000))
    assert row.price(TODAY).warnings == ()
    assert row.price(TODAY + timedelta(OLD_DAYS)).warnings == ()
    (old,) = row.price(TODAY + timedelta(OLD_DAYS + 1)).warnings
    assert f"{OLD_DAYS + 1} days old" in old
    near = row.price(row.model_retires - timedelta(NEAR_DAYS)).warnings
    assert any(f"in {NEAR_DAYS} days" in warning for warning in near)
    assert not any("retires" in w for w in row.price(row.model_retires - timedelta(NEAR_DAYS + 1)).warnings)
    assert any("retired on" in warning for warning in row.price(row.model_retires).warnings)


def test_what_has_no_date_or_is_only_a_lead_says_so(book):
    assert "no date" in price_row().price(TODAY).warnings[0]
    assert "nobody has confirmed" in book.gpu("aws", "T4", TODAY).warnings[0]


def test_training_that_ends_is_announced(book):
    warnings = book.price("openai", "gpt-4.1-mini", "training", TODAY, method="sft").warnings
    assert any("new training ends on 2027-01-06" in warning for warning in warnings)
    assert any("only organisations with a fine-tuned model in use may still train" in warning for warning in warnings)
    later = book.price("openai", "gpt-4.1-mini", "training", date(2027, 2, 1), method="sft").warnings
    assert any("no new training since" in warning for warning in later)
    assert any("retired on 2027-01-14" in warning for warning in later)


@pytest.mark.parametrize(("size", "usd"), [(8, 0.5), (16, 0.5), (17, 3), (80, 3), (120, 6), (300, 6), (400, 10)])
def test_size_classes_hold_up_to_their_limit(book, size, usd):
    assert book.price("fireworks", "any", "training", TODAY, method="sft", size_b=size).amount == usd
    assert book.price("fireworks", "any", "training", TODAY, method="dpo", size_b=size).amount == 2 * usd


def test_a_size_class_is_not_guessed_and_may_not_exist(book):
    unsized = book.price("fireworks", "any", "training", TODAY, method="sft")
    assert unsized.amount is None
    assert "give size_b" in unsized.warnings[0]
    too_large = book.price("together", "any", "training", TODAY, method="sft", size_b=400)
    assert too_large.amount is None
    assert "ends at 100 billion" in too_large.warnings[0]


def test_names_of_fine_tunes_and_dated_models_find_their_row(book):
    assert base_name("ft:gpt-4.1-mini-2025-04-14:shop::abc") == "gpt-4.1-mini"
    assert base_name("gpt-4o-2024-08-06") == "gpt-4o"
    assert base_name("amazon.nova-micro-v1:0") == "amazon.nova-micro-v1:0"
    assert book.price("openai", "ft:gpt-4.1-mini-2025-04-14:shop::abc", "tuned_output", TODAY).amount == 3.2


def test_an_unknown_name_is_answered_with_what_there_is(book):
    assert "gpt-4.1-mini" in book.price("openai", "gpt-9", "tuned_input", TODAY).warnings[0]
    assert "openai" in book.price("opnai", "gpt-4.1", "training", TODAY, method="sft").warnings[0]
    assert "runpod H100" in book.gpu("aws", "B300", TODAY).warnings[0]
    assert "gpt-4.1-mini" in book.call("openai", "gpt-41-mini", 10, 10, today=TODAY).warnings[0]
    assert "openai" in book.call("opnai", "gpt-4.1", 10, 10, today=TODAY).warnings[0]


def test_one_call_by_hand(book):
    # gpt-4.1-mini: 0.40 in, 0.10 cached, 1.60 out. 200 fresh, 1,800 cached, 50 out:
    # (200 x 0.40 + 1,800 x 0.10 + 50 x 1.60) / 1e6 = (80 + 180 + 80) / 1e6 = 0.00034
    assert book.call("openai", "gpt-4.1-mini", 2000, 50, 1800, today=TODAY).amount == pytest.approx(0.00034)
    # tuned: 0.80 in, 0.20 cached, 3.20 out: (160 + 360 + 160) / 1e6
    tuned = book.call("openai", "gpt-4.1-mini", 2000, 50, 1800, tuned=True, today=TODAY)
    assert tuned.amount == pytest.approx(0.00068)
    assert any("retires" in warning for warning in tuned.warnings)


def test_a_million_calls_are_not_one_call_with_the_tokens_of_all(book):
    # gemini-2.5-pro has a higher price from 200,000 tokens: for a long call only
    many = book.call("google", "gemini-2.5-pro", 2000, 100, today=TODAY).amount * 1000
    at_once = book.call("google", "gemini-2.5-pro", 2_000_000, 100_000, today=TODAY)
    assert many < at_once.amount


def test_a_price_the_library_does_not_have_is_not_free(book):
    price = book.call("openai", "text-embedding-3-small", 100, 5, today=TODAY)
    assert price.amount is None
    assert "output tokens" in price.warnings[0]
    assert book.call("openai", "text-embedding-3-small", 1_000_000, 0, today=TODAY).amount == pytest.approx(0.02)
    cached = book.call("openai", "text-embedding-3-small", 100, 0, 50, today=TODAY)
    assert "full price" in cached.warnings[0]


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 5000), st.integers(0, 5000), st.integers(0, 2000), st.booleans())
def test_a_call_is_never_negative_and_caching_never_dearer(cached, fresh, out, tuned):
    prices = BOOK
    plain = prices.call("openai", "gpt-4.1", cached + fresh, out, tuned=tuned, today=TODAY)
    hit = prices.call("openai", "gpt-4.1", cached + fresh, out, cached, tuned=tuned, today=TODAY)
    assert 0 <= hit.amount <= plain.amount + 1e-15


@pytest.mark.parametrize("tokens", [(10, 5, 11, 0), (10, 5, 6, 5), (10, -1, 0, 0), (10, 5, -1, 0)])
def test_cached_tokens_are_part_of_the_input(book, tokens):
    asked, out, cached, written = tokens
    with pytest.raises(DataError, match="part of the 10 input tokens"):
        book.call("openai", "gpt-4.1", asked, out, cached, written, today=TODAY)


def test_a_machine_of_eight_gpus_says_so(book):
    price = book.gpu("aws", "A100-80", TODAY)
    assert price.usd(8, GPU_HOUR) == pytest.approx(27.44)
    assert any("8 at once" in warning for warning in price.warnings)


def test_own_rows_replace_and_add(tmp_path, book):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "prices:\n"
        "  - {provider: azure, model: gpt-4.1-mini, what: training, method: sft, unit: 1M tokens, usd: 5.5,"
        " source: contract, source_date: 2026-11-01}\n"
        "  - {provider: openai, model: new-model, what: input, unit: 1M tokens, usd: 1}\n"
        "  - {provider: openai, model: new-model, what: output, unit: 1M tokens, usd: 2}\n"
        "gpus:\n"
        "  - {cloud: ours, gpu: H100, usd_per_gpu_hour: 2e0}\n"
    )
    mine = load_prices(path)
    assert len(mine.rows) == len(book.rows) + 2
    assert mine.price("azure", "gpt-4.1-mini", "training", TODAY, method="sft").amount == 5.5
    # 1,000 in at 1 and 100 out at 2 per million: 0.001 + 0.0002
    assert mine.call("openai", "new-model", 1000, 100, today=TODAY).amount == pytest.approx(0.0012)
    assert mine.gpu("ours", "H100", TODAY).amount == 2.0


def test_own_rows_may_be_a_csv_of_either_table(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("cloud,gpu,usd_per_gpu_hour\naws,H100,\n")
    assert load_prices(path).gpu("aws", "H100", TODAY).amount is None


HEAD = "provider,model,what,unit,usd,source_date\n"


@pytest.mark.parametrize(
    ("text", "place", "remedy"),
    [
        (HEAD + "a,b,training,1M tokens,free,\n", ":2: usd", "write a number from 0"),
        (HEAD + "a,b,training,1M tokens,-1,\n", ":2: usd", "write a number from 0"),
        (HEAD + "a,b,training,1M tokens,nan,\n", ":2: usd", "write a number from 0"),
        (HEAD + "a,b,training,a token,1,\n", ":2: unit", "write one of 1M tokens"),
        (HEAD + "a,b,tuning,1M tokens,1,\n", ":2: what", "write one of training"),
        (HEAD + "a,b,training,1M tokens,1,22.11.2026\n", ":2: source_date", "write the day of the price as"),
        (HEAD + "a,,training,1M tokens,1,\n", ":2: model", "is missing"),
        ("provider,model,what,unit,usd,currency\na,b,training,1M tokens,1,EUR\n", ":2: currency", "write USD"),
        (HEAD + "a,b,training,1M tokens,1,,7\n", ":2", "more cells than columns"),
        ("provider,model,what,unit,usd_per_token\na,b,training,1M tokens,1\n", ":2: usd_per_token", "is unknown"),
        ("", "mine.csv", "is empty"),
        (HEAD + 'a,"b,training\n', "mine.csv", "close every quote"),
    ],
)
def test_a_faulty_table_names_file_line_column_and_remedy(tmp_path, text, place, remedy):
    path = tmp_path / "mine.csv"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        load_prices(path)
    assert "mine.csv" in str(caught.value)
    assert place in str(caught.value)
    assert remedy in str(caught.value)


@pytest.mark.parametrize("name", ["nowhere.yaml", "nowhere.csv", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path, name):
    with pytest.raises(FtlabError, match="does not exist|folder"):
        load_prices(tmp_path / name)


@settings(deadline=None)
@given(st.text(max_size=80))
def test_any_text_as_own_prices_is_read_or_refused_with_its_name(tmp_path_factory, text):
    for suffix in ("csv", "yaml"):
        path = tmp_path_factory.getbasetemp() / f"any.{suffix}"
        path.write_text(text, encoding="utf-8")
        message = path.name
        try:
            load_prices(path)
        except FtlabError as error:
            message = str(error)
        assert path.name in message
