"""Keras 3 on TensorFlow, on a CPU or one NVIDIA GPU.

The training loop is one XLA-compiled `tf.function` that takes as many steps as a tensor says: it
is traced once, and no Python runs between steps. `Model.fit` would trace, too, but feed each batch
from the host: several times slower here for a small model.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine import workloads
from engine.config import RunConfig
from engine.datasets import Data
from engine.failures import RunFailed
from engine.frameworks import (
    ADAM_EPSILON,
    ADAMW_WEIGHT_DECAY,
    SGD_MOMENTUM,
    Replica,
    Totals,
    evaluation_batches,
)
from engine.job import Job

# TensorFlow reads these once, when it is imported.
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")

JIT_COMPILE = True  # Keras's own choice is True on a GPU and False on a CPU, where it costs 4x
POLICIES = {"fp32": "float32", "tf32": "float32", "bf16": "mixed_bfloat16", "fp16": "mixed_float16"}


def launch(main: Callable[[Job, Replica], None], job: Job) -> None:
    main(job, Replica())


def session(job: Job, data: Data, replica: Replica) -> KerasSession:
    import keras
    import tensorflow as tf

    config = job.config
    device = _device(config.accelerator)
    keras.config.set_dtype_policy(POLICIES[config.precision])
    tf.config.experimental.enable_tensor_float_32_execution(config.precision == "tf32")
    with tf.device(device):
        return KerasSession(config, data, device)


def environment() -> dict[str, str]:
    import keras
    import tensorflow as tf

    return {
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "jit_compile": str(JIT_COMPILE),
        "cuda": str(tf.sysconfig.get_build_info().get("cuda_version")),
    }


def is_out_of_memory(error: BaseException) -> bool:
    """TensorFlow's ResourceExhaustedError, or XLA's message inside another of its errors."""
    if any(kind.__name__ == "ResourceExhaustedError" for kind in type(error).__mro__):
        return True
    said = str(error)
    return "RESOURCE_EXHAUSTED" in said or "Out of memory" in said


class KerasSession:
    def __init__(self, config: RunConfig, data: Data, device: str) -> None:
        import tensorflow as tf

        workload = workloads.load(config.workload.name)
        self._tf, self._device = tf, device
        self._model = workload.keras_model(config.workload, config.dataset, config.seed)
        self._variables = self._model.trainable_variables
        self._optimizer = optimizer(config)
        self._optimizer.build(self._variables)
        self._images = tf.constant(data.train_images)
        self._labels = tf.constant(data.train_labels)
        self._test = [
            (tf.constant(images), tf.constant(labels))
            for images, labels in evaluation_batches(data)
        ]
        self._train = tf.function(self._steps, jit_compile=JIT_COMPILE, autograph=False)
        self._judge = tf.function(self._sums, jit_compile=JIT_COMPILE, autograph=False)

    def begin_epoch(self, order: NDArray[np.int64]) -> None:
        tf = self._tf
        with tf.device(self._device):
            self._order = tf.constant(order)
            self._done = 0
            self._totals = (tf.constant(0.0, tf.float64), tf.constant(0, tf.int64))

    def run(self, steps: int) -> Totals:
        tf = self._tf
        first, self._done = self._done, self._done + steps
        with tf.device(self._device):
            bounds = tf.constant(first), tf.constant(self._done)
            self._totals = self._train(self._order, *bounds, *self._totals)
        batch = self._order.shape[1]
        loss, correct = (total.numpy() for total in self._totals)
        return Totals(float(loss) * batch, int(correct), self._done * batch)

    def evaluate(self) -> Totals:
        with self._tf.device(self._device):
            sums = [self._judge(images, labels) for images, labels in self._test]
        loss = sum(float(loss.numpy()) for loss, _ in sums)
        correct = sum(int(correct.numpy()) for _, correct in sums)
        return Totals(loss, correct, sum(len(labels) for _, labels in self._test))

    def agree(self, value: int) -> int:
        return value

    def compiles(self) -> int:
        """Traces: each is compiled once."""
        functions = (self._train, self._judge)
        return sum(function.experimental_get_tracing_count() for function in functions)

    def _steps(self, order: Any, first: Any, end: Any, loss: Any, correct: Any) -> Any:
        """Steps `first` to `end`, in one loop on the device."""

        def step(i: Any, loss: Any, correct: Any) -> Any:
            step_loss, step_correct = self._step(order[i])
            return i + 1, loss + step_loss, correct + step_correct

        state = self._tf.while_loop(lambda i, *_: i < end, step, (first, loss, correct))
        return state[1:]

    def _step(self, rows: Any) -> tuple[Any, Any]:
        """One optimizer step on the samples `rows`, [batch]: mean loss and how many were right."""
        tf = self._tf
        images, labels = tf.gather(self._images, rows), tf.gather(self._labels, rows)
        with tf.GradientTape() as tape:
            logits = tf.cast(self._model(images, training=True), tf.float32)
            loss = tf.reduce_mean(_cross_entropy(labels, logits))
            scaled = self._optimizer.scale_loss(loss)
        self._optimizer.apply(tape.gradient(scaled, self._variables), self._variables)
        return tf.cast(loss, tf.float64), _correct(labels, logits)

    def _sums(self, images: Any, labels: Any) -> tuple[Any, Any]:
        tf = self._tf
        logits = tf.cast(self._model(images, training=False), tf.float32)
        loss = tf.reduce_sum(_cross_entropy(labels, logits))
        return tf.cast(loss, tf.float64), _correct(labels, logits)


def optimizer(config: RunConfig) -> Any:
    """With dynamic loss scaling in fp16, as Keras's own `compile` would add it."""
    from keras import optimizers

    rate, decay = config.learning_rate, ADAMW_WEIGHT_DECAY
    makers = {
        "adam": lambda: optimizers.Adam(rate, epsilon=ADAM_EPSILON),
        "adamw": lambda: optimizers.AdamW(rate, epsilon=ADAM_EPSILON, weight_decay=decay),
        "sgd": lambda: optimizers.SGD(rate, momentum=SGD_MOMENTUM),
    }
    made = makers[config.optimizer]()
    return optimizers.LossScaleOptimizer(made) if config.precision == "fp16" else made


def _cross_entropy(labels: Any, logits: Any) -> Any:
    import tensorflow as tf

    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)


def _correct(labels: Any, logits: Any) -> Any:
    import tensorflow as tf

    return tf.reduce_sum(tf.cast(tf.argmax(logits, 1) == labels, tf.int64))


def _device(accelerator: str) -> str:
    """The device's name, with GPUs hidden from a CPU run and their memory grown as needed."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if accelerator == "cpu":
        tf.config.set_visible_devices([], "GPU")
        return "/CPU:0"
    if not gpus:
        raise RunFailed(
            "device_missing",
            "TensorFlow sees no GPU. Check the NVIDIA driver with nvidia-smi, and that the CUDA "
            "libraries are installed; or run on the CPU.",
        )
    tf.config.experimental.set_memory_growth(gpus[0], True)
    return "/GPU:0"
