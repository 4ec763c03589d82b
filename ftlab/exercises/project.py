"""The exercises of notebook 16."""

import json
import math

from ftlab.exercises.engine import Exercise


def asked_and_answer(row, asked, answered):
    """The fields that ask, joined, and the answer as text; ValueError where one is missing or empty."""
    if any(row.get(key) in (None, "") for key in (*asked, answered)):
        raise ValueError
    answer = row[answered]
    return "\n".join(str(row[key]) for key in asked), answer if isinstance(answer, str) else json.dumps(answer)


def careless(row, asked, answered):
    """What a reader without a check makes of it."""
    answer = row.get(answered)
    return "\n".join(str(row.get(key)) for key in asked), answer if isinstance(answer, str) else json.dumps(answer)


CARD = {"subject": "Lost card", "body": "It fell on the bus.", "desk": "cards"}
check_asked_and_answer = Exercise("asked and answer", asked_and_answer, trials=[
    ((CARD, ["body"], "desk"), "one field asks, one answers"),
    ((CARD, ["subject", "body"], "desk"), "several fields ask: a line each"),
    (({"q": "2 + 2?", "a": 4}, ["q"], "a"), "an answer that is a number becomes text: a model writes texts"),
    (({"q": "Fix the brakes", "a": {"job": "brakes"}}, ["q"], "a"), "an answer that is an object becomes JSON"),
    (({"q": "Who?"}, ["q"], "a"), "the answer is missing: ValueError, so that the line can be named"),
    (({"q": "Who?", "a": ""}, ["q"], "a"), "an empty answer teaches to say nothing: ValueError"),
    (({"q": None, "a": "me"}, ["q"], "a"), "nothing is asked: ValueError"),
    (({"q": "How many?", "a": 0}, ["q"], "a"), "0 is an answer; only None and an empty text are none"),
], mistakes=[
    (careless, "you read what is missing as if it were there: str(None) is the word None. Raise ValueError."),
    (lambda row, asked, answered: (asked_and_answer(row, asked, answered)[0], str(row[answered])),
     "you wrote an object with str, which is Python and no JSON: single quotes. Use json.dumps."),
    (lambda row, asked, answered: asked_and_answer(row, asked, answered if row.get(answered) else "-"),
     "you took 0 for a missing answer. Ask for None and for an empty text, not for what is false."),
    (lambda row, asked, answered: asked_and_answer(row, asked[:1], answered), "you left out all fields but the first."),
])  # fmt: skip


def rows_to_label(n, detectable, gain):
    """What a test of n rows finds shrinks with the square root of n."""
    return max(0, math.ceil(n * (detectable / gain) ** 2 - 1e-9) - n)


check_rows_to_label = Exercise("rows to label", rows_to_label, trials=[
    ((50, 0.10, 0.05), "half of what it finds now: four times as many rows, 200, of which 50 are there"),
    ((60, 0.30, 0.05), "a sixth: 36 times as many"),
    ((100, 0.12, 0.05), "2.4 squared is 5.76: 576 rows in all"),
    ((200, 0.05, 0.05), "it finds this gain already: none"),
    ((400, 0.02, 0.05), "and here more than that: none, never fewer than none"),
    ((30, 0.2, 0.07), "244.9 rows in all: no half rows, so 245"),
], mistakes=[
    (lambda n, d, g: max(0, math.ceil(n * d / g - 1e-9) - n),
     "you took the ratio as it is. The interval shrinks with the square root of the rows: take its square."),
    (lambda n, d, g: math.ceil(n * (d / g) ** 2 - 1e-9), "you returned all rows. How many more are they?"),
    (lambda n, d, g: math.ceil(n * (d / g) ** 2 - 1e-9) - n, "you asked to take rows away. None is the least."),
    (lambda n, d, g: max(0, int(n * (d / g) ** 2 + 1e-9) - n), "you rounded down. One row too few misses it."),
])  # fmt: skip
