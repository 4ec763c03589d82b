"""A model behind `transformers serve`, a process of its own; the stand-in answers with one that nobody trained."""

import importlib.util
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ftlab.errors import ModelError
from ftlab.models import resolve

START_SECONDS = 300  # a busy machine imports slowly


class ServedModel:
    """The server; it starts at once, and the first `answer` waits until it is ready.

    Without a `model` it loads the folder that a request names.
    """

    def __init__(self, model: str | None = "smol", dtype: str = "float32"):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{free.getsockname()[1]}"
        self.folder, self.ready = model and resolve(model), False
        self.log = tempfile.NamedTemporaryFile(prefix="serve", suffix=".log", delete=False)
        command = [sys.executable, "-m", "transformers.cli.transformers", "serve", *filter(None, [self.folder])]
        command += ["--host", "127.0.0.1", "--port", self.url.rsplit(":", 1)[1], "--device", "cpu", "--dtype", dtype]
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "default"}
        self.process = subprocess.Popen(command, stdout=self.log, stderr=subprocess.STDOUT, env=environment)

    def answer(self, messages: list[dict], most: int) -> dict:
        """What the stand-in asks of a model: a text and its counts."""
        import httpx

        self.wait()
        body = {"model": self.folder, "messages": messages, "max_tokens": most, "temperature": 0}
        answer = httpx.post(f"{self.url}/v1/chat/completions", json=body, timeout=300, trust_env=False)
        answer.raise_for_status()
        choice, usage = answer.json()["choices"][0], answer.json()["usage"]
        return {"text": choice["message"]["content"] or "", "finish_reason": choice["finish_reason"],
                "prompt_tokens": usage["prompt_tokens"], "new_tokens": usage["completion_tokens"]}  # fmt: skip

    def wait(self, seconds: float = START_SECONDS) -> None:
        """Until the server answers; ModelError with the end of its log when it does not."""
        import httpx

        until = time.monotonic() + seconds
        while not self.ready and self.process.poll() is None and time.monotonic() < until:
            try:
                self.ready = httpx.get(f"{self.url}/health", timeout=5, trust_env=False).status_code == 200
            except httpx.HTTPError:
                time.sleep(0.3)
        if not self.ready:
            tail = Path(self.log.name).read_text(errors="replace")[-800:]
            lacking = " ".join(name for name in ("fastapi", "uvicorn") if importlib.util.find_spec(name) is None)
            why = f"it needs what is missing here: pip install {lacking}; then start it again" if lacking else tail
            raise ModelError(f"transformers serve did not start: {why}")

    def stop(self) -> None:
        """End the process."""
        self.process.terminate()
        self.process.wait(30)
        Path(self.log.name).unlink(missing_ok=True)
