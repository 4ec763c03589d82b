"""The exercise of notebook 12."""

from ftlab.exercises.engine import Exercise


def false_alarm_in_a_year(level, signals, months):
    """One less the chance that every test of the year stays quiet."""
    return 1 - (1 - level) ** (signals * months)


check_false_alarm_in_a_year = Exercise("false alarm in a year", false_alarm_in_a_year, trials=[
    ((0.05, 1, 1), "one test at 5 % is a false alarm in 5 % of the cases"),
    ((0.05, 3, 12), "36 tests at 5 % each: 84 % of quiet years would have an alarm"),
    ((0.05 / 36, 3, 12), "a thirty-sixth of 5 % for each test: just below 5 % a year"),
    ((0.01, 2, 4), "two signals, looked at once a quarter"),
], mistakes=[
    (lambda level, signals, months: level * signals * months,
     "you added the chances up: a bound, which passes 1 with many tests. All must stay quiet: multiply (1 - level)."),
    (lambda level, signals, months: level, "that is the chance of one test. There are signals times months of them."),
    (lambda level, signals, months: 1 - (1 - level) ** months, "each month has several signals, with a test each."),
    (lambda level, signals, months: (1 - level) ** (signals * months),
     "that is the chance of a year without an alarm. Take it from 1."),
])  # fmt: skip
