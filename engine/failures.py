"""The ways a run fails, told from each other."""

from __future__ import annotations

import signal
from typing import Literal, get_args

FailureKind = Literal[
    "out_of_memory",
    "diverged",
    "crashed",
    "framework_error",
    "data_missing",
    "device_missing",
    "timed_out",
    "stalled",
    "lost",
    "disk_full",
    "checkpoint_unusable",
]
KINDS: tuple[FailureKind, ...] = get_args(FailureKind)


class RunFailed(Exception):
    """Ends a run as FAILED; `sentence` says what happened and the way out."""

    def __init__(self, kind: FailureKind, sentence: str) -> None:
        super().__init__(sentence)
        self.kind: FailureKind = kind
        self.sentence = sentence


def signal_name(number: int) -> str:
    """`SIGKILL`; those of real time, of which few have a name, by their number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def title(kind: str) -> str:
    return kind.replace("_", " ").capitalize()
