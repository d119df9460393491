"""Residual blocks with batch normalisation.

image / 255 -> 3 x 3 convolution -> three stages of blocks -> mean over the pixels -> logits: the
plan for small pictures of K. He et al., Deep Residual Learning, 2015, section 4.2. The second and
the third stage halve the picture, rounding up, and double the channels; where a block does that,
its shortcut is a 1 x 1 convolution (their option B).

Batch normalisation keeps running means and variances for evaluation. PyTorch's variances are
unbiased and Keras's biased: in evaluation they differ by a factor of n / (n - 1), where n is the
number of pixels in a batch. In training they do not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from engine import randomness
from engine.config import FashionMnist, ResNet, Synthetic
from engine.workloads import Size, Weights, layers

if TYPE_CHECKING:
    import keras
    import torch

STAGES = 3
KERNEL = 3  # pixels on a side
EPSILON = 1e-5  # PyTorch's default; Keras's is 1e-3
MOMENTUM = 0.9  # of the running figures: the share that stays at each step


class Block(NamedTuple):
    """`name` begins the names of its layers; `inputs` and `outputs` are channels."""

    name: str
    inputs: int
    outputs: int
    stride: int

    @property
    def is_straight(self) -> bool:
        """Whether its shortcut hands on what it is given."""
        return self.inputs == self.outputs and self.stride == 1


def _blocks(workload: ResNet) -> Iterator[Block]:
    channels = workload.width
    for stage in range(STAGES):
        for block in range(workload.depth):
            inputs, channels = channels, workload.width * 2**stage
            stride = 2 if stage and not block else 1
            yield Block(f"stage_{stage + 1}_block_{block + 1}", inputs, channels, stride)


def initial_weights(workload: ResNet, dataset: FashionMnist | Synthetic, seed: int) -> Weights:
    rng = randomness.weights(seed)
    weights = _normalised(rng, "stem", KERNEL, dataset.shape[-1], workload.width)
    for block in _blocks(workload):
        weights |= _normalised(rng, f"{block.name}_first", KERNEL, block.inputs, block.outputs)
        weights |= _normalised(rng, f"{block.name}_second", KERNEL, block.outputs, block.outputs)
        if not block.is_straight:
            weights |= _normalised(rng, f"{block.name}_shortcut", 1, block.inputs, block.outputs)
    channels = workload.width * 2 ** (STAGES - 1)
    return weights | {"logits": layers.dense(rng, channels, dataset.classes)}


def _normalised(
    rng: np.random.Generator, name: str, size: int, inputs: int, outputs: int
) -> Weights:
    """A convolution, and the normalisation behind it."""
    return {
        f"{name}_conv": layers.he_conv(rng, size, inputs, outputs),
        f"{name}_norm": layers.batch_norm(outputs),
    }


def size(workload: ResNet, dataset: FashionMnist | Synthetic) -> Size:
    """Of a sample: the pixels, what each convolution gives, and on the branches that normalised."""
    height, width, channels = dataset.shape
    parameters, kept = 0, height * width * channels

    def normalised(size: int, inputs: int, outputs: int, results: int = 2) -> None:
        nonlocal parameters, kept
        parameters += size**2 * inputs * outputs + 2 * outputs
        kept += results * height * width * outputs

    normalised(KERNEL, channels, workload.width)
    for block in _blocks(workload):
        height, width = -(-height // block.stride), -(-width // block.stride)
        normalised(KERNEL, block.inputs, block.outputs)
        normalised(KERNEL, block.outputs, block.outputs)
        if not block.is_straight:
            normalised(1, block.inputs, block.outputs, results=1)
    channels = workload.width * 2 ** (STAGES - 1)
    return Size(parameters + layers.dense_size(channels, dataset.classes), kept)


def torch_model(workload: ResNet, dataset: FashionMnist | Synthetic, seed: int) -> torch.nn.Module:
    from torch import nn

    from engine.workloads import torch_layers

    weights = initial_weights(workload, dataset, seed)

    def normalised(name: str, stride: int = 1) -> nn.Module:
        return torch_layers.chain(
            conv=torch_layers.conv(weights[f"{name}_conv"], stride),
            norm=torch_layers.batch_norm(weights[f"{name}_norm"], EPSILON, MOMENTUM),
        )

    def residual(block: Block) -> nn.Module:
        branch = torch_layers.chain(
            first=normalised(f"{block.name}_first", block.stride),
            relu=nn.ReLU(),
            second=normalised(f"{block.name}_second"),
        )
        if block.is_straight:
            return torch_layers.Residual(branch)
        shortcut = normalised(f"{block.name}_shortcut", block.stride)
        return torch_layers.Residual(branch, shortcut)

    model = torch_layers.chain(pixels=torch_layers.Pixels(), stem=normalised("stem"))
    model.add_module("stem_relu", nn.ReLU())
    for block in _blocks(workload):
        model.add_module(block.name, residual(block))
        model.add_module(f"{block.name}_relu", nn.ReLU())
    model.add_module("mean", torch_layers.Mean(2, 3))
    model.add_module("logits", torch_layers.dense(weights["logits"]))
    return model


def keras_model(workload: ResNet, dataset: FashionMnist | Synthetic, seed: int) -> keras.Model:
    import keras

    weights = initial_weights(workload, dataset, seed)

    def normalised(pixels: Any, name: str, stride: int = 1) -> Any:
        """With a stride, `same` would pad by the picture's size: so it is padded beforehand."""
        size, _, _, channels = weights[f"{name}_conv"][0].shape
        conv = keras.layers.Conv2D(
            channels,
            size,
            stride,
            padding="same" if stride == 1 else "valid",
            use_bias=False,
            name=f"{name}_conv",
        )
        norm = keras.layers.BatchNormalization(-1, MOMENTUM, EPSILON, name=f"{name}_norm")
        padded = keras.layers.ZeroPadding2D(size // 2)(pixels) if stride > 1 else pixels
        return norm(conv(padded))

    def residual(pixels: Any, block: Block) -> Any:
        branch = keras.layers.ReLU()(normalised(pixels, f"{block.name}_first", block.stride))
        branch = normalised(branch, f"{block.name}_second")
        if not block.is_straight:
            pixels = normalised(pixels, f"{block.name}_shortcut", block.stride)
        return keras.layers.ReLU()(keras.layers.Add()([pixels, branch]))

    images = keras.Input(dataset.shape, dtype="uint8")
    pixels = normalised(keras.layers.Rescaling(layers.PIXEL_SCALE)(images), "stem")
    pixels = keras.layers.ReLU()(pixels)
    for block in _blocks(workload):
        pixels = residual(pixels, block)
    channels = keras.layers.GlobalAveragePooling2D()(pixels)
    logits = keras.layers.Dense(dataset.classes, name="logits")(channels)
    return layers.into_keras(keras.Model(images, logits), weights)
