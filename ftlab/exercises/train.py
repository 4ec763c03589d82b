"""The exercises of notebook 06."""

import math

from ftlab.exercises.engine import Exercise


def mask_before(ids, marker, which=-1, skip=None):
    """Labels from after one occurrence of the marker on (`skip` ids after its start); all -100 without any."""
    starts = [at for at in range(len(ids) - len(marker) + 1) if ids[at : at + len(marker)] == marker]
    end = starts[which] + (len(marker) if skip is None else skip) if starts else len(ids)
    return [-100] * end + ids[end:]


def response_mask(input_ids, response_start_ids):
    """-100 up to the end of the last marker (a run of ids), then the ids."""
    return mask_before(input_ids, response_start_ids)


def inverted(ids, marker):
    """The answer masked, the prompt left."""
    return [i if label == -100 else -100 for i, label in zip(ids, response_mask(ids, marker), strict=True)]


check_response_mask = Exercise("response mask", response_mask, trials=[
    (([1, 5, 6, 2, 9, 11, 12, 3], [2, 9]), "prompt and marker give no loss, the answer does"),
    (([1, 2, 9, 4, 7, 2, 9, 11, 12, 3], [2, 9]), "two turns: the answer is what follows the last"),
    (([1, 2, 5, 2, 9, 11, 2, 12, 9, 3], [2, 9]), "one id of the marker alone is not the marker"),
    (([4, 8, 11, 12], [8]), "a marker may be a single id"),
    (([1, 5, 6, 7], [2, 9]), "no marker, no answer to learn from: every label is -100"),
], mistakes=[
    (lambda ids, marker: mask_before(ids, marker, which=0),
     "you stop at the first marker. With several turns that trains on later user messages too: look for the last."),
    (lambda ids, marker: mask_before(ids, marker, skip=0),
     "you mask up to the marker but not the marker itself. The template writes it, not the model: mask it too."),
    (inverted, "you masked the answer and left the prompt: the other way round."),
    (lambda ids, marker: ids, "nothing is masked. The model then learns to write the prompt as well."),
    (lambda ids, marker: [*response_mask(ids, marker)[1:], -100],
     "you shifted the labels by one. The model shifts them itself: labels[i] belongs to input_ids[i]."),
    (lambda ids, marker: [0 if label == -100 else label for label in response_mask(ids, marker)],
     "you masked with 0. Token 0 would be learned; the loss leaves out -100 only."),
    (lambda ids, marker: mask_before(ids, marker[-1:]),
     "you look for the last id of the marker only. It may occur in the answer too: compare the whole run of ids."),
    (lambda ids, marker: mask_before(ids, marker[:1], skip=len(marker)),
     "you look for the first id of the marker only. It may occur in the answer too: compare the whole run of ids."),
])  # fmt: skip


def steps(rows, epochs, batch, accumulation):
    """The rule of `transformers.Trainer` 5.17, on one device: a part-filled last group of an epoch makes a step."""
    return math.ceil(epochs * max(math.ceil(math.ceil(rows / batch) / accumulation), 1))


check_steps = Exercise("optimizer steps", steps, trials=[
    ((64, 1, 8, 1), "64 rows in batches of 8 make 8 batches, and each makes a step"),
    ((64, 3, 8, 4), "8 batches, 4 to a step: 2 steps an epoch, 3 epochs"),
    ((100, 1, 8, 1), "12 full batches and one of 4 rows: the last one counts"),
    ((100, 3, 8, 4), "13 batches are 4 steps (the last of one batch), and every epoch starts afresh"),
    ((5, 2, 8, 4), "fewer rows than one step takes still make one step an epoch"),
    ((100, 0.5, 8, 1), "half of 13 steps, rounded up"),
], mistakes=[
    (lambda r, e, b, a: math.ceil(e * (r // (b * a))),
     "you dropped the incomplete step at the end of an epoch (floor division). The Trainer keeps it."),
    (lambda r, e, b, a: math.ceil(e * r / (b * a)),
     "you rounded up once over all epochs. A step never takes rows of two epochs: round up in each, then multiply."),
    (lambda r, e, b, a: math.ceil(e * math.ceil(r / b)),
     "you counted batches. The optimizer steps once in `accumulation` batches."),
    (lambda r, e, b, a: math.ceil(r / (b * a)), "you counted one epoch only."),
    (lambda r, e, b, a: e * math.ceil(r / (b * a)), "a part of an epoch needs a last rounding up: steps are whole."),
    (lambda r, e, b, a: math.ceil(e * max(math.ceil(r / b) // a, 1)),
     "you dropped the last group of an epoch when it is not full. The Trainer steps on it (older versions did not)."),
])  # fmt: skip
