"""PyTorch: `DataLoader` over single samples, each made a float tensor; batch 128.

    python -m benchmarks.patterns.torch_loader FOLDER EPOCHS [xla]

With `xla`, the same loop through PyTorch/XLA.
"""

from __future__ import annotations

import sys
import time
from typing import Any

if sys.argv[3:] == ["xla"]:
    import torch_xla

import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import ToTensor

from benchmarks.patterns import CLASSES, HIDDEN, RATE, Clock, arguments

BATCH_SIZE = 128


class Samples(Dataset):
    """As `torchvision.datasets.FashionMNIST` with `ToTensor`: single images, [1, 28, 28]."""

    def __init__(self, images: Any, labels: Any) -> None:
        self._images, self._labels = torch.tensor(images[..., 0]), torch.tensor(labels)
        self._transform = ToTensor()

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = Image.fromarray(self._images[index].numpy(), mode="L")
        return self._transform(image), int(self._labels[index])


def main() -> None:
    data, epochs = arguments()
    on_xla = sys.argv[3:] == ["xla"]
    sync = torch_xla.sync if on_xla else lambda: None
    train = Samples(data.train_images, data.train_labels)
    loader = DataLoader(train, batch_size=BATCH_SIZE, shuffle=True, drop_last=on_xla)
    test_loader = DataLoader(Samples(data.test_images, data.test_labels), batch_size=1000)
    clock = Clock()
    device = torch_xla.device() if on_xla else torch.device("cpu")
    model = torch.nn.Sequential(
        torch.nn.Flatten(),
        torch.nn.Linear(28 * 28, HIDDEN),
        torch.nn.ReLU(),
        torch.nn.Linear(HIDDEN, CLASSES),
    ).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    for _ in range(epochs):
        begun = time.perf_counter()
        for images, labels in loader:
            optimizer.zero_grad()
            logits = model(images.to(device))
            loss = torch.nn.functional.cross_entropy(logits, labels.to(device))
            loss.backward()
            optimizer.step()
            sync()
        loss.item()
        steps_s = time.perf_counter() - begun
        clock.epoch(steps_s, accuracy(model, test_loader, device))


def accuracy(model: torch.nn.Module, loader: Any, device: torch.device) -> float:
    correct, total = 0, 0
    with torch.no_grad():
        for images, labels in loader:
            correct += int((model(images.to(device)).argmax(1).cpu() == labels).sum())
            total += len(labels)
    return correct / total


main()
