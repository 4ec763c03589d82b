"""The exercises of notebook 09."""

import statistics

from ftlab.exercises.engine import Exercise


def _win_rate(a, b):
    """The share of examples on which b scores higher; a tie counts half."""
    return sum(1.0 if y > x else 0.5 if y == x else 0.0 for x, y in zip(a, b, strict=True)) / len(a)


check_win_rate = Exercise("win rate", _win_rate, trials=[
    (([1, 1, 1, 1], [2, 2, 2, 0]), "b wins three of four"),
    (([3, 3], [3, 3]), "only ties: neither is better, one half"),
    (([5, 2, 2], [5, 3, 1]), "a tie, a win and a defeat: one half"),
    (([0, 4, 4, 4, 4], [5, 3, 4, 4, 4]), "by how much it wins does not count: one win, one defeat, three ties"),
    (([4, 5], [1, 2]), "b loses both"),
], mistakes=[
    (lambda a, b: sum(y > x for x, y in zip(a, b, strict=True)) / len(a), "a tie counts nothing. It counts half."),
    (lambda a, b: sum(y >= x for x, y in zip(a, b, strict=True)) / len(a), "a tie counts as a win. It counts half."),
    (lambda a, b: 1 - _win_rate(a, b), "you counted how often a wins. Count b."),
    (lambda a, b: sum(b) / (sum(a) + sum(b)), "you added points up. Only the order of the two counts, one by one."),
    (lambda a, b: sum(1.0 if y > x else 0.5 if y == x else 0.0 for x, y in zip(a, b, strict=True)),
     "you stopped at the count. Divide by the number of examples."),
])  # fmt: skip


def advantages(rewards):
    """(reward - mean) / standard deviation within a group of answers to one prompt; Shao et al. 2024, arXiv 2402.03300.

    TRL's form: the deviation of a sample (n - 1), and 0.0001 added to it.
    """
    mean, deviation = statistics.mean(rewards), statistics.stdev(rewards)
    return [(reward - mean) / (deviation + 1e-4) for reward in rewards]


def by_population(rewards):
    mean, deviation = statistics.mean(rewards), statistics.pstdev(rewards)
    return [(reward - mean) / (deviation + 1e-4) for reward in rewards]


def centred(rewards):
    return [reward - statistics.mean(rewards) for reward in rewards]


check_advantages = Exercise("advantages of a group", advantages, trials=[
    (([0.0, 1.0],), "the second is better than the first by as much as the first is worse"),
    (([0.5, 0.5, 0.5, 0.5],), "all alike: nothing can be learnt from this prompt"),
    (([0.0, 0.0, 0.0, 1.0],), "one right answer among four stands out more than one among two"),
    (([2.0, 3.0, 4.0],), "what counts is the distance from the mean of the group, not the reward itself"),
    (([0.1, 0.2, 0.3],), "small differences count as much as large ones: each is divided by the spread of its group"),
], mistakes=[
    (centred, "you did not divide by the standard deviation."),
    (lambda rewards: list(rewards), "those are the rewards. Subtract the mean of the group."),
    (by_population, "you divided by the root of the mean square. The deviation of a sample divides by n - 1."),
    (lambda rewards: [-value for value in advantages(rewards)], "the sign is turned: better ones are positive."),
    (lambda rewards: [reward / (sum(rewards) or 1) for reward in rewards],
     "you took shares of the sum. Then a bad answer is still pushed up, only less."),
], tolerance=1e-3)  # fmt: skip
