"""The exercises of notebook 10."""

import math

from ftlab.exercises.engine import Exercise


def training_gib(frozen, bytes_per_frozen, trainable, bytes_per_trainable=16, unit=2**30):
    """A trained parameter takes 16 bytes: weight, gradient and two states of Adam, each a 32-bit float."""
    return (frozen * bytes_per_frozen + trainable * bytes_per_trainable) / unit


check_training_gib = Exercise("training memory", training_gib, trials=[
    ((8_000_000_000, 2, 0), "nothing is trained, so only 8 billion weights of 2 bytes lie there"),
    ((0, 2, 8_000_000_000), "everything is trained: 16 bytes for each of 8 billion"),
    ((8_000_000_000, 2, 42_000_000), "LoRA: the frozen weights, and 16 bytes for each number of the adapter"),
    ((8_000_000_000, 0.5, 42_000_000), "QLoRA: the same adapter over weights of half a byte"),
], mistakes=[
    (lambda f, w, t: training_gib(f, w, t, unit=1e9),
     "you divided by 10^9. That is GB; a GiB is 2^30 bytes, 7 % more, and memory is told in GiB."),
    (lambda f, w, t: training_gib(f, w, f + t),
     "you gave the frozen weights a gradient and optimizer states too. They have none: that is what LoRA saves."),
    (lambda f, w, t: training_gib(f, w, t, 8), "you left out Adam's two states, 8 of the 16 bytes."),
    (lambda f, w, t: training_gib(f, w, t, 12), "you left out 4 of the 16 bytes: weight 4, gradient 4, Adam 8."),
    (lambda f, w, t: training_gib(0, w, t),
     "you left out the frozen weights. They are not trained, but they lie there."),
    (lambda f, w, t: training_gib(f, w, t, unit=1), "you returned bytes. A GiB is 2^30 bytes."),
], tolerance=1e-4)  # fmt: skip


def payback_months(one_time_usd, calls_per_month, usd_per_call_before, usd_per_call_after, rent_usd):
    """One-time cost over what a month saves, after the month's rent; infinity where nothing is left."""
    saved = calls_per_month * (usd_per_call_before - usd_per_call_after) - rent_usd
    return one_time_usd / saved if saved > 0 else math.inf


check_payback_months = Exercise("payback in months", payback_months, trials=[
    ((1800.0, 1_000_000, 0.0006, 0.0003, 0.0), "a million calls save 300 USD a month: 6 months for 1,800"),
    ((1800.0, 1_000_000, 0.0006, 0.0003, 100.0), "100 of those 300 USD go to the rent: 9 months"),
    ((1800.0, 100_000, 0.0006, 0.0003, 100.0), "a tenth of the calls saves 30 USD, the rent takes 100: never"),
    ((1800.0, 1_000_000, 0.0006, 0.0005, 100.0), "what the calls save, the rent takes: never"),
    ((1800.0, 1_000_000, 0.0003, 0.0006, 0.0), "the new call is dearer: never"),
    ((0.0, 1_000_000, 0.0006, 0.0003, 100.0), "nothing was spent, so it has paid back at once"),
], mistakes=[
    (lambda o, c, b, a, r: payback_months(o, c, b, a, 0),
     "you left out the rent. It is due every month, whether anybody calls or not."),
    (lambda o, c, b, a, r: payback_months(o + r, c, b, a, 0),
     "you paid the rent once. It is due every month, so it belongs under the line, not over it."),
    (lambda o, c, b, a, r: o / (c * (b - a) - r),
     "you divided without asking whether a month saves anything. A negative time is no payback."),
    (lambda o, c, b, a, r: payback_months(o, c, b, a, -r),
     "you added the rent to the saving. It is a cost of the new way: subtract it."),
    (lambda o, c, b, a, r: payback_months(o, c, b, a, r) * c,
     "you returned calls. Months are calls over calls a month."),
])  # fmt: skip
