"""Reading, checking, converting and splitting training data.

Every check in one call and the export are `ftlab.data.check.check`, `fix` and `ftlab.data.export.export`.
"""

from ftlab.data.duplicates import clusters
from ftlab.data.formats import convert, from_messages, read, to_messages
from ftlab.data.quality import label_table
from ftlab.data.schema import ChatCheck, Finding, Row, check_chat, read_chat, write_chat
from ftlab.data.splits import assert_no_leak, split_by_group, split_file
from ftlab.data.tokens import lengths, tokenize_for_training, trained_rows

__all__ = [
    "ChatCheck",
    "Finding",
    "Row",
    "assert_no_leak",
    "check_chat",
    "clusters",
    "convert",
    "from_messages",
    "label_table",
    "lengths",
    "read",
    "read_chat",
    "split_by_group",
    "split_file",
    "to_messages",
    "tokenize_for_training",
    "trained_rows",
    "write_chat",
]
