"""Initial weights: the same for every framework, another for every seed. (Models: frameworks.)"""

import numpy as np
import pytest

from engine import workloads
from engine.config import FashionMnist, Mlp
from engine.workloads import mlp


def test_every_workload_of_the_registry_can_be_loaded():
    assert {name: workloads.load(name).__name__ for name in workloads.MODULES} == workloads.MODULES


def test_the_default_model_is_784_128_10():
    weights = mlp.initial_weights(Mlp(), FashionMnist(), seed=0)
    shapes = {name: (kernel.shape, bias.shape) for name, (kernel, bias) in weights.items()}
    assert shapes == {"hidden": ((784, 128), (128,)), "logits": ((128, 10), (10,))}
    assert all(kernel.dtype == np.float32 for kernel, _ in weights.values())


def test_kernels_are_glorot_uniform_and_biases_zero():
    kernel, bias = mlp.initial_weights(Mlp(), FashionMnist(), seed=0)["hidden_1"]
    limit = np.sqrt(6 / (784 + 128))
    assert np.abs(kernel).max() == pytest.approx(limit, rel=1e-3)
    assert kernel.std() == pytest.approx(limit / np.sqrt(3), rel=0.01)
    assert not bias.any()


def test_a_seed_fixes_the_weights():
    first, same, other = (
        mlp.initial_weights(Mlp(width=4), FashionMnist(), seed)["hidden_1"][0] for seed in (5, 5, 6)
    )
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)
