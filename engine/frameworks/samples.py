"""The data set that PyTorch's loader takes single samples of, in the trainer or in its workers."""

from __future__ import annotations

import os

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

Batch = tuple[torch.Tensor, torch.Tensor]


def leave_stopping_to_the_trainer(_worker: int) -> None:
    """A worker's first act: out of the run's process group, all of which is told to stop at once,
    and a worker that died of it would look like a failure. Workers end with the trainer; one that
    was killed leaves them to PyTorch's watchdog, for 5 s at most.
    """
    os.setpgid(0, 0)


class Samples(Dataset[Batch]):
    def __init__(self, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
        self._images, self._labels = images, labels

    def __getitem__(self, index: int) -> Batch:
        return torch.tensor(self._images[index]), torch.tensor(self._labels[index])

    def __len__(self) -> int:
        return len(self._labels)
