"""A blind comparison by people: two answers to a message, whose they are hidden, each judgement on the disk at once.

A judge sees the pairs in an order of their own, and each system on the left as often as on the right; both follow from
the seed and the judge's name, so that a session which is opened again goes on where it stopped. The file of judgements
is only ever added to: one who decides anew adds a line, and the last one on a pair counts.
"""

import hashlib
import json
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from pathlib import Path
from textwrap import shorten

import numpy as np

from ftlab.errors import DataError
from ftlab.evaluation.judge import VERDICTS, Agreement, agreement
from ftlab.evaluation.statistics import Interval, WinRate, score_interval, win_rate
from ftlab.tables import html_table

SAID = ("A", "tie", "B")  # A stands left, B right
SHOWN_PAIRS = 6  # of a test that is displayed


@dataclass(frozen=True, repr=False)
class BlindResult:
    """What the judges said: `rate` is the win rate of b, over pairs, each with the mean of its judges.

    `first` is how often the answer on the left was preferred, of all that were no tie: far from one half, the place was
    judged. `agreements` has the kappa of each two judges on the pairs that both have judged.
    """

    systems: tuple[str, str]
    pairs: int
    judged: dict[str, int]
    rate: WinRate
    first: Interval | None
    agreements: dict[str, Agreement]

    def __repr__(self):
        who = ", ".join(f"{judge} {n}" for judge, n in self.judged.items())
        lines = [f"{self.systems[1]} against {self.systems[0]}: win rate {self.rate} on {self.rate.rate.n} pairs"]
        lines += [f"judged, of {self.pairs}: {who}", f"the left one preferred: {self.first or 'never decided'}"]
        if self.first and not self.first.low <= 0.5 <= self.first.high:
            lines += ["the place has an influence: that is more than chance; the balanced order evens it out"]
        lines += [f"{two}: {found}" for two, found in self.agreements.items()]
        return "\n  ".join(lines)


class BlindTest:
    """One judge's session over pairs {"id", "request", "a", "b"}; open it with `BlindTest.open`. Pairs count from 0."""

    def __init__(self, pairs: Sequence[dict], systems: tuple[str, str], out: Path, judge: str, seed: int):
        self.systems, self.out, self.judge, self.seed = systems, out, judge, seed
        dice = random.Random(f"{seed}-{judge}")
        self.pairs = dice.sample(list(pairs), len(pairs))
        self._b_left = dice.sample([at % 2 == 0 for at in range(len(pairs))], len(pairs))
        self._said: dict[str, dict[str, tuple[str, str]]] = {}  # judge: pair: (winner, what was said)
        self._read()

    @classmethod
    def open(
        cls, pairs: Sequence[dict], systems: tuple[str, str], out: str | Path, judge: str, seed: int = 0
    ) -> "BlindTest":
        """Start, or go on with, the judgements of `judge` on pairs of answers of two systems, kept in `out` (JSONL).

        Several judges may share a file. DataError for pairs that cannot be shown, and where `out` is about other pairs.
        """
        for number, pair in enumerate(pairs, 1):
            if wrong := [name for name in ("id", "request", "a", "b") if not isinstance(pair.get(name), str)]:
                raise DataError(f"pair {number}: {wrong[0]} must be a text; give id, request, a and b")
        if len({pair["id"] for pair in pairs}) < len(pairs) or not pairs:
            raise DataError(f"{len(pairs)} pairs: give at least one, each with an id of its own")
        if not judge.strip():
            raise DataError("judge: is empty; write a name, so that judges can be told apart")
        return cls(pairs, tuple(systems), Path(out), judge, seed)

    def __len__(self):
        return len(self.pairs)

    def sides(self, at: int) -> tuple[str, str]:
        """The answers of a pair as this judge sees them: left, right."""
        pair, b_left = self.pairs[at], self._b_left[at]
        return (pair["b"], pair["a"]) if b_left else (pair["a"], pair["b"])

    def said(self, at: int) -> str | None:
        """ "A", "B" or "tie": what this judge said of a pair; None if nothing yet."""
        return self._said.get(self.judge, {}).get(self.pairs[at]["id"], (None, None))[1]

    def next_open(self, after: int = -1) -> int | None:
        """The first pair without a judgement behind `after`, then from the start; None when all are judged."""
        order = [*range(after + 1, len(self)), *range(after + 1)]
        return next((at for at in order if self.said(at) is None), None)

    def say(self, at: int, said: str) -> None:
        """Judge a pair: "A" (left is better), "B" or "tie"; it is on the disk before this returns."""
        if said not in SAID:
            raise DataError(f"{said!r} is no judgement; say {', '.join(SAID)}")
        left, right = ("b", "a") if self._b_left[at] else ("a", "b")
        winner = {"A": left, "B": right, "tie": "tie"}[said]
        line = {"pair": self.pairs[at]["id"], "judge": self.judge, "said": said, "winner": winner}
        self._write(line | {"at": datetime.now().astimezone().isoformat(timespec="seconds")})
        self._said.setdefault(self.judge, {})[line["pair"]] = winner, said

    def result(self) -> BlindResult:
        """Win rate, place and agreement of all judges in the file; DataError before the first judgement."""
        self._read()
        if not self._said:
            raise DataError(f"{self.out}: nobody has judged a pair yet")
        by_pair = {}
        for judged in self._said.values():
            for pair, (winner, _) in judged.items():
                by_pair.setdefault(pair, []).append(VERDICTS[winner])
        for_b = [float(np.mean(each)) for each in by_pair.values()]
        sides = [(pair, said) for judged in self._said.values() for pair, (_, said) in judged.items() if said != "tie"]
        left, pairs = [said == "A" for _, said in sides], [pair for pair, _ in sides] if len(self._said) > 1 else None
        agreements = {}
        for one, two in combinations(sorted(self._said), 2):
            both = [pair for pair in self._said[one] if pair in self._said[two]]
            if both:
                verdicts = ([self._said[judge][pair][0] for pair in both] for judge in (one, two))
                agreements[f"{one} and {two}"] = agreement(*verdicts)
        return BlindResult(
            self.systems, len(self), {judge: len(judged) for judge, judged in self._said.items()},
            win_rate([0.5] * len(for_b), for_b), score_interval(left, pairs) if sides else None, agreements,
        )  # fmt: skip

    def __repr__(self):
        done = sum(self.said(at) is not None for at in range(len(self)))
        return f"BlindTest({self.judge}: {done} of {len(self)} pairs judged, in {self.out.name})"

    def _repr_html_(self):
        """Some pairs as this judge sees them: what a reader has where no control is live."""
        rows = [("pair", "message", "A", "B", "said")]
        for at in range(len(self))[:SHOWN_PAIRS]:
            texts = [shorten(text, 300, placeholder=" ...") for text in (self.pairs[at]["request"], *self.sides(at))]
            rows.append((at + 1, *texts, self.said(at) or "not judged yet"))
        more = [f"and {len(self) - SHOWN_PAIRS} more"] if len(self) > SHOWN_PAIRS else []
        return html_table(rows, repr(self), after=more)

    # the file

    def _header(self) -> dict:
        """What the file is about: the first line of it."""
        pairs = sorted(([pair[name] for name in ("id", "request", "a", "b")] for pair in self.pairs), key=str)
        content = json.dumps([pairs, self.systems, self.seed])
        return {"blind": 1, "systems": list(self.systems), "sha256": hashlib.sha256(content.encode()).hexdigest()}

    def _read(self) -> None:
        """All judgements in the file, those of others too; a last line that a crash has cut is taken off."""
        self._said = {}
        content = self.out.read_bytes() if self.out.exists() else b""
        whole, _, tail = content.rpartition(b"\n")
        for number, line in enumerate((whole or tail).splitlines(), 1):
            try:
                event = json.loads(line)
                self._check(event) if number == 1 else self._take(event)
            except (ValueError, TypeError, LookupError, AttributeError) as error:
                raise DataError(f"{self.out}:{number}: no line of a blind comparison ({error}); mend it, or move the "
                                "file away to begin anew") from error  # fmt: skip
        if tail:
            os.truncate(self.out, len(content) - len(tail))

    def _take(self, event: dict) -> None:
        """One judgement of the file."""
        winner, said = event["winner"], event["said"]
        if winner not in VERDICTS or said not in SAID:
            raise ValueError("no judgement")
        self._said.setdefault(event["judge"], {})[event["pair"]] = winner, said

    def _check(self, event: dict) -> None:
        if event.get("blind") != 1:
            raise ValueError("it does not begin like one")
        if event != self._header():
            raise DataError(f"{self.out} is about other pairs, systems or another seed than these: go on with the old "
                            "ones, or name another file")  # fmt: skip

    def _write(self, event: dict) -> None:
        """Add one line, after the header where the file is new, and wait until the disk has it."""
        try:
            self.out.parent.mkdir(parents=True, exist_ok=True)
            with self.out.open("ab") as file:
                events = [event] if file.tell() else [self._header(), event]
                file.write("".join(json.dumps(each, ensure_ascii=False) + "\n" for each in events).encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise DataError(f"{self.out}: not written ({error.strerror}); this judgement is not saved: make room or "
                            "check permissions, then judge again") from error  # fmt: skip
