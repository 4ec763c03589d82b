"""Support triage on `smol`: fine-tuned with three seeds and on fewer rows, against prompts and a linear classifier.

The learning rate is chosen on validation tickets, the prompts by a search on 30 of them. The contest is about 300 rows,
with everyday chats between them; one training without these shows what they keep. One training and its answers take 38
minutes on one core that multiplies in bf16; those on more rows, and the prompts' answers to all tickets, make it
six hours on such a core.
"""

import datetime
import json
import shutil
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from record import ROOT, WORK, Point, adapter_of, done

import ftlab.run as runs
from ftlab import hardware
from ftlab.baselines.choice import choose_records, record_candidates
from ftlab.baselines.linear import train_linear
from ftlab.baselines.prompting import Candidate, Prompt, rank_prompts, read_prompts, search_prompts, with_shots
from ftlab.evaluation.metrics import probe_scores, score_records
from ftlab.evaluation.report import Report
from ftlab.evaluation.statistics import Interval, score_interval
from ftlab.files import whole_file
from ftlab.judging import Prompts, judge, searched
from ftlab.kept import kept_answers, sha256_of_weights
from ftlab.training.data import Part, answers_of, read_data
from ftlab.training.recipe import load_recipe
from ftlab.training.train import load_model

RECIPE = ROOT / "recipes" / "support_triage_smol.yaml"
FOLDER, RECORD = WORK / "triage", ROOT / "data" / "recorded" / "triage"
RATES = (1e-3, 2e-3)  # 5e-4 was tried before: far slower on the validation set
SEEDS, ROWS = (1, 2, 3), 300  # of the contest
REPLAYED = 342  # everyday chats at most: one for two tickets, as far as they reach
EPOCHS = {100: 10, 300: 5, 1000: 3, 2000: 3}  # fewer rows more often
ALL = max(EPOCHS)
WATCHED = 100  # validation rows under the loss while it trains
CHOSEN_ON = 200  # validation rows that settings are chosen on
SEARCHED_ON = 30  # validation rows that each prompt is tried on
HELD = 5  # prompts that are tried again, held to the allowed values
PROBE_TOKENS = 24  # of an answer to an everyday question
DRIFTED = 100  # test tickets that are asked once more under each of these system prompts
OTHER_SYSTEMS = {
    "one_word_more": "Please triage the ticket.",
    "a_general_one": "You are a helpful assistant.",
    "a_long_one": "Return a JSON object with the queue, the urgency, the product, the order number, the tone and the "
    "request.",
}
KINDS = ("constrained", "few_shot", "zero_shot")
TESTED = {"test": 300, "hard": 100, "other_shop": 100}  # the first rows: a prompt held to values takes 4 s a ticket
ALL_TESTS = tuple(TESTED)
SHOWN = ("field_accuracy", "exact_match", "valid_json")


# --- the points


def the_recipe(rows: int = ROWS, rate: float = RATES[0], seed: int = SEEDS[0], replay: bool = True):
    """The recipe of the run with so many rows, read so often as these want; with or without everyday chats between."""
    recipe = load_recipe(RECIPE)
    training = recipe.training.model_copy(update={"learning_rate": rate, "num_train_epochs": EPOCHS[rows]})
    if not replay:  # it was quicker, and the search was done so
        training = training.model_copy(update={"train_sampling_strategy": "group_by_length"})
    mixed = {"replay_rows": min(rows // 2, REPLAYED)} if replay else {"replay": None, "replay_rows": None}
    data = recipe.data.model_copy(update={"train_rows": rows} | mixed)
    return recipe.model_copy(update={"training": training, "data": data, "seed": seed, "seeds": None})


def best_rate() -> float:
    """The learning rate whose answers to the validation rows were best."""
    return max(RATES, key=lambda rate: done(FOLDER / f"rate_{rate:g}")["validation"]["field_accuracy"])


def answer(folder: Path, name: str, parts: dict[str, Part], ask, schema) -> dict:
    """A system's answers to each part, kept; how many of the fields, and of the whole records, are right."""
    results = {}
    for part, out in runs.answer_sets(name, parts, ask, folder, runs.say_time).items():
        scores = score_records(out.texts, list(map(json.loads, answers_of(parts[part].rows))), schema=schema)
        results[part] = {metric: float(getattr(scores, metric).mean()) for metric in SHOWN}
    return results


def first(part: Part, n: int) -> Part:
    """The first n rows of a part."""
    return Part(part.path, part.rows[:n], part.lines[:n])


def tickets(recipe):
    """What the recipe names, its test sets cut to what is answered."""
    data = read_data(recipe)
    groups = {part: found[: TESTED[part]] for part, found in data.groups.items() if part in TESTED}
    return replace(
        data,
        tests={part: first(each, TESTED[part]) for part, each in data.tests.items()},
        references={part: found[: TESTED.get(part)] for part, found in data.references.items()},
        groups=data.groups | groups,
    )


def fine_tune(folder: Path, recipe, tests: tuple = ("test",)) -> dict:
    """One training, and its answers to validation and test tickets."""
    data, seed = tickets(recipe), recipe.seed
    watched = replace(data, validation=first(data.validation, WATCHED))
    runs.kept(folder / "training.json", partial(runs.train, recipe, seed, watched, folder, runs.say_time))
    model, tokenizer = load_model(recipe, folder / "adapter")
    parts = {"validation": first(data.validation, CHOSEN_ON)} | {name: data.tests[name] for name in tests}
    results = answer(folder, "fine_tuned", parts, partial(runs.ask, model, tokenizer, runs.asking(recipe)), data.schema)
    return results | {"rows": len(data.train.rows), "replay_rows": len(data.replay.rows), "seed": seed,
                      "learning_rate": recipe.training.learning_rate,
                      "epochs": recipe.training.num_train_epochs}  # fmt: skip


def search_rate(folder: Path, rate: float) -> dict:
    """A training without replay, for the choice of the learning rate."""
    return fine_tune(folder, the_recipe(rate=rate, replay=False), tests=())


def without_replay(folder: Path) -> dict:
    """The search's best training answers all test sets."""
    trained = FOLDER / f"rate_{best_rate():g}"
    shutil.copytree(trained, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("done.json", "lock"))
    return fine_tune(folder, the_recipe(rate=best_rate(), replay=False), ALL_TESTS)


def with_replay(folder: Path, rows: int = ROWS, seed: int = SEEDS[0], tests: tuple = ("test",)) -> dict:
    """One of the contest's trainings."""
    return fine_tune(folder, the_recipe(rows, best_rate(), seed), tests)


def linear(folder: Path) -> dict:
    """Linear classifiers on words, on as many rows as the fine-tunes."""
    results = {}
    for rows in EPOCHS:
        data = tickets(the_recipe(rows))
        model = train_linear(data.train.rows, data.schema)
        parts = data.tests if rows == ROWS else {"test": data.tests["test"]}
        results[str(rows)] = answer(folder / str(rows), "linear", parts, partial(runs.ask_rival, model), data.schema)
    return results


def prompts(folder: Path) -> dict:
    """What smol answers untrained; the prompts that were tried on validation, and the best of each kind.

    Their examples and values come from all solved tickets.
    """
    recipe = the_recipe(ALL)
    data = tickets(recipe)
    model, tokenizer = load_model(recipe)
    ask = partial(runs.ask, model, tokenizer, runs.asking(recipe))
    results = {"base": answer(folder, "base", {"test": data.tests["test"]}, ask, data.schema)}
    tuning, wordings = data.validation.rows[:SEARCHED_ON], read_prompts(recipe.prompts)
    found = search_prompts(
        model, tokenizer, wordings, tuning, data.train.rows, select=("balanced", "similar"), **runs.asking(recipe)
    )
    held = partial(choose_records, model, tokenizer, fields=record_candidates(data.schema, data.train.rows))
    ranked = rank_prompts([candidate.prompt for candidate in found.candidates[:HELD]], tuning, held)
    tried = [(candidate.prompt.kind, candidate) for candidate in found.candidates]
    tried += [("constrained", candidate) for candidate in ranked.candidates]
    best = {kind: found.best(kind) for kind in ("zero_shot", "few_shot")} | {"constrained": ranked.best()}
    tried = [searched(kind, each, ("field_accuracy",)) for kind, each in tried]
    results["tried"] = json.loads(json.dumps(tried, default=asdict))
    return results | {"best": {kind: prompt.name for kind, prompt in best.items()}}


def every_prompt(recipe, data) -> dict[str, Prompt]:
    """Each prompt that the search may try, by its name."""
    wordings = read_prompts(recipe.prompts)
    shown = [with_shots(each, data.train.rows, k, select=how)
             for each in wordings for k in (2, 4) for how in ("balanced", "similar")]  # fmt: skip
    return {prompt.name: prompt for prompt in (*wordings, *shown)}


def strongest(tried: list[dict]) -> str:
    """The kind of prompt that was best on validation."""
    return max(tried, key=lambda each: each["field_accuracy"]["value"])["kind"]


def slices(folder: Path) -> dict:
    """The best prompt of all on the slices."""
    return prompted(folder, strongest(done(FOLDER / "prompts")["tried"]), ("hard", "other_shop"))


def prompted(folder: Path, kind: str, tests: tuple = ("test",)) -> dict:
    """The best prompt of a kind on test tickets."""
    found, recipe = done(FOLDER / "prompts"), the_recipe(ALL)
    data = tickets(recipe)
    model, tokenizer = load_model(recipe)
    prompt = every_prompt(recipe, data)[found["best"][kind]]
    allowed = record_candidates(data.schema, data.train.rows) if kind == "constrained" else None
    parts = {part: data.tests[part] for part in tests}
    ask = partial(runs.ask, model, tokenizer, runs.asking(recipe), prompt=prompt, allowed=allowed)
    return answer(folder, kind, parts, ask, data.schema)


def drift(folder: Path) -> dict:
    """The first seed's training, asked with its system prompt and with others: the same tickets every time."""
    recipe = the_recipe()
    data = tickets(recipe)
    model, tokenizer = load_model(recipe, adapter_of(FOLDER / f"seed_{SEEDS[0]}"))
    asked = first(data.tests["test"], DRIFTED)
    parts = {name: replace(asked, rows=[with_system(row, text) for row in asked.rows])
             for name, text in OTHER_SYSTEMS.items()}  # fmt: skip
    results = answer(folder, "fine_tuned", parts, partial(runs.ask, model, tokenizer, runs.asking(recipe)), data.schema)
    return {"systems": OTHER_SYSTEMS, "tickets": DRIFTED} | results


def with_system(row: dict, text: str) -> dict:
    """The row with another system prompt."""
    return row | {"messages": [{"role": "system", "content": text}, *row["messages"][1:]]}


def probe(folder: Path, after: str | None = None) -> dict:
    """Answers to the everyday questions, before a training (no name) or after that of a point."""
    recipe = the_recipe()
    questions = read_data(recipe).probe
    model, tokenizer = load_model(recipe, adapter_of(FOLDER / after) if after else None)
    ask = partial(runs.ask, model, tokenizer, runs.asking(recipe) | {"max_new_tokens": PROBE_TOKENS})
    runs.ask_probe("fine_tuned" if after else "base", ask, questions, folder, runs.say_time)
    return {"after": after, "questions": len(questions.rows)}


def points() -> list[Point]:
    """The search first; what needs no more than the search beside the trainings."""
    rates = [f"rate_{rate:g}" for rate in RATES]
    seeds = {f"seed_{seed}": partial(with_replay, seed=seed, tests=ALL_TESTS) for seed in SEEDS}
    trained = seeds | {"no_replay": without_replay}
    fewer_and_more = {f"rows_{rows}": partial(with_replay, rows=rows) for rows in (100, 1000, 2000)}
    return [
        *(Point(name, partial(search_rate, rate=rate)) for name, rate in zip(rates, RATES, strict=True)),
        Point("linear", linear),
        Point("prompts", prompts),
        *(Point(kind, partial(prompted, kind=kind), ("prompts",)) for kind in KINDS),
        Point("slices", slices, ("prompts",)),
        Point("probe_before", probe),
        *(Point(name, make, tuple(rates)) for name, make in (trained | fewer_and_more).items()),
        *(Point(f"probe_{name}", partial(probe, after=name), (name,)) for name in trained),
        Point("drift", drift, (f"seed_{SEEDS[0]}",)),
    ]


# --- the record


def publish() -> None:
    """Write data/recorded/triage/: every point, the answers, and the report as a run gives it."""
    made = {point.name: found for point in points() if (found := done(FOLDER / point.name))}
    for name in made:
        keep_answers(name)
    first_training = FOLDER / f"seed_{SEEDS[0]}" / "training.json"
    if first_training.exists():
        shutil.copy(first_training, RECORD / "training.json")
    with whole_file(RECORD / "points.json") as file:
        file.write((json.dumps(made, indent=1) + "\n").encode())
    report_of(made).save(RECORD, force=True)
    (RECORD / "report.html").unlink()  # readers have the notebooks
    for name, found in {"curve": curve(), "replay": by_replay()}.items():
        with whole_file(RECORD / f"{name}.json") as file:
            file.write((json.dumps(found, indent=1) + "\n").encode())


def keep_answers(point: str) -> None:
    """Copy the answers of a point that was made here: `PART.SYSTEM.jsonl`, by point where several share a system.

    Of more than are judged the first are kept, and that share of what they cost.
    """
    for path in sorted((FOLDER / point).rglob("predictions/*.jsonl")):
        part, system = path.name.removesuffix(".jsonl").split(".")
        if system == "fine_tuned" and (trained := point.removeprefix("probe_")) != f"seed_{SEEDS[0]}":
            system = f"fine_tuned.{trained}"
        if system == "linear" and path.parts[-3] != str(ROWS):
            system = f"linear.rows_{path.parts[-3]}"
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        wanted = lines[: TESTED.get(part)]
        cost = {name: value * len(wanted) / len(lines)
                for name, value in json.loads(path.with_suffix(".json").read_text()).items()}  # fmt: skip
        for ending, text in (("jsonl", "".join(wanted)), ("json", json.dumps(cost))):
            with whole_file(RECORD / "predictions" / f"{part}.{system}.{ending}") as file:
                file.write(text.encode())


def kept(part: str, system: str, rows: list[dict]):
    """The recorded answers of a system."""
    return kept_answers(RECORD / "predictions" / f"{part}.{system}.jsonl", rows, None)


def contest(recipe) -> tuple:
    """Rows, replayed rows, learning rate, epochs."""
    data, training = recipe.data, recipe.training
    return data.train_rows, data.replay_rows, training.learning_rate, training.num_train_epochs


def report_of(made: dict) -> Report:
    """The report of the points that are done, judged as `ftlab run` judges, for the seeds that the recipe names."""
    recipe = load_recipe(RECIPE)
    seeds = recipe.all_seeds
    if (told := contest(recipe)) != (recorded := contest(the_recipe(ROWS, best_rate()))):
        raise ValueError(f"{RECIPE}: rows, replayed rows, learning rate, epochs are {told}, recorded {recorded}")
    data = tickets(recipe)
    names = {seed: "fine_tuned" if seed == SEEDS[0] else f"fine_tuned.seed_{seed}" for seed in seeds}

    def answers(system: str) -> dict:
        return {part: kept(part, system, each.rows) for part, each in data.tests.items()
                if (RECORD / "predictions" / f"{part}.{system}.jsonl").exists()}  # fmt: skip

    known, tried = every_prompt(recipe, tickets(the_recipe(ALL))), made["prompts"]["tried"]
    candidates = [(each["kind"], Candidate(known[each["name"]], {"field_accuracy": Interval(**each["field_accuracy"])},
                                           each["tokens_per_call"])) for each in tried]  # fmt: skip
    best = {kind: known[name] for kind, name in made["prompts"]["best"].items() if kind in made}
    systems = {name: answers(name) for name in ("linear", "base", *(kind for kind in reversed(KINDS) if kind in made))}
    before, after = [], {}
    if "probe_before" in made and all(f"probe_seed_{seed}" in made for seed in seeds):
        before = list(kept("probe", "base", data.probe.rows).texts)
        after = {seed: list(kept("probe", name, data.probe.rows).texts) for seed, name in names.items()}
    else:
        data = replace(data, probe=Part(None, [], []))
    report = judge(recipe, data, Prompts(best, candidates, None), systems,
                   {seed: answers(name) for seed, name in names.items()}, (before, after))  # fmt: skip
    return replace(
        report,
        training=json.loads((RECORD / "training.json").read_text()),
        recipe_sha256=recipe.sha256, data_sha256=recipe.data_sha256, model_sha256=sha256_of_weights(recipe.model),
        versions=hardware.versions(), machine=made[f"seed_{seeds[0]}"]["machine"],
        created=max(made[f"seed_{seed}"].get("date", "") for seed in seeds) or datetime.date.today().isoformat(),
    )  # fmt: skip


def curve() -> list[dict]:
    """Fields and whole records right on the test set, by rows and system."""
    test, found = tickets(the_recipe()).tests["test"].rows, []
    right = [json.loads(text) for text in answers_of(test)]
    for rows in sorted(EPOCHS):
        for system in ("linear", "fine_tuned"):
            name = system if rows == ROWS else f"{system}.rows_{rows}"
            if (RECORD / "predictions" / f"test.{name}.jsonl").exists():
                scores = score_records(kept("test", name, test).texts, right)
                rates = {metric: asdict(score_interval(getattr(scores, metric))) for metric in SHOWN[:2]}
                found.append({"rows": rows, "system": system} | rates)
    return found


def by_replay() -> list[dict]:
    """What one training with everyday chats and one without get right: tickets, and everyday questions."""
    data, found = tickets(the_recipe()), []
    right = [json.loads(text) for text in answers_of(data.tests["test"].rows)]
    for replay, name in (("none", "fine_tuned.no_replay"), ("mixed in", "fine_tuned")):
        if (RECORD / "predictions" / f"probe.{name}.jsonl").exists():
            scores = score_records(kept("test", name, data.tests["test"].rows).texts, right)
            probe = probe_scores(list(kept("probe", name, data.probe.rows).texts), data.probe.rows)
            found.append({"replay": replay, "field_accuracy": asdict(score_interval(scores.field_accuracy)),
                          "everyday_questions": asdict(score_interval(probe))})  # fmt: skip
    return found
