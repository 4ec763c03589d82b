"""One way to run a model, asked the same chats as every other: what it read, how it is set, what it answered."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ftlab.chat_service import ChatService, turns_to_send
from ftlab.errors import DataError, ModelError, RecipeError

EVALUATED = {"enable_thinking": False}  # how `ftlab run` renders a prompt
SAMPLED = ("temperature", "top_p", "top_k", "min_p")  # read only with do_sample
SAMPLING = ("do_sample", *SAMPLED, "repetition_penalty", "no_repeat_ngram_size", "forced_bos_token_id",
            "forced_eos_token_id", "suppress_tokens")  # fmt: skip


@dataclass(frozen=True, repr=False)
class Side:
    """What one way to run the model made of the chats; None for what it does not tell.

    `tokens` and `logprobs` are those of its own answers (log-probabilities in nats), `scored` the log-probabilities
    that it gives to the tokens of the reference's answers after the reference's prompts, so that another template is
    not taken for other weights; `scored_ids` are these prompts and answers. Without a reference they are its own.
    `margins` is by how much the best token leads the second.
    """

    name: str
    answers: tuple[str, ...]
    ended: tuple[str | None, ...]  # "stop", or "length" where max_new_tokens cut the answer
    prompts: tuple[str, ...] | None = None
    prompt_ids: tuple[tuple[int, ...], ...] | None = None
    prompt_tokens: tuple[int | None, ...] = ()
    settings: dict[str, str] = field(default_factory=dict)
    answer_ids: tuple[tuple[int, ...], ...] | None = None
    tokens: tuple[tuple[str, ...], ...] | None = None
    logprobs: tuple[tuple[float, ...], ...] | None = None
    margins: tuple[tuple[float, ...], ...] | None = None
    scored: tuple[tuple[float, ...], ...] | None = None
    scored_ids: tuple[tuple[tuple[int, ...], ...], ...] | None = None
    thoughts: int = 0  # answers that came with thinking

    def __repr__(self):
        told = [what for what in ("prompts", "prompt_ids", "logprobs", "settings") if getattr(self, what)]
        return f"Side({self.name}: {len(self.answers)} answers; told: {', '.join(told) or 'the answers alone'})"


def local_side(
    name: str,
    model,
    tokenizer,
    chats: Sequence[Sequence[dict]],
    reference: Side | None = None,
    max_new_tokens: int = 96,
    template_kwargs: dict | None = None,
) -> Side:
    """Ask a model on this machine, greedily, one chat at a time (padding and batches cannot blur the comparison).

    It ends an answer at its own end tokens, as a server would that loads this folder. `template_kwargs` goes to the
    chat template (`EVALUATED`: as `ftlab run` asks; None: as the template does by itself, which is what servers do).
    """
    from ftlab.evaluation.generation import reading

    if not chats:
        raise DataError("no chats: give at least one")
    kwargs = template_kwargs or {}
    prompts = [rendered(tokenizer, chat, **kwargs) for chat in chats]
    ids = [tuple(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in prompts]
    with reading(model):
        answer_ids = [tuple(_greedy(model, tokenizer, row, max_new_tokens)) for row in ids]
        read = [_read(model, *pair) for pair in zip(ids, answer_ids, strict=True)]
        own = (tuple(ids), tuple(answer_ids))
        scored_ids = own if reference is None else told_ids(reference)
        scored = read if scored_ids == own else [_read(model, *pair) for pair in zip(*scored_ids, strict=True)]
    ends = set(_ends(model, tokenizer))
    texts = [tokenizer.decode(row, skip_special_tokens=True) for row in answer_ids]
    return Side(
        name=name,
        answers=tuple(texts),
        ended=tuple("stop" if row and row[-1] in ends else "length" for row in answer_ids),
        prompts=tuple(prompts),
        prompt_ids=tuple(ids),
        prompt_tokens=tuple(map(len, ids)),
        settings=settings_of(model, tokenizer, chats[0], kwargs),
        answer_ids=tuple(answer_ids),
        tokens=tuple(tuple(map(tokenizer.decode, row)) for row in answer_ids),
        logprobs=tuple(each[0] for each in read),
        margins=tuple(each[1] for each in read),
        scored=tuple(each[0] for each in scored),
        scored_ids=scored_ids,
        thoughts=sum("<think>" in text for text in texts),
    )


def served_side(
    name: str,
    base_url: str,
    model: str,
    chats: Sequence[Sequence[dict]],
    max_new_tokens: int = 96,
    logprobs: bool = True,
    api_key_env: str | None = None,
    confirm: bool = False,
    timeout: float = 300,
    **fields,
) -> Side:
    """Ask a server that speaks OpenAI's HTTP interface, at temperature 0, one chat after the other.

    `logprobs` asks for those of its own tokens; a server that refuses the question is asked without. `fields` go into
    each request. A server elsewhere is asked only with `confirm=True`: your texts leave this machine.
    """
    service = ChatService(base_url, model, api_key_env, retries=0, timeout=timeout)
    refuse_to_send(service, f"{len(chats)} chats", confirm)
    fields = {"max_tokens": max_new_tokens, "temperature": 0} | fields
    replies = []
    with service.client() as client:
        for number, chat in enumerate(chats):
            turns = turns_to_send(chat, f"chat {number}")
            try:
                replies.append(service.ask(client, model, turns, **fields, **({"logprobs": True} if logprobs else {})))
            except ModelError as error:
                if not logprobs or not any(status in str(error) for status in ("HTTP 400", "HTTP 422")):
                    raise
                logprobs = False
                replies.append(service.ask(client, model, turns, **fields))
    told = all(reply.logprobs for reply in replies)
    prompts, prompt_ids = _read_there(service, chats)
    return Side(
        name=name,
        answers=tuple(reply.text for reply in replies),
        ended=tuple(reply.finish_reason for reply in replies),
        prompts=prompts,
        prompt_ids=prompt_ids,
        prompt_tokens=tuple(reply.prompt_tokens for reply in replies),
        tokens=tuple(tuple(reply.tokens) for reply in replies) if told else None,
        logprobs=tuple(tuple(reply.logprobs) for reply in replies) if told else None,
        thoughts=sum(bool(reply.thought) or "<think>" in reply.text for reply in replies),
    )


def told_ids(reference: Side) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """The tokens of a reference's prompts and answers; DataError for a server, which does not tell those of answers."""
    if reference.prompt_ids is None or reference.answer_ids is None:
        raise DataError(f"{reference.name}: a server is no reference, for it does not tell the tokens of its answers: "
                        "the reference must be local, the model as it was judged (local_side)")  # fmt: skip
    return reference.prompt_ids, reference.answer_ids


def refuse_to_send(service: ChatService, what: str, confirm: bool) -> None:
    """RecipeError where the service is not on this machine and nobody has said that texts may leave it."""
    if not (service.here or confirm is True):
        raise RecipeError(f"{what} would be sent to {service.url}, and your texts leave this machine. "
                          "If you want that, pass confirm=True.")  # fmt: skip


def rendered(tokenizer, chat: Sequence[dict], **kwargs) -> str:
    """The prompt up to where the answer begins, as the tokenizer's chat template writes it."""
    if tokenizer.chat_template is None:
        raise ModelError(f"{tokenizer.name_or_path}: no chat template was saved with it: save the tokenizer of the "
                         "training there (tokenizer.save_pretrained)")  # fmt: skip
    return tokenizer.apply_chat_template(list(chat), tokenize=False, add_generation_prompt=True, **kwargs)


def settings_of(model, tokenizer, chat: Sequence[dict], kwargs: dict) -> dict[str, str]:
    """What of a model and its tokenizer decides on answers beside weights and prompt, in words that can be compared."""
    ends, config = _ends(model, tokenizer), model.generation_config
    sampling = {key: value for key in SAMPLING if (value := getattr(config, key, None)) not in (None, False)}
    if not sampling.get("do_sample"):  # these are then not read
        sampling = {key: value for key, value in sampling.items() if key not in SAMPLED}
    packed = getattr(model.config, "quantization_config", None)
    return {
        "end tokens": ", ".join(map(tokenizer.convert_ids_to_tokens, sorted(ends))) or "none",
        "end token of the tokenizer": str(tokenizer.eos_token),
        "pad token": str(tokenizer.pad_token),
        "padding": tokenizer.padding_side,
        "generation settings": ", ".join(f"{key}={value}" for key, value in sampling.items()) or "greedy",
        "thinking": _thinking(tokenizer, chat, kwargs),
        "precision": str(model.dtype).removeprefix("torch.") + (", quantised" if packed else ""),
    }


def token_logprobs(model, rows: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[tuple[float, ...]]:
    """For each (prompt ids, answer ids): the log-probability of every token of the answer, in nats."""
    from ftlab.evaluation.generation import reading

    with reading(model):
        return [_read(model, prompt, answer)[0] for prompt, answer in rows]


def _thinking(tokenizer, chat, kwargs) -> str:
    """Whether the prompt, as it is rendered, lets a model that can think aloud do so."""
    own, off, on = (rendered(tokenizer, chat, **{**kwargs, **switch})
                    for switch in ({}, {"enable_thinking": False}, {"enable_thinking": True}))  # fmt: skip
    return "no switch" if off == on else "off" if own == off else "on"


def _ends(model, tokenizer) -> list[int]:
    """The tokens that end an answer for a server: the model's own, and the tokenizer's only where it names none."""
    ends = model.generation_config.eos_token_id
    ends = tokenizer.eos_token_id if ends is None else ends
    return list(ends) if isinstance(ends, list) else [ends] if ends is not None else []


def _greedy(model, tokenizer, ids, max_new_tokens) -> list[int]:
    """The tokens of one answer, with the token that ended it."""
    import torch

    ends = _ends(model, tokenizer)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else (ends or [0])[0]
    prompt = torch.tensor([list(ids)], device=model.device)
    out = model.generate(
        input_ids=prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=max_new_tokens, do_sample=False,
        temperature=None, top_p=None, top_k=None, pad_token_id=pad, eos_token_id=ends or None,
    )  # fmt: skip
    return out[0, len(ids) :].tolist()


def _read(model, prompt, answer) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Of each token of the answer: its log-probability, and by how much the best token leads the second."""
    import torch

    if not answer:
        return (), ()
    ids = torch.tensor([[*prompt, *answer]], device=model.device)
    logits = model(input_ids=ids, logits_to_keep=len(answer) + 1).logits[0, :-1]
    before = logits.float().log_softmax(dim=-1)
    own = before.gather(1, ids[0, -len(answer) :, None])[:, 0]
    best = before.topk(2).values
    return tuple(own.tolist()), tuple((best[:, 0] - best[:, 1]).tolist())


def _read_there(service: ChatService, chats) -> tuple[tuple[str, ...] | None, tuple[tuple[int, ...], ...] | None]:
    """The prompts' texts and tokens, as far as the server tells them: vLLM the tokens, llama.cpp both."""
    import httpx

    root, headers = service.base_url.removesuffix("/v1"), {}
    if service.api_key_env:
        headers = {"Authorization": f"Bearer {service.key()}"}

    def post(path: str, **body) -> dict:
        return client.post(f"{root}/{path}", json=body).raise_for_status().json()

    def ids_of(**body) -> tuple[int, ...]:
        return tuple(map(int, post("tokenize", **body)["tokens"]))

    try:
        with httpx.Client(timeout=service.timeout, trust_env=not service.here, headers=headers) as client:
            told = [ids_of(model=service.model, messages=list(chat), add_generation_prompt=True) for chat in chats]
            if all(told):
                return None, tuple(told)
            texts = tuple(str(post("apply-template", messages=list(chat))["prompt"]) for chat in chats)
            return texts, tuple(ids_of(content=text, add_special=True, parse_special=True) for text in texts)
    except (httpx.HTTPError, ValueError, LookupError, TypeError):
        return None, None
