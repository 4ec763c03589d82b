"""One file of a stranger's rows, and the whole path with it."""
