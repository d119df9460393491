"""Small results that are kept in the cache folder from run to run, as JSON."""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def read(path: Path, kind: type[T]) -> T | None:
    """What was kept; None if nothing was, or nothing that this version can read."""
    try:
        return kind(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def write(path: Path, value: Any) -> None:
    """Keep a dataclass's fields, in one step; where that cannot be, it is found out again."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as part:
            json.dump(asdict(value), part)
        Path(part.name).replace(path)
    except OSError as error:
        print(f"{path} was not kept: {error.strerror}.", file=sys.stderr)
