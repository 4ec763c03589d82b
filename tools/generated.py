"""What every generator of bundled data does: rows as lines, counts into the README, files written or compared."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

COUNTS_START, COUNTS_END = "<!-- written by the tool -->", "<!-- end of what the tool writes -->"


def jsonl(rows: list[dict]) -> str:
    """One line of JSON a row."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def readme_with(folder: Path, counts: str) -> str:
    """The folder's README with new counts between the two marks."""
    before, rest = (folder / "README.md").read_text(encoding="utf-8").split(COUNTS_START)
    return f"{before}{COUNTS_START}\n{counts}{COUNTS_END}{rest.split(COUNTS_END)[1]}"


def write_or_check(description: str, folder: Path, make_files: Callable[[], dict[str, bytes | str]]) -> int:
    """Write the files made (name -> content) to `folder`; with --check write nothing and return 1 where one differs."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file differs")
    check = parser.parse_args().check
    stale = []
    for name, content in make_files().items():
        path = folder / name
        content = content.encode() if isinstance(content, str) else content
        if not check:
            path.write_bytes(content)
        elif not path.exists() or path.read_bytes() != content:
            stale.append(name)
    if stale:
        differs = f"differs from what the generator writes: {', '.join(stale)}"
        print(f"{differs}; run this tool without --check", file=sys.stderr)
    return 1 if stale else 0
