"""Record what datatrove's MinHash finds in the dirty export, beside `ftlab.data.similar`.

    pip install --no-deps --target FOLDER datatrove==0.10.1 humanize loguru orjson
    PYTHONPATH=.:FOLDER python tools/compare_datatrove.py

datatrove is no dependency of the course. Its four stages run on its local executor, the first over two shards of the
file; what they share lies on disk, so that on a cluster each stage is a set of independent jobs. Both are given the
same shingles (words and pairs of words), so that only the search differs; a second run takes datatrove's own, five
words in a row. Writes data/recorded/datatrove/results.json.
"""

import json
import platform
import sys
import tempfile
import time
from collections import defaultdict
from datetime import date
from importlib.metadata import version
from itertools import combinations
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from datatrove.executor import LocalPipelineExecutor  # noqa: E402
from datatrove.pipeline.dedup import (  # noqa: E402
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.dedup.minhash import MinhashConfig  # noqa: E402
from datatrove.pipeline.readers import JsonlReader  # noqa: E402
from datatrove.pipeline.writers import JsonlWriter  # noqa: E402
from datatrove.utils.hashing import HashConfig  # noqa: E402
from datatrove.utils.text import TextNormConfig  # noqa: E402
from datatrove.utils.word_tokenizers import WordTokenizer  # noqa: E402

from ftlab.data.formats import read  # noqa: E402
from ftlab.data.similar import clusters, exchange, jaccard, normalise, shingles, split_words  # noqa: E402

EXPORT = ROOT / "data/support_triage/raw/dirty.jsonl"
RECORD = ROOT / "data/recorded/datatrove/results.json"
BUCKETS, HASHES = 25, 8  # a pair at 0.8 shares a bucket in 99 of 100 cases: 1 - (1 - 0.8 ** 8) ** 25
AS_IT_IS = TextNormConfig(False, False, False, False, False)  # normalised before


class Words(WordTokenizer):
    """Our words, or our shingles, as the words of datatrove."""

    def __init__(self, split):
        self.split = split

    def word_tokenize(self, text):
        return list(self.split(text))

    def sent_tokenize(self, text):
        raise NotImplementedError

    span_tokenize = sent_tokenize


def datatrove_clusters(texts: list[str], split, n_grams: int) -> list[set[int]]:
    """Groups of places that datatrove takes for near duplicates."""
    config = MinhashConfig(n_grams, BUCKETS, HASHES, norm_config=AS_IT_IS, hash_config=HashConfig(hash_fc="sha1"))
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "in").mkdir()
        for shard in range(2):
            mine = [(i, text) for i, text in enumerate(texts) if i % 2 == shard and text]
            lines = [json.dumps({"id": str(i), "text": text}) for i, text in mine]
            (folder / "in" / f"{shard}.jsonl").write_text("\n".join(lines) + "\n")
        reader = JsonlReader(str(folder / "in"))
        signature = MinhashDedupSignature(str(folder / "signatures"), config, language=Words(split))
        buckets = MinhashDedupBuckets(str(folder / "signatures"), str(folder / "buckets"), config=config)
        cluster = MinhashDedupCluster(str(folder / "buckets"), str(folder / "remove"), config, save_cluster_id=True)
        out = JsonlWriter(str(folder / "kept"), compression=None)
        dropped = JsonlWriter(str(folder / "dropped"), compression=None)
        keep = MinhashDedupFilter(str(folder / "remove"), exclusion_writer=dropped, load_cluster_ids=True)
        for tasks, steps in ((2, [reader, signature]), (BUCKETS, [buckets]), (1, [cluster]), (2, [reader, keep, out])):
            log = str(folder / f"log{len(steps)}_{tasks}")
            LocalPipelineExecutor(steps, tasks=tasks, workers=1, logging_dir=log).run()
        groups = defaultdict(set)
        for path in [*(folder / "kept").glob("*.jsonl"), *(folder / "dropped").rglob("*.jsonl")]:
            for line in path.read_text().splitlines():
                row = json.loads(line)
                group = row.get("metadata", {}).get("minhash_cluster_id", -1)
                if group != -1:
                    groups[group].add(int(row["id"]))
    return [group for group in groups.values() if len(group) > 1]


def pairs(groups) -> set[tuple[int, int]]:
    return {pair for group in groups for pair in combinations(sorted(group), 2)}


def main() -> int:
    rows = read(EXPORT).rows
    chats = [exchange(row.data) for row in rows]
    texts = [chat.text or normalise(chat.answer, fold_case=False) for chat in chats]
    place = {id(row): index for index, row in enumerate(rows)}
    start = time.perf_counter()
    ours = [{place[id(row)] for row in group} for group in clusters(rows)]
    seconds = {"ftlab": time.perf_counter() - start}
    sets = [shingles(text) for text in texts]
    found = {}
    runs = {"same_shingles": (lambda text: sorted(shingles(text)), 1), "five_words": (split_words, 5)}
    for name, (split, n_grams) in runs.items():
        start = time.perf_counter()
        theirs = datatrove_clusters(texts, split, n_grams)
        seconds[name] = time.perf_counter() - start
        more, fewer = pairs(theirs) - pairs(ours), pairs(ours) - pairs(theirs)
        found[name] = {
            "clusters": len(theirs),
            "rows_in_clusters": sum(map(len, theirs)),
            "same_clusters": len({frozenset(group) for group in ours} & {frozenset(group) for group in theirs}),
            "rows_to_drop": sum(len(group) - 1 for group in theirs),
            "pairs_only_here": len(more),
            "of_these_below_threshold": sum(jaccard(sets[a], sets[b]) < 0.8 for a, b in more),
            "pairs_only_ftlab": len(fewer),
        }
    record = {
        "what": "near duplicates among the inputs of data/support_triage/raw/dirty.jsonl, threshold 0.8",
        "command": "python tools/compare_datatrove.py",
        "date": date.today().isoformat(),
        "versions": {name: version(name) for name in ("datatrove", "rensa")},
        "machine": f"{platform.machine()}, one process",
        "rows": len(rows),
        "settings": {"num_buckets": BUCKETS, "hashes_per_bucket": HASHES},
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "ftlab": {
            "clusters": len(ours),
            "rows_in_clusters": sum(map(len, ours)),
            "rows_to_drop": sum(len(group) - 1 for group in ours),
        },
        "datatrove": found,
    }
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    RECORD.write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
