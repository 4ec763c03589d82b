"""Each figure draws what it is given, its sentence holds the same numbers, and nothing at all is refused or told."""

import io

import pytest

from ftlab import plots
from ftlab.checks import plots as data_plots
from ftlab.checks.labels import LabelTable
from ftlab.costs import plots as costs_plots
from ftlab.costs.cards import Gpu
from ftlab.costs.memory import estimate_memory
from ftlab.costs.scenario import Curve
from ftlab.data.findings import Row
from ftlab.errors import DataError
from ftlab.evaluation.statistics import Interval

CARD = Gpu("toy card", 20, 20, 0.5, 1, 1, 1, None)
SYSTEMS = {
    "zero_shot": Interval(0.40, 0.30, 0.50, 50, ""),
    "few_shot": Interval(0.55, 0.45, 0.62, 50, ""),
    "fine_tuned": Interval(0.90, 0.80, 0.95, 50, ""),
}


def axes(fig):
    """The only axes of a figure that can be drawn to the end (a warning would be an error)."""
    fig.savefig(io.BytesIO(), format="png", dpi=30)
    (ax,) = fig.axes
    return ax


def ticks(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def legend(fig):
    """The texts of the legend, the figure's own or that of its axes."""
    (found,) = [each for each in (*fig.legends, *(ax.get_legend() for ax in fig.axes)) if each]
    return [text.get_text() for text in found.get_texts()]


def points(line):
    return list(zip(map(float, line.get_xdata()), map(float, line.get_ydata()), strict=True))


# systems


def test_systems_are_dots_with_the_ends_of_their_intervals_from_top_to_bottom():
    ax = axes(plots.systems_figure(SYSTEMS))
    bars, dots = ax.lines[::2], ax.lines[1::2]
    assert len(ax.lines) == 2 * len(SYSTEMS)  # and no line for a bar that was not given
    for row, interval in enumerate(SYSTEMS.values()):
        assert points(bars[row]) == [(100 * interval.low, row), (100 * interval.high, row)]
        assert points(dots[row]) == [(100 * interval.value, row)]
    assert ticks(ax) == ["zero shot", "few shot", "fine tuned"]
    assert [text.get_text() for text in ax.texts] == [repr(interval) for interval in SYSTEMS.values()]
    assert ax.yaxis_inverted()
    assert ax.get_xlim()[0] == 0
    assert ax.get_xlim()[1] > 100


@pytest.mark.parametrize("bar", [0.0, 0.5, 1.2])
def test_the_bar_of_the_systems_is_a_line_that_can_be_seen(bar):
    ax = axes(plots.systems_figure(SYSTEMS, bar, "exact_match"))
    (line,) = [line for line in ax.lines if line.get_linestyle() == "--"]
    assert list(line.get_xdata()) == [100 * bar] * 2
    assert ax.get_xlim()[0] <= 100 * bar < ax.get_xlim()[1]
    assert f"bar {100 * bar:.1f} %" in [text.get_text() for text in ax.texts]
    assert ax.get_xlabel().startswith("exact match in %")


def test_the_sentence_of_the_systems_holds_their_numbers():
    alt = plots.systems_alt(SYSTEMS)
    assert alt.startswith("Field accuracy of 3 systems")
    for name, interval in SYSTEMS.items():
        assert f"{name.replace('_', ' ')} {interval!r}" in alt
    assert "bar" not in alt
    reached = plots.systems_alt(SYSTEMS, bar=0.55, metric="exact_match")  # a value at the bar reaches it
    assert reached.startswith("Exact match of")
    assert reached.endswith("The bar is at 55.0 %; it is reached by few shot, fine tuned.")


# loss


def test_each_series_of_losses_is_drawn_and_told_alone():
    train = [{"step": step, "loss": loss} for step, loss in ((1, 3.0), (2, 1.0), (3, 1.5))]
    validation = [{"step": 2, "eval_loss": 2.0}]
    for rows, label, drawn, said in (
        (train, "training", [(1, 3), (2, 1), (3, 1.5)],
         "Training loss 3.000 at step 1, lowest 1.000 at 2, 1.500 at 3."),
        (validation, "validation", [(2, 2)], "Validation loss 2.000 at step 2."),
    ):  # fmt: skip
        fig = plots.loss_figure(rows)
        ax = axes(fig)
        assert points(ax.lines[0]) == drawn
        assert ax.get_ylim()[0] == 0
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("step", "loss (nats per token)")
        assert legend(fig) == [label]
        assert plots.loss_alt(rows) == said


@pytest.mark.parametrize("rows", [[], [{"step": 1, "loss": float("nan")}], [{"loss": 1.0}]])
def test_a_log_without_a_number_is_an_empty_axis_and_said(rows):
    fig = plots.loss_figure(rows)
    assert not axes(fig).lines
    assert not fig.axes[0].get_legend()
    assert "nothing was logged" in plots.loss_alt(rows)


# repeats


def row(line, answer):
    return Row({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": answer}]}, "f", line)


def test_a_repeat_is_a_bracket_to_the_first_row_up_for_the_same_answer_and_down_for_another():
    groups = [[row(1, "a"), row(4, "a"), row(9, "b")], [row(2, "c"), row(3, "c")]]
    fig = data_plots.repeats_figure(groups)
    ax = axes(fig)
    brackets = [line for line in ax.lines if len(line.get_xdata()) == 4]
    assert [points(line) for line in brackets] == [
        [(1, 0), (1, 3), (4, 3), (4, 0)],
        [(1, 0), (1, -8), (9, -8), (9, 0)],
        [(2, 0), (2, 1), (3, 1), (3, 0)],
    ]
    assert [line.get_color() for line in brackets] == [plots.BLUE, plots.ORANGE, plots.BLUE]
    assert legend(fig) == ["the same answer", "another answer"]
    assert not ax.texts
    alt = data_plots.repeats_alt(groups)
    assert "2 groups, the largest of 3 rows" in alt
    assert "2 repeats have the same answer" in alt
    assert alt.endswith("their group, 1 another one.")


def test_no_repeats_are_good_news_and_said():
    ax = axes(data_plots.repeats_figure([]))
    assert [text.get_text() for text in ax.texts] == ["no rows with nearly the same input"]
    assert data_plots.repeats_alt([]) == "No brackets: no rows with nearly the same input."


# shares

TABLES = {
    "train": LabelTable("queue", {"billing": 150, "trace": 49, "odd": 1}, 200, 0),
    "test": LabelTable("queue", {"trace": 10, "new": 10}, 20, 0),
}


def test_shares_are_dots_in_percent_of_each_set():
    fig = data_plots.shares_figure(TABLES)
    ax = axes(fig)
    assert ticks(ax) == ["billing", "new", "trace"]  # "odd" is below one percent
    shares = {line.get_label(): list(line.get_xdata()) for line in ax.lines}
    assert shares == {"train": [75, 0, 24.5], "test": [0, 50, 50]}
    assert legend(fig) == ["train", "test"]
    assert ax.yaxis_inverted()
    assert ax.get_xlim()[0] == 0
    assert ax.get_xlabel() == "queue, % of the rows"
    alt = data_plots.shares_alt(TABLES)
    assert "train billing 75.0%, new 0.0%, trace 24.5%; test billing 0.0%, new 50.0%, trace 50.0%." in alt
    assert alt.endswith(" 1 rarer value(s).")
    assert ticks(axes(data_plots.shares_figure(TABLES, least=0.005))) == ["billing", "new", "odd", "trace"]
    assert data_plots.shares_alt(TABLES, least=0.005).endswith(" 0 rarer value(s).")


def test_every_set_is_drawn_and_told_apart_and_whole_answers_have_a_name_too():
    tables = {f"set {place}": LabelTable("", {"yes": 3}, 3, 0) for place in range(9)}
    fig = data_plots.shares_figure(tables)
    ax = axes(fig)
    assert legend(fig) == list(tables)
    assert ax.get_xlabel() == "the whole answer, % of the rows"
    assert len({(line.get_color(), line.get_marker()) for line in ax.lines}) == 9
    assert all(name in data_plots.shares_alt(tables) for name in tables)
    assert "values of the whole answer: set 0 yes 100.0%" in data_plots.shares_alt(tables)


# money


def test_a_curve_names_the_cheapest_at_each_stretch():
    curve = Curve("calls", (1, 10, 100), {"few_shot": (1.0, 10.0, 100.0), "tuned": (50.0, 51.0, 60.0)})
    assert costs_plots.curve_alt(curve).endswith("The cheapest: from 1 few shot, from 100 tuned.")
    grid = Curve("calls", (30, 40_583), {"few_shot": (1.0, 9.0), "tuned": (2.0, 8.0)})
    assert costs_plots.curve_alt(grid).endswith("from 30 few shot, from 41,000 tuned.")  # on a grid
    fig = costs_plots.curve_figure(curve, at=10)
    ax = axes(fig)
    assert legend(fig) == ["few shot", "tuned"]
    few_shot, tuned, today = ax.lines
    assert points(few_shot) == [(1, 1), (10, 10), (100, 100)]
    assert points(tuned) == [(1, 50), (10, 51), (100, 60)]
    assert list(today.get_xdata()) == [10, 10]
    assert few_shot.get_linestyle() != tuned.get_linestyle()
    assert (ax.get_xscale(), ax.get_yscale(), ax.get_xlabel()) == ("log", "log", "calls")
    assert len(axes(costs_plots.curve_figure(curve)).lines) == 2


def test_an_unknown_price_is_a_gap_in_the_curve_and_in_its_sentence():
    curve = Curve("calls", (1, 10), {"known": (1.0, 2.0), "azure": (None, None)})
    assert "from 1 known" in costs_plots.curve_alt(curve)
    assert legend(costs_plots.curve_figure(curve)) == ["known", "azure (a price is unknown)"]
    nothing = Curve("calls", (1,), {"azure": (None,)})
    assert "none with known prices" in costs_plots.curve_alt(nothing)
    assert legend(costs_plots.curve_figure(nothing)) == ["azure (a price is unknown)"]
    axes(costs_plots.curve_figure(nothing))


def test_what_costs_nothing_is_named_where_the_axis_cannot_show_it():
    curve = Curve("calls", (1, 10), {"ours": (0.0, 0.0), "theirs": (1.0, 10.0)})
    fig = costs_plots.curve_figure(curve)
    axes(fig)
    assert legend(fig) == ["ours (0 USD is below this axis)", "theirs"]
    assert costs_plots.curve_alt(curve).endswith("from 1 ours.")


# memory


def test_a_bar_is_as_long_as_what_the_card_must_have():
    memories = [estimate_memory("qwen3-0.6b", method, gpu=CARD) for method in ("full", "lora", "dpo_full")]
    memories.append(estimate_memory("qwen3-0.6b", "qlora"))
    fig = costs_plots.memory_figure(memories)
    ax = axes(fig)
    for place, memory in enumerate(memories):
        mine = [bar for bar in ax.patches if round(bar.get_y() + bar.get_height() / 2) == place]
        assert max(bar.get_x() + bar.get_width() for bar in mine) == pytest.approx(memory.device_gib)
        assert sum(bar.get_width() for bar in mine) == pytest.approx(memory.device_gib)  # no gap, no overlap
        assert f"{memory.device_gib:.1f}" in ax.texts[place].get_text()
    limits = [line.get_xdata()[0] for line in ax.lines]
    assert limits == [CARD.usable_gib] * 3
    assert len(ax.patches) == len(legend(fig)) * len(memories)
    assert ticks(ax) == ["full on toy card", "lora on toy card", "dpo_full on toy card", "qlora"]
    assert ax.get_xlim()[1] > max(memory.device_gib for memory in memories)
    alt = costs_plots.memory_alt(memories)
    assert f"full {memories[0].device_gib:.1f} of 20.0 on toy card: fits" in alt
    assert alt.endswith(f"qlora {memories[3].device_gib:.1f}.")


def test_a_bar_says_whether_it_fits():
    memories = [estimate_memory("qwen3-0.6b", gpu=CARD), estimate_memory("qwen3-8b", "full", gpu=CARD)]
    verdicts = [text.get_text().split(maxsplit=1)[1] for text in axes(costs_plots.memory_figure(memories)).texts]
    assert verdicts == ["fits", "does not fit"]
    assert costs_plots.memory_alt(memories[1:]).endswith("of 20.0 on toy card: does not fit.")


# nothing to draw


@pytest.mark.parametrize(
    ("name", "empty", "message"),
    [
        ("systems", {}, "systems: empty, .*at least one name with its interval"),
        ("shares", {}, "tables: empty, .*label_table"),
        ("shares", {"train": TABLES["train"], "test": LabelTable("queue", {}, 0, 0)}, r"tables\['test'\]: .*of queue"),
        ("shares", {"train": LabelTable("queue", {"a": 1, "b": 1}, 200, 198)}, "values: .*none reaches 1.0%.*lower"),
        ("curve", Curve("calls", (1, 2), {}), r"curve\.usd: empty"),
        ("curve", Curve("calls", (), {"tuned": ()}), r"curve\.calls: empty"),
        ("memory", [], "memories: empty, .*estimate_memory"),
    ],
)
def test_nothing_to_draw_is_refused_with_the_remedy(name, empty, message):
    module = {"systems": plots, "shares": data_plots}.get(name, costs_plots)
    for function in (getattr(module, f"{name}_figure"), getattr(module, f"{name}_alt")):
        with pytest.raises(DataError, match=message):
            function(empty)
