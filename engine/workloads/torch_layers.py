"""PyTorch's side of the layers: modules made around given weights, and those it has no name for.

Images come in as they are stored, [batch, height, width, channels]. Convolutions see them as
[batch, channels, height, width] in `channels_last` memory format: the same bytes in the same order.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.workloads.layers import PIXEL_SCALE, LayerWeights

Layer = TypeVar("Layer", bound=nn.Module)

WIDE = 16  # outputs of a dense layer: from here on MKL likes its kernel as [in, out]
# The axes of a parameter in torch's order, by how many it has: torch's dense kernels are
# [out, in], its convolutions' [out, in, height, width].
AXES = {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}


def chain(**layers: nn.Module) -> nn.Sequential:
    """The layers one after another, under their names."""
    made = nn.Sequential()
    for name, layer in layers.items():
        made.add_module(name, layer)
    return made


def dense(weights: LayerWeights) -> nn.Linear:
    """Without a bias if the weights have none.

    The kernel of a wide one lies in memory as [in, out]: PyTorch then computes its gradient as
    x^T g and not as (g^T x)^T, which took MKL almost twice as long on a CPU. For a few outputs
    it is the other way round.
    """
    inputs, outputs = weights[0].shape
    layer = nn.Linear(inputs, outputs, bias=len(weights) > 1)
    if outputs >= WIDE:
        layer.weight = nn.Parameter(torch.empty(inputs, outputs).t())
    return with_weights(layer, weights)


def conv(weights: LayerWeights, stride: int = 1) -> nn.Conv2d:
    """Padded with half the kernel on every side; without a bias if the weights have none."""
    size, _, inputs, outputs = weights[0].shape
    kind = PointConv if size == 1 else nn.Conv2d
    layer = kind(inputs, outputs, size, stride, padding=size // 2, bias=len(weights) > 1)
    layer = layer.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    return with_weights(layer, weights)


def batch_norm(weights: LayerWeights, epsilon: float, momentum: float) -> nn.BatchNorm2d:
    """`momentum` is Keras's: the share of a running figure that stays. PyTorch's is the rest."""
    return with_weights(nn.BatchNorm2d(len(weights[0]), epsilon, 1 - momentum), weights)


def layer_norm(weights: LayerWeights, epsilon: float) -> nn.LayerNorm:
    return with_weights(nn.LayerNorm(len(weights[0]), epsilon), weights)


def with_weights(layer: Layer, weights: LayerWeights) -> Layer:
    """Set the layer's parameters, then its buffers: Keras has them in the same order.

    Of integers there is only the count of batches that batch normalisation keeps.
    """
    tensors = [value for value in layer.state_dict().values() if value.is_floating_point()]
    with torch.no_grad():
        for tensor, array in zip(tensors, weights, strict=True):
            tensor.copy_(torch.from_numpy(array.transpose(AXES[array.ndim])))
    return layer


class PointConv(nn.Conv2d):
    """A 1 x 1 convolution, which leaves out the pixels that its stride does before it multiplies.

    The same figures; but PyTorch 2.9.1 on a CPU, in `channels_last` and with one thread, writes
    beyond its memory in the backward pass of one that has a stride.
    """

    def forward(self, input: Tensor) -> Tensor:
        down, right = self.stride
        kept = input[:, :, ::down, ::right] if down > 1 or right > 1 else input
        return functional.conv2d(kept, self.weight, self.bias)


class Pixels(nn.Module):
    """uint8 [batch, height, width, channels] -> 0..1, [batch, channels, height, width]."""

    def forward(self, images: Tensor) -> Tensor:
        return images.permute(0, 3, 1, 2).float().mul_(PIXEL_SCALE)


class Flat(nn.Module):
    """[batch, channels, height, width] -> [batch, unit], channels changing fastest as in Keras."""

    def forward(self, images: Tensor) -> Tensor:
        return images.permute(0, 2, 3, 1).flatten(1)


class Mean(nn.Module):
    """Over `axes`, which go."""

    def __init__(self, *axes: int) -> None:
        super().__init__()
        self._axes = axes

    def forward(self, units: Tensor) -> Tensor:
        return units.mean(self._axes)


class Residual(nn.Module):
    """shortcut(x) + branch(x)."""

    def __init__(self, branch: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = shortcut or nn.Identity()

    def forward(self, units: Tensor) -> Tensor:
        return self.shortcut(units) + self.branch(units)


class Patches(nn.Module):
    """uint8 [batch, height, width, channels] -> 0..1, [batch, token, number], in reading order.

    `side` is a patch's, in pixels.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self._side = side

    def forward(self, images: Tensor) -> Tensor:
        tiles = (-1, self._side)
        patches = images.unflatten(2, tiles).unflatten(1, tiles).transpose(2, 3)
        return patches.flatten(3).flatten(1, 2).float().mul_(PIXEL_SCALE)


class Positions(nn.Module):
    """Adds to every token what has been learned of its place; `table` is [token, number]."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.table = nn.Parameter(table)

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens + self.table


class Attention(nn.Module):
    """Each head's softmax(q k' / sqrt(size)) v, side by side: no weights of its own.

    Takes queries, keys and values as [batch, token, 3 x width]; gives [batch, token, width].
    """

    def __init__(self, heads: int) -> None:
        super().__init__()
        self._heads = heads

    def forward(self, tokens: Tensor) -> Tensor:
        by_head = tokens.unflatten(2, (3, self._heads, -1)).permute(2, 0, 3, 1, 4)
        queries, keys, values = by_head.unbind()
        mixed = functional.scaled_dot_product_attention(queries, keys, values)
        return mixed.transpose(1, 2).flatten(2)
