"""PyTorch, on a CPU or NVIDIA GPUs; on several devices, each has a process: `torch_replicas`.

Data, order and learning rates live on the device, the update is one kernel, and nothing waits for
the device before the end of `run`. The first step is recorded and replayed: on a CPU below Python,
on a GPU as a CUDA graph; that path is written after PyTorch's documentation and has not run on a
GPU. A single GPU is `cuda:0`: the launcher shows this process only those of its run.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine import workloads
from engine.checkpoints import State
from engine.config import RunConfig
from engine.datasets import Data
from engine.failures import RunFailed
from engine.frameworks import (
    WARM_UP_STEPS,
    Replica,
    Totals,
    evaluation_batches,
    peak_rss_bytes,
    processes,
    torch_state,
)
from engine.frameworks.host_loader import HostLoader
from engine.frameworks.torch_update import Update
from engine.job import Job

if TYPE_CHECKING:
    import torch

STEPS_BEFORE_GRAPH = 3  # what PyTorch's documentation asks for


def warm_up() -> None:
    from engine.frameworks import torch_recorded  # noqa: F401


def launch(main: Callable[[Job, Replica], None], job: Job) -> None:
    if job.config.device_count == 1:
        return main(job, Replica())
    return processes.launch(main, job)


def session(job: Job, data: Data, replica: Replica) -> TorchSession:
    import torch

    config = job.config
    device = _device(config.accelerator, replica.rank)
    torch.set_flush_denormal(True)  # threads that start from here on inherit it
    tf32 = config.precision == "tf32"
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = device.type == "cuda"
    if replica.world == 1:
        return TorchSession(config, data, device)
    from engine.frameworks.torch_replicas import ReplicatedSession

    return ReplicatedSession(config, data, device, replica, job.run_dir)


def environment() -> dict[str, str]:
    warm_up()
    import torch

    return {
        "torch": torch.__version__,
        "numpy": np.__version__,
        "torch.version.cuda": str(torch.version.cuda),
        "torch.num_threads": str(torch.get_num_threads()),
        "CUDA graph": str(torch.cuda.is_available()),
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "not set"),
        "GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT", "not set"),
    }


class TorchSession:
    """One step is one function of tensors that stay where they are, so a GPU can record it once as
    a CUDA graph and replay it: launching it costs one call then, not some fifty.
    """

    has_own_format = False

    def __init__(self, config: RunConfig, data: Data, device: torch.device) -> None:
        import torch

        self.warm_up_steps = WARM_UP_STEPS
        if device.type == "cuda":
            self.warm_up_steps = STEPS_BEFORE_GRAPH + 1
        self._recorded = 0
        workload = workloads.load(config.workload.name)
        model = workload.torch_model(config.workload, config.dataset, config.seed)
        self._torch, self._device, self._precision = torch, device, config.precision
        self._model = model.to(device)
        self._rate = torch.zeros(1, device=device)
        self._parameters = list(self._model.parameters())
        self._update = Update(config, self._parameters, self._rate[0])
        self._order, self._rates = torch.zeros(0), torch.zeros(0)
        self._take: Callable[[int], None] = self._one_by_one
        self._places: dict[tuple[int, ...], tuple[Any, ...]] = {}
        self.is_recorded = device.type == "cpu" and config.precision == "fp32"
        self._scaler = torch.GradScaler(device.type, enabled=config.precision == "fp16")
        self._test = [self._placed(*batch) for batch in evaluation_batches(data)]
        self._input_wait_s = 0.0
        self._loader: Iterator[Any] | None = None
        self._host: HostLoader | None = None
        self._shape = config.dataset.shape
        if config.input == "host_loader":
            self._host = HostLoader(config, data)
            self._images, self._labels = torch.zeros(0), torch.zeros(0)
        else:
            self._images, self._labels = self._placed(data.train_images, data.train_labels)
        self._row = torch.zeros(1, dtype=torch.int64, device=device)
        self._loss = torch.zeros((), dtype=torch.float64, device=device)
        self._correct = torch.zeros((), dtype=torch.int64, device=device)

    def begin_epoch(self, order: NDArray[np.int64], rates: NDArray[np.float64]) -> None:
        torch = self._torch
        self._batch = order.shape[1]
        if self._order.shape != order.shape:
            self._go_to_place(order.shape)
        self._order.copy_(torch.from_numpy(order))
        self._rates.copy_(torch.from_numpy(rates))
        for counter in (self._row, self._loss, self._correct):
            counter.zero_()
        self._done = 0
        if self._host:
            self._loader = self._host.epoch(order)

    def _go_to_place(self, shape: tuple[int, ...]) -> None:
        """Where steps of this shape are taken: what was recorded for another shape is kept."""
        here = (self._order, self._rates, self._images, self._labels, self._take)
        self._places[tuple(self._order.shape)] = here
        if shape not in self._places:
            self._make_place(shape)
            return
        self._order, self._rates, self._images, self._labels, self._take = self._places[shape]

    def _make_place(self, shape: tuple[int, ...]) -> None:
        """For epochs of this shape; a graph for others is recorded anew.

        Order and rates stay in one place, since a recorded step knows them by their address.
        """
        torch, device = self._torch, self._device
        self._order = torch.zeros(shape, dtype=torch.int64, device=device)
        self._rates = torch.zeros(shape[0], dtype=self._rate.dtype, device=device)
        if self._host:  # the loader fills these anew for each step
            self._images = torch.zeros(shape[1], *self._shape, dtype=torch.uint8, device=device)
            self._labels = torch.zeros(shape[1], dtype=torch.int64, device=device)
        is_graph = device.type == "cuda" and not self._host
        recording = self._record if self.is_recorded else self._one_by_one
        self._take = self._graph() if is_graph else recording

    def run(self, steps: int) -> Totals:
        self._model.train()
        if self._loader:
            for _ in range(steps):
                self._load(self._loader)
                self._take(1)
        else:
            self._take(steps)
        self._done += steps
        batch = self._batch
        return Totals(self._loss.item() * batch, int(self._correct.item()), self._done * batch)

    def evaluate(self) -> Totals:
        torch = self._torch
        self._model.eval()
        loss = torch.zeros((), dtype=torch.float64, device=self._device)
        correct = torch.zeros((), dtype=torch.int64, device=self._device)
        with torch.no_grad():
            for images, labels in self._test:
                logits = self._logits(images)
                loss += torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
                correct += (logits.argmax(1) == labels).sum()
        return Totals(
            loss.item(), int(correct.item()), sum(len(labels) for _, labels in self._test)
        )

    def agree(self, value: int) -> int:
        return value

    def compiles(self) -> int:
        """Recordings of the step, as a CUDA graph on a GPU."""
        return self._recorded

    def input_wait_s(self) -> float:
        return self._input_wait_s

    def peak_memory_bytes(self) -> int | None:
        if self._device.type == "cpu":
            return peak_rss_bytes()
        return self._torch.cuda.max_memory_allocated(self._device)

    def state(self) -> State:
        return torch_state.saved(self._model, self._update.slots(), self._scaler)

    def restore(self, state: State) -> None:
        self._update.take(torch_state.restored(state, self._model, self._scaler))

    def export(self, folder: Path) -> None:
        """The checkpoint's `model.` arrays are PyTorch's own `state_dict`."""

    def _one_by_one(self, steps: int) -> None:
        for _ in range(steps):
            self._step()

    def _record(self, steps: int) -> None:
        """Take the first step and record it; from then on it is replayed."""
        from engine.frameworks.torch_recorded import NotRecordable, Recording

        try:
            self._take = Recording(self._step, self._lasting())
            self._recorded += 1
        except NotRecordable as why:
            warnings.warn(f"Each step is taken as it is, and not replayed: {why}", stacklevel=1)
            self._take = self._one_by_one
        self._take(steps - 1)

    def _lasting(self) -> list[torch.Tensor]:
        """All that a step reads or changes; gradients are made anew in each."""
        of_data = [self._images, self._labels, self._order, self._rates]
        counters = [self._row, self._rate, self._loss, self._correct]
        of_model = [*self._parameters, *self._model.buffers(), *self._update.tensors()]
        return [*of_data, *counters, *of_model]

    def _step(self) -> None:
        """One optimizer step on the next row of the order."""
        torch = self._torch
        torch.index_select(self._rates, 0, self._row, out=self._rate)
        images, labels = (self._images, self._labels) if self._host else self._chosen()
        logits = self._logits(images)
        loss = torch.nn.functional.cross_entropy(logits, labels)
        scaled = self._scaler.scale(loss)
        gradients = torch.autograd.grad(scaled, self._parameters)
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.grad = gradient
        self._exchange()
        self._scaler.step(self._update)  # pyright: ignore[reportArgumentType]
        self._scaler.update()
        self._loss += loss.detach()
        self._correct += (logits.argmax(1) == labels).sum()
        self._row += 1

    def _exchange(self) -> None:
        """What replicas do with their gradients before the update; one alone has no need."""

    def _chosen(self) -> tuple[torch.Tensor, torch.Tensor]:
        chosen = self._order.index_select(0, self._row)[0]
        return self._images.index_select(0, chosen), self._labels.index_select(0, chosen)

    def _load(self, loader: Iterator[Any]) -> None:
        """The next batch, to where a step expects it."""
        begun = time.perf_counter()
        images, labels = next(loader)
        self._input_wait_s += time.perf_counter() - begun
        self._images.copy_(images, non_blocking=True)
        self._labels.copy_(labels, non_blocking=True)

    def _graph(self) -> Callable[[int], None]:
        """The step for a GPU: taken a few times as it is, then recorded, from then on replayed.

        PyTorch wants the steps before a recording on a stream of their own. Recording runs nothing.
        """
        torch = self._torch
        stream, taken, graph = torch.cuda.Stream(self._device), 0, torch.cuda.CUDAGraph()

        def replay() -> None:
            nonlocal taken
            taken += 1
            if taken > STEPS_BEFORE_GRAPH + 1:
                graph.replay()
            elif taken > STEPS_BEFORE_GRAPH:
                with torch.cuda.graph(graph):
                    self._step()
                self._recorded += 1
                graph.replay()
            else:
                stream.wait_stream(torch.cuda.current_stream(self._device))
                with torch.cuda.stream(stream):
                    self._step()
                torch.cuda.current_stream(self._device).wait_stream(stream)

        def take(steps: int) -> None:
            for _ in range(steps):
                replay()

        return take

    def _placed(
        self, images: NDArray[np.uint8], labels: NDArray[np.int64]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        torch = self._torch
        return (
            torch.tensor(images, device=self._device),
            torch.tensor(labels, device=self._device),
        )

    def _logits(self, images: torch.Tensor) -> torch.Tensor:
        """In float32 for the loss, whatever the model computed in."""
        torch = self._torch
        half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self._precision)
        if half is None:
            return self._model(images)
        with torch.autocast(self._device.type, dtype=half):
            return self._model(images).float()


def _device(accelerator: str, rank: int) -> torch.device:
    import torch

    if accelerator == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise RunFailed(
            "device_missing",
            "PyTorch sees no CUDA GPU. Check the NVIDIA driver with nvidia-smi, and that this "
            "PyTorch was built for CUDA; or run on the CPU.",
        )
    return torch.device(f"cuda:{rank}")
