"""PyTorch, on a CPU or one NVIDIA GPU.

Data, order and learning rates live on the device, the optimizer is fused, and nothing waits for
the device before the end of `run`. A GPU replays the step as a CUDA graph; that path is written
after PyTorch's documentation and has not run on a GPU. The GPU is `cuda:0`: the launcher shows
this process no other.
"""

from __future__ import annotations

import os
import sys
import time
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
    ADAM_EPSILON,
    ADAMW_WEIGHT_DECAY,
    SGD_MOMENTUM,
    WARM_UP_STEPS,
    Replica,
    Totals,
    evaluation_batches,
    host_loader,
    peak_rss_bytes,
    torch_state,
    torch_update,
)
from engine.job import Job

if TYPE_CHECKING:
    import torch

STEPS_BEFORE_GRAPH = 3  # what PyTorch's documentation asks for


def warm_up() -> None:
    import torch
    import torch._dynamo  # noqa: F401  an optimizer imports it


def launch(main: Callable[[Job, Replica], None], job: Job) -> None:
    main(job, Replica())


def session(job: Job, data: Data, replica: Replica) -> TorchSession:
    import torch

    config = job.config
    device = _device(config.accelerator)
    tf32 = config.precision == "tf32"
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = device.type == "cuda"
    return TorchSession(config, data, device)


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
    }


def is_out_of_memory(error: BaseException) -> bool:
    torch = sys.modules.get("torch")
    kind = getattr(torch, "OutOfMemoryError", MemoryError)
    return isinstance(error, kind) or "DefaultCPUAllocator: can't allocate" in str(error)


class TorchSession:
    """One step is one function of tensors that stay where they are, so a GPU can record it once as
    a CUDA graph and replay it: launching it costs one call then, not some fifty.
    """

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
        self._rate = torch.tensor(config.learning_rate, device=device)
        self._optimizer = optimizer(self._model, config, self._rate)
        self._config, self._parameters = config, list(self._model.parameters())
        self._fused: Callable[[], None] | None = None
        self._rates = torch.zeros(0)
        self._scaler = torch.GradScaler(device.type, enabled=config.precision == "fp16")
        self._test = [self._placed(*batch) for batch in evaluation_batches(data)]
        self._input_wait_s = 0.0
        self._loader: Iterator[Any] | None = None
        self._host = data if config.input == "host_loader" else None
        if self._host is None:
            self._images, self._labels = self._placed(data.train_images, data.train_labels)
        self._batches: tuple[torch.Tensor, ...] = ()
        self._row = torch.zeros(1, dtype=torch.int64, device=device)
        self._loss = torch.zeros((), dtype=torch.float64, device=device)
        self._correct = torch.zeros((), dtype=torch.int64, device=device)

    def begin_epoch(self, order: NDArray[np.int64], rates: NDArray[np.float64]) -> None:
        torch = self._torch
        steps, self._batch = order.shape
        if len(self._rates) != steps:
            self._make_place(steps)
        self._rates.copy_(torch.from_numpy(rates))
        for counter in (self._row, self._loss, self._correct):
            counter.zero_()
        self._done = 0
        if self._host:
            images, labels = self._host.train_images, self._host.train_labels
            on_gpu = self._device.type == "cuda"
            self._loader = host_loader.batches(images, labels, order, pin_memory=on_gpu)
        else:
            self._lay_out(torch.from_numpy(order).to(self._device))

    def _make_place(self, steps: int) -> None:
        """For epochs of so many steps; what was recorded for others is recorded anew."""
        self._rates = self._torch.zeros(steps, dtype=self._rate.dtype, device=self._device)
        self._batches = ()
        on_gpu = self._device.type == "cuda"
        self._replay = self._graph() if on_gpu and not self._host else self._step

    def _lay_out(self, order: torch.Tensor) -> None:
        """Put the epoch's samples into its order, once: each step reads one stretch of memory.

        They stay in one place, since a recorded step knows it by its address.
        """
        parts = self._images, self._labels
        if self._batches:
            for place, part in zip(self._batches, parts, strict=True):
                place.copy_(part[order])
        else:
            self._batches = tuple(part[order] for part in parts)

    def run(self, steps: int) -> Totals:
        self._model.train()
        for _ in range(steps):
            self._replay()
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
        """CUDA graphs that were recorded."""
        return self._recorded

    def input_wait_s(self) -> float:
        return self._input_wait_s

    def peak_memory_bytes(self) -> int | None:
        if self._device.type == "cpu":
            return peak_rss_bytes()
        return self._torch.cuda.max_memory_allocated(self._device)

    def state(self) -> State:
        return torch_state.saved(self._model, self._optimizer, self._scaler)

    def restore(self, state: State) -> None:
        torch_state.restored(state, self._model, self._optimizer, self._scaler)
        self._fused = None

    def export(self, folder: Path) -> None:
        """The checkpoint's `model.` arrays are PyTorch's own `state_dict`."""

    def _step(self) -> None:
        """One optimizer step on the next row of the order."""
        self._rate.copy_(self._rates.index_select(0, self._row)[0])
        images, labels = self._next_from_loader() if self._loader else self._next_on_device()
        logits = self._logits(images)
        loss = self._torch.nn.functional.cross_entropy(logits, labels)
        for parameter in self._parameters:
            parameter.grad = None
        self._scaler.scale(loss).backward()
        self._update()
        self._loss += loss.detach()
        self._correct += (logits.detach().argmax(1) == labels).sum()
        self._row += 1

    def _update(self) -> None:
        """One update. `step` of the optimizer costs more than its kernel in a small model, so from
        the second update on the kernel is called for what it is, on the optimizer's own state.
        """
        if self._scaler.is_enabled():
            self._scaler.step(self._optimizer)
            self._scaler.update()
        elif self._fused is None:
            self._optimizer.step()
            self._fused = torch_update.of(self._config, self._optimizer, self._rate)
        else:
            self._fused()

    def _next_on_device(self) -> tuple[torch.Tensor, torch.Tensor]:
        images, labels = (part.index_select(0, self._row)[0] for part in self._batches)
        return images, labels

    def _next_from_loader(self) -> tuple[torch.Tensor, torch.Tensor]:
        assert self._loader is not None
        begun = time.perf_counter()
        images, labels = next(self._loader)
        self._input_wait_s += time.perf_counter() - begun
        to = self._device
        return images.to(to, non_blocking=True), labels.to(to, non_blocking=True)

    def _graph(self) -> Callable[[], None]:
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

        return replay

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
        with torch.autocast(self._device.type, dtype=half, enabled=half is not None):
            return self._model(images).float()


def optimizer(
    model: torch.nn.Module, config: RunConfig, rate: torch.Tensor
) -> torch.optim.Optimizer:
    """Fused, so that an update is one kernel; `rate` is a tensor that the step itself sets."""
    import torch

    optim, parameters, decay = torch.optim, model.parameters(), ADAMW_WEIGHT_DECAY
    graphed = rate.device.type == "cuda"
    adam = {"lr": rate, "eps": ADAM_EPSILON, "fused": True, "capturable": graphed}
    makers = {
        "adam": lambda: optim.Adam(parameters, **adam),
        "adamw": lambda: optim.AdamW(parameters, weight_decay=decay, **adam),
        "sgd": lambda: optim.SGD(parameters, rate, momentum=SGD_MOMENTUM, fused=True),
    }
    made = makers[config.optimizer]()
    if config.optimizer == "sgd":
        for parameter in model.parameters():  # a first step that fp16 skips would leave it unset
            made.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return made


def _device(accelerator: str) -> torch.device:
    import torch

    if accelerator == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise RunFailed(
            "device_missing",
            "PyTorch sees no CUDA GPU. Check the NVIDIA driver with nvidia-smi, and that this "
            "PyTorch was built for CUDA; or run on the CPU.",
        )
    return torch.device("cuda:0")
