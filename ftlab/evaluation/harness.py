"""Test sets for the harnesses inspect-ai and lm-eval, and their logs, so that our statistics stand on top of theirs.

Neither has to be installed here: a test set becomes a task file that they run, and a log is read as it lies on disk.
"""

import json
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from ftlab.data.findings import Finding, Row, raise_findings
from ftlab.data.jsonl import encode, scan_jsonl
from ftlab.errors import DataError
from ftlab.evaluation.metrics import row_id
from ftlab.files import refuse_existing, whole_file

RUN = {  # what a reader types, in the folder of the task
    "inspect": "inspect eval {name}.py --model hf/MODEL --log-dir logs",
    "lm_eval": "lm_eval run --model hf --model_args pretrained=MODEL --tasks ./{name}.yaml --apply_chat_template "
    "--log_samples --output_path logs",
}
TASK = '''"""A task for inspect-ai, whose log `ftlab compare` reads."""

from pathlib import Path

from inspect_ai import Task, task
from inspect_ai.dataset import json_dataset
from inspect_ai.model import GenerateConfig
from inspect_ai.scorer import exact
from inspect_ai.solver import generate


@task
def {name}():
    return Task(
        dataset=json_dataset(str(Path(__file__).parent / "{name}.jsonl")),
        solver=generate(),
        scorer=exact(),
        config=GenerateConfig(temperature=0, max_tokens={max_new_tokens}),
    )
'''
LETTERS = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0, "yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}  # inspect-ai's
LM_EVAL = {"doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics", "doc_hash",
           "prompt_hash", "target_hash"}  # fmt: skip


def export_eval(
    rows: Sequence[Row],
    to: str,
    out: str | Path,
    name: str,
    prompt: str | None = None,
    max_new_tokens: int = 96,
    force: bool = False,
) -> list[Path]:
    """Write a test set of chat rows as a task of a harness into the folder `out`: NAME.jsonl, and NAME.py or NAME.yaml.

    What is asked are the turns before the last, which is the answer; `prompt` stands as system turn in the place of the
    rows' own. Other keys of a row (a group, a slice) go along. lm-eval takes one turn of a user only.
    """
    if to not in RUN or not name.isidentifier():
        raise DataError(f"{to!r}, {name!r}: choose one of {', '.join(RUN)}, and a name that a function may have")
    records = list(_records(rows, to, prompt))
    texts = {f"{name}.jsonl": b"".join(encode(record) + b"\n" for record in records)}
    if to == "inspect":
        texts[f"{name}.py"] = TASK.format(name=name, max_new_tokens=max_new_tokens).encode()
    else:
        texts[f"{name}.yaml"] = yaml.safe_dump(_lm_eval_task(name, max_new_tokens), sort_keys=False).encode()
    for file in texts:
        refuse_existing(Path(out) / file, force)
    for file, content in texts.items():
        with whole_file(Path(out) / file) as opened:
            opened.write(content)
    return [Path(out) / file for file in texts]


def _records(rows, to, prompt) -> Iterator[dict]:
    findings = []
    for index, row in enumerate(rows):
        *asked, answer = row.data["messages"]
        if prompt is not None:
            asked = [{"role": "system", "content": prompt}, *(turn for turn in asked if turn["role"] != "system")]
        rest = {key: value for key, value in row.data.items() if key not in ("id", "messages")}
        record = {"id": row_id(row.data, index), "input": asked, "target": answer["content"]}
        roles = [turn["role"] for turn in asked]
        problem = None
        if answer["role"] != "assistant" or not isinstance(answer["content"], str):
            problem = "must end with an answer of the assistant that is a text: it is the target"
        elif to == "lm_eval" and roles not in (["system", "user"], ["user"]):
            problem = f"lm-eval asks one system and one user turn, not {', '.join(roles)}; export to inspect"
        if problem:
            findings.append(Finding("export", "error", row.file, row.line, "messages", problem))
        elif to == "inspect":
            yield record | {"metadata": rest}
        else:
            system = asked[0]["content"] if len(asked) == 2 else ""
            yield rest | record | {"system": system, "input": asked[-1]["content"]}
    raise_findings(findings)


def _lm_eval_task(name, max_new_tokens) -> dict:
    return {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": f"{name}.jsonl"}},
        "test_split": "test",
        "output_type": "generate_until",
        "description": "{{system}}",
        "doc_to_text": "{{input}}",
        "doc_to_target": "{{target}}",
        "generation_kwargs": {"until": [], "do_sample": False, "max_gen_toks": max_new_tokens},
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
        "num_fewshot": 0,
    }


@dataclass(frozen=True)
class Logged:
    """One answer in a log, `line` its line or number there; several of one id are repeats (epochs).

    `answer` and `target` are None where the harness kept no single text; `scores` are its own, by name.
    """

    id: str | int
    line: int
    answer: str | None
    target: str | None
    scores: dict[str, float]
    row: dict = field(default_factory=dict)


def read_log(path: str | Path) -> list[Logged] | None:
    """The answers in a log of inspect-ai (.eval or .json) or of lm-eval (samples_*.jsonl); None for another file.

    DataError for a log of an evaluation that did not end, a sample that ended in an error, and a summary.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(4)
            first = {} if start == b"PK\3\4" else _json(start + file.readline(1 << 24))
    except OSError:
        return None  # the reader of our own files says what is wrong
    if start == b"PK\3\4":
        return _inspect(path, *_unzipped(path))
    if isinstance(first, dict) and {"doc_id", "filtered_resps"} <= first.keys():
        return _lm_eval(path)
    whole = _json(path.read_bytes()) if path.suffix.lower() == ".json" else None
    if isinstance(whole, dict) and "eval" in whole and "status" in whole:
        return _inspect(path, whole, whole.get("samples") or [])
    if isinstance(whole, dict) and {"results", "configs"} <= whole.keys():
        raise DataError(f"{path} holds totals only: name samples_*.jsonl, which lm-eval writes with --log_samples")
    return None


def pick_score(name: str, samples: Sequence, path: str | Path) -> list[float]:
    """The harness's own score of each answer; an empty name takes the only one, `x` the only `x,FILTER` of lm-eval."""
    known = list(dict.fromkeys(each for sample in samples for each in sample.scores))
    found = [each for each in known if name in ("", each, each.partition(",")[0])]
    if name in known:
        found = [name]
    if len(found) != 1:
        choices = ", ".join(f"harness:{each}" for each in known) or "ours, for it has none of its own"
        raise DataError(f"{path}: has {'more than one' if found else 'no'} such score; choose a --metric of {choices}")
    lacking = [sample.line for sample in samples if found[0] not in sample.scores]
    if lacking:
        raise DataError(f"{path}:{lacking[0]} {found[0]}: is missing or no number; score that sample anew")
    return [sample.scores[found[0]] for sample in samples]


def _json(content: bytes):
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _unzipped(path) -> tuple[dict, list[dict]]:
    """Header and samples of an .eval file, in the order of their names."""
    try:
        import zipfile_zstd  # noqa: F401  (teaches zipfile the packing that inspect-ai uses; it brings this itself)
    except ImportError:
        pass
    try:
        with zipfile.ZipFile(path) as packed:
            names = packed.namelist()
            samples = [json.loads(packed.read(name)) for name in names if name.startswith("samples/")]
            return json.loads(packed.read("header.json")) if "header.json" in names else {}, samples
    except NotImplementedError:
        remedy = f"pip install zipfile-zstd, or inspect log convert {path.name} --to json --output-dir json"
        raise DataError(f"{path} is packed as Python before 3.14 cannot read: {remedy}") from None
    except (ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: no readable log ({error}); copy it anew") from error


def _inspect(path, header: dict, samples: list[dict]) -> list[Logged]:
    if header.get("status") != "success":
        why = header.get("status") or "started and not ended"
        raise DataError(f"{path}: the evaluation is not complete ({why}): inspect eval-retry {path.name}")
    problems, result, seen = [], [], set()
    for number, sample in enumerate(samples, 1):
        place = sample["id"], sample.get("epoch", 1)
        if sample.get("error"):
            said = str(sample["error"].get("message")).splitlines()[0][:200]
            problems.append((number, f"{place[0]!r} ended in an error ({said}): inspect eval-retry {path.name}"))
        if place in seen:
            problems.append((number, f"{place[0]!r}, epoch {place[1]}, stands twice; keep one of the two"))
        seen.add(place)
        target, scores = sample.get("target"), {}
        for name, score in (sample.get("scores") or {}).items():
            value = score.get("value")
            inside = value.items() if isinstance(value, dict) else [(None, value)]
            scores |= {name if key is None else f"{name}.{key}": _number(each) for key, each in inside}
        target = target[0] if isinstance(target, list) and len(target) == 1 else target
        scores = {name: value for name, value in scores.items() if value is not None}
        text = target if isinstance(target, str) else None
        result.append(Logged(place[0], number, _completion(sample), text, scores, sample.get("metadata") or {}))
    raise_findings([Finding("compare", "error", str(path), line, "sample", message) for line, message in problems])
    return result


def _completion(sample: dict) -> str | None:
    """The text of the answer, without the model's reasoning where the service tells it apart."""
    choices = (sample.get("output") or {}).get("choices") or []
    content = choices[0]["message"].get("content") if choices else None
    if isinstance(content, list):
        content = "".join(part.get("text") or "" for part in content if part.get("type") == "text")
    return content


def _lm_eval(path) -> list[Logged]:
    lines = list(scan_jsonl(path))
    raise_findings([found for line in lines for found in line.findings if found.severity == "error"])
    rows, problems = {}, []
    for line in lines:
        by_filter = rows.setdefault(line.row["doc_id"], {}) if line.is_row else {}
        if line.is_row and by_filter.setdefault(line.row.get("filter", "none"), line) is not line:
            problems.append((line.number, f"{line.row['doc_id']} stands twice; keep one of the two"))
    raise_findings([Finding("compare", "error", str(path), number, "doc_id", text) for number, text in problems])
    docs = {key: next(iter(lines.values())).row["doc"] for key, lines in rows.items()}
    own = [doc.get("id") for doc in docs.values() if isinstance(doc, dict)]
    named = len(own) == len(docs) == len({str(key) for key in own if isinstance(key, str | int)})
    result = []
    for doc_id, by_filter in rows.items():
        line = next(iter(by_filter.values()))
        scores = {f"{name},{key}": number for key, each in by_filter.items() for name, value in each.row.items()
                  if name not in LM_EVAL and (number := _number(value)) is not None}  # fmt: skip
        target = line.row.get("target")
        target = str(target) if isinstance(target, str | int) else None
        for answer in _generated(line.row) if len(by_filter) == 1 else [None]:
            key = docs[doc_id]["id"] if named else doc_id
            result.append(Logged(key, line.number, answer, target, scores, docs[doc_id]))
    return result


def _generated(row: dict) -> Iterable[str | None]:
    """The texts that were written, one a repeat; [None] where choices were compared by their probability."""
    asked = row.get("arguments")
    first = asked.get("gen_args_0") if isinstance(asked, dict) else asked[0] if asked else None
    settings = first.get("arg_1") if isinstance(first, dict) else first[1] if first else None
    answers = row["filtered_resps"]
    answers = answers[0] if len(answers) == 1 and isinstance(answers[0], list) else answers
    texts = isinstance(settings, dict) and answers and all(isinstance(answer, str) for answer in answers)
    return answers if texts else [None]


def _number(value) -> float | None:
    """A score as a number, as inspect-ai reads it; None for what is none."""
    if isinstance(value, str):
        value = LETTERS.get(value, LETTERS.get(value.lower(), value))
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if number == number else None
