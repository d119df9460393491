"""What a trainer says about its run: six kinds of event, each one JSON line in the journal.

They are structs of msgspec, which checks their fields' types as it reads them, in C speed; a field
that a later version added is passed over.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, structs

Phase = Literal["import", "data", "build", "compile", "train", "evaluate"]


class Started(Struct, frozen=True, gc=False, tag="started"):
    """The trainer is up, and on what. `environment` is versions, driver, host, git commit."""

    environment: dict[str, Any]


class PhaseStarted(Struct, frozen=True, gc=False, tag="phase"):
    """What the trainer does from now on, until the next one."""

    phase: Phase


class Metrics(Struct, frozen=True, gc=False, tag="metrics"):
    """Scalars at an optimizer step. `epoch` counts passes and may be fractional.

    A value that is not finite is None: JSON has no NaN, and neither has a curve.
    """

    step: Annotated[int, Meta(ge=0, lt=1 << 36)]  # the store keys points by so many bits
    epoch: float
    values: dict[str, float | None]


class Facts(Struct, frozen=True, gc=False, tag="facts"):
    """What the trainer found out about the run as a whole; a later value takes an earlier's place.

    `ledger`: seconds by account. `checkpoint`: the epochs it holds. `flops_per_step` and others.
    """

    values: dict[str, Any]


class Finished(Struct, frozen=True, gc=False, tag="finished"):
    """The last event of a run that came to an orderly end."""

    status: Literal["SUCCEEDED", "STOPPED"]


class Failed(Struct, frozen=True, gc=False, tag="failed"):
    """The last event of a run that failed and knew it. `kind` is a `FailureKind`."""

    kind: str
    sentence: str


Event = Started | PhaseStarted | Metrics | Facts | Finished | Failed


def to_json(event: Event) -> dict[str, Any]:
    return {"type": event.__struct_config__.tag, **structs.asdict(event)}


def finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
