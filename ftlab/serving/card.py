"""A model card made from a run's folder: what it was made of, how it is asked, what it scored, what the gate said."""

import hashlib
import json
from pathlib import Path

from ftlab.errors import DataError
from ftlab.models import CATALOGUE, is_hub_id
from ftlab.training.recipe import RESOLVED

CARD = "README.md"
NEEDED = (RESOLVED, "report.json", "adapter")
SHOWN = ("exact_match", "field_accuracy", "valid_json", "macro_f1", "chrf")


def read_run(run: str | Path) -> tuple[dict, dict]:
    """The report and the recipe of a finished `ftlab run`; DataError names what is missing."""
    import yaml

    run = Path(run)
    if missing := [name for name in NEEDED if not (run / name).exists()]:
        raise DataError(f"{run} is no finished run, missing: {', '.join(missing)}. Give the folder that `ftlab run` "
                        "wrote, after it has ended")  # fmt: skip
    try:
        report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{run / 'report.json'}: cannot be read ({error}); run the recipe again") from error
    return report, yaml.safe_load((run / RESOLVED).read_text(encoding="utf-8"))


def write_card(run: str | Path, out: str | Path | None = None) -> Path:
    """Write the card of a run's adapter beside it, or to `out`; it replaces the empty one that PEFT leaves there."""
    from ftlab.files import whole_file

    out = Path(out or Path(run) / "adapter" / CARD)
    with whole_file(out) as file:
        file.write(model_card(run).encode())
    return out


def model_card(run: str | Path) -> str:
    """The card as Markdown, in the form of the Hugging Face hub."""
    run = Path(run)
    report, recipe = read_run(run)
    tuned, gate = report["systems"]["fine_tuned"], report["gate"]
    data, training, (base, where) = recipe["data"], recipe["training"], _base(recipe["model"])
    adapter = ", ".join(f"{name} {training[name]}" for name in ("r", "lora_alpha", "learning_rate", "num_train_epochs")
                        if training.get(name) is not None)  # fmt: skip
    parts = [f"{part}: {data[part]}" for part in ("train", "replay", "validation", "test") if data.get(part)]
    parts += [f"test set {name}: {path}" for name, path in (data.get("slices") or {}).items()]
    lines = [
        "---", f"base_model: {base}", "library_name: peft", "pipeline_tag: text-generation",
        "tags: [lora, ftlab]", "---", "",
        f"# {recipe['name']}", "", f"Task: {recipe.get('task') or 'not stated'}. Answers are a {report['answer']}.", "",
        "## How it is loaded", "", _loaded(training["method"], base, where), "",
        "## How it is asked", "", *_template(run / "adapter"), "",
        "## What it was made of", "",
        f"- base model: {base}, weights sha256 {report['model_sha256'] or 'not on this disk'}",
        f"- method: {training['method']}; {adapter}; seeds {', '.join(map(str, report['seeds']))}",
        f"- recipe sha256 {report['recipe_sha256']}", f"- data sha256 {report['data_sha256']}",
        *(f"  - {part}" for part in parts),
        f"- {', '.join(f'{name} {version}' for name, version in report['versions'].items())}",
        f"- {report['machine']}, {report['created']}", "",
        "## What it scored", "", f"{report['n']} held-out cases; 95 % intervals.", "",
        *_table(report["systems"]), "",
        *(f"- on {name}: {_rate(rate)}" for name, rate in tuned.get("slices", {}).items()), "",
        f"## The gate: {gate['verdict']}", "", *(f"- {reason}" for reason in gate["reasons"]), "",
        "## Limits", "", "It was judged on these cases and no others. What is not measured above is not known.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _base(model: str) -> tuple[str, str]:
    """The base model's name without a path of this machine, and where a colleague finds it."""
    hub_id = next((each.hub_id for each in CATALOGUE if model in (each.name, each.hub_id)), None)
    if model in ("nano", "smol"):
        return model, f'it comes with the course: `ftlab.models.resolve("{model}")` gives its folder'
    if hub_id or (is_hub_id(model) and not Path(model).is_dir()):
        return hub_id or model, "a model of the Hugging Face hub"
    return Path(model).name, "a folder of your own; the sha256 of its weights stands below"


def _loaded(method: str, base: str, where: str) -> str:
    """How a colleague loads it, on another machine."""
    if method == "full":
        return f"The folder `adapter` holds a whole model, trained from {base} ({where}): load it by itself."
    return (f"Load {base} ({where}), then put the adapter on it: `PeftModel.from_pretrained(model, \"adapter\")`. The "
            "path in `adapter_config.json` (`base_model_name_or_path`) is of the machine that trained it.")  # fmt: skip


def _template(adapter: Path) -> list[str]:
    """Chat template and tokens of the saved tokenizer, by hash and by name."""
    path, config = adapter / "chat_template.jinja", adapter / "tokenizer_config.json"
    if not config.exists():
        return ["No tokenizer was saved with the adapter: take that of the base model."]
    settings = json.loads(config.read_text(encoding="utf-8"))
    text = path.read_text(encoding="utf-8") if path.exists() else settings.get("chat_template") or ""
    digest = hashlib.sha256(text.encode()).hexdigest() if text else "none was saved"
    tokens = ", ".join(f"{name.removesuffix('_token')} `{_content(settings.get(name))}`"
                       for name in ("bos_token", "eos_token", "pad_token"))  # fmt: skip
    return [f"- chat template sha256 {digest}", f"- tokens: {tokens}", "- greedy (temperature 0), thinking off"]


def _content(token) -> str:
    return token["content"] if isinstance(token, dict) else str(token)


def _table(systems: dict) -> list[str]:
    """The systems' rates as a Markdown table."""
    names = [name for name in SHOWN if name in systems["fine_tuned"]]
    rows = [["system", *names], ["---"] * (len(names) + 1)]
    rows += [[name, *(_rate(system[metric]) for metric in names)] for name, system in systems.items()]
    return [f"| {' | '.join(row)} |" for row in rows]


def _rate(rate: dict) -> str:
    return f"{100 * rate['value']:.1f} % [{100 * rate['low']:.1f}, {100 * rate['high']:.1f}]"
