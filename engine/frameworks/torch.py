"""PyTorch, on a CPU or one NVIDIA GPU.

Eager, with a fused optimizer; data and order live on the device, and nothing waits for the device
before the end of `run`. The GPU is `cuda:0`: the launcher shows this process no other.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    import torch

# Read when torch is imported. OpenMP's threads would spin while they wait: beside other work on
# the same cores an epoch then took up to 50 s, and 1 to 3 s with threads that sleep.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def launch(main: Callable[[Job, Replica], None], job: Job) -> None:
    main(job, Replica())


def session(job: Job, data: Data, replica: Replica) -> TorchSession:
    import torch

    config = job.config
    device = _device(config.accelerator)
    tf32 = config.precision == "tf32"
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    return TorchSession(config, data, device)


def environment() -> dict[str, str]:
    import torch
    import torch._dynamo  # an optimizer imports it: what it costs belongs to this phase

    return {
        "torch": torch.__version__,
        "numpy": np.__version__,
        "torch.version.cuda": str(torch.version.cuda),
        "torch.num_threads": str(torch.get_num_threads()),
        "torch.compile": "False",
        "OMP_WAIT_POLICY": os.environ["OMP_WAIT_POLICY"],
    }


def is_out_of_memory(error: BaseException) -> bool:
    torch = sys.modules.get("torch")
    kind = getattr(torch, "OutOfMemoryError", MemoryError)
    return isinstance(error, kind) or "DefaultCPUAllocator: can't allocate" in str(error)


class TorchSession:
    def __init__(self, config: RunConfig, data: Data, device: torch.device) -> None:
        import torch

        workload = workloads.load(config.workload.name)
        model = workload.torch_model(config.workload, config.dataset, config.seed)
        self._torch, self._device, self._precision = torch, device, config.precision
        self._model = model.to(device)
        self._optimizer = optimizer(self._model, config)
        self._scaler = torch.GradScaler(device.type, enabled=config.precision == "fp16")
        self._images = torch.tensor(data.train_images, device=device)
        self._labels = torch.tensor(data.train_labels, device=device)
        self._test = [
            (torch.tensor(images, device=device), torch.tensor(labels, device=device))
            for images, labels in evaluation_batches(data)
        ]

    def begin_epoch(self, order: NDArray[np.int64]) -> None:
        torch = self._torch
        self._order = torch.tensor(order, device=self._device)
        self._done = 0
        self._loss = torch.zeros((), dtype=torch.float64, device=self._device)
        self._correct = torch.zeros((), dtype=torch.int64, device=self._device)

    def run(self, steps: int) -> Totals:
        for _ in range(steps):
            self._step(self._order[self._done])
            self._done += 1
        batch = self._order.shape[1]
        return Totals(self._loss.item() * batch, int(self._correct.item()), self._done * batch)

    def evaluate(self) -> Totals:
        torch = self._torch
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
        return 0

    def _step(self, rows: torch.Tensor) -> None:
        labels = self._labels[rows]
        logits = self._logits(self._images[rows])
        loss = self._torch.nn.functional.cross_entropy(logits, labels)
        self._optimizer.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._loss += loss.detach()
        self._correct += (logits.detach().argmax(1) == labels).sum()

    def _logits(self, images: torch.Tensor) -> torch.Tensor:
        """In float32 for the loss, whatever the model computed in."""
        torch = self._torch
        half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self._precision)
        with torch.autocast(self._device.type, dtype=half, enabled=half is not None):
            return self._model(images).float()


def optimizer(model: torch.nn.Module, config: RunConfig) -> torch.optim.Optimizer:
    import torch

    optim, parameters = torch.optim, model.parameters()
    rate, decay = config.learning_rate, ADAMW_WEIGHT_DECAY
    makers = {
        "adam": lambda: optim.Adam(parameters, rate, eps=ADAM_EPSILON, fused=True),
        "adamw": lambda: optim.AdamW(
            parameters, rate, eps=ADAM_EPSILON, weight_decay=decay, fused=True
        ),
        "sgd": lambda: optim.SGD(parameters, rate, momentum=SGD_MOMENTUM, fused=True),
    }
    return makers[config.optimizer]()


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
