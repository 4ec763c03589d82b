"""One small hierarchy: each message says what is wrong, where, and what to do."""


class FtlabError(Exception):
    """Base of every error that ftlab raises on purpose; the command line prints it without a traceback."""


class DataError(FtlabError):
    """A file or a row that cannot be used as it is; names file, line, field and the remedy."""


class ModelError(FtlabError):
    """A model that cannot be loaded here, and what to do about it."""


class RecipeError(FtlabError):
    """A recipe with a missing, unknown or impossible setting."""
