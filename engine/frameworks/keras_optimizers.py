"""Keras's optimizers with PyTorch's formulas, so that both frameworks do the same job.

Keras adds Adam's epsilon before it corrects the second moment's bias, PyTorch after; and Keras's
momentum is of updates, which a changing rate makes another thing than PyTorch's, of gradients.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops, optimizers

from engine.config import RunConfig
from engine.frameworks import ADAM_EPSILON, ADAMW_WEIGHT_DECAY, SGD_MOMENTUM


class _TorchAdam:
    """D. Kingma and J. Ba (2015), algorithm 1; with decay, I. Loshchilov and F. Hutter (2019)."""

    def update_step(self: Any, gradient: Any, variable: Any, learning_rate: Any) -> None:
        step = ops.cast(self.iterations + 1, "float32")
        rate: Any = ops.cast(learning_rate, variable.dtype)
        gradient = ops.cast(gradient, variable.dtype)
        m = self._momentums[self._get_variable_index(variable)]
        v = self._velocities[self._get_variable_index(variable)]
        self.assign_add(m, (gradient - m) * (1 - self.beta_1))
        self.assign_add(v, (gradient * gradient - v) * (1 - self.beta_2))
        seen_1: Any = _one_minus_power(self.beta_1, step)
        seen_2: Any = _one_minus_power(self.beta_2, step)
        root: Any = ops.sqrt(v)
        update = m / seen_1 / (root / ops.sqrt(seen_2) + self.epsilon)
        self.assign_sub(variable, rate * update)


class Adam(_TorchAdam, optimizers.Adam):
    pass


class AdamW(_TorchAdam, optimizers.AdamW):
    pass


class Sgd(optimizers.SGD):
    """Momentum of gradients."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        rate: Any = ops.cast(learning_rate, variable.dtype)
        m = self.momentums[self._get_variable_index(variable)]
        self.assign(m, m * self.momentum + ops.cast(gradient, variable.dtype))
        self.assign_sub(variable, m * rate)


def of(config: RunConfig) -> Any:
    """With dynamic loss scaling in fp16, as Keras's own `compile` would add it."""
    rate, decay = config.learning_rate, ADAMW_WEIGHT_DECAY
    makers = {
        "adam": lambda: Adam(rate, epsilon=ADAM_EPSILON),
        "adamw": lambda: AdamW(rate, epsilon=ADAM_EPSILON, weight_decay=decay),
        "sgd": lambda: Sgd(rate, momentum=SGD_MOMENTUM),
    }
    made = makers[config.optimizer]()
    return optimizers.LossScaleOptimizer(made) if config.precision == "fp16" else made


def _one_minus_power(base: float, exponent: Any) -> Any:
    """1 - base ** exponent, without the rounding of a difference of near numbers in float32."""
    return ops.negative(ops.expm1(exponent * float(np.log(base))))
