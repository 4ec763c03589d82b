"""A recipe for another trainer: its rows, replay mixed in, and its settings, as the files that the tool itself reads.

What a trainer has no place for (prompts, evaluation, bars) stays in the recipe: judge the trained model here.
"""

from dataclasses import replace
from pathlib import Path

from ftlab.data.export import ExportReport, export
from ftlab.data.findings import Row
from ftlab.errors import RecipeError
from ftlab.models import CATALOGUE, resolve
from ftlab.training.data import Part, read_data, remarks_on
from ftlab.training.recipe import Recipe, load_recipe, settled

# what each tool's files are for `export`; TRL trains on answers alone where they are completions
TOOLS = {"axolotl": "axolotl", "llama_factory": "llama_factory", "trl": "trl_prompt_completion"}
NOT_CARRIED = "prompts, evaluation and bars stay in the recipe: judge the trained model here, by the same test set"


def export_recipe(path: str | Path, to: str, out: str | Path, *, force: bool = False) -> ExportReport:
    """Write data and YAML of a recipe for `to` (a key of TOOLS) into the folder `out`, all or nothing.

    The rows are those that `ftlab run` would train on: `train_rows` of the training file and `replay_rows` of the
    replay; test sets are read only to refuse a leak. RecipeError for a tool that is not known, DataError for rows.
    """
    target = next((name for tool, name in TOOLS.items() if to in (tool, name)), None)
    if target is None:
        raise RecipeError(f"{to}: a recipe is exported to {', '.join(TOOLS)}; choose one of them (--to)")
    recipe, told = load_recipe(path), []
    data = read_data(recipe)
    recipe = settled(recipe, data.kind, len(data.train.rows) + len(data.replay.rows), told.append)
    told += [*remarks_on(data), *left_to_you(recipe), NOT_CARRIED]
    rows, validation = placed(data.train) + placed(data.replay), placed(data.validation)
    report = export(rows, target, out, validation=validation, settings=trainer_settings(recipe), force=force)
    return replace(report, warnings=report.warnings + told)


def trainer_settings(recipe: Recipe) -> dict:
    """The settings of a recipe, as `export` takes them; nano and smol are folders of this machine."""
    hub_ids = {model.name: model.hub_id for model in CATALOGUE if model.hub_id}
    model = resolve(recipe.model) if recipe.model in ("nano", "smol") else hub_ids.get(recipe.model, recipe.model)
    settings = recipe.training.model_dump(exclude={"train_sampling_strategy"})
    return settings | {"base_model": model, "seed": recipe.seed}


def left_to_you(recipe: Recipe):
    """What the files do not say."""
    order = recipe.training.train_sampling_strategy
    if order != "random":
        yield f"train_sampling_strategy {order} is not written: add it to the YAML under the tool's own name for it"
    if recipe.seeds:
        yield f"the YAML trains once, with seed {recipe.seed}: change it there for {len(recipe.seeds) - 1} more"


def placed(part: Part) -> list[Row]:
    """The rows of a part with their places."""
    return [Row(row, str(part.path), line) for row, line in zip(part.rows, part.lines, strict=False)]
