"""Keras 3 on TensorFlow, on a CPU or one NVIDIA GPU; on virtual devices: `keras_replicas`.

The training loop is one XLA-compiled `tf.function` that takes as many steps as a tensor says: it
is traced once, and no Python runs between steps. `Model.fit` would trace, too, but feed each batch
from the host: several times slower here for a small model.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine import workloads
from engine.checkpoints import WEIGHTS, State
from engine.config import RunConfig
from engine.datasets import Data
from engine.failures import RunFailed
from engine.frameworks import (
    WARM_UP_STEPS,
    Replica,
    Totals,
    evaluation_batches,
    peak_rss_bytes,
)
from engine.job import Job

# TensorFlow reads these once, when it is imported.
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")

# Keras's own choice is True on a GPU and False on a CPU, where that costs `mlp` 4x.
JIT_COMPILE = "True; False for convolutions on a CPU, and on virtual devices"
POLICIES = {"fp32": "float32", "tf32": "float32", "bf16": "mixed_bfloat16", "fp16": "mixed_float16"}


def warm_up() -> None:
    import keras  # noqa: F401
    import tensorflow as tf

    tf.nn  # noqa: B018  TensorFlow imports its parts when they are first used


def launch(main: Callable[[Job, Replica], None], job: Job) -> None:
    main(job, Replica())


def session(job: Job, data: Data, replica: Replica) -> KerasSession:
    import keras
    import tensorflow as tf

    config = job.config
    device = _device(config.accelerator)
    keras.config.set_dtype_policy(POLICIES[config.precision])
    tf.config.experimental.enable_tensor_float_32_execution(config.precision == "tf32")
    if config.virtual_devices:
        from engine.frameworks import keras_replicas

        return keras_replicas.session(config, data)
    with tf.device(device):
        return KerasSession(config, data, device)


def environment() -> dict[str, str]:
    import keras
    import tensorflow as tf

    return {
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "jit_compile": JIT_COMPILE,
        "cuda": str(tf.sysconfig.get_build_info().get("cuda_version")),
    }


class KerasSession:
    warm_up_steps, has_own_format = WARM_UP_STEPS, True

    def __init__(self, config: RunConfig, data: Data, device: str, allows_xla: bool = True) -> None:
        import tensorflow as tf

        from engine.frameworks import keras_optimizers

        workload = workloads.load(config.workload.name)
        self._tf, self._device = tf, device
        self._model = workload.keras_model(config.workload, config.dataset, config.seed)
        self._has_xla = allows_xla and has_xla(self._model, device)
        self._variables = self._model.trainable_variables
        self._optimizer = keras_optimizers.of(config)
        self._optimizer.build(self._variables)
        self._rate = getattr(self._optimizer, "inner_optimizer", self._optimizer).learning_rate
        self._test = [
            (tf.constant(images), tf.constant(labels))
            for images, labels in evaluation_batches(data)
        ]
        self._input_wait_s = 0.0
        self._loader: Iterator[Any] | None = None
        self._from_host = config.input == "host_loader"
        self._workers, self._prefetch = config.loader_workers or None, config.loader_prefetch
        with tf.device("/CPU:0" if self._from_host else device):
            self._images = tf.constant(data.train_images)
            self._labels = tf.constant(data.train_labels)
        steps = self._batch_step if self._from_host else self._steps
        self._train = tf.function(steps, jit_compile=self._has_xla, autograph=False)
        self._judge = tf.function(self._sums, jit_compile=self._has_xla, autograph=False)

    def begin_epoch(self, order: NDArray[np.int64], rates: NDArray[np.float64]) -> None:
        tf = self._tf
        with tf.device(self._device):
            self._order = tf.constant(order)
            self._rates = tf.constant(rates, tf.float32)
            self._done = 0
            self._totals = (tf.constant(0.0, tf.float64), tf.constant(0, tf.int64))
        if self._from_host:
            self._loader = self._batches(order)

    def run(self, steps: int) -> Totals:
        first, self._done = self._done, self._done + steps
        with self._tf.device(self._device):
            if self._loader:
                self._run_from_loader(self._loader, first)
            else:
                self._run_on_device(first)
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
        """Traces: each makes a graph, and with XLA that is compiled once."""
        functions = (self._train, self._judge)
        return sum(function.experimental_get_tracing_count() for function in functions)

    def input_wait_s(self) -> float:
        return self._input_wait_s

    def peak_memory_bytes(self) -> int | None:
        if self._device == "/CPU:0":
            return peak_rss_bytes()
        return int(self._tf.config.experimental.get_memory_info("GPU:0")["peak"])

    def state(self) -> State:
        weights = {self._name(v): np.array(v) for v in self._model.variables}
        slots = enumerate(self._optimizer.variables)
        return weights | {f"optimizer.{index}": np.array(v) for index, v in slots}

    def restore(self, state: State) -> None:
        for variable in self._model.variables:
            variable.assign(state[self._name(variable)])
        for index, variable in enumerate(self._optimizer.variables):
            variable.assign(state[f"optimizer.{index}"])

    def _name(self, variable: Any) -> str:
        """Without the model's own name, which Keras numbers."""
        return WEIGHTS + variable.path.removeprefix(f"{self._model.name}/")

    def export(self, folder: Path) -> None:
        self._model.save(folder / "model.keras")

    def _run_on_device(self, first: int) -> None:
        bounds = self._tf.constant(first), self._tf.constant(self._done)
        self._totals = self._train(self._order, self._rates, *bounds, *self._totals)

    def _run_from_loader(self, loader: Iterator[Any], first: int) -> None:
        for row in range(first, self._done):
            begun = time.perf_counter()
            batch = next(loader)
            self._input_wait_s += time.perf_counter() - begun
            self._totals = self._train(*batch, self._rates[row], *self._totals)

    def _batches(self, order: NDArray[np.int64]) -> Iterator[Any]:
        """One (images, labels) for each row of `order`, gathered by tf.data on the host.

        Its workers are threads; the order stays.
        """
        tf = self._tf
        with tf.device("/CPU:0"):
            rows = tf.data.Dataset.from_tensor_slices(order)
            gathered = rows.map(
                lambda row: (tf.gather(self._images, row), tf.gather(self._labels, row)),
                num_parallel_calls=self._workers,
                deterministic=True if self._workers else None,
            )
            return iter(gathered.prefetch(self._prefetch or tf.data.AUTOTUNE))

    def _steps(self, order: Any, rates: Any, first: Any, end: Any, loss: Any, correct: Any) -> Any:
        """Steps `first` to `end`, in one loop on the device."""
        tf = self._tf

        def step(i: Any, loss: Any, correct: Any) -> Any:
            images, labels = tf.gather(self._images, order[i]), tf.gather(self._labels, order[i])
            return i + 1, *self._batch_step(images, labels, rates[i], loss, correct)

        state = self._tf.while_loop(lambda i, *_: i < end, step, (first, loss, correct))
        return state[1:]

    def _batch_step(self, images: Any, labels: Any, rate: Any, loss: Any, correct: Any) -> Any:
        """One optimizer step; the sums so far with this batch's mean loss and right answers."""
        self._rate.assign(rate)
        batch_loss, right, gradients = self._gradients(images, labels)
        self._optimizer.apply(gradients, self._variables)
        return loss + self._tf.cast(batch_loss, self._tf.float64), correct + right

    def _gradients(self, images: Any, labels: Any) -> tuple[Any, Any, Any]:
        """The samples' mean loss, how many were right, and the gradients."""
        tf = self._tf
        with tf.GradientTape() as tape:
            logits = tf.cast(self._model(images, training=True), tf.float32)
            loss = tf.reduce_mean(_cross_entropy(labels, logits))
            scaled = self._optimizer.scale_loss(loss)
        return loss, _correct(labels, logits), tape.gradient(scaled, self._variables)

    def _sums(self, images: Any, labels: Any) -> tuple[Any, Any]:
        tf = self._tf
        logits = tf.cast(self._model(images, training=False), tf.float32)
        loss = tf.reduce_sum(_cross_entropy(labels, logits))
        return tf.cast(loss, tf.float64), _correct(labels, logits)


def has_xla(model: Any, device: str) -> bool:
    """Whether XLA compiles the model's steps: always, but for convolutions on a CPU.

    In a loop, XLA:CPU leaves its fast convolutions out (github.com/jax-ml/jax/issues/12868): side
    by side, steps of `convnet` and `resnet` took over 20 times as long as with TensorFlow's own.
    """
    from keras import layers

    convolutions = layers.Conv1D, layers.Conv2D, layers.Conv3D
    return device != "/CPU:0" or not any(isinstance(layer, convolutions) for layer in model.layers)


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
