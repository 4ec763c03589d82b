"""What the command `ftlab` can be asked, and its help; `ftlab.cli` does it: `cmd_NAME` for each command."""

import argparse
import datetime
from pathlib import Path

from ftlab.data.formats import FORMATS
from ftlab.data.targets import TARGETS
from ftlab.hosted.command import add_hosted_arguments

KNOWN_FORMATS, KNOWN_TARGETS = (", ".join(names) for names in (FORMATS, TARGETS))
SOME_GPUS = "such as T4, L4, A100-80GB, H100"  # of data/hardware/gpus.csv
COUNTING = "default: smol where it is installed, else nano"
A_FORMAT = f"of the file, when it cannot be told: {KNOWN_FORMATS}"


def build_parser() -> argparse.ArgumentParser:
    """The parser of every command; each command's help ends with an example."""
    parser = argparse.ArgumentParser(
        prog="ftlab",
        description="Measure, train and judge fine-tuned language models.",
        epilog="Exit code: 0 done, 1 a negative verdict or findings, 2 unusable input.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    doctor = add_command(commands, "doctor", "what this machine has and what will run on it", "ftlab doctor --json")
    doctor.add_argument("--folder", type=Path, default=Path(), help="where free disk is measured (default: here)")

    progress = add_command(commands, "progress", "which exercises are solved, by the saved notebooks", "ftlab progress")
    progress.add_argument("--notebooks", type=Path, metavar="DIR", help="their folder (default: the course's own)")

    add_data_commands(commands)
    add_cost_commands(commands)

    hosted = add_command(
        commands, "hosted", "a fine-tune at a hosted service, from files to verdict; asks before it sends or spends",
        "ftlab hosted prepare train.jsonl --service openai --model gpt-4.1-mini",
    )  # fmt: skip
    add_hosted_arguments(hosted)

    decide = add_command(
        commands, "decide", "prompt, retrieve or fine-tune? ranked advice for one case",
        "ftlab decide recipes/cases/support_triage.yaml",
    )  # fmt: skip
    decide.add_argument("case", type=Path, metavar="CASE.yaml", help="the case: task, wants and what is known")

    run = add_command(
        commands, "run", "train and judge a recipe; a stopped run goes on", "ftlab run recipes/support_triage.yaml"
    )
    run.add_argument("recipe", type=Path, metavar="RECIPE.yaml", help="needs name, model and data")
    run.add_argument("--out", type=Path, metavar="DIR", help="folder for the results (default: under FTLAB_HOME)")
    run.add_argument("--force", action="store_true", help="start anew; what is in the folder goes to old/ there")

    add_project(commands)

    plan = add_command(
        commands, "plan", "how many test cases show a gain? by McNemar's paired test",
        "ftlab plan --gain 0.05 --disagreement 0.10 --power 0.8 --json",
    )  # fmt: skip
    plan.add_argument("--gain", type=float, required=True, metavar="D", help="the smallest gain that matters (0.05)")
    plan.add_argument("--disagreement", type=float, required=True, metavar="P",
                      help="share of cases that exactly one of the two systems gets right (0.10)")  # fmt: skip
    plan.add_argument("--power", type=float, default=0.8, help="the chance to find that gain (default: %(default)s)")
    plan.add_argument("--alpha", type=float, default=0.05, help="the share of false alarms (default: %(default)s)")

    add_compare(commands)
    add_release(commands)
    return parser


def add_project(commands) -> None:
    """project."""
    project = add_command(
        commands, "project", "one file, the whole path: check, split, baselines, training, verdict, what to do next",
        "ftlab project data/other_shapes/library.jsonl --out runs/library",
    )  # fmt: skip
    project.add_argument("file", type=Path, metavar="FILE", help="a row a line, with a question and its answer")
    project.add_argument("--answer", choices=("label", "record", "text", "labels"),
                         help="what an answer is (default: found out, and said)")  # fmt: skip
    project.add_argument("--model", default="smol", metavar="M", help="default: smol")
    project.add_argument("--out", type=Path, metavar="DIR", help="default: project_FILE under FTLAB_HOME")
    project.add_argument("--input", default="", metavar="KEY[,KEY]", help="the field, or fields, that ask")
    project.add_argument("--output", default="", metavar="KEY", help="the field that answers")
    project.add_argument("--group", metavar="KEY", help="rows with the same value stay on one side of the split")
    project.add_argument("--instruction", default="", metavar="TEXT", help="the prompt that training has to beat")
    project.add_argument("--minutes", type=float, default=15, metavar="N",
                         help="on a CPU: rows and steps are cut to fit (default: %(default)s)")  # fmt: skip
    project.add_argument("--calls-per-day", type=float, metavar="N", help="for the costs (default: 100 to 10,000)")
    project.add_argument("--keep-private", action="store_true", help="do not mask keys, cards, mail, phones")
    project.add_argument("--drop", action="store_true", help="leave out unusable rows, however many")


def add_compare(commands) -> None:
    """compare."""
    compare = add_command(
        commands, "compare", "is system B better than system A on the same cases?",
        "ftlab compare prompt.jsonl fine_tuned.jsonl --references test.jsonl --json",
    )  # fmt: skip
    compare.add_argument("a", type=Path, metavar="A.jsonl", help='lines {"id", "prediction"} of the baseline, '
                         "a log of inspect-ai (.eval, .json) or lm-eval (samples_*.jsonl), or a run")  # fmt: skip
    compare.add_argument("b", type=Path, metavar="B.jsonl", help="those of the candidate, or its log")
    compare.add_argument("more", type=Path, nargs="*", metavar="C.jsonl",
                         help="more candidates; Holm's correction keeps down the false alarms of all")  # fmt: skip
    compare.add_argument("--references", type=Path, metavar="R.jsonl",
                         help='lines {"id", "reference"}, or chat rows (default: targets of the log A)')  # fmt: skip
    compare.add_argument("--group", metavar="KEY", help="cases with the same value of this key belong together")
    compare.add_argument("--group-part", metavar="REGEX", help="the part of that value that counts")
    compare.add_argument("--html", type=Path, metavar="PAGE", help="write a page: slices, what flipped, worst cases")
    compare.add_argument("--slice", action="append", default=[], metavar="KEY",
                         help="with --html: judge each value of this key of the references, too")  # fmt: skip
    compare.add_argument("--force", action="store_true", help="with --html: replace PAGE")
    compare.add_argument("--metric", default="exact_match", help="score of a case (default: %(default)s; of records "
                         "also field_accuracy, valid_json; of labels macro_f1, known_label; of texts chrf, rouge_l, "
                         "length_ratio; of logs harness, their own score, or harness:NAME)")  # fmt: skip


def add_release(commands) -> None:
    """release."""
    release = add_command(
        commands, "release", "put a run into service, or the release before it back; alone: check what is in service",
        "ftlab release runs/support_triage --to runs/releases",
    )  # fmt: skip
    release.add_argument("run", type=Path, nargs="?", metavar="RUN", help="folder that `ftlab run` wrote")
    release.add_argument("--to", type=Path, default=Path("runs/releases"), metavar="DIR",
                         help="folder of the releases (default: %(default)s)")  # fmt: skip
    release.add_argument("--rollback", action="store_true", help="put the release before back")
    release.add_argument("--despite", default="", metavar="WHY", help="release what was refused; the reason is kept")


def add_data_commands(commands) -> None:
    """check, split, convert, export."""
    check = add_command(
        commands, "check", "what is wrong in a training file, and a repaired copy",
        "ftlab check tickets.jsonl --against test.jsonl --model nano --fix clean.jsonl",
    )  # fmt: skip
    check.add_argument("file", type=Path, metavar="FILE", help="JSONL, JSON, CSV, Parquet or a saved dataset")
    check.add_argument("--against", type=Path, metavar="EVAL", help="an evaluation file that must not leak into it")
    check.add_argument("--model", metavar="M", help="checks with this model's tokenizer and chat template")
    check.add_argument("--max-length", type=int, metavar="N", help="tokens a row, counted with --model (default: 1024)")
    check.add_argument("--format", metavar="F", help=A_FORMAT)
    check.add_argument("--fix", type=Path, metavar="OUT", help="write a repaired copy and list every change")
    check.add_argument("--keep-private", action="store_true", help="with --fix: do not mask keys, cards, mail, phones")
    check.add_argument("--drop-contradictions", action="store_true",
                       help="with --fix: leave out both rows where answers contradict each other")  # fmt: skip
    check.add_argument("--force", action="store_true", help="with --fix: replace OUT")

    split = add_command(
        commands, "split", "train and test parts that share no group and no near duplicate",
        "ftlab split clean.jsonl --group customer --stratify queue --out parts",
    )  # fmt: skip
    split.add_argument("file", type=Path, metavar="FILE.jsonl", help="chat JSONL; convert other formats first")
    split.add_argument("--out", type=Path, required=True, metavar="DIR")
    split.add_argument("--group", metavar="KEY", help="rows with the same value stay together")
    split.add_argument("--separator", metavar="S", help="a row's groups stand in one string, such as p1+p2")
    split.add_argument("--stratify", metavar="FIELD", help="a key of the row, a field of its JSON answer, or `answer`")
    split.add_argument("--parts", default="train=0.9,test=0.1", help="names and fractions (default: %(default)s)")
    split.add_argument("--seed", type=int, default=0)
    split.add_argument("--force", action="store_true", help="replace the files in DIR")

    convert = add_command(
        commands, "convert", "from one training format to another, without loss or with a reason",
        "ftlab convert alpaca.json --to messages --out chats.jsonl",
    )  # fmt: skip
    convert.add_argument("file", type=Path, metavar="FILE")
    convert.add_argument("--to", required=True, metavar="FORMAT", help=KNOWN_FORMATS)
    convert.add_argument("--format", metavar="F", help=A_FORMAT)
    convert.add_argument("--rename", action="append", default=[], metavar="OLD=NEW",
                         help="read the key OLD of the rows as NEW; may be given again")  # fmt: skip
    convert.add_argument("--out", type=Path, required=True, metavar="OUT.jsonl")
    convert.add_argument("--force", action="store_true", help="replace OUT")

    export = add_command(
        commands, "export", "the files that a service or a trainer takes, checked by its own rules",
        "ftlab export clean.jsonl --to openai --out upload",
    )  # fmt: skip
    export.add_argument("file", type=Path, metavar="FILE", help="rows, or a recipe (RECIPE.yaml) for axolotl, "
                        "llama_factory or trl: its rows, replay mixed in, and its settings")  # fmt: skip
    export.add_argument("--to", required=True, metavar="TARGET", help=f"{KNOWN_TARGETS}; inspect or lm_eval: a test "
                        "set as a task of that harness, whose logs ftlab compare reads")  # fmt: skip
    export.add_argument("--prompt", type=Path, metavar="TEXT", help="with a harness: the system turn of every row")
    export.add_argument("--format", metavar="F", help=A_FORMAT)
    export.add_argument("--out", type=Path, required=True, metavar="DIR")
    export.add_argument("--validation", type=Path, metavar="FILE", help="exported beside it")
    export.add_argument("--model", metavar="M", help="estimate tokens with this model's tokenizer")
    export.add_argument("--recipe", type=Path, metavar="RECIPE.yaml", help="settings for the YAML of a trainer")
    export.add_argument("--drop", action="store_true", help="leave out unreadable and unfit rows, and list them")
    export.add_argument("--bom", action="store_true", help="start with a byte order mark (older Azure)")
    export.add_argument("--force", action="store_true", help="replace the files in DIR")


def add_cost_commands(commands) -> None:
    """cost, memory, fit."""
    cost = add_command(
        commands, "cost", "what each option costs, and after how many calls training pays back",
        "ftlab cost recipes/costs/support_triage_hosted.yaml",
    )  # fmt: skip
    cost.add_argument("scenario", type=Path, metavar="SCENARIO.yaml")
    cost.add_argument("--today", type=datetime.date.fromisoformat, metavar="DATE", help="judge the prices' age then")
    cost.add_argument("--model", metavar="M", help=f"whose tokenizer counts `tokens_from` ({COUNTING})")

    memory = add_command(
        commands, "memory", "does it fit?", "ftlab memory --model unsloth/Qwen3-8B --gpu T4 --json"
    )
    memory.add_argument("--model", required=True, metavar="M", help="hub id of the catalogue, folder or config.json")
    memory.add_argument("--method", default="qlora", help="full, lora, qlora, dpo_lora, ... (default: qlora)")
    memory.add_argument("--batch", type=int, default=2, metavar="B", help="rows at once (default: 2)")
    memory.add_argument("--length", type=int, default=2048, metavar="L", help="tokens a row (default: 2048)")
    memory.add_argument("--rank", type=int, default=16, help="of the adapter (default: 16)")
    memory.add_argument("--trainer", default="unsloth", choices=("unsloth", "plain"),
                        help="whose kernels: Unsloth's, or plain transformers (default: unsloth)")  # fmt: skip
    memory.add_argument("--checkpointing", choices=("off", "on", "unsloth"),
                        help="of gradients (default: unsloth; with a plain trainer: on)")  # fmt: skip
    memory.add_argument("--optimizer", default="adamw_8bit")
    memory.add_argument("--mode", default="train", choices=("train", "eval"))
    memory.add_argument("--gpu", metavar="G", help=f"{SOME_GPUS}; says what would make it fit")
    memory.add_argument("--longest", type=int, metavar="L", help="tokens of your longest row: no shorter length helps")

    fit = add_command(
        commands, "fit", "which models fit a GPU on this data, and how long they take",
        "ftlab fit data/support_triage/train.jsonl --gpu T4",
    )  # fmt: skip
    fit.add_argument("file", type=Path, metavar="FILE.jsonl")
    fit.add_argument("--gpu", required=True, metavar="G", help=SOME_GPUS)
    fit.add_argument("--epochs", type=float, default=3)
    fit.add_argument("--max-length", type=int, metavar="N", help="tokens a row (default: the longest row)")
    fit.add_argument("--model", metavar="M", help=f"whose tokenizer counts ({COUNTING})")


def add_command(commands, name: str, summary: str, example: str) -> argparse.ArgumentParser:
    """A subcommand with --json and an example in its help."""
    command = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    command.set_defaults(command=name)
    return command
