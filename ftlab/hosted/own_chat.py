"""A tuned model that is asked through its service's own SDK, in the shape in which an `Endpoint` asks any other."""

import time
from collections.abc import Callable
from contextlib import contextmanager

from ftlab.chat_service import ChatService, Reply
from ftlab.hosted.secrets import RefusedError, talking


class OwnChat(ChatService):
    """`connect()` makes the SDK's client; `send(client, model, messages, fields)` gives the fields of a `Reply`."""

    def __init__(self, base_url: str, model: str, connect: Callable, send: Callable):
        super().__init__(base_url, model, None, retries=3, timeout=120)
        self.connect, self.send = connect, send

    @contextmanager
    def client(self):
        """The SDK's client."""
        yield self.connect()

    def ask(self, client, model: str, messages: list[dict], **fields) -> Reply:
        """Send one chat; ModelError says what failed."""
        self.tries.sent, self.tries.refused, start = 1, 0, time.perf_counter()
        try:
            with talking(f"{self.url}, {model}"):
                said = self.send(client, model, messages, fields)
        except RefusedError as error:
            self.tries.refused = int(error.status is not None)
            raise
        return Reply(**said, seconds=time.perf_counter() - start)


def split_system(messages: list[dict]) -> tuple[str | None, list[dict]]:
    """The system turn, which Google and Amazon take apart from the others, and the rest."""
    first = messages[0]["role"] in ("system", "developer")
    return (messages[0]["content"], messages[1:]) if first else (None, messages)
