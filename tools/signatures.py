"""Do the calls in the notebooks fit the libraries? python tools/signatures.py [--record FILE] [SOURCE ...]

Every call of a library in notebooks/src (or in the sources that are named), found by its imports, is compared with the
signature of what is installed here, and with the signatures recorded in an environment like Colab's
(requirements/colab_signatures.json; tools/colab_like.py makes both). An argument that vanished is told with its place
and the nearest name there is. What takes **kwargs takes anything; methods of objects are looked at where a cell makes
the object by its class. TRL's classes are taken before Unsloth is imported, which replaces them by its own.
--record writes the signatures of this environment. Exit: 0 all fit, 1 some do not.
"""

import argparse
import ast
import datetime
import difflib
import importlib
import inspect
import json
import platform
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "requirements" / "colab_signatures.json"
PACKAGES = (
    "torch", "transformers", "trl", "peft", "accelerate", "datasets", "unsloth", "pandas", "numpy", "matplotlib",
    "scikit-learn", "ipywidgets",
)  # fmt: skip
OURS = {"ftlab", "google", *sys.stdlib_module_names}
ANYTHING = "**"


@dataclass(frozen=True)
class Call:
    """One call of a library in a cell; `target` is its full name, such as trl.SFTConfig."""

    source: str
    line: int
    target: str
    arguments: tuple[str, ...]  # those given by name


def sources() -> list[Path]:
    return sorted((ROOT / "notebooks" / "src").glob("*.py"))


def calls(path: Path) -> list[Call]:
    """Every call of a source that its imports, and the classes it makes objects of, lead to a library."""
    nodes = sorted(
        (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if hasattr(node, "lineno")),
        key=lambda node: (node.lineno, node.col_offset),
    )
    names = dict(pair for node in nodes for pair in _imported(node))
    for node in nodes:  # x = Class(...): x is Class(), and x.method is Class().method
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            made = _target(node.value, names)
            names |= {name.id: made for name in node.targets if isinstance(name, ast.Name) and made}
    found = []
    for node in nodes:
        if isinstance(node, ast.Call):
            target = _target(node.func, names)
            if target == "functools.partial" and node.args:  # the arguments are those of what it is partial to
                target = _target(node.args[0], names)
            if target and not target.endswith("()") and target.split(".")[0] not in OURS:
                given = tuple(keyword.arg for keyword in node.keywords if keyword.arg)
                found.append(Call(path.name, node.lineno, target.replace("()", ""), given))
    return found


def _imported(node) -> Iterator[tuple[str, str]]:
    """(name in the cell, full name) of an import."""
    if isinstance(node, ast.Import):
        yield from ((a.asname, a.name) if a.asname else (a.name.split(".")[0],) * 2 for a in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        yield from ((alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names)


def _target(node, names: dict[str, str]) -> str | None:
    """The full name of a.b.c, with () behind the class of an object; None where that cannot be read off."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute) and (of := _target(node.value, names)) and "()." not in of:
        return f"{of}.{node.attr}"
    if isinstance(node, ast.Call) and (made := _target(node.func, names)) and "()" not in made:
        return f"{made}()" if made.rpartition(".")[2][:1].isupper() else None
    return None


def signatures(targets: Iterable[str]) -> dict[str, list[str] | None]:
    """Target -> names of its arguments, ANYTHING among them for **kwargs; None where it is not there."""
    with_unsloth_last = sorted(set(targets), key=lambda target: (target.startswith("unsloth"), target))
    return {target: _arguments(target) for target in with_unsloth_last}


def _arguments(target: str) -> list[str] | None:
    try:
        found = _object(target)
        parameters = inspect.signature(found).parameters.values()
    except AttributeError:
        return None
    except (TypeError, ValueError):  # not written in Python: nothing is known of its arguments
        return [ANYTHING]
    names = [ANYTHING if each.kind == each.VAR_KEYWORD else each.name for each in parameters]
    keeps_all = "PreTrainedConfig" in [base.__name__ for base in getattr(found, "__mro__", ())]  # whatever it is given
    return [*names, ANYTHING] if keeps_all and ANYTHING not in names else names


def _object(target: str):
    """What a full name stands for: the longest part that is a module, and what it has."""
    parts = target.split(".")
    for size in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:size]))
        except ModuleNotFoundError:
            continue
        for name in parts[size:]:
            found = getattr(found, name)
        return found
    raise AttributeError(target)


def misfits(found: Iterable[Call], known: dict, where: str, elsewhere: dict | None = None) -> list[str]:
    """One line for each call that is gone and each argument that it does not take; left out is what is not known.

    What is taken by **kwargs is told only where it has a name of its own `elsewhere`, and what is not there only where
    it is `elsewhere`: an attribute of an object may not be one of its class.
    """
    lines = []
    for call in found:
        place, names = f"{call.source}:{call.line} {call.target}", known.get(call.target, [ANYTHING])
        if names == [ANYTHING]:
            continue
        if names is None:
            if elsewhere is None or elsewhere.get(call.target) is not None:
                lines.append(f"{place} is not there ({where})")
            continue
        named = (elsewhere or {}).get(call.target) or ()
        for argument in call.arguments:
            if argument not in names and (ANYTHING not in names or argument in named):
                near = difflib.get_close_matches(argument, names, 1, cutoff=0.4)
                nearest = f"the nearest is {near[0]}" if near else f"it takes {', '.join(names) or 'none'}"
                lines.append(f"{place}({argument}=...): no such argument ({where}); {nearest}")
    return lines


def versions() -> dict[str, str]:
    there = {name for found in metadata.distributions() for name in [found.metadata["Name"].lower()]}
    return {name: metadata.version(name) for name in PACKAGES if name in there}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", type=Path, metavar="FILE", help="write the signatures of this environment")
    parser.add_argument("sources", nargs="*", type=Path, help="notebook sources (default: all)")
    options = parser.parse_args(arguments)
    import ftlab  # noqa: F401  it quiets the libraries

    found = [call for path in options.sources or sources() for call in calls(path)]
    here = signatures(call.target for call in found)
    if options.record:
        made = {"date": str(datetime.date.today()), "python": platform.python_version(), "versions": versions()}
        options.record.write_text(json.dumps(made | {"signatures": here}, indent=1) + "\n", encoding="utf-8")
        print(f"{options.record}: {len(here)} signatures")
        return 0
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    recorded = record["signatures"]
    wrong = misfits(found, here, "installed here", recorded)
    wrong += misfits(found, recorded, f"recorded {record['date']} in an environment like Colab's", here)
    print("\n".join([*wrong, f"{len(found)} calls of {len(here)} callables, {len(wrong)} do not fit"]))
    if new := sorted(set(here) - set(recorded)):
        print(f"not recorded in the environment like Colab's: {', '.join(new)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
