"""The package: importing it loads nothing heavy, and a folder's `__init__` imports nothing at all."""

import ast
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import ftlab
from ftlab.hosted.job import SERVICES

PACKAGE = Path(ftlab.__file__).parent


def test_importing_is_light():
    code = (
        "import sys, ftlab.data.schema, ftlab.checks.check, ftlab.data.export, ftlab.decide, ftlab.costs.scenario\n"
        "print(*{'pandas', 'pyarrow', 'datasets', 'torch', 'transformers', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_folder_imports_nothing_so_that_a_change_makes_stale_only_what_uses_it():
    for path in PACKAGE.glob("*/__init__.py"):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        assert all(isinstance(node, ast.Expr) for node in body), path


def test_a_public_name_has_one_meaning():
    """The services' modules have the same functions on purpose, and the paths of the stand-in are theirs."""
    places, alike = defaultdict(list), {PACKAGE / "hosted" / f"{service}.py" for service in SERVICES}
    alike |= set(PACKAGE.glob("hosted/stand_in_*.py"))
    for path in sorted(set(PACKAGE.rglob("*.py")) - alike):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(str(path.relative_to(PACKAGE)))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
