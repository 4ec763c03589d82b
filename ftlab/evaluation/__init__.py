"""Scores with intervals, paired comparisons and the gate."""

from ftlab.evaluation.gate import Bars, Gate, decide_gate
from ftlab.evaluation.metrics import (
    RecordScores,
    compare_files,
    exact_text,
    macro_f1,
    parse_record,
    parse_repaired,
    score_records,
)
from ftlab.evaluation.statistics import (
    Comparison,
    Interval,
    bootstrap_mean,
    clustered_mean,
    compare,
    interval_of,
    mcnemar_midp,
    paired_bootstrap,
    paired_permutation,
    paired_wald,
    sample_size,
    smallest_detectable_gain,
    wilson,
)

__all__ = [
    "Bars",
    "Comparison",
    "Gate",
    "Interval",
    "RecordScores",
    "bootstrap_mean",
    "clustered_mean",
    "compare",
    "compare_files",
    "decide_gate",
    "exact_text",
    "interval_of",
    "macro_f1",
    "mcnemar_midp",
    "paired_bootstrap",
    "paired_permutation",
    "paired_wald",
    "parse_record",
    "parse_repaired",
    "sample_size",
    "score_records",
    "smallest_detectable_gain",
    "wilson",
]
