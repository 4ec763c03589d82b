"""Every check of a training file in one call: file, rows with their places, checks, findings.

`check` reads any format of `ftlab.data.forms` and merges what all checks find. `tools/bench_check.py` times it on up to
a hundred thousand chats; for millions use an engine such as datatrove.
"""

from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

from ftlab.checks import duplicates, privacy, quality
from ftlab.data import formats
from ftlab.data.findings import Finding, Row, errors_of, findings_dict, in_order, place_of
from ftlab.errors import DataError
from ftlab.models import load_tokenizer
from ftlab.tables import html_table

SEVERITIES = ("error", "warning", "info")  # worst first
MAX_LENGTH = 1024  # tokens; TRL's own default


@dataclass(frozen=True, repr=False)
class CheckReport:
    """What all checks found in one file, in the order of its lines; `rows` are those without an error, as messages.

    `counts` is the number of findings by code; `trained` what each trainer would train on, None without a model.
    """

    path: str
    format: str | None
    rows_in: int
    rows_kept: int
    rows: list[Row]
    findings: list[Finding]
    counts: dict[str, int]
    trained: object = None  # tokens.TrainedRows

    @property
    def errors(self) -> list[Finding]:
        """The findings that make a row unusable."""
        return errors_of(self.findings)

    @property
    def classes(self) -> list[tuple[str, str, list[Finding]]]:
        """(severity, code, findings), worst first and then the most frequent first."""
        by_code = defaultdict(list)
        for finding in self.findings:
            by_code[finding.severity, finding.code].append(finding)
        order = sorted(by_code, key=lambda kind: (SEVERITIES.index(kind[0]), -len(by_code[kind]), kind[1]))
        return [(*kind, by_code[kind]) for kind in order]

    @property
    def marked_bad(self) -> int:
        """Of the rows without an error, how many mark a bad answer (`label` false, KTO)."""
        return sum(row.data.get("label") is False for row in self.rows) if self.format == "kto" else 0

    def to_dict(self) -> dict:
        """The report without the rows, ready for JSON."""
        trained = None if self.trained is None else asdict(self.trained)
        summary = {"path": self.path, "format": self.format, **self._severities(), "trained": trained}
        summary |= {"marked_bad": self.marked_bad} if self.format == "kto" else {}
        rows = {"rows_in": self.rows_in, "rows_kept": self.rows_kept}
        return rows | findings_dict(self.findings) | {"summary": summary}

    def _severities(self) -> dict[str, int]:
        counts = Counter(finding.severity for finding in self.findings)
        return {severity: counts[severity] for severity in SEVERITIES}

    def __repr__(self):
        tally = ", ".join(f"{count} {name}" for name, count in self._severities().items() if count) or "no findings"
        usable = f"{self.rows_kept:,} of {self.rows_in:,} rows without an error"
        usable += f", {self.marked_bad:,} answers marked bad" if self.format == "kto" else ""
        lines = [f"CheckReport({self.path}, {self.format}: {usable}; {tally})"]
        for severity, code, findings in self.classes:
            lines += [f"{severity:<8}{code:<22}{len(findings):>6,}  {_lines(findings)}", f"        {findings[0]}"]
        return "\n".join(lines + ([repr(self.trained)] if self.trained is not None else []))

    def _repr_html_(self):
        table = [
            ("severity", "what", "how many", "where", "the first of them"),
            ("", "rows in the file", self.rows_in, "", ""),
            ("", "rows without an error", self.rows_kept, "", ""),
        ]
        table += [("", "answers marked bad", self.marked_bad, "", "")] if self.format == "kto" else []
        table += [(*kind, len(found), _lines(found), str(found[0])) for *kind, found in self.classes]
        return html_table(table) + ("" if self.trained is None else self.trained._repr_html_())


def check(
    path, against=None, model: str | Path | None = None, max_length: int | None = MAX_LENGTH, format: str | None = None
) -> CheckReport:
    """Run every check on a training file; bad content becomes findings, never an exception.

    `against` is an evaluation file whose inputs must not be in this one; `model` a name for its tokenizer, which
    adds what depends on tokens (`max_length` in tokens, None for no cut). An error in `against` is listed under
    that file's name. Raises DataError when there is nothing to check, ModelError without such a tokenizer.
    """
    if against is not None and formats.is_same_file(path, against):
        raise DataError(f"{path} is compared with itself: name another file, such as the test set (--against)")
    tokenizer = load_tokenizer(model)
    source = formats.read(path, format)
    findings, trained, rows = list(source.findings), None, source.rows
    if rows:
        # with a tokenizer its own special tokens are looked for, without one those of the common templates
        findings += quality.find_quality_problems(rows, control_tokens=tokenizer is None)
        findings += privacy.find_private(rows) + duplicates.find_duplicates(rows)
        if tokenizer is not None:
            from ftlab.checks.tokens import find_token_problems

            found, trained = find_token_problems(rows, tokenizer, max_length)
            findings += found
    if against is not None:
        other = formats.read(against)
        findings += errors_of(other.findings)
        if rows and other.rows:
            findings += duplicates.find_leaks(rows, other.rows)
    bad = {place_of(finding) for finding in errors_of(findings)}
    kept = [row for row in rows if row.place not in bad]
    findings = sorted(in_order(findings), key=lambda finding: finding.file != source.path)
    counts = dict(Counter(finding.code for finding in findings))
    return CheckReport(source.path, source.format, source.rows_in, len(kept), kept, findings, counts, trained)


def _lines(findings, show=5):
    lines = [str(line) for line in dict.fromkeys(finding.line for finding in findings) if line is not None]
    more = ", ..." if len(lines) > show else ""
    return f"line {', '.join(lines[:show])}{more}" if lines else "the file"
