"""The course at a glance: what is counted, and what is said when a page no longer says it."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import course_table  # noqa: E402

SOURCE = """# ---
# ftlab:
#   reads: []
# ---

# %% [markdown]
# # Ask something
#
# **Question:** how many
# tickets are there? And why?
# **Minutes:** 1. **Hardware:** any.
#
# {words}
#
# ```python
# print("not prose")
# ```

# %% tags=["exercise"]
{code}
"""
README = "| [90 Ask something](notebooks/90_ask_something.ipynb) | how many tickets are there? | 1 | any |\n"


def course(folder: Path, words: int, lines: int) -> Path:
    """A repository of one notebook with about so many words of prose, and so many lines of code."""
    (folder / "notebooks/src").mkdir(parents=True)
    text = SOURCE.format(words="word " * words, code="x = 1\n" * lines)
    (folder / "notebooks/src/90_ask_something.py").write_text(text)
    (folder / "README.md").write_text(README)
    return folder


def test_words_and_lines_make_minutes(tmp_path):
    (found,) = course_table.notebooks(course(tmp_path, words=2000, lines=297))
    assert (found.title, found.question) == ("Ask something", "how many tickets are there?")
    assert found.lines == 300  # those of the fence too
    assert 2000 < found.words < 2030
    assert (found.to_read, found.stated, found.run, found.exercises) == (20, None, 1, 1)


def test_a_page_that_states_nothing_is_named_and_written(tmp_path):
    root = course(tmp_path, words=2000, lines=297)
    (line,) = course_table.findings(root)
    assert "90_ask_something.py: takes about 20 minutes to read and states none. Run:" in line
    course_table.write(root)
    assert course_table.findings(root) == []
    assert (
        "**Minutes:** 20 to read, 1 to run. **Hardware:**" in (root / "notebooks/src/90_ask_something.py").read_text()
    )
    assert "| 20 / 1 | any |" in (root / "README.md").read_text()
    before = (root / "README.md").read_text()
    course_table.write(root)
    assert (root / "README.md").read_text() == before


def test_a_few_words_more_ask_for_no_new_number_and_many_do(tmp_path):
    root = course(tmp_path, words=2000, lines=297)
    course_table.write(root)
    path = root / "notebooks/src/90_ask_something.py"
    text = path.read_text()
    path.write_text(text.replace("word word", "word word" + " more" * 600, 1))
    assert course_table.findings(root) == []
    path.write_text(text.replace("word word", "word word" + " more" * 1200, 1))
    assert len(course_table.findings(root)) == 1


def test_the_table_of_00_is_the_course(tmp_path):
    root = course(tmp_path, words=100, lines=3)
    marks = "# <!-- the course -->\n# <!-- end of the course -->\n"
    (root / "notebooks/src/00_start_here.py").write_text(
        SOURCE.format(words="a", code="x = 1") + "\n# %% [markdown]\n" + marks
    )
    assert any("its table of the course" in line for line in course_table.findings(root))
    course_table.write(root)
    assert course_table.findings(root) == []
    text = (root / "notebooks/src/00_start_here.py").read_text()
    assert "# | [90 Ask something](90_ask_something.ipynb) | how many tickets are there? | 1 | 1 | 1 |" in text


def test_the_course_says_what_is_there():
    assert course_table.findings(ROOT) == []
