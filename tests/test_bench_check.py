"""The generated files that `ftlab check` is timed on are what the tool says they are."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
try:
    import bench_check
finally:
    sys.path.remove(str(ROOT / "tools"))

from ftlab.checks.check import check  # noqa: E402
from ftlab.data.schema import write_chat  # noqa: E402


def test_more_rows_than_anybody_fine_tunes_on_are_refused_with_an_engine_for_them(capsys):
    with pytest.raises(SystemExit):
        bench_check.main(["--up-to", "1000000"])
    assert "datatrove" in capsys.readouterr().err


def test_generated_chats_are_sound_but_for_what_is_planted(tmp_path):
    report = check(write_chat(bench_check.chats(200), tmp_path / "chats.jsonl"))
    assert report.rows_kept == report.rows_in == 200
    assert (report.counts["exact_duplicate"], report.counts["email"]) == (3, 2)
    assert list(bench_check.chats(30)) == list(bench_check.chats(60))[:30]


def test_growth_is_from_the_smallest_to_the_largest():
    runs = [bench_check.Run(rows, 10 + rows / 10, rows / 20, 100 + rows, 0) for rows in (100, 200, 400)]
    assert bench_check.growth(runs) == {
        "rows": 4.0, "wall_seconds": 2.5, "cpu_seconds": 4.0, "peak_mb": 2.5, "wall_seconds_per_row": 0.62,
        "cpu_seconds_per_row": 1.0,
    }  # fmt: skip


def test_smaller_files_are_the_first_lines_of_the_largest(tmp_path):
    seen = {count: path.read_bytes() for count, path in bench_check.files(40, tmp_path)}
    assert [len(content.splitlines()) for content in seen.values()] == list(seen) == [10, 20, 40]
    assert all(seen[40].startswith(content) for content in seen.values())
