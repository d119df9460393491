"""What the file of an exported run may hold: the shapes that pages and queries rely on.

A config need not be one of this version, so that older and newer runs can be imported; but what is
read without asking must be there, of its type, and within what SQLite and dates can take.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from typing_extensions import TypeAliasType

from engine.problems import shown
from storage import ids
from storage.points import LAST_STEP

FORMAT, VERSION = "accelboard-run", 1
LAST_SECOND = 9_000_000_000  # of the year 2255: later dates do not fit into a chart's axis
LARGEST = 2**63 - 1  # of SQLite's whole numbers
MOST_KEY_CHARS, MOST_SHOWN_CHARS = 500, 80


class NotOurs(ValueError):
    """What was read is no exported run; says where, what and why."""


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("a NUL character is no text")
    return text


def _an_id(text: str) -> str:
    if not ids.is_id(text):
        raise ValueError("that is no id of a run")
    return text


def _json_of(kind: Any) -> AfterValidator:
    """Text that is JSON of this kind, as SQLite reads it too: written anew, so without NaN."""
    adapter = TypeAdapter(kind)

    def check(text: str) -> str:
        adapter.validate_json(text, strict=True)
        return json.dumps(json.loads(text), allow_nan=False)

    return AfterValidator(check)


NO_NUL = AfterValidator(_without_nul)
Word = Annotated[str, Field(min_length=1, max_length=200), NO_NUL]
Key = Annotated[str, Field(min_length=1, max_length=MOST_KEY_CHARS), NO_NUL]
Text = Annotated[str, Field(max_length=100_000), NO_NUL]
Whole = Annotated[int, Field(ge=-LARGEST, le=LARGEST)]
Count = Annotated[int, Field(ge=0, le=LARGEST)]
Step = Annotated[int, Field(ge=0, le=LAST_STEP)]
Some = Annotated[int, Field(ge=1, le=LARGEST)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Time = Annotated[float, Field(ge=0, le=LAST_SECOND, allow_inf_nan=False)]
RunId = Annotated[str, AfterValidator(_an_id)]
Scalar = bool | Whole | Number | Text | None
Tree = TypeAliasType("Tree", "bool | Whole | Number | Text | list[Tree] | dict[Text, Tree] | None")


class Shape(BaseModel):
    """What it names must be so; what it does not name may be anything that is JSON."""

    model_config = ConfigDict(extra="allow", strict=True)
    __pydantic_extra__: dict[str, Tree] = Field(init=False)  # pyright: ignore


class Part(Shape):
    """A section of a config: its name, and plain values."""

    __pydantic_extra__: dict[str, Scalar] = Field(init=False)  # pyright: ignore
    name: Word


class Config(Shape):
    __pydantic_extra__: dict[str, Scalar | list[Word] | dict[Word, Scalar]] = Field(init=False)  # pyright: ignore
    workload: Part
    dataset: Part
    framework: Word
    accelerator: Word
    devices: Some | list[Word] = 1
    epochs: Some
    batch_size: Some
    precision: Word = "fp32"
    input: Word = "device_resident"


class Device(Shape):
    id: Word
    name: Word
    accelerator: Word
    found_by: Word


class Git(Shape):
    commit: Word
    dirty: bool
    changes: Word | None = None


class Environment(Shape):
    git: Git | None = None
    packages: dict[str, Tree] | None = None
    workload_version: Some | None = None


class GpuBefore(Shape):
    utilisation: Number | None = None
    processes: Number | None = None


class Before(Shape):
    host_cpu: Number | None = None
    gpus: dict[str, GpuBefore] = {}


class Facts(Shape):
    ledger: dict[str, Number] | None = None
    compiles: Number | None = None
    parameters: Number | None = None
    flops_per_step: Number | None = None
    bytes_per_step: Number | None = None
    peak_flops_per_s: Number | None = None
    peak_bytes_per_s: Number | None = None
    peak_memory_bytes: Number | None = None
    peak_source: Text | None = None
    steady_steps: Number | None = None
    steady_s: Number | None = None
    steady_samples_per_s: Number | None = None
    step_windows: list[tuple[Number, Number]] | None = None
    readings: dict[str, Text] = {}
    energy_ranges_j: dict[str, Number] = {}
    before: Before = Before()
    data_sha256: Word | None = None


class Row(BaseModel):
    """A run's own columns. Those that this version does not know are left out."""

    model_config = ConfigDict(extra="ignore", strict=True)

    id: RunId
    name: Annotated[str, Field(max_length=1_000), NO_NUL]
    notes: Text = ""
    submitted_by: Word
    priority: Whole = 0
    config: Annotated[str, Field(max_length=1 << 16), _json_of(Config)]
    workload: Word
    dataset: Word
    framework: Word
    accelerator: Word
    total_steps: Some
    cloned_from: RunId | None = None
    status: Literal["SUCCEEDED", "FAILED", "STOPPED"]
    failure_kind: Word | None = None
    failure: Text | None = None
    submitted_at: Time
    started_at: Time | None = None
    finished_at: Time | None = None
    stop_requested_at: Time | None = None
    stop_requested_by: Word | None = None
    host: Word | None = None
    devices: Annotated[str, Field(max_length=1 << 18), _json_of(list[Device])] = "[]"
    environment: Annotated[str, Field(max_length=1 << 20), _json_of(Environment)] = "{}"
    phase: None = None
    step: Count = 0
    epoch: Amount = 0.0
    last_event_at: Time | None = None
    last_seq: Count = 0
    journal_offset: Count = 0
    damaged_lines: Count = 0
    archived: Annotated[int, Field(ge=0, le=1)] = 0
    facts: Annotated[str, Field(max_length=1 << 20), _json_of(Facts)] = "{}"
    resumed_epoch: Count | None = None
    earlier_s: Annotated[float, Field(ge=0, le=LAST_SECOND, allow_inf_nan=False)] = 0.0
    cool_down_s: Annotated[float, Field(ge=0, le=LAST_SECOND, allow_inf_nan=False)] = 0.0

    @model_validator(mode="after")
    def _steps_of_epochs(self) -> Self:
        if self.total_steps < json.loads(self.config)["epochs"]:
            raise ValueError("a run has at least one step an epoch")
        return self


class About(BaseModel):
    """`run.json` of the file."""

    model_config = ConfigDict(extra="ignore", strict=True)

    run: Row
    tags: Annotated[list[Word], Field(max_length=1_000)]


class Marked(BaseModel):
    """What is looked at first: whose file it is, and which version wrote it."""

    model_config = ConfigDict(extra="ignore", strict=True)

    format: str
    version: Some


Line = tuple[Any, ...]
POINT = TypeAdapter(tuple[Key, Step, Amount, Time, Number | None])
READING = TypeAdapter(tuple[Word, Key, Time, Number])
MARKED, ABOUT = TypeAdapter(Marked), TypeAdapter(About)


def read(adapter: TypeAdapter[Any], text: bytes, where: str) -> Any:
    """What the text holds; raise `NotOurs`."""
    try:
        return adapter.validate_json(text, strict=True)
    except ValidationError as error:
        raise NotOurs(f"in {where}, {_sentence(error)}") from None


def in_order(where: str) -> Callable[[Line], Line]:
    """A check of one point after the other: steps of a metric rise, and each comes once."""
    last: dict[str, int] = {}

    def check(point: Line) -> Line:
        key, step = point[0], point[1]
        if step <= last.get(key, -1):
            raise NotOurs(f"in {where}, step {step:,} of {shown(key)} comes after {last[key]:,}")
        last[key] = step
        return point

    return check


def _sentence(error: ValidationError) -> str:
    """Pydantic's first finding: where, what is wrong, and the value."""
    found = error.errors(include_url=False)
    place, why = found[0]["loc"], found[0]["msg"].removeprefix("Value error, ")
    if place[-1:] in (("bool",), ("constrained-int",)):  # the first kind of several; none took it
        place, why = place[:-1], "a value of that kind does not belong here"
    told = ".".join(map(str, place)) or "all of it"
    return f"{told}: {why[:1].lower()}{why[1:]}, got {shown(found[0]['input'])[:MOST_SHOWN_CHARS]}"
