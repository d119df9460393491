"""PyTorch's usual input path: a data set that hands out single samples, collated on the host.

Slower than data that lies on the device, by as much as a study of the input pipeline shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

    Batch = tuple[torch.Tensor, torch.Tensor]


def batches(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    order: NDArray[np.int64],
    *,
    pin_memory: bool = False,
) -> Iterator[Batch]:
    """One (images, labels) for each row of `order`, [steps, batch], in host memory."""
    import torch
    from torch.utils.data import DataLoader, Dataset

    class Samples(Dataset["Batch"]):
        def __getitem__(self, index: int) -> Batch:
            return torch.tensor(images[index]), torch.tensor(labels[index])

        def __len__(self) -> int:
            return len(labels)

    rows = [row.tolist() for row in order]
    return iter(DataLoader(Samples(), batch_sampler=rows, pin_memory=pin_memory))
