"""PyTorch/XLA, on a CPU, one TPU chip, or all chips of a TPU host (one process each).

Several virtual devices of a CPU are one process: `xla_spmd`.

Steps are recorded and run as one compiled program. Nothing that changes from step to step may be a
Python number, or each step is a program of its own: so the step counter is a tensor. The
optimizers are torch_xla's own, whose update is one operation: recorded in half the time.

The CPU path is tested. The TPU path is written after torch_xla's documentation and has not run on
a TPU.
"""

from __future__ import annotations

import importlib.metadata
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from engine import workloads
from engine.checkpoints import State
from engine.config import RunConfig
from engine.datasets import Data
from engine.failures import RunFailed
from engine.frameworks import (
    ADAM_EPSILON,
    ADAMW_WEIGHT_DECAY,
    SGD_MOMENTUM,
    WARM_UP_STEPS,
    Replica,
    Totals,
    evaluation_batches,
    peak_rss_bytes,
    torch_state,
)
from engine.frameworks.host_loader import HostLoader
from engine.frameworks.torch_update import Slots
from engine.job import Job

if TYPE_CHECKING:
    import torch

# libtpu's settings for one chip by itself; torch_xla's launcher sets the same.
ONE_CHIP = {
    "TPU_VISIBLE_CHIPS": "0",
    "TPU_CHIPS_PER_PROCESS_BOUNDS": "1,1,1",
    "TPU_PROCESS_BOUNDS": "1,1,1",
}


def warm_up() -> None:
    import torch._dynamo  # noqa: F401  an optimizer imports it
    import torch_xla.amp.syncfree  # noqa: F401


def launch(main: Callable[[Job, Replica], None], job: Job) -> None:
    """One device is this process's; several are a TPU host's, with a process for each chip.

    Not by `torch_xla.launch`: its parent waits for the first chip's process to answer, which it
    does not if another one has failed.

    torch_xla is not imported here for one device: that belongs to the run's import phase.
    """
    os.environ["PJRT_DEVICE"] = job.config.accelerator.upper()
    if job.config.device_count == 1:
        if job.config.accelerator == "tpu":
            for name, value in ONE_CHIP.items():
                os.environ.setdefault(name, value)
        return main(job, Replica())
    if job.config.virtual_devices:
        from engine.frameworks import xla_spmd

        xla_spmd.divide_cpu(job.config.device_count)
        return main(job, Replica())
    from torch_xla._internal import tpu

    from engine.frameworks import processes

    return processes.launch(main, job, tpu.num_local_processes())


def session(job: Job, data: Data, replica: Replica) -> XlaSession:
    if job.config.virtual_devices:
        from engine.frameworks import xla_spmd

        return xla_spmd.session(job.config, data)
    _check_replicas(job.config, replica)
    import torch_xla.backends

    if job.config.accelerator == "tpu" and job.config.precision == "fp32":
        torch_xla.backends.set_mat_mul_precision("highest")
    return XlaSession(job.config, data, replica, _device(job.config.accelerator, replica))


def environment() -> dict[str, str]:
    warm_up()
    import torch

    found = {
        "torch_xla": importlib.metadata.version("torch_xla"),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "PJRT_DEVICE": os.environ.get("PJRT_DEVICE", ""),
    }
    try:
        return found | {"libtpu": importlib.metadata.version("libtpu")}
    except importlib.metadata.PackageNotFoundError:
        return found


class XlaSession:
    warm_up_steps, has_own_format = WARM_UP_STEPS, False

    def __init__(
        self, config: RunConfig, data: Data, replica: Replica, device: torch.device
    ) -> None:
        import torch

        workload = workloads.load(config.workload.name)
        model = workload.torch_model(config.workload, config.dataset, config.seed)
        self._torch, self._device, self._replica = torch, device, replica
        self._bf16 = config.precision == "bf16"
        self._model = model.to(device)
        self._optimizer = optimizer(self._model, config)
        self._no_skip = torch.zeros(()).to(device)  # torch_xla's optimizers skip a step on 1
        self._shape = config.dataset.shape
        self._input_wait_s = 0.0
        self._loader: Iterator[Any] | None = None
        self._host: HostLoader | None = None
        if config.input == "host_loader":
            self._host = HostLoader(config, data)
        else:
            flat = data.train_images.reshape(len(data.train_images), -1)
            self._images = torch.tensor(flat).to(device)
            self._labels = torch.tensor(data.train_labels).to(device)
        self._test = [
            (torch.tensor(images).to(device), torch.tensor(labels).to(device))
            for images, labels in evaluation_batches(data)
        ]
        _wait()

    def begin_epoch(self, order: NDArray[np.int64], rates: NDArray[np.float64]) -> None:
        """Zeros come from the host, as vectors: torch_xla would make constants of scalars."""
        torch, device = self._torch, self._device
        mine = np.ascontiguousarray(order[:, self._replica.rank :: self._replica.world])
        self._rates = torch.tensor(rates, dtype=torch.float32).to(device)
        self._row = torch.zeros(1, dtype=torch.int64).to(device)
        self._done, self._batch = 0, mine.shape[1]
        self._loss = torch.zeros(1, dtype=torch.float64).to(device)
        self._correct = torch.zeros(1, dtype=torch.int64).to(device)
        if self._host:
            self._loader = self._host.epoch(mine)
        else:
            self._lay_out(torch.tensor(mine).to(device))
        _wait()

    def _lay_out(self, order: torch.Tensor) -> None:
        """Put the epoch's samples into its order, once: a step then reads one stretch of memory.

        Gathered in each step, all of the data set would go through a TPU's memory each time.
        """
        import torch_xla.core.xla_model as xm

        self._batches = self._images[order], self._labels[order]
        xm.unlazy(list(self._batches))

    def run(self, steps: int) -> Totals:
        import torch_xla

        self._model.train()
        for _ in range(steps):
            self._step()
            torch_xla.sync()
        self._done += steps
        loss, correct = self._summed(self._loss, self._correct)
        samples = self._done * self._batch * self._replica.world
        return Totals(loss * self._batch, int(correct), samples)

    def evaluate(self) -> Totals:
        """Each replica judges the whole split: their weights are the same, and so are the sums."""
        import torch_xla

        self._model.eval()
        loss, correct, samples = 0.0, 0, 0
        for images, labels in self._test:
            batch_loss, batch_correct = self._judged(images, labels)
            torch_xla.sync()
            loss, correct = loss + batch_loss.item(), correct + int(batch_correct.item())
            samples += len(labels)
        return Totals(loss, correct, samples)

    def agree(self, value: int) -> int:
        if self._replica.world == 1:
            return value
        said = self._torch.tensor([value if self._replica.rank == 0 else 0])
        return int(_sum_over_replicas(said.to(self._device)).item())

    def compiles(self) -> int:
        from torch_xla.debug import metrics

        compiled = metrics.metric_data("CompileTime")
        return compiled[0] if compiled else 0

    def input_wait_s(self) -> float:
        return self._input_wait_s

    def peak_memory_bytes(self) -> int | None:
        import torch_xla.core.xla_model as xm

        if self._device_is_host():
            return peak_rss_bytes()
        return xm.get_memory_info(self._device).get("peak_bytes_used")

    def state(self) -> State:
        return torch_state.saved(self._model, self._slots())

    def restore(self, state: State) -> None:
        import torch_xla

        saved = torch_state.restored(state, self._model)
        for parameter, slots in zip(self._model.parameters(), saved, strict=True):
            placed = {name: value.to(self._device) for name, value in slots.items()}
            self._optimizer.state[parameter] = placed
        torch_xla.sync()  # or the copies would be part of the next step, and that another program

    def export(self, folder: Path) -> None:
        """The checkpoint's `model.` arrays are PyTorch's own `state_dict`."""

    def _slots(self) -> Slots:
        return [self._optimizer.state[parameter] for parameter in self._model.parameters()]

    def _device_is_host(self) -> bool:
        return os.environ["PJRT_DEVICE"] == "CPU"

    def record_step(self) -> tuple[list[torch.Tensor], list[tuple[torch.Tensor, int]]]:
        """Record a step without running it, for the TPU's compiler to be asked about.

        What the step updates; and which of its inputs have a batch's samples along a dimension,
        with that dimension.
        """
        self._model.train()
        batch = self._step()
        made = [value for slots in self._optimizer.state.values() for value in slots.values()]
        kept = [value for value in made if value.numel()]
        weights = [*self._model.parameters(), *self._model.buffers()]
        updated = [*weights, *kept, self._row, self._loss, self._correct]
        if self._loader:
            return updated, [(part, 0) for part in batch]
        return updated, [(part, 1) for part in self._batches]

    def _step(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Record one step; its images and labels."""
        torch = self._torch
        images, labels = self._next_from_loader() if self._loader else self._next_on_device()
        logits = self._logits(images)
        loss = torch.nn.functional.cross_entropy(logits, labels)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._average_gradients()
        self._update(torch.index_select(self._rates, 0, self._row)[0])
        self._row += 1
        self._loss += loss.detach()
        self._correct += (logits.detach().argmax(1) == labels).sum()
        return images, labels

    def _next_on_device(self) -> tuple[torch.Tensor, torch.Tensor]:
        images, labels = (part.index_select(0, self._row)[0] for part in self._batches)
        return images.unflatten(1, self._shape), labels

    def _next_from_loader(self) -> tuple[torch.Tensor, torch.Tensor]:
        assert self._loader is not None
        begun = time.perf_counter()
        images, labels = next(self._loader)
        self._input_wait_s += time.perf_counter() - begun
        return images.to(self._device), labels.to(self._device)

    def _update(self, rate: torch.Tensor) -> None:
        """A whole update at rate 1, of which `rate` is taken: each of them is linear in the rate.

        torch_xla's optimizers take the rate as a number, and another number is another program.
        """
        torch = self._torch
        before = [parameter.detach().clone() for parameter in self._model.parameters()]
        self._optimizer.step(found_inf=self._no_skip)
        with torch.no_grad():
            for parameter, old in zip(self._model.parameters(), before, strict=True):
                parameter.copy_(torch.lerp(old, parameter, rate))

    def _judged(
        self, images: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        torch = self._torch
        with torch.no_grad():
            logits = self._logits(images)
            loss = torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
            return loss, (logits.argmax(1) == labels).sum()

    def _logits(self, images: torch.Tensor) -> torch.Tensor:
        """In float32 for the loss, whatever the model computed in."""
        torch = self._torch
        with torch.autocast("xla", dtype=torch.bfloat16, enabled=self._bf16):
            return self._model(images).float()

    def _average_gradients(self) -> None:
        if self._replica.world > 1:
            import torch_xla.core.xla_model as xm

            xm.reduce_gradients(self._optimizer)

    def _summed(self, *values: torch.Tensor) -> list[float]:
        """Over all replicas, on the host."""
        if self._replica.world == 1:
            return [value.item() for value in values]
        return [_sum_over_replicas(value.clone()).item() for value in values]


def _wait() -> None:
    """For what is on its way to the device, so that no later stretch of time pays for it."""
    import torch_xla.core.xla_model as xm

    xm.wait_device_ops()


def _sum_over_replicas(value: torch.Tensor) -> torch.Tensor:
    import torch_xla.core.xla_model as xm

    return cast("torch.Tensor", xm.all_reduce(xm.REDUCE_SUM, value))


def optimizer(model: torch.nn.Module, config: RunConfig) -> Any:
    """torch_xla's own, at rate 1: torch's formulas, each parameter's update one operation."""
    from torch_xla.amp.syncfree.adam import Adam
    from torch_xla.amp.syncfree.adamw import AdamW
    from torch_xla.amp.syncfree.sgd import SGD

    parameters, decay = model.parameters(), ADAMW_WEIGHT_DECAY
    makers = {
        "adam": lambda: Adam(parameters, 1.0, eps=ADAM_EPSILON),
        "adamw": lambda: AdamW(parameters, 1.0, eps=ADAM_EPSILON, weight_decay=decay),
        "sgd": lambda: SGD(parameters, 1.0, momentum=SGD_MOMENTUM),
    }
    return makers[config.optimizer]()


def _device(accelerator: str, replica: Replica) -> torch.device:
    import torch_xla
    from torch_xla._internal import pjrt

    try:
        if replica.world > 1:  # as torch_xla.launch has each of its processes do
            pjrt.initialize_multiprocess(replica.rank, replica.world)
        return torch_xla.device()
    except RuntimeError as error:
        raise RunFailed(
            "device_missing",
            f"PyTorch/XLA found no {accelerator.upper()} ({str(error).splitlines()[0]}). Check "
            "that it is there and that no other process has it.",
        ) from error


def _check_replicas(config: RunConfig, replica: Replica) -> None:
    if replica.world != config.device_count:
        raise RunFailed(
            "device_missing",
            f"The run asks for {config.device_count} devices and this host has {replica.world}. "
            f"Take one, or all {replica.world}.",
        )
