"""The environment that the TPU's compiler lives in, made when it is first needed."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

from engine.settings import PROJECT, TPU_CHECK_PYTHON, Settings

SETUP = ("sh", str(PROJECT / "bin" / "setup"), "tpu")


class CheckImpossible(RuntimeError):
    """The compiler could not be asked; one sentence says why, and the way out."""


def prepare(settings: Settings, say: Callable[[str], None]) -> None:
    """See to it that the compiler's interpreter is there; raise `CheckImpossible` if it cannot be.

    Only the project's own environment is installed, and mended when its pins have changed.
    """
    if settings.python_tpu_check != TPU_CHECK_PYTHON:
        if not settings.python_tpu_check.is_file():
            raise CheckImpossible(
                f"ACCELBOARD_PYTHON_TPU_CHECK names {str(settings.python_tpu_check)!r}, which is "
                "no interpreter. Name one that has jax and libtpu, or leave it unset."
            )
        return
    with subprocess.Popen(
        SETUP, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace"
    ) as process:
        said = [line.strip() for line in process.stderr or () if line.strip() and not say(line)]
    if process.returncode:
        raise CheckImpossible(
            f"The TPU's compiler could not be installed ({_reason(said)}). It needs x86-64 Linux "
            "and a package index; `sh bin/setup tpu` tries again and says all that goes wrong."
        )


def _reason(said: list[str]) -> str:
    """uv's error and the last of its causes; else the last words."""
    found = [line.split(": ", 1)[1] for line in said if line.startswith(("error: ", "cause: "))]
    told = [found[0], found[-1]] if len(found) > 1 else found or said[-1:]
    return "; ".join(told).rstrip(".")
