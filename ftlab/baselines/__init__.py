"""Baselines to beat before any training: prompts; retrieval (`retrieval.py`); any chat endpoint (`endpoint.py`)."""

from ftlab.baselines.prompting import (
    Candidate,
    Prompt,
    PromptSearch,
    input_and_answer,
    read_prompts,
    search_prompts,
    try_prompts,
    with_shots,
)

__all__ = [
    "Candidate",
    "Prompt",
    "PromptSearch",
    "input_and_answer",
    "read_prompts",
    "search_prompts",
    "try_prompts",
    "with_shots",
]
