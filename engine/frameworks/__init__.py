"""The frameworks: each a module that satisfies `Framework`, imported in the trainer process only.

The trainer owns the clock, the epochs and the events; a framework owns the arithmetic. So every
framework does the same job in the same order, and one contract suite tests them all.
"""

from __future__ import annotations

import gc
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from engine import peak_memory
from engine.checkpoints import State
from engine.datasets import Data
from engine.job import Job

MODULES = {
    "keras": "engine.frameworks.keras",
    "torch": "engine.frameworks.torch",
    "torch_xla": "engine.frameworks.xla",
}

# Libraries' defaults differ (epsilon 1e-7 in Keras, 1e-8 in torch; decay 0.004 and 0.01): here
# one value goes to all. Betas are 0.9 and 0.999 everywhere.
ADAM_EPSILON = 1e-8
ADAMW_WEIGHT_DECAY = 0.01
SGD_MOMENTUM = 0.9

WARM_UP_STEPS = 2  # tracing and compiling: left out of samples/s
EVALUATION_BATCH = 2000
EVALUATION_BATCH_BYTES = EVALUATION_BATCH * 28 * 28  # fewer of larger pictures, or memory runs out


class Totals(NamedTuple):
    """Sums over the samples of some steps, or of a whole split."""

    loss: float
    correct: int
    samples: int

    def since(self, earlier: Totals) -> Totals:
        return Totals(
            self.loss - earlier.loss, self.correct - earlier.correct, self.samples - earlier.samples
        )

    def plus(self, later: Totals) -> Totals:
        return Totals(
            self.loss + later.loss, self.correct + later.correct, self.samples + later.samples
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
    """A model with its optimizer and its data, on its device.

    After `warm_up_steps` a step is what all later ones are.
    """

    warm_up_steps: int
    has_own_format: bool  # beside arrays by their names, which every checkpoint has

    def begin_epoch(self, order: NDArray[np.int64], rates: NDArray[np.float64]) -> None:
        """Take the epoch's order, [steps, batch]: row i is the samples of step i.

        An epoch whose last batch is smaller begins once more for it, with another batch size.
        `rates`, [steps], is the learning rate of each step.
        """
        ...

    def run(self, steps: int) -> Totals:
        """Take the next `steps` optimizer steps and wait for the device.

        The sums are over all replicas and since the epoch began, added up in the order of the
        steps: so an epoch's sum is the same to the last bit however its steps were parcelled out.
        """
        ...

    def evaluate(self) -> Totals:
        """Sums over the whole test split, with the weights as they are."""
        ...

    def agree(self, value: int) -> int:
        """Replica 0's value, in every replica. All of them call this together."""
        ...

    def compiles(self) -> int:
        """How many programs have been compiled or traced so far; 0 where nothing is."""
        ...

    def input_wait_s(self) -> float:
        """Seconds so far that `run` waited for the host's loader; 0 where there is none."""
        ...

    def peak_memory_bytes(self) -> int | None:
        """The most that was in use on this process's device; None if the framework can't tell."""
        ...

    def state(self) -> State:
        """All that the next epoch depends on: weights under `model.`, then the optimizer's."""
        ...

    def restore(self, state: State) -> None:
        """Go on from a `state` of a session of the same config, to the last bit."""
        ...

    def export(self, folder: Path) -> None:
        """Write the trained model in the framework's own format, if it has one to itself."""
        ...


class Framework(Protocol):
    def warm_up(self) -> None:
        """Import the framework, and touch no device: which one it will be is not known yet."""
        ...

    def launch(self, main: Callable[[Job, Replica], None], job: Job) -> None:
        """Call `main` once in each process that the job's devices take; return when all have."""
        ...

    def session(self, job: Job, data: Data, replica: Replica) -> Session:
        """Build the model and put it, its optimizer and the data on the device."""
        ...

    def environment(self) -> dict[str, str]:
        """Package versions and settings that figures depend on, name -> value."""
        ...


def load(name: str) -> Framework:
    """Import a framework's module; the framework itself is imported when it is first used."""
    return cast(Framework, importlib.import_module(MODULES[name]))


@contextmanager
def importing() -> Iterator[None]:
    """Nothing that is imported is garbage. To look for some takes a tenth to a fifth of an import,
    and would go on to take time of every later search.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def peak_rss_bytes() -> int:
    """The most memory that this process has had resident for its training."""
    return peak_memory.of_this_process.bytes()


def evaluation_batches(data: Data) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """The test split in batches of at most two sizes, so that compilers see two shapes at most."""
    of_a_sample = int(np.prod(data.test_images.shape[1:]))
    most = min(EVALUATION_BATCH, max(1, EVALUATION_BATCH_BYTES // of_a_sample))
    parts = -(-len(data.test_labels) // most)
    images = np.array_split(data.test_images, parts)
    yield from zip(images, np.array_split(data.test_labels, parts), strict=True)
