"""Splits: groups stay whole, nothing is lost, and a leak is named."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftlab.data.splits import assert_no_leak, split_by_group
from ftlab.errors import DataError


def rows_of(groups):
    return [{"id": str(number), "pattern": group} for number, group in enumerate(groups)]


def chat(text, answer="a", **extra):
    turns = [("system", "Triage."), ("user", text), ("assistant", answer)]
    return {"messages": [{"role": role, "content": content} for role, content in turns], **extra}


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=60), st.integers(0, 5))
def test_groups_stay_whole_and_rows_are_kept(groups, seed):
    rows = rows_of(groups)
    if len(set(groups)) < 3:
        with pytest.raises(DataError, match="too few"):
            split_by_group(rows, "pattern", seed=seed)
        return
    parts = split_by_group(rows, "pattern", seed=seed)
    assert sorted(int(row["id"]) for part in parts.values() for row in part) == list(range(len(rows)))
    sides = [{row["pattern"] for row in part} for part in parts.values()]
    assert all(sides)
    assert sum(map(len, sides)) == len(set(groups))
    for part in parts.values():
        assert [int(row["id"]) for row in part] == sorted(int(row["id"]) for row in part)
    assert_no_leak(parts["train"], parts["test"], key="pattern")


@settings(max_examples=80, deadline=None)
@given(st.lists(st.sets(st.integers(0, 30), min_size=1, max_size=2), min_size=3, max_size=40))
def test_rows_that_share_any_group_stay_together(sets):
    rows = rows_of("+".join(f"p{value}" for value in sorted(values)) for values in sets)
    try:
        parts = split_by_group(rows, "pattern", {"train": 0.5, "test": 0.5}, separator="+")
    except DataError:  # everything hangs together: merging sets that overlap leaves one
        merged = []
        for values in sets:
            touching = [other for other in merged if other & values]
            merged = [other for other in merged if not other & values] + [set(values).union(*touching)]
        assert len(merged) < 2
        return
    seen = [{value for row in part for value in row["pattern"].split("+")} for part in parts.values()]
    assert not seen[0] & seen[1]


def test_lists_name_groups_too():
    rows = [{"g": ["a", "b"]}, {"g": ["b", "c"]}, {"g": ["c"]}, {"g": ["d"]}]
    parts = split_by_group(rows, "g", {"train": 0.75, "test": 0.25})
    assert parts == {"train": rows[:3], "test": rows[3:]}


def test_fractions_are_met_when_groups_are_small():
    parts = split_by_group(rows_of(number // 5 for number in range(1000)), "pattern")
    assert {name: len(part) for name, part in parts.items()} == {"train": 800, "validation": 100, "test": 100}


def test_fractions_are_met_when_groups_differ_in_size():
    groups = [size for size in range(1, 40) for _ in range(size)]  # 780 rows, the largest group 5 % of them
    parts = split_by_group(rows_of(groups), "pattern", {"train": 0.6, "validation": 0.3, "test": 0.1})
    assert {name: len(part) for name, part in parts.items()} == {"train": 468, "validation": 234, "test": 78}


def test_stratify_keeps_the_proportions():
    groups = [number // 4 for number in range(800)]
    rows = [{"pattern": group, "queue": "usual" if group % 5 else "rare"} for group in groups]
    parts = split_by_group(rows, "pattern", stratify="queue")
    for part in parts.values():
        share = Counter(row["queue"] for row in part)["rare"] / len(part)
        assert share == pytest.approx(0.2, abs=0.02)


def test_seed_decides_and_the_order_of_rows_does_not():
    rows = rows_of(number // 3 for number in range(150))

    def test_groups(rows, seed):
        return {row["pattern"] for row in split_by_group(rows, "pattern", seed=seed)["test"]}

    assert test_groups(rows, 1) == test_groups(rows, 1) == test_groups(rows[::-1], 1)
    assert test_groups(rows, 1) != test_groups(rows, 2)


def test_functions_as_keys():
    rows = rows_of(["a1", "a2", "b1", "b2", "c1"])
    parts = split_by_group(rows, lambda row: row["pattern"][0], stratify=lambda row: row["pattern"][1])
    assert sum(map(len, parts.values())) == 5


def test_one_group_dominates_and_no_part_is_empty():
    parts = split_by_group(rows_of(["big"] * 50 + ["b", "c"]), "pattern")
    assert {name: len(part) for name, part in parts.items()} == {"train": 50, "validation": 1, "test": 1}


@pytest.mark.parametrize(
    ("rows", "fractions", "message"),
    [
        (rows_of("aabb"), None, r"4 rows form 2 separate group\(s\), too few for 3 parts"),
        ([], None, "0 rows form 0"),
        (rows_of("abc"), {"train": 0.5, "test": 0.4}, "add up to 1"),
        (rows_of("abc"), {"train": 1.0, "test": 0.0}, "above 0"),
        (rows_of("abc"), {}, "above 0"),
        ([{"id": "x7"}], None, "'x7': 'pattern' is missing or null"),
    ],
)
def test_impossible_splits(rows, fractions, message):
    with pytest.raises(DataError, match=message):
        split_by_group(rows, "pattern", fractions)


def test_a_chain_of_shared_groups_is_explained():
    with pytest.raises(DataError, match="form 1 separate.*share a part"):
        split_by_group(rows_of(["a+b", "b+c", "c+d"]), "pattern", separator="+")


def test_leaks_are_named():
    a, b = [chat("Hello there", pattern="p1", id="a1")], [chat("Bye", pattern="p1", id="b1")]
    assert_no_leak(a, b)
    with pytest.raises(DataError, match=r"1 shared group\(s\): p1"):
        assert_no_leak(a, b, key="pattern")
    again = [chat("  hello   THERE", answer="other", pattern="p2", id="b2")]
    with pytest.raises(DataError, match="1 identical input.*'b2' = 'a1'"):
        assert_no_leak(a, again, key="pattern")


def test_shared_members_of_joined_groups_leak():
    a, b = [chat("x", pattern="p1+p2")], [chat("y", pattern="p2+p3")]
    assert_no_leak(a, b, key="pattern")
    with pytest.raises(DataError, match=r"shared group\(s\): p2"):
        assert_no_leak(a, b, key="pattern", separator="+")


def test_a_different_system_turn_hides_no_leak():
    other = chat("Hello")
    other["messages"][0]["content"] = "Another instruction."
    with pytest.raises(DataError, match="identical"):
        assert_no_leak([chat("Hello")], [other])
    assert_no_leak([{"prompt": "x"}], [{"prompt": "y"}])
    with pytest.raises(DataError, match="identical"):
        assert_no_leak([{"prompt": "x"}], [{"prompt": "X ", "completion": "z"}])
