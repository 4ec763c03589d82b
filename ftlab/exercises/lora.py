"""The exercises of notebook 05."""

from ftlab.exercises.engine import Exercise


def adapter_numbers(rows, columns, r):
    """B has rows x r numbers, A has r x columns (Hu et al. 2021, arXiv 2106.09685)."""
    return r * (rows + columns)


check_adapter_numbers = Exercise("numbers of an adapter", adapter_numbers, trials=[
    ((8, 8, 1), "one column of 8 and one row of 8"),
    ((576, 576, 16), "B has 576 rows of 16, A has 16 rows of 576"),
    ((1536, 576, 16), "the matrix need not be square"),
    ((10, 10, 10), "a rank as large as the matrix saves nothing: 200 numbers instead of 100"),
], mistakes=[
    (lambda rows, columns, r: rows * columns, "you counted the frozen matrix. The adapter is B and A."),
    (lambda rows, columns, r: r * rows * columns, "you multiplied the two sides. B and A are two matrices: add."),
    (lambda rows, columns, r: rows + columns, "you left out the rank: B has r columns, A has r rows."),
    (lambda rows, columns, r: 2 * r * rows, "you took both sides for equal. A has as many columns as the matrix."),
    (lambda rows, columns, r: r * (rows + columns) + r * r, "there is nothing between B and A: no third matrix."),
])  # fmt: skip


def product(left, right):
    columns = list(zip(*right, strict=True))
    return [[sum(x * y for x, y in zip(row, column, strict=True)) for column in columns] for row in left]


def moved(weight, change, factor):
    """weight + factor x change, number by number."""
    return [[w + factor * c for w, c in zip(x, y, strict=True)] for x, y in zip(weight, change, strict=True)]


def merged(weight, A, B, alpha):  # noqa: N803  (the names of the paper)
    """W + alpha / r x B A; the rank is the number of A's rows."""
    return moved(weight, product(B, A), alpha / len(A))


def merged_transposed(weight, A, B, alpha):  # noqa: N803
    change = product([list(row) for row in zip(*A, strict=True)], [list(row) for row in zip(*B, strict=True)])
    return moved(weight, change, alpha / len(A))


W = [[1.0, 2.0], [3.0, 4.0]]
check_merged = Exercise("merged weights", merged, trials=[
    ((W, [[1.0, 0.0]], [[0.0], [0.0]], 16), "B is zero, as at the start of training: nothing changes"),
    ((W, [[1.0, 2.0]], [[3.0], [0.0]], 1), "rank 1, alpha 1: the first row gets 3 x (1, 2)"),
    ((W, [[1.0, 0.0], [0.0, 1.0]], [[0.5, 1.0], [0.0, 0.5]], 4), "rank 2, alpha 4: twice B A is added"),
    ((W, [[1.0, 2.0]], [[3.0], [0.0]], 8), "rank 1, alpha 8: eight times as much"),
], mistakes=[
    (lambda weight, A, B, alpha: moved(weight, product(B, A), 1), "the scale alpha / r is missing."),
    (lambda weight, A, B, alpha: moved(weight, product(B, A), alpha), "you multiplied by alpha without dividing by r."),
    (lambda weight, A, B, alpha: moved([[0, 0], [0, 0]], product(B, A), alpha / len(A)),
     "that is the change alone. Add it to the weights."),
    (lambda weight, A, B, alpha: moved(weight, product(B, A), -alpha / len(A)), "you subtracted: that un-merges."),
    (lambda weight, A, B, alpha: moved(weight, product(B, A), alpha / len(A) ** 0.5),
     "you divided by the root of r. That is rsLoRA; plain LoRA divides by r."),
    (merged_transposed, "you multiplied the transposes. B stands on the left: it has the rows of W."),
])  # fmt: skip


def quantise(block, levels):
    """(absmax, index of the nearest level of each number over absmax), as in Dettmers et al. 2023, arXiv 2305.14314."""
    absmax = max(map(abs, block))
    return absmax, [nearest_level(number / absmax, levels) for number in block]


def nearest_level(number, levels):
    return min(range(len(levels)), key=lambda at: abs(levels[at] - number))


LEVELS = [-1.0, -0.5, 0.0, 0.4, 1.0]
check_quantise = Exercise("one block in few bits", quantise, trials=[
    (([1.0, 0.0, -1.0], LEVELS), "the largest number is 1: nothing to divide"),
    (([0.2, 0.1, -0.05], LEVELS), "0.2 becomes 1, 0.1 becomes 0.5, whose nearest level is 0.4"),
    (([0.3, -0.6, 0.25], LEVELS), "the largest in size is -0.6: divide by 0.6"),
    (([5.0, 0.01, 0.02, -0.01], LEVELS), "one large number makes all others zero"),
], mistakes=[
    (lambda block, levels: (max(block), [nearest_level(number / max(block), levels) for number in block]),
     "you took the largest number. Take the largest in size: a negative one may be larger."),
    (lambda block, levels: (quantise(block, levels)[0], [nearest_level(number, levels) for number in block]),
     "you did not divide by absmax before you looked for the nearest level."),
    (lambda block, levels: (quantise(block, levels)[0], [levels[i] for i in quantise(block, levels)[1]]),
     "you gave the levels themselves. Stored are their indices, which need few bits."),
    (lambda block, levels: quantise(block, levels)[1], "absmax is missing: without it nobody can undo it."),
    (lambda block, levels: (max(map(abs, block)), [
        max([at for at, level in enumerate(levels) if level <= number / max(map(abs, block))]) for number in block]),
     "you rounded down. Take the nearest level."),
])  # fmt: skip
