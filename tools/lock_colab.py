"""Resolve what the course changes on Colab: python tools/lock_colab.py [--check] [LIST]

LIST is what Colab has, by `pip freeze` (default: requirements/colab_runtime.txt, from the public repository
googlecolab/backend-info). What the course needs is resolved with LIST preferred and torch fixed as it is there; the
packages that must change take the versions of requirements/lock.txt, so that they are those that the tests ran with.
Written is requirements/colab.txt; --check writes nothing and says what moved. Needs uv and a package index.
Exit: 0 done or nothing moved, 1 something moved, 2 it cannot be resolved.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from on_colab import PINS as OUT
from on_colab import canonical, pins

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"
LOCK, RUNTIME = REQUIREMENTS / "lock.txt", REQUIREMENTS / "colab_runtime.txt"
PYTHON, PLATFORM = "3.13", "x86_64-manylinux_2_28"
FIXED = ("torch", "torchvision", "torchaudio", "triton", "numpy", "pandas", "protobuf")  # they stay as Colab has them
NOT_THERE = ("torch", "jupyterlab", "ipywidgets", "jupytext", "nbclient", "nbconvert")  # Colab's own take their place
ALSO = ("torchao>=0.16",)  # Colab brings an older one, and PEFT adds no adapter beside that
TOGETHER = ("transformers", "trl", "peft", "datasets", "accelerate")  # one version everywhere


def needed() -> list[str]:
    """The course's own requirements as they are for Colab."""
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = [canonical(re.match(r"[\w.-]+", line)[0]) for line in wanted]
    locked = pins(LOCK.read_text())
    return [
        f"{name}=={locked[name]}" if name in TOGETHER else line
        for name, line in zip(names, wanted, strict=True)
        if name not in NOT_THERE
    ] + list(ALSO)


def compiled(wanted: list[str], constraints: dict[str, str], preferred: dict[str, str]) -> dict[str, str]:
    """What uv resolves; a version that is preferred stays unless it cannot."""
    with tempfile.TemporaryDirectory() as folder:
        names = ("in.txt", "constraints.txt", "excludes.txt", "overrides.txt", "out.txt")
        given, fixed, excludes, overrides, out = (Path(folder) / name for name in names)
        given.write_text("\n".join(wanted))
        fixed.write_text(lines(constraints))
        out.write_text(lines(preferred))
        for ours, name in ((excludes, "torchao"), (overrides, "pillow")):  # these two are as they come on Colab
            kept = (REQUIREMENTS / ours.name).read_text().splitlines(keepends=True)
            ours.write_text("".join(line for line in kept if not line.startswith(name)))
        options = ["--python-version", PYTHON, "--python-platform", PLATFORM, "--no-annotate", "--no-header", "--quiet"]
        options += ["--excludes", excludes, "--overrides", overrides]
        command = [sys.executable, "-m", "uv", "pip", "compile", given, "--constraint", fixed, "-o", out, *options]
        subprocess.run(list(map(str, command)), check=True)
        return pins(out.read_text())


def lines(versions: dict[str, str]) -> str:
    return "".join(f"{name}=={version}\n" for name, version in sorted(versions.items()))


def changes(runtime: dict[str, str]) -> dict[str, str]:
    """What must be installed over the runtime: name -> version."""
    fixed, locked = {name: runtime[name] for name in FIXED}, pins(LOCK.read_text())
    first = compiled(needed(), fixed, runtime)
    moved = {name for name, version in first.items() if runtime.get(name) != version}
    ours = {name: locked[name] for name in moved if name in locked}
    last = compiled(needed(), fixed | ours, runtime)
    return {name: version for name, version in last.items() if runtime.get(name) != version}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("list", nargs="?", type=Path, default=RUNTIME, metavar="LIST")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where something moved")
    options = parser.parse_args()
    runtime = pins(options.list.read_text())
    try:
        found = changes(runtime)
    except subprocess.CalledProcessError:
        print(f"{options.list}: the course does not resolve over it (uv says why above)", file=sys.stderr)
        return 2
    before = pins(OUT.read_text()) if OUT.exists() else {}
    moved = sorted(name for name in before | found if before.get(name) != found.get(name))
    for name in moved:
        print(f"{name}: {before.get(name, 'not changed')} -> {found.get(name, 'not changed')}")
    if options.check:
        print(f"{len(found)} packages change on Colab, {len(moved)} of them otherwise than {OUT.name} says")
        return 1 if moved else 0
    told = "# What the course adds to or changes in Colab's packages; torch stays. Made by tools/lock_colab.py.\n"
    OUT.write_text(told + lines(found))
    print(f"{OUT.name}: {len(found)} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
