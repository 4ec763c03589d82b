"""What a run keeps in its folder: whose work it is, and each finished piece of it, so that a stopped run goes on."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ftlab.errors import RecipeError
from ftlab.evaluation.generation import Generations
from ftlab.evaluation.metrics import row_id
from ftlab.files import whole_file
from ftlab.models import resolve
from ftlab.training.recipe import RESOLVED, Recipe

RUN = "run.json"  # the settings, data and model whose work lies in the folder
WRITTEN = (RUN, RESOLVED, "report.json", "report.html", "predictions", "search", "adapter", "checkpoints",
           "training.json", "head", "seed_*")  # fmt: skip


def kept(path: Path, make: Callable[[], dict]) -> dict:
    """What `make` gives as JSON; it is called, and its answer written, only where the file is not there yet."""
    if not path.exists():
        text = json.dumps(make(), indent=1)
        with whole_file(path) as file:
            file.write(f"{text}\n".encode())
    return json.loads(path.read_text(encoding="utf-8"))


def kept_answers(path: Path, rows: Sequence[dict], make: Callable[[], Generations], **more) -> Generations:
    """The answers to the rows in a JSONL file; the JSON file beside it says what they cost, and that all are there."""

    def write() -> dict:
        out = make()
        write_predictions(path, rows, out.texts)
        names = ("prompt_tokens", "new_tokens", "seconds", "cut_off")
        return more | {name: getattr(out, name) for name in names}

    cost = kept(path.with_suffix(".json"), write)
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    texts = tuple(json.loads(line)["prediction"] for line in lines)
    return Generations(texts, **{name: value for name, value in cost.items() if name not in more})


def write_predictions(path: Path, rows: Sequence[dict], texts: Sequence[str]) -> None:
    """JSONL lines {"id", "prediction"}, as `ftlab compare` reads them; a row without an id has its number, from 0."""
    lines = [
        json.dumps({"id": row_id(row, index), "prediction": text}) + "\n"
        for index, (row, text) in enumerate(zip(rows, texts, strict=True))
    ]
    with whole_file(path) as file:
        file.write("".join(lines).encode())


# --- whose work it is


def identity(recipe: Recipe, weights: str | None) -> dict:
    """What a run's results follow from: settings, and the hashes of data and weights."""
    return {"recipe": recipe.counted, "data": recipe.file_hashes, "model": weights}


def refuse_other_work(folder: Path, own: dict) -> None:
    """Raise FileExistsError where the folder holds a finished run or work of nobody knows whom.

    RecipeError where it holds unfinished work of another recipe, data or model, with what differs. What is left is an
    unfinished run that may go on.
    """
    found = written(folder)
    if not found:
        return
    if (folder / "report.json") in found or (folder / RUN) not in found:
        raise FileExistsError(17, "an earlier run's work is there already", str(found[-1]))
    other = list(differences(json.loads((folder / RUN).read_text(encoding="utf-8")), own))
    if other:
        raise RecipeError(
            f"{folder} holds the unfinished work of another run: {'; '.join(other)}. Go on with what it had, choose "
            "another folder (--out), or start anew (--force, which sets the old work aside)"
        )


def differences(old, new, at: str = "") -> Iterator[str]:
    """ "recipe.training.r was 8, is 16" for each value that is not the same."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys([*old, *new]):
            yield from differences(old.get(key), new.get(key), f"{at}.{key}".lstrip("."))
    elif old != new:
        hashed = at.startswith(("data", "model"))
        yield f"{at} has changed" if hashed else f"{at} was {json.dumps(old)}, is {json.dumps(new)}"


def written(folder: Path) -> list[Path]:
    """What a run has left in the folder; its report first, its identity last."""
    found = [path for name in reversed(WRITTEN) for path in sorted(folder.glob(name))]
    return sorted(found, key=lambda path: (path.name != "report.json", path.name == RUN))


def set_aside(folder: Path) -> None:
    """Move what an earlier run left to old/, in place of what was there from the one before it."""
    found, old = written(folder), folder / "old"
    if not found:
        return
    old.mkdir(exist_ok=True)
    for path in written(old):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in found:
        path.rename(old / path.name)


def sha256_of_weights(model: str) -> str | None:
    """Hash of a model's safetensors; None for one that is not on this disk yet."""
    files = sorted(Path(resolve(model)).glob("*.safetensors"))
    total = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest() if files else None
