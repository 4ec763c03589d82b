"""Time two ways from chat rows to the trainer's rows: TRL's own preparation and `tokenize_for_training`.

    python tools/bench_tokens.py [--repeat 5] [--data data/support_triage/train.jsonl] [--model nano]

Both start from the same rows in memory, in one process, and must give the same result; the time of TRL is its
`_prepare_dataset` alone, without the trainer around it. The two take turns, and each pair gives one ratio, of
seconds that pass (what a person waits; other work on the machine shows in it) and of CPU seconds of all threads.
"""

import argparse
import statistics
import sys
import tempfile
import time
from functools import partial

import ftlab  # noqa: F401  quiets the libraries, before they are imported
from ftlab.checks.tokens import MAX_LENGTH
from ftlab.data.schema import read_chat
from ftlab.errors import FtlabError
from ftlab.models import data_folder, resolve
from ftlab.training.preflight import tokenize_for_training


def main() -> int:
    """Print seconds and ratio of every repetition; exit 1 if the rows differ, 2 for unusable input."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=str(data_folder() / "support_triage" / "train.jsonl"))
    parser.add_argument("--model", default="nano")
    parser.add_argument("--max-length", type=int, default=MAX_LENGTH, help="tokens")
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    try:
        return compare(read_chat(options.data), resolve(options.model), options.max_length, max(options.repeat, 1))
    except FtlabError as error:
        print(error, file=sys.stderr)
        return 2


def compare(rows, model, max_length, repeat) -> int:
    """Run both `repeat` times and print a line a pair; a first pair that is not counted loads what is lazy."""
    from datasets import Dataset, disable_caching, disable_progress_bars
    from transformers import AutoTokenizer

    disable_caching()
    disable_progress_bars()
    tokenizer = AutoTokenizer.from_pretrained(model)
    with tempfile.TemporaryDirectory() as folder:
        prepare = trl_preparation(model, tokenizer, max_length, folder)
        dataset = Dataset.from_list(rows)
        ways = (partial(prepare, dataset), partial(tokenize_for_training, rows, tokenizer, max_length, drop=True))
        theirs, ours = (way() for way in ways)
        if theirs.select_columns(["input_ids", "labels"]).to_list() != ours.to_list():
            print("the two give different rows", file=sys.stderr)
            return 1
        tokens = sum(map(len, ours["input_ids"]))
        print(f"{len(rows):,} rows, max_length {max_length:,}: both make the same {len(ours):,} ({tokens:,} tokens)")
        pairs = [[seconds(way) for way in ways] for _ in range(repeat)]
    for number, ((wall, cpu), (our_wall, our_cpu)) in enumerate(pairs, 1):
        print(f"{number}: TRL {wall:.2f} s ({cpu:.2f} s CPU), ftlab {our_wall:.2f} s ({our_cpu:.2f} s CPU)")
    for index, name in enumerate(("seconds", "CPU seconds")):
        ratios = [theirs[index] / ours[index] for theirs, ours in pairs]
        print(f"ratio of {name}: median {statistics.median(ratios):.1f}, from {min(ratios):.1f} to {max(ratios):.1f}")
    return 0


def trl_preparation(model, tokenizer, max_length, folder):
    """The real trainer's way from a data set of messages to its rows."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM
    from trl import SFTConfig, SFTTrainer

    example = [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}]
    config = SFTConfig(output_dir=folder, report_to="none", use_cpu=True, bf16=False, max_length=max_length,
                       assistant_only_loss=True)  # fmt: skip
    trainer = SFTTrainer(model=AutoModelForCausalLM.from_pretrained(model), args=config,
                         train_dataset=Dataset.from_list(example), processing_class=tokenizer)  # fmt: skip
    return lambda dataset: trainer._prepare_dataset(dataset, tokenizer, config, False, None, "train")


def seconds(way) -> tuple[float, float]:
    """Seconds that pass, and CPU seconds, of one call."""
    start, cpu = time.perf_counter(), time.process_time()
    way()
    return time.perf_counter() - start, time.process_time() - cpu


if __name__ == "__main__":
    sys.exit(main())
