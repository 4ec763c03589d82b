"""The exercises of notebook 04."""

import math
import re

from ftlab.exercises.engine import Exercise


def luhn_sum(digits, doubled=1, whole=False):
    """Of every second digit the double counts, and of 16 its digits' sum (not with `whole`)."""
    numbers = [int(digit) * (1 + (at % 2 == doubled)) for at, digit in enumerate(digits)]
    return sum(n if whole or n < 10 else n - 9 for n in numbers)


def luhn(digits):
    """Whether the last digit fits the others (ISO/IEC 7812-1): counted from the right."""
    return luhn_sum(digits[::-1]) % 10 == 0


check_luhn = Exercise("Luhn", luhn, trials=[
    (("4111111111111111",), "a number for tests: the ones count 1 and 2 in turn, the 4 counts 8, the sum is 30"),
    (("4111111111111112",), "the last digit is one too large, so the sum is 31"),
    (("79927398713",), "every second digit from the right is doubled: 1, 8, 3, 2, 9, 7; doubled 1 is 2, 8 is 16 or 7"),
    (("79927398710",), "only one last digit in ten fits, and here it is 3"),
    (("378282246310005",), "15 digits: counted from the left the wrong ones would be doubled"),
    (("4242424242424224",), "two neighbours changed places, which the doubling notices"),
    (("195933",), "an order number may pass by chance, one in ten does: length and first digits must fit as well"),
    (("195932",), "and nine in ten do not"),
], mistakes=[
    (lambda d: luhn_sum(d[::-1]) % 10, "you return the rest of the division. Say whether it is 0."),
    (lambda d: luhn_sum(d[::-1], whole=True) % 10 == 0,
     "you add a doubled digit as it is. Above 9, take its digits' sum: 16 counts 1 + 6, which is 16 - 9."),
    (lambda d: luhn_sum(d, doubled=0) % 10 == 0,
     "you double every second digit from the left. Count from the right: numbers have different lengths."),
    (lambda d: luhn_sum(d[::-1], doubled=0) % 10 == 0,
     "you double the last digit. It counts once; the one before it is doubled."),
    (lambda d: sum(map(int, d)) % 10 == 0, "you double no digit. A plain sum misses a swap of two."),
])  # fmt: skip


def _words(text):
    """Lower case, without punctuation."""
    return re.findall(r"\w+", text.lower())


def shared_runs(train, test, of="test", split=_words):
    """Five-word runs that both texts have, over those `of` one of them or of "both" together."""
    a, b = ({tuple(each[at : at + 5]) for at in range(len(each) - 4)} for each in (split(train), split(test)))
    whole = len({"train": a, "test": b, "both": a | b}[of])
    return len(a & b) / whole if whole else 0.0


def is_leak(train_text, test_text):
    """At least half of the test's five-word runs stand in the training text."""
    return shared_runs(train_text, test_text) >= 0.5


TICKET = "The kettle from order 195925 leaks at the spout. Please send me a new one this week."
THREAD = (
    f"Forwarded by the night team, who could not find the case in the system. On Monday he wrote: {TICKET} "
    "Since then nobody has called him, and he asks for the third time when he may expect a reply from us."
)
OTHER = "The sofa never came. Please send me a new one this week."
check_is_leak = Exercise("leak", is_leak, trials=[
    ((TICKET, TICKET), "the same text is a leak"),
    ((TICKET.upper().replace(".", " !"), TICKET), "capitals and punctuation do not make another ticket"),
    ((TICKET.replace("leaks", "drips"), TICKET), "one changed word breaks five of thirteen runs; eight are left"),
    ((TICKET.replace("week", "month"), TICKET), "at the end it breaks only one"),
    (("a b c d e f g h i j k l m n", "a b c d e f g h i X k l m n"), "five of ten runs are half: enough"),
    ((THREAD, TICKET), "a long thread holds the whole ticket: count the runs of the test text, not of both"),
    ((TICKET, THREAD), "the other way round the ticket is a small part of the test text"),
    ((OTHER, TICKET), "tickets share a closing sentence: four of thirteen runs are fewer than half"),
    ((" ".join(reversed(TICKET.split())), TICKET), "the same words in another order tell another story"),
    (("Where is it? Thanks.", "Thanks."), "fewer than five words are found everywhere: no leak"),
], mistakes=[
    (lambda a, b: a == b, "you compare the whole texts. A leak seldom comes letter for letter."),
    (lambda a, b: b.lower() in a.lower(), "you look for the whole test text. One changed word hides it."),
    (lambda a, b: _words(a) == _words(b), "you compare all words. One changed word hides a leak."),
    (lambda a, b: " ".join(_words(b)) in " ".join(_words(a)), "you look for all words in one run."),
    (lambda a, b: 2 * len(set(_words(a)) & set(_words(b))) >= len(set(_words(b))),
     "you count single words. Tickets on one matter share most; their order tells them apart."),
    (lambda a, b: shared_runs(a, b, "both") >= 0.5, "you divide by the runs of both texts; length hides a leak."),
    (lambda a, b: shared_runs(a, b, "train") >= 0.5,
     "you divide by the runs of the training text. The question is how much of the test text is known."),
    (lambda a, b: shared_runs(a, b, "test", str.split) >= 0.5, "you leave capitals and punctuation in the words."),
    (lambda a, b: shared_runs(a, b) > 0.5, "half is enough: use >= 0.5."),
    (lambda a, b: shared_runs(a, b) > 0, "one shared run is enough for you. Tickets share closing words."),
    (shared_runs, "you return the share. Say whether it is at least 0.5."),
])  # fmt: skip


def doubled(target, rows, score, per_doubling, base=2.0):
    """Rows after as many doublings as the missing points take."""
    return rows * base ** ((target - score) / per_doubling)


def rows_needed(target, rows, score, per_doubling, growth=doubled):
    """inf when a doubling buys nothing; the rows there are when the target is reached."""
    if target <= score:
        return float(rows)
    return growth(target, rows, score, per_doubling) if per_doubling > 0 else math.inf


check_rows_needed = Exercise("rows needed", rows_needed, trials=[
    ((0.70, 500, 0.60, 0.05), "10 points are two doublings of 5: 500, 1,000, 2,000"),
    ((0.60, 500, 0.60, 0.05), "the target is reached: no row more"),
    ((0.62, 1000, 0.60, 0.04), "half a doubling is a factor of 1.41, not of 1.5"),
    ((0.50, 500, 0.60, 0.05), "the target lies below the score: keep the rows you have"),
    ((0.70, 500, 0.60, 0.0), "a doubling buys nothing, so no number of rows is enough"),
    ((0.70, 500, 0.60, -0.01), "each doubling costs a point, so no number of rows is enough"),
    ((0.90, 250, 0.60, 0.03), "ten doublings: a factor of 1,024"),
], mistakes=[
    (lambda *case: rows_needed(*case, lambda t, r, s, d: r * (1 + (t - s) / d)),
     "you add the first number of rows again for each step. Each step doubles all rows so far."),
    (lambda *case: rows_needed(*case, lambda t, r, s, d: r * 2 * (t - s) / d),
     "you multiply by two for each step. Doubling three times is 2 ** 3, not 2 * 3."),
    (lambda *case: rows_needed(*case, lambda t, r, s, d: doubled(t, r, s, d, math.e)),
     "you took powers of e. The slope is for a doubling: powers of 2."),
    (lambda t, r, s, d: rows_needed(t, r, s, d) - r, "you returned how many more. Return how many in all."),
    (lambda *case: rows_needed(*case, lambda t, r, s, d: r * 2.0 ** math.ceil((t - s) / d)),
     "you rounded the doublings up. Half a doubling is allowed."),
    (doubled, "you did not ask first whether the target is reached, and whether a doubling buys anything."),
])  # fmt: skip
