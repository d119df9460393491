"""A small vision transformer: A. Dosovitskiy et al., An Image is Worth 16x16 Words, 2021.

image / 255 -> patches -> tokens + positions -> [attention, then two dense layers, each normalised
before and added to what went in] ... -> normalised -> mean over the tokens -> logits. The mean in
place of a class token is from L. Beyer et al., Better plain ViT baselines for ImageNet-1k, 2022.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from engine import randomness
from engine.config import FashionMnist, Synthetic, Vit
from engine.workloads import Size, Weights, layers

if TYPE_CHECKING:
    import keras
    import torch

MLP_FACTOR = 4  # hidden units for each number of a token
POSITION_STD = 0.02
EPSILON = 1e-6  # the authors' code has it; PyTorch's default is 1e-5, Keras's 1e-3


def initial_weights(workload: Vit, dataset: FashionMnist | Synthetic, seed: int) -> Weights:
    """Positions are normal, as in the authors' code. They are the bias of the tokens' layer."""
    rng, width, pixels = randomness.weights(seed), workload.width, workload.patch**2
    rows, columns, channels = dataset.shape
    kernel, _ = layers.dense(rng, pixels * channels, width)
    positions = rng.standard_normal((rows * columns // pixels, width), np.float32)
    weights: Weights = {"tokens": (kernel, positions * np.float32(POSITION_STD))}
    for block in _blocks(workload):
        weights |= _block_weights(rng, block, width)
    weights["norm"] = layers.layer_norm(width)
    return weights | {"logits": layers.dense(rng, width, dataset.classes)}


def _blocks(workload: Vit) -> list[str]:
    return [f"block_{block}" for block in range(1, workload.depth + 1)]


def _block_weights(rng: np.random.Generator, block: str, width: int) -> Weights:
    """Queries, keys and values are one dense layer, as in PyTorch's MultiheadAttention."""
    return {
        f"{block}_mixer_norm": layers.layer_norm(width),
        f"{block}_qkv": layers.dense(rng, width, 3 * width),
        f"{block}_mixed": layers.dense(rng, width, width),
        f"{block}_mlp_norm": layers.layer_norm(width),
        f"{block}_hidden": layers.dense(rng, width, MLP_FACTOR * width),
        f"{block}_out": layers.dense(rng, MLP_FACTOR * width, width),
    }


def size(workload: Vit, dataset: FashionMnist | Synthetic) -> Size:
    """Of a sample and a block: both norms' tokens and what they give, queries, keys, values, what
    they are mixed to, and the hidden units before and behind GELU.
    """
    (rows, columns, channels), width = dataset.shape, workload.width
    pixels, tokens = workload.patch**2, rows * columns // workload.patch**2
    block = (
        4 * width
        + layers.dense_size(width, 3 * width)
        + layers.dense_size(width, width)
        + layers.dense_size(width, MLP_FACTOR * width)
        + layers.dense_size(MLP_FACTOR * width, width)
    )
    ends = pixels * channels * width + tokens * width + 2 * width
    parameters = ends + workload.depth * block + layers.dense_size(width, dataset.classes)
    of_a_token = 2 * 2 + 3 + 1 + 2 * MLP_FACTOR
    return Size(
        parameters, rows * columns * channels + workload.depth * of_a_token * tokens * width
    )


def torch_model(workload: Vit, dataset: FashionMnist | Synthetic, seed: int) -> torch.nn.Module:
    import torch

    from engine.workloads import torch_layers

    weights = initial_weights(workload, dataset, seed)

    def dense(name: str) -> torch.nn.Module:
        return torch_layers.dense(weights[name])

    def norm(name: str) -> torch.nn.Module:
        return torch_layers.layer_norm(weights[name], EPSILON)

    def mixer(block: str) -> torch.nn.Module:
        return torch_layers.chain(
            norm=norm(f"{block}_mixer_norm"),
            qkv=dense(f"{block}_qkv"),
            attention=torch_layers.Attention(workload.heads),
            mixed=dense(f"{block}_mixed"),
        )

    def mlp(block: str) -> torch.nn.Module:
        return torch_layers.chain(
            norm=norm(f"{block}_mlp_norm"),
            hidden=dense(f"{block}_hidden"),
            gelu=torch.nn.GELU(),
            out=dense(f"{block}_out"),
        )

    kernel, positions = weights["tokens"]
    model = torch_layers.chain(
        patches=torch_layers.Patches(workload.patch),
        tokens=torch_layers.dense((kernel,)),
        positions=torch_layers.Positions(torch.from_numpy(positions)),
    )
    for block in _blocks(workload):
        model.add_module(f"{block}_mixer", torch_layers.Residual(mixer(block)))
        model.add_module(f"{block}_mlp", torch_layers.Residual(mlp(block)))
    model.add_module("norm", norm("norm"))
    model.add_module("mean", torch_layers.Mean(1))
    model.add_module("logits", dense("logits"))
    return model


def keras_model(workload: Vit, dataset: FashionMnist | Synthetic, seed: int) -> keras.Model:
    """Keras's own layers and operations only, so that a saved model opens without this project."""
    import keras

    weights = initial_weights(workload, dataset, seed)

    def dense(name: str, units: Any, activation: str | None = None) -> Any:
        outputs = weights[name][0].shape[-1]
        return keras.layers.Dense(outputs, activation, name=name)(units)

    def norm(name: str, units: Any) -> Any:
        return keras.layers.LayerNormalization(epsilon=EPSILON, name=name)(units)

    def mixer(tokens: Any, block: str) -> Any:
        qkv = dense(f"{block}_qkv", norm(f"{block}_mixer_norm", tokens))
        return dense(f"{block}_mixed", _keras_attention(qkv, workload.heads))

    def mlp(tokens: Any, block: str) -> Any:
        """Keras's `gelu` is the exact one, as PyTorch's is."""
        hidden = dense(f"{block}_hidden", norm(f"{block}_mlp_norm", tokens), "gelu")
        return dense(f"{block}_out", hidden)

    images = keras.Input(dataset.shape, dtype="uint8")
    patches = _keras_patches(keras.layers.Rescaling(layers.PIXEL_SCALE)(images), workload.patch)
    tokens = keras.layers.EinsumDense(
        "btp,pw->btw", weights["tokens"][1].shape, bias_axes="tw", name="tokens"
    )(patches)
    for block in _blocks(workload):
        tokens = keras.layers.Add()([tokens, mixer(tokens, block)])
        tokens = keras.layers.Add()([tokens, mlp(tokens, block)])
    mean = keras.layers.GlobalAveragePooling1D()(norm("norm", tokens))
    return layers.into_keras(keras.Model(images, dense("logits", mean)), weights)


def _keras_patches(images: Any, side: int) -> Any:
    """[batch, height, width, channels] -> [batch, token, number], in reading order."""
    from keras import ops

    _, height, width, channels = images.shape
    rows, columns = height // side, width // side
    patches = ops.reshape(images, (-1, rows, side, columns, side, channels))
    patches = ops.transpose(patches, (0, 1, 3, 2, 4, 5))
    return ops.reshape(patches, (-1, rows * columns, side * side * channels))


def _keras_attention(qkv: Any, heads: int) -> Any:
    """[batch, token, 3 x width] -> [batch, token, width], as `torch_layers.Attention`."""
    from keras import ops

    _, tokens, width = qkv.shape
    by_head = ops.reshape(qkv, (-1, tokens, 3, heads, width // 3 // heads))
    queries_keys_values: Any = ops.unstack(by_head, 3, axis=2)
    mixed = ops.dot_product_attention(*queries_keys_values)
    return ops.reshape(mixed, (-1, tokens, width // 3))
