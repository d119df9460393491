"""The workloads: what can be trained. Each is a module that satisfies `Workload`.

A workload draws its initial weights as NumPy arrays, the same for every framework, and builds its
model in each framework around them. So runs of one seed start from one point everywhere.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from engine.config import FashionMnist, Mlp, Synthetic

if TYPE_CHECKING:
    import keras
    import torch

MODULES = {"mlp": "engine.workloads.mlp"}

# Layer name -> (kernel [in, out], bias [out]), in the order of the layers.
Weights = dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]


class Workload(Protocol):
    """Models take uint8 images [batch, height, width, channels], and give logits [batch, class]."""

    def initial_weights(
        self, workload: Mlp, dataset: FashionMnist | Synthetic, seed: int
    ) -> Weights: ...

    def torch_model(
        self, workload: Mlp, dataset: FashionMnist | Synthetic, seed: int
    ) -> torch.nn.Module:
        """On the CPU, in float32."""
        ...

    def keras_model(
        self, workload: Mlp, dataset: FashionMnist | Synthetic, seed: int
    ) -> keras.Model:
        """On the device and in the dtype policy that are current when it is called."""
        ...


def load(name: str) -> Workload:
    """Import a workload's module; it imports a framework when it builds a model in it."""
    return cast(Workload, importlib.import_module(MODULES[name]))
