"""Measure what nano can do on documents that pre-training never saw, and write its card and the probe set.

    python tools/measure_nano.py data/models/nano --json runs/nano/measured.json --card
    python tools/measure_nano.py data/models/nano --work runs/nano --machine "2 CPU cores" --card
    python tools/measure_nano.py --write-probe      # data/probes/general_skills.jsonl
    python tools/measure_nano.py --check-probe      # exit 1 when the file differs from what the tool writes

Held-out means: the sentence patterns and instructions are from the tenth that split "train" leaves out, and
the seeds are from a range of their own. Names and words are from the lists that training used too.
"""

import argparse
import json
import os
import platform
import re
import string
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("FTLAB_PRETRAIN", "1")  # pretrain_nano restarts the process without it
os.environ.setdefault("HF_HUB_OFFLINE", "1")
ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from nano_world.compose import UNKNOWN, Doc, World, inbox, is_heldout, lexicon, prompts  # noqa: E402

from ftlab.errors import DataError, FtlabError, ModelError  # noqa: E402

PROBE = ROOT / "data" / "probes" / "general_skills.jsonl"
CARD = ROOT / "tools" / "nano_card.md"
# training counts up from 0, the tokenizer from 10,000,000
MEASURE_SEEDS, PROBE_SEEDS = 2_000_000_000, 3_000_000_000
SKILLS = ("copy", "reverse", "sort", "sort_numbers", "largest", "smallest", "first", "last", "count", "sum",
          "difference", "repeat_n", "yes_no_mentions")  # fmt: skip
NAMED_TASKS = ("extract", "classify", "classify_described", "json", "qa_context", "polite_reply", *SKILLS)
ENTITIES = re.compile(r"\d+|\b(?:" + "|".join([*(p["name"] for p in lexicon.products), *lexicon.first_names]) + r")\b")


class Exam(World):
    """A held-out world with the number of solved examples and the style of class names fixed."""

    def __init__(self, seed: int, examples: int = 0, style: str | None = None):
        super().__init__(seed, split="heldout")
        self.examples, self.style, self.n_options = examples, style, None

    def shots(self) -> int:
        return self.examples + 1

    def options(self, bank, true, style=None):
        named = super().options(bank, true, style or self.style)
        self.n_options = len(named[0])
        return named


@dataclass(frozen=True)
class Question:
    """A chat without its last answer, the answer, and how often guessing among the options is right."""

    doc: Doc
    chance: float | None = None

    @property
    def prompt(self) -> list[dict]:
        return as_messages(self.doc)[:-1]

    @property
    def answer(self) -> str:
        return self.doc.turns[-1][1]


@dataclass(frozen=True, repr=False)
class Score:
    """One measured rate with its 95 % interval, in fractions of 1; `chance` is what guessing would give."""

    task: str
    metric: str
    value: float
    low: float
    high: float
    n: int
    chance: float | None = None

    def __repr__(self):
        interval = f"{100 * self.value:5.1f} % [{100 * self.low:.0f}, {100 * self.high:.0f}]"
        chance = f", by chance {100 * self.chance:.0f} %" if self.chance else ""
        return f"{self.task:38} {self.metric:22} {interval}, n = {self.n}{chance}"


def as_messages(doc: Doc) -> list[dict]:
    """The turns of a document as chat messages."""
    return [{"role": role, "content": text} for role, text in doc.turns]


# ---- questions ---------------------------------------------------------------------------------------


def classify(seed: int, style: str) -> Question | None:
    """Plain names stand alone; made-up names stand with their description."""
    exam = Exam(seed, style=style)
    doc = exam.classify()
    kind = "classify" if style == "plain" else "classify_described"
    return Question(doc, 1 / exam.n_options) if doc.kind == kind else None


def which_text(seed: int) -> Question:
    """Which of two to four numbered texts a description fits."""
    doc = Exam(seed).which_text()
    return Question(doc, 1 / len(re.findall(r"(?m)^\d\. ", doc.turns[-2][1])))


def json_record(seed: int, examples: int) -> Question | None:
    """A record after `examples` solved ones; None where there are fewer, or the prompt lacks a value.

    With solved examples, three prompts in ten do not list the keys; the examples show them.
    """
    doc = Exam(seed, examples).json_record()
    solved = sum(role == "assistant" for role, _ in doc.turns) - 1
    prompt = "\n".join(text for _, text in doc.turns[:-1])
    values = json.loads(doc.turns[-1][1]).values()
    shown = all(value is None or value in prompt for value in values)
    return Question(doc) if solved == examples and shown else None


def qa_context(seed: int, answerable: bool) -> Question | None:
    """A question about facts in the prompt, which tell the answer or do not."""
    doc = Exam(seed).qa_context()
    return Question(doc) if (doc.turns[-1][1] != UNKNOWN) == answerable else None


def qa_without_context(seed: int) -> Question | None:
    """The last question of an answerable document alone; None where the facts stand in the same turn."""
    full = qa_context(seed, answerable=True)
    if full is None or re.search(r"\. |\n", question := full.doc.turns[-2][1]):
        return None
    return Question(Doc("qa_alone", (("user", question), full.doc.turns[-1])))


def polite_reply(seed: int) -> Question | None:
    """A message whose reference reply takes up something that the customer named."""
    doc = Exam(seed).polite()
    text, reply = doc.turns[-2][1], doc.turns[-1][1]
    return Question(doc) if set(ENTITIES.findall(text)) & set(ENTITIES.findall(reply)) else None


def polite_rewrite(seed: int) -> Question:
    """A rude sentence that pre-training has shown with its polite form, asked for in new words."""
    exam = Exam(seed)
    rude, polite = exam.pick([pair for pair in lexicon.rude_polite if not is_heldout(str(pair))])
    instruction = exam.pattern(prompts.instructions["rewrite_polite"])
    return Question(exam.chat("polite", instruction, [(rude, polite)]))


def skill(seed: int, name: str) -> Question:
    """One general skill on a short list or two numbers."""
    return Question(Exam(seed).skill(name), 0.5 if name == "yes_no_mentions" else None)


TASKS: dict[str, tuple[int, Callable[[int], Question | None]]] = {
    **{f"skill: {name}": (i, lambda seed, name=name: skill(seed, name)) for i, name in enumerate(SKILLS)},
    "extract": (20, lambda seed: Question(Exam(seed).extract())),
    "describe": (23, lambda seed: Question(Exam(seed).describe())),
    "which text": (24, which_text),
    "same topic": (25, lambda seed: Question(Exam(seed).same_topic(), 0.5)),
    "classify, plain names": (21, lambda seed: classify(seed, "plain")),
    "classify, invented names described": (22, lambda seed: classify(seed, "made_up")),
    **{
        f"json, {n}-shot": (30 + n, lambda seed, n=n: json_record(seed, n)) for n in range(7)
    },
    "profile_json": (40, lambda seed: Question(Exam(seed).profile_json())),
    "qa_context, answerable": (50, lambda seed: qa_context(seed, answerable=True)),
    "qa_context, not answerable": (51, lambda seed: qa_context(seed, answerable=False)),
    "answerable questions, text left out": (50, qa_without_context),
    "pairs": (60, lambda seed: Question(World.replies_few_shot_words(Exam(seed)))),
    "polite reply": (61, polite_reply),
}  # fmt: skip
PROBE_TASKS = {
    **{name: (25, lambda seed, name=name: skill(seed, name)) for name in SKILLS[:10]},
    "extract": (50, lambda seed: Question(Exam(seed).extract())),
    "qa_answerable": (50, lambda seed: qa_context(seed, answerable=True)),
    "qa_unknown": (25, lambda seed: qa_context(seed, answerable=False)),
    "polite_rewrite": (25, polite_rewrite),
}


def draw(make: Callable[[int], Question | None], start: int, n: int) -> Iterator[Question]:
    """The first n questions with different prompts, from seed `start` on."""
    seen, seed = set(), start
    while len(seen) < n:
        question = make(seed)
        seed += 1
        if question is not None and question.doc.turns[:-1] not in seen:
            seen.add(question.doc.turns[:-1])
            yield question
        if seed - start > 100_000:
            raise DataError(f"only {len(seen)} of {n} questions from seed {start} on: ask for fewer with --n")


# ---- answers -----------------------------------------------------------------------------------------


def answer(model, tokenizer, questions: list[Question], batch_size: int = 50) -> list[str]:
    """Greedy answers, in batches of like length, padded on the left."""
    import torch
    from pretrain_nano import encode

    prompts = []
    for question in questions:
        ids = tokenizer.apply_chat_template(as_messages(question.doc), return_dict=True)["input_ids"]
        trained = encode(question.doc, tokenizer.backend_tokenizer)[0]
        if ids[: len(trained)] != trained:
            message = "the chat template gives other tokens than pre-training saw; export it again"
            raise ModelError(f"{tokenizer.name_or_path}: {message}")
        prompt = tokenizer.apply_chat_template(question.prompt, add_generation_prompt=True, return_dict=True)
        prompts.append(prompt["input_ids"])
    longest = max(len(tokenizer(question.answer)["input_ids"]) for question in questions) + 10
    answers = [""] * len(prompts)
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        ids = {"input_ids": [prompts[i] for i in rows]}
        batch = tokenizer.pad(ids, padding_side="left", return_tensors="pt")
        with torch.inference_mode():
            out = model.generate(**batch.to(model.device), do_sample=False, max_new_tokens=longest)
        texts = tokenizer.batch_decode(out[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
        for i, text in zip(rows, texts, strict=True):
            answers[i] = text
    return answers


def score(task: str, questions: list[Question], answers: list[str]) -> list[Score]:
    """Exact match of the text; records are compared as values, polite replies by what they name."""
    from ftlab.evaluation.metrics import exact_text, score_records
    from ftlab.evaluation.statistics import interval_of

    references = [question.answer for question in questions]
    if "json" in task:
        scores = score_records(answers, references)
        rates = {"records right": scores.exact_match, "values right": scores.field_accuracy,
                 "valid JSON": scores.valid_json}  # fmt: skip
    elif task == "describe":
        rates = {"names the right class": [same_class(*pair) for pair in zip(answers, references, strict=True)]}
    elif task == "polite reply":
        pairs = zip(questions, answers, strict=True)
        rates = {"names only what was said": [names_only_what_was_said(*pair) for pair in pairs]}
    elif task == "answerable questions, text left out":
        unknown = exact_text(answers, [UNKNOWN] * len(answers))
        rates = {"right": exact_text(answers, references), f'"{UNKNOWN}"': unknown}
    else:
        rates = {"right": exact_text(answers, references)}
    chances = [question.chance for question in questions if question.chance]
    chance = sum(chances) / len(chances) if chances else None
    result = []
    for metric, values in rates.items():
        interval = interval_of(list(values))
        result.append(Score(task, metric, interval.value, interval.low, interval.high, interval.n, chance))
    return result


def same_class(text: str, reference: str) -> float:
    """1 where the text is one of the descriptions of the class that the reference describes."""
    worlds = (inbox.issues, inbox.moods, inbox.when, inbox.wants, lexicon.clinic)
    classes = [entry["descriptions"] for bank in worlds for entry in bank.values()]
    return float(any(text.strip() in words and reference in words for words in classes))


def names_only_what_was_said(question: Question, text: str) -> float:
    """1 where the reply names an item, number or person, and none that the customer did not name."""
    named = set(ENTITIES.findall(text))
    said = set(ENTITIES.findall(question.doc.turns[-2][1]))
    return float(bool(named) and named <= said)


def same_answer(prediction: str, reference: str) -> bool:
    """The comparison meant for the probe set: outer white space, case and a final full stop do not count."""
    return normalised(prediction) == normalised(reference)


def normalised(text: str) -> str:
    return text.strip().casefold().removesuffix(".").rstrip()


def load(folder: Path):
    """The model in fp32 and its tokenizer; ModelError where the folder holds none."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if not (folder / "model.safetensors").exists():
        message = "has no model.safetensors; export one with tools/pretrain_nano.py --export"
        raise ModelError(f"{folder}: {message}")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return model, AutoTokenizer.from_pretrained(folder)


def measure(model, tokenizer, n: int, show: bool = False, only: str = "") -> list[Score]:
    """n questions of every task (whose name contains `only`), answered and scored."""
    scores = []
    for task, (block, make) in TASKS.items():
        if only not in task:
            continue
        questions = list(draw(make, MEASURE_SEEDS + block * 1_000_000, n))
        answers = answer(model, tokenizer, questions)
        new = score(task, questions, answers)
        print(*new, sep="\n", flush=True)
        if show:
            for question, text in list(zip(questions, answers, strict=True))[:3]:
                print(f"    {question.doc.turns[-2][1]!r}\n    -> {text!r}   (right: {question.answer!r})")
        scores += new
    return scores


# ---- card --------------------------------------------------------------------------------------------


def training_record(work: Path, model, machine: str | None, command: str | None) -> dict:
    """What the run folder knows of this model's training: steps, tokens, minutes, end of the curve."""
    import torch

    if not (work / "last.pt").exists():
        raise ModelError(f"{work}: has no last.pt; give the --work folder of tools/pretrain_nano.py")
    saved = torch.load(work / "last.pt", weights_only=False, map_location="cpu")
    state, key = saved["state"], "model.embed_tokens.weight"
    if not torch.equal(saved["model"][key].half(), model.state_dict()[key].half()):
        message = "is another checkpoint than the model; export it again with tools/pretrain_nano.py --export"
        raise ModelError(f"{work / 'last.pt'}: {message}")
    rows = [json.loads(line) for line in (work / "curve.jsonl").read_text().splitlines()]
    last = [row for row in rows if row["step"] <= state["step"]][-1]
    return {
        "steps": state["step"], "tokens": state["tokens"], "documents_drawn": state["documents"],
        "minutes": round(state["seconds"] / 60, 1), "loss": last["loss"],
        "answer_accuracy": last["answer_accuracy"], "machine": machine, "command": command,
    }  # fmt: skip


def recipe_text(record: dict | None) -> str:
    """The training record as a table; says so where there is none."""
    if record is None:
        return "No record of the training (`training.json`) lies beside these weights."
    loss = f"{record['loss']} on average over the last 50 logged steps"
    rows = {
        "command": f"`{record['command']}`" if record["command"] else "not recorded",
        "machine": record["machine"] or "not recorded",
        "optimizer steps": f"{record['steps']:,}",
        "tokens that carried loss": f"{record['tokens']:,}",
        "documents and copying strings drawn, about": f"{record['documents_drawn']:,}",
        "minutes": f"{record['minutes']:,}",
        "training loss, weighted": loss,
        "answer tokens right in training (teacher forcing)": f"{100 * record['answer_accuracy']:.1f} %",
    }
    return "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows.items())])


def score_table(scores: list[Score]) -> str:
    """The measured rates as a Markdown table."""
    lines = ["| task | rate | measured [95 % interval] | n | guessing |", "| --- | --- | --- | --- | --- |"]
    for s in scores:
        chance = f"{100 * s.chance:.0f} %" if s.chance else ""
        measured = f"{100 * s.value:.1f} % [{100 * s.low:.1f}, {100 * s.high:.1f}]"
        lines.append(f"| {s.task} | {s.metric} | {measured} | {s.n} | {chance} |")
    return "\n".join(lines)


def weak_tasks(scores: list[Score]) -> str:
    """The tasks with less than half right, from this measurement."""
    weak = [s for s in scores if s.metric in ("right", "records right") and s.value < 0.5]
    weak = [f"{s.task} ({100 * s.value:.0f} %)" for s in weak if "left out" not in s.task]
    if not weak:
        return "No task above is below one half."
    return f"Right in less than half of the cases: {'; '.join(weak)}."


def architecture_text(model, tokenizer, folder: Path) -> str:
    """Shape of the network and of the tokenizer, read from the loaded model."""
    c = model.config
    tied = "input embeddings used again as" if c.tie_word_embeddings else "with separate"
    rows = {
        "architecture": c.architectures[0],
        "parameters": f"{sum(p.numel() for p in model.parameters()):,}, {tied} output embeddings",
        "layers, width": f"{c.num_hidden_layers}, {c.hidden_size} (feed-forward {c.intermediate_size})",
        "attention": f"{c.num_attention_heads} heads of {c.head_dim}, {c.num_key_value_heads} key-values",
        "positions": f"{c.max_position_embeddings:,} (rotary); training documents end at 1,536 tokens",
        "vocabulary": f"{len(tokenizer):,} tokens: byte-level BPE trained on such texts, each digit a token",
        "special tokens": " ".join(f"`{token}`" for token in tokenizer.all_special_tokens),
        "weights": f"{(folder / 'model.safetensors').stat().st_size / 1e6:.1f} MB, fp16, safetensors",
    }
    return "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows.items())])


def versions() -> dict[str, str]:
    """Versions that a measurement depends on."""
    packages = ("torch", "transformers", "tokenizers")
    return {"python": platform.python_version()} | {name: version(name) for name in packages}


def write_card(folder: Path, model, tokenizer, scores: list[Score]) -> None:
    """Fill tools/nano_card.md with this measurement and write it beside the weights."""
    record = folder / "training.json"
    text = string.Template(CARD.read_text()).substitute(
        architecture=architecture_text(model, tokenizer, folder),
        recipe=recipe_text(json.loads(record.read_text()) if record.exists() else None),
        scores=score_table(scores),
        seen=", ".join(name for name in NAMED_TASKS if not any(map(is_heldout, prompts.instructions[name]))),
        weak=weak_tasks(scores),
        measured=f"{date.today()}, fp32 on {model.device.type}, "
        + ", ".join(f"{name} {number}" for name, number in versions().items()),
    )
    (folder / "README.md").write_text(text)


# ---- probe set ---------------------------------------------------------------------------------------


def probe_lines() -> str:
    """The probe set as JSON lines."""
    rows = []
    for block, (name, (n, make)) in enumerate(PROBE_TASKS.items()):
        for question in draw(make, PROBE_SEEDS + block * 1_000_000, n):
            messages = as_messages(question.doc)
            rows.append({"id": f"general-{len(rows) + 1:04}", "messages": messages, "skill": name})
    return "".join(json.dumps(row) + "\n" for row in rows)


def main(argv: list[str] | None = None) -> int:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("model", nargs="?", type=Path, help="folder of an exported model")
    parser.add_argument("--n", type=int, default=150, help="questions a task")
    parser.add_argument("--only", default="", help="tasks whose name contains this")
    parser.add_argument("--show", action="store_true", help="three answers of every task")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the scores")
    parser.add_argument("--card", action="store_true", help="write README.md beside the weights")
    parser.add_argument("--work", type=Path, help="folder of the training run, for training.json")
    parser.add_argument("--machine", help="what the training ran on, likewise")
    parser.add_argument("--command", help="command of the training, likewise")
    parser.add_argument("--write-probe", action="store_true", help="write data/probes/general_skills.jsonl")
    parser.add_argument("--check-probe", action="store_true", help="exit 1 when that file differs")
    args = parser.parse_args(argv)
    try:
        if args.write_probe:
            PROBE.write_text(probe_lines(), newline="\n")
        elif args.check_probe:
            if not PROBE.exists() or PROBE.read_bytes().decode() != probe_lines():
                print(f"{PROBE} differs: run tools/measure_nano.py --write-probe", file=sys.stderr)
                return 1
        elif args.model is None:
            raise ModelError("no model folder: give one, such as data/models/nano")
        elif args.card and args.only:
            raise ModelError("--card with --only would leave tasks out of the card: drop one of the two")
        else:
            run(args)
    except FtlabError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def run(args) -> None:
    """Measure one model and write what was asked for."""
    model, tokenizer = load(args.model)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
    if args.work:
        record = training_record(args.work, model, args.machine, args.command)
        (args.model / "training.json").write_text(json.dumps(record, indent=1) + "\n")
    start = time.perf_counter()
    scores = measure(model, tokenizer, args.n, args.show, args.only)
    seconds = round(time.perf_counter() - start, 1)
    if args.json:
        result = {"model": str(args.model), "date": str(date.today()), "seconds": seconds,
                  "versions": versions(), "scores": [asdict(s) for s in scores]}  # fmt: skip
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    if args.card:
        write_card(args.model, model, tokenizer, scores)
    print(f"{seconds} s")


if __name__ == "__main__":
    sys.exit(main())
