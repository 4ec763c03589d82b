"""Reading, checking, converting and splitting training data."""
