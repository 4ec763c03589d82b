"""Training files in the form that a hosted service or a trainer takes, checked by that target's own rules.

What changes with time (sizes, counts, roles, closing dates) stands in data/limits/*.csv with source and date.
A row of the export is a row of the input, in the same order: line n of the file is the n-th row.
A conversation with a list `rejected` beside its messages, as `ftlab.data.formats` has it, is a preference pair.
"""

import csv
import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from itertools import pairwise
from pathlib import Path

from ftlab.data import schema
from ftlab.data.formats import to_pair
from ftlab.data.schema import Finding, Row
from ftlab.data.splits import input_of
from ftlab.data.trainers import SETTINGS, TRAINER_FILES, complete_settings
from ftlab.errors import DataError
from ftlab.models import REPOSITORY

LIMITS = REPOSITORY / "data" / "limits"
LIMIT_COLUMNS = ("target", "limit", "value", "source_url", "source_date", "confidence", "note")
STALE_DAYS = 90
KINDS = {"chat": 'a conversation ("messages")', "preference": 'a preference pair ("prompt", "chosen", "rejected")'}
TURN_LISTS = {"chat": ("messages",), "preference": ("prompt", "chosen", "rejected")}
CLOSINGS = (  # limit, what to say when the day has come, and before
    ("closed_to_new_on", "has been closed to newcomers", "closes to newcomers"),
    ("closes_on", "has been closed", "closes"),
    ("models_retire_on", "has been without its models", "loses its models"),
)
TOKENS_PER_TURN = 4  # role and separators around a turn, added to the estimate of its text

CODES = {
    # the row
    "wrong_kind": ("error", "{} takes {}, and this row is {}; {}"),
    "mixed_kinds": ("error", "is {}, and the first row of the file is {}; export the two to separate files"),
    "bad_preference": ("error", "is {}; a preference row has prompt, chosen and rejected, each a list of turns"),
    "prompt_not_user": ("error", "the prompt must end in a user turn; move what follows it into chosen and rejected"),
    "one_output": ("error", "{} takes exactly one assistant turn here; move the others into the prompt"),
    "role_in_output": ("error", "an answer has assistant and tool turns only; the turns before it go into the prompt"),
    "same_outputs": ("warning", "chosen and rejected say the same: nothing to learn from; drop the row"),
    # what the target does not take
    "role_not_taken": ("error", "{} has no role {!r}, only {}; rewrite the turn or drop the row"),
    "weight_not_taken": ("error", "{} knows no weight and would train on this turn; {}"),
    "tools_not_taken": ("error", "this export to {} carries no tools; drop the row or write the call as text"),
    "not_alternating": ("error", "{} wants user and assistant in turns, user first; join neighbours of one role"),
    "forbidden_text": ("error", "{} fails the job for the reserved text {}; write it in other words"),
    "bad_tool_call": ("error", "{}; a call is {{id, type: function, function: {{name, arguments: JSON text}}}}"),
    "earlier_answers": ("warning", "only the last answer is trained on, not the {} before it; split the row"),
    # the file
    "too_few_rows": ("error", "{} wants at least {:,} rows and has {:,} here; add rows"),
    "few_rows": ("warning", "{} advises at least {:,} rows and has {:,} here; add rows or expect little"),
    "too_many_rows": ("error", "{} takes at most {:,} rows and has {:,} here; take a sample"),
    "file_too_large": ("error", "{} takes at most {:,} bytes in a file and this one has {:,}; take a sample"),
    # an estimate, so never an error
    "too_many_tokens": ("warning", "about {:,} tokens (an estimate) and {} stops at {:,}; shorten the row"),
}


@dataclass(frozen=True)
class Limit:
    """One dated fact about a target; `value` is text, empty when nobody could find it out.

    Confidence: H read at the source or run, M one good secondary source, L a hint.
    """

    target: str
    limit: str
    value: str
    source_url: str
    source_date: str
    confidence: str
    note: str


@dataclass(frozen=True)
class Shape:
    """How one kind of row is written as a record of the target, and read back; `note` goes into the report."""

    write: Callable[[dict], dict]
    read: Callable[[dict], dict]
    note: str = ""


@dataclass(frozen=True)
class Target:
    """What a target takes: a shape for conversations, one for preference pairs, or both.

    `weights`: a turn of a conversation may carry weight 0; `tools`: the kinds of row that may hold calls and
    results; `openai_calls`: a call needs an id and its arguments as JSON text;
    `alternate`: strictly user, assistant, user, ...; `one_output`: chosen and rejected are one turn each.
    """

    chat: Shape | None = None
    preference: Shape | None = None
    weights: bool = False
    tools: tuple[str, ...] = ()
    openai_calls: bool = False
    alternate: bool = False
    one_output: bool = True
    suffix: str = ".jsonl"

    def turn_keys(self, kind: str) -> tuple[str, ...]:
        """The keys of a turn that reach the file; others are counted and named in the report."""
        return ("role", "content") + (("name", "tool_calls", "tool_call_id") if kind in self.tools else ())

    def row_keys(self, kind: str) -> tuple[str, ...]:
        """The keys of a row that reach the file."""
        keys = TURN_LISTS[kind] + (("tools",) if kind in self.tools else ())
        return keys + (("parallel_tool_calls",) if self.openai_calls else ())


@dataclass(frozen=True, repr=False)
class ExportReport:
    """What `export` wrote: `rows` and `validation_rows` in the files, `dropped` the findings of rows left out.

    `tokens` is an estimate over the training rows, None without a tokenizer; `left_out` counts by name the
    keys of the input that the target has no place for.
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

    def to_dict(self) -> dict:
        """The report, ready for JSON."""
        return asdict(self) | {"files": [str(path) for path in self.files]}

    def _lines(self) -> list[tuple[str, str]]:
        places = {(finding.file, finding.line) for finding in self.dropped}
        lines = [("file", str(path)) for path in self.files]
        lines += [("rows", f"{self.rows:,} to train on, {self.validation_rows:,} to validate")]
        if self.tokens is not None:
            lines += [("tokens", f"about {self.tokens:,} in the training rows (an estimate)")]
        lines += [("warning", text) for text in self.warnings]
        keys = ", ".join(f"{key} ({count:,} times)" for key, count in self.left_out.items())
        lines += [("left out", f"{keys}: {self.to} has no place for them")] if keys else []
        lines += [("dropped", f"{len(places):,} row(s)")] if places else []
        for name, findings in (("dropped", self.dropped), ("finding", self.findings)):
            lines += [(name, str(finding)) for finding in findings[:20]]
            lines += [(name, f"... and {len(findings) - 20:,} more")] if len(findings) > 20 else []
        return lines

    def __repr__(self):
        return "\n".join([f"ExportReport({self.to})", *(f"{name:>8}: {text}" for name, text in self._lines())])

    def _repr_html_(self):
        import pandas as pd

        table = pd.DataFrame(self._lines(), columns=[f"export to {self.to}", ""])
        with pd.option_context("display.max_colwidth", None):
            return table.to_html(index=False)


# --- shapes: each writes a row whose keys are already cut to what the target takes ---


def _extras(row):
    return {key: row[key] for key in ("tools", "parallel_tool_calls") if key in row}


def _plain(row):
    return dict(row)


def _write_openai_dpo(row):
    return {
        "input": {"messages": row["prompt"]} | _extras(row),
        "preferred_output": row["chosen"],
        "non_preferred_output": row["rejected"],
    }


def _read_openai_dpo(record):
    outputs = {"chosen": record["preferred_output"], "rejected": record["non_preferred_output"]}
    return {"prompt": record["input"]["messages"]} | outputs | _extras(record["input"])


def _write_gemini_turns(turns, system_key):
    """Contents with roles user and model; the system turn stands apart."""
    system, rest = _split_system(turns)
    head = {system_key: {"parts": [{"text": system}]}} if system is not None else {}
    return head | {"contents": [_gemini_turn(turn) for turn in rest]}


def _write_gemini(row):
    return _write_gemini_turns(row["messages"], "systemInstruction")


def _read_gemini(record):
    return {"messages": _read_gemini_turns(record, "systemInstruction")}


def _gemini_turn(turn):
    return {"role": "model" if turn["role"] == "assistant" else "user", "parts": [{"text": turn["content"]}]}


def _read_gemini_turns(record, system_key):
    system = [{"role": "system", "content": _text(record[system_key]["parts"])}] if system_key in record else []
    return system + [_from_gemini(content) for content in record["contents"]]


def _from_gemini(content):
    return {"role": "assistant" if content["role"] == "model" else "user", "content": _text(content["parts"])}


def _text(parts):
    return "".join(part["text"] for part in parts)


def _write_gemini_preference(row):
    pair = ((1, row["chosen"]), (0, row["rejected"]))
    completions = [{"score": score, "completion": _gemini_turn(turns[0])} for score, turns in pair]
    return _write_gemini_turns(row["prompt"], "system_instruction") | {"completions": completions}


def _read_gemini_preference(record):
    turns = {item["score"]: [_from_gemini(item["completion"])] for item in record["completions"]}
    prompt = _read_gemini_turns(record, "system_instruction")
    return {"prompt": prompt, "chosen": turns[1], "rejected": turns[0]}


def _write_nova(row):
    system, rest = _split_system(row["messages"])
    return {
        "schemaVersion": "bedrock-conversation-2024",
        **({"system": [{"text": system}]} if system is not None else {}),
        "messages": [{"role": turn["role"], "content": [{"text": turn["content"]}]} for turn in rest],
    }


def _read_nova(record):
    system = [{"role": "system", "content": _text(record["system"])}] if "system" in record else []
    turns = [{"role": turn["role"], "content": _text(turn["content"])} for turn in record["messages"]]
    return {"messages": system + turns}


def _write_prompt_completion(row):
    return {"prompt": row["messages"][:-1], "completion": row["messages"][-1:]} | _extras(row)


def _read_prompt_completion(record):
    """Answers inside the prompt are not trained on, so they come back with weight 0."""
    prompt = [turn | ({"weight": 0} if turn["role"] == "assistant" else {}) for turn in record["prompt"]]
    return {"messages": prompt + record["completion"]} | _extras(record)


def _write_axolotl(row):
    """Weight 0 becomes train: false, which the YAML names as message_field_training."""
    turns = [_renamed(turn, "weight", "train", bool) for turn in row["messages"]]
    return {"messages": turns} | _extras(row)


def _read_axolotl(record):
    return {"messages": [_renamed(turn, "train", "weight", int) for turn in record["messages"]]} | _extras(record)


def _renamed(turn, old, new, kind):
    return {(new if key == old else key): (kind(value) if key == old else value) for key, value in turn.items()}


def _write_turn_pair(row):
    """Axolotl and LLaMA-Factory: the prompt is called messages, and each output is one turn."""
    return {"messages": row["prompt"], "chosen": row["chosen"][0], "rejected": row["rejected"][0]} | _extras(row)


def _read_turn_pair(record):
    outputs = {"chosen": [record["chosen"]], "rejected": [record["rejected"]]}
    return {"prompt": record["messages"]} | outputs | _extras(record)


def _split_system(turns) -> tuple[str | None, list[dict]]:
    first = turns[0]["role"] == "system" if turns else False
    return (turns[0]["content"], turns[1:]) if first else (None, turns)


TRL_NOTE = "TRL trains on every token of messages unless you set assistant_only_loss=True"
UNSLOTH_NOTE = "apply the chat template, then train_on_responses_only, or the questions are trained on too"
VERTEX_NOTE = "Vertex reads gs:// only: copy the files to a bucket first"
BEDROCK_NOTE = "Bedrock reads s3:// only: copy the files to a bucket first"
LLAMA_NOTE = "LLaMA-Factory drops a row that it cannot read and goes on: compare its row count with this one"

MESSAGES = Shape(_plain, _plain)
OPENAI_DPO = Shape(_write_openai_dpo, _read_openai_dpo)
GEMINI = Shape(_write_gemini, _read_gemini, VERTEX_NOTE)
GEMINI_PREFERENCE = Shape(_write_gemini_preference, _read_gemini_preference, VERTEX_NOTE)
NOVA = Shape(_write_nova, _read_nova, BEDROCK_NOTE)
PROMPT_COMPLETION = Shape(_write_prompt_completion, _read_prompt_completion)
AXOLOTL = Shape(_write_axolotl, _read_axolotl)
TURN_PAIR = Shape(_write_turn_pair, _read_turn_pair)

_OPENAI = {"tools": ("chat", "preference"), "openai_calls": True}
TARGETS = {
    "openai": Target(chat=MESSAGES, weights=True, **_OPENAI),
    "openai_dpo": Target(preference=OPENAI_DPO, one_output=False, **_OPENAI),
    "azure": Target(chat=MESSAGES, weights=True, **_OPENAI),
    "azure_dpo": Target(preference=OPENAI_DPO, one_output=False, **_OPENAI),
    "gemini": Target(chat=GEMINI),
    "gemini_preference": Target(preference=GEMINI_PREFERENCE),
    "bedrock_nova": Target(chat=NOVA, alternate=True),
    "together": Target(chat=MESSAGES, weights=True, alternate=True, **_OPENAI),
    "together_dpo": Target(preference=OPENAI_DPO, alternate=True, **_OPENAI),
    "fireworks": Target(chat=MESSAGES, weights=True, **_OPENAI),
    "fireworks_dpo": Target(preference=OPENAI_DPO),
    "trl": Target(Shape(_plain, _plain, TRL_NOTE), MESSAGES, tools=("chat", "preference"), one_output=False),
    "trl_prompt_completion": Target(chat=PROMPT_COMPLETION, tools=("chat",)),
    "unsloth": Target(Shape(_plain, _plain, UNSLOTH_NOTE), MESSAGES, tools=("chat", "preference"), one_output=False),
    "axolotl": Target(AXOLOTL, TURN_PAIR, weights=True, tools=("chat",)),
    "llama_factory": Target(
        Shape(_plain, _plain, LLAMA_NOTE),
        Shape(_write_turn_pair, _read_turn_pair, LLAMA_NOTE),
        alternate=True,
        suffix=".json",
    ),
}

# --- the public functions ---


def limits(to: str, folder: Path = LIMITS) -> dict[str, Limit]:
    """The dated facts about one target by name; raises DataError for a damaged table, naming line and column."""
    _target(to)
    found, tables = {}, sorted(Path(folder).glob("*.csv"))
    if not tables:
        raise DataError(f"{folder} holds no .csv table of limits: get data/limits back from the repository")
    for path in tables:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ()) != LIMIT_COLUMNS:
                raise DataError(f"{path}:1 the columns must be {', '.join(LIMIT_COLUMNS)}")
            for values in reader:
                limit = _limit(values, path, reader.line_num)
                if to in limit.target.split():
                    found[limit.limit] = limit
    return found


def check_for(rows: Sequence[Row], to: str, tokenizer=None, folder: Path = LIMITS) -> list[Finding]:
    """What stands between these rows and the target, without writing anything; errors refuse the export."""
    return _prepare(rows, to, limits(to, folder), tokenizer, drop=False).findings


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
    `settings` (keys of SETTINGS) go into the YAML of axolotl and llama_factory.
    """
    known, given = limits(to, folder), settings
    target = _target(to)
    if bom and to not in ("azure", "azure_dpo"):
        raise DataError(f"bom=True is for azure and azure_dpo (--bom): {to} may refuse a byte order mark")
    if to in TRAINER_FILES:
        settings = complete_settings(settings)
        known = known | {"tokens_per_example_max": _own_limit(to, settings["max_length"])}
    elif settings:
        raise DataError(f"settings are for {' and '.join(TRAINER_FILES)} (--recipe); {to} gets data files only")
    parts = {"train": _prepare(rows, to, known, tokenizer, drop)}
    if validation is not None:
        parts["validation"] = _prepare(validation, to, known, tokenizer, drop, part="validation")
    findings = [finding for part in parts.values() for finding in part.findings]
    _refuse(schema.errors_of(findings), to)
    if len({part.kind for part in parts.values()}) > 1:
        raise DataError(f"training and validation rows are of two kinds for {to}: give both as {parts['train'].kind}")
    contents = {f"{name}{target.suffix}": _encode(part.records, target, bom) for name, part in parts.items()}
    if to in TRAINER_FILES:
        sizes = {name: len(part.records) for name, part in parts.items()}
        contents |= TRAINER_FILES[to](settings, parts["train"].kind, sizes)
    files = _write(contents, Path(out), force)
    shape = getattr(target, parts["train"].kind)
    left_out = sum((part.left_out for part in parts.values()), Counter())
    return ExportReport(
        to,
        files,
        len(parts["train"].records),
        len(parts["validation"].records) if validation is not None else 0,
        parts["train"].tokens,
        findings,
        [finding for part in parts.values() for finding in part.dropped],
        dict(left_out.most_common()),
        _shared(parts) + _warnings(to, shape, known, tokenizer, today or date.today())
        + _defaults(to, given),
    )


def read_export(path: str | Path, to: str) -> list[dict]:
    """The rows of an exported data file as chat or preference rows again: what the target will have read."""
    target, path = _target(to), Path(path)
    if target.suffix == ".json":
        try:
            records = json.loads(path.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError, RecursionError) as error:
            raise DataError(f"{path} cannot be read as JSON: {error}; export it again") from error
        records = list(enumerate(records if isinstance(records, list) else [records], 1))
    else:
        lines = [line for line in schema.scan_jsonl(path) if line.is_row]
        schema.raise_findings(schema.errors_of(item for line in lines for item in line.findings))
        records = [(line.number, line.row) for line in lines]
    return [_read_record(record, target, f"{path}:{number}", to) for number, record in records]


# --- checks ---


@dataclass
class _Part:
    """One file on its way: records that may be written, and what was found in the rows."""

    kind: str
    records: list[dict] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    dropped: list[Finding] = field(default_factory=list)
    left_out: Counter = field(default_factory=Counter)
    inputs: dict[tuple, str] = field(default_factory=dict)  # where each stands first
    tokens: int | None = None


def _prepare(rows, to, known, tokenizer, drop, part="train") -> _Part:
    if not rows:
        raise DataError(f"no {part} rows to export to {to}: read them with check_chat(path).placed")
    if not all(isinstance(row, Row) for row in rows):
        raise DataError(f"the {part} rows must be Row(data, file, line): take check_chat(path).placed")
    target = _target(to)
    rows = [replace(row, data=to_pair(row.data)) for row in rows]
    result = _Part(_kind(rows[0].data), tokens=None if tokenizer is None else 0)
    shape = getattr(target, result.kind)
    for row in rows:
        problems = _row_problems(row.data, to, target, known, result.kind)
        found = [schema.finding(table, code, row, *rest) for table, code, *rest in problems]
        found = list(dict.fromkeys(found))  # a prompt is looked at with chosen and with rejected
        if schema.errors_of(found):
            (result.dropped if drop else result.findings).extend(found)
            continue
        clean = _clean(row.data, result.kind, target, result.left_out)
        if tokenizer is not None:
            found += _count_tokens(row, clean, to, known, tokenizer, result)
        result.findings += found
        result.inputs.setdefault(input_of(clean), f"{row.file}:{row.line}")
        result.records.append(shape.write(clean))
    result.findings += _file_findings(rows, result, to, target, known, drop, part)
    return result


def _row_problems(data, to, target, known, kind):
    """Yield (table, code, field, *values); first what any reader would refuse, then the target's own rules."""
    own = _kind(data)
    general = list(_preference_problems(data) if own == "preference" else _chat_problems(data))
    yield from general
    if own != kind:
        yield CODES, "mixed_kinds", "", KINDS[own], KINDS[kind]
    elif getattr(target, own) is None:
        takes = "chat" if target.chat else "preference"
        yield CODES, "wrong_kind", "", to, KINDS[takes], KINDS[own], _other_target(to, own)
    elif not any(table[code][0] == "error" for table, code, *_ in general):
        for at, turns in _turn_lists(data, own):
            yield from _turn_problems(at, turns, to, target, known)
        if own == "preference":
            yield from _pair_problems(data, to, target)
        else:
            yield from _order_problems("messages", data["messages"], to, target)
            yield from _earlier_answers(data["messages"], to)
        yield from _tool_list_problems(data.get("tools"), to, own in target.tools)


def _tool_list_problems(tools, to, taken):
    if tools is not None and not (isinstance(tools, list) and all(isinstance(tool, dict) for tool in tools)):
        yield schema.CODES, "wrong_type", "tools", "something else", "a list of tool descriptions (objects)"
    elif tools and not taken:
        yield CODES, "tools_not_taken", "tools", to


def _kind(data) -> str:
    pair = isinstance(data, dict) and "messages" not in data and ({"chosen", "rejected"} & set(data))
    return "preference" if pair else "chat"


def _other_target(to, kind):
    sibling = {"preference": f"{to}_dpo", "chat": to.removesuffix("_dpo").removesuffix("_preference")}[kind]
    sibling = "gemini_preference" if sibling == "gemini_dpo" else sibling
    known = sibling in TARGETS and getattr(TARGETS[sibling], kind) is not None
    advice = f"export it to {sibling}" if known else "export it to trl, axolotl or llama_factory"
    return advice + (", or drop the rejected answer" if kind == "preference" else "")


def _chat_problems(data):
    if not isinstance(data, dict):
        yield schema.CODES, "not_an_object", "", f"a {type(data).__name__}"
        return
    for problem in (*schema.value_problems(data), *schema.row_problems(data)):
        yield schema.CODES, *problem


def _preference_problems(data):
    """The rules of a conversation hold for prompt + chosen and for prompt + rejected."""
    for problem in schema.value_problems(data):
        yield schema.CODES, *problem
    wrong = [key for key in ("prompt", "chosen", "rejected") if not (data.get(key) and isinstance(data[key], list))]
    for key in wrong:
        is_text = isinstance(data.get(key), str)
        yield CODES, "bad_preference", key, "a text" if is_text else "missing, empty or no list"
    if wrong:
        return
    prompt = data["prompt"]
    if not (isinstance(prompt[-1], dict) and prompt[-1].get("role") in ("user", "tool")):
        yield CODES, "prompt_not_user", f"prompt[{len(prompt) - 1}].role"
    for key in ("chosen", "rejected"):
        for code, where, *values in schema.row_problems({"messages": prompt + data[key]}):
            yield schema.CODES, code, _moved(where, len(prompt), key), *values


def _moved(where, size, key):
    """messages[3].role of prompt + chosen is chosen[1].role when the prompt has two turns."""
    if not where.startswith("messages["):
        return where.replace("messages", "prompt")
    index, rest = where.removeprefix("messages[").split("]", 1)
    return f"prompt[{index}]{rest}" if int(index) < size else f"{key}[{int(index) - size}]{rest}"


def _turn_lists(data, kind):
    return [(key, data[key]) for key in TURN_LISTS[kind]]


def _turn_problems(at, turns, to, target, known):
    kind = "chat" if at == "messages" else "preference"
    roles = known["roles"].value.split() if "roles" in known else list(schema.ROLES)
    forbidden = known["forbidden_text"].value.split() if "forbidden_text" in known else []
    for index, turn in enumerate(turns):
        where = f"{at}[{index}]"
        calls = turn.get("tool_calls")
        if turn["role"] == "tool" or calls:
            if kind not in target.tools:
                yield CODES, "tools_not_taken", f"{where}.{'tool_calls' if calls else 'role'}", to
            elif target.openai_calls:
                yield from _call_problems(where, turn)
        elif turn["role"] not in roles:
            yield CODES, "role_not_taken", f"{where}.role", to, turn["role"], ", ".join(roles)
        untrained = to == "trl_prompt_completion" and index < len(turns) - 1
        taken = target.weights and kind == "chat"
        if _is_untrained(turn) and not taken and not untrained:
            yield CODES, "weight_not_taken", f"{where}.weight", to, _weight_advice(at, index, turns)
        hits = [text for text in forbidden if text in (turn.get("content") or "")]
        if hits:
            yield CODES, "forbidden_text", f"{where}.content", to, ", ".join(map(repr, hits))


def _is_untrained(turn) -> bool:
    """True for an answer with weight 0; on other turns a weight says nothing, they are never trained on."""
    return turn["role"] == "assistant" and turn.get("weight") == 0


def _weight_advice(at, index, turns):
    if at == "messages" and index < len(turns) - 1:
        return "export to trl_prompt_completion or axolotl, or drop the row"
    return "drop the row" if at == "messages" else "remove the weight: in a preference row it has no meaning"


def _call_problems(where, turn):
    if turn["role"] == "tool" and not isinstance(turn.get("tool_call_id"), str):
        yield CODES, "bad_tool_call", f"{where}.tool_call_id", "is missing: it names the call that this answers"
    for number, call in enumerate(turn.get("tool_calls") or ()):
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        texts = (call.get("id"), function.get("name"), function.get("arguments"))
        if call.get("type") != "function" or not all(isinstance(text, str) for text in texts):
            yield CODES, "bad_tool_call", f"{where}.tool_calls[{number}]", "lacks a key or has one of a wrong type"
        elif not _is_json(function["arguments"]):
            yield CODES, "bad_tool_call", f"{where}.tool_calls[{number}].function.arguments", "is not JSON"


def _is_json(text):
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _pair_problems(data, to, target):
    for key in ("chosen", "rejected"):
        if target.one_output and len(data[key]) != 1:
            yield CODES, "one_output", key, to
        for index, turn in enumerate(data[key]):
            if turn["role"] not in ("assistant", "tool"):
                yield CODES, "role_in_output", f"{key}[{index}].role"
    texts = [[(turn.get("content"), turn.get("tool_calls")) for turn in data[key]] for key in ("chosen", "rejected")]
    if texts[0] == texts[1]:
        yield CODES, "same_outputs", "rejected"
    yield from _order_problems("prompt", data["prompt"], to, target)


def _order_problems(at, turns, to, target):
    """User first and then in turns; several tool results may follow one another."""
    if not target.alternate:
        return
    start = 1 if turns[0]["role"] == "system" else 0
    roles = ["assistant", *(turn["role"] for turn in turns[start:])]
    for index, (before, role) in enumerate(pairwise(roles), start):
        asks, asked = role in ("user", "tool"), before in ("user", "tool")
        if asks == asked and not role == before == "tool":
            yield CODES, "not_alternating", f"{at}[{index}].role", to


def _earlier_answers(turns, to):
    earlier = [turn for turn in turns[:-1] if turn["role"] == "assistant" and turn.get("weight") != 0]
    if to == "trl_prompt_completion" and earlier:
        yield CODES, "earlier_answers", "messages", len(earlier)


def _clean(data, kind, target, left_out) -> dict:
    """The row with the keys that the target takes; empty values and weight 1, the default, go without a word."""
    keys = target.row_keys(kind)
    left_out.update(key for key, value in data.items() if key not in keys and value is not None)
    clean = {key: data[key] for key in keys if data.get(key) is not None}
    for at, turns in _turn_lists(data, kind):
        clean[at] = [_clean_turn(turn, at, target, left_out) for turn in turns]
    return clean


def _clean_turn(turn, at, target, left_out):
    chat = at == "messages"
    keys = target.turn_keys("chat" if chat else "preference")
    known = (*keys, "weight")
    left_out.update(f"{at}[].{key}" for key, value in turn.items() if key not in known and value is not None)
    clean = {"role": turn["role"], "content": turn.get("content")}
    clean |= {key: turn[key] for key in keys if turn.get(key) is not None}
    return clean | ({"weight": 0} if chat and target.weights and _is_untrained(turn) else {})


def _count_tokens(row, clean, to, known, tokenizer, result):
    """Add the row's tokens to the total; a finding when it goes over the limit."""
    counts = {at: _tokens(turns, tokenizer) for at, turns in _turn_lists(clean, result.kind)}
    tools = _tokens([{"content": json.dumps(clean["tools"])}], tokenizer) if "tools" in clean else 0
    result.tokens += sum(counts.values()) + tools
    longest = max(counts.get("chosen", 0), counts.get("rejected", 0))
    tokens = counts.get("messages", counts.get("prompt", 0)) + longest + tools
    most = _number(known, "tokens_per_example_max")
    return [schema.finding(CODES, "too_many_tokens", row, "", tokens, to, most)] if most and tokens > most else []


def _tokens(turns, tokenizer) -> int:
    texts = [turn.get("content") or "" for turn in turns]
    texts += [json.dumps(turn["tool_calls"], ensure_ascii=False) for turn in turns if turn.get("tool_calls")]
    ids = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return sum(map(len, ids)) + TOKENS_PER_TURN * len(turns)


def _file_findings(rows, result, to, target, known, drop, part) -> list[Finding]:
    """What is wrong with the file as a whole, placed at the last row; rows to be dropped do not count."""
    count = len(result.records) if drop else len(rows)
    size = len(_encode(result.records, target, False))
    most = _number(known, "examples_max" if part == "train" else "validation_examples_max")
    names = ("examples_min", "examples_advised") if part == "train" else ("", "")
    least, advised = (_number(known, name) for name in names)
    bytes_max = _number(known, "file_bytes_max")
    problems = []
    if not count or (least and count < least):
        problems.append(("too_few_rows", to, least or 1, count))
    elif advised and count < advised:
        problems.append(("few_rows", to, advised, count))
    if most and count > most:
        problems.append(("too_many_rows", to, most, count))
    if bytes_max and size > bytes_max:
        problems.append(("file_too_large", to, bytes_max, size))
    return [schema.finding(CODES, code, rows[-1], "", *values) for code, *values in problems]


def _refuse(errors, to):
    try:
        schema.raise_findings(errors)
    except DataError as error:
        remedy = "mend these rows, or leave the broken ones out with drop=True (--drop)"
        raise DataError(f"{error}\nnothing was written for {to}: {remedy}") from None


# --- limits and warnings ---


def _target(to) -> Target:
    if to not in TARGETS:
        raise DataError(f"{to!r} is no export target; choose one of {', '.join(TARGETS)}")
    return TARGETS[to]


def _limit(values, path, line) -> Limit:
    if None in values or None in values.values():
        raise DataError(f"{path}:{line} has more or fewer than {len(LIMIT_COLUMNS)} columns: quote texts with commas")
    limit = Limit(**values)
    unknown = [name for name in limit.target.split() if name not in TARGETS]
    if unknown or not limit.target:
        raise DataError(f"{path}:{line} target: {' '.join(unknown) or 'is empty'}; use {', '.join(TARGETS)}")
    if limit.value:
        _date(limit.source_date, f"{path}:{line} source_date")
        if limit.limit.endswith("_on"):
            _date(limit.value, f"{path}:{line} value")
        elif limit.limit.endswith(("_min", "_max", "_advised")) and not limit.value.isdecimal():
            raise DataError(f"{path}:{line} value: {limit.value!r} is no whole number; leave it empty if not known")
        if not limit.source_url or limit.confidence not in ("H", "M", "L"):
            raise DataError(f"{path}:{line} a value needs its source_url and a confidence of H, M or L")
    return limit


def _date(text, place="") -> date:
    """A day, or the first of a month when only the month is known (2027-04)."""
    try:
        return date.fromisoformat(f"{text}-01" if len(text) == 7 else text)
    except ValueError as error:
        raise DataError(f"{place}: {text!r} is no date; write it as 2026-11-22 or 2026-11") from error


def _number(known, name) -> int | None:
    return int(known[name].value) if name in known and known[name].value else None


def _own_limit(to, tokens):
    return Limit(to, "tokens_per_example_max", str(tokens), "settings", date.today().isoformat(), "H", "max_length")


def _warnings(to, shape, known, tokenizer, today) -> list[str]:
    """What the reader should know before paying: the service's end, old figures, checks that were not made."""
    texts = []
    for name, past, future in CLOSINGS:
        if name in known and known[name].value:
            limit = known[name]
            days = (_date(limit.value) - today).days
            what = f"{past} since {limit.value}" if days <= 0 else f"{future} on {limit.value}, in {days} days"
            texts.append(f"{to} {what}: {limit.note} ({limit.source_url}, {limit.source_date})")
    dated = {limit.limit: (today - _date(limit.source_date)).days for limit in known.values() if limit.value}
    old = {name: days for name, days in dated.items() if days > STALE_DAYS}
    if old:
        names = ", ".join(f"{name} ({days} days)" for name, days in old.items())
        texts.append(f"figures older than {STALE_DAYS} days, look them up again: {names}; data/limits says where")
    empty = [limit.limit for limit in known.values() if not limit.value]
    if empty:
        texts.append(f"not known and so not checked: {', '.join(empty)}")
    if tokenizer is None and _number(known, "tokens_per_example_max"):
        texts.append("tokens of a row not counted: pass tokenizer= (--model) for an estimate")
    return texts + ([shape.note] if shape.note else [])


def _shared(parts) -> list[str]:
    """A warning where the rows to validate with are trained on too."""
    validation = parts["validation"].inputs if "validation" in parts else {}
    places = [place for text, place in validation.items() if text in parts["train"].inputs]
    told = f"{len(places):,} input(s) to validate with are trained on too, the first {places[0]}" if places else ""
    return [f"{told}: their loss measures memory; split again with ftlab split"] if places else []


def _defaults(to, given) -> list[str]:
    if to not in TRAINER_FILES or given:
        return []
    base = SETTINGS["base_model"]
    return [f"the YAML holds defaults (base_model {base}, ...): pass settings= with your recipe's (--recipe)"]


# --- files ---


def _encode(records, target, bom) -> bytes:
    try:
        if target.suffix == ".json":
            text = json.dumps(records, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
        else:
            lines = [json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n" for record in records]
            text = "".join(lines)
        return text.encode("utf-8-sig" if bom else "utf-8")
    except (TypeError, ValueError) as error:
        raise DataError(f"a row is not writable as JSON: {error}; use text, numbers, lists and objects") from error


def _write(contents: dict[str, bytes], out: Path, force) -> list[Path]:
    """Write every file beside its place first, then move all of them: a failure leaves the old ones."""
    paths = {out / name: content for name, content in contents.items()}
    there = [str(path) for path in paths if path.exists()]
    if there and not force:
        raise DataError(f"{', '.join(there)} exist(s) already: choose another folder, or overwrite with force=True "
                        "(--force)")  # fmt: skip
    temporary = {path: path.with_name(f".{path.name}.{os.getpid()}.tmp") for path in paths}
    try:
        out.mkdir(parents=True, exist_ok=True)
        for path, content in paths.items():
            temporary[path].write_bytes(content)
        for path in paths:
            os.replace(temporary[path], path)
    except OSError as error:
        why = "a file has this name" if isinstance(error, FileExistsError) else error.strerror or error
        raise DataError(f"{out} cannot be written: {why}; choose another folder") from error
    finally:
        for path in temporary.values():
            if out.is_dir():
                path.unlink(missing_ok=True)
    return list(paths)


def _read_record(record, target, place, to):
    kinds = [kind for kind in ("preference", "chat") if getattr(target, kind) is not None]
    if len(kinds) == 2 and isinstance(record, dict):
        kinds = ["preference" if "chosen" in record else "chat"]
    try:
        return getattr(target, kinds[0]).read(record)
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        raise DataError(f"{place} is no record of {to}: {error!r}; export it again") from error
