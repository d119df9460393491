"""Initial weights of layers, laid out as Keras has them.

A dense kernel is [in, out], a convolution's [height, width, in, out]. Kernels are Glorot-uniform
and biases zero, as Keras makes them, where a workload does not say otherwise.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import keras

LayerWeights = tuple[NDArray[np.float32], ...]

PIXEL_SCALE = 1 / 255


def dense(rng: np.random.Generator, inputs: int, outputs: int) -> LayerWeights:
    return _glorot_uniform(rng, (inputs, outputs), inputs, outputs), np.zeros(outputs, np.float32)


def dense_size(inputs: int, outputs: int) -> int:
    """Parameters of a dense layer."""
    return inputs * outputs + outputs


def conv(rng: np.random.Generator, size: int, inputs: int, outputs: int) -> LayerWeights:
    """A square kernel and a bias. A unit's fans count the kernel's pixels, too."""
    shape, pixels = (size, size, inputs, outputs), size * size
    kernel = _glorot_uniform(rng, shape, pixels * inputs, pixels * outputs)
    return kernel, np.zeros(outputs, np.float32)


def he_conv(rng: np.random.Generator, size: int, inputs: int, outputs: int) -> LayerWeights:
    """A square kernel for ReLU, without a bias: normal with variance 2 / fan-in.

    K. He et al., Delving Deep into Rectifiers, 2015, equation 10.
    """
    kernel = rng.standard_normal((size, size, inputs, outputs), np.float32)
    return (kernel * np.float32(math.sqrt(2 / (size * size * inputs))),)


def batch_norm(channels: int) -> LayerWeights:
    """Scale, shift, running mean, running variance; the last two are no parameters."""
    one, zero = np.ones(channels, np.float32), np.zeros(channels, np.float32)
    return one, zero, zero, one


def layer_norm(width: int) -> LayerWeights:
    """Scale and shift."""
    return np.ones(width, np.float32), np.zeros(width, np.float32)


def into_keras(model: keras.Model, weights: dict[str, LayerWeights]) -> keras.Model:
    """Set the weights of the layers of these names."""
    for name, arrays in weights.items():
        model.get_layer(name).set_weights(arrays)
    return model


def _glorot_uniform(
    rng: np.random.Generator, shape: tuple[int, ...], inputs: int, outputs: int
) -> NDArray[np.float32]:
    """Uniform in +-sqrt(6 / (in + out)): X. Glorot and Y. Bengio, 2010, equation 16."""
    limit = np.float32(math.sqrt(6 / (inputs + outputs)))
    return (2 * rng.random(shape, np.float32) - 1) * limit
