"""How large the house is: lines by folder, modules and functions above our aims (aims, not laws: nothing fails).

    .venv/bin/python tools/figures.py [ROOT]
"""

import ast
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("ftlab", "tests", "tools")
MODULE, FUNCTION, PACKAGE = 400, 60, 9_000  # lines, at most; PACKAGE is ftlab with all notebooks


def main() -> int:
    """Print the figures of a checkout; always 0."""
    print("\n".join(figures(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT)))
    return 0


def figures(root: Path) -> list[str]:
    """The report, line by line."""
    paths = [path for name in PACKAGES for path in sorted((root / name).rglob("*.py"))]
    files = {path.relative_to(root): path.read_text() for path in paths}
    report = ["lines of Python by folder:"]
    for package in PACKAGES:
        sizes = Counter()
        for path, text in files.items():
            if path.parts[0] == package:
                sizes[path.parent.as_posix()] += lines(text)
        aim = f" (aim: about {PACKAGE:,} when all notebooks exist)" if package == "ftlab" else ""
        report.append(f"{sizes.total():8,}  {package}, all{aim}")
        report += [f"{size:8,}  {folder}" for folder, size in sizes.items() if len(sizes) > 1]
    long = {path: lines(text) for path, text in files.items() if lines(text) > MODULE}
    report += above(f"modules above {MODULE} lines", {str(path): size for path, size in long.items()})
    found = {f"{path}: {name}": size for path, text in files.items() for name, size in functions(text)}
    return report + above(f"functions above {FUNCTION} lines", {name: n for name, n in found.items() if n > FUNCTION})


def above(title: str, sizes: dict[str, int]) -> list[str]:
    """A heading with counts for each package, then the longest first."""
    count = Counter(Path(name).parts[0] for name in sizes)
    longest = sorted(sizes.items(), key=lambda item: -item[1])
    counted = ", ".join(f"{package} {count[package]}" for package in PACKAGES)
    return [f"{title}: {counted}", *(f"{size:8,}  {name}" for name, size in longest)]


def lines(text: str) -> int:
    return len(text.splitlines())


def functions(text: str) -> list[tuple[str, int]]:
    """(name, lines) of every function and method; what is defined inside one counts there only."""
    found, todo = [], [("", ast.parse(text))]
    while todo:
        prefix, parent = todo.pop()
        for node in ast.iter_child_nodes(parent):
            if isinstance(node, ast.ClassDef):
                todo.append((f"{prefix}{node.name}.", node))
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found.append((prefix + node.name, node.end_lineno - node.lineno + 1))
    return found


if __name__ == "__main__":
    sys.exit(main())
