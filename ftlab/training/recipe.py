"""A recipe: one YAML file that says what a run needs, read strictly; `name`, `model` and `data` are enough.

Files named in a recipe are looked for in the current folder first, then in the recipe's own folder, then in
the root of this repository; absolute paths are taken as they are.
"""

import hashlib
import json
import math
import re
import warnings
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BeforeValidator, Field

from ftlab.errors import RecipeError, shown
from ftlab.evaluation.answers import KINDS
from ftlab.evaluation.gate import Bars
from ftlab.models import REPOSITORY
from ftlab.settings import Number, Settings, Text, Whole, fit, read_yaml

LEAST_STEPS, MOST_EPOCHS = 100, 10  # of a small file
ADAPTER_KEYS = ("r", "lora_alpha", "lora_dropout", "target_modules")  # what only lora and qlora have
FILE_KEYS = ("train", "validation", "test", "schema", "replay")  # of the section data
TAKEN = ("test", "validation", "train", "probe")  # names that a slice may not have
RESOLVED = "recipe.yaml"  # of a run, in its folder
# keys that came after the first recorded runs: a value that does what was done before leaves the hash as it was
LATER = {
    ("answer",): (None, "record"),
    ("training", "train_sampling_strategy"): ("random",),
    **dict.fromkeys([("seeds",), ("group",), ("group_part",), ("data", "replay_rows")], (None,)),
}
# schedulers of transformers that need no further arguments
Scheduler = Literal[
    "constant", "constant_with_warmup", "cosine", "cosine_with_restarts", "inverse_sqrt", "linear", "polynomial"
]
Count = Annotated[Whole, Field(ge=1)]


def _layers(value):
    """Different names of layers, or all-linear."""
    if value == "all-linear":
        return value
    names = tuple(value) if isinstance(value, list | tuple) else ()
    if not names or not all(isinstance(name, str) and name for name in names) or len(set(names)) < len(names):
        raise ValueError("no names of layers")
    return names


with warnings.catch_warnings():
    warnings.simplefilter("ignore", UserWarning)  # pydantic's own old method `schema` is not used here

    class DataFiles(Settings):
        """Chat JSONL files; `slices` are further test sets by name, `schema` is the answer's JSON Schema."""

        train: Path = Field(description="the path of the training rows (chat JSONL)")
        validation: Path = Field(description="the path of the validation rows (chat JSONL)")
        test: Path = Field(description="the path of the test rows (chat JSONL)")
        slices: dict[Annotated[str, BeforeValidator(str)], Path] = Field(
            {}, description="one line `name: path` for each further test set (chat JSONL)"
        )
        # for the linear classifier and the answers held to allowed values; without it both are left out
        schema: Path | None = Field(None, description="the path of the answer's JSON Schema, or leave the key out")
        # None: all of them
        train_rows: Count | None = Field(None, description="how many training rows to use, or leave the key out")
        # chats of the old kind, mixed in so that the model keeps what it could do before
        replay: Path | None = Field(
            None, description="the path of rows of general skills to mix in (chat JSONL), or leave the key out"
        )
        # None: all of them
        replay_rows: Count | None = Field(None, description="how many replay rows to use, or leave the key out")


class Training(Settings):
    """Settings by the names of PEFT and TRL; those of the adapter are None when `method` is "full"."""

    # qlora saves memory on a GPU and costs time; full needs far more memory and forgets more
    method: Literal["lora", "qlora", "full"] = "lora"
    # filled in by `load_recipe`, see LEARNING_RATES and SMALL_MODELS
    learning_rate: Number | None = Field(
        None, gt=0, le=1, description="a number above 0 and at most 1 (LoRA on a 1B-8B model: 1e-4 to 2e-4)"
    )
    # with more, a few thousand rows are learnt by heart; left out, a small file is read more often (`settled`)
    num_train_epochs: Number = Field(3, gt=0, le=10**4, description="how often to go through the data (1 to 3)")
    # 2 x 8 is 16 rows a step, which fit a small GPU
    per_device_train_batch_size: Count = Field(2, description="the rows of one step on one device, a whole number")
    gradient_accumulation_steps: Count = Field(8, description="the batches added up before each step (1 for none)")
    # a short start from small steps keeps the first batches from doing harm
    warmup_steps: Number = Field(
        0.05, ge=0, le=10**9, description="a fraction of all steps below 1 (0.05), or a whole number of steps"
    )
    weight_decay: Number = Field(0.01, ge=0, le=1, description="a number from 0 to 1 (0.01)")
    lr_scheduler_type: Scheduler = "cosine"
    # group_by_length: rows of like length share a batch, so that less of it is filling
    train_sampling_strategy: Literal["random", "group_by_length"] = "random"
    # a longer row stops the run before it begins
    max_length: Count = Field(2048, description="the longest row to train on, in tokens, a whole number")
    # 8 to 64 differ little; alpha = 2 r is the usual scale; dropout 0 is what Unsloth has a fast path for
    r: Count | None = Field(16, description="the rank of the adapter (16)")
    lora_alpha: Count | None = Field(32, description="the scale of the adapter (r or 2·r), a whole number")
    lora_dropout: Number | None = Field(0, ge=0, lt=1, description="a number from 0 to below 1 (0)")
    # every linear layer: Hu et al. took two, later work (QLoRA, Dettmers et al. 2023) needs all to equal full training
    target_modules: Annotated[tuple | str | None, BeforeValidator(_layers)] = Field(
        "all-linear", description="a list of different layer names ([q_proj, v_proj]) or all-linear"
    )


class Evaluation(Settings):
    """How answers are generated; `probe` is a file of what the model must not lose."""

    # a small record; a longer answer is cut off, and a cut record is no JSON
    max_new_tokens: Count = Field(128, description="the longest answer in tokens, a whole number")
    # changes the answers of a 16-bit model a little: keep it fixed
    batch_size: Count = Field(16, description="how many answers to generate at a time, a whole number")
    # without one nothing is known about what was lost, and the verdict says so
    probe: Path | None = Field(None, description="the path of the probe's rows (JSONL), or leave the key out")
    # None: the prompt search uses all
    validation_rows: Count | None = Field(None, description="how many validation rows to use, or leave the key out")


class Recipe(Settings):
    """One run: model, data, training, evaluation, and the bars that were written down before it."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\z",
        description="a short name that may be a folder: letters, digits, dot, dash, underscore",
    )
    model: Text = Field(description="nano, a hub id (owner/name) or a model folder")
    data: DataFiles
    # filled in by `load_recipe`: the name
    task: Text | None = Field(None, description="in a few words what the model has to do")
    # filled in from the answers of validation and test
    answer: Literal["record", "label", "labels", "text"] | None = Field(
        None, description="one of record, label, labels, text, or leave the key out"
    )
    # of shuffling and adapter; any number will do
    seed: Whole = Field(3407, description="the seed of all that is random, a whole number")
    # each trains once, and the report is on their mean; one training may be luck
    seeds: tuple[Whole, ...] | None = Field(
        None, min_length=1, description="a list of different whole numbers ([1, 2, 3]), or leave the key out"
    )
    # rows that belong together (of one customer, one document) are no independent examples
    group: Text | None = Field(None, description="the key of the rows that names their group, or leave it out")
    # None: all of it
    group_part: Text | None = Field(None, description="a regular expression for the part of the key that counts")
    # wordings that the baseline may choose from; without them the model is asked as the rows ask
    prompts: Path | None = Field(None, description="the path of a YAML file of prompt wordings, or leave the key out")
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    bars: Bars = Bars()

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """One training for each; the first is `seed`."""
        return self.seeds or (self.seed,)

    @property
    def files(self) -> dict[str, Path]:
        """Every file that the recipe names, by its key."""
        files = {f"data.{key}": getattr(self.data, key) for key in FILE_KEYS}
        files |= {f"data.slices.{name}": path for name, path in self.data.slices.items()}
        files |= {"prompts": self.prompts, "evaluation.probe": self.evaluation.probe}
        return {key: path for key, path in files.items() if path is not None}

    @property
    def counted(self) -> dict:
        """The settings that the hash counts, as plain JSON: no comments, layout or folders; and LATER ones if set."""
        settings = json.loads(json.dumps(self.model_dump(), default=lambda path: path.name))
        for (*sections, key), unset in LATER.items():
            section = settings
            for name in sections:
                section = section[name]
            if section[key] in unset:
                del section[key]
        return settings

    @property
    def sha256(self) -> str:
        """Hash of the resolved settings: comments, layout and folders do not count, file names do."""
        return hashlib.sha256(json.dumps(self.counted, sort_keys=True).encode()).hexdigest()

    @property
    def file_hashes(self) -> dict[str, str]:
        """The hash of the bytes of every file that the recipe names (data, schema, prompts, probe), by its key."""
        hashes = {}
        for key, path in sorted(self.files.items()):
            with path.open("rb") as file:
                hashes[key] = hashlib.file_digest(file, "sha256").hexdigest()
        return hashes

    @property
    def data_sha256(self) -> str:
        """One hash of them all."""
        lines = [f"{key} {value}\n" for key, value in self.file_hashes.items()]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def to_yaml(self, named=lambda path: str(path.resolve())) -> str:
        """The resolved recipe with every default written out; `named` says how a file is written."""
        plain = json.loads(json.dumps(self.model_dump(exclude_none=True), default=named))
        if self.seeds:
            del plain["seed"]
        return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)

    def __repr__(self):
        return self.to_yaml(lambda path: path.name)

    __str__ = __repr__


# a LoRA takes about ten times what training every weight does, and the smaller the model, the more
LEARNING_RATES = {"full": 2e-5, "lora": 2e-4, "qlora": 2e-4}
SMALL_MODELS = {"nano": 4e-3, "smol": 2e-3}  # with a LoRA, by their validation sets


def load_recipe(path: str | Path) -> Recipe:
    """Read a recipe; one RecipeError lists everything wrong in it, each with file, line, key and remedy."""
    path = Path(path)
    content, place = read_yaml(path, Recipe, "recipe")
    problems = [*_find_files(content, path.parent), *_check_together(content)]
    recipe, unfit = fit(content, Recipe)
    place.raise_problems(problems + unfit)
    training = recipe.training
    changes = {key: None for key in ADAPTER_KEYS if training.method == "full"}
    if training.learning_rate is None:
        small = SMALL_MODELS.get(recipe.model) if training.method != "full" else None
        changes["learning_rate"] = small or LEARNING_RATES[training.method]
    seeds = recipe.seeds if recipe.seeds and recipe.seeds[1:] else None
    return recipe.model_copy(
        update={
            "task": recipe.task or recipe.name,
            "training": training.model_copy(update=changes),
            "seed": recipe.all_seeds[0],
            "seeds": seeds,
        }
    )


def settled(recipe: Recipe, kind: str, rows: int, say=lambda text: None) -> Recipe:
    """The recipe with what follows from its data where it was left out; what was chosen is said.

    `kind` is that of the answers. Fewer than 100 steps over `rows` are too few to learn a form of answer, so a small
    file is read up to 10 times, and where steps stay fewer, that is said. RecipeError where the bars name a metric that
    such answers do not have.
    """
    bars, training, metrics = recipe.bars, recipe.training, KINDS[kind]
    if recipe.answer is None:
        say(f"The answers are of the kind {kind} (`answer: {kind}` or another says so for good).")
    if "metric" not in bars.model_fields_set:
        bars = bars.model_copy(update={"metric": metrics[0]})
    if bars.metric not in metrics:
        known = ", ".join(metrics)
        raise RecipeError(f"bars.metric: is {bars.metric}, which answers of the kind {kind} lack; write one of {known}")
    if recipe.data.replay and training.train_sampling_strategy == "group_by_length":
        say("group_by_length makes batches of training rows alone and of replay rows alone, where the two differ in "
            "length, and training suffers; train_sampling_strategy: random mixes them.")  # fmt: skip
    batch = training.per_device_train_batch_size * training.gradient_accumulation_steps
    a_reading = math.ceil(rows / batch)
    epochs = min(MOST_EPOCHS, math.ceil(LEAST_STEPS / a_reading))
    if "num_train_epochs" not in training.model_fields_set and epochs > training.num_train_epochs:
        training = training.model_copy(update={"num_train_epochs": float(epochs)})
        say(f"{rows:,} rows are few: num_train_epochs was left out and is {epochs}.")
    if (steps := math.ceil(a_reading * training.num_train_epochs)) < LEAST_STEPS:
        say(f"Training is only {steps} steps of {batch} rows, and fewer than {LEAST_STEPS} seldom teach a form of "
            "answer: lower gradient_accumulation_steps, or raise num_train_epochs.")  # fmt: skip
    return recipe.model_copy(update={"answer": kind, "bars": bars, "training": training})


def _section(content, *keys) -> dict:
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    return content if isinstance(content, dict) else {}


def _check_together(content):
    """(key path, problem) for rules over more than one key, and those that a field cannot say."""
    training = _section(content, "training")
    if training.get("method") == "full":
        for key in ADAPTER_KEYS:
            if training.get(key) is not None:
                yield ("training", key), "has no effect with method full, which trains every weight; delete it"
    warmup = training.get("warmup_steps")
    if isinstance(warmup, float) and warmup > 1 and warmup != round(warmup):
        remedy = Training.model_fields["warmup_steps"].description
        yield ("training", "warmup_steps"), f"is {shown(warmup)}; write {remedy}"
    seeds = content.get("seeds")
    if seeds is not None and content.get("seed") is not None:
        yield ("seeds",), "and seed both stand there; keep one of them"
    if isinstance(seeds, list) and len(set(map(str, seeds))) < len(seeds):
        yield ("seeds",), "names a seed twice; write different ones"
    if (part := content.get("group_part")) is not None:
        if content.get("group") is None:
            yield ("group_part",), "has no effect without group; name the key of the rows there"
        try:
            re.compile(str(part))
        except re.error as error:
            yield ("group_part",), f"is no regular expression ({error}); correct it"
    for name in map(str, _section(content, "data", "slices")):
        if name in TAKEN or not name or not set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-"):
            remedy = f"write small letters, digits, dot, dash, underscore; {', '.join(TAKEN)} are taken"
            yield ("data", "slices", name), f"no name for a further test set; {remedy}"


def _find_files(content, folder):
    """Put the path found in place of every file name; (key path, problem) where there is no file, or one twice."""
    seen = {}
    data = _section(content, "data")
    slices = _section(data, "slices")
    sections = [(("data",), data, FILE_KEYS), (("data", "slices"), slices, tuple(slices)), ((), content, ("prompts",)),
                (("evaluation",), _section(content, "evaluation"), ("probe",))]  # fmt: skip
    for at, section, keys in sections:
        for key in keys:
            if not isinstance(name := section.get(key), str):
                continue
            section[key], problem = _find(name, folder)
            where = (*at, str(key))
            first = seen.setdefault(section[key].resolve(), where) if "data" in at and key != "schema" else where
            if problem or first != where:
                yield where, problem or f"is the same file as {'.'.join(first)}; name a file with other rows"


def _find(name, folder) -> tuple[Path, str]:
    """The file and an empty text, or the name as a path and what to do."""
    tried = dict.fromkeys(base.resolve() for base in (Path.cwd(), folder, REPOSITORY))
    found = next((base / name for base in tried if (base / name).exists()), None)
    if found is None:
        return Path(name), f"{name} does not exist; correct the path (looked in {', '.join(map(str, tried))})"
    return found, "" if found.is_file() else f"{name or found} is a folder; name one file"
