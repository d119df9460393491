"""A run's training step as StableHLO, recorded on this host's CPU and never run.

A process of its own: `python -m engine.tpu.export FOLDER` reads `FOLDER/configs.json` and writes,
for config N, `N.mlir` and `N.json` (see `Signature`). It is in StableHLO's portable form, which a
compiler of another version reads, too: text, for one, packs bits as its own version does. A step
that cannot be recorded leaves `{"message": …}` in `N.json` instead.

What is recorded is the step that `XlaSession` trains with. Its data set is all zeros, because only
shapes make a program.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import numpy as np
import psutil

from engine.config import FashionMnist, RunConfig, Synthetic
from engine.datasets import Data
from engine.failures import RunFailed
from engine.frameworks import Replica, xla
from engine.job import Job

if TYPE_CHECKING:
    import torch


class Signature(TypedDict):
    """What of the program is not in it, by positions of arguments and results."""

    aliases: dict[int, int]  # argument -> the result that takes its place in memory
    batch_dims: dict[int, int]  # argument -> which of its dimensions counts a batch's samples


def main(folder: Path) -> None:
    os.environ["PJRT_DEVICE"] = "CPU"
    _fail_before_the_host_does()
    for number, raw in enumerate(json.loads((folder / "configs.json").read_text("utf-8"))):
        try:
            step, signature = record(RunConfig.parse(raw), folder)
        except (RuntimeError, ValueError, MemoryError, ImportError, RunFailed) as error:
            (folder / f"{number}.json").write_text(json.dumps({"message": str(error)}), "utf-8")
            continue
        (folder / f"{number}.mlir").write_bytes(step)
        (folder / f"{number}.json").write_text(json.dumps(signature), "utf-8")


def record(config: RunConfig, folder: Path) -> tuple[bytes, Signature]:
    """The step over the whole batch; how chips share it is the compiler's to say."""
    import torch_xla.core.xla_model as xm

    session = _session(config.model_copy(update={"devices": 1}), folder)
    steps = config.steps_per_epoch
    session.begin_epoch(np.zeros((steps, config.batch_size), np.int64), np.ones(steps))
    state, _ = session.record_step()  # it makes the optimizer's state
    _settle(state)
    before = [_argument_ids([tensor])[0] for tensor in state]
    state, batch_dims = session.record_step()
    arguments = _argument_ids(state)
    signature: Signature = {
        "aliases": {arguments.index(i): n for n, i in enumerate(before) if i in arguments},
        "batch_dims": {
            arguments.index(_argument_ids([tensor])[0]): dim for tensor, dim in batch_dims
        },
    }
    # Its type says one tensor; it takes a list, as `get_stablehlo` does.
    return xm.get_stablehlo_bytecode(state), signature  # pyright: ignore[reportArgumentType]


def _fail_before_the_host_does() -> None:
    """A `MemoryError` here, rather than a process of somebody else killed for want of memory."""
    free = psutil.virtual_memory().available
    resource.setrlimit(resource.RLIMIT_DATA, (free, free))


def _session(config: RunConfig, folder: Path) -> xla.XlaSession:
    import torch_xla.backends

    torch_xla.backends.set_mat_mul_precision("default")  # an earlier config may have set another
    job = Job(run_id="", config=config, devices=(), run_dir=folder, data_dir=folder)
    return xla.session(job, _zeros(config.dataset), Replica())


def _zeros(dataset: FashionMnist | Synthetic) -> Data:
    """The training split in full; of the other, which no step sees, one sample."""
    samples = dataset.train_samples
    return Data(
        np.zeros((samples, *dataset.shape), np.uint8),
        np.zeros(samples, np.int64),
        np.zeros((1, *dataset.shape), np.uint8),
        np.zeros(1, np.int64),
    )


def _settle(state: list[torch.Tensor]) -> None:
    """Put values on the device in place of results that were never computed, as between steps.

    All differ, and none is 0 or 1: torch_xla makes constants of those scalars, and one argument of
    equal ones.
    """
    import torch

    for number, tensor in enumerate(state, 2):
        tensor.data = torch.full(tensor.shape, number, dtype=tensor.dtype).to(tensor.device)


def _argument_ids(results: list[torch.Tensor]) -> list[int]:
    """What the recorded program of these results takes, in the order of its arguments."""
    from torch_xla import _XLAC  # pyright: ignore[reportPrivateImportUsage]

    return _XLAC._get_tensors_xla_device_data_node(results)[0]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
