"""Run notebooks in an environment like Colab's, on this machine: python tools/colab_like.py FOLDER [NAME ...]

FOLDER gets env/, made with Colab's Python and its versions (requirements/colab_runtime.txt) of what the course needs
there and of what its libraries change their ways for; and home/ftlab, a clone of the last commit, stamped as
`make publish` does. Then what the first cell of a notebook does: tools/on_colab.py installs what the course adds. The
notebooks that are named (00, 06, 07) are run there as a learner's would be, and the signatures of all calls in the
notebooks are recorded (requirements/colab_signatures.json; tools/signatures.py compares with them). It takes minutes
and 7 GB; what is there is used again. Exit: 0 all ran, 1 one did not.

What is not as on Colab: pip's torch of that version, whose CUDA is another than in Colab's build; no GPU; the packages
that neither the course nor its libraries look at; Ubuntu's own libraries.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from lock_colab import PYTHON, RUNTIME, needed
from on_colab import pins

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ("00", "06", "07")
RECORD = Path("requirements") / "colab_signatures.json"
# what runs a notebook there, and what transformers, accelerate, PEFT, TRL and Unsloth use where it is installed
BESIDE = (
    "torch", "ipykernel", "ipython", "ipywidgets", "jupyter-client", "jupytext", "nbclient", "nbconvert", "tornado",
    "traitlets", "torchao", "torchvision", "torchaudio", "torchcodec", "triton", "diffusers", "sentence-transformers",
    "timm", "tensorboard", "wandb", "gradio", "einops",
    # and what the packages that the course adds ask for, where Colab has it (`pip check` says what is missing)
    "sentencepiece", "wheel", "lxml", "tabulate", "docstring-parser", "typeguard", "truststore",
)  # fmt: skip


def make_environment(folder: Path, python: str) -> Path:
    """An environment with Colab's versions; its Python."""
    inside = folder / "env" / "bin" / "python"
    if (folder / "env" / "made").exists():
        return inside
    runtime = pins(RUNTIME.read_text())
    of_cuda = re.compile("nvidia-|cuda-|libc")  # pip's torch brings those that it was built with
    constraints = folder / "constraints.txt"
    constraints.write_text("".join(f"{n}=={v}\n" for n, v in runtime.items() if not of_cuda.match(n)))
    asked = {re.match(r"[\w.-]+", line)[0] for line in needed()} | set(BESIDE)
    subprocess.run([python, "-m", "venv", folder / "env"], check=True)
    wanted = sorted(name for name in asked if name in runtime)
    subprocess.run([inside, "-m", "pip", "install", "--quiet", "--constraint", constraints, *wanted], check=True)
    (folder / "env" / "made").touch()
    return inside


def make_home(folder: Path) -> Path:
    """A clone of the last commit where a published notebook looks for it."""
    clone = folder / "home" / "ftlab"
    if clone.exists():
        subprocess.run(["git", "-C", clone, "checkout", "--quiet", "."], check=True)
        subprocess.run(["git", "-C", clone, "pull", "--quiet", "--ff-only"], check=True)
    else:
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
    return clone


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where environment and clone go, outside the repository")
    parser.add_argument("names", nargs="*", default=NOTEBOOKS, help="notebooks, by the start of their names")
    parser.add_argument("--python", default=f"python{PYTHON}", help="Colab's Python (default: %(default)s)")
    options = parser.parse_args()
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    python, clone = make_environment(folder, options.python), make_home(folder)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "FTLAB"))}
    environment |= {"HOME": str(folder / "home"), "PYTHONPATH": str(clone), "COLAB_RELEASE_TAG": "like"}
    environment["PATH"] = f"{python.parent}{os.pathsep}{environment['PATH']}"

    def run(*command) -> int:
        return subprocess.run(list(map(str, (python, *command))), cwd=clone, env=environment).returncode

    if run("-c", "import sys; sys.path.insert(0, 'tools'); import on_colab; on_colab.prepare()"):
        return 1
    run("-m", "pip", "check")  # of packages that the course never touches it may complain
    if run("tools/publish.py", "course/ftlab") or run("tools/build_notebooks.py", "--run-all", *options.names):
        return 1
    if run("tools/signatures.py", "--record", RECORD):
        return 1
    shutil.copy(clone / RECORD, ROOT / RECORD)
    return 0


if __name__ == "__main__":
    sys.exit(main())
