"""Baselines to beat before any training: prompts and examples, constrained choice, retrieval, a linear model."""
