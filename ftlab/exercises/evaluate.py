"""The exercise of notebook 07."""

import math

from ftlab.exercises.engine import Exercise


def wilson_interval(successes, n, method="wilson", alpha=0.05):
    """(low, high) of statsmodels' 95 % interval of a rate, as fractions of 1."""
    from statsmodels.stats.proportion import proportion_confint

    return tuple(map(float, proportion_confint(successes, n, alpha=alpha, method=method)))


def plain_normal(successes, n):
    """p ± 1.96·sqrt(p(1-p)/n), also where it leaves [0, 1]."""
    p = successes / n
    half = 1.959964 * math.sqrt(p * (1 - p) / n)
    return p - half, p + half


check_wilson = Exercise("Wilson interval", wilson_interval, trials=[
    ((30, 50), "with 50 answers a rate of 0.60 is known to about 13 points either way"),
    ((50, 50), "no errors in 50 does not prove that there are none: the low end stays below 1"),
    ((0, 20), "none right in 20 still leaves room for a small rate: the high end stays above 0"),
    ((1, 10), "ten answers tell little, and the middle of the interval is pulled towards one half"),
    ((900, 1000), "more answers make a narrower interval"),
], mistakes=[
    (plain_normal,
     ("you used p ± 1.96·sqrt(p(1-p)/n), the normal (Wald) interval. It has no width at 0 or n successes and "
     "leaves [0, 1]; Wilson's does neither.")),
    (lambda k, n: wilson_interval(k, n, "normal"),
     "you used the normal (Wald) interval, cut at 0 and 1. It has no width at 0 or n successes; Wilson's does."),
    (lambda k, n: wilson_interval(k, n, alpha=0.10), "you used z = 1.645, a 90 % interval. For 95 %, z = 1.96."),
    (lambda k, n: [100 * end for end in wilson_interval(k, n)], "you returned percent. Rates here are fractions of 1."),
    (lambda k, n: wilson_interval(k, n)[::-1], "you returned (high, low). The order is (low, high)."),
], tolerance=2e-4)  # fmt: skip
