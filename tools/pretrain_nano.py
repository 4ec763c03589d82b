"""Make nano from nothing: tokenizer, pre-training, export. Seeded and resumable; CPU or GPU.

    python tools/pretrain_nano.py --tokens 58e6 --work runs/nano    # about 280 minutes on two CPU cores, in four stages
    python tools/pretrain_nano.py --tokens 300e6 --work runs/nano --tokens-per-step 65536    # for a GPU; not yet tried
    python tools/pretrain_nano.py --export --work runs/nano --out data/models/nano

Run it again with the same --work to resume. What it took to make this work (Muon for the matrices, a head start
in copying, weights on the answers) is explained in DECISIONS.md.
"""

import os
import sys

if "FTLAB_PRETRAIN" not in os.environ:  # glibc and OpenMP read their settings at start, so start again with them set
    settings = {
        "MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000",  # no page-fault churn on the logits
        "OMP_WAIT_POLICY": "PASSIVE",  # idle workers of one pool must not take the cores from another
        "FTLAB_PRETRAIN": "1",
    }  # fmt: skip
    os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | settings)

import argparse  # noqa: E402
import itertools  # noqa: E402
import json  # noqa: E402
import random  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers  # noqa: E402
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent))
from nano_world.compose import document  # noqa: E402

SPECIAL = ["<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
PAD, END = 0, 1
ROLE = {"system": 2, "user": 3, "assistant": 4}
WEIGHT = {"user": 0.1, "system": 0.1, "text": 0.5}  # each token of an answer of n tokens: 3 / sqrt(n)
VOCAB, MAX_LENGTH = 2048, 1536
BUFFER = 1536  # documents sorted by length at a time
COPYING = 0.1  # share of documents that are random tokens repeated

CHAT_TEMPLATE = """{%- for message in messages -%}
{%- if message['role'] == 'assistant' -%}
<|assistant|>{% generation %}{{ message['content'] }}<|end|>{% endgeneration %}
{%- else -%}
<|{{ message['role'] }}|>{{ message['content'] }}<|end|>
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
<|assistant|>
{%- endif -%}"""


RESPONSE_TEMPLATE = {  # where `transformers serve` finds the answer; without it, it looks for Qwen's markers
    "defaults": {"role": "assistant"}, "start_anchor": "<|assistant|>",
    "fields": {"content": {"close": ["<|end|>", "<|pad|>"], "content": "text", "content_args": {"strip": False}}},
}  # fmt: skip


def train_tokenizer(n_documents: int = 40_000) -> PreTrainedTokenizerFast:
    """Byte-level BPE on the world's own text; every digit is a token of its own."""
    tokenizer = Tokenizer(models.BPE())
    words = Regex(r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(words, behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])  # fmt: skip
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), min_frequency=3,
        show_progress=False,
    )  # fmt: skip
    texts = (text for i in range(n_documents) for _, text in document(10_000_000 + i).turns)
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<|pad|>", eos_token="<|end|>", padding_side="left",
        additional_special_tokens=SPECIAL[2:], model_max_length=2048, chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )  # fmt: skip


def new_model(seed: int) -> Qwen3ForCausalLM:
    """Qwen3 configuration, 3.5M parameters."""
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=VOCAB, hidden_size=256, intermediate_size=640, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=4, head_dim=64, max_position_embeddings=2048, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        bos_token_id=None, eos_token_id=END, pad_token_id=PAD, attention_bias=False,
    )  # fmt: skip
    model = Qwen3ForCausalLM(config)
    for name, p in model.named_parameters():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            torch.nn.init.zeros_(p)
    copying_head_start(model)
    return model


@torch.no_grad()
def copying_head_start(model: Qwen3ForCausalLM) -> None:
    """Start two heads as an induction circuit, which plain training of so small a model does not find in time.

    Head 0 of layer 0 looks at the token before; head 0 of layer 1 looks for the place whose token before is the
    present token, and copies what stands there (Olsson et al. 2022 describe the circuit; starting from a known
    structure is "mimetic initialization", Trockman and Kolter 2023). Everything stays trainable.
    """
    config, d = model.config, 64
    embedding = model.model.embed_tokens.weight.normal_(std=config.hidden_size**-0.5)
    embedding[:, 0] = 1.0  # a constant, from which heads can tell positions apart
    frequencies = 10_000.0 ** (-torch.arange(d // 2) / (d // 2))  # of the rotary embedding, pairs (i, i + d/2)
    q, _ = torch.linalg.qr(torch.randn(config.hidden_size - 1, 3 * d))
    a, b, c = (torch.cat([torch.zeros(1, d), part]).T for part in q.split(d, dim=1))  # three (d, hidden) bases

    before = model.model.layers[0].self_attn
    for weight in (before.q_proj.weight, before.k_proj.weight):
        weight[:d] = 0
    near = torch.arange(4)  # the fastest rotations tell neighbours apart
    before.q_proj.weight[near, 0], before.q_proj.weight[near + d // 2, 0] = (
        frequencies[near].cos(),
        -frequencies[near].sin(),
    )
    before.k_proj.weight[near, 0] = 1.0
    before.v_proj.weight[:d], before.o_proj.weight[:, :d] = a, 0.2 * b.T

    match = model.model.layers[1].self_attn
    slow = (frequencies < 0.02).repeat(2)[:, None]  # content must not turn with the distance
    match.q_proj.weight[:d], match.k_proj.weight[:d] = a * slow, b * slow
    match.v_proj.weight[:d], match.o_proj.weight[:, :d] = c, c.T


def encode(doc, tokenizer: Tokenizer):
    """Token ids and loss weights of one document, as in the chat template."""
    ids, weights = [], []
    for role, text in doc.turns:
        body = [*tokenizer.encode(text, add_special_tokens=False).ids, END]
        if role in ROLE:
            ids.append(ROLE[role])
            weights.append(0.0)
        ids += body
        each = 3 * len(body) ** -0.5 if role == "assistant" else WEIGHT[role]
        weights += [each] * len(body)
    return ids[:MAX_LENGTH], weights[:MAX_LENGTH]


def copying(rng: random.Random):
    """Random tokens, repeated: nothing but looking back helps, so the model keeps its skill to copy any token."""
    alphabet = range(5, VOCAB) if rng.random() < 0.7 else [rng.randrange(5, VOCAB) for _ in range(rng.choice([8, 40]))]
    part = [rng.choice(alphabet) for _ in range(rng.randrange(4, 32))]
    if rng.random() < 0.5:  # a list: the token before says nothing, the one before that tells where we are
        comma = rng.randrange(5, VOCAB)
        part = [token for item in part[:12] for token in (item, comma)]
    times = rng.choice([2, 2, 3, 4])
    return part * times, [0.0] * len(part) + [1.0] * len(part) * (times - 1)


class Buffers(torch.utils.data.Dataset):
    """Item n: the batches of the n-th buffer from `state` on, as arrays, so that other processes can make them."""

    def __init__(self, seed: int, state: dict, tokens_per_step: int, tokenizer: Tokenizer, size: int):
        self.seed, self.first, self.size = seed, dict(state), size
        self.tokens_per_step, self.tokenizer = tokens_per_step, tokenizer

    def __getitem__(self, n: int) -> list:
        rng = random.Random(self.seed * 1_000_003 + self.first["buffer"] + n)
        rows = []
        for i in range(self.size):
            if rng.random() < COPYING:
                rows.append((*copying(rng), "copies"))
            else:
                doc = document(self.first["documents"] + n * self.size + i)
                rows.append((*encode(doc, self.tokenizer), "chat" if doc.turns[-1][0] == "assistant" else "text"))
        rows.sort(key=lambda r: len(r[0]))
        groups, group = [], []
        for row in rows:
            if group and len(row[0]) * (len(group) + 1) > self.tokens_per_step:
                groups.append(group)
                group = []
            group.append(row)
        groups.append(group)
        rng.shuffle(groups)
        return [padded(group) for group in groups]


def padded(group):
    """ids (B, T), weights (B, T), 0 on padding, and for each row whether it is a chat, or a copying string."""
    ids = np.full((len(group), max(len(row[0]) for row in group)), PAD)
    weights = np.zeros(ids.shape, np.float32)
    for row, (i, w, _) in enumerate(group):
        ids[row, : len(i)], weights[row, : len(w)] = i, w
    return ids, weights, *(np.array([[row[2] == kind] for row in group]) for kind in ("chat", "copies"))


def batches(seed: int, state: dict, tokens_per_step: int, tokenizer: Tokenizer, size: int = BUFFER, workers: int = 0):
    """Yields (last batch of its buffer, ids, weights, chats, copies): documents of like length together, padded right.

    `workers` processes make buffers ahead of time; the batches are the same for any number of them.
    """
    data = Buffers(seed, state, tokens_per_step, tokenizer, size)
    ahead = torch.utils.data.DataLoader(
        data, batch_size=None, sampler=itertools.count(), num_workers=workers, collate_fn=list
    )
    for buffer in ahead:
        for n, batch in enumerate(buffer, start=1):
            yield n == len(buffer), *map(torch.from_numpy, batch)


def fast_bf16() -> bool:
    """True where bf16 matrix products really are faster than fp32 (measured)."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        a, b = torch.randn(2048, 256).to(dtype), torch.randn(256, 640).to(dtype)
        times = []
        for _ in range(30):
            t = time.perf_counter()
            a @ b
            times.append(time.perf_counter() - t)
        seconds[dtype] = min(times)
    return seconds[torch.bfloat16] < 0.7 * seconds[torch.float32]


def train(args):
    """Train until `args.tokens`, or for `args.stop_after` minutes; go on where an earlier call stopped."""
    work = Path(args.work)
    work.mkdir(parents=True, exist_ok=True)
    if not (work / "tokenizer").exists():
        train_tokenizer().save_pretrained(work / "tokenizer")
    tokenizer = Tokenizer.from_file(str(work / "tokenizer" / "tokenizer.json"))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model, optimizers, state = start(work, args.seed, device)
    bf16 = fast_bf16()
    body = torch.compile(model.model, dynamic=True) if args.compile else model.model
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {device}, bf16 {bf16}, from {state}", flush=True)
    first = state["step"]
    begin = shown = time.perf_counter()
    t0 = begin - state["seconds"]
    sums = dict.fromkeys(["loss", "weight", "right", "answers", "copies_right", "copies"], 0)
    size = BUFFER * max(1, args.tokens_per_step // 8192)  # so that a buffer is many steps, and little of one is padding
    made = batches(args.seed, state, args.tokens_per_step, tokenizer, size, args.workers)
    for last_of_buffer, *batch in made:
        progress = state["tokens"] / args.tokens
        if progress >= 1 or (args.stop_after and time.perf_counter() - begin > args.stop_after * 60):
            break
        factor = min(1.0, (state["step"] - first + 1) / 50, max(0.02, (1 - progress) / 0.5))
        state["tokens"] += step(model, body, optimizers, [part.to(device) for part in batch], bf16, factor, sums)
        state["step"] += 1
        if state["step"] % 50 == 0:
            now = time.perf_counter()
            state["seconds"] = now - t0
            write_row(work / "curve.jsonl", state, sums, (now - shown) / 50)
            shown, sums = now, dict.fromkeys(sums, 0)
        if last_of_buffer:
            state["buffer"] += 1
            state["documents"] += size
            if state["buffer"] % 10 == 0:
                save(work, model, optimizers, state)
    state["seconds"] = time.perf_counter() - t0
    save(work, model, optimizers, state)


def start(work, seed, device):
    """Model, optimizers (Muon for the matrices, AdamW for the rest) and counters: new, or as last saved."""
    model = new_model(seed).to(device)
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    rest = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    muon = torch.optim.Muon(matrices, lr=0.02, weight_decay=0.02, momentum=0.95)
    adam = torch.optim.AdamW(rest, lr=4e-3, betas=(0.9, 0.97), weight_decay=0.0)
    for group in (*muon.param_groups, *adam.param_groups):
        group["base_lr"] = group["lr"]
    state = {"step": 0, "tokens": 0, "buffer": 0, "documents": 0, "seconds": 0.0}
    if (work / "last.pt").exists():
        saved = torch.load(work / "last.pt", weights_only=False, map_location="cpu")
        model.load_state_dict(saved["model"])
        for optimizer, its_state in zip((muon, adam), saved["optimizers"], strict=True):
            optimizer.load_state_dict(its_state)
        state = saved["state"]
        state.setdefault("documents", state["buffer"] * 768)  # a state from before they were counted
    if device == "cpu":  # plain matrix products: a quarter faster there than the fused kernel on such short rows
        model.set_attn_implementation("eager")
    return model, (muon, adam), state


def step(model, body, optimizers, batch, bf16, factor, sums):
    """One optimizer step at `factor` of the learning rates, counted in `sums`; how many tokens carried loss."""
    ids, weights, chats, copies = batch
    with torch.autocast(ids.device.type, torch.bfloat16, enabled=bf16):
        hidden = body(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
        target, w = ids[:, 1:], weights[:, 1:]
        keep = w > 0
        logits = model.lm_head(hidden[keep])
    loss_each = F.cross_entropy(logits.float(), target[keep], reduction="none")
    w = w[keep]
    loss = (loss_each * w).sum() / w.sum()
    loss.backward()
    torch.nn.utils.clip_grad_norm_([p for group in optimizers[1].param_groups for p in group["params"]], 1.0)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["base_lr"] * factor
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    with torch.no_grad():
        copied = copies.expand_as(keep)[keep]
        answer = chats.expand_as(keep)[keep] & (w > WEIGHT["user"])
        right = logits.argmax(-1) == target[keep]
        sums["right"] += int(right[answer].sum())
        sums["answers"] += int(answer.sum())
        sums["copies_right"] += int(right[copied].sum())
        sums["copies"] += int(copied.sum())
        sums["loss"] += float((loss_each * w).sum())
        sums["weight"] += float(w.sum())
    return int(keep.sum())


def write_row(curve, state, sums, seconds_per_step):
    """Add one point to the curve, and print it."""
    row = {
        "step": state["step"],
        "tokens": state["tokens"],
        "minutes": round(state["seconds"] / 60, 2),
        "loss": round(sums["loss"] / sums["weight"], 4),
        "answer_accuracy": round(sums["right"] / max(1, sums["answers"]), 4),
        "copying_accuracy": round(sums["copies_right"] / max(1, sums["copies"]), 4),
        "seconds_per_step": round(seconds_per_step, 3),
    }
    with curve.open("a") as log:
        print(json.dumps(row), file=log)
    print(row, flush=True)


def save(work, model, optimizers, state):
    torch.save(
        {"model": model.state_dict(), "optimizers": [o.state_dict() for o in optimizers], "state": state},
        work / "next.pt",
    )
    (work / "next.pt").replace(work / "last.pt")


def export(args):
    """Write weights (fp16), configuration and tokenizer as any transformers model."""
    work, out = Path(args.work), Path(args.out)
    model = new_model(0)
    saved = torch.load(work / "last.pt", weights_only=False, map_location="cpu")
    model.load_state_dict(saved["model"])
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = END, PAD
    model.half().save_pretrained(out)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(work / "tokenizer")
    tokenizer.response_template = RESPONSE_TEMPLATE
    tokenizer.save_pretrained(out)
    (out / "model.safetensors").chmod(0o644)
    print(f"{out}: {saved['state']}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=float, default=58e6, help="trained tokens in all")
    parser.add_argument("--tokens-per-step", type=int, default=3072)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parser.add_argument(
        "--workers", type=int, default=max(1, cores - 2) if torch.cuda.is_available() else 0,
        help="processes that make documents ahead; one makes about 0.3M trained tokens a second",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", default="runs/nano")
    parser.add_argument("--stop-after", type=float, help="minutes of this call; resume later")
    parser.add_argument(
        "--compile", action=argparse.BooleanOptionalAction, default=True, help="twice as fast; wants a C++ compiler"
    )
    parser.add_argument("--export", action="store_true")
    parser.add_argument("--out", default="data/models/nano")
    arguments = parser.parse_args()
    export(arguments) if arguments.export else train(arguments)
