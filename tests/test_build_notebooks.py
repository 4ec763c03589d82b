"""The notebook builder, on the fixture of tests/fixtures/notebooks in a small course of its own."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import build_notebooks as bn  # noqa: E402
from notebook_freshness import imported_files  # noqa: E402
from notebook_outputs import WIDGET_STATE, WIDGET_VIEW  # noqa: E402
from notebook_source import cell_id  # noqa: E402

HEADER = "# ---\n# ftlab:\n#   reads: []\n# ---\n\n"
INTRO = "# %% [markdown]\n# # Title\n# **Question:** why? **Minutes:** 1. **Hardware:** any.\n\n"
ALT = {"image/png": {"alt": "Line chart."}}


def write_source(folder: Path, cells: str, name: str = "01_ask_something", header: str = HEADER) -> Path:
    path = folder / "notebooks/src" / f"{name}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(header + cells)
    return path


def code_cell(*outputs, **metadata):
    cell = nbformat.v4.new_code_cell("1", outputs=list(outputs))
    cell.metadata.update(metadata)
    return cell


def stream(text, name="stdout"):
    return nbformat.v4.new_output("stream", name=name, text=text)


def shown(data, metadata=None):
    return nbformat.v4.new_output("display_data", data=data, metadata=metadata or {})


def notebook_of(*cells):
    return nbformat.v4.new_notebook(cells=list(cells))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A course whose one notebook has been built, never changed by a test."""
    root = tmp_path_factory.mktemp("built")
    shutil.copytree(ROOT / "tests/fixtures/notebooks", root / "notebooks")
    (root / "data").mkdir()
    (root / "data/numbers.txt").write_text("1\n2\n3\n4\n")
    for path in imported_files(next((ROOT / "tests/fixtures/notebooks/src").glob("*.py")), ROOT):
        (root / path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, root / path.relative_to(ROOT))
    (root / "ftlab/unused.py").write_text("")
    assert bn.main([], root) == 0
    return root


@pytest.fixture
def course(built, tmp_path):
    shutil.copytree(built, tmp_path / "course")
    return tmp_path / "course"


def read(course, name="00_try_it"):
    return nbformat.read(course / "notebooks" / f"{name}.ipynb", as_version=4)


def cell_with(notebook, text):
    return next(cell for cell in notebook.cells if text in cell.source)


def test_a_model_that_was_made_serves_every_notebook(tmp_path, monkeypatch):
    monkeypatch.setenv("FTLAB_HOME", str(tmp_path / "here"))
    for home in (tmp_path / "first", tmp_path / "second"):
        home.mkdir()
        bn.share_models(home)
    (tmp_path / "first/models/smol").mkdir()
    shutil.rmtree(tmp_path / "first")
    assert [path.name for path in (tmp_path / "second/models").iterdir()] == ["smol"]


# ---- what is built


def test_the_learners_notebook_has_a_stub_and_says_so_calmly(built):
    cell = cell_with(read(built), "def steps")
    assert "    # your code here\n    ...\n" in cell.source
    assert "per_epoch" not in cell.source
    assert cell.outputs[0].text.startswith("optimizer steps: not solved yet")


def test_the_solution_is_kept_runs_and_passes(built):
    cell = cell_with(read(built, "solutions/00_try_it"), "def steps")
    assert "per_epoch" in cell.source
    assert "# solution" not in cell.source
    assert cell.outputs[0].text.startswith("optimizer steps: solved")


def test_outputs_are_tidy(built):
    notebook = read(built)
    assert cell_with(notebook, "numbers =").outputs[0].text == "4 numbers in ./data\nworking 100 %\n"
    assert [output.name for output in cell_with(notebook, "tqdm(numbers)").outputs] == ["stdout"]
    figure = cell_with(notebook, "show(fig").outputs[0]
    assert sorted(figure.data) == ["image/png", "text/plain"]
    assert figure.metadata["image/png"]["alt"] == figure.data["text/plain"]
    assert all("execution" not in cell.metadata for cell in notebook.cells)
    assert notebook.metadata.language_info == {"name": "python"}


def test_widgets_keep_a_state_that_their_view_finds(built):
    notebook = read(built)
    view = cell_with(notebook, "IntSlider").outputs[0].data
    state = notebook.metadata.widgets[WIDGET_STATE]["state"]
    model = state[view[WIDGET_VIEW]["model_id"]]
    assert model["model_name"] == "VBoxModel"
    assert all(child.removeprefix("IPY_MODEL_") in state for child in model["state"]["children"])
    assert view["text/plain"] == "Run this cell to see its controls."


def test_the_last_cell_says_when_and_with_what_it_was_verified(built):
    last = read(built).cells[-1].source
    assert last.startswith("---\n*Last verified: 20")
    for part in ("torch 2.", "transformers ", "trl ", "peft ", "unsloth ", "CPU cores", " minutes.*"):
        assert part in last


def test_a_rebuild_gives_the_same_file(course):
    before = read(course)
    assert bn.main(["00", "--force"], course) == 0
    after = read(course)
    assert after.cells[:-1] == before.cells[:-1], "only the line of verification may differ: date and minutes"
    assert after.metadata.widgets == before.metadata.widgets


def test_cell_ids_change_only_with_their_own_text():
    one, two = {}, {}
    first = [cell_id(text, one) for text in ("a", "b", "a")]
    second = [cell_id(text, two) for text in ("a", "new", "b", "a")]
    assert second[:1] + second[2:] == first
    assert len(set(first)) == 3


# ---- freshness


def test_what_was_just_built_is_up_to_date_and_not_built_again(course, capsys):
    assert bn.main(["--check"], course) == 0
    assert bn.main([], course) == 0
    assert "nothing to build" in capsys.readouterr().out


@pytest.mark.parametrize(
    "changed", ["notebooks/src/00_try_it.py", "data/numbers.txt", "ftlab/plots.py", "ftlab/errors.py"]
)
def test_a_change_of_source_data_or_imported_module_makes_it_stale(course, changed, capsys):
    path = course / changed
    path.write_text(path.read_text() + "\n")
    assert bn.main(["--check"], course) == 1
    out = capsys.readouterr().out
    assert f"notebooks/00_try_it.ipynb: stale: changed {changed}" in out
    assert f"notebooks/solutions/00_try_it.ipynb: stale: changed {changed}" in out


def test_a_module_that_is_not_imported_changes_nothing(course):
    (course / "ftlab/unused.py").write_text("changed = 1\n")
    assert bn.main(["--check"], course) == 0


def test_a_hand_edited_output_a_missing_file_and_an_orphan_are_named(course, capsys):
    notebook = read(course)
    cell_with(notebook, "tqdm(numbers)").outputs[0].text = "ready\n31\n"
    nbformat.write(notebook, course / "notebooks/00_try_it.ipynb")
    solution = course / "notebooks/solutions/00_try_it.ipynb"
    solution.rename(solution.with_name("99_other.ipynb"))
    assert bn.main(["--check"], course) == 1
    out = capsys.readouterr().out
    assert "notebooks/00_try_it.ipynb: edited by hand" in out
    assert "notebooks/solutions/00_try_it.ipynb: missing" in out
    assert "notebooks/solutions/99_other.ipynb: has no source" in out


def test_imports_are_followed_through_packages_relative_names_and_functions(tmp_path):
    for name, text in {
        "ftlab/__init__.py": "",
        "ftlab/a.py": "def late():\n    from .data import split\n",
        "ftlab/data/__init__.py": "",
        "ftlab/data/split.py": "from . import schema\n",
        "ftlab/data/schema.py": "import os\n",
        "ftlab/cli.py": "",
        "ftlab/other.py": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    source = tmp_path / "source.py"
    source.write_text("import json\nimport ftlab.a as a\n")
    names = [path.relative_to(tmp_path / "ftlab").as_posix() for path in imported_files(source, tmp_path)]
    assert names == ["__init__.py", "a.py", "data/__init__.py", "data/schema.py", "data/split.py"]
    source.write_text("# !ftlab check train.jsonl\n")
    names = [path.name for path in imported_files(source, tmp_path)]
    assert names == ["__init__.py", "cli.py"]


@pytest.mark.parametrize(
    ("text", "reached"),
    [
        ("import ftlab\n", []),
        ("from ftlab import home\n", []),
        ("from ftlab import a\n", ["a", "b"]),
        ("import ftlab.b\n", ["b"]),
        ("def later():\n    from ftlab import b\n", ["b"]),
        ("from ftlab.c import something\n", ["b", "c"]),
    ],
)
def test_only_what_runs_is_followed(tmp_path, text, reached):
    """The package's own file drags in nothing, nor do imports for type checkers only, which change no output."""
    (tmp_path / "ftlab").mkdir()
    for name, content in {
        "__init__": "def home(): ...\n",
        "a": "import typing\n\nif typing.TYPE_CHECKING:\n    from ftlab import c\nelse:\n    from . import b\n",
        "b": "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    import ftlab.c\n",
        "c": "from ftlab.b import something\n",
    }.items():
        (tmp_path / f"ftlab/{name}.py").write_text(content)
    source = tmp_path / "source.py"
    source.write_text(text)
    assert [path.stem for path in imported_files(source, tmp_path)] == ["__init__", *reached]


def test_a_modules_texts_and_templates_count(tmp_path):
    for name, text in {"ftlab/__init__.py": "", "ftlab/a.py": 'PAGE = "page.html.j2"\n', "ftlab/b.py": ""}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    for name in ("a.yaml", "b.yaml", "page.html.j2"):
        (tmp_path / "ftlab" / name).write_text("")
    source = tmp_path / "source.py"
    source.write_text("import ftlab.a\n")
    assert [path.name for path in imported_files(source, tmp_path)] == ["__init__.py", "a.py", "a.yaml", "page.html.j2"]
    source.write_text("import ftlab.b\n")
    assert [path.name for path in imported_files(source, tmp_path)] == ["__init__.py", "b.py", "b.yaml"]


def test_what_python_loads_for_a_notebook_is_followed():
    """Import, in a process of its own, what the sources import from ftlab; every file that this loads is known."""
    sources = sorted((ROOT / "notebooks/src").glob("*.py"))
    nodes = [node for source in sources for node in ast.parse(source.read_text()).body]
    lines = {line for line in map(ast.unparse, nodes) if line.startswith(("from ftlab", "import ftlab"))}
    assert len(lines) > 20
    code = "\n".join(["import sys", *sorted(lines), "print(*(m for m in sys.modules if m.startswith('ftlab')))"])
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    followed = {path for source in sources for path in imported_files(source, ROOT)}
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in followed}
    assert "ftlab.data.schema" in (loaded := set(done.stdout.split()))
    assert loaded <= names


def test_the_table_says_what_a_change_in_each_module_makes_stale(course, capsys):
    (course / "ftlab/unused.py").write_text("x = 1\n")
    assert bn.main(["--stale-by-module"], course) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert ["1", "ftlab/plots.py", "00"] in lines
    assert ["0", "ftlab/unused.py"] in lines
    assert lines[-1][0] == str(sum(int(line[0]) for line in lines[:-1]))


# ---- running


def test_a_solved_notebook_reads_from_its_own_folder(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "number.txt").write_text("42")
    cells = (
        INTRO + "# %% [markdown]\n# Read [the next](02_next.ipynb), a [word](WORDS.md#word), "
        "[data](../data/number.txt), [elsewhere](https://example.org/x.md).\n\n"
        '# %% tags=["exercise"]\ndef one():\n    # solution\n    return 1\n    # end solution\n\n\n'
        '# %%\nprint(open("../data/number.txt").read())\n'
    )
    write_source(tmp_path, cells)
    assert bn.main([], tmp_path) == 0
    for place, up in (("", ""), ("solutions/", "../")):
        notebook = read(tmp_path, f"{place}01_ask_something")
        reading = cell_with(notebook, "print(open(")
        assert reading.outputs[0].text.strip() == "42"
        assert f'open("{up}../data/number.txt")' in reading.source
        text = next(cell.source for cell in notebook.cells if "the next" in cell.source)
        links = re.findall(r"\]\(([^)]*)\)", text)
        assert links == [f"{up}02_next.ipynb", f"{up}WORDS.md#word", f"{up}../data/number.txt",
                         "https://example.org/x.md"]  # fmt: skip


def test_run_all_prints_a_table_and_changes_no_file(course, capsys):

    def files():
        return {
            path: path.read_bytes() for path in course.rglob("*") if path.suffix != ".pyc" and path.is_file()
        }

    before = files()
    assert bn.main(["--run-all"], course) == 0
    assert "solutions" not in capsys.readouterr().out
    assert bn.main(["--run-all", "--solutions", "--jobs", "2"], course) == 0
    table = capsys.readouterr().out.split("\n")
    assert table[0].split() == ["notebook", "minutes", "headline", "result"]
    assert table[1].endswith("sum of the squares: 30")
    assert table[2].startswith("notebooks/solutions/00_try_it.ipynb")
    assert files() == before


def test_the_parts_are_all_notebooks_and_none_twice(monkeypatch, tmp_path):
    for number in range(7):
        write_source(tmp_path, INTRO, f"{number:02}_try_it")
    ran = []
    monkeypatch.setattr(bn, "run_all", lambda sources, *_: ran.append([source.name for source in sources]) or 0)
    for text in ("1/3", "2/3", "3/3", "1/1"):
        assert bn.main(["--run-all", "--part", text], tmp_path) == 0
    assert [len(names) for names in ran] == [3, 2, 2, 7]
    assert sorted(sum(ran[:3], [])) == ran[3]


@pytest.mark.parametrize("text", ["0/3", "4/3", "2", "a/b", "1/0"])
def test_a_part_that_is_none_is_refused(text, capsys):
    with pytest.raises(SystemExit):
        bn.main(["--run-all", "--part", text])
    assert "give K/N with K from 1 to N" in capsys.readouterr().err


def test_a_failing_cell_is_named_with_its_source_line_and_nothing_is_written(tmp_path, capsys):
    path = write_source(
        tmp_path, INTRO + "# %%\nfine = 1\n\n# %%\nlast = 2\nraise ValueError('broken on purpose')\n"
    )
    assert bn.main([], tmp_path) == 1
    error = capsys.readouterr().err
    line = path.read_text().split("\n").index("raise ValueError('broken on purpose')") + 1
    assert f"notebooks/01_ask_something.ipynb: cell 3, source line {line} failed" in error
    assert "ValueError: broken on purpose" in error
    assert "\x1b" not in error
    assert not (tmp_path / "notebooks/01_ask_something.ipynb").exists()


def test_a_wrong_solution_fails_the_build_of_the_solutions_only(tmp_path, capsys):
    cells = (
        INTRO + '# %% tags=["exercise"]\nfrom ftlab.exercises.train import check_steps\n\n\n'
        "def steps(rows, epochs, batch, accumulation):\n    # solution\n    return rows\n    # end solution\n"
        "\n\ncheck_steps(steps)\n"
    )
    write_source(tmp_path, cells)
    assert bn.main([], tmp_path) == 1
    assert "ExerciseFailed" in capsys.readouterr().err
    assert (tmp_path / "notebooks/01_ask_something.ipynb").exists()
    assert not (tmp_path / "notebooks/solutions/01_ask_something.ipynb").exists()


def test_a_notebook_that_takes_too_long_is_stopped(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bn, "TIMEOUT_SECONDS", 3)
    write_source(tmp_path, INTRO + "# %%\nimport time\n\ntime.sleep(60)\n")
    assert bn.main([], tmp_path) == 1
    assert "cell 2, source line" in (error := capsys.readouterr().err)
    assert "stopped here" in error


def test_run_all_names_what_fails_and_still_runs_the_rest(course, capsys):
    write_source(course, INTRO + "# %%\nprint(1)\n", name="01_never_built")
    assert bn.main(["--run-all"], course) == 1
    captured = capsys.readouterr()
    assert "notebooks/01_never_built.ipynb: missing" in captured.err
    assert "sum of the squares: 30" in captured.out
    assert "FAILED" in captured.out


# ---- what is refused


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("print(1)\n", r"x\.py:1: no YAML header"),
        ("# ---\n# title: x\n# ---\n" + INTRO, "needs 'ftlab:'"),
        ("# ---\n# ftlab:\n#   reads: []\n#   minuets: 3\n# ---\n" + INTRO, "found: minuets"),
        (HEADER + "print(1)\n", r"x\.py:6: the first line after the header"),
        (HEADER + "# %% [markdown]\n# **Question:** why? **Minutes:** 1\n", r"x\.py:6: .*missing: Hardware"),
        (HEADER + INTRO + "# %%\n# solution\n1\n# end solution\n", r"x\.py:11: '# solution' is out of place"),
        (HEADER + INTRO + '# %% tags=["exercise"]\n# solution\n1\n', r"x\.py:11: the exercise needs"),
        (HEADER + INTRO + '# %% tags=["exercise"]\n1\n', r"x\.py:11: the exercise needs"),
    ],
)
def test_a_source_that_breaks_the_rules_is_refused_with_its_line(tmp_path, text, message):
    path = tmp_path / "x.py"
    path.write_text(text)
    with pytest.raises(bn.BuildError, match=message):
        bn.read_source(path)


def test_data_that_does_not_exist_and_an_unknown_name_end_with_status_2(tmp_path, capsys):
    header = HEADER.replace("[]", "[data/none/*.jsonl]")
    write_source(tmp_path, INTRO, header=header)
    assert bn.main(["--check"], tmp_path) == 2
    assert "'data/none/*.jsonl' matches no file" in capsys.readouterr().err
    assert bn.main(["77"], tmp_path) == 2
    assert "77" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (stream("UserWarning: old", "stderr"), "writes to stderr"),
        (stream("x" * 200_001), "an output of 200 kB"),
        (
            stream("saved in /home/someone/runs/a.json"),
            "prints a path of this machine, /home/someone/runs/a.json",
        ),
        (shown({"image/png": "aGk="}), "an image without alt text"),
        (shown({"text/html": '<p><img src="data:," alt=""></p>'}), "an image without alt text"),
    ],
)
def test_an_output_that_may_not_be_committed_is_found(output, message):
    (found,) = bn.problems(notebook_of(code_cell(output)))
    assert found.startswith("cell 1: ")
    assert message in found


def test_outputs_in_order_are_let_through():
    cells = [
        code_cell(stream("meant", "stderr"), tags=["allow-stderr"]),
        code_cell(stream("see ./runs/a.json, https://example.org/home/x and 3/4")),
        code_cell(shown({"image/png": "aGk=", "text/plain": "Line chart."}, ALT)),
        code_cell(shown({"text/html": '<img alt="A line." src="data:,">'})),
    ]
    assert bn.problems(notebook_of(*cells)) == []


def test_a_notebook_that_is_too_big_in_sum_is_found():
    cells = [code_cell(stream("x" * 190_000)) for _ in range(9)]
    (found,) = bn.problems(notebook_of(*cells))
    assert found.startswith("the notebook has 17")


def test_progress_bars_go_and_streams_join():
    bar = {WIDGET_VIEW: {"model_id": "a"}, "text/plain": "  0%|          | 0/10 [00:00<?, ?it/s]"}
    html = {"text/html": "<div><progress value='3' max='4'></progress> [4/4] <table>5.2</table></div>"}
    cell = code_cell(
        stream("a\n"),
        stream("  0%|  | 0/9\r100%|##| 9/9\n", "stderr"),
        stream("1/2\r2/2\nb\n"),
        shown(bar),
        shown(html),
    )
    notebook = notebook_of(cell)
    notebook.metadata["widgets"] = {
        WIDGET_STATE: {"state": {"a": {"model_name": "HBoxModel", "state": {}}}}
    }
    bn.tidy(notebook)
    assert [output.get("text") for output in cell.outputs] == ["a\n", "2/2\nb\n", None]
    assert cell.outputs[-1].data["text/html"] == "<div>[4/4] <table>5.2</table></div>"
    assert "widgets" not in notebook.metadata


def test_show_gives_an_alt_text_that_nbconvert_keeps(built):
    from nbconvert import HTMLExporter

    body, _ = HTMLExporter(template_name="classic").from_notebook_node(read(built))
    assert 'alt="Line chart: the squares of 1 to 4 grow from 1 to 16."' in body


def test_show_closes_the_figure_and_refuses_an_empty_text():
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    from ftlab.plots import show

    fig, _ = plt.subplots()
    with pytest.raises(ValueError, match="alt is empty"):
        show(fig, " ")
    show(fig, "An empty chart.")
    assert not plt.fignum_exists(fig.number)
