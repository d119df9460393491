"""Hidden layers of ReLU units: image / 255 -> flat -> hidden ... -> logits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from engine import randomness
from engine.config import FashionMnist, Mlp, Synthetic
from engine.workloads import Size, Weights, layers

if TYPE_CHECKING:
    import keras
    import torch


def initial_weights(workload: Mlp, dataset: FashionMnist | Synthetic, seed: int) -> Weights:
    rng = randomness.weights(seed)
    weights, inputs = {}, math.prod(dataset.shape)
    for layer in range(1, workload.depth + 1):
        weights[f"hidden_{layer}"] = layers.dense(rng, inputs, workload.width)
        inputs = workload.width
    return weights | {"logits": layers.dense(rng, inputs, dataset.classes)}


def size(workload: Mlp, dataset: FashionMnist | Synthetic) -> Size:
    pixels, width, deeper = math.prod(dataset.shape), workload.width, workload.depth - 1
    parameters = (
        layers.dense_size(pixels, width)
        + deeper * layers.dense_size(width, width)
        + layers.dense_size(width, dataset.classes)
    )
    return Size(parameters, pixels + workload.depth * width)


def torch_model(workload: Mlp, dataset: FashionMnist | Synthetic, seed: int) -> torch.nn.Module:
    from torch import nn

    from engine.workloads import torch_layers

    weights = initial_weights(workload, dataset, seed)
    *hidden, logits = weights
    model = torch_layers.chain(pixels=torch_layers.Pixels(), flat=torch_layers.Flat())
    for name in hidden:
        model.add_module(name, torch_layers.dense(weights[name]))
        model.add_module(f"{name}_relu", nn.ReLU())
    model.add_module(logits, torch_layers.dense(weights[logits]))
    return model


def keras_model(workload: Mlp, dataset: FashionMnist | Synthetic, seed: int) -> keras.Model:
    import keras

    weights = initial_weights(workload, dataset, seed)
    *hidden, logits = weights
    model = keras.Sequential([keras.Input(dataset.shape, dtype="uint8")])
    model.add(keras.layers.Rescaling(layers.PIXEL_SCALE))
    model.add(keras.layers.Flatten())
    for name in hidden:
        model.add(keras.layers.Dense(workload.width, activation="relu", name=name))
    model.add(keras.layers.Dense(dataset.classes, name=logits))
    return layers.into_keras(model, weights)
