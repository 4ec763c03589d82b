"""The models the course names, and where each is found. Nothing here downloads weights."""

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from threading import Thread

from ftlab.errors import ModelError

REPOSITORY = Path(__file__).resolve().parent.parent
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")
WEIGHT_PATTERNS = ("*.safetensors", "*.bin")
FOUR_BIT_ENDINGS = ("", "-unsloth-bnb-4bit", "-bnb-4bit")  # how Unsloth names its 4-bit copies
OFFLINE_VARIABLES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
YES = ("1", "true", "yes", "on")
HUB_SECONDS = 6  # a name server that is down costs 5 before the next one is asked


@dataclass(frozen=True)
class Model:
    """One model: `params_b` in billions; `needs` the least hardware for QLoRA (4-bit LoRA)."""

    name: str
    hub_id: str | None
    params_b: float
    licence: str
    gated: bool
    needs: str
    note: str


LICENCE = "read the licence before you ship"
# Parameters and licences: the models' own configuration files and cards, read 2026-11. `needs`: the weights
# in 4 bits plus room for training at 2,048 tokens; a T4 has 15 GiB.
CATALOGUE = (
    Model("nano", None, 0.0035, "see data/models/nano", False, "any CPU", "bundled, offline"),
    Model("smollm2-135m", "HuggingFaceTB/SmolLM2-135M-Instruct", 0.135, "Apache-2.0", False, "a laptop CPU",
          "a real chat model for laptops with network"),
    Model("qwen3-0.6b", "unsloth/Qwen3-0.6B", 0.60, "Apache-2.0", False, "4 GiB GPU", "the smallest Qwen3"),
    Model("qwen3-1.7b", "unsloth/Qwen3-1.7B", 1.72, "Apache-2.0", False, "6 GiB GPU", "small and quick"),
    Model("qwen3-4b", "unsloth/Qwen3-4B-Instruct-2507", 4.02, "Apache-2.0", False, "T4", "the T4 default"),
    Model("qwen3-8b", "unsloth/Qwen3-8B", 8.19, "Apache-2.0", False, "T4", "the largest comfortable on a T4"),
    Model("qwen3-14b", "unsloth/Qwen3-14B", 14.77, "Apache-2.0", False, "T4, barely", "a 24 GiB card is better"),
    Model("llama-3.2-1b", "unsloth/Llama-3.2-1B-Instruct", 1.24, "Llama 3.2 Community", True, "4 GiB GPU", LICENCE),
    Model("llama-3.2-3b", "unsloth/Llama-3.2-3B-Instruct", 3.21, "Llama 3.2 Community", True, "8 GiB GPU", LICENCE),
    Model("llama-3.1-8b", "unsloth/Llama-3.1-8B-Instruct", 8.03, "Llama 3.1 Community", True, "T4", LICENCE),
    Model("phi-3.5-mini", "unsloth/Phi-3.5-mini-instruct", 3.82, "MIT", False, "6 GiB GPU", "small vocabulary"),
    Model("phi-4-mini", "unsloth/Phi-4-mini-instruct", 3.84, "MIT", False, "8 GiB GPU", "large vocabulary"),
    Model("gemma-3-1b", "unsloth/gemma-3-1b-it", 1.00, "Gemma", True, "4 GiB GPU", "many languages"),
    Model("gemma-3-4b", "unsloth/gemma-3-4b-it", 3.88, "Gemma", True, "8 GiB GPU", "many languages"),
    Model("mistral-7b", "unsloth/mistral-7b-v0.3", 7.25, "Apache-2.0", False, "T4",
          "a base model: it has not been trained to chat"),
    Model("smollm3-3b", "unsloth/SmolLM3-3B", 3.08, "Apache-2.0", False, "8 GiB GPU", "training data published"),
)  # fmt: skip


def resolve(name: str | Path) -> str:
    """What to hand to `from_pretrained` for `name`: a folder, nano, smol, a catalogue name or a hub id.

    Raises ModelError for an incomplete folder, an unknown name, and a hub id that is neither in the local cache
    nor to be had from the hub: offline mode (HF_HUB_OFFLINE=1), no network, no such model, a licence to accept.
    """
    name = str(name)
    if name == "nano":
        return check_folder(data_folder() / "models" / "nano")
    if name == "smol":
        from ftlab import smol

        return check_folder(smol.folder())
    if name and Path(name).is_dir():
        return check_folder(Path(name))
    hub_id = next((model.hub_id for model in CATALOGUE if name in (model.name, model.hub_id)), name)
    if not is_hub_id(hub_id):
        known = ", ".join(model.name for model in CATALOGUE)
        raise ModelError(
            f"{name}: no such folder, and no model of the catalogue. Known names: {known}. "
            "Otherwise give a hub id (owner/name) or the path of a model folder."
        )
    if is_cached(hub_id):
        return hub_id
    if switched_off := offline_reason():
        raise ModelError(
            f"{hub_id} is not on this machine and offline mode is on ({switched_off}). "
            "Use the bundled model `nano`, or unset that variable and run once with network: "
            "the model is then kept in the local cache."
        )
    ask_hub(hub_id)
    return hub_id


def load_tokenizer(model: str | Path | None):
    """The tokenizer of a model by name or folder, None without a name; ModelError when it cannot be loaded."""
    if model is None:
        return None
    from transformers import AutoTokenizer

    if model == "smol":
        from ftlab import smol

        name = str(smol.tokenizer_folder())
    else:
        name = resolve(model)
    try:
        return AutoTokenizer.from_pretrained(name)
    except Exception as error:  # the library raises many kinds for a damaged or missing tokenizer
        raise ModelError(f"{model}: its tokenizer cannot be loaded: {error}; name another model") from error


def counting_model(model: str | None = None) -> str:
    """The model whose tokenizer counts where none is named: `smol`, a real one, where it is installed, else `nano`."""
    from ftlab import smol

    return model or ("smol" if smol.is_here() else "nano")


def smol_or_nano() -> str:
    """ "smol" where it is installed, else "nano", and one sentence that says so."""
    from ftlab import smol

    if smol.is_here():
        return "smol"
    print("smol is not on this machine, so nano stands in: the cells run, but it cannot talk, and what the text says "
          f"of smol you will not see. To get smol (93 MB): unset FTLAB_SMOL and run `{smol.INSTALL}`.")  # fmt: skip
    return "nano"


def installed_file(package: str, name: str, install: str) -> Path:
    """The one file `name` of an installed package, which is not imported; ModelError says how to `install` it."""
    try:
        files = metadata.files(package) or []
    except metadata.PackageNotFoundError:
        raise ModelError(f"{package} is not installed: in the repository's folder run `{install}`") from None
    found = [Path(file.locate()) for file in files if file.name == name]
    if len(found) != 1:
        raise ModelError(f"{package} holds {len(found)} files {name} and must hold one: "
                         f"run `{install} --force-reinstall`")  # fmt: skip
    return found[0]


def check_sha256(path: Path, expected: str, install: str) -> None:
    """Raise ModelError unless the file is, byte for byte, the one that was pinned."""
    remedy = f"run `{install} --force-reinstall`"
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}): {remedy}") from error
    if found != expected:
        raise ModelError(f"{path}: SHA-256 {found} instead of {expected}, so it was not loaded: {remedy}")


def ask_hub(hub_id: str) -> None:
    """Raise ModelError when the hub does not answer within HUB_SECONDS, or would not hand out `hub_id`.

    It asks once for the headers of one small file: a download that must fail is better refused here, in one sentence,
    than after the minutes of retries that the hub's client allows itself.
    """
    import httpx
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, RepositoryNotFoundError

    remedies = {
        GatedRepoError: "its owner wants the licence accepted. Do that on the model's page, then run `hf auth login`.",
        RepositoryNotFoundError: "the hub knows no such public model. Check the spelling; for a private one run "
        "`hf auth login`.",
        EntryNotFoundError: "has no config.json, so transformers cannot load it. Choose another repository of that "
        "model (not a GGUF one).",
    }
    url = hf_hub_url(hub_id, "config.json")
    try:
        answer_within(HUB_SECONDS, lambda: get_hf_file_metadata(url, timeout=HUB_SECONDS))
    except tuple(remedies) as error:
        remedy = next(text for kind, text in remedies.items() if isinstance(error, kind))
        raise ModelError(f"{hub_id}: {remedy}") from error
    except (OSError, httpx.HTTPError) as error:
        late = isinstance(error, TimeoutError)
        reason = f"no answer within {HUB_SECONDS} seconds" if late else type(error).__name__
        raise ModelError(
            f"{hub_id} is not on this machine and the hub cannot be reached ({reason}). Use the bundled "
            "model `nano`, or try again with network: the model is then kept in the local cache."
        ) from error


def answer_within(seconds: float, call: Callable):
    """What `call()` returns or raises; TimeoutError after `seconds`, when it goes on unheeded in the background.

    A client's own limit counts anew for each address it tries, and looking up a name has none.
    """
    answer = Future()

    def work():
        try:
            answer.set_result(call())
        except Exception as error:  # handed to the caller
            answer.set_exception(error)

    Thread(target=work, daemon=True).start()
    return answer.result(seconds)


def data_folder() -> Path:
    """The course's data: FTLAB_DATA when set, else data/ of the repository the package was installed from."""
    return Path(os.environ.get("FTLAB_DATA") or REPOSITORY / "data")


def check_folder(folder: Path) -> str:
    """The folder as a string, when it holds a configuration, a tokenizer and weights; else ModelError."""
    if not folder.is_dir():
        raise ModelError(
            f"{folder}: no such folder. Check out the whole repository, or set FTLAB_DATA to its data folder."
        )
    if (folder / "adapter_config.json").exists():
        raise ModelError(
            f"{folder} holds a LoRA adapter, not a whole model. Merge it first "
            "(save_pretrained_merged), or load its base model and add the adapter."
        )
    found = {
        "config.json": (folder / "config.json").exists(),
        "a tokenizer (tokenizer.json)": any((folder / file).exists() for file in TOKENIZER_FILES),
        "weights (*.safetensors)": has_weights(folder),
    }
    if missing := [part for part, is_there in found.items() if not is_there]:
        raise ModelError(
            f"{folder} is not a complete model; missing: {', '.join(missing)}. Save the model and its "
            "tokenizer there with save_pretrained, or name another folder."
        )
    return str(folder)


def is_hub_id(name: str) -> bool:
    """True for owner/name as the hub spells it."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return name.count("/") == 1


def is_cached(hub_id: str) -> bool:
    """True when configuration and weights of `hub_id` are in the local hub cache.

    Its 4-bit copies count, in either spelling: Unsloth fetches one of those instead when it loads in 4 bits.
    """
    from huggingface_hub import try_to_load_from_cache

    copies = [spelling + ending for ending in FOUR_BIT_ENDINGS for spelling in (hub_id, hub_id.lower())]
    configs = [try_to_load_from_cache(copy, "config.json") for copy in copies]
    return any(isinstance(config, str) and has_weights(Path(config).parent) for config in configs)


def has_weights(folder: Path) -> bool:
    """True when there is a weight file in `folder`."""
    return any(path for pattern in WEIGHT_PATTERNS for path in folder.glob(pattern))


def offline_reason() -> str:
    """The variable that switches the hub off, as NAME=value; empty when none does."""
    values = {name: os.environ.get(name, "") for name in OFFLINE_VARIABLES}
    return next((f"{name}={value}" for name, value in values.items() if value.lower() in YES), "")
