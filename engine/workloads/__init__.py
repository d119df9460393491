"""The workloads: what can be trained. Each is a module that satisfies `Workload`.

A workload draws its initial weights as NumPy arrays, the same for every framework, and builds its
model in each framework around them. So runs of one seed start from one point everywhere.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from engine.config import FashionMnist, Synthetic
from engine.config import Workload as Section
from engine.workloads.layers import LayerWeights

if TYPE_CHECKING:
    import keras
    import torch

MODULES = {
    "mlp": "engine.workloads.mlp",
    "convnet": "engine.workloads.convnet",
    "resnet": "engine.workloads.resnet",
    "vit": "engine.workloads.vit",
}

# Which model a config of the workload makes here, where that is no longer the first: one more for
# every change after which the same weights give other logits, or a step is another program.
VERSIONS = {"convnet": 2}

# Layer name -> its parameters in the order of the layers, laid out as in `workloads.layers`.
Weights = dict[str, LayerWeights]


class Size(NamedTuple):
    """Numbers that are trained; and those of a sample that a backward pass needs at least, which
    are what goes into layers with weights, into normalisation and into pooling.
    """

    parameters: int
    kept_of_a_sample: int


class Workload(Protocol):
    """Models take uint8 images [batch, height, width, channels], and give logits [batch, class].

    `workload` is the module's own section of the config.
    """

    def initial_weights(
        self, workload: Any, dataset: FashionMnist | Synthetic, seed: int
    ) -> Weights: ...

    def size(self, workload: Any, dataset: FashionMnist | Synthetic) -> Size:
        """Of the model, which is not made for it: it may be larger than memory."""
        ...

    def torch_model(
        self, workload: Any, dataset: FashionMnist | Synthetic, seed: int
    ) -> torch.nn.Module:
        """On the CPU, in float32."""
        ...

    def keras_model(
        self, workload: Any, dataset: FashionMnist | Synthetic, seed: int
    ) -> keras.Model:
        """On the device and in the dtype policy that are current when it is called."""
        ...


def load(name: str) -> Workload:
    """Import a workload's module; it imports a framework when it builds a model in it."""
    return cast(Workload, importlib.import_module(MODULES[name]))


def version(name: str) -> int:
    """Of the model that the workload is: what was found or trained with another is not this one's.

    What was kept before there were versions is of version 1.
    """
    return VERSIONS.get(name, 1)


def identity(workload: Section) -> dict[str, Any]:
    """What a model is known by: its section of a config, and behind the first its version."""
    section, found = workload.model_dump(mode="json"), version(workload.name)
    return section if found == 1 else section | {"version": found}
