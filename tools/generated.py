"""What every generator of bundled data does on the command line: write its files, or compare them with --check."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path


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
