"""Which of the processes that tests start have their coverage measured: those that are named.

It takes a tenth of a trainer's time, and of a process that is killed nothing is kept.
"""

from __future__ import annotations

import os

NAMES = ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START")
_held: dict[str, str] = {}


def hold_back() -> None:
    """From now on, who starts with this process's environment is not measured."""
    _held.update({name: os.environ.pop(name) for name in NAMES if name in os.environ})


def environment() -> dict[str, str]:
    """What a process needs beside this one's environment to be measured, if this one is."""
    return dict(_held)
