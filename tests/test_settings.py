"""The reader of settings: what it fills in, what it refuses and with which words, and that nothing slips through."""

from datetime import date
from pathlib import Path
from typing import Literal

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from ftlab.errors import DataError, RecipeError, shown
from ftlab.settings import Number, Place, Settings, Text, Whole, fit, read_settings, read_text


class Oven(Settings):
    """A section."""

    hot: bool = Field(False, description="true or false: is it hot?", strict=True)
    degrees: Number | None = Field(None, description="degrees")


class Cake(Settings):
    """Some settings."""

    name: Text = Field(description="a name")
    share: Number = Field(description="a fraction from 0 to 1", ge=0, le=1)
    count: Whole | None = Field(None, description="how many, a whole number from 1", ge=1)
    size: Literal["small", "large"] = "small"
    day: date | None = Field(None, description="the day as 2026-11-22")
    oven: Oven = Oven()


@pytest.fixture
def read(tmp_path):
    """A function that writes a text and reads it as settings."""

    def read(text):
        path = tmp_path / "cake.yaml"
        path.write_text(text, encoding="utf-8")
        return read_settings(path, Cake, "baking")

    return read


def test_defaults_are_filled_in_and_numbers_and_days_have_their_types(read):
    cake, place = read("name: cake\nshare: 1\ncount: 1e3\nday: 2026-11-22\noven:\n  degrees: 18e1\n")
    assert cake == Cake(name="cake", share=1.0, count=1000, day=date(2026, 11, 22), oven=Oven(degrees=180.0))
    assert (type(cake.share), type(cake.count)) == (float, int)
    assert (place.lines["share",], place.lines["oven", "degrees"]) == (2, 6)


def test_an_optional_key_may_be_left_empty_and_a_needed_one_may_not(read):
    cake, _ = read("name: cake\nshare: 0.5\ncount:\nsize:\noven:\n")
    assert cake == Cake(name="cake", share=0.5)
    with pytest.raises(RecipeError, match=r"cake\.yaml:2: share: is empty; write a fraction"):
        read("name: cake\nshare:\n")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("share: 0.5", "shar: 0.5", "2: shar: is unknown; did you mean share?"),
        ("share: 0.5\n", "", "1: share: is missing; write a fraction from 0 to 1"),
        ("share: 0.5", "share: 0.5\nhot: true", "3: hot: is unknown; put it under oven:"),
        ("oven: {", "oven: {count: 3, ", "6: oven.count: is unknown; put it at the top level"),
        ("count: 3", "ount: 3", "3: ount: is unknown; did you mean count?"),
        ("count: 3", "xyz: 3", "3: xyz: is unknown; delete it, or use one of name, share, count"),
        ("share: 0.5", "share: 5", "2: share: is 5; write a fraction"),
        ("share: 0.5", "share: half", '2: share: is "half"; write a fraction'),
        ("share: 0.5", "share: .nan", '2: share: is nan; write a fraction'),
        ("share: 0.5", "share: .inf", "2: share: is a huge number; write a fraction"),
        ("share: 0.5", "share: true", "2: share: is true; write a fraction"),
        ("share: 0.5", "share: {half: 1}", "2: share: is a section; write a fraction"),
        ("share: 0.5", "share: [0, 1]", "2: share: is [0, 1]; write a fraction"),
        ("count: 3", "count: 2.5", "3: count: is 2.5; write how many, a whole number from 1"),
        ("count: 3", "count: 0", "3: count: is 0; write how many"),
        ("size: large", "size: lagre", '4: size: is "lagre" (did you mean large?); write one of small, large'),
        ("day: 2026-11-22", "day: soon", '5: day: is "soon"; write the day as 2026-11-22'),
        ("day: 2026-11-22", "day: '2026-02-30'", '5: day: is "2026-02-30"; write the day as'),
        ("{hot: true}", "3", "6: oven: is 3; write it as a section with hot, degrees"),
        ("{hot: true}", "{hot: 3}", "6: oven.hot: is 3; write true or false: is it hot?"),
        ("share: 0.5", "share: 0.5\nshare: 1", "3: share: stands there twice; delete one"),
        ("{hot: true}", "{hot: true, hot: false}", "6: oven.hot: stands there twice; delete one"),
    ],
)
def test_a_problem_is_told_with_its_line_key_and_remedy(read, old, new, message):
    text = "name: cake\nshare: 0.5\ncount: 3\nsize: large\nday: 2026-11-22\noven: {hot: true}\n"
    read(text)
    assert text.count(old) == 1
    with pytest.raises(RecipeError) as caught:
        read(text.replace(old, new))
    assert any(f"cake.yaml:{message}" in line for line in str(caught.value).splitlines()), caught.value


def test_all_problems_come_at_once_in_the_order_of_the_file(read):
    with pytest.raises(RecipeError) as caught:
        read("size: huge\ncount: 0\nshare: 2\n")
    keys = [line.split(": ")[1] for line in str(caught.value).splitlines()]
    assert keys == ["name", "size", "count", "share"]


def test_a_wrong_item_of_a_list_of_choices_gets_the_nearest_one():
    class Tin(Settings):
        shapes: tuple[Literal["round", "square"], ...] = Field(description="a list out of round, square")

    for shapes, meant in (["squar"], " (did you mean square?)"), (["round", 3], ""):
        _, [(at, text)] = fit({"shapes": shapes}, Tin)
        assert at == ("shapes", len(shapes) - 1)
        assert text == f"is {shown(shapes[-1])}{meant}; write a list out of round, square"


def test_content_without_a_file_is_checked_too():
    found, problems = fit({"share": 2, "name": "x", "hot": 1}, Cake)
    assert found is None
    assert sorted(problems) == [
        (("hot",), "is unknown; put it under oven:"),
        (("share",), "is 2; write a fraction from 0 to 1"),
    ]


def test_settings_made_by_a_call_are_refused_in_the_same_words():
    with pytest.raises(RecipeError, match=r"^share: is 2; write a fraction from 0 to 1$"):
        Cake(name="x", share=2)
    with pytest.raises(RecipeError, match=r"^Cake:\nshare: is missing; (.|\n)*\nnam: is unknown; did you mean name\?$"):
        Cake(name="x", nam="y")


def test_the_caller_chooses_the_error_and_no_problem_is_none():
    place = Place(Path("cakes.csv"), {(): 7})
    place.raise_problems([])
    with pytest.raises(DataError, match=r"^cakes\.csv:7: share: is 2$"):
        place.raise_problems([(("share",), "is 2")], DataError)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no baking; write `key: value` lines for name, share, count"),
        ("- a\n", "holds no baking"),
        ("name: [\n", "not YAML"),
        ("name: !!python/object:os.system x\n", "cake.yaml:1: not YAML"),
        ("name: a: b\n", "put a text with a colon in quotes"),
        ("name: 2026-13-45\n", "not readable as YAML"),
        ("name: &a [*a]\n", "not readable as YAML"),
        ("name: \0\n", "not readable as YAML"),
    ],
)
def test_what_holds_no_settings_is_refused(read, text, message):
    with pytest.raises(RecipeError) as caught:
        read(text)
    assert "cake.yaml" in str(caught.value)
    assert message in str(caught.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9\n")
    for name, message in (("none.yaml", "does not exist"), (".", "is a folder"), ("latin.yaml", "byte 9 is not UTF-8")):
        with pytest.raises(RecipeError, match=message):
            read_settings(tmp_path / name, Cake, "baking")
    with pytest.raises(RecipeError, match="cannot be read"):
        read_text(tmp_path)


def test_values_are_shown_short_and_as_written():
    values = (None, 4.0, 0.25, True, "a", [1.0, None, {}], {"a": 1}, 10**5000)
    texts = ["empty", "4", "0.25", "true", '"a"', "[1, empty, a section]", "a section", "a huge number"]
    assert [shown(value) for value in values] == texts
    assert len(shown("x" * 80)) == len(shown(["x"] * 80)) == 60


def test_a_number_too_long_to_print_is_refused(read):
    with pytest.raises(RecipeError, match="share: is a huge number"):
        read(f"name: cake\nshare: 0x{'f' * 5000}\n")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.dates(), inner, max_size=3),
    max_leaves=4,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(Cake.model_fields)) | st.text(max_size=3), VALUES))
def test_any_values_are_read_or_refused_and_what_is_read_fits(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    try:
        found, _ = read_settings(path, Cake, "baking")
    except RecipeError as error:
        assert str(error).startswith(str(path))  # noqa: PT017  both outcomes are allowed
    else:
        assert fit(found.model_dump(), Cake) == (found, [])
