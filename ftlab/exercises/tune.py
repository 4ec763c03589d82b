"""The exercises of notebook 06b."""

from ftlab.exercises.engine import Exercise


def stops_and_keeps(losses, patience, equal_is_better=False, since_best=True):
    """Places, from 0, where a run stops and whose weights it keeps, as `transformers.EarlyStoppingCallback` 5.17 rules.

    The last two arguments make two of the mistakes.
    """
    kept, bad = 0, 0
    for place in range(1, len(losses)):
        against = losses[kept] if since_best else losses[place - 1]
        better = losses[place] < against or equal_is_better and losses[place] == against
        bad = 0 if better else bad + 1
        if losses[place] < losses[kept]:
            kept = place
        if bad == patience:
            return place, kept
    return len(losses) - 1, kept


check_stops_and_keeps = Exercise("early stopping", stops_and_keeps, trials=[
    (([5.0, 4.0, 3.0, 2.0], 2), "it falls to the end: the run ends there, and the last is the best"),
    (([5.0, 3.0, 4.0, 4.5, 1.0], 2), "two in a row are not better than 3.0; what would have come later is never seen"),
    (([5.0, 3.0, 4.0, 2.0, 3.0, 3.0, 3.0], 2), "2.0 is better, so the count starts anew"),
    (([3.0, 3.0, 3.0, 3.0], 2), "as good is not better"),
    (([5.0, 3.0, 4.0, 3.5, 3.2, 1.0], 3), "3.5 and 3.2 are below the one before, and still above the best"),
    (([2.0, 3.0, 4.0, 5.0, 6.0, 1.0], 2), "it never got below its first loss while it had patience"),
    (([2.0, 3.0], 4), "too short to lose patience: it ends, and the first is kept"),
], mistakes=[
    (lambda losses, patience: (stops_and_keeps(losses, patience)[0],) * 2,
     "you keep the weights of the last evaluation. Keep those of the lowest loss."),
    (lambda losses, patience: (len(losses) - 1, min(range(len(losses)), key=losses.__getitem__)),
     "you looked at losses that the run never got to. It stops as soon as its patience is at an end."),
    (lambda losses, patience: stops_and_keeps(losses, patience, since_best=False),
     "you compared each loss with the one before it. Compare it with the lowest so far."),
    (lambda losses, patience: stops_and_keeps(losses, patience, equal_is_better=True),
     "you count a loss that only equals the lowest as better. It is not."),
    (lambda losses, patience: stops_and_keeps(losses, patience + 1),
     "you stop one evaluation too late: the first that is not better counts, too."),
    (lambda losses, patience: stops_and_keeps(losses, patience)[::-1], "you return the two places in the other order."),
])  # fmt: skip


def steps_lost(killed_in, save_steps):
    """The finished steps since the newest checkpoint."""
    return (killed_in - 1) % save_steps


check_steps_lost = Exercise("steps lost", steps_lost, trials=[
    ((12, 4), "11 steps were finished, and the newest checkpoint is that of step 8"),
    ((13, 4), "step 12 was finished and saved"),
    ((3, 4), "no checkpoint yet: it starts at step 0"),
    ((1, 4), "nothing was finished"),
    ((100, 1), "every step is saved: only the one in which it was killed is lost, and that was not finished"),
], mistakes=[
    (lambda killed_in, save_steps: killed_in % save_steps,
     "you counted the step in which it was killed. It was not finished: ask for the finished ones."),
    (lambda killed_in, save_steps: save_steps - (killed_in - 1) % save_steps,
     "you counted the steps that were left until the next checkpoint."),
    (lambda killed_in, save_steps: (killed_in - 1) // save_steps * save_steps,
     "that is the step of the newest checkpoint, where it goes on. Say how many steps come after it."),
    (lambda killed_in, save_steps: killed_in - 1, "you lost the whole run. The newest checkpoint is kept."),
])  # fmt: skip
