"""Training: recipes, checks before the run, and watching it."""
