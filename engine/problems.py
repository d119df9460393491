"""Bad input, in words: one clear sentence a problem, with the value and the way out."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

SHOWN_VALUE_CHARS = 60


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
        field = _field(details, model)
        found.setdefault(field, Problem(field, _sentence(details, field, model)))
    return list(found.values())


def shown(value: Any) -> str:
    """A value as a sentence quotes it: text in quotes and cut short, numbers plain."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        text = repr(value)
        return text if len(text) <= SHOWN_VALUE_CHARS else f"{text[: SHOWN_VALUE_CHARS - 1]}…"
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


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
    label = field.split(".")[-1].replace("_", " ").removesuffix(" s").capitalize()
    value, context = shown(details["input"]), details.get("ctx", {})
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
            bounds, given = _bounds(model, details, field), _as_number(details["input"])
            return f"{label} must be {bounds}, got {given}."
        case "int_parsing" | "int_type" | "int_from_float" | "int_parsing_size":
            return f"{label} must be a whole number, got {value}."
        case "float_parsing" | "float_type" | "finite_number":
            return f"{label} must be a finite number, got {value}."
        case "bool_parsing" | "bool_type":
            return f"{label} must be true or false, got {value}."
        case "string_too_long":
            length = len(details["input"])
            return f"{label} may have {context['max_length']:,} characters at most, got {length:,}."
        case "too_long":
            most, length = context["max_length"], context["actual_length"]
            return f"{label} may have {most:,} entries at most, got {length:,}."
        case "string_unicode":
            return f"{label} holds characters that are not Unicode text; type it again."
        case "model_type" | "dict_type" | "union_tag_not_found" | "model_attributes_type":
            return f"{label} must be an object of named fields, got {value}."
        case "string_type":
            return f"{label} must be text, got {value}."
        case "json_invalid":
            return f"This is not valid JSON: {context['error']}."
        case _:
            return f"{label}: {details['msg']}, got {value}."


def _as_number(value: Any) -> str:
    """As `shown`, and text that was read as a number looks like one: the same on every way in."""
    if not isinstance(value, str):
        return shown(value)
    return shown(int(value) if value.strip().lstrip("+-").isdigit() else float(value))


def _bounds(model: type[BaseModel], details: ErrorDetails, field: str) -> str:
    """`between 1 and 100,000`, read from the field's own constraints."""
    limits = {
        kind: getattr(part, kind)
        for part in _field_info(model, details, field).metadata
        for kind in ("ge", "gt", "le", "lt")
        if getattr(part, kind, None) is not None
    }
    if "ge" in limits and "le" in limits:
        return f"between {shown(limits['ge'])} and {shown(limits['le'])}"
    low = f"above {shown(limits['gt'])}" if "gt" in limits else f"at least {shown(limits['ge'])}"
    return f"{low} and at most {shown(limits['le'])}" if "le" in limits else low


def _field_info(model: type[BaseModel], details: ErrorDetails, field: str) -> Any:
    """The path of a field in a union names the member that it belongs to."""
    section, _, inner = field.partition(".")
    info = model.model_fields[section]
    if not inner:
        return info
    chosen = [m for m in _members(info) if m.model_fields["name"].default in details["loc"]]
    return chosen[0].model_fields[inner]


def _members(info: Any) -> tuple[type[BaseModel], ...]:
    """The models a section's field may hold: one, or those of its union."""
    return getattr(info.annotation, "__args__", None) or (info.annotation,)


def _has_inner(model: type[BaseModel], section: str, field: str) -> bool:
    members = _members(model.model_fields[section])
    return any(field in getattr(member, "model_fields", {}) for member in members)


def _suggestion(field: str, model: type[BaseModel], path: tuple[Any, ...]) -> str:
    """Of a section, the fields of the one that was chosen."""
    section, _, inner = field.partition(".")
    if inner and section in model.model_fields:
        members = _members(model.model_fields[section])
        chosen = [m for m in members if m.model_fields["name"].default in path]
        known = [
            f"{section}.{name}" for member in chosen or members for name in member.model_fields
        ]
    else:
        known = list(model.model_fields)
    known = [name for name in dict.fromkeys(known) if not name.endswith(".name") and name != field]
    dotted = [f"{name}.{field}" for name in model.model_fields if _has_inner(model, name, field)]
    if dotted:  # `width` of a section
        return f" Did you mean {dotted[0]!r}?"
    close = difflib.get_close_matches(field, known, n=1)
    return f" Did you mean {close[0]!r}?" if close else f" Choose one of: {', '.join(known)}."
