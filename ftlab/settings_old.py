"""A strict reader of YAML settings: what fits a JSON Schema comes back, all else is refused with its place and remedy.

The schema of one key is called a rule. Its `description` is the remedy that a message ends with: "write ...".
"""

import json
import math
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator

from ftlab.errors import FtlabError, RecipeError


@dataclass(frozen=True)
class Place:
    """A file of settings and the line of each key in it, by the key's path."""

    path: Path
    lines: dict[tuple, int]

    def raise_problems(self, problems, error: type[FtlabError] = RecipeError) -> None:
        """One error for all (key path, message) pairs, in the order of the file; nothing without any."""
        found = sorted({(self._line(at), ".".join(map(str, at)) or "file", text) for at, text in problems})
        if found:
            raise error("\n".join(f"{self.path}:{line}: {key}: {text}" for line, key, text in found))

    def _line(self, at):
        """The line of a key, or of the section in which it is missing."""
        return next((self.lines[at[:end]] for end in range(len(at), -1, -1) if at[:end] in self.lines), 1)


def read_settings(path: str | Path, schema: dict, what: str = "settings") -> tuple[dict, Place]:
    """A YAML file that fits a schema, defaults filled in, and where its keys stand; `what` names the content.

    One RecipeError lists everything wrong, each with file, line, key and remedy.
    """
    content, place = read_yaml(path, schema, what)
    content = complete(content, schema)
    place.raise_problems(schema_problems(content, schema))
    return content, place


def read_yaml(path: str | Path, schema: dict, what: str = "settings") -> tuple[dict, Place]:
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
        keys = ", ".join(schema["properties"])
        raise RecipeError(f"{path}: holds no {what}; write `key: value` lines for {keys}")
    place = Place(path, lines)
    place.raise_problems([(at, "stands there twice; delete one") for at in twice])  # which one is meant is not ours
    return content, place


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


def complete(value, rule: dict):
    """A copy with defaults filled in, empty optional keys left out, and numbers and days in their own types."""
    if isinstance(value, dict):
        known, others = rule.get("properties", {}), rule.get("additionalProperties")
        others = others if isinstance(others, dict) else {}
        optional = known.keys() - set(rule.get("required", ()))
        defaults = {key: known[key]["default"] for key in known if "default" in known[key]}
        given = {key: each for key, each in value.items() if each is not None or key not in optional}
        return {key: complete(each, known.get(key, others)) for key, each in (defaults | given).items()}
    if isinstance(value, list):
        return [complete(each, rule.get("items", {})) for each in value]
    if isinstance(value, date):
        return value.isoformat()
    if "number" in rule.get("type", ()) or "integer" in rule.get("type", ()):
        value = _number(value, whole="integer" in rule["type"])
    if isinstance(value, int) and abs(value) > 1e300:  # thousands of digits cannot be printed
        return math.inf
    # to a schema, what is not a number passes every comparison of numbers
    return ".nan" if isinstance(value, float) and math.isnan(value) else value


def schema_problems(content: dict, schema: dict, at: tuple = ()) -> list[tuple[tuple, str]]:
    """(key path, message with remedy) for all that does not fit; `at` is where the content stands in its file."""
    validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    errors = validator.iter_errors(content)
    return [((*at, *inner), text) for error in errors for inner, text in _explain(error, schema, at)]


def remedy(rule: dict) -> str:
    """What to write for a key."""
    return rule.get("description") or f"write it as a section with {', '.join(rule.get('properties', ()))}"


def shown(value) -> str:
    """A value as a message names it, in at most 60 characters."""
    if value is None:
        return "empty"
    if isinstance(value, dict):
        return "a section"
    if isinstance(value, list):
        text = f"[{', '.join(map(shown, value))}]"
    elif isinstance(value, int | float) and not isinstance(value, bool):
        text = f"{value:.15g}" if abs(value) < 1e300 else "a huge number"
    else:
        text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def section_rule(required: dict, optional: dict | None = None, **more) -> dict:
    """The rule of a section with these keys and no others."""
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": required | (optional or {}),
        "required": list(required),
    } | more


def text_rule(what: str, **more) -> dict:
    """The rule of a text that is not empty; here and below `what` completes the remedy "write ..."."""
    return {"type": "string", "minLength": 1, "description": f"write {what}"} | more


def number_rule(what: str, **bounds) -> dict:
    """The rule of a number; `what` says its bounds in words, `bounds` are JSON Schema's (minimum, maximum, ...)."""
    return {"type": "number", "description": f"write {what}"} | bounds


def whole_rule(what: str, minimum: int = 1, maximum: int = 10**9) -> dict:
    """The rule of a whole number."""
    described = f"write {what}, a whole number from {minimum}"
    return {"type": "integer", "description": described, "minimum": minimum, "maximum": maximum}


def choice_rule(choices, **more) -> dict:
    """The rule of one text out of a few."""
    return {"enum": list(choices), "description": f"write one of {', '.join(choices)}"} | more


def flag_rule(question: str, default: bool) -> dict:
    """The rule of true or false."""
    return {"type": "boolean", "description": f"write true or false: {question}", "default": default}


def day_rule(what: str) -> dict:
    """The rule of a day, which stays a text."""
    return {"type": "string", "format": "date", "description": f"write {what} as 2026-11-22"}


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


def _number(value, whole):
    """A float, or an int for a whole number; what is no number stays as it is."""
    if isinstance(value, str):  # to PyYAML, which follows YAML 1.1, 4e-3 is a text
        try:
            value = float(value)
        except ValueError:
            return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e18:
        return value
    return int(value) if whole and value == int(value) else float(value)


def _explain(error, schema, at):
    """(path, message with remedy) for what jsonschema found."""
    inner, rule = tuple(error.absolute_path), error.schema
    if error.validator == "additionalProperties":
        for key in [key for key in error.instance if key not in rule["properties"]]:
            yield (*inner, key), f"is unknown; {_meant(key, (*at, *inner), rule['properties'], schema, at)}"
    elif error.validator == "required":
        for key in [key for key in error.validator_value if key not in error.instance]:
            yield (*inner, key), f"is missing; {remedy(rule['properties'][key])}"
    else:
        given = error.instance if isinstance(error.instance, str) else ""
        close = get_close_matches(given, rule.get("enum", ()), n=1)
        meant = f" (did you mean {close[0]}?)" if close else ""
        yield inner, f"is {shown(error.instance)}{meant}; {remedy(rule)}"


def _meant(key, at, known, schema, root) -> str:
    """The nearest key of the same section, else the section where the key belongs."""
    if close := get_close_matches(str(key), known, n=3):
        return f"did you mean {' or '.join(close)}?"
    sections = {root: schema} | {(*root, name): rule for name, rule in schema["properties"].items()}
    for section, rule in sections.items():
        if key in rule.get("properties", ()) and section != at:
            return f"put it under {'.'.join(section)}:" if section else "put it at the top level"
    return f"delete it, or use one of {', '.join(known)}"
