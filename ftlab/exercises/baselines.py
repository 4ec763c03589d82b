"""The exercises of notebook 03."""

from ftlab.exercises.engine import Exercise

REFERENCE = {"queue": "billing", "urgency": "P2", "order_id": None, "tone": "neutral"}
UNKNOWN = "I do not know."


def right_fields(prediction, reference):
    """How many fields are there and equal the reference's."""
    return sum(key in prediction and prediction[key] == value for key, value in reference.items())


def field_accuracy(prediction, reference):
    """The share of the reference's fields got right; `None` is an answer that is no JSON."""
    return right_fields(prediction or {}, reference) / len(reference)


check_field_accuracy = Exercise("field accuracy", field_accuracy, trials=[
    ((dict(REFERENCE), REFERENCE), "all four fields agree"),
    (({**REFERENCE, "urgency": "P1"}, REFERENCE), "three of the reference's four fields agree"),
    ((None, REFERENCE), "an answer that is not valid JSON gets no field right"),
    (({}, REFERENCE), "an empty answer gets no field right, not even the one that is null"),
    (({"queue": "billing", "urgency": "P2"}, REFERENCE), "a missing field is wrong: 2 of 4"),
    (({**REFERENCE, "urgency": "P1", "colour": "red", "mood": "sunny"}, REFERENCE),
     "a field that nobody asked for neither helps nor hurts: still 3 of the reference's 4"),
], mistakes=[
    (lambda p, r: sum((p or {}).get(k) == v for k, v in r.items()) / len(r),
     ("you compare prediction.get(key) with the value. get answers None for a missing key, which then equals a "
     "null in the reference. Ask first whether the key is there.")),
    (lambda p, r: sum(p.get(k) == v for k, v in r.items()) / len(r),
     "you do not treat a prediction of None (no valid JSON), and use get, which cannot tell a missing key from null."),
    (lambda p, r: right_fields(p, r) / len(r), "you do not treat a prediction of None, an answer that is no JSON."),
    (lambda p, r: right_fields(p, r) / len(p) if p else 0.0,
     "you divide by the fields in the prediction, so leaving some out pays. Divide by those in the reference."),
    (lambda p, r: float(p == r),
     "you score all or nothing: exact match. Field accuracy is the share of fields that are right."),
    (lambda p, r: right_fields(p or {}, r), "you return the number of right fields, not the share of them."),
])  # fmt: skip


def mean_share(found, wanted, share):
    """The mean over the questions that want something."""
    values = [share(ids, need) for ids, need in zip(found, wanted, strict=True) if need]
    return sum(values) / len(values)


def mean_recall(found, wanted, k):
    """The share of the wanted documents among the first k found; both hold a list of ids for each question."""
    return mean_share(found, wanted, lambda ids, need: sum(one in ids[:k] for one in need) / len(need))


FOUND = [["a", "b", "c"], ["d", "e", "f"], ["g", "h", "i"]]
check_recall_at_k = Exercise("recall at k", mean_recall, trials=[
    ((FOUND, [["b"], ["d"], ["x"]], 2), "two of three questions find what they want among their first two"),
    ((FOUND, [["b"], ["d"], ["x"]], 1), "with k = 1 only the second question does"),
    ((FOUND, [["a", "c"], ["e", "z"], ["g", "h"]], 3), "1, 1/2 and 1: the share of what each question wants"),
    ((FOUND, [["a"], [], ["x"]], 3), "a question that no document answers is left out: 1 of 2"),
], mistakes=[
    (lambda f, w, k: mean_recall(f, w, len(f[0])), "you look at all hits. Only the first k reach the model."),
    (lambda f, w, k: mean_share(f, w, lambda ids, need: float(any(one in ids[:k] for one in need))),
     "any of the wanted documents is enough for you. A question that wants two is half served with one."),
    (lambda f, w, k: mean_recall(f, w, k) * sum(map(bool, w)) / len(w),
     "you count questions that need nothing as failures. There is nothing to find for them."),
    (lambda f, w, k: mean_share(f, w, lambda ids, need: sum(one in ids[:k] for one in need) / k),
     "you divide by k. That is precision: how much of what was found is wanted."),
])  # fmt: skip


def made_up(answers, references):
    """How many questions that nobody told got an answer."""
    return sum(a != UNKNOWN for a, r in zip(answers, references, strict=True) if r == UNKNOWN)


def hallucination_rate(answers, references):
    """Of the questions whose answer nobody told (the reference is UNKNOWN), the share that got one."""
    return made_up(answers, references) / references.count(UNKNOWN)


check_hallucination_rate = Exercise("hallucination rate", hallucination_rate, trials=[
    ((["red", UNKNOWN], [UNKNOWN, UNKNOWN]), "nobody told either; one of the two got an answer"),
    ((["red", "7", UNKNOWN], ["red", "8", UNKNOWN]), "the wrong 7 is an error; what nobody told was admitted"),
    ((["red", "7", "Mia", "Leo"], ["red", UNKNOWN, UNKNOWN, UNKNOWN]), "all three got an answer"),
    (([UNKNOWN, UNKNOWN, "7", UNKNOWN], ["red", UNKNOWN, UNKNOWN, UNKNOWN]), "one of three; the first was told"),
], mistakes=[
    (lambda a, r: 1 - hallucination_rate(a, r), "you return how often the model admits that it does not know."),
    (lambda a, r: made_up(a, r) / len(r), "you divide by all questions. Only those that nobody told count."),
    (lambda a, r: sum(x != y for x, y in zip(a, r, strict=True)) / len(r),
     "you count all wrong answers. A wrong answer to a question that was told is an error of another kind."),
    (lambda a, r: sum(x != UNKNOWN for x in a) / len(a),
     'you count every answer but "I do not know.", also where there was one to give.'),
    (made_up, "you return the number, not the share."),
])  # fmt: skip
