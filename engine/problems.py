"""Bad input, in words: one clear sentence a problem, with the value and the way out."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

SHOWN_VALUE_CHARS = 60
NO_TEXT = "holds characters that are not Unicode text; type it again."
# Of a run and not of its config: where else they are given.
OF_A_RUN = {
    "name": "--name",
    "tag": "--tag",
    "tags": "--tag",
    "notes": "--notes",
    "priority": "--priority",
}


class Problem(NamedTuple):
    field: str
    sentence: str


class ConfigError(ValueError):
    """Input that cannot be a run; `problems` has one entry for each thing that is wrong."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(" ".join(problem.sentence for problem in self.problems))


def problems_of(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """Our sentences for pydantic's findings, the first of each field."""
    found: dict[str, Problem] = {}
    for details in error.errors(include_url=False):
        for problem in _problems(details, model):
            found.setdefault(problem.field, problem)
    return list(found.values())


def _problems(details: ErrorDetails, model: type[BaseModel]) -> list[Problem]:
    if details["type"] == "problems":
        return details.get("ctx", {})["problems"]
    field = _field(details, model)
    return [Problem(field, _sentence(details, field, model))]


def shown(value: Any) -> str:
    """A value as a sentence quotes it: text in quotes and cut short, numbers plain."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return cut(repr(value))
    return cut(f"{value:,}") if isinstance(value, int) else f"{value:g}"


def cut(text: str) -> str:
    return text if len(text) <= SHOWN_VALUE_CHARS else f"{text[: SHOWN_VALUE_CHARS - 1]}…"


def is_text(value: Any) -> bool:
    """Whether it is text with something in it that can be stored: no NUL, at which SQLite takes a
    text to end, and no half of a character pair."""
    if not isinstance(value, str) or not value or "\0" in value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _field(details: ErrorDetails, model: type[BaseModel]) -> str:
    if details["type"] == "problem":
        return details.get("ctx", {})["field"]
    # A union puts the tag or the member's type into the path; a field's path has neither.
    skip = _tags(model) | {"int", "tuple[str, ...]"}
    parts = [str(part) for part in details["loc"] if str(part) not in skip]
    return ".".join(parts[:2]).removesuffix(".name") if parts else "config"


def _tags(model: type[BaseModel]) -> set[str]:
    """The names of the members of the model's unions."""
    members = [m for info in model.model_fields.values() for m in _members(info)]
    named = [m.model_fields["name"] for m in members if "name" in getattr(m, "model_fields", {})]
    return {str(info.default) for info in named}


def _sentence(details: ErrorDetails, field: str, model: type[BaseModel]) -> str:
    label = _label(field)
    value, context = shown(details["input"]), details.get("ctx", {})
    typed = "nothing" if details["input"] == "" else value
    match details["type"]:
        case "problem":
            return context["sentence"]
        case "extra_forbidden":
            return f"Unknown field {shown(field)}.{_suggestion(field, model, details['loc'])}"
        case "literal_error" | "union_tag_invalid":
            choices = context.get("expected") or context.get("expected_tags", "")
            given = shown(context.get("tag", details["input"]))
            choices = choices.replace("'", "").replace(" or ", ", ")
            return f"Unknown {label.lower()} {given}. Choose one of: {choices}."
        case "greater_than_equal" | "less_than_equal" | "greater_than" | "less_than":
            allowed = bounds(_field_info(model, details, field))
            return f"{label} must be {allowed}, got {_as_number(details['input'])}."
        case "int_parsing" | "int_type" | "int_from_float" | "int_parsing_size":
            return f"{label} must be a whole number, got {typed}."
        case "float_parsing" | "float_type" | "finite_number":
            return f"{label} must be a finite number, got {typed}."
        case "bool_parsing" | "bool_type":
            return f"{label} must be true or false, got {value}."
        case "string_too_long":
            length = len(details["input"])
            return f"{label} may have {context['max_length']:,} characters at most, got {length:,}."
        case "too_long":
            most, length = context["max_length"], context["actual_length"]
            return f"{label} may have {most:,} entries at most, got {length:,}."
        case "string_unicode":
            return f"{label} {NO_TEXT}"
        case "model_type" | "dict_type" | "union_tag_not_found" | "model_attributes_type":
            return f"{label} must be an object of named fields, got {value}."
        case "string_type":
            return f"{label} must be text, got {value}."
        case "json_invalid":
            return f"This is not valid JSON: {context['error']}."
        case _:
            return f"{label}: {details['msg']}, got {value}."


def _label(field: str) -> str:
    """A field's name in words; of one entry of a list, the list's name."""
    *above, last = field.split(".")
    if last.isdigit() and above:
        return f"Each of the {above[-1].replace('_', ' ')}"
    return last.replace("_", " ").removesuffix(" s").capitalize()


def _as_number(value: Any) -> str:
    """As `shown`, and text that was read as a number looks like one: the same on every way in."""
    if not isinstance(value, str):
        return shown(value)
    return shown(int(value) if value.strip().lstrip("+-").isdigit() else float(value))


def bounds(info: FieldInfo) -> str:
    """`between 1 and 100,000`, read from the field's own constraints."""
    limits = {
        kind: getattr(part, kind)
        for part in info.metadata
        for kind in ("ge", "gt", "le", "lt")
        if getattr(part, kind, None) is not None
    }
    if "ge" in limits and "le" in limits:
        return f"between {shown(limits['ge'])} and {shown(limits['le'])}"
    low = f"above {shown(limits['gt'])}" if "gt" in limits else f"at least {shown(limits['ge'])}"
    return f"{low} and at most {shown(limits['le'])}" if "le" in limits else low


def _field_info(model: type[BaseModel], details: ErrorDetails, field: str) -> FieldInfo:
    """The path of a field in a union names the member that it belongs to."""
    section, _, inner = field.partition(".")
    info = model.model_fields[section]
    if not inner:
        return info
    chosen = [m for m in _members(info) if m.model_fields["name"].default in details["loc"]]
    return chosen[0].model_fields[inner]


def _members(info: Any) -> list[type[BaseModel]]:
    """The models a section's field may hold: one, or those of its union; of a plain field, none."""
    held = getattr(info.annotation, "__args__", None) or (info.annotation,)
    return [one for one in held if isinstance(one, type) and issubclass(one, BaseModel)]


def _inner(member: type[BaseModel]) -> list[str]:
    return [name for name in member.model_fields if name != "name"]


def _suggestion(field: str, model: type[BaseModel], path: tuple[Any, ...]) -> str:
    section, _, inner = field.partition(".")
    if inner and section in model.model_fields:
        members = _members(model.model_fields[section])
        return _of_section(section, inner, members, path) if members else _meant(section)
    if field in OF_A_RUN and field not in model.model_fields:
        return f" It is of the run, not of its config: give {OF_A_RUN[field]}."
    for name, info in model.model_fields.items():  # `width` of a section
        if any(field in _inner(member) for member in _members(info)):
            return _meant(f"{name}.{field}")
    return _closest(field, list(model.model_fields))


def _of_section(section: str, inner: str, members: list[type[BaseModel]], path: Any) -> str:
    """Of the one that was chosen; or which other one has it."""
    chosen = [m for m in members if m.model_fields["name"].default in path] or members
    others = [m.model_fields["name"].default for m in members if inner in _inner(m)]
    if others:
        return f" It is of another {section}: choose {section}={others[0]}."
    known = [f"{section}.{name}" for member in chosen for name in _inner(member)]
    if not known:
        return f" {chosen[0].model_fields['name'].default} has no fields to set."
    return _closest(f"{section}.{inner}", list(dict.fromkeys(known)))


def _meant(name: str) -> str:
    return f" Did you mean {name!r}?"


def _closest(field: str, known: list[str]) -> str:
    close = difflib.get_close_matches(field, known, n=1)
    return _meant(close[0]) if close else f" Choose one of: {', '.join(known)}."
