"""What a trainer says about its run: six kinds of event, each one JSON line in the journal."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

Phase = Literal["import", "data", "build", "compile", "train", "evaluate"]


@dataclass(frozen=True)
class Started:
    """The trainer is up, and on what. `environment` is versions, driver, host, git commit."""

    environment: dict[str, Any]


@dataclass(frozen=True)
class PhaseStarted:
    """What the trainer does from now on, until the next one."""

    phase: Phase


@dataclass(frozen=True)
class Metrics:
    """Scalars at an optimizer step. `epoch` counts passes and may be fractional.

    A value that is not finite is None: JSON has no NaN, and neither has a curve.
    """

    step: int
    epoch: float
    values: dict[str, float | None]


@dataclass(frozen=True)
class Facts:
    """What the trainer found out about the run as a whole; a later value takes an earlier's place.

    `ledger`: seconds by account. `checkpoint`: the epochs it holds. `flops_per_step` and others.
    """

    values: dict[str, Any]


@dataclass(frozen=True)
class Finished:
    """The last event of a run that came to an orderly end."""

    status: Literal["SUCCEEDED", "STOPPED"]


@dataclass(frozen=True)
class Failed:
    """The last event of a run that failed and knew it. `kind` is a `FailureKind`."""

    kind: str
    sentence: str


Event = Started | PhaseStarted | Metrics | Facts | Finished | Failed
KINDS: dict[str, type[Event]] = {
    "started": Started,
    "phase": PhaseStarted,
    "metrics": Metrics,
    "facts": Facts,
    "finished": Finished,
    "failed": Failed,
}
NAMES = {kind: name for name, kind in KINDS.items()}


def to_json(event: Event) -> dict[str, Any]:
    return {"type": NAMES[type(event)], **asdict(event)}


def from_json(raw: dict[str, Any]) -> Event:
    """Raise `KeyError` or `TypeError` if `raw` is no event of ours."""
    fields = dict(raw)
    event = KINDS[fields.pop("type")](**fields)
    if isinstance(event, Metrics):
        _check_numbers([event.step, event.epoch, *event.values.values()])
    elif isinstance(event, Started | Facts):
        if not all(isinstance(value, dict) for value in fields.values()):
            raise TypeError("what is found has names")
    elif not all(isinstance(value, str) for value in fields.values()):
        raise TypeError("words are expected")
    return event


def _check_numbers(values: Iterable[object]) -> None:
    if not all(value is None or isinstance(value, (int, float)) for value in values):
        raise TypeError("numbers are expected")


def finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
