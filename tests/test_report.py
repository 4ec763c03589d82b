"""Reports of small made-up runs: the contract of report.json, the page, and that nothing gets in unescaped.

The scores are computed from made-up answers by the package's own functions, so that they fit together.
"""

import base64
import dataclasses
import html.parser
import json

import numpy as np
import pytest

from ftlab import plots
from ftlab.errors import DataError
from ftlab.evaluation.gate import Bars, decide_gate
from ftlab.evaluation.metrics import score_records
from ftlab.evaluation.report import Report, SystemResult, example_table, pick_examples
from ftlab.evaluation.statistics import compare, score_interval

EVIL = "<script>alert('x')</script> & \"quotes\" \ud83d"  # markup, and half of a surrogate pair
REFERENCES = [{"queue": "billing", "order_id": f"{i:06d}", "product": None} for i in range(40)]


def answers(wrong: int, broken: int = 0) -> list[str]:
    """As many answers with a wrong queue, and as many that are no JSON; the others are right."""
    texts = [json.dumps(reference) for reference in REFERENCES]
    for i in range(wrong):
        texts[i] = json.dumps(REFERENCES[i] | {"queue": EVIL})
    for i in range(broken):
        texts[-1 - i] = f"Sure! {EVIL}"
    return texts


def system(texts, **more) -> tuple[SystemResult, np.ndarray]:
    scores = score_records(texts, REFERENCES)
    metrics = {name: scores.summary()[name] for name in ("field_accuracy", "exact_match", "valid_json")}
    return SystemResult(metrics, scores.field_table(), **more), scores.field_accuracy


@pytest.fixture(scope="module")
def report() -> Report:
    texts = {"zero_shot": answers(30, broken=8), "fine_tuned": answers(3)}
    texts["fine_tuned"][35] = json.dumps(REFERENCES[35] | {"extra": 1, "order_id": 35})
    base, before = system(
        texts["zero_shot"], tokens_per_call=210.4, seconds_per_call=0.05, prompt=f"Answer in JSON. {EVIL}"
    )
    tuned, after = system(texts["fine_tuned"], tokens_per_call=90, slices={"hard": score_interval([1, 0, 1])})
    comparison = compare(before, after, metric="field_accuracy")
    probes = {f"skills {EVIL}": compare([1.0] * 50, [1.0] * 49 + [0.0])}
    return Report(
        task=f"triage {EVIL}",
        n=len(REFERENCES),
        systems={"zero_shot": base, "fine_tuned": tuned},
        baseline="zero_shot",
        candidate="fine_tuned",
        comparison=comparison,
        gate=decide_gate(comparison, probes, Bars()),
        probes=probes,
        rivals={f"linear {EVIL}": comparison},
        training={
            "minutes": 1.25,
            "steps": 150,
            "final_loss": 0.081,
            "final_eval_loss": float("nan"),
            "peak_memory_gib": None,
            "trainable_parameters": 123_456,
            "log": [{"loss": 3.4, "step": 10}, {"eval_loss": 0.5, "step": 10}, {"loss": np.float32(1), "step": 20}],
        },
        prompt_search=[
            {"name": EVIL, "kind": "few_shot", "field_accuracy": score_interval([1, 0]), "tokens_per_call": 3.0}
        ],
        examples=pick_examples(
            [f"t{i}{EVIL}" for i in range(40)], [f"ticket {EVIL}"] * 40, REFERENCES, texts, before, after
        ),
        recipe_sha256="a" * 64,
        data_sha256="b" * 64,
        versions={"torch": "2.13"},
        machine=EVIL,
        created="2026-11-22",
    )


class Page(html.parser.HTMLParser):
    """Collects the tags of a page, and checks that they are closed in order."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def test_json_keeps_the_contract(report):
    result = json.loads(json.dumps(report.to_json_dict(), allow_nan=False))
    assert result["systems"].keys() == {"zero_shot", "fine_tuned"}
    tuned = result["systems"]["fine_tuned"]
    for metric in ("field_accuracy", "exact_match", "valid_json"):
        assert tuned[metric].keys() == {"value", "low", "high"}
        assert tuned[metric]["low"] <= tuned[metric]["value"] <= tuned[metric]["high"]
    assert tuned["exact_match"]["value"] == pytest.approx(36 / 40)
    assert tuned["tokens_per_call"] == 90
    assert tuned["seconds_per_call"] is None
    assert tuned["slices"]["hard"]["value"] == pytest.approx(2 / 3)
    contract = "baseline candidate delta low high p_value disagreement smallest_detectable_gain".split()
    assert set(contract) <= result["comparison"].keys()
    assert (result["comparison"]["baseline"], result["comparison"]["candidate"]) == ("zero_shot", "fine_tuned")
    assert result["comparison"]["delta"] == report.comparison.delta
    assert result["gate"]["verdict"] == report.verdict == report.gate.verdict
    assert result["gate"]["bars"]["min_gain"] == 0.05
    assert result["gate"]["reasons"] == list(report.gate.reasons)
    assert result["recipe_sha256"] == "a" * 64
    assert result["data_sha256"] == "b" * 64
    assert result["versions"] == {"torch": "2.13"}
    assert result["n"] == 40
    assert result["probes"][f"skills {EVIL}"]["n"] == 50
    assert result["training"]["final_eval_loss"] is None  # NaN is no JSON
    assert result["training"]["log"][2]["loss"] == 1.0
    assert result["prompt_search"][0]["field_accuracy"]["value"] == 0.5


def test_repr_is_a_table_with_the_verdict(report):
    text = repr(report)
    rows = {line.split("  ")[0]: line for line in text.splitlines()}
    assert repr(report.systems["fine_tuned"].metrics["field_accuracy"]) in rows["fine tuned"]
    assert "210" in rows["zero shot"]
    assert f"Verdict: {report.verdict}" in text
    assert all(reason in text for reason in report.gate.reasons)


def test_page_is_whole_escaped_and_alone(report):
    text = report.to_html()
    page = Page(text)
    assert page.open == []
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == len(page.all("main")) == len(page.all("title")) == 1
    assert not page.all("script")
    assert not page.all("link")
    assert "<script" not in text
    assert "".join(page.text).count("<script>alert") > 5  # it is there to read, as text
    for tag, attributes in page.tags:
        assert not {"src", "href"} & attributes.keys() or attributes["src"].startswith("data:"), tag
        assert not any(name.startswith("on") for name in attributes)
    assert "url(" not in text
    assert "@import" not in text


def test_page_tells_what_it_shows(report):
    page = Page(report.to_html())
    systems, loss = page.all("img")
    assert repr(report.systems["fine_tuned"].metrics["field_accuracy"]) in systems["alt"]
    assert f"{100 * (report.comparison.a + 0.05):.1f} %" in systems["alt"]
    assert "3.400" in loss["alt"]
    assert all(base64.b64decode(image["src"].split(",")[1]).startswith(b"\x89PNG") for image in (systems, loss))
    assert len(page.all("caption")) == len(page.all("table")) >= 8
    assert all(heading["scope"] in ("col", "row") for heading in page.all("th"))
    text = " ".join(page.text)
    for reason in report.gate.reasons:
        assert reason in text
    for shown in ("a" * 64, "b" * 64, "torch 2.13", "2026-11-22", "few shot", "123,456", "66.7 %", "order_id"):
        assert shown in text


def test_page_of_the_least_report(report):
    names = ("task", "n", "systems", "baseline", "candidate", "comparison", "gate")
    least = Report(**{name: getattr(report, name) for name in names})
    page = Page(least.to_html())
    headings = [text for text in page.text if text in ("Training", "Probes", "Examples", "Slices")]
    assert headings == ["Slices"]
    assert len(page.all("img")) == 1


def test_examples_mark_exactly_what_differs():
    reference = {"a": 1, "b": None}
    texts = {"good": '{"b": null, "a": 1.0}', "bad": '{"a": true, "c": 2}', "none": "a = 1"}
    example = {"id": "x", "text": "t", "reference": reference, "predictions": texts, "change": "better"}
    header, rows, unread = example_table(example)
    assert header == ["", "reference", "good", "bad", "none"]
    assert unread == {"none": "a = 1"}
    assert rows == [
        ["a", "1", "1.0", "✗ true", "✗ no JSON object"],
        ["b", "null", "null", "✗ no such key", "✗ no JSON object"],
        ["c", "", "", "✗ 2", "✗ no JSON object"],
    ]


def test_text_references_are_compared_as_texts(report):
    example = {"id": 1, "text": "Hi", "reference": "Hello", "predictions": {"a": "Hello\n", "b": "Bye"}}
    text = dataclasses.replace(report, examples=[example]).to_html()
    assert "✗ Bye" in text
    assert "✗ Hello" not in text


def test_pick_examples_takes_the_largest_changes():
    before, after = [0.0, 0.5, 1.0, 1.0, 0.2, 0.4], [1.0, 1.0, 0.0, 1.0, 0.2, 0.4]
    numbers = list(range(6))
    rows = pick_examples(numbers, numbers, numbers, {"m": ["text"] * 6}, before, after, each=2)
    found = [(row["id"], row["change"]) for row in rows]
    assert found == [
        (0, "better"),
        (1, "better"),
        (2, "worse"),
        (4, "still wrong"),
        (5, "still wrong"),
    ]
    with pytest.raises(DataError, match=r"\[5, 6\]"):
        pick_examples(numbers, numbers, numbers, {"m": ["text"] * 5}, before, after)


def test_save_writes_both_and_overwrites_only_when_told(report, tmp_path):
    folder = report.save(tmp_path / "new" / "run")
    assert sorted(path.name for path in folder.iterdir()) == ["report.html", "report.json"]
    assert json.loads((folder / "report.json").read_text(encoding="utf-8"))["n"] == 40
    (folder / "report.json").unlink()
    (folder / "report.html").write_text("mine")
    with pytest.raises(DataError, match=r"report\.html exists already.*--force"):
        report.save(folder)
    assert (folder / "report.html").read_text() == "mine"
    assert not (folder / "report.json").exists()
    report.save(folder, force=True)
    assert (folder / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_unknown_system_is_refused(report):
    with pytest.raises(DataError, match="'rag' is compared.*zero_shot, fine_tuned"):
        dataclasses.replace(report, baseline="rag")


def test_bundle_carries_the_alt_text_everywhere():
    alt = 'a "curve" <falls>'
    data, metadata = plots.figure_bundle(plots.loss_figure([{"loss": 1.0, "step": 1}]), alt)
    assert Page(data["text/html"]).all("img")[0]["alt"] == alt == data["text/plain"]
    assert metadata["image/png"]["alt"] == alt
    assert data["image/png"] in data["text/html"]
    with pytest.raises(ValueError, match="alt is empty"):
        plots.figure_bundle(plots.loss_figure([]), " ")
