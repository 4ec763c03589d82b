"""A chat as the model sees it: rendered by the chat template, tokenised, with the place of every answer.

An answer is an assistant turn with its end token; `weight: 0` on a turn means that it is not trained.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice

from ftlab.data.findings import Row
from ftlab.data.schema import answer_start, rating
from ftlab.errors import ModelError

IGNORED = -100  # the label that PyTorch's cross-entropy leaves out
BATCH_ROWS = 250  # rendered and tokenised in one call
ONLY_IDS = {"return_attention_mask": False, "return_token_type_ids": False, "verbose": False}
MARKERS = re.compile(r"\{%-?\s*generation\s*-?%\}")  # what a template writes around each answer


@dataclass(frozen=True)
class Answer:
    """Tokens [start, end) of the row are the answer of `turn`."""

    turn: int
    start: int
    end: int
    trained: bool

    def kept(self, max_length: int) -> int:
        """Its tokens among the first `max_length` of the row."""
        return max(min(self.end, max_length) - self.start, 0)


@dataclass(frozen=True)
class Encoded:
    """One row as tokens, or why it cannot be: `problem` is (code, field, *values).

    `lost` are the fields of tools and tool calls that the template does not render; `spoilt` the turns that would be
    trained as something else than their call, (turn, what the template writes).
    """

    ids: list[int]
    answers: list[Answer]
    problem: tuple = ()
    lost: tuple[str, ...] = ()
    spoilt: tuple[tuple[int, str], ...] = ()

    @property
    def trained(self) -> list[Answer]:
        """The answers that are to be trained."""
        return [answer for answer in self.answers if answer.trained]

    def trained_tokens(self, max_length: int | None = None) -> int:
        """Tokens under the loss when the row is cut at `max_length`."""
        return sum(answer.kept(len(self.ids) if max_length is None else max_length) for answer in self.trained)


class NotFound(Exception):
    """The answer does not stand in the rendered text as it should."""


def encode_chats(rows: Iterable[Row | dict], tokenizer, chat_template: str | None = None) -> Iterator[Encoded]:
    """Render and tokenise the rows, one batch in memory at a time; one that fails is known by its `problem`."""
    way = _by_markers if has_markers(tokenizer, chat_template) else _by_rendering
    rows = iter(rows)
    while block := [row.data if isinstance(row, Row) else row for row in islice(rows, BATCH_ROWS)]:
        yield from _encode_block(block, way, tokenizer, chat_template)


def sequences(data: dict) -> list[dict]:
    """What goes through the model for one row: itself, or the two conversations of a preference pair."""
    rejected = data.get("rejected") if isinstance(data, dict) else None
    if not isinstance(rejected, list) or turns_of(data) is None:
        return [data]
    return [data, data | {"messages": data["messages"][: answer_start(data["messages"])] + rejected}]


def row_kind(data) -> str:
    """What a row is for: chat, preference, or unpaired (KTO), whose bad answers must never be taken for good ones."""
    if not isinstance(data, dict):
        return "chat"
    if data.get("rejected"):
        return "preference"
    return "chat" if rating(data) is None else "unpaired"


def turns_of(data) -> list[dict] | None:
    """The turns of a row; None where a template could not even try."""
    messages = data.get("messages") if isinstance(data, dict) else None
    if not isinstance(messages, list) or not messages:
        return None
    return messages if all(isinstance(m, dict) and isinstance(m.get("role"), str) for m in messages) else None


def renderer(tokenizer, chat_template: str | None = None, data: dict | None = None) -> Callable:
    """`render(chat)` gives the text of a chat; the row's own tools and template settings go along."""
    data = data or {}
    tools = data.get("tools") or None
    tools = json.loads(tools) if isinstance(tools, str) else tools
    settings = data.get("chat_template_kwargs") or {}
    return partial(_render, tokenizer=tokenizer, chat_template=chat_template, tools=tools, settings=settings)


def lost_fields(data: dict, tokenizer, chat_template: str | None = None) -> tuple[str, ...]:
    """The fields of tools and calls without which the template writes the same text: it does not render them."""
    chat, render = data["messages"], renderer(tokenizer, chat_template, data)
    text = render(chat)
    without = {"tools": (chat, None)} if render.keywords["tools"] else {}
    for index, turn in enumerate(chat):
        if turn.get("tool_calls"):
            bare = {key: value for key, value in turn.items() if key != "tool_calls"}
            other = chat[:index] + [bare] + chat[index + 1 :]
            without[f"messages[{index}].tool_calls"] = (other, render.keywords["tools"])
    return tuple(field for field, (other, tools) in without.items() if _writes(render, other, tools) == text)


def has_markers(tokenizer, chat_template: str | None = None) -> bool:
    """Whether the template marks its answers; ModelError for a tokenizer that cannot be used here."""
    name = getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__
    if not getattr(tokenizer, "is_fast", False):
        raise ModelError(f"{name} has no offsets (not a fast tokenizer): load it with AutoTokenizer and "
                         "use_fast=True, or use the tokenizer.json of the model")  # fmt: skip
    try:
        return bool(MARKERS.search(tokenizer.get_chat_template(chat_template)))
    except ValueError as error:
        raise ModelError(f"{name} has no chat template, so it is that of a base model: take the "
                         "tokenizer of its instruct version, or set tokenizer.chat_template") from error  # fmt: skip


def special_tokens(tokenizer) -> dict[str, int]:
    """The control tokens of a tokenizer with their ids."""
    added = {token.content: index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    return added | dict(zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True))


def any_of(texts: Iterable[str]) -> re.Pattern:
    """A pattern for any of these texts, the longest first; (?!) matches nothing."""
    longest_first = sorted(filter(None, texts), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")


def runs(mask: list) -> Iterator[tuple[int, int]]:
    """[start, end) of every unbroken run of ones."""
    end = 0
    while 1 in mask[end:]:
        start = mask.index(1, end)
        end = mask.index(0, start) if 0 in mask[start:] else len(mask)
        yield start, end


# --- one block of rows


def _encode_block(block, way, tokenizer, chat_template) -> list[Encoded]:
    """The chats of one call together; those with tools, calls or settings of their own alone."""
    result, batch = {}, []
    for index, data in enumerate(block):
        messages = turns_of(data)
        if messages is None:
            result[index] = Encoded([], [], ("template_fails", "messages", "messages is no list of turns with roles",
                                             "check the file with check_chat first"))  # fmt: skip
        elif data.get("tools") or data.get("chat_template_kwargs") or any(m.get("tool_calls") for m in messages):
            own = partial(_encode_alone, way=way, tokenizer=tokenizer, chat_template=chat_template, data=data)
            result[index] = _attempt([messages], own)[0]
        else:
            batch.append((index, messages))
    if batch:
        plain = partial(way, render=renderer(tokenizer, chat_template))
        done = _attempt([messages for _, messages in batch], plain)
        result.update(zip((index for index, _ in batch), done, strict=True))
    return [result[index] for index in range(len(block))]


def _encode_alone(chats, way, tokenizer, chat_template, data) -> list[Encoded]:
    """One row with its own tools and settings, and what of them the template leaves out."""
    (code,) = way(chats, render=renderer(tokenizer, chat_template, data))
    lost, spoilt = lost_fields(data, tokenizer, chat_template), []
    for answer in code.trained:
        turn, text = chats[0][answer.turn], tokenizer.decode(code.ids[answer.start : answer.end])
        wrote_none = turn.get("content") is None and text.lstrip().startswith("None")
        if turn.get("tool_calls") and (f"messages[{answer.turn}].tool_calls" in lost or wrote_none):
            spoilt.append((answer.turn, text))
    return [Encoded(code.ids, code.answers, (), lost, tuple(spoilt))]


def _attempt(chats, way: Callable) -> list[Encoded]:
    """Encode all at once; when that fails, halve until the chats that fail stand alone."""
    try:
        return way(chats)
    except NotFound as error:
        problem = "answer_not_found", "messages", str(error)
    except Exception as error:  # a template is somebody's program and may raise anything
        why = " ".join(str(error).split())[:200] or type(error).__name__
        problem = "template_fails", "messages", why, _remedy(why.lower())
    if len(chats) == 1:
        return [Encoded([], [], problem)]
    half = len(chats) // 2
    return _attempt(chats[:half], way) + _attempt(chats[half:], way)


def _remedy(why):
    if "alternat" in why:
        return "user and assistant must take turns, the user first: join or drop turns"
    if "nonetype" in why:
        return "a tool call without text, and this template does not write calls: take one that renders them"
    if "system" in why:
        return "put the system text at the start of the first user turn"
    return "mend the row or choose another template"


def _render(chat, tokenizer, chat_template, tools, settings, tokenize=False, **options):
    return tokenizer.apply_chat_template(
        chat, chat_template=chat_template, tools=tools, tokenize=tokenize, **{**settings, **options}
    )


def _writes(render, chat, tools) -> str | None:
    """What the template writes; None where it refuses, so what is left out does matter to it."""
    try:
        return render(chat, tools=tools)
    except Exception:  # a template is somebody's program
        return None


# --- where the answers stand


def _by_markers(chats, render) -> list[Encoded]:
    """Answers as the template's {% generation %} markers say."""
    out = render(chats, tokenize=True, return_dict=True, return_assistant_tokens_mask=True, tokenizer_kwargs=ONLY_IDS)
    result = []
    for chat, ids, mask in zip(chats, out["input_ids"], out["assistant_masks"], strict=True):
        spans = list(runs(mask))
        turns = _answer_turns(chat)
        if len(spans) != len(turns):
            if any(chat[turn].get("weight") == 0 for turn in turns):  # which span belongs to which turn?
                result += _by_rendering([chat], render)
                continue
            turns = (turns[-1:] or [len(chat) - 1]) * len(spans)
        result.append(Encoded(ids, _answers(chat, turns, spans)))
    return result


def _by_rendering(chats, render) -> list[Encoded]:
    """Answers by rendering each chat with and without them, for templates without markers."""
    texts = [render(chat) for chat in chats]
    places = [list(_locate(chat, text, render)) for chat, text in zip(chats, texts, strict=True)]
    out = render.keywords["tokenizer"](texts, add_special_tokens=False, **ONLY_IDS)
    result = []
    for index, (chat, spans) in enumerate(zip(chats, places, strict=True)):
        found = [(turn, *span) for turn, *place in spans if (span := _token_span(out, index, *place))]
        answers = _answers(chat, [turn for turn, *_ in found], [span for _, *span in found])
        result.append(Encoded(out["input_ids"][index], answers))
    return result


def _answers(chat, turns, spans):
    return [Answer(turn, start, end, chat[turn].get("weight") != 0)
            for turn, (start, end) in zip(turns, spans, strict=True)]  # fmt: skip


def _answer_turns(chat):
    return [index for index, turn in enumerate(chat) if turn["role"] == "assistant"]


def _locate(chat, text, render) -> Iterator[tuple[int, int, int]]:
    """Yield (turn, start, end) in characters: from the end of the generation prompt to the end token.

    A private character takes the place of the answer, so that what the template writes before and after it is
    known; both must stand in `text` as well, else NotFound.
    """
    hole = next(mark for mark in map(chr, range(0xE000, 0xF8FF)) if mark not in text)
    end_tokens = any_of(special_tokens(render.keywords["tokenizer"]))
    for turn in _answer_turns(chat):
        holed = [*chat[:turn], {"role": "assistant", "content": hole}, *chat[turn + 1 :]]
        before, *rest = render(holed).split(hole)
        if len(rest) != 1:
            raise NotFound(f"the template writes turn {turn} {len(rest)} times")
        start, end = _prompt_length(chat[:turn], text, before, render), len(text) - len(rest[0])
        if start is None or not text.endswith(rest[0]) or end < start:
            raise NotFound(f"the text around turn {turn} changes with its content")
        closing = render(holed[: turn + 1]).split(hole)[-1]  # what ends this turn when it is the last one
        token = end_tokens.match(closing.lstrip())
        if token:
            closing = closing[: closing.index(token[0]) + len(token[0])]
            end += len(closing) if rest[0].startswith(closing) else 0
        yield turn, start, end


def _prompt_length(prompt, text, before, render) -> int | None:
    """Characters of `text` that the model is given at inference, up to the answer after `prompt`."""
    if prompt:
        asked = render(prompt, add_generation_prompt=True)
        if asked != render(prompt) and text.startswith(asked):
            return len(asked)
    return len(before) if text.startswith(before) else None


def _token_span(out, index, start, end) -> tuple[int, int] | None:
    """Tokens [first, last) that hold the characters [start, end); some characters belong to no token."""
    tokens = (out.char_to_token(index, place) for place in range(start, end))
    first = next((token for token in tokens if token is not None), None)
    if first is None:
        return None
    tokens = (out.char_to_token(index, place) for place in reversed(range(start, end)))
    return first, next(token for token in tokens if token is not None) + 1
