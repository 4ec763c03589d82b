"""The exercise of notebook 02."""

import math

from ftlab.exercises.engine import Exercise


def calls_to_pay_back(one_time_usd, usd_per_call_prompted, usd_per_call_tuned):
    """Calls until the saving has paid the one-time cost; no saving, no pay-back."""
    saved = usd_per_call_prompted - usd_per_call_tuned
    return one_time_usd / saved if saved > 0 else math.inf


check_break_even = Exercise("break-even", calls_to_pay_back, trials=[
    ((1000.0, 0.002, 0.001), "each call saves a tenth of a cent, so 1,000 USD take a million calls"),
    ((180.0, 0.01, 0.004), "180 USD over 0.6 cents a call"),
    ((0.0, 0.002, 0.001), "nothing was spent, so the first call pays"),
    ((1000.0, 0.001, 0.002), "the tuned call is dearer: it never pays back"),
    ((1000.0, 0.001, 0.001), "no difference, no pay-back"),
], mistakes=[
    (lambda o, p, t: o / (p - t),
     ("you divided without asking whether there is a saving. A negative number of calls is no pay-back, and no "
     "difference divides by zero.")),
    (lambda o, p, t: o / abs(p - t) if p != t else math.inf, "you took the difference without its sign."),
    (lambda o, p, t: o / p, "you divided by the price of a prompted call, not by what a call saves."),
    (lambda o, p, t: calls_to_pay_back(o, t, p), "you subtracted the wrong way round: saved is prompted minus tuned."),
])  # fmt: skip
