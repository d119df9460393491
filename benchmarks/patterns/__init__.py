"""The training loops as the pattern's examples write them: what ours is measured against.

Each is a process of its own: `python -m benchmarks.patterns.keras_fit FOLDER EPOCHS`. FOLDER is
where Fashion-MNIST is cached. Each epoch is a line of JSON: seconds since training began (after
imports and data, before the model is built), seconds of its steps, and test accuracy.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from engine import datasets
from engine.config import FashionMnist
from engine.datasets import Data

PIXEL_SCALE = 255.0
HIDDEN, CLASSES, RATE = 128, 10, 1e-3


def arguments() -> tuple[Data, int]:
    """The data set, and how many epochs to train."""
    return datasets.load(FashionMnist(), Path(sys.argv[1])), int(sys.argv[2])


class Clock:
    """Starts when training does."""

    def __init__(self) -> None:
        self._begun = time.perf_counter()

    def epoch(self, steps_s: float, accuracy: float) -> None:
        line = {"at_s": time.perf_counter() - self._begun, "steps_s": steps_s}
        sys.stdout.write(json.dumps(line | {"accuracy": accuracy}) + "\n")
        sys.stdout.flush()
