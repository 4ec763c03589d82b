"""ftlab: the tested half of the course. Importing it is light (no torch) and quiets the libraries below."""

import logging
import os
import warnings
from pathlib import Path

__version__ = "0.1.0"
__all__ = ["home", "quiet"]

QUIET_ENVIRONMENT = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",  # also "Loading weights"; set it to 0 to watch a download
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",  # otherwise a warning at every fork
    "UNSLOTH_DISABLE_STATISTICS": "1",
    "UNSLOTH_COMPILE_LOCATION": str(Path.home() / ".cache" / "ftlab" / "unsloth"),
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
}


def quiet() -> None:
    """Silence library messages a learner cannot act on; variables that are already set win.

    Runs on `import ftlab`, which must stand before the import of unsloth or transformers: they read the
    variables once. FTLAB_VERBOSE=1 turns all of it off.
    """
    if os.environ.get("FTLAB_VERBOSE") == "1":
        return
    for name, value in QUIET_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # asks for an optional package with faster 4-bit kernels
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    # torch tells libraries that import it to leave TorchScript; nothing a reader of a notebook can do
    warnings.filterwarnings("ignore", message=r"`torch\.jit\.", category=DeprecationWarning)


def home() -> Path:
    """The folder for what runs write: FTLAB_HOME, or runs/ in the root of the repository; made when missing."""
    folder = Path(os.environ.get("FTLAB_HOME") or Path(__file__).resolve().parent.parent / "runs")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


quiet()
