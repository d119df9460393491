"""Keras on several virtual devices of one CPU: TensorFlow's MirroredStrategy, data-parallel.

Every device has a copy of the weights and takes its share of each batch; gradients are averaged
before the update. The loop is one `tf.function` as on one device, without XLA, which does not
compile a program over several of TensorFlow's devices.
"""

from __future__ import annotations

from typing import Any

from engine.config import RunConfig
from engine.datasets import Data
from engine.frameworks.keras import KerasSession


def session(config: RunConfig, data: Data) -> MirroredSession:
    import tensorflow as tf

    count = config.device_count
    cpu = tf.config.list_physical_devices("CPU")[0]
    logical = [tf.config.LogicalDeviceConfiguration()] * count
    tf.config.set_logical_device_configuration(cpu, logical)
    strategy = tf.distribute.MirroredStrategy([f"CPU:{index}" for index in range(count)])
    with strategy.scope():
        return MirroredSession(config, data, strategy)


class MirroredSession(KerasSession):
    def __init__(self, config: RunConfig, data: Data, strategy: Any) -> None:
        self._strategy, self._devices = strategy, config.device_count
        super().__init__(config, data, "/CPU:0", allows_xla=False)

    def _batch_step(self, images: Any, labels: Any, rate: Any, loss: Any, correct: Any) -> Any:
        """One optimizer step of all devices together."""
        tf, strategy = self._tf, self._strategy
        self._rate.assign(rate)
        losses, corrects = strategy.run(self._replica_step, (images, labels))
        mean = strategy.reduce(tf.distribute.ReduceOp.MEAN, losses, axis=None)
        right = strategy.reduce(tf.distribute.ReduceOp.SUM, corrects, axis=None)
        return loss + tf.cast(mean, tf.float64), correct + right

    def _replica_step(self, images: Any, labels: Any) -> tuple[Any, Any]:
        """What each device does with its share: every n-th sample of the batch."""
        tf = self._tf
        context = tf.distribute.get_replica_context()
        rank, step = context.replica_id_in_sync_group, self._devices
        loss, correct, gradients = self._gradients(images[rank::step], labels[rank::step])
        averaged = context.all_reduce(tf.distribute.ReduceOp.MEAN, gradients)
        self._optimizer.apply(averaged, self._variables)
        return loss, correct
