"""The exercises of notebook 14."""

from ftlab.exercises.engine import Exercise


def f1_of_all(given, right):
    """Twice the hits over all labels, given and right, of all examples together."""
    hits = sum(len(set(a) & set(b)) for a, b in zip(given, right, strict=True))
    return 2 * hits / sum(len(set(a)) + len(set(b)) for a, b in zip(given, right, strict=True))


def _f1(a, b):
    return 2 * len(set(a) & set(b)) / (len(set(a)) + len(set(b)))


check_micro_f1 = Exercise("micro-F1", f1_of_all, trials=[
    (([{"I10"}], [{"I10"}]), "one note, one code, and it is right"),
    (([{"I10"}, {"E11.9", "Z79.4"}], [{"I10"}, {"E11.9", "Z79.84"}]), "two hits of three given and three right ones"),
    (([{"I10"}, {"M17.11"}], [{"I10", "E78.5", "K21.9", "G47.33"}, {"M17.11"}]),
     "codes are counted, not notes: the first note has four of the five right codes"),
    (([set(), {"R55"}], [{"I10"}, {"R55"}]), "an empty answer has no hits and still leaves a code out"),
    (([{"I10"}], [{"R03.0"}]), "no hit at all"),
], mistakes=[
    (lambda given, right: sum(_f1(a, b) for a, b in zip(given, right, strict=True)) / len(right),
     "that is the mean of each note's own F1. Micro: count the codes of all notes together first."),
    (lambda given, right: sum(set(a) == set(b) for a, b in zip(given, right, strict=True)) / len(right),
     "that is the share of notes that are exactly right."),
    (lambda given, right: sum(len(set(a) & set(b)) for a, b in zip(given, right, strict=True))
     / max(1, sum(len(set(a)) for a in given)), "that is precision: what was left out does not count in it."),
    (lambda given, right: sum(len(set(a) & set(b)) for a, b in zip(given, right, strict=True))
     / sum(len(set(b)) for b in right), "that is recall: a code too many does not count in it."),
])  # fmt: skip


def route(codes, sure, known, automatic, human):
    """Where an answer goes; a code that nobody knows goes to a human."""
    if sure < human or not set(codes) <= set(known):
        return "human"
    return "automatic" if sure >= automatic else "checked"


check_route = Exercise("who reads it", route, trials=[
    ((["I10"], 0.97, ["I10", "E78.5"], 0.9, 0.7), "sure enough, and the code exists"),
    ((["I10"], 0.9, ["I10", "E78.5"], 0.9, 0.7), "exactly at the threshold: at it and above it goes out"),
    ((["I10"], 0.8, ["I10", "E78.5"], 0.9, 0.7), "between the two: a person checks it"),
    ((["I10"], 0.3, ["I10", "E78.5"], 0.9, 0.7), "too unsure: a person writes it"),
    ((["I10", "G35"], 0.99, ["I10", "G35.A"], 0.9, 0.7), "G35 is in the list no more, however sure the model is"),
    ((["G35"], 0.8, ["I10", "G35.A"], 0.9, 0.7), "no code of the answer is in the list"),
], mistakes=[
    (lambda codes, sure, known, automatic, human: route(codes, sure, codes, automatic, human),
     "you did not look whether all codes are known: a deleted code goes to a human."),
    (lambda codes, sure, known, automatic, human:
     "human" if sure < human or not set(codes) & set(known) else "automatic" if sure >= automatic else "checked",
     "one known code is not enough: all of them must be known."),
    (lambda codes, sure, known, automatic, human:
     "human" if sure < human or not set(codes) <= set(known) else "automatic" if sure > automatic else "checked",
     "an answer exactly at the threshold goes out, too: use >=."),
])  # fmt: skip
