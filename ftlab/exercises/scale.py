"""The exercises of notebook 13."""

from ftlab.exercises.engine import Exercise


def rows_a_step(batch, accumulation, processes):
    """Every process adds up so many batches before the weights move, once for all of them."""
    return batch * accumulation * processes


check_rows_a_step = Exercise("rows in a step", rows_a_step, trials=[
    ((16, 1, 1), "one process, one batch"),
    ((8, 1, 2), "two processes with 8 rows each"),
    ((2, 8, 1), "one small GPU: 8 batches of 2 before each step"),
    ((1, 4, 16), "two machines with 8 GPUs: 64 rows though each holds one at a time"),
], mistakes=[
    (lambda batch, accumulation, processes: batch * accumulation, "that is one process. All of them share a step."),
    (lambda batch, accumulation, processes: batch * processes, "each process adds up several batches first."),
    (lambda batch, accumulation, processes: batch * accumulation / processes,
     "batch is the number of rows of each process, not of all: nothing is divided."),
    (lambda batch, accumulation, processes: batch * (accumulation + processes), "multiply: each process accumulates."),
])  # fmt: skip


def loss_of_all(sums, counts):
    """Summed loss over all processes, for each of the tokens that they count together."""
    return sum(sums) / sum(counts)


check_loss_of_all = Exercise("loss of all processes", loss_of_all, trials=[
    (([6.0], [3]), "one process: its own mean"),
    (([6.0, 6.0], [3, 3]), "the same number of tokens on both: any mean will do"),
    (([9.0, 3.0], [3, 9]), "12 in all over 12 tokens: 1. The mean of the two means is 1.67"),
    (([8.0, 0.0, 2.0], [2, 1, 7]), "three processes"),
], mistakes=[
    (lambda sums, counts: sum(a / b for a, b in zip(sums, counts, strict=True)) / len(sums),
     "that is the mean of the means: a token in a short batch counts for more than one in a long batch."),
    (lambda sums, counts: sum(a / b for a, b in zip(sums, counts, strict=True)),
     "you added the means up. Add the sums, and divide once."),
    (lambda sums, counts: sum(sums) / len(sums), "divide by the number of tokens, not of processes."),
    (lambda sums, counts: sums[0] / counts[0], "that is the first process alone."),
])  # fmt: skip
