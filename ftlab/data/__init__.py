"""Reading, checking and splitting training data."""

from ftlab.data.schema import ChatCheck, Finding, check_chat, read_chat, write_chat
from ftlab.data.splits import assert_no_leak, split_by_group

__all__ = [
    "ChatCheck",
    "Finding",
    "assert_no_leak",
    "check_chat",
    "read_chat",
    "split_by_group",
    "write_chat",
]
