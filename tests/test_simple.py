"""The baselines that anyone would think of first."""

import pytest

from ftlab.baselines.simple import copy_input, majority, nearest
from ftlab.errors import DataError

ROWS = [
    {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": answer}]}
    for text, answer in [
        ("my parcel is late", "logistics"),
        ("the parcel never came", "logistics"),
        ("I want my money back", "billing"),
        ("the kettle is broken", "workshop"),
    ]
]
TALK = (
    {"role": "user", "content": "the kettle"},
    {"role": "assistant", "content": "what of it?"},
    {"role": "user", "content": "it leaks"},
)


def test_the_commonest_answer():
    out = majority(ROWS[1:]).answer(["anything", TALK])
    assert out.texts == ("logistics", "logistics")  # the first of equally common ones
    assert (out.tokens_per_call, out.cut_off) == (0, 0)
    assert "logistics" in repr(majority(ROWS))


def test_the_input_itself():
    assert copy_input().answer(["a text", TALK]).texts == ("a text", "it leaks")


def test_the_answer_of_the_likest_row():
    rule = nearest(ROWS)
    assert rule.answer(["where is my money", "late, that parcel", TALK]).texts == ("billing", "logistics", "workshop")
    assert rule.answer(["my parcel is late"]).texts == ("logistics",)  # of the second row
    assert len(rule.answer(["zzz"]).texts[0]) > 0  # no word in common with any
    assert nearest(ROWS[:1]).answer(["my parcel is late"]).texts == ("logistics",)


@pytest.mark.parametrize("make", [majority, nearest])
def test_no_rows(make):
    with pytest.raises(DataError, match="give training rows"):
        make([])
