"""What is wrong in a training file: schema, quality, duplicates, privacy, tokens, review."""
