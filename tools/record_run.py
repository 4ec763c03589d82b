"""The README's result: draw the picture of the recorded run on `smol`, and write its block of the README.

    python tools/record_run.py              # after python tools/record.py triage --publish
    python tools/record_run.py --check      # fails when the README's numbers are not the recorded ones
"""

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from ftlab.kept import sha256_of_weights  # noqa: E402
from ftlab.project.advice import percent  # noqa: E402
from ftlab.training.recipe import load_recipe  # noqa: E402

RECIPE = ROOT / "recipes/support_triage_smol.yaml"
SHOWN = ROOT / "data/recorded/triage"
BEGIN, END = "<!-- result: written by tools/record_run.py -->\n", "<!-- end of result -->\n"
NAMES = {
    "linear": "linear classifier, no language model",
    "base": "untrained, told only 'Triage the ticket.'",
    "zero_shot": "best prompt, no examples",
    "few_shot": "best prompt with examples",
    "constrained": "best prompt, held to allowed values",
    "fine_tuned": "fine-tuned",
}
SLICES = {"hard": "fields right, hard tickets", "other_shop": "fields right, another shop's tickets"}


TASK = """\
**The task**: read a customer's ticket and write a record of six fields (team, urgency, product, order number, tone,
request). *Held-out* tickets took no part in the training. *Held to allowed values*: the model chooses among valid
answers only. In brackets: the 95 % confidence interval. *Tokens a call*: pieces of text that the model reads and writes
for one ticket."""


def readme_block(report: dict) -> str:
    """The README's result: picture, table and verdict of a recorded report."""

    rows = [
        f"| {NAMES[name]} | {percent(s['field_accuracy'])} | {percent(s['exact_match'])} | {percent(s['valid_json'])} "
        f"| {s['tokens_per_call']:.0f} |"
        for name, s in report["systems"].items()
    ]
    comparison = report["comparison"]
    best = NAMES[comparison["baseline"]]
    alt = "; ".join(f"{NAMES[n]} {100 * s['field_accuracy']['value']:.1f} %" for n, s in report["systems"].items())
    figure = f"Share of fields right on {report['n']} held-out tickets, with 95 % intervals: {alt}"
    seeds = len(report["seeds"])
    each = f"{seeds} trainings, each with its answers" if seeds > 1 else "Training and answers:"
    when = f"{each} {minutes()} minutes on {report['machine']} ({report['created']})"
    low, high = 100 * comparison["low"], 100 * comparison["high"]
    gain = f"{100 * comparison['delta']:+.1f} points, 95 % interval {low:+.1f} to {high:+.1f}, against the {best}"
    tuned = report["systems"]["fine_tuned"]
    whole, right = (round(100 * tuned[metric]["value"]) for metric in ("exact_match", "field_accuracy"))
    lines = [
        TASK,
        "",
        f"![{figure}](data/recorded/triage/result.png)",
        "",
        f"*`smol`, a chat model of 135 million parameters, and its rivals on {report['n']} held-out tickets. {when}.*",
        "",
        "| system | fields right | whole record right | valid JSON | tokens a call |",
        "|---|---|---|---|---|",
        *rows,
        "",
        f"All six fields are right in {whole} of 100 tickets, though {right} of 100 single fields are.",
        "",
        "On other tickets:",
        "",
        *slices(report),
        "",
        f"In one sentence: it gained {gain}, {lost(report)}, and saves {saved(report)} tokens a call.",
        "",
        by_rows(),
        "",
        by_replay(),
        "",
        f"The gate's verdict, by bars written down first: **{report['gate']['verdict']}**.",
        "",
        *(f"- {reason}" for reason in report["gate"]["reasons"]),
        "",
    ]
    return BEGIN + "\n".join(lines) + END


def minutes() -> str:
    """The least and the most minutes of a seed, training and answers."""
    points = json.loads((SHOWN / "points.json").read_text())
    found = sorted(point["minutes"] for name, point in points.items() if name.startswith("seed_"))
    return f"{found[0]:.0f} to {found[-1]:.0f}"


def slices(report: dict) -> list[str]:
    """A table of the fields right on the other test sets; a system that was not asked there is left out."""
    names = list(dict.fromkeys(name for system in report["systems"].values() for name in system["slices"]))
    lines = [f"| system | {' | '.join(SLICES[name] for name in names)} |", "|---|" + "---|" * len(names)]
    for system, found in report["systems"].items():
        if found["slices"]:
            rates = [percent(found["slices"][name]) if name in found["slices"] else "" for name in names]
            lines.append(f"| {NAMES[system]} | {' | '.join(rates)} |")
    return lines


def by_rows() -> str:
    """Fields right by number of training tickets, in one sentence."""
    curve = json.loads((SHOWN / "curve.json").read_text())
    told = []
    for system in dict.fromkeys(point["system"] for point in curve):
        points = [f"{100 * point['field_accuracy']['value']:.1f} % with {point['rows']:,}"
                  for point in curve if point["system"] == system]  # fmt: skip
        told.append(f"{NAMES[system]} {', '.join(points)}")
    return f"By number of training tickets (fine-tuned: the first seed): {'; '.join(told)}."


def by_replay() -> str:
    """What replayed chats keep, in one sentence: one training with and one without."""
    told = [f"{each['replay']}: {100 * each['field_accuracy']['value']:.1f} % of the fields, "
            f"{100 * each['everyday_questions']['value']:.1f} % of the everyday questions"
            for each in json.loads((SHOWN / "replay.json").read_text())]  # fmt: skip
    return f"By everyday chats in the training, one seed each: {'; '.join(told)}."


def lost(report: dict) -> str:
    """What the training cost elsewhere, in one sentence."""
    changes = [f"{100 * probe['delta']:+.1f} points of {name} ({100 * probe['a']:.1f} % before, "
               f"{100 * probe['b']:.1f} % after)" for name, probe in report["probes"].items()]  # fmt: skip
    return f"changed elsewhere by {', '.join(changes)}" if changes else "was not asked about anything else"


def saved(report: dict) -> str:
    """Tokens a call that the fine-tune needs less than the best prompt."""
    tokens = {name: system["tokens_per_call"] for name, system in report["systems"].items()}
    return f"{tokens[report['comparison']['baseline']] - tokens['fine_tuned']:.0f}"


def with_block(readme: str, block: str) -> str:
    """The README with its result block replaced."""
    head, rest = readme.split(BEGIN)
    return head + block + rest.split(END)[1]


def draw(report: dict) -> None:
    """Write result.png beside the report."""
    from ftlab.evaluation.statistics import Interval
    from ftlab.plots import systems_figure

    n = report["n"]
    systems = {
        NAMES[name]: Interval(*(s["field_accuracy"][k] for k in ("value", "low", "high")), n, "recorded")
        for name, s in report["systems"].items()
    }
    bar = report["comparison"]["a"] + report["gate"]["bars"]["min_gain"]
    systems_figure(systems, bar=bar).savefig(SHOWN / "result.png", dpi=144, bbox_inches="tight", facecolor="white")


def outdated(report: dict) -> str:
    """What the recorded run was made from that is no longer so; empty when all is."""
    recipe = load_recipe(RECIPE)
    now = {
        "recipe_sha256": recipe.sha256, "data_sha256": recipe.data_sha256,
        "model_sha256": sha256_of_weights(recipe.model),
    }  # fmt: skip
    return ", ".join(name.removesuffix("_sha256") for name, value in now.items() if report.get(name) != value)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    readme, report = ROOT / "README.md", json.loads((SHOWN / "report.json").read_text())
    text = with_block(readme.read_text(), readme_block(report))
    if not options.check:
        draw(report)
        readme.write_text(text)
    elif text != readme.read_text():
        print("README.md: its result is not the recorded one. Run: python tools/record_run.py")
        return 1
    elif found := outdated(report):
        print(f"{SHOWN}: recorded with another {found}: record it again (tools/record.py), then this tool")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
