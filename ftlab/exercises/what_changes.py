"""The exercises of notebook 01."""

import math

from ftlab.exercises.engine import Exercise


def norm(rows):
    """The Frobenius norm of a list of rows."""
    return math.sqrt(sum(value**2 for row in rows for value in row))


def difference(before, after):
    """after - before, number by number."""
    return [[b - a for a, b in zip(x, y, strict=True)] for x, y in zip(before, after, strict=True)]


def relative_change(before, after):
    """The length of the change over the length of what was there."""
    return norm(difference(before, after)) / norm(before)


START = [[3.0, 0.0], [0.0, 4.0]]
check_relative_change = Exercise("relative change", relative_change, trials=[
    ((START, START), "nothing has changed"),
    ((START, [[6.0, 0.0], [0.0, 8.0]]), "every number doubled: the change is as long as the matrix was"),
    ((START, [[3.0, 0.0], [0.0, -4.0]]), "one sign has turned: 8 over 5"),
    (([[1.0, 1.0]], [[1.1, 0.9]]), "changes up and down do not cancel out: squares are added"),
], mistakes=[
    (lambda b, a: sum(map(sum, difference(b, a))) / norm(b),
     "you added the differences, and those up and down cancel out. Square them first."),
    (lambda b, a: norm(difference(b, a)), "you did not divide by the length of `before`."),
    (lambda b, a: (norm(a) - norm(b)) / norm(b),
     "you took the difference of two lengths. A matrix can change a lot and stay as long as it was."),
    (lambda b, a: relative_change(b, a) ** 2, "the square roots are missing."),
])  # fmt: skip


def minus_log_sigmoid(gained):
    """Small when the gain is large, ln 2 when there is none."""
    return math.log1p(math.exp(-gained))


def margin(chosen, rejected, chosen_0, rejected_0):
    """What the chosen draft gained on the rejected one, against the frozen model."""
    return (chosen - chosen_0) - (rejected - rejected_0)


def dpo_loss(chosen, rejected, chosen_0, rejected_0, beta):
    """-log sigmoid(beta * margin) of one pair's log-probabilities, Rafailov et al. 2023, arXiv 2305.18290."""
    return minus_log_sigmoid(beta * margin(chosen, rejected, chosen_0, rejected_0))


check_dpo_loss = Exercise("DPO loss", dpo_loss, trials=[
    ((-10.0, -12.0, -10.0, -12.0, 0.1), "nothing has moved yet: a coin toss, ln 2, however probable the two are"),
    ((-8.0, -12.0, -10.0, -12.0, 0.1), "the chosen draft gained 2 nats on the rejected one: less than ln 2"),
    ((-10.0, -14.0, -10.0, -12.0, 0.1), "the rejected draft lost 2 nats: as good as a gain of the chosen one"),
    ((-15.0, -22.0, -10.0, -12.0, 0.1), "both fell, the rejected one by more: still less than ln 2"),
    ((-12.0, -11.0, -10.0, -12.0, 0.5), "the wrong one gained, and a larger beta makes that dearer"),
], mistakes=[
    (lambda c, r, c0, r0, b: minus_log_sigmoid(b * (c - r)),
     "you left the frozen model out. A draft that was probable before would then count as learnt."),
    (lambda c, r, c0, r0, b: minus_log_sigmoid(-b * margin(c, r, c0, r0)),
     "the sign is turned: this loss falls when the rejected draft gains."),
    (lambda *pair: -dpo_loss(*pair), "you returned log sigmoid. The loss is minus that, and never below 0."),
    (lambda c, r, c0, r0, b: minus_log_sigmoid(margin(c, r, c0, r0)), "you left beta out."),
    (lambda c, r, c0, r0, b: b * margin(c, r, c0, r0),
     "you stopped at the margin. The loss is minus the logarithm of its sigmoid."),
    (lambda *pair: math.exp(-dpo_loss(*pair)), "you stopped at the sigmoid. The loss is minus its logarithm."),
    (lambda c, r, c0, r0, b: minus_log_sigmoid(b * (c - c0)),
     "you look at the chosen draft only. What the rejected one loses counts as much."),
])  # fmt: skip
