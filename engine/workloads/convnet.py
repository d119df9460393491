"""image / 255 -> [3 x 3 convolution, pooling, GELU] ... -> flat -> hidden GELU layer -> logits.

The plan of LeNet-5 (Y. LeCun et al., 1998) with today's units. Pooling leaves out an odd last row
or column, in every framework.

Why GELU: whether a ReLU unit near 0 has a gradient is decided by how a library rounds, and losses
of a first epoch came to differ by 0.1 % (docs/decisions/0026). Pooling comes before it, which
leaves it a quarter of the numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine import randomness
from engine.config import ConvNet, FashionMnist, Synthetic
from engine.workloads import Size, Weights, layers

if TYPE_CHECKING:
    import keras
    import torch

KERNEL, POOL = 3, 2  # pixels on a side
HIDDEN_FACTOR = 4  # hidden units for each channel of the first block


def initial_weights(workload: ConvNet, dataset: FashionMnist | Synthetic, seed: int) -> Weights:
    rng = randomness.weights(seed)
    weights, (height, width, channels) = {}, dataset.shape
    for block in range(workload.depth):
        inputs, channels = channels, workload.width * 2**block
        weights[f"conv_{block + 1}"] = layers.conv(rng, KERNEL, inputs, channels)
        height, width = height // POOL, width // POOL
    hidden = HIDDEN_FACTOR * workload.width
    weights["hidden"] = layers.dense(rng, height * width * channels, hidden)
    return weights | {"logits": layers.dense(rng, hidden, dataset.classes)}


def size(workload: ConvNet, dataset: FashionMnist | Synthetic) -> Size:
    """Of a sample: the pixels, what each block gives to pooling, and units before and behind GELU,
    whose gradient takes what goes in.
    """
    height, width, channels = dataset.shape
    parameters, kept = 0, height * width * channels
    for block in range(workload.depth):
        inputs, channels = channels, workload.width * 2**block
        parameters += layers.dense_size(KERNEL**2 * inputs, channels)
        kept += height * width * channels
        height, width = height // POOL, width // POOL
        kept += 2 * height * width * channels
    hidden = HIDDEN_FACTOR * workload.width
    parameters += layers.dense_size(height * width * channels, hidden)
    return Size(parameters + layers.dense_size(hidden, dataset.classes), kept + 2 * hidden)


def torch_model(workload: ConvNet, dataset: FashionMnist | Synthetic, seed: int) -> torch.nn.Module:
    from torch import nn

    from engine.workloads import torch_layers

    weights = initial_weights(workload, dataset, seed)
    *convs, hidden, logits = weights
    model = torch_layers.chain(pixels=torch_layers.Pixels())
    for name in convs:
        model.add_module(name, torch_layers.conv(weights[name]))
        model.add_module(f"{name}_pool", nn.MaxPool2d(POOL))
        model.add_module(f"{name}_gelu", nn.GELU())
    model.add_module("flat", torch_layers.Flat())
    model.add_module(hidden, torch_layers.dense(weights[hidden]))
    model.add_module(f"{hidden}_gelu", nn.GELU())
    model.add_module(logits, torch_layers.dense(weights[logits]))
    return model


def keras_model(workload: ConvNet, dataset: FashionMnist | Synthetic, seed: int) -> keras.Model:
    """Keras's `gelu` is the exact one, as PyTorch's is."""
    import keras

    weights = initial_weights(workload, dataset, seed)
    *convs, hidden, logits = weights
    model = keras.Sequential([keras.Input(dataset.shape, dtype="uint8")])
    model.add(keras.layers.Rescaling(layers.PIXEL_SCALE))
    for name in convs:
        channels = weights[name][0].shape[-1]
        model.add(keras.layers.Conv2D(channels, KERNEL, padding="same", name=name))
        model.add(keras.layers.MaxPooling2D(POOL))
        model.add(keras.layers.Activation("gelu"))
    model.add(keras.layers.Flatten())
    model.add(keras.layers.Dense(len(weights[hidden][1]), activation="gelu", name=hidden))
    model.add(keras.layers.Dense(dataset.classes, name=logits))
    return layers.into_keras(model, weights)
