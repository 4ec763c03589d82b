"""A strict reader of YAML settings: what fits a pydantic model comes back, all else is refused with place and remedy.

A model is a subclass of `Settings`; the `description` of a field is the remedy: "write DESCRIPTION".
"""

import re
import typing
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from ftlab.errors import FtlabError, RecipeError, shown


def _number(value):
    """Pydantic takes true for 1 and refuses "1e3" for a whole number; YAML 1.1 reads 4e-3 as a text."""
    if isinstance(value, bool) or (isinstance(value, int) and abs(value) > 1e18):
        raise ValueError("no number")
    if isinstance(value, str):
        number = float(value)
        return int(number) if number.is_integer() else number
    return value


Number = Annotated[float, BeforeValidator(_number)]
Whole = Annotated[int, BeforeValidator(_number), Field(ge=0, le=10**9)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Settings(BaseModel):
    """A section of settings: unknown keys are refused, an empty optional key counts as left out."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)

    def __init__(self, **values):
        try:
            super().__init__(**values)
        except ValidationError as error:
            problems = dict(_explain(each, type(self), values) for each in error.errors())
            lines = [f"{'.'.join(map(str, at))}: {text}" for at, text in problems.items()]
            raise RecipeError("\n".join([f"{type(self).__name__}:", *lines]) if lines[1:] else lines[0]) from None

    __init__.__pydantic_base_init__ = True  # so that pydantic builds nested sections by itself and finds all problems

    @model_validator(mode="before")
    @classmethod
    def _leave_out_empty(cls, values):
        if not isinstance(values, dict):
            return values
        optional = {name for name, field in cls.model_fields.items() if not field.is_required()}
        return {key: value for key, value in values.items() if value is not None or key not in optional}


Model = typing.TypeVar("Model", bound=Settings)


@dataclass(frozen=True)
class Place:
    """A file of settings and the line of each key in it, by the key's path."""

    path: Path
    lines: dict[tuple, int]

    def raise_problems(self, problems: Iterable, error: type[FtlabError] = RecipeError) -> None:
        """One error for all (key path, message) pairs, in the order of the file; nothing without any."""
        found = sorted({(self._line(at), ".".join(map(str, at)) or "file", text) for at, text in problems})
        if found:
            raise error("\n".join(f"{self.path}:{line}: {key}: {text}" for line, key, text in found))

    def _line(self, at):
        """The line of a key, or of the section in which it is missing."""
        return next((self.lines[at[:end]] for end in range(len(at), -1, -1) if at[:end] in self.lines), 1)


def read_settings(path: str | Path, model: type[Model], what: str) -> tuple[Model, Place]:
    """A YAML file as a model, and where its keys stand; `what` names the content.

    One RecipeError lists everything wrong, each with file, line, key and remedy.
    """
    content, place = read_yaml(path, model, what)
    found, problems = fit(content, model)
    place.raise_problems(problems)
    return found, place


def fit(content: dict, model: type[Model]) -> tuple[Model | None, list[tuple[tuple, str]]]:
    """The content as a model (None where it does not fit) and a (key path, message with remedy) for each problem."""
    try:
        return model.model_validate(content), []
    except ValidationError as error:
        return None, [_explain(each, model, content) for each in error.errors()]


def read_yaml(path: str | Path, model: type[Settings], what: str) -> tuple[dict, Place]:
    """The sections of a YAML file as they stand there, not yet checked; RecipeError where it is no such file."""
    path = Path(path)
    if path.is_dir():
        raise RecipeError(f"{path} is a folder: name one file of {what} (.yaml)")
    text = read_text(path)
    lines, twice = {}, []
    try:
        content = yaml.safe_load(text)
        _find_lines(yaml.compose(text, Loader=yaml.SafeLoader), (), lines, twice)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}" if mark else path
        remedy = "indent with spaces, write `key: value`, and put a text with a colon in quotes"
        raise RecipeError(f"{where}: not YAML: {error.problem or error.context}; {remedy}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise RecipeError(f"{path}: not readable as YAML: {error}; correct or quote that value") from error
    if not isinstance(content, dict):
        keys = ", ".join(model.model_fields)
        raise RecipeError(f"{path}: holds no {what}; write `key: value` lines for {keys}")
    place = Place(path, lines)
    place.raise_problems([(at, "stands there twice; delete one") for at in twice])  # which one is meant is not ours
    return {str(key): value for key, value in content.items()}, place


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, without a byte order mark; RecipeError where there is none."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise RecipeError(f"{path} does not exist: check the path (now in {Path.cwd()})") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error.strerror}; check the path and its permissions") from error


def _find_lines(node, at, lines, twice):
    """Note the line of each key below a YAML node, and the keys that stand there twice."""
    if node is None:  # an empty file
        return
    lines.setdefault(at, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            line = key.start_mark.line + 1
            inner = (*at, key.value if isinstance(key.value, str) else f"the key of line {line}")
            if inner in seen:
                twice.append(inner)
            seen.add(inner)
            lines[inner] = line
            _find_lines(value, inner, lines, twice)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _find_lines(value, (*at, index), lines, twice)


# --- messages


def _explain(error: dict, model, content) -> tuple[tuple, str]:
    """(path, message with remedy) for one error of pydantic."""
    at = _in_content(error["loc"], content, error["type"] == "missing")
    section, field = _fields(model, at)
    if error["type"] == "extra_forbidden":
        return at, f"is unknown; {_meant(at, section, model)}"
    if error["type"] == "missing":
        return at, f"is missing; {_remedy(field)}"
    if error["type"] == "value_error" and field is None:
        return at, str(error["ctx"]["error"])
    given = _value(content, at)
    choices = re.findall(r"'([^']*)'", error["ctx"]["expected"]) if error["type"] == "literal_error" else ()
    close = get_close_matches(given, choices, n=1) if isinstance(given, str) else []
    meant = f" (did you mean {close[0]}?)" if close else ""
    return at, f"is {shown(given)}{meant}; {_remedy(field, error['msg'])}"


def _in_content(loc, content, missing) -> tuple:
    """The part of pydantic's location that is a key path; it adds the names of types that it tried."""
    at = ()
    for step in loc:
        inner = _value(content, at)
        if isinstance(inner, dict) and (step in inner or missing) or isinstance(inner, list) and isinstance(step, int):
            at = (*at, step)
    return at


def _value(content, at):
    for step in at:
        try:
            content = content[step]
        except (KeyError, IndexError, TypeError):
            return None
    return content


def _inner(annotation):
    """The model or type inside Annotated and Optional."""
    arguments = [each for each in typing.get_args(annotation) if each is not type(None)]
    is_optional = len(arguments) < len(typing.get_args(annotation))
    return _inner(arguments[0]) if is_optional or hasattr(annotation, "__metadata__") else annotation


def _fields(model, at):
    """The model of the section that holds the key at this path, and the key's field (None where it has none)."""
    field = None
    for step in at:
        if isinstance(model, type) and issubclass(model, Settings):
            section, field = model, model.model_fields.get(str(step))
            model = _inner(field.annotation) if field else None
        elif typing.get_args(model):  # a dict or list of sections
            section, model = model, _inner(typing.get_args(model)[-1])
        else:
            section = model
    return (section if at else model), field


def _remedy(field, message: str = "") -> str:
    """What to write for a key."""
    kind = _inner(field.annotation) if field else None
    if field is not None and field.description:
        return f"write {field.description}"
    if isinstance(kind, type) and issubclass(kind, Settings):
        return f"write it as a section with {', '.join(kind.model_fields)}"
    if typing.get_origin(kind) is typing.Literal:
        return f"write one of {', '.join(map(str, typing.get_args(kind)))}"
    return message[:1].lower() + message[1:]


def _meant(at, section, root) -> str:
    """The nearest key of the same section, else the section where the key belongs."""
    known = section.model_fields if hasattr(section, "model_fields") else {}
    longer = [name for name in known if len(str(at[-1])) > 3 and str(at[-1]) in name]  # epochs, batch_size
    if close := longer or get_close_matches(str(at[-1]), known, n=3):
        return f"did you mean {' or '.join(close)}?"
    inner = {name: _inner(field.annotation) for name, field in root.model_fields.items()}
    sections = {"": root} | {name: kind for name, kind in inner.items() if hasattr(kind, "model_fields")}
    for name, kind in sections.items():
        if at[-1] in kind.model_fields and kind is not section:
            return f"put it under {name}:" if name else "put it at the top level"
    return f"delete it, or use one of {', '.join(known)}"
