"""Scores with intervals, paired comparisons and the gate."""
