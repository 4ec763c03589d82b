"""The exercises of notebook 15."""

import re

from ftlab.exercises.engine import Exercise


def _invented_numbers(message, reply):
    """The numbers of a reply that its message does not have, in their order."""
    known = re.findall(r"\d+", message)
    return [number for number in re.findall(r"\d+", reply) if number not in known]


check_invented_numbers = Exercise("invented numbers", _invented_numbers, trials=[
    (("My order is 4711.", "Your lamp of order 4711 is at sea."), "the only number is the customer's own"),
    (("My order is 4711.", "Your lamp of order 4717 is at sea."), "one digit is another number"),
    (("My order is 4711.", "Order 471 is at sea."), "471 is a part of 4711, and another order"),
    (("My order is 4711.", "Your lamp is at sea."), "a number that is left out is not invented"),
    (("Order 12 of May 3.", "It comes on May 7, at 8, with order 12."), "dates and hours are numbers, too"),
], mistakes=[
    (lambda message, reply: [n for n in re.findall(r"\d+", reply) if n not in message],
     "you looked for the digits anywhere in the message, so a part of a number passes. Compare whole numbers."),
    (lambda message, reply: _invented_numbers(reply, message), "you listed what the reply leaves out."),
    (lambda message, reply: re.findall(r"\d+", reply), "you listed all numbers. Leave out those of the message."),
    (lambda message, reply: len(_invented_numbers(message, reply)), "you counted them. Return the numbers."),
])  # fmt: skip


def _kappa(one, two):
    """Cohen's kappa of two columns of labels."""
    return (_share(one, two) - _chance(one, two)) / (1 - _chance(one, two))


def _share(one, two):
    return sum(a == b for a, b in zip(one, two, strict=True)) / len(one)


def _chance(one, two):
    return sum((one.count(label) / len(one)) * (two.count(label) / len(two)) for label in set(one))


def _even_chance(one, two):
    chance = 1 / len({*one, *two})
    return (_share(one, two) - chance) / (1 - chance)


check_kappa = Exercise("kappa", _kappa, trials=[
    ((["a", "b", "a", "b"], ["a", "b", "a", "b"]), "they agree on all: 1"),
    ((["a", "b", "a", "b"], ["a", "a", "b", "b"]), "half agrees, and half would by chance: 0"),
    ((["a", "a", "a", "b"], ["a", "a", "b", "b"]), "the chance follows from how often each of them says a and b"),
    ((["b", "b", "b", "b", "b", "a"], ["b", "b", "b", "b", "a", "b"]),
     "four of six agree, and both nearly always say b: less than chance, so below 0"),
    ((["a", "tie", "b", "a"], ["a", "b", "b", "tie"]), "a tie is a label like the others"),
], mistakes=[
    (_share, "that is the share on which they agree. Take away what chance would agree on."),
    (_even_chance, "you took each label as equally likely. Chance follows from how often each judge says it."),
    (lambda one, two: _share(one, two) - _chance(one, two),
     "you took the chance away. Divide by what was left above it, 1 - chance."),
])  # fmt: skip
