"""Training files in the form that a hosted service or a trainer takes, checked by that target's own rules.

What changes with time (sizes, counts, roles, closing dates) stands in data/limits/*.csv with source and date.
A row of the export is a row of the input, in the same order: line n of the file is the n-th row.
"""

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from itertools import pairwise
from pathlib import Path

from ftlab.data import jsonl, schema, toolcalls
from ftlab.data.findings import (
    Finding,
    Row,
    codes,
    errors_of,
    finding,
    listing,
    place_of,
    severity_of,
)
from ftlab.data.limits import LIMITS, Limit, file_findings, limit_number, limit_warnings, limit_words, limits
from ftlab.data.rendering import answer_start, encode_chats, rating, row_kind
from ftlab.data.splits import input_of
from ftlab.data.targets import KINDS, find_target, other_target
from ftlab.data.trainers import SETTINGS, TRAINER_FILES, complete_settings, trainer_files
from ftlab.errors import DataError
from ftlab.files import refuse_existing, whole_file
from ftlab.tables import html_table

TOKENS_PER_TURN = 4  # role and separators around a turn, added to the estimate of its text


@dataclass(frozen=True, repr=False)
class ExportReport:
    """What `export` wrote: `rows` and `validation_rows` in the files, `dropped` the findings of rows left out.

    `tokens` is an estimate over the training rows, `validation_tokens` over the others, None without a tokenizer;
    `left_out` counts by name the keys of the input that the target has no place for.
    """

    to: str
    files: list[Path]
    rows: int
    validation_rows: int
    tokens: int | None
    findings: list[Finding]
    dropped: list[Finding]
    left_out: dict[str, int]
    warnings: list[str]
    validation_tokens: int | None = None

    def to_dict(self) -> dict:
        """The report, ready for JSON."""
        return asdict(self) | {"files": [str(path) for path in self.files]}

    def _lines(self) -> list[tuple[str, str]]:
        places = {place_of(finding) for finding in self.dropped}
        lines = [("file", str(path)) for path in self.files]
        lines += [("rows", f"{self.rows:,} to train on, {self.validation_rows:,} to validate")]
        if self.tokens is not None:
            lines += [("tokens", f"about {self.tokens:,} in the training rows (an estimate)")]
        lines += [("warning", text) for text in self.warnings]
        keys = ", ".join(f"{key} ({count:,} times)" for key, count in self.left_out.items())
        lines += [("left out", f"{keys}: {self.to} has no place for them")] if keys else []
        lines += [("dropped", f"{len(places):,} row(s)")] if places else []
        for name, findings in (("dropped", self.dropped), ("finding", self.findings)):
            lines += [(name, text) for text in listing(findings, 20)]
        return lines

    def __repr__(self):
        return "\n".join([f"ExportReport({self.to})", *(f"{name:>8}: {text}" for name, text in self._lines())])

    def _repr_html_(self):
        return html_table([(f"export to {self.to}", ""), *self._lines()])


def export(
    rows: Sequence[Row],
    to: str,
    out: str | Path,
    *,
    tokenizer=None,
    force: bool = False,
    validation: Sequence[Row] | None = None,
    drop: bool = False,
    bom: bool = False,
    settings: dict | None = None,
    today: date | None = None,
    folder: Path = LIMITS,
) -> ExportReport:
    """Write the training files of one target into the folder `out`, all or nothing; DataError lists broken rules.

    `drop` leaves broken rows out and lists them; `bom` starts each JSONL file with a byte order mark (older Azure);
    `settings` (keys of SETTINGS) go into the YAML of a trainer.
    """
    known, target = limits(to, folder), find_target(to)
    if bom and to not in ("azure", "azure_dpo"):
        raise DataError(f"bom=True is for azure and azure_dpo (--bom): {to} may refuse a byte order mark")
    if settings and to not in TRAINER_FILES:
        raise DataError(f"settings are for {', '.join(TRAINER_FILES)} (--recipe); {to} gets data files only")
    complete = complete_settings(settings)
    if to in TRAINER_FILES:
        name, length = "tokens_per_example_max", str(complete["max_length"])  # its settings say where it cuts
        known = known | {name: Limit(to, name, length, "settings", date.today().isoformat(), "H", "max_length")}
    parts = {"train": _prepare(rows, to, known, tokenizer, drop)}
    if validation is not None:
        parts["validation"] = _prepare(validation, to, known, tokenizer, drop, part="validation")
    findings = [finding for part in parts.values() for finding in part.findings]
    if errors := errors_of(findings):
        remedy = "mend these rows, or leave the broken ones out with drop=True (--drop)"
        raise DataError("\n".join([*listing(errors), f"nothing was written for {to}: {remedy}"]))
    kind = parts["train"].kind
    if any(part.kind != kind for part in parts.values()):
        raise DataError(f"training and validation rows are of two kinds for {to}: give both as {kind}")
    contents = {f"{name}{target.suffix}": _encode(part.records, target, bom) for name, part in parts.items()}
    if to in TRAINER_FILES:
        contents |= trainer_files(to, complete, kind, {name: len(part.records) for name, part in parts.items()})
    told = _shared(parts) + limit_warnings(to, known, tokenizer is not None, today or date.today())
    told += [target.note] if target.note else []
    told += _unrendered([*rows, *(validation or ())], tokenizer) if target.renders else []
    if to in TRAINER_FILES and not settings:
        told.append(f"the YAML holds defaults ({SETTINGS['base_model']}, ...): pass your recipe's settings (--recipe)")
    return ExportReport(
        to,
        _write(contents, Path(out), force),
        len(parts["train"].records),
        len(parts["validation"].records) if validation is not None else 0,
        parts["train"].tokens,
        findings,
        [finding for part in parts.values() for finding in part.dropped],
        dict(sum((part.left_out for part in parts.values()), Counter()).most_common()),
        told,
        parts["validation"].tokens if validation is not None else None,
    )


# --- one file on its way


@dataclass
class _Part:
    """Records that may be written, and what was found in the rows."""

    kind: str
    tokens: int | None
    records: list[dict] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    dropped: list[Finding] = field(default_factory=list)
    left_out: Counter = field(default_factory=Counter)
    inputs: dict[tuple, str] = field(default_factory=dict)  # where each stands first


def _prepare(rows, to, known, tokenizer, drop, part="train") -> _Part:
    if not rows:
        raise DataError(f"no {part} rows to export to {to}: read them with check_chat(path).placed")
    if not all(isinstance(row, Row) for row in rows):
        raise DataError(f"the {part} rows must be Row(data, file, line): take check_chat(path).placed")
    target = find_target(to)
    result = _Part(row_kind(rows[0].data), None if tokenizer is None else 0)
    for row in rows:
        problems = _row_problems(row.data, to, target, known, result.kind)
        found = [replace(finding(code, row, *rest), severity=_severity(code, target)) for code, *rest in problems]
        found = list(dict.fromkeys(found))  # a prompt is looked at with chosen and with rejected
        if errors_of(found):
            (result.dropped if drop else result.findings).extend(found)
            continue
        clean = _clean(row.data, result.kind, target, result.left_out)
        if tokenizer is not None:
            tokens, longest = _tokens(clean, tokenizer)
            result.tokens += tokens
            most = limit_number(known, "tokens_per_example_max")
            if most and longest > most:
                found.append(finding("too_many_tokens", row, "", longest, to, most))
        result.findings += found
        result.inputs.setdefault(input_of(clean), f"{row.file}:{row.line}")
        result.records.append(getattr(target, result.kind)(clean))
    count, size = len(result.records) if drop else len(rows), len(_encode(result.records, target, False))
    result.findings += file_findings(rows[0], to, known, count, size, part)
    return result


def _clean(data, kind, target, left_out) -> dict:
    """The row with the keys that the target takes; empty values and weight 1, the default, go without a word."""
    keys, known = target.row_keys(kind), {"messages"}
    turns = [_clean_turn(turn, "messages", kind, target, left_out) for turn in data["messages"]]
    start = answer_start(data["messages"])
    if kind == "preference":
        rejected = [_clean_turn(turn, "rejected", kind, target, left_out) for turn in data["rejected"]]
        clean = {"prompt": turns[:start], "chosen": turns[start:], "rejected": rejected}
        known.add("rejected")
    elif kind == "unpaired":
        clean = {"prompt": turns[:-1], "completion": turns[-1:], "label": rating(data)}
        known.update(schema.JUDGED)
    else:
        clean = {"messages": turns}
    left_out.update(key for key, value in data.items() if key not in known | set(keys) and value is not None)
    return clean | {key: data[key] for key in keys if data.get(key) is not None}


def _clean_turn(turn, at, kind, target, left_out):
    keys = target.turn_keys(kind)
    lost = (key for key, value in turn.items() if key not in (*keys, "weight") and value is not None)
    left_out.update(f"{at}[].{key}" for key in lost)
    clean = {"role": turn["role"], "content": None} | {key: turn[key] for key in keys if turn.get(key) is not None}
    return clean | ({"weight": 0} if kind == "chat" and target.weights and _is_untrained(turn) else {})


def _tokens(clean, tokenizer) -> tuple[int, int]:
    """(all tokens of a row, those of its longest conversation), tools included: an estimate without a template."""
    counts = {}
    for at, turns in clean.items():
        if at == "tools":
            turns = [{"content": json.dumps(turns, ensure_ascii=False)}]
        if at in ("messages", "prompt", "chosen", "rejected", "completion", "tools"):
            texts = [turn.get("content") or "" for turn in turns]
            texts += [json.dumps(turn["tool_calls"], ensure_ascii=False) for turn in turns if turn.get("tool_calls")]
            ids = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
            counts[at] = sum(map(len, ids)) + TOKENS_PER_TURN * len(turns)
    total = sum(counts.values())
    return total, total - min(counts.get("chosen", 0), counts.get("rejected", 0))


# --- rules


def _row_problems(data, to, target, known, kind):
    """Yield (code, field, *values); first what any reader would refuse, then the target's own rules."""
    general = list(_general_problems(data))
    yield from general
    own = row_kind(data)
    if own != kind:
        yield "mixed_kinds", "", KINDS[own], KINDS[kind]
    elif getattr(target, own) is None:
        takes = next(name for name in KINDS if getattr(target, name))
        yield "wrong_kind", "", to, KINDS[takes], KINDS[own], other_target(to, own)
    elif not any(_severity(code, target) == "error" for code, *_ in general):
        yield from _turn_problems("messages", data["messages"], to, target, known, kind)
        start = answer_start(data["messages"])
        if kind == "preference":
            yield from _turn_problems("rejected", data["rejected"], to, target, known, kind)
            yield from _output_problems("messages", data["messages"], start, to, target)
            yield from _output_problems("rejected", data["rejected"], 0, to, target)
            if _said(data["messages"][start:]) == _said(data["rejected"]):
                yield "same_outputs", "rejected"
        yield from _order_problems(data["messages"][: start if kind == "preference" else None], to, target)
        earlier = sum(turn["role"] == "assistant" and not _is_untrained(turn) for turn in data["messages"][:-1])
        if to == "trl_prompt_completion" and earlier:
            yield "earlier_answers", "messages", earlier
        if data.get("tools") and kind not in target.tools:
            yield "tools_not_taken", "tools", to
        elif data.get("tools") and target.openai_calls:
            yield from toolcalls.described_problems(data)


def _severity(code, target) -> str:
    """Calls and results that do not belong together are refused by services alone."""
    return "error" if target.openai_calls and code in codes("toolcalls") else severity_of(code)


def _general_problems(data):
    """What any reader would refuse."""
    for problem in (*jsonl.value_problems(data), *schema.row_problems(data)):
        if problem[0] != "bad_answer" or row_kind(data) != "unpaired":  # a rated answer has its own targets
            yield problem


def _turn_problems(at, turns, to, target, known, kind):
    roles = limit_words(known, "roles") or list(schema.ROLES)
    forbidden = limit_words(known, "forbidden_text")
    for index, turn in enumerate(turns):
        where = f"{at}[{index}]"
        calls = turn.get("tool_calls")
        if turn["role"] == "tool" or calls:
            if kind not in target.tools:
                yield "tools_not_taken", f"{where}.{'tool_calls' if calls else 'role'}", to
            elif target.openai_calls:
                yield from toolcalls.call_problems(where, turn)
        elif turn["role"] not in roles:
            yield "role_not_taken", f"{where}.role", to, turn["role"], ", ".join(roles)
        last = index == len(turns) - 1
        if kind == "chat" and _is_untrained(turn) and not target.weights and (last or to != "trl_prompt_completion"):
            advice = "drop the row" if last else "export to trl_prompt_completion or axolotl, or drop the row"
            yield "weight_not_taken", f"{where}.weight", to, advice
        hits = [text for text in forbidden if text in (turn.get("content") or "")]
        if hits:
            yield "forbidden_text", f"{where}.content", to, ", ".join(map(repr, hits))


def _is_untrained(turn) -> bool:
    """True for an answer with weight 0; on other turns a weight says nothing, they are never trained on."""
    return turn["role"] == "assistant" and turn.get("weight") == 0


def _output_problems(at, turns, start, to, target):
    """One of the two answers of a preference pair, turns[start:]."""
    if target.one_output and len(turns) - start != 1:
        yield "one_output", at if start == 0 else f"{at}[{start}]", to
    for index, turn in enumerate(turns[start:], start):
        if turn["role"] not in ("assistant", "tool"):
            yield "role_in_output", f"{at}[{index}].role"


def _said(turns):
    """What an answer says, but for white space around it."""
    return [((turn.get("content") or "").strip(), turn.get("tool_calls")) for turn in turns]


def _order_problems(turns, to, target):
    """User first and then in turns; several tool results may follow one another."""
    if not target.alternate:
        return
    start = 1 if turns and turns[0]["role"] == "system" else 0
    roles = ["assistant", *(turn["role"] for turn in turns[start:])]
    for index, (before, role) in enumerate(pairwise(roles), start):
        asks, asked = role in ("user", "tool"), before in ("user", "tool")
        if asks == asked and not role == before == "tool":
            yield "not_alternating", f"messages[{index}].role", to


# --- warnings


def _shared(parts) -> list[str]:
    """A warning where the rows to validate with are trained on too."""
    validation = parts["validation"].inputs if "validation" in parts else {}
    places = [place for text, place in validation.items() if text in parts["train"].inputs]
    told = f"{len(places):,} input(s) to validate with are trained on too, the first {places[0]}" if places else ""
    return [f"{told}: their loss measures memory; split again with ftlab split"] if places else []


def _unrendered(rows, tokenizer) -> list[str]:
    """A warning where the trainer would render the rows with a template that leaves tools or calls out."""
    if not getattr(tokenizer, "chat_template", None):  # no tokenizer, or that of a base model
        return []
    lost = sum(bool(code.lost) for code in encode_chats(rows, tokenizer))
    told = f"{lost:,} row(s) have tools or tool calls that this model's chat template does not render: the model would"
    return [f"{told} be trained without them, although the estimate counts their text"] if lost else []


# --- files


def _encode(records, target, bom) -> bytes:
    lines = [jsonl.encode(record, f"row {number}").decode() for number, record in enumerate(records, 1)]
    text = "[\n" + ",\n".join(lines) + "\n]\n" if target.suffix == ".json" else "".join(f"{line}\n" for line in lines)
    return text.encode("utf-8-sig" if bom else "utf-8")


def _write(contents: dict[str, bytes], out: Path, force) -> list[Path]:
    """Write every file beside its place first, then move all of them: a failure leaves the old ones."""
    paths = {out / name: content for name, content in contents.items()}
    for path in paths:
        refuse_existing(path, force)
    with ExitStack() as stack:
        for path, content in paths.items():
            file = stack.enter_context(whole_file(path))
            file.write(content)
            file.flush()
    return list(paths)
