"""The sizes of a model that decide memory and time: from our table, a config.json, or a configuration object."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter

from ftlab.costs.cards import read_hardware
from ftlab.errors import ModelError
from ftlab.models import CATALOGUE, ask_hub, data_folder, is_hub_id, offline_reason

GIB = 2**30

# Kinds whose parameters are compared with a real model in the tests; any other kind is compared when it is met
VERIFIED = ("gemma3_text", "gpt_oss", "llama", "mistral", "mixtral", "phi3", "qwen2", "qwen3", "qwen3_moe", "smollm3")
# Share of the linear parameters that is counted in 16 bits where nobody told which modules the 4-bit repository skips.
# Read off two of Unsloth's "dynamic" ones: Qwen3-14B 6 % (its files), gemma-3-4b 15 % (as loaded). That of a model
# with experts, gpt-oss-20b, skips none (its files).
UNKNOWN_SKIPPED = 0.10
NEEDED = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")


@dataclass(frozen=True)
class Architecture:
    """The sizes of one decoder that decide memory and time, named as in config.json."""

    name: str
    model_type: str
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    intermediate_size: int
    vocab_size: int
    tie_word_embeddings: bool
    attention_bias: bool = False  # on q, k and v
    skipped: float | None = 0  # linear parameters that the 4-bit repository keeps in 16 bits; None: not known
    experts: int = 0  # feed-forward blocks of `intermediate_size` in a layer; 0: one, which every token passes
    experts_per_token: int = 0
    other_parameters: int = 0  # beside the decoder, always in 16 bits: a picture encoder and what joins it

    @property
    def query_width(self) -> int:
        """Width of all query heads together; not always the hidden size."""
        return self.num_attention_heads * self.head_dim

    @property
    def key_width(self) -> int:
        """Width of all key heads together, and of all value heads."""
        return self.num_key_value_heads * self.head_dim

    @property
    def qk_norm(self) -> bool:
        """Whether queries and keys are normalised in each head."""
        return self.model_type in ("qwen3", "qwen3_moe", "gemma3_text")

    @property
    def norms(self) -> int:
        """Norms of the hidden size in one layer."""
        return 4 if self.model_type.startswith(("gemma2", "gemma3")) else 2

    @property
    def linears(self) -> dict[str, tuple[int, int]]:
        """The linear modules of one layer outside of experts: name -> (in, out)."""
        hidden, query, key, ff = self.hidden_size, self.query_width, self.key_width, self.intermediate_size
        attention = {
            "self_attn.q_proj": (hidden, query),
            "self_attn.k_proj": (hidden, key),
            "self_attn.v_proj": (hidden, key),
            "self_attn.o_proj": (query, hidden),
        }
        feed_forward = {"mlp.gate_proj": (hidden, ff), "mlp.up_proj": (hidden, ff), "mlp.down_proj": (ff, hidden)}
        return attention if self.experts else attention | feed_forward

    @property
    def dense_parameters(self) -> int:
        """Weights of `linears` in all layers."""
        return self.num_hidden_layers * sum(rows * columns for rows, columns in self.linears.values())

    @property
    def linear_parameters(self) -> int:
        """Weights of all linear modules without the output head, experts included: what 4-bit loading packs."""
        return self.dense_parameters + self.experts * self.expert_parameters

    @property
    def active_parameters(self) -> int:
        """Of the linear weights, those that one token passes."""
        return self.dense_parameters + self.experts_per_token * self.expert_parameters

    @property
    def expert_parameters(self) -> int:
        """Weights of one expert, in all layers together."""
        return self.num_hidden_layers * 3 * self.hidden_size * self.intermediate_size

    @property
    def largest_matrix(self) -> int:
        """Weights of the largest linear module, unpacked at once."""
        return max(*map(math.prod, self.linears.values()), self.hidden_size * self.intermediate_size)

    @property
    def kept_in_16_bits(self) -> float:
        """Linear parameters that 4-bit loading leaves alone; an allowance where they are not known."""
        unknown = 0 if self.experts else UNKNOWN_SKIPPED * self.dense_parameters
        return unknown if self.skipped is None else self.skipped

    @property
    def embedding_parameters(self) -> int:
        """One embedding matrix; an untied output head is as large again."""
        return self.vocab_size * self.hidden_size

    @property
    def parameters(self) -> int:
        """All parameters; tied embeddings count once."""
        layer = self.norms * self.hidden_size
        layer += 2 * self.head_dim * self.qk_norm
        layer += (self.query_width + 2 * self.key_width) * self.attention_bias
        layer += self.experts * self.hidden_size  # the router
        embeddings = self.embedding_parameters * (1 if self.tie_word_embeddings else 2)
        return self.linear_parameters + self.num_hidden_layers * layer + self.hidden_size + embeddings

    def lora_parameters(self, rank: int) -> int:
        """Parameters of a LoRA adapter: rank x (in + out) for each linear module; experts get none."""
        return self.num_hidden_layers * rank * sum(rows + columns for rows, columns in self.linears.values())

    def saved_per_token(self, fused: bool = True) -> int:
        """Numbers that the forward pass of one layer keeps for the backward pass, for each token.

        Input and output of each norm, queries, keys, values, attention output, gate and up. `fused`: kernels that
        fuse or recompute the rest (Unsloth, torch.compile). Plain transformers also keep a 32-bit copy of what enters
        a norm, the activated gate and its product with up.
        """
        heads, feed = self.query_width + self.key_width, self.experts_per_token or 1
        saved = (2 if fused else 3) * self.norms * self.hidden_size + 2 * heads
        saved += (1 if fused else 2) * heads * self.qk_norm
        saved += self.experts_per_token * self.hidden_size  # each expert's input
        return saved + (2 if fused else 4) * feed * self.intermediate_size

    def backward_per_token(self, fused: bool = True) -> int:
        """Numbers alive beside the saved ones while the gradient passes through one layer, for each token."""
        feed = (self.experts_per_token or 1) * self.intermediate_size
        return 3 * feed + 2 * self.hidden_size if fused else 4 * feed + 4 * self.hidden_size


def skipped_parameters(architecture: Architecture, skip_modules: Sequence[str]) -> int:
    """Linear parameters that stay in 16 bits: `skip_modules` are module names or whole parts of them."""
    # "model.layers.3.mlp" and "language_model.model.layers.3.mlp" are the same layer
    wanted = [f".{name[name.find('layers.') :] if 'layers.' in name else name}." for name in skip_modules]
    return sum(
        math.prod(size)
        for layer in range(architecture.num_hidden_layers)
        for name, size in architecture.linears.items()
        if any(part in f".layers.{layer}.{name}." for part in wanted)
    )


def known_models() -> list[Architecture]:
    """The catalogue's models that have sizes in architectures.csv, the smallest first."""
    names = {model.name for model in CATALOGUE}
    return sorted((each for each in _table().values() if each.name in names), key=lambda each: each.parameters)


def find_architecture(model) -> Architecture:
    """The sizes of `model`: a catalogue name, a hub id, a config.json, a folder with one, or a configuration.

    Raises ModelError for an unknown name and for a model whose layers are not those of a plain decoder.
    """
    if isinstance(model, Architecture):
        return model
    if hasattr(model, "to_dict"):
        return _from_config(model.to_dict(), getattr(model, "name_or_path", "") or model.model_type)
    name = str(model)
    table = _table()
    if name.lower() in table:
        return table[name.lower()]
    for row in read_hardware("architectures.csv"):
        if name.lower() == row["hub_id"].lower():
            return table[row["name"]]
    path = data_folder() / "models" / "nano" if name == "nano" else Path(name)
    if not path.exists() and is_hub_id(name):
        path = _hub_config(name)
    elif path.is_dir():
        path = path / "config.json"
    if not path.is_file():
        raise ModelError(f"{name}: not in the catalogue, and no config.json at {path}; {_known()}")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: not a readable JSON file ({error}); download config.json again") from error
    if not isinstance(config, dict):
        raise ModelError(f"{path}: holds no JSON object; it must be the model's config.json")
    return _from_config(config, name)


def _known() -> str:
    return f"give the path of its config.json, or a name of the catalogue ({', '.join(_table())}, nano)"


def _hub_config(hub_id: str) -> Path:
    """config.json of a model of the hub: from the local cache, else fetched (a few kilobytes, never the weights)."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    cached = try_to_load_from_cache(hub_id, "config.json")
    if isinstance(cached, str):
        return Path(cached)
    if offline_reason():
        raise ModelError(f"{hub_id}: not on this machine, and offline mode is on ({offline_reason()}); {_known()}")
    try:
        ask_hub(hub_id)
    except ModelError as error:
        raise ModelError(f"{error} Or {_known()}.") from error
    try:
        return Path(hf_hub_download(hub_id, "config.json"))
    except Exception as error:  # network, disk: each library below raises its own
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ModelError(f"{hub_id}: its config.json could not be fetched ({reason}); {_known()}") from error


def _from_config(config: dict, name: str) -> Architecture:
    """Sizes from a configuration; transformers fills in what the file leaves out."""
    from transformers import CONFIG_MAPPING

    kind = config.get("model_type")
    if kind not in CONFIG_MAPPING:
        raise ModelError(f"{name}: model_type {kind!r} is not known to the installed transformers; upgrade it")
    try:
        whole = CONFIG_MAPPING[kind].from_dict(config)
        text = whole.get_text_config()
    except Exception as error:  # whatever transformers makes of a damaged configuration
        raise ModelError(f"{name}: transformers cannot read this configuration: {error}") from error
    missing = [field for field in NEEDED if not isinstance(getattr(text, field, None), int)]
    odd = [kind for kind in getattr(text, "layer_types", None) or () if "attention" not in kind or "linear" in kind]
    if missing or odd or getattr(text, "is_encoder_decoder", False):
        why = f"no {', '.join(missing)}" if missing else "an encoder or layers other than attention"
        raise ModelError(f"{name}: only plain decoders can be counted; this one has {why}. Measure a short run.")
    architecture = _sizes(text, name)
    if text is not whole or text.model_type not in VERIFIED or architecture.experts:
        real, other, tied = _real_parameters(whole, name)
        architecture = replace(architecture, tie_word_embeddings=tied, other_parameters=other)
        if abs(architecture.parameters / real - 1) > 0.02:
            counted = f"{architecture.parameters:,} parameters counted, {real:,} in the real model"
            alone = f"{(real + other) * 2 / GIB:.1f} GiB in 16 bits"
            raise ModelError(
                f"{name}: its layers are not those of a plain decoder ({counted}). The weights alone take {alone}. "
                "Measure a short run."
            )
    quantization = config.get("quantization_config") or {}
    skipped = skipped_parameters(architecture, quantization.get("llm_int8_skip_modules") or ())
    return replace(architecture, skipped=skipped if "llm_int8_skip_modules" in quantization else None)


def _sizes(text, name: str) -> Architecture:
    """The sizes in a configuration of transformers."""
    given = {name: getattr(text, name) for name in NEEDED}
    heads = text.num_attention_heads
    counts = [getattr(text, key, None) for key in ("num_local_experts", "num_experts", "n_routed_experts")]
    experts = next(filter(None, counts), 0)
    if experts and (expert_size := getattr(text, "moe_intermediate_size", None)):
        given["intermediate_size"] = expert_size
    return Architecture(
        name=name,
        model_type=text.model_type,
        **given,
        num_key_value_heads=getattr(text, "num_key_value_heads", None) or heads,
        head_dim=getattr(text, "head_dim", None) or text.hidden_size // heads,
        tie_word_embeddings=bool(getattr(text, "tie_word_embeddings", False)),
        attention_bias=bool(getattr(text, "attention_bias", False)) or text.model_type == "qwen2",
        experts=experts,
        experts_per_token=getattr(text, "num_experts_per_tok", 0) if experts else 0,
    )


def _real_parameters(config, name: str) -> tuple[int, int, bool]:
    """Parameters of the decoder with its head and of all beside it, and whether the head is the embedding.

    Counted in the model that transformers builds from a configuration, without memory for its weights.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    nested = config.get_text_config() is not config
    try:
        with torch.device("meta"):
            model = (AutoModelForImageTextToText if nested else AutoModelForCausalLM).from_config(config)
    except Exception as error:  # whatever the model's own code makes of its configuration
        raise ModelError(f"{name}: transformers cannot build this model: {error}. Measure a short run.") from error
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    tied = head is None or head.weight is embedding.weight
    total = sum(weight.numel() for weight in model.parameters())
    if not nested:
        return total, 0, tied
    decoder = sum(weight.numel() for weight in model.get_decoder().parameters()) + (0 if tied else head.weight.numel())
    return decoder, total - decoder, tied


@cache
def _table() -> dict[str, Architecture]:
    """The architectures of data/hardware/architectures.csv by name."""
    kind, found = TypeAdapter(Architecture), {}
    for row in read_hardware("architectures.csv"):
        given = {name: cell for name, cell in row.items() if cell}
        given["skipped"] = float(row["skipped_b"]) * 1e9 if row["skipped_b"] else None
        given["other_parameters"] = round(float(row["other_b"] or 0) * 1e9)
        found[row["name"]] = kind.validate_python(given)
    return found
