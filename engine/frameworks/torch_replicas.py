"""PyTorch on several devices: data parallelism, one process a device.

Each replica takes its share of every batch, and gradients are averaged before the update, so the
weights stay alike. Batch normalisation sees a replica's share only, as in PyTorch's own
DistributedDataParallel; its running figures are averaged before they are used. On one CPU the
replicas are virtual devices over gloo, which is tested. On GPUs they meet over NCCL, and steps are
taken one by one, without a CUDA graph: written after PyTorch's documentation, not run on GPUs yet.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed

from engine.config import RunConfig
from engine.datasets import Data
from engine.frameworks import Replica, Totals
from engine.frameworks.processes import EXIT_PEER_LOST, rendezvous_of
from engine.frameworks.torch import TorchSession

PATIENCE = timedelta(minutes=30)  # replica 0 alone counts FLOPs and writes checkpoints


class ReplicatedSession(TorchSession):
    """One of several. All of them make the same calls in the same order."""

    def __init__(
        self, config: RunConfig, data: Data, device: torch.device, replica: Replica, run_dir: Path
    ) -> None:
        if device.type == "cuda":
            torch.cuda.set_device(device)
        self._replica = replica
        self._peak_bytes: int | None = None
        _meet(replica, device, run_dir)
        super().__init__(config, data, device)
        self._averaged = [buffer for buffer in self._model.buffers() if buffer.is_floating_point()]

    def begin_epoch(self, order: NDArray[np.int64], rates: NDArray[np.float64]) -> None:
        mine = order[:, self._replica.rank :: self._replica.world]
        super().begin_epoch(np.ascontiguousarray(mine), rates)

    def run(self, steps: int) -> Totals:
        return self._over_all(super().run(steps))

    def evaluate(self) -> Totals:
        """Each judges its share of the test batches, by running figures that all agree on."""
        self._average(self._averaged)
        every = self._test
        self._test = every[self._replica.rank :: self._replica.world]
        mine = super().evaluate()
        self._test = every
        self._note_peak()
        return self._over_all(mine)

    def agree(self, value: int) -> int:
        said = torch.tensor([value], device=self._device)
        with _peers():
            distributed.broadcast(said, 0)
        return int(said.item())

    def peak_memory_bytes(self) -> int | None:
        """Of all virtual devices together, or of the GPU with the most; known from the first
        validation on.
        """
        return self._peak_bytes

    def _note_peak(self) -> None:
        mine = super().peak_memory_bytes()
        on_cpu = self._device.type == "cpu"
        peak = torch.tensor([float(mine or 0)], dtype=torch.float64, device=self._device)
        with _peers():
            how = distributed.ReduceOp.SUM if on_cpu else distributed.ReduceOp.MAX
            distributed.all_reduce(peak, how)
        self._peak_bytes = int(peak.item())

    def _make_place(self, shape: tuple[int, ...]) -> None:
        super()._make_place(shape)
        self._take = self._one_by_one

    def _exchange(self) -> None:
        self._average([p.grad for p in self._parameters if p.grad is not None])

    def _average(self, tensors: list[torch.Tensor]) -> None:
        """In place, over all replicas, in one exchange."""
        if not tensors:
            return
        together = torch.cat([tensor.reshape(-1) for tensor in tensors])
        with _peers():
            distributed.all_reduce(together)
        together /= self._replica.world
        parts = together.split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view(tensor.shape))

    def _over_all(self, mine: Totals) -> Totals:
        sums = torch.tensor(list(mine), dtype=torch.float64, device=self._device)
        with _peers():
            distributed.all_reduce(sums)
        loss, correct, samples = sums.tolist()
        return Totals(loss, int(correct), int(samples))


def _meet(replica: Replica, device: torch.device, run_dir: Path) -> None:
    """All replicas of the run find each other by a file in its folder; once a process."""
    if distributed.is_initialized():
        return
    if sys.platform == "linux":  # or gloo asks the network what this host is called
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    place = str(rendezvous_of(run_dir))
    store = distributed.FileStore(place, replica.world)  # pyright: ignore[reportPrivateImportUsage]
    with _peers():
        distributed.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            store=store,
            rank=replica.rank,
            world_size=replica.world,
            timeout=PATIENCE,
        )
    atexit.register(distributed.destroy_process_group)  # its threads must not outlive Python


@contextmanager
def _peers() -> Iterator[None]:
    """An exchange that fails because another replica is gone ends this one, too.

    The parent of all knows which one it was, and says so.
    """
    try:
        yield
    except RuntimeError as error:
        sys.stderr.write(f"An exchange between the run's processes failed: {error}\n")
        raise SystemExit(EXIT_PEER_LOST) from error
