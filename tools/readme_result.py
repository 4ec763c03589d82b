"""Put the result of notebook 00 into the README: its picture and its numbers.

python tools/readme_result.py            # after a build
python tools/readme_result.py --check    # fails when the README shows other numbers than the notebook
"""

import base64
import re
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK, PICTURE = ROOT / "notebooks/00_start_here.ipynb", ROOT / "data/recorded/start_here.png"
CAPTION = re.compile(r"(?<=on 600 others \()[^()]*(?=\)\.)")


def result(notebook: Path = NOTEBOOK) -> tuple[str, bytes]:
    """The numbers that the notebook's headline cell printed, and its figure as PNG."""
    cells = nbformat.read(notebook, as_version=4).cells
    outputs = next(c for c in cells if "headline" in c.metadata.get("tags", [])).outputs
    printed = "".join(o.text for o in outputs if o.output_type == "stream")
    shares = re.findall(r"(\w+): (.*?) (?:\[.*?\] )?of the fields right, (.*?) (?:\[.*?\] )?valid JSON", printed)
    text = ";\n".join(
        f"{name} training {fields} of the fields right and {valid} valid JSON" for name, fields, valid in shares
    )
    png = next(o.data["image/png"] for o in outputs if "image/png" in o.get("data", {}))
    return text, base64.b64decode(png)


def with_result(readme: str, text: str) -> str:
    """The README with the numbers in the caption of its picture."""
    found = CAPTION.findall(readme)
    if len(found) != 1:
        raise SystemExit("README.md: the caption of the picture must say '... on 600 others (numbers).' once.")
    return CAPTION.sub(lambda _: text, readme)


def main() -> int:
    """Write the README and the picture, or compare them."""
    readme = ROOT / "README.md"
    text, png = result()
    wanted = with_result(readme.read_text(), text)
    if "--check" in sys.argv[1:]:
        if wanted != readme.read_text() or not PICTURE.exists() or PICTURE.read_bytes() != png:
            print("README.md: its result is not that of notebook 00. Run: python tools/readme_result.py")
            return 1
        return 0
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    PICTURE.write_bytes(png)
    readme.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
