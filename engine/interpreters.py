"""What other interpreters can import: those of trainers may be others than the dashboard's own."""

from __future__ import annotations

import json
import subprocess
import time
from functools import lru_cache
from pathlib import Path

from engine.settings import PROJECT

# Packages that can be imported -> version, null where their version goes by another name.
ASK = """
import importlib.metadata, importlib.util, json, sys

def version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None

print(json.dumps({n: version(n) for n in sys.argv[1:] if importlib.util.find_spec(n)}))
"""
ANSWER_S = 20.0
ASK_AGAIN_S = 60.0


def versions(interpreter: Path, packages: tuple[str, ...]) -> dict[str, str | None] | None:
    """Those of the packages that an interpreter can import, with versions; None if it can't tell.

    It is asked once a minute at most.
    """
    return _asked(interpreter, packages, int(time.monotonic() / ASK_AGAIN_S))


@lru_cache(maxsize=16)
def _asked(
    interpreter: Path, packages: tuple[str, ...], _minute: int
) -> dict[str, str | None] | None:
    try:
        answer = subprocess.run(
            [str(interpreter), "-c", ASK, *packages], cwd=PROJECT, stdin=subprocess.DEVNULL,
            capture_output=True, timeout=ANSWER_S, check=True,
        )  # fmt: skip
        return json.loads(answer.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
