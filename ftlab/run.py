"""One recipe from start to verdict: baselines, training, evaluation, gate. `ftlab run` calls it."""

import datetime
import hashlib
import json
import shutil
import sys
import time
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import ftlab  # first: it quiets the libraries below
from ftlab import hardware
from ftlab.baselines.choice import choose_records, record_candidates
from ftlab.baselines.linear import train_linear
from ftlab.baselines.prompting import Prompt, input_and_answer, rank_prompts, read_prompts, search_prompts
from ftlab.data.schema import read_chat
from ftlab.data.splits import assert_no_leak
from ftlab.errors import DataError, FtlabError, ModelError
from ftlab.evaluation.gate import decide_gate
from ftlab.evaluation.generation import Generations, generate
from ftlab.evaluation.metrics import exact_text, parse_record, read_schema, score_records
from ftlab.evaluation.report import Report, SystemResult, pick_examples
from ftlab.evaluation.statistics import Interval, compare
from ftlab.models import resolve
from ftlab.training.preflight import check_masks
from ftlab.training.recipe import Recipe, load_recipe

WRITTEN = ("report.json", "report.html", "predictions", "adapter", "checkpoints")  # by a run, in its folder


def run_recipe(path: str | Path, out: str | Path | None = None, force: bool = False, progress: bool = True) -> Report:
    """Baselines, training, evaluation on the same cases, gate.

    Writes report.html, report.json, predictions/, adapter/ and checkpoints/ to `out` or FTLAB_HOME/<name> (default
    runs/<name>). What an earlier run left there stops this one; with `force` it is moved to old/ there.
    """
    recipe = load_recipe(path)
    data_sha256 = recipe.data_sha256  # now: a file may change while the run is on
    folder = Path(out or ftlab.home() / recipe.name)
    for old in (folder / name for name in WRITTEN):
        if old.exists() and not force:
            raise FileExistsError(17, "an earlier run's work is there already", str(old))
    folder.mkdir(parents=True, exist_ok=True)

    def say(text):
        if progress:
            print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)

    say(f"reading data and {recipe.model}")
    model_sha256 = sha256_of_weights(recipe.model)  # an unknown model is said before anything takes time
    train = read_chat(recipe.data.train)[: recipe.data.train_rows]
    replay = read_chat(recipe.data.replay) if recipe.data.replay else []
    validation = read_chat(recipe.data.validation)
    tests = {"test": read_chat(recipe.data.test), **{k: read_chat(p) for k, p in recipe.data.slices.items()}}
    probe = read_chat(recipe.evaluation.probe) if recipe.evaluation.probe else []
    for rows in (validation, *tests.values(), probe):
        assert_no_leak(train + replay, rows)
    for rows in tests.values():
        assert_no_leak(validation, rows)
    references = {part: read_references(part, rows) for part, rows in {"validation": validation, **tests}.items()}
    truth = [normalise(answer_of("probe", number, row)) for number, row in enumerate(probe, 1)]
    for part, rows in {"train": train, "replay": replay}.items():
        for number, row in enumerate(rows, 1):
            answer_of(part, number, row)
    schema = read_schema(recipe.data.schema) if recipe.data.schema else None
    with redirect_stdout(sys.stderr):  # Unsloth prints, and stdout is for `ftlab run --json`
        model, tokenizer = load_model(recipe)
    set_aside(folder)
    settings = {
        "max_new_tokens": recipe.evaluation.max_new_tokens,
        "batch_size": recipe.evaluation.batch_size,
        "progress": progress,
    }

    metric, alpha = recipe.bars.metric, recipe.bars.alpha
    tuning = validation[: recipe.evaluation.validation_rows]
    prompts, tried = {}, []  # the best prompt of each kind, and all by their results on the validation set
    if recipe.prompts:
        say("searching the best prompt on the validation set")
        wordings = read_prompts(recipe.prompts)
        search = search_prompts(model, tokenizer, wordings, tuning, train, metric=metric, **settings)
        prompts = {kind: search.best(kind) for kind in ("zero_shot", "few_shot")}
        tried = [(c.prompt.kind, c) for c in search.candidates]
    fields = without_language_model = None
    if schema:
        fields = or_say(say, "no constrained prompt", record_candidates, schema, train) if prompts else None
        without_language_model = or_say(say, "no linear classifier", train_linear, train, schema)

    def choose(prompt, inputs):
        return choose_records(model, tokenizer, prompt, inputs, fields, progress=progress)

    if fields:
        say("every prompt again, held to the allowed values")  # another may be best then
        held = rank_prompts([c.prompt for c in search.candidates], tuning, choose, metric)
        prompts["constrained"] = held.best()
        tried += [("constrained", c) for c in held.candidates]
    baseline = max(tried, key=lambda row: getattr(row[1], metric).value)[0] if tried else "base"

    answers, scores = {}, {}

    def keep(name, part, out):  # answers are written as they come, so that a broken run leaves them
        write_predictions(folder / "predictions" / f"{part}.{name}.jsonl", tests[part], out.texts)
        answers[name, part] = out
        scores[name, part] = score_records(out.texts, references[part], schema=schema)

    def ask(name, part, prompt=None):
        say(f"{name} on {part}")
        inputs = [input_and_answer(row)[0] for row in tests[part]]
        if name == "constrained":
            out = choose(prompt, inputs)
        else:
            chats = [prompt.messages(text) for text in inputs] if prompt else [r["messages"][:-1] for r in tests[part]]
            out = generate(model, tokenizer, chats, **settings)
        keep(name, part, out)

    def ask_probe(name):
        say(f"{name} on the probe")
        texts = probe_answers(model, tokenizer, probe, settings)
        if probe:
            write_predictions(folder / "predictions" / f"probe.{name}.jsonl", probe, texts)
        return texts

    if without_language_model:
        for part, rows in tests.items():
            keep("linear", part, without_language_model.answer([input_and_answer(row)[0] for row in rows]))
    ask("base", "test")
    for name, prompt in prompts.items():
        for part in tests:
            ask(name, part, prompt)
    before = ask_probe("base")

    say("training")
    with redirect_stdout(sys.stderr):
        model, training = train_model(recipe, model, tokenizer, train + replay, validation, folder)
    model.save_pretrained(folder / "adapter")
    tokenizer.save_pretrained(folder / "adapter")
    for part in tests:
        ask("fine_tuned", part)
    after = ask_probe("fine_tuned")

    simpler = ["linear"] if without_language_model else []
    names = [*simpler, "base", *prompts, "fine_tuned"]
    judged = {name: getattr(scores[name, "test"], metric) for name in names}
    comparison = compare(judged[baseline], judged["fine_tuned"], alpha=alpha, metric=metric)
    level = {name: values.mean() for name, values in judged.items()}
    others = [name for name in ("base", *prompts) if name != baseline]
    simpler += [name for name in others if level[name] > level["fine_tuned"]]  # validation had chosen too low
    rivals = {name: compare(judged[name], judged["fine_tuned"], alpha=alpha, metric=metric) for name in simpler}
    probes = {}
    if probe:
        probes["general skills"] = compare(exact_text(before, truth), exact_text(after, truth), alpha=alpha)
    report = Report(
        task=recipe.task,
        n=len(tests["test"]),
        systems={name: system_result(name, prompts.get(name), answers, scores, tests) for name in names},
        baseline=baseline,
        candidate="fine_tuned",
        comparison=comparison,
        gate=decide_gate(comparison, probes, recipe.bars, rivals),
        probes=probes,
        rivals=rivals,
        training=training,
        prompt_search=[
            {
                "name": c.prompt.name,
                "kind": kind,
                "field_accuracy": c.field_accuracy,
                "tokens_per_call": c.tokens_per_call,
            }
            for kind, c in sorted(tried, key=lambda row: -getattr(row[1], metric).value)
        ],
        examples=pick_examples(
            [r.get("id", i) for i, r in enumerate(tests["test"])],
            [input_and_answer(r)[0] for r in tests["test"]],
            references["test"],
            {name: answers[name, "test"].texts for name in names},
            judged[baseline],
            judged["fine_tuned"],
        ),
        recipe_sha256=recipe.sha256,
        data_sha256=data_sha256,
        model_sha256=model_sha256,
        versions=hardware.versions(),
        machine=machine_line(),
        created=datetime.date.today().isoformat(),
    )
    report.save(folder, force=force)
    say(f"written: {folder / 'report.html'} and {folder / 'report.json'}")
    return report


def or_say(say, what: str, make, *arguments):
    """What `make` gives, or None with the reason said, where this task does not allow it."""
    try:
        return make(*arguments)
    except FtlabError as error:
        say(f"{what}: {error}")
        return None


def read_references(part: str, rows: list) -> list[dict]:
    """The JSON object of each row's answer; DataError, before any time is spent, where one is none."""
    records = [parse_record(answer_of(part, number, row)) for number, row in enumerate(rows, 1)]
    for number, (row, record) in enumerate(zip(rows, records, strict=True), 1):
        if not record:
            raise DataError(f"{place_of(part, number, row)}: the answer is no JSON object with fields; correct it")
        if [m["role"] for m in row["messages"] if m["role"] != "system"] != ["user", "assistant"]:
            remedy = "split a longer conversation, or leave it out"
            raise DataError(f"{place_of(part, number, row)}: needs one turn of the user and one answer; {remedy}")
    return records


def answer_of(part: str, number: int, row: dict) -> str:
    """The text of a row's last turn; DataError where it has none (a tool call), or where no user asked."""
    answer = row["messages"][-1].get("content")
    if not any(message["role"] == "user" for message in row["messages"]):
        raise DataError(f"{place_of(part, number, row)}: needs one turn of the user; correct it, or leave it out")
    if not isinstance(answer, str):
        raise DataError(f"{place_of(part, number, row)}: the last turn has no text to compare with; correct it")
    return answer


def place_of(part: str, number: int, row: dict) -> str:
    return f"{part}, row {number} ({row['id']!r})" if "id" in row else f"{part}, row {number}"


def set_aside(folder: Path) -> None:
    """Move what an earlier run left to old/, in place of what was there from the one before it."""
    found = [name for name in WRITTEN if (folder / name).exists()]
    if not found:
        return
    old = folder / "old"
    old.mkdir(exist_ok=True)
    for path in (old / name for name in WRITTEN):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    for name in found:
        (folder / name).rename(old / name)


def sha256_of_weights(model: str) -> str | None:
    """Hash of a model's safetensors; None for one that is not on this disk yet."""
    files = sorted(Path(resolve(model)).glob("*.safetensors"))
    total = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest() if files else None


def load_model(recipe: Recipe):
    """Model and tokenizer of a recipe through Unsloth, in the precision of this machine."""
    import torch
    from unsloth import FastLanguageModel

    dtype = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[hardware.precision()]
    try:
        model, tokenizer = FastLanguageModel.from_pretrained(
            model_name=resolve(recipe.model),
            max_seq_length=max(2048, recipe.training.max_length),
            dtype=dtype,
            load_in_4bit=recipe.training.method == "qlora",
            full_finetuning=recipe.training.method == "full",
        )
    except Exception as error:  # a damaged file of a model shows as nearly anything
        raise ModelError(f"{recipe.model}: cannot be loaded. {type(error).__name__}: {error}") from error
    tokenizer = getattr(tokenizer, "tokenizer", tokenizer)  # a model that sees comes with a processor
    if tokenizer.chat_template is None:
        raise ModelError(f"{recipe.model}: has no chat template, so it cannot be asked; take its instruct model")
    return model, tokenizer


def train_model(recipe: Recipe, model, tokenizer, train: list, validation: list, folder: Path):
    """Train as notebook 06 does; returns the model and what the run was like."""
    from unsloth import FastLanguageModel  # noqa: I001  (before trl)
    from unsloth.chat_templates import train_on_responses_only
    import torch
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    settings, precision = recipe.training, hardware.precision()
    if settings.method != "full":
        model = FastLanguageModel.get_peft_model(
            model,
            r=settings.r,
            lora_alpha=settings.lora_alpha,
            lora_dropout=settings.lora_dropout,
            target_modules=settings.target_modules
            if isinstance(settings.target_modules, str)
            else list(settings.target_modules),
            bias="none",
            use_gradient_checkpointing="unsloth" if precision != "fp32" else False,
            random_state=recipe.seed,
        )

    def as_text(rows):
        # without the new line that some templates end with: TRL would add a second end token after it
        texts = [tokenizer.apply_chat_template(r["messages"], tokenize=False).rstrip() for r in rows]
        return Dataset.from_dict({"text": texts})

    steps = (
        len(train)
        * settings.num_train_epochs
        // (settings.per_device_train_batch_size * settings.gradient_accumulation_steps)
    )
    trainer = SFTTrainer(
        model=model,
        processing_class=tokenizer,
        train_dataset=as_text(train),
        eval_dataset=as_text(validation),
        args=SFTConfig(
            output_dir=str(folder / "checkpoints"),
            dataset_text_field="text",
            max_length=settings.max_length,
            packing=False,
            per_device_train_batch_size=settings.per_device_train_batch_size,
            per_device_eval_batch_size=settings.per_device_train_batch_size,
            gradient_accumulation_steps=settings.gradient_accumulation_steps,
            num_train_epochs=settings.num_train_epochs,
            learning_rate=settings.learning_rate,
            warmup_steps=settings.warmup_steps,
            weight_decay=settings.weight_decay,
            lr_scheduler_type=settings.lr_scheduler_type,
            gradient_checkpointing=precision != "fp32",  # on a GPU: less memory for more time
            optim="adamw_8bit" if torch.cuda.is_available() else "adamw_torch",
            bf16=precision == "bf16",
            fp16=precision == "fp16",
            logging_steps=max(1, int(steps // 50)),
            eval_strategy="steps",
            eval_steps=max(1, int(steps // 6)),
            save_strategy="epoch",
            save_total_limit=1,
            seed=recipe.seed,
            report_to="none",
            disable_tqdm=True,
        ),
    )
    trainer = train_on_responses_only(trainer)
    check_masks(trainer.train_dataset, [r["messages"] for r in train], tokenizer)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    trainer.remove_callback(_printer())
    try:
        result = trainer.train()
    except torch.cuda.OutOfMemoryError as error:
        remedy = "lower per_device_train_batch_size (and raise gradient_accumulation_steps), max_length, or take qlora"
        raise ModelError(f"{recipe.model}: the GPU's memory is full while training; {remedy}") from error
    log = [
        {"step": r["step"], **{k: float(r[k]) for k in ("loss", "eval_loss") if k in r}}
        for r in trainer.state.log_history
        if "loss" in r or "eval_loss" in r
    ]
    return trainer.model, {
        "minutes": result.metrics["train_runtime"] / 60,
        "steps": result.global_step,
        "final_loss": next((r["loss"] for r in reversed(log) if "loss" in r), None),
        "final_eval_loss": next((r["eval_loss"] for r in reversed(log) if "eval_loss" in r), None),
        "log": log,
        "trainable_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "peak_memory_gib": torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else None,
    }


def _printer():
    from transformers.trainer_callback import PrinterCallback

    return PrinterCallback


def normalise(text: str) -> str:
    """A probe's answer without outer spaces, case and a full stop at the end."""
    return text.strip().casefold().removesuffix(".").rstrip()


def probe_answers(model, tokenizer, rows: list, settings: dict) -> list[str]:
    """Normalised answers to the probe."""
    if not rows:
        return []
    answers = generate(model, tokenizer, [r["messages"][:-1] for r in rows], **settings).texts
    return [normalise(a) for a in answers]


def write_predictions(path: Path, rows: list, texts) -> None:
    """JSONL lines {"id", "prediction"}, as `ftlab compare` reads them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        json.dumps({"id": r.get("id", i), "prediction": t}) for i, (r, t) in enumerate(zip(rows, texts, strict=True))
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def system_result(name: str, prompt: Prompt | None, answers: dict, scores: dict, tests: dict) -> SystemResult:
    """One row of the report."""
    out: Generations = answers[name, "test"]
    summary: dict[str, Interval] = scores[name, "test"].summary()
    wording = json.dumps(replace(prompt, pick=None).messages("{text}"), indent=1) if prompt else None
    if prompt and prompt.pick:
        wording += f"\nBefore the last turn: the {prompt.pick.k} solved training rows that are most like it."
    return SystemResult(
        metrics={m: summary[m] for m in ("field_accuracy", "exact_match", "valid_json")},
        fields=scores[name, "test"].field_table(),
        tokens_per_call=out.tokens_per_call,
        seconds_per_call=out.seconds_per_call,
        prompt=wording,
        slices={p: scores[name, p].summary()["field_accuracy"] for p in tests if (name, p) in scores and p != "test"},
    )


def machine_line() -> str:
    """GPU or CPU in one line, without anything personal."""
    machine = hardware.describe()
    return machine.gpu or f"{machine.cpu}, {machine.cores} cores, no GPU"
