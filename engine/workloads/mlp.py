"""Hidden layers of ReLU units: image / 255 -> flat -> hidden ... -> logits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine import randomness
from engine.config import FashionMnist, Mlp, Synthetic
from engine.workloads import Weights

if TYPE_CHECKING:
    import keras
    import torch

PIXEL_SCALE = 1 / 255


def initial_weights(workload: Mlp, dataset: FashionMnist | Synthetic, seed: int) -> Weights:
    """Glorot-uniform kernels and zero biases, as Keras's Dense has them."""
    rng = randomness.weights(seed)
    widths = [math.prod(dataset.shape)] + workload.depth * [workload.width]
    hidden = {
        name: _dense(rng, inputs, workload.width)
        for name, inputs in zip(_hidden_names(workload), widths, strict=False)
    }
    return hidden | {"logits": _dense(rng, workload.width, dataset.classes)}


def _hidden_names(workload: Mlp) -> list[str]:
    return [f"hidden_{index}" for index in range(1, workload.depth + 1)]


def _dense(
    rng: np.random.Generator, inputs: int, outputs: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Uniform in +-sqrt(6 / (in + out)): Glorot and Bengio, 2010, equation 16."""
    limit = np.float32(math.sqrt(6 / (inputs + outputs)))
    kernel = (2 * rng.random((inputs, outputs), np.float32) - 1) * limit
    return kernel, np.zeros(outputs, np.float32)


def torch_model(workload: Mlp, dataset: FashionMnist | Synthetic, seed: int) -> torch.nn.Module:
    import torch

    class MlpModel(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            inputs = math.prod(dataset.shape)
            for name in _hidden_names(workload):
                self.add_module(name, torch.nn.Linear(inputs, workload.width))
                inputs = workload.width
            self.logits = torch.nn.Linear(workload.width, dataset.classes)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            units = images.flatten(1).float() * PIXEL_SCALE
            for name in _hidden_names(workload):
                units = torch.relu(self.get_submodule(name)(units))
            return self.logits(units)

    model = MlpModel()
    weights = initial_weights(workload, dataset, seed)
    with torch.no_grad():
        for name, (kernel, bias) in weights.items():
            model.get_parameter(f"{name}.weight").copy_(torch.from_numpy(kernel.T))  # [out, in]
            model.get_parameter(f"{name}.bias").copy_(torch.from_numpy(bias))
    return model


def keras_model(workload: Mlp, dataset: FashionMnist | Synthetic, seed: int) -> keras.Model:
    import keras

    hidden = [
        keras.layers.Dense(workload.width, activation="relu", name=name)
        for name in _hidden_names(workload)
    ]
    model = keras.Sequential(
        [
            keras.Input(dataset.shape, dtype="uint8"),
            keras.layers.Rescaling(PIXEL_SCALE),
            keras.layers.Flatten(),
            *hidden,
            keras.layers.Dense(dataset.classes, name="logits"),
        ]
    )
    for name, weights in initial_weights(workload, dataset, seed).items():
        model.get_layer(name).set_weights(weights)
    return model
