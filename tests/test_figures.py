"""The figures that `make check` prints."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))
try:
    import figures as tool
finally:
    sys.path.remove(str(ROOT / "tools"))


def test_lines_by_folder_and_what_is_above_the_aims(tmp_path):
    body = "        x = 1\n" * 60
    for name, text in {
        "ftlab/__init__.py": "",
        "ftlab/data/long.py": f"def fits():\n{body[:-14]}\n\nclass A:\n    def over(self):\n{body}",
        "tests/test_all.py": "x = 1\n" * 401,
        "tools/short.py": "x = 1\n" * 400,
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    report = tool.figures(tmp_path)
    assert "     124  ftlab/data" in report
    assert "     401  tests, all" in report
    modules = report.index("modules above 400 lines: ftlab 0, tests 1, tools 0")
    assert report[modules + 1 :] == [
        "     401  tests/test_all.py",
        "functions above 60 lines: ftlab 1, tests 0, tools 0",
        "      61  ftlab/data/long.py: A.over",
    ]
