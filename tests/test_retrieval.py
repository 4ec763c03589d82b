"""Chunks, rankings and retrieval metrics: each against the definition written out, or a value known by hand."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_generation import load_tokenizer, random_model

from ftlab.baselines.retrieval import Bm25, Chunk, Dense, Hit, chunk, embed_with, hybrid, mrr, recall_at_k
from ftlab.errors import DataError

TEXTS = [
    "The Velora kettle costs 45 pounds.",
    "The Velora lamp is red.",
    "Mia runs Oskellen Market.",
    "Oskellen Market opens at 7. Fresh stock comes on Monday.",
    "The kettle of Quillane is red and weighs 7 kilos.",
]
CHUNKS = [Chunk(f"d{i}#0", f"d{i}", 0, text) for i, text in enumerate(TEXTS)]


def documents(*texts):
    return [{"id": f"d{i}", "text": text} for i, text in enumerate(texts)]


def ranking(*names):
    """Hits in this order; the document is the part of the name before #."""
    return [Hit(rank, 1 / rank, Chunk(n, n.split("#")[0], 0, f"text of {n}.")) for rank, n in enumerate(names, 1)]


def test_chunks_overlap_and_keep_every_sentence():
    text = "  One.\n\nTwo! Three? Four costs 4.50 pounds. Five. \n"
    chunks = chunk(documents(text, "Alone."), sentences=3, overlap=1)
    assert [(c.id, c.document, c.start, c.text) for c in chunks] == [
        ("d0#0", "d0", 0, "One. Two! Three?"),
        ("d0#2", "d0", 2, "Three? Four costs 4.50 pounds. Five."),
        ("d1#0", "d1", 0, "Alone."),
    ]


@given(st.integers(1, 12), st.integers(1, 9), st.data())
def test_chunks_of_any_size(length, size, data):
    """Each but the last has the asked size, begins with the end of the one before and brings something new."""
    overlap = data.draw(st.integers(0, size - 1))
    words = [f"S{i}." for i in range(length)]
    chunks = [c.text.split() for c in chunk(documents(" ".join(words)), size, overlap)]
    assert chunks[0] == words[:size]
    for before, after in zip(chunks, chunks[1:], strict=False):
        assert len(before) == size
        assert after[:overlap] == before[size - overlap :]
        assert len(after) > overlap
    assert [*chunks[0], *(word for c in chunks[1:] for word in c[overlap:])] == words


@pytest.mark.parametrize(("sentences", "overlap"), [(0, 0), (2, 2), (2, -1)])
def test_an_impossible_size_is_refused(sentences, overlap):
    with pytest.raises(DataError, match=f"sentences={sentences}, overlap={overlap}: give"):
        chunk(documents("One."), sentences, overlap)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"text": "a"}, r"documents\[1\].id is missing"),
        ({"id": 7, "text": "a"}, r"documents\[1\].id is missing, empty or no text"),
        ({"id": "x", "text": " \n"}, r"documents\[1\].text is missing, empty"),
        ({"id": "d0", "text": "a"}, r"documents\[1\].id: 'd0' stands twice"),
    ],
)
def test_a_document_that_cannot_be_used_is_named(bad, message):
    with pytest.raises(DataError, match=message):
        chunk([*documents("One."), bad])


# ---- rankings ------------------------------------------------------------------------------------------------


def bm25_by_hand(query, texts, k1=1.5, b=0.75):
    """Okapi BM25 with Lucene's idf, written out."""
    split = [re.findall(r"\w+", text.lower()) for text in texts]
    stop = {"the", "is", "at", "of", "and", "on"}
    split = [[word for word in words if word not in stop] for words in split]
    mean = sum(map(len, split)) / len(split)
    scores = []
    for words in split:
        score = 0
        for word in re.findall(r"\w+", query.lower()):
            holds = sum(word in other for other in split)
            idf = math.log(1 + (len(split) - holds + 0.5) / (holds + 0.5))
            count = words.count(word)
            score += idf * count / (count + k1 * (1 - b + b * len(words) / mean))
        scores.append(score)
    return scores


@pytest.mark.parametrize("query", ["Velora kettle", "7", "who runs Oskellen Market?", "red red lamp"])
def test_bm25_is_the_formula(query):
    expected = bm25_by_hand(query, TEXTS)
    hits = Bm25(CHUNKS).search(query, k=5)
    assert {hit.chunk.document: pytest.approx(hit.score, rel=1e-5) for hit in hits} == {
        f"d{i}": score for i, score in enumerate(expected) if score > 0
    }
    assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


@pytest.mark.parametrize("query", ["", "   ", "the of and", "zebra", "?!"])
def test_a_query_without_a_shared_word_finds_nothing(query):
    assert Bm25(CHUNKS).search(query) == []


def test_equal_scores_keep_the_order_of_the_chunks():
    same = [Chunk(f"x{i}", f"x{i}", 0, "red lamp") for i in range(9)]
    found = Bm25(same).search("red lamp", k=4)
    assert [hit.chunk.id for hit in found] == ["x0", "x1", "x2", "x3"]
    found = Dense(same, lambda texts: np.ones((len(texts), 2))).search("any", k=4)
    assert [hit.chunk.id for hit in found] == ["x0", "x1", "x2", "x3"]


def test_nothing_to_search_and_no_hits_are_refused():
    for make in (Bm25, lambda chunks: Dense(chunks, bag_of_letters)):
        with pytest.raises(DataError, match="no chunks to search"):
            make([])
        with pytest.raises(DataError, match="k = 0"):
            make(CHUNKS).search("red", 0)
    with pytest.raises(DataError, match="no chunk holds a word"):
        Bm25([Chunk("a", "a", 0, "the of")])


def bag_of_letters(texts):
    """Counts of a, e and o: an embedding that can be computed by hand."""
    return np.array([[text.count(letter) for letter in "aeo"] for text in texts])


def test_dense_is_the_cosine():
    chunks = [Chunk(text, text, 0, text) for text in ("aaaa", "ae", "o", "xyz")]
    hits = Dense(chunks, bag_of_letters).search("aae", k=9)
    found = {hit.chunk.id: hit.score for hit in hits}
    expected = {"ae": 3 / math.sqrt(10), "aaaa": 2 / math.sqrt(5), "o": 0, "xyz": 0}
    assert list(found) == list(expected)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    "embed",
    [
        lambda texts: np.zeros((1, 3)),
        lambda texts: np.full((len(texts), 2), np.nan),
    ],
)
def test_an_embedding_of_the_wrong_shape_is_refused(embed):
    with pytest.raises(DataError, match=r"embed gave an array of shape \(.*one row of finite numbers"):
        Dense(CHUNKS, embed)


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer()


@pytest.fixture(scope="module")
def model(tokenizer):
    return random_model(tokenizer)


def test_embed_with_is_the_mean_of_the_last_hidden_states(model, tokenizer):
    import torch

    texts = ["a much longer text than the others, with commas", "b", "two words", ""]
    expected = []
    for text in texts:
        ids = torch.tensor([tokenizer(text or " ")["input_ids"]])
        with torch.inference_mode():
            states = model(input_ids=ids, output_hidden_states=True).hidden_states[-1]
        expected.append(states[0].mean(0).numpy())
    for batch_size in (1, 3, 50):
        found = embed_with(model, tokenizer, batch_size)(texts)
        assert found.shape == (4, 64)
        assert model.training is False
        np.testing.assert_allclose(found, np.array(expected), rtol=1e-3, atol=1e-4)


def test_hybrid_adds_reciprocal_ranks():
    fused = hybrid(ranking("a", "b", "c"), ranking("c", "a"), k=9)
    scores = {hit.chunk.id: hit.score for hit in fused}
    expected = {"a": 1 / 61 + 1 / 62, "c": 1 / 63 + 1 / 61, "b": 1 / 62}
    assert list(scores) == list(expected)
    assert scores == pytest.approx(expected)
    assert [hit.rank for hit in fused] == [1, 2, 3]
    assert [hit.chunk.id for hit in hybrid(ranking("a", "b"), ranking("b"), k=1)] == ["b"]


def test_hybrid_of_one_ranking_keeps_its_order_and_of_none_is_empty():
    assert [hit.chunk.id for hit in hybrid(ranking("c", "a", "b"), k=3)] == ["c", "a", "b"]
    assert hybrid(k=3) == hybrid([], [], k=3) == []


RANKINGS = [ranking("a#0", "b#0", "a#1"), ranking("c#0", "d#0"), [], ranking("e#0", "f#0")]
WANTED = [["a"], ["d"], ["a"], ["f", "e"]]


@pytest.mark.parametrize(("k", "value"), [(1, (1 + 0 + 0 + 0.5) / 4), (2, (1 + 1 + 0 + 1) / 4), (9, 0.75)])
def test_recall_counts_what_is_needed(k, value):
    recall = recall_at_k(RANKINGS, WANTED, k)
    assert recall.value == value
    assert recall.n == 4
    assert recall.low <= value <= recall.high
    assert recall_at_k(RANKINGS[:3], WANTED[:3], k).method == "Wilson"  # each needs one document


def test_by_text_the_right_chunk_is_needed():
    wanted = [["text of a#1."], ["text of d#0."], ["text of a#1."], ["text of e#0.", "text of z#0."]]
    assert recall_at_k(RANKINGS, wanted, 2, by="text").value == (0 + 1 + 0 + 0.5) / 4
    assert recall_at_k(RANKINGS, wanted, 3, by="text").value == (1 + 1 + 0 + 0.5) / 4
    assert recall_at_k(RANKINGS, [["text"], ["text"], ["a"], ["text"]], 9).value == 0  # ids are no words of a text


def test_mrr_takes_the_first_right_hit_and_questions_that_need_nothing_are_left_out():
    assert mrr(RANKINGS, WANTED).value == (1 + 1 / 2 + 0 + 1) / 4
    assert recall_at_k([*RANKINGS, ranking("a")], [*WANTED, []], 2) == recall_at_k(RANKINGS, WANTED, 2)
    assert mrr([*RANKINGS, ranking("a")], [*WANTED, []]).n == 4
    with pytest.raises(DataError, match="no question needs a document"):
        mrr([ranking("a")], [[]])


@pytest.mark.parametrize(
    ("wanted", "by", "message"),
    [
        ([["a"]], "document", "4 rankings for 1 questions"),
        (WANTED, "chunk", "by='chunk'"),
        (["a", "b", "c", "d"], "text", "needs a list of ids"),
    ],
)
def test_mistakes_are_named(wanted, by, message):
    with pytest.raises(DataError, match=message):
        recall_at_k(RANKINGS, wanted, 1, by)


def test_a_search_logs_nothing_and_shows_the_text(caplog):
    caplog.set_level("DEBUG")
    (best,) = Bm25(CHUNKS).search("kettle", k=1)
    assert caplog.text == ""
    assert repr(best) == f"1. d0#0: The Velora kettle costs 45 pounds. ({best.score:.3g})"
