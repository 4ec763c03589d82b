"""Product facts on `smol`: found by a search, taught by documents or questions, or read by a model that learnt to read.

Nobody has questions to all that the documents tell, so the arms are what people do: retrieval alone; fine-tuned on the
documents as text; on questions to half of the facts; on three questions to every fact that is asked (the drill); on
reading passages of another shop, without and with retrieval. All are asked the same seven kinds of questions. Prompts,
the learning rate of questions and the best search are chosen on validation. 440,000 tokens are trained and about
700,000 read: an hour on one core that multiplies in bf16, two beside other work.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib import metadata
from pathlib import Path

import numpy as np
from record import ROOT, WORK, Point, adapter_of, done, write_results

from ftlab.baselines.prompting import Prompt, input_and_answer, rag_messages
from ftlab.baselines.retrieval import MINILM_PACKAGE, Bm25, Dense, Hit, chunk, hybrid, minilm
from ftlab.evaluation.generation import generate
from ftlab.evaluation.metrics import UNKNOWN, holds, says_unknown, short_answers
from ftlab.evaluation.statistics import compare, score_interval
from ftlab.files import whole_file
from ftlab.kept import kept_answers
from ftlab.training.recipe import load_recipe
from ftlab.training.train import add_adapter, last_checkpoint, load_model, train_model, trainer_arguments

FOLDER, DATA, RECORD = WORK / "facts", ROOT / "data" / "product_facts", ROOT / "data" / "recorded" / "facts"
RECIPE = ROOT / "recipes" / "support_triage_smol.yaml"  # for the settings of its adapter
SEED = 1
NEW_TOKENS, BATCH = 32, 40
PER_KIND, CHOSEN_ON = 40, 60  # test questions of a kind; validation questions that a choice looks at
CLOSED = Prompt("closed book", f'Answer in a few words. If you do not know it, say "{UNKNOWN}"')
INSTRUCTIONS = {
    "short": f'Answer from the context in a few words. If it does not tell, say "{UNKNOWN}"',
    "nothing else": "Answer the question with a word, a name or a number from the context, and write nothing else. "
    f"Where the context does not hold the answer, write: {UNKNOWN}",
    "careful": "You help customers of an online shop. Use only the context, and look whether it is about the very "
    f'thing that is asked. Answer in a few words, or with "{UNKNOWN}"',
}
ASKED = {  # kind: which rows of test.jsonl; half A may be taught by questions, half B is told by documents only
    "taught": lambda row: row["kind"] == "taught" and row["half"] == "A",
    "new_words": lambda row: row["kind"] == "paraphrase" and row["half"] == "A",
    "other_half": lambda row: row["kind"] == "paraphrase" and row["half"] == "B",
    "reversed": lambda row: row["kind"] == "reversed" and row["half"] == "A",
    "two_hop": lambda row: row["kind"] == "two_hop",
    "never_told": lambda row: row["kind"] == "never_told",
}
TRIED = {  # arm: (learning rate, epochs) that validation chooses between; the drill takes what is best for `half`
    "half": ((1e-3, 4), (2e-3, 4)),
    "reading": ((1e-3, 1), (1e-3, 3)),
    "documents": ((1e-3, 8),),
    "drill": (),
}
TOLD = ("taught", "new_words", "other_half")  # what documents tell, asked straight
PUBLISHED = (  # what larger models showed: the second arm is better than the first on these kinds
    ("Retrieval answers more questions than a model trained on the documents as text.",
     "Ovadia et al. 2023, arXiv 2312.05934", "documents", "best_search", TOLD),
    ("Training to read passages, with some that distract, makes retrieval answer more.",
     "Zhang et al. 2024 (RAFT), arXiv 2403.10131", "best_search", "reading_with_search", TOLD),
)  # fmt: skip


def read(name: str) -> list[dict]:
    return [json.loads(line) for line in (DATA / f"{name}.jsonl").read_text().splitlines()]


@cache
def questions() -> dict[str, list[dict]]:
    """Kind -> test rows."""
    rows = read("test")
    kinds = {kind: [row for row in rows if wanted(row)][:PER_KIND] for kind, wanted in ASKED.items()}
    return kinds | {"changed": read("changed")[:PER_KIND]}


@dataclass(frozen=True)
class Search:
    """A way to find passages; after the change a question is searched for in the new documents."""

    now: Callable
    before: Callable

    def __call__(self, row: dict, k: int) -> list[Hit]:
        search = self.now if row["kind"] == "changed" else self.before
        return search(input_and_answer(row)[0], k)


def search_by(name: str) -> Search:
    """BM25, MiniLM or both over the documents as they were and as they are now."""
    documents = read("documents")
    new = {document["id"]: document for document in read("changed_documents")}
    embed = None if name == "bm25" else minilm()

    def index(texts):
        chunks = chunk(texts, sentences=3, overlap=1)
        words = Bm25(chunks).search
        if embed is None:
            return words
        vectors = Dense(chunks, embed).search
        return vectors if name == "minilm" else lambda query, k: hybrid(words(query, 20), vectors(query, 20), k=k)

    return Search(index([new.get(document["id"], document) for document in documents]), index(documents))


def is_right(text: str, row: dict) -> bool:
    """Whether an answer holds the reference, or is silent where nobody told."""
    return bool(short_answers([text], [input_and_answer(row)[1]])[0])


def answers(folder: Path, part: str, rows: Sequence[dict], model, tokenizer, chat: Callable) -> list[str]:
    """The answers to the rows, each asked by `chat(row)`; written, unless they are there."""

    def ask():
        return generate(model, tokenizer, [chat(row) for row in rows], max_new_tokens=NEW_TOKENS, batch_size=BATCH)

    return list(kept_answers(folder / f"{part}.jsonl", rows, ask).texts)


def examine(folder: Path, model, tokenizer, chat: Callable) -> dict:
    """Answers to all test questions, and the share of right ones of each kind."""
    kinds = questions()
    given = {kind: answers(folder, kind, rows, model, tokenizer, chat) for kind, rows in kinds.items()}
    return {kind: float(np.mean(list(map(is_right, given[kind], rows)))) for kind, rows in kinds.items()}


def on_validation(folder: Path, model, tokenizer, chat: Callable, part: str = "validation") -> float:
    """The share of right answers to the validation questions; they are in a random order of kinds."""
    rows = read("validation")[:CHOSEN_ON]
    return float(np.mean(list(map(is_right, answers(folder, part, rows, model, tokenizer, chat), rows))))


def the_recipe(rate: float = 1e-3, epochs: int = 1):
    recipe = load_recipe(RECIPE)
    changes = {"learning_rate": rate, "num_train_epochs": epochs, "train_sampling_strategy": "group_by_length"}
    training = recipe.training.model_copy(update=changes)
    return recipe.model_copy(update={"training": training, "seed": SEED, "seeds": None})


def from_context(prompt: Prompt, search: Search, k: int) -> Callable:
    return lambda row: rag_messages(prompt, input_and_answer(row)[0], search(row, k))


def as_taught(row: dict) -> list[dict]:
    return row["messages"][:-1]


def closed_book(row: dict) -> list[dict]:
    return CLOSED.messages(input_and_answer(row)[0])


def wordings() -> list[Prompt]:
    """Instructions alone, and each with solved examples of another shop: two that are told, or three after an untold.

    One of each was tried before: smol copied the last answer, "I do not know.", for nearly every question.
    """
    rows = sorted(read("reading"), key=lambda row: len(row["messages"][1]["content"]))
    told = [input_and_answer(row) for row in rows if row["kind"] == "taught"][:3]
    untold = next(input_and_answer(row) for row in rows if row["kind"] == "never_told")
    plain = [Prompt(name, text) for name, text in INSTRUCTIONS.items()]
    shown = {"2 examples": told[:2], "4 examples": [untold, *told]}
    return plain + [Prompt(f"{prompt.name}, {name}", prompt.instruction, tuple(shots))
                    for prompt in plain for name, shots in shown.items()]  # fmt: skip


def choose_prompt(folder: Path) -> dict:
    """Every wording with three passages by BM25, on validation."""
    model, tokenizer = load_model(the_recipe())
    search = search_by("bm25")
    tried = {}
    for prompt in wordings():
        chat = from_context(prompt, search, 3)
        tried[prompt.name] = on_validation(folder, model, tokenizer, chat, prompt.name.replace(",", ""))
    return {"tried": tried, "best": max(tried, key=tried.get)}


def best_prompt(shots: bool = True) -> Prompt:
    """The wording that was best on validation; without `shots` the best of those that have none."""
    tried = done(FOLDER / "prompts")["tried"]
    return max((prompt for prompt in wordings() if shots or not prompt.shots), key=lambda prompt: tried[prompt.name])


def retrieve(folder: Path, name: str, k: int) -> dict:
    """The untrained model reads what a search found."""
    model, tokenizer = load_model(the_recipe())
    search, prompt = search_by(name), best_prompt()
    chat = from_context(prompt, search, k)
    asked = [row for kind, rows in questions().items() if kind != "never_told" for row in rows]
    found = [all(any(e in hit.chunk.text for hit in search(row, k)) for e in row["evidence"]) for row in asked]
    validation = on_validation(folder, model, tokenizer, chat)
    test = examine(folder, model, tokenizer, chat)
    return {"validation": validation, "test": test, "found": float(np.mean(found)), "prompt": prompt.name}


def alone(folder: Path) -> dict:
    """The untrained model, asked without anything."""
    model, tokenizer = load_model(the_recipe())
    return {"validation": on_validation(folder, model, tokenizer, closed_book),
            "test": examine(folder, model, tokenizer, closed_book)}  # fmt: skip


def rows_of(arm: str) -> list[dict]:
    """What an arm is trained on."""
    if arm == "documents":
        return read("documents")
    if arm == "reading":
        instruction = {"role": "system", "content": best_prompt(shots=False).instruction}
        return [row | {"messages": [instruction, *row["messages"][1:]]} for row in read("reading")]
    return [row for row in read("train") if arm == "drill" or row["half"] == "A" or row["kind"] == "never_told"]


def asked_as(arm: str) -> Callable:
    """How an arm is asked: as its training rows ask, or with a prompt where they do not ask."""
    if arm == "reading_with_search":
        return from_context(best_prompt(shots=False), search_by("bm25"), 3)
    return as_taught if arm in ("half", "drill") else closed_book


def train(folder: Path, arm: str, rate: float, epochs: int) -> dict:
    """One setting of an arm: the adapter, and how its answers to validation are."""
    recipe, rows = the_recipe(rate, epochs), rows_of(arm)
    model, tokenizer = load_model(recipe)
    if arm == "documents":
        tuned, training = train_on_texts(recipe, model, tokenizer, [row["text"] for row in rows], folder)
    else:
        watched = read("validation")[:16] if arm != "reading" else rows[:16]
        tuned, training = train_model(recipe, model, tokenizer, rows, watched, folder)
    tuned.save_pretrained(folder / "adapter")
    chat = asked_as("reading_with_search" if arm == "reading" else arm)
    validation = on_validation(folder, tuned, tokenizer, chat)
    return {"validation": validation, "rows": len(rows), "learning_rate": rate, "epochs": epochs,
            "training_minutes": training["minutes"], "steps": training["steps"], "log": training["log"]}  # fmt: skip


def train_on_texts(recipe, model, tokenizer, texts: list[str], folder: Path):
    """Plain texts, every token under the loss: what a training on documents is."""
    from unsloth import FastLanguageModel  # noqa: F401, I001  (before trl)
    import torch
    from datasets import Dataset
    from trl import SFTTrainer

    on_gpu = torch.cuda.is_available()
    arguments = trainer_arguments(recipe, len(texts), folder, on_gpu)
    arguments.eval_strategy = "no"
    trainer = SFTTrainer(
        model=add_adapter(recipe.training, model, recipe.seed, on_gpu),
        processing_class=tokenizer,
        train_dataset=Dataset.from_dict({"text": texts}),
        args=arguments,
    )
    checkpoint = last_checkpoint(Path(arguments.output_dir))
    result = trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
    log = [{"step": row["step"], "loss": row["loss"]} for row in trainer.state.log_history if "loss" in row]
    return trainer.model, {"minutes": result.metrics["train_runtime"] / 60, "steps": result.global_step, "log": log}


def setting(arm: str, rate: float, epochs: int) -> str:
    """The name of the point that trains an arm so."""
    return f"{arm}_{rate:g}_{epochs}"


def best_setting(arm: str) -> tuple[float, int]:
    """The setting whose answers to validation were best."""
    return max(TRIED[arm], key=lambda tried: done(FOLDER / setting(arm, *tried))["validation"])


def train_drill(folder: Path) -> dict:
    return train(folder, "drill", *best_setting("half"))


def test(folder: Path, arm: str) -> dict:
    """The best setting of an arm answers the test questions."""
    trained = arm.removesuffix("_with_search")
    point = setting(trained, *best_setting(trained)) if TRIED[trained] else f"{trained}_training"
    tuned, tokenizer = load_model(the_recipe(), adapter_of(FOLDER / point))
    return {"setting": point, "validation": done(FOLDER / point)["validation"],
            "test": examine(folder, tuned, tokenizer, asked_as(arm))}  # fmt: skip


def searches() -> list[str]:
    """The names of the searches that can be made here."""
    try:
        metadata.distribution(MINILM_PACKAGE)
    except metadata.PackageNotFoundError:
        return ["bm25"]
    return ["bm25", "minilm", "both"]


def points() -> list[Point]:
    """What matters most comes first; the searches with MiniLM come where it is installed."""

    def retrieval(name, k):
        return Point(f"{name}_{k}", partial(retrieve, name=name, k=k), ("prompts",))

    found = [Point("prompts", choose_prompt), retrieval("bm25", 3)]
    for arm, tried in TRIED.items():
        names = tuple(setting(arm, *each) for each in tried)
        needs = ("prompts",) if arm == "reading" else ()
        found += [Point(name, partial(train, arm=arm, rate=rate, epochs=epochs), needs)
                  for name, (rate, epochs) in zip(names, tried, strict=True)]  # fmt: skip
        if arm == "drill":
            needs, names = tuple(setting("half", *each) for each in TRIED["half"]), ("drill_training",)
            found.append(Point("drill_training", train_drill, needs))
        tested = (arm, "reading_with_search") if arm == "reading" else (arm,)
        found += [Point(each, partial(test, arm=each), names) for each in reversed(tested)]
    others = [(name, k) for name in searches() for k in (3, 1, 5) if (name, k) != ("bm25", 3)]
    return [*found, Point("base", alone), *(retrieval(name, k) for name, k in others)]


# --- what is shown


def scores(folder: Path) -> dict[str, dict[str, np.ndarray]]:
    """Kind -> measure -> one number a question, from the predictions of an arm."""
    result = {}
    for kind, rows in questions().items():
        texts = [json.loads(line)["prediction"] for line in (folder / f"{kind}.jsonl").read_text().splitlines()]
        references = [input_and_answer(row)[1] for row in rows]
        right = short_answers(texts, references)
        silent = np.array(list(map(says_unknown, texts)), dtype=float)
        result[kind] = {"right": right, "invented": (1 - right) * (1 - silent)}
        if kind == "changed":
            pairs = zip(texts, rows, strict=True)
            result[kind]["old"] = np.array([holds(text, row["old"]) for text, row in pairs], dtype=float)
    return result


def published(arms: dict[str, dict], best_search: str) -> list[dict]:
    """Whether these results agree with what was found on larger models."""
    found = []
    for claim, source, first, second, kinds in PUBLISHED:
        names = [best_search if name == "best_search" else name for name in (first, second)]
        if not set(names) <= set(arms):
            continue
        a, b = (np.concatenate([arms[name][kind]["right"] for kind in kinds]) for name in names)
        found.append({"claim": claim, "source": source, "arms": names, "kinds": kinds} | agreement(compare(a, b)))
    if "half" in arms:  # the reversed questions and the straight ones about the same facts
        straight = {row["facts"][0]: n for n, row in enumerate(questions()["new_words"])}
        pairs = [(n, straight[row["facts"][0]]) for n, row in enumerate(questions()["reversed"])
                 if row["facts"][0] in straight]  # fmt: skip
        here, there = (arms["half"][kind]["right"] for kind in ("reversed", "new_words"))
        outcome = compare(here[[n for n, _ in pairs]], there[[n for _, n in pairs]])
        claim = "Taught in one direction, a fact is not known in the other."
        found.append({"claim": claim, "source": "Berglund et al. 2023, arXiv 2309.12288", "arms": ["half", "half"],
                      "kinds": ["reversed", "new_words"]} | agreement(outcome))  # fmt: skip
    return found


def agreement(outcome) -> dict:
    """A comparison in which the published result lets the second be better."""
    verdicts = {"better": "agrees", "worse": "disagrees"}
    return {"comparison": vars(outcome), "verdict": verdicts.get(outcome.verdict, "no detectable difference")}


def publish() -> None:
    """Write data/recorded/facts/ from the points that are done."""
    known = {point.name: made for point in points() if (made := done(FOLDER / point.name))}
    arms = {name: scores(FOLDER / name) for name, made in known.items() if "test" in made}
    found = [name for name in arms if "found" in known[name]]
    best = max(found, key=lambda name: known[name]["validation"])
    table = {name: {kind: {measure: vars(score_interval(values)) for measure, values in measures.items()}
             for kind, measures in kinds.items()} for name, kinds in arms.items()}  # fmt: skip
    about = {name: {key: made[key] for key in ("validation", "setting", "found", "prompt", "minutes") if key in made}
             for name, made in known.items() if name in arms}  # fmt: skip
    tried = {name: {key: value for key, value in made.items() if key not in ("log", "machine")}
             for name, made in known.items() if name not in arms}  # fmt: skip
    more = {
        "questions": {kind: len(rows) for kind, rows in questions().items()}, "best_search": best,
        "arms": {name: {"about": about[name], "kinds": table[name]} for name in arms},
        "chosen_between": tried, "published": published(arms, best),
    }  # fmt: skip
    for name in arms:
        lines = [line for kind in questions() for line in (FOLDER / name / f"{kind}.jsonl").read_text().splitlines()]
        with whole_file(RECORD / "predictions" / f"{name}.jsonl") as file:
            file.write(("\n".join(lines) + "\n").encode())
    write_results("facts", RECORD, known, [point.name for point in points()], more)
