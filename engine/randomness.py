"""Random numbers that are the same in every framework and on every device.

Philox is a counter-based generator: a key names a stream, so nothing depends on what was drawn
before. Each run's weights and each epoch's order have a stream of their own.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

WEIGHTS_STREAM = 0
DATASET_KEY = 2**64 - 1


def weights(seed: int) -> np.random.Generator:
    """The stream that a run's initial weights are drawn from, in the order of its layers."""
    return _stream(seed, WEIGHTS_STREAM)


def dataset() -> np.random.Generator:
    """The stream that synthetic data is drawn from: the same for every run."""
    return _stream(DATASET_KEY, 0)


def epoch_order(seed: int, epoch: int, samples: int, batch_size: int) -> NDArray[np.int64]:
    """Which sample goes where in `epoch` (from 0): int64 [steps, batch], full batches only."""
    steps = samples // batch_size
    order = _stream(seed, epoch + 1).permutation(samples)[: steps * batch_size]
    return order.reshape(steps, batch_size)


def epoch_rest(seed: int, epoch: int, samples: int, batch_size: int) -> NDArray[np.int64]:
    """The samples that `epoch_order` leaves out, as one smaller batch: int64 [1, rest]."""
    done = samples // batch_size * batch_size
    return _stream(seed, epoch + 1).permutation(samples)[done:].reshape(1, -1)


def _stream(seed: int, stream: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=np.array([seed, stream], dtype=np.uint64)))
