"""The exercises of notebook 17."""

from ftlab.exercises.engine import Exercise


def kept_and_right(agreeing, right, least):
    """Share of the answers that at least so many other teachers gave too, and how many of those kept are right."""
    kept = [is_right for others, is_right in zip(agreeing, right, strict=True) if others >= least]
    return len(kept) / len(right), sum(kept) / len(kept) if kept else 0.0


AGREEING, RIGHT = [2, 0, 1, 2, 0, 2], [True, False, True, False, True, True]

check_kept_and_right = Exercise("kept and right", kept_and_right, trials=[
    ((AGREEING, RIGHT, 0), "no filter: everything is kept"),
    ((AGREEING, RIGHT, 1), "four of six are kept, and three of these four are right"),
    ((AGREEING, RIGHT, 2), "three are kept; the first and the last are right"),
    ((AGREEING, RIGHT, 3), "nobody agrees so much: nothing is kept, and 0 of it is right"),
], mistakes=[
    (lambda agreeing, right, least: (
        sum(n >= least for n in agreeing) / len(right),
        sum(r for n, r in zip(agreeing, right, strict=True) if n >= least) / len(right)),
     "you divided the right ones by all answers. Divide by those that are kept."),
    (lambda agreeing, right, least: kept_and_right(agreeing, right, least + 1),
     "you want more than `least` others. At least as many will do."),
    (lambda agreeing, right, least: (
        sum(n >= least for n in agreeing), sum(r for n, r in zip(agreeing, right, strict=True) if n >= least)),
     "those are counts. Give shares."),
    (lambda agreeing, right, least: kept_and_right(agreeing, right, least)[::-1], "first the share kept, then right."),
])  # fmt: skip


def taken_over(student, teacher, reference):
    """Of the teacher's wrong answers, the share that the student gives too; 0 for a teacher that is never wrong."""
    wrong = [(s, t) for s, t, right in zip(student, teacher, reference, strict=True) if t != right]
    return sum(s == t for s, t in wrong) / len(wrong) if wrong else 0.0


check_taken_over = Exercise("errors taken over", taken_over, trials=[
    ((["P3", "P1", "P2"], ["P3", "P3", "P3"], ["P3", "P3", "P3"]), "a teacher without errors has none to hand on"),
    ((["P1", "P3", "P3"], ["P1", "P1", "P3"], ["P2", "P3", "P3"]),
     "the teacher is wrong twice; the student repeats the first and is right in the second"),
    ((["P4", "P1"], ["P1", "P1"], ["P2", "P2"]),
     "wrong in another way is not taken over: the student repeats one of the two"),
    ((["P1", "P2", "P3", "P4"], ["P1", "P2", "P3", "P4"], ["P2", "P3", "P4", "P4"]), "all three errors are repeated"),
], mistakes=[
    (lambda student, teacher, reference: sum(s == t for s, t in zip(student, teacher, strict=True)) / len(teacher),
     "that is how often the two agree. Look only where the teacher is wrong."),
    (lambda student, teacher, reference: sum(
        s == t != r for s, t, r in zip(student, teacher, reference, strict=True)) / len(teacher),
     "divide by the teacher's wrong answers, not by all."),
    (lambda student, teacher, reference: (
        sum(s != r and t != r for s, t, r in zip(student, teacher, reference, strict=True))
        / (sum(t != r for t, r in zip(teacher, reference, strict=True)) or 1)),
     "both are wrong there, but perhaps not in the same way. The student must give the teacher's answer."),
])  # fmt: skip
