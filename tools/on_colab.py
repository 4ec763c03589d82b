"""Make the course ready on Colab or Kaggle: `prepare()` is what the first cell of a published notebook calls.

Standard library only: nothing is installed yet. The machine keeps its own torch; requirements/colab.txt has what the
course adds to or changes in what Colab brings (tools/lock_colab.py resolves it).
"""

import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PINS = ROOT / "requirements" / "colab.txt"
SMOL = ROOT / "requirements" / "smol.txt"
DRIVE = Path("/content/drive")
KAGGLE = Path("/kaggle/working")  # what a notebook saves there is kept with its version


def prepare(drive: bool = False) -> None:
    """Install what is missing, go to the folder of the notebooks, say what this machine can run.

    With `drive`, on Colab, what a run writes goes to your Google Drive and outlives the session; so it does where the
    course itself lies on the Drive. A second call installs nothing.
    """
    os.chdir(ROOT / "notebooks")
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    os.environ["PYTHONPATH"] = str(ROOT)
    home, kept = where_runs_go(drive)
    os.environ["FTLAB_HOME"] = str(home)
    if changed := wanting(PINS):
        print(f"installing {len(changed)} packages; torch stays {version('torch')}", flush=True)
        pip("--no-deps", "--requirement", PINS)
    if wanting(SMOL):
        print("installing the model smol (93 MB)", flush=True)
        pip("--require-hashes", "--no-deps", "--requirement", SMOL)
    if old := [name for name in changed if name.replace("-", "_") in sys.modules]:
        print(f"Restart now (menu Runtime, Restart session): {', '.join(old)} was loaded before it was changed.")
        print("Then run this cell again; it installs nothing a second time.")
        return
    subprocess.run([sys.executable, "-m", "ftlab", "doctor"], check=True)
    print(f"what a run writes is {kept}")


def where_runs_go(drive: bool) -> tuple[Path, str]:
    """The folder for what a run writes, and in words how long it stays."""
    if "KAGGLE_KERNEL_RUN_TYPE" in os.environ:
        return KAGGLE / "ftlab", f"in {KAGGLE / 'ftlab'}, which Save Version keeps and the end of the session deletes"
    if DRIVE in ROOT.parents:
        return ROOT / "runs", "on your Drive, beside the course"
    if drive:
        return on_drive(), "on your Drive"
    return ROOT / "runs", "on this machine, which the end of the session deletes: drive=True keeps it"


def wanting(requirements: Path) -> list[str]:
    """The names of those pins that are not installed in just that version."""
    return [name for name, pinned in pins(requirements.read_text(encoding="utf-8")).items() if version(name) != pinned]


def pins(text: str) -> dict[str, str]:
    """{name: version} of the lines name==version, without local versions such as +cu128."""
    found = re.findall(r"^([\w.-]+)==([^\s;+]+)", text, re.MULTILINE)
    return {canonical(name): version for name, version in found}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def pip(*options) -> None:
    """pip install into this very Python; its own message says what went wrong."""
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *map(str, options)], check=True)


def on_drive() -> Path:
    """A folder on the Google Drive of who runs this; Colab asks them for permission."""
    from google.colab import drive

    drive.mount(str(DRIVE))
    return DRIVE / "MyDrive" / "ftlab"
