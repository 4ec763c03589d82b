"""Baselines to beat before any training: prompts and examples, constrained choice, retrieval, any chat endpoint."""

from ftlab.baselines.choice import Choices, RecordChoices, choose, choose_records, schema_candidates
from ftlab.baselines.prompting import (
    Candidate,
    Prompt,
    PromptSearch,
    SimilarShots,
    answer_chats,
    input_and_answer,
    read_prompts,
    search_prompts,
    try_prompts,
    with_shots,
)

__all__ = [
    "Candidate",
    "Choices",
    "Prompt",
    "PromptSearch",
    "RecordChoices",
    "SimilarShots",
    "answer_chats",
    "choose",
    "choose_records",
    "input_and_answer",
    "read_prompts",
    "schema_candidates",
    "search_prompts",
    "try_prompts",
    "with_shots",
]
