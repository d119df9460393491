"""Learning rates: what each step of a run uses, as an array that every framework is given."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.config import RunConfig

# One cycle as L. N. Smith and N. Topin (2018) have it, with cosine arcs and the usual divisors.
RISING_SHARE = 0.3
FIRST_DIVISOR, LAST_DIVISOR = 25.0, 25.0e4


def rates(config: RunConfig, epoch: int) -> NDArray[np.float64]:
    """The rate of each step of `epoch` (from 0): [steps]."""
    steps = config.steps_per_epoch
    step = np.arange(epoch * steps, (epoch + 1) * steps, dtype=np.float64)
    return config.learning_rate * SHARES[config.schedule](step, config.total_steps)


def _constant(step: NDArray[np.float64], total: int) -> NDArray[np.float64]:
    return np.ones_like(step)


def _cosine(step: NDArray[np.float64], total: int) -> NDArray[np.float64]:
    """Half a cosine from 1 to 0 after the last step: Loshchilov and Hutter, 2017."""
    return _arc(step / total, 1.0, 0.0)


def _one_cycle(step: NDArray[np.float64], total: int) -> NDArray[np.float64]:
    """Up from 1/25 to 1 over the first 30 % of the steps, then down to 1/250,000."""
    peak = max(1.0, RISING_SHARE * total - 1)
    rising = _arc(np.minimum(step / peak, 1.0), 1 / FIRST_DIVISOR, 1.0)
    falling = _arc((step - peak) / max(1.0, total - 1 - peak), 1.0, 1 / LAST_DIVISOR)
    return np.where(step <= peak, rising, falling)


def _arc(share: NDArray[np.float64], begin: float, end: float) -> NDArray[np.float64]:
    return end + (begin - end) * (1 + np.cos(np.pi * share)) / 2


SHARES = {"constant": _constant, "cosine": _cosine, "one_cycle": _one_cycle}
