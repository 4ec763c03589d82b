"""The catalogue, and where a model name leads."""

import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import pytest
from huggingface_hub import constants

from ftlab import models
from ftlab.errors import ModelError


def make_model(folder, *missing):
    """A folder with the three kinds of file a model needs, empty: resolve looks at names only."""
    folder.mkdir(parents=True)
    for name in {"config.json", "tokenizer.json", "model.safetensors"} - set(missing):
        (folder / name).touch()
    return folder


@pytest.fixture
def hub_cache(monkeypatch, tmp_path):
    """An empty local hub cache, offline."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    return tmp_path / "hub"


class Hub(ThreadingHTTPServer):
    """A hub on this machine that gives every question the same `answer`, (status, error code), and notes it."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), HubHandler)
        self.answer, self.asked = (200, None), []


class HubHandler(BaseHTTPRequestHandler):
    def do_HEAD(self):
        status, code = self.server.answer
        self.server.asked.append(self.path)
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        """Nothing on stderr."""


@pytest.fixture
def hub(hub_cache, monkeypatch):
    """A hub that answers, and an empty cache."""
    with Hub() as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        template = f"http://127.0.0.1:{server.server_port}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield server
        server.shutdown()


def put_in_cache(hub_cache, hub_id, *missing):
    """Lay a model out as the hub's client does after a download."""
    repository = hub_cache / f"models--{hub_id.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    make_model(repository / "snapshots" / ("0" * 40), *missing)


def test_nano_is_the_bundled_folder_and_a_folder_is_itself(monkeypatch, tmp_path):
    monkeypatch.setenv("FTLAB_DATA", str(tmp_path))
    with pytest.raises(ModelError, match="FTLAB_DATA"):
        models.resolve("nano")
    nano = make_model(tmp_path / "models" / "nano")
    assert models.resolve("nano") == models.resolve(nano) == str(nano)
    monkeypatch.delenv("FTLAB_DATA")
    assert (models.data_folder() / "models").is_dir()


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.safetensors"])
def test_an_incomplete_folder_is_refused_by_what_is_missing(tmp_path, file):
    folder = make_model(tmp_path / "mine", file)
    with pytest.raises(ModelError, match=rf"{folder}.*{file.split('.')[-1]}.*save_pretrained"):
        models.resolve(folder)


def test_an_adapter_is_no_model(tmp_path):
    folder = make_model(tmp_path / "adapter")
    (folder / "adapter_config.json").touch()
    with pytest.raises(ModelError, match="LoRA adapter"):
        models.resolve(folder)


def test_with_network_the_hub_is_asked_and_not_for_what_is_here(hub, hub_cache):
    asked = ["/unsloth/Qwen3-0.6B/resolve/main/config.json"]
    assert models.resolve("qwen3-0.6b") == "unsloth/Qwen3-0.6B"
    assert hub.asked == asked
    put_in_cache(hub_cache, "unsloth/Qwen3-0.6B")
    assert models.resolve("qwen3-0.6b") == "unsloth/Qwen3-0.6B"
    assert hub.asked == asked


@pytest.mark.parametrize(
    ("status", "code", "remedy"),
    [
        (403, "GatedRepo", "licence accepted.*hf auth login"),
        (401, "RepoNotFound", "no such public model.*spelling"),
        (404, "EntryNotFound", "no config.json.*another repository"),
        (503, None, "cannot be reached.*nano"),
    ],
)
def test_what_the_hub_refuses_is_said_with_the_remedy(hub, status, code, remedy):
    hub.answer = (status, code)
    with pytest.raises(ModelError, match=f"unsloth/Qwen3-0.6B.*{remedy}"):
        models.resolve("qwen3-0.6b")


@pytest.fixture
def no_network(hub_cache, monkeypatch):
    """No name can be looked up, though offline mode is off; the names that were asked for."""
    asked = []

    def look_up(host, *_, **__):
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return asked


def test_without_network_a_name_is_looked_up_once_and_not_in_retries(no_network):
    message = "someone/unknown is not on this machine and the hub cannot be reached.*nano.*try again with network"
    with pytest.raises(ModelError, match=message):
        models.resolve("someone/unknown")
    assert len(no_network) == 1


def test_a_network_that_never_answers_is_given_up(no_network, monkeypatch):
    """The clock is short here; the look-up would last until the end of the test."""
    end = Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: end.wait() and [])
    monkeypatch.setattr(models, "HUB_SECONDS", 0.2)
    with pytest.raises(ModelError, match=r"no answer within 0.2 seconds\).*try again with network"):
        models.resolve("someone/unknown")
    end.set()


@pytest.mark.parametrize("copy", ["Qwen3-0.6B", "Qwen3-0.6B-unsloth-bnb-4bit", "qwen3-0.6b-bnb-4bit"])
def test_a_cached_model_or_its_four_bit_copy_is_found_offline(hub_cache, copy):
    """Unsloth fetches such a copy, in either spelling, when it loads in 4 bits."""
    put_in_cache(hub_cache, f"unsloth/{copy}")
    assert models.resolve("qwen3-0.6b") == "unsloth/Qwen3-0.6B"


def test_a_half_downloaded_model_is_not_cached(hub_cache):
    put_in_cache(hub_cache, "unsloth/Qwen3-0.6B", "model.safetensors")
    with pytest.raises(ModelError, match="not on this machine.*HF_HUB_OFFLINE=1.*nano"):
        models.resolve("qwen3-0.6b")


@pytest.mark.parametrize("name", ["qwen", "./missing/folder/", "a/b/c", ""])
def test_an_unknown_name_lists_the_known_ones(name):
    with pytest.raises(ModelError, match="smollm2-135m"):
        models.resolve(name)


def test_catalogue_names_are_unique_and_ids_valid():
    names = [model.name for model in models.CATALOGUE]
    assert names[0] == "nano"
    assert len(set(names)) == len(names)
    assert all(models.is_hub_id(model.hub_id) for model in models.CATALOGUE[1:])
