"""Baselines to beat before any training: prompts and examples, constrained choice, retrieval, a linear model."""

from ftlab.baselines.choice import Choices, RecordChoices, choose, choose_records, record_candidates, schema_candidates
from ftlab.baselines.linear import LinearRecords, train_linear
from ftlab.baselines.prompting import (
    Candidate,
    Prompt,
    PromptSearch,
    SimilarShots,
    answer_chats,
    input_and_answer,
    rank_prompts,
    read_prompts,
    search_prompts,
    try_prompts,
    with_shots,
)

__all__ = [
    "Candidate",
    "Choices",
    "LinearRecords",
    "Prompt",
    "PromptSearch",
    "RecordChoices",
    "SimilarShots",
    "answer_chats",
    "choose",
    "choose_records",
    "input_and_answer",
    "rank_prompts",
    "read_prompts",
    "record_candidates",
    "schema_candidates",
    "search_prompts",
    "train_linear",
    "try_prompts",
    "with_shots",
]
