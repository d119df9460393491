"""The frameworks: each a module that satisfies `Framework`, imported in the trainer process only.

The trainer owns the clock, the epochs and the events; a framework owns the arithmetic. So every
framework does the same job in the same order, and one contract suite tests them all.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from engine.datasets import Data
from engine.job import Job

MODULES = {
    "keras": "engine.frameworks.keras",
    "torch": "engine.frameworks.torch",
    "torch_xla": "engine.frameworks.xla",
}
# The installed package that each framework is known by, for versions and for "is it here?".
PACKAGES = {"keras": "tensorflow", "torch": "torch", "torch_xla": "torch_xla"}


class Totals(NamedTuple):
    """Sums over the samples of some steps, or of a whole split."""

    loss: float
    correct: int
    samples: int

    def __add__(self, other: object) -> Totals:
        assert isinstance(other, Totals)
        return Totals(
            self.loss + other.loss, self.correct + other.correct, self.samples + other.samples
        )

    @property
    def mean_loss(self) -> float:
        return self.loss / self.samples

    @property
    def accuracy(self) -> float:
        return self.correct / self.samples


class Replica(NamedTuple):
    """Which of a run's processes this is. Replica 0 writes the journal."""

    rank: int = 0
    world: int = 1


class Session(Protocol):
    """A model with its optimizer and its data, on its device."""

    def begin_epoch(self, order: NDArray[np.int64]) -> None:
        """Take the epoch's order, [steps, batch]: row i is the samples of step i."""
        ...

    def run(self, steps: int) -> Totals:
        """Take the next `steps` optimizer steps and wait for the device: sums over them."""
        ...

    def evaluate(self) -> Totals:
        """Sums over the whole test split, with the weights as they are."""
        ...


class Framework(Protocol):
    def launch(self, main: Callable[[Job, Replica], None], job: Job) -> None:
        """Call `main` once in each process that the job's devices take; return when all have."""
        ...

    def session(self, job: Job, data: Data, replica: Replica) -> Session:
        """Build the model and put it, its optimizer and the data on the device."""
        ...

    def environment(self) -> dict[str, str]:
        """Package versions and settings that figures depend on, name -> value."""
        ...

    def is_out_of_memory(self, error: BaseException) -> bool: ...


def load(name: str) -> Framework:
    """Import a framework's module; the framework itself is imported when it is first used."""
    return cast(Framework, importlib.import_module(MODULES[name]))
