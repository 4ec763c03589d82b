"""`ftlab progress`: what the outputs of saved notebooks say about their exercises."""

import json

import pytest

from ftlab.cli import main
from ftlab.errors import DataError
from ftlab.exercises.engine import Exercise
from ftlab.exercises.progress import progress

DOUBLE = Exercise("double", lambda n: 2 * n, trials=[((2,), "twice two")], mistakes=[])
HALF = Exercise("half: of a number", lambda n: n / 2, trials=[((2,), "half of two")], mistakes=[])


def saved(folder, name, *printed):
    outputs = [{"output_type": "stream", "name": "stdout", "text": [f"{text}\n"]} for text in printed]
    cells = [{"cell_type": "code", "source": "", "outputs": outputs}, {"cell_type": "markdown", "source": "x: solved"}]
    (folder / f"{name}.ipynb").write_text(json.dumps({"cells": cells}))


def test_it_reads_what_a_check_prints(tmp_path, capsys):
    grades = [DOUBLE.grade(lambda n: n + n), HALF.grade(lambda n: n), "loss: 0.3"]
    saved(tmp_path, "01_first", *map(repr, grades[:2]), grades[2])
    saved(tmp_path, "02_without", "loss: 0.3")
    found = progress(tmp_path)
    assert [(each.notebook, each.solved, each.statuses) for each in found] == [
        ("01_first", 1, {"double": "solved", "half: of a number": "wrong"})
    ]
    assert main(["progress", "--notebooks", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "1 of  2  01_first" in printed
    assert "half: of a number (wrong)" in printed
    assert "1 of 2 exercises solved" in printed
    assert main(["progress", "--notebooks", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"01_first": {"double": "solved", "half: of a number": "wrong"}}


def test_the_last_word_of_a_check_counts(tmp_path):
    saved(tmp_path, "01_first", repr(DOUBLE.grade(lambda n: n)), repr(DOUBLE.grade(lambda n: 2 * n)))
    assert progress(tmp_path)[0].statuses == {"double": "solved"}


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_a_folder_or_a_file_that_cannot_be_used_is_named(tmp_path, content, capsys):
    if content:
        (tmp_path / "01_broken.ipynb").write_text(content)
    with pytest.raises(DataError, match="no notebook"):
        progress(tmp_path)
    assert main(["progress", "--notebooks", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err
