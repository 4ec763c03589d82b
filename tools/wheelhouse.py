"""Put everything that the set-up installs into a folder, for machines without a network.

    make wheelhouse TO=/media/usb/ftlab            # once, on a machine with a network, like those of the workshop
    make lab WHEELHOUSE=/media/usb/ftlab           # on each of them: nothing is fetched from anywhere else

The folder serves the Python version and the system it was made with; the first line with `PYTHON=python3.12`, after
`make clean`, adds another. Copy the repository beside it.
What has no wheel is built here, so that none is built there.
"""

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tools import setup  # noqa: E402


def commands(folder: Path) -> list[list]:
    """pip's arguments, in the order of the set-up; torch alone brings what it asks for."""
    into = ["--dest", folder]
    return [
        ["download", setup.torch_requirement(), "--constraint", setup.LOCK, *into],
        ["wheel", "--no-deps", "--requirement", setup.LOCK, "--wheel-dir", folder],
        ["download", "--require-hashes", "--no-deps", "--requirement", setup.SMOL, *into],
    ]


def main() -> int:
    if len(sys.argv) != 2 or not sys.argv[1]:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    folder = Path(sys.argv[1]).expanduser().resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for arguments in commands(folder):
        try:
            setup.pip(*arguments)
        except subprocess.CalledProcessError:
            print("wheelhouse: stopped (see above). The same command goes on where it was.", file=sys.stderr)
            return 1
    files = list(folder.iterdir())
    size = sum(path.stat().st_size for path in files) / 2**30
    print(f"{len(files)} files, {size:.1f} GiB in {folder}. There: make lab WHEELHOUSE={folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
