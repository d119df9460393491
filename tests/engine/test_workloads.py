"""Every workload is one model: of one size, from one start, and trained alike in all frameworks."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engine import workloads
from engine.config import ConvNet, FashionMnist, Mlp, ResNet, RunConfig, Synthetic, Vit
from engine.job import Job
from engine.settings import PROJECT
from engine.workloads import convnet, mlp, resnet, vit
from tests.engine import trainers, workload_facts

FRAMEWORKS = ["torch", "keras", "torch_xla"]
MODELS = [
    f"{workload}-{shape}"
    for workload in workload_facts.WORKLOADS
    for shape in workload_facts.DATASETS
]


@pytest.fixture(scope="module")
def facts(tmp_path_factory):
    """What each framework made of them. One process each, one after the other."""
    found = {}
    for framework in FRAMEWORKS:
        folder = tmp_path_factory.mktemp(framework)
        job = trainers.job(folder, framework=framework)
        command = [sys.executable, "-m", "tests.engine.workload_facts", str(folder)]
        done = subprocess.run(
            command,
            cwd=PROJECT,
            env=trainers.environment(job, is_measured=True),
            timeout=280,
            capture_output=True,
        )
        assert done.returncode == 0, done.stderr.decode()[-3000:]
        found[framework] = json.loads((folder / "facts.json").read_text("utf-8"))
    return found


def test_every_workload_of_the_registry_can_be_loaded():
    assert {name: workloads.load(name).__name__ for name in workloads.MODULES} == workloads.MODULES


def shapes(weights):
    return {name: [array.shape for array in arrays] for name, arrays in weights.items()}


def test_the_default_model_is_784_128_10():
    weights = mlp.initial_weights(Mlp(), FashionMnist(), seed=0)
    assert shapes(weights) == {"hidden_1": [(784, 128), (128,)], "logits": [(128, 10), (10,)]}


def test_convnet_halves_the_picture_and_doubles_the_channels():
    weights = convnet.initial_weights(ConvNet(), FashionMnist(), seed=0)
    assert shapes(weights) == {
        "conv_1": [(3, 3, 1, 32), (32,)],
        "conv_2": [(3, 3, 32, 64), (64,)],
        "hidden": [(7 * 7 * 64, 128), (128,)],
        "logits": [(128, 10), (10,)],
    }


def test_convnet_pools_before_gelu():
    """With ReLU, a last bit would decide whether a unit has a gradient: docs/decisions/0026."""
    from torch import nn

    config, dataset = ConvNet(depth=1, width=4), Synthetic(height=4, width=4)
    layers = convnet.torch_model(config, dataset, seed=0)
    names = [type(layer).__name__ for layer in layers.children()]
    assert names == ["Pixels", "Conv2d", "MaxPool2d", "GELU", "Flat", "Linear", "GELU", "Linear"]
    gelus = [layer for layer in layers.children() if isinstance(layer, nn.GELU)]
    assert {gelu.approximate for gelu in gelus} == {"none"}


def test_a_models_version_is_1_until_it_changes_and_makes_it_another():
    assert [workloads.version(name) for name in workloads.MODULES] == [1, 2, 1, 1]
    assert workloads.VERSIONS.keys() <= workloads.MODULES.keys()
    assert workloads.identity(Mlp()) == Mlp().model_dump(mode="json")
    assert workloads.identity(ConvNet()) == ConvNet().model_dump(mode="json") | {"version": 2}


def test_resnet_has_two_convolutions_a_block_and_a_shortcut_where_the_shape_changes():
    weights = resnet.initial_weights(ResNet(depth=3), FashionMnist(), seed=0)
    kernels = [arrays[0].shape for name, arrays in weights.items() if name.endswith("_conv")]
    assert sum(shape[0] == 3 for shape in kernels) == 1 + 3 * 3 * 2  # ResNet-20's
    assert [shape for shape in kernels if shape[0] == 1] == [(1, 1, 16, 32), (1, 1, 32, 64)]


def test_vit_has_a_position_for_every_patch():
    weights = vit.initial_weights(Vit(patch=7), Synthetic(height=14, width=21, channels=3), seed=0)
    assert shapes(weights)["tokens"] == [(7 * 7 * 3, 64), (6, 64)]


def test_kernels_are_glorot_uniform_and_biases_zero():
    kernel, bias = mlp.initial_weights(Mlp(), FashionMnist(), seed=0)["hidden_1"]
    limit = np.sqrt(6 / (784 + 128))
    assert np.abs(kernel).max() == pytest.approx(limit, rel=1e-3)
    assert kernel.std() == pytest.approx(limit / np.sqrt(3), rel=0.01)
    assert not bias.any()


def test_a_convolution_counts_its_pixels_among_its_inputs():
    glorot = convnet.initial_weights(ConvNet(), FashionMnist(), seed=0)["conv_2"][0]
    assert np.abs(glorot).max() == pytest.approx(np.sqrt(6 / (9 * 32 + 9 * 64)), rel=1e-3)
    he = resnet.initial_weights(ResNet(width=64), FashionMnist(), 0)["stage_1_block_1_first_conv"]
    assert he[0].std() == pytest.approx(np.sqrt(2 / (9 * 64)), rel=0.02)


@pytest.mark.parametrize("case", MODELS)
def test_a_seed_fixes_the_weights(case):
    run = Job("test", RunConfig(), (), Path(), Path())
    config = workload_facts.case(run, *case.split("-")).config
    draw = workloads.load(config.workload.name).initial_weights
    first, same, other = (draw(config.workload, config.dataset, seed) for seed in (5, 5, 6))
    for name, arrays in first.items():
        assert {array.dtype for array in arrays} == {np.dtype("float32")}
        assert all(map(np.array_equal, arrays, same[name]))
        if "norm" not in name:
            assert not np.array_equal(arrays[0], other[name][0])


@pytest.mark.parametrize("case", MODELS)
def test_keras_and_pytorch_models_start_as_one(case, facts):
    mine, theirs = (facts[framework]["models"][case] for framework in ("keras", "torch"))
    assert mine["parameters"] == theirs["parameters"]
    assert np.array(mine["logits"]) == pytest.approx(np.array(theirs["logits"]), abs=1e-5)


@pytest.mark.parametrize("case", MODELS)
def test_a_models_size_is_known_without_making_it(case, facts):
    """Parameters to the last one; what is kept for the backward pass, from below."""
    run = Job("test", RunConfig(), (), Path(), Path())
    config = workload_facts.case(run, *case.split("-")).config
    size = workloads.load(config.workload.name).size(config.workload, config.dataset)
    made = facts["torch"]["models"][case]
    assert size.parameters == made["parameters"]
    told_bytes = 4 * config.batch_size * size.kept_of_a_sample
    assert 0.4 * made["kept_bytes"] < told_bytes <= made["kept_bytes"]


@pytest.mark.parametrize("case", MODELS)
def test_a_step_in_half_precision_moves_less_and_more_than_half(case, facts):
    """Casts count, and the optimizer's numbers, norms and the loss stay in fp32. Of an mlp, whose
    pixels outweigh all else, casting them takes more than it saves.
    """
    moved = facts["torch"]["models"][case]["moved_bytes"]
    assert 0.5 < moved["bf16"] / moved["fp32"] < (1.1 if case.startswith("mlp") else 1)


@pytest.mark.parametrize("workload", workload_facts.WORKLOADS)
@pytest.mark.parametrize("framework", ["keras", "torch_xla"])
def test_an_epoch_has_the_loss_that_it_has_in_pytorch(framework, workload, facts):
    """And so has its evaluation, but for how PyTorch keeps running variances: see `resnet`."""
    mine, theirs = (facts[name]["trained"][workload] for name in (framework, "torch"))
    assert mine["loss"] == pytest.approx(theirs["loss"], rel=1e-3)
    assert mine["later_losses"][1] == pytest.approx(theirs["later_losses"][1], rel=1e-2)
    assert mine["evaluations"] == pytest.approx(theirs["evaluations"], rel=3e-3)


@pytest.mark.parametrize("workload", workload_facts.WORKLOADS)
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_an_evaluation_changes_nothing(framework, workload, facts):
    first, second = facts[framework]["trained"][workload]["evaluations"]
    assert first == second


@pytest.mark.parametrize("workload", workload_facts.WORKLOADS)
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_later_steps_compile_nothing(framework, workload, facts):
    before, first, *later = facts[framework]["trained"][workload]["compiles"]
    assert first - before <= 3
    assert set(later) == {first}


@pytest.mark.parametrize(
    ("framework", "workload"),
    [(framework, name) for framework, names in workload_facts.RESUMED.items() for name in names],
)
def test_a_restored_model_goes_on_to_the_last_bit(framework, workload, facts):
    """With running means and variances, and attention."""
    whole, restored = facts[framework]["resumed"][workload]
    assert whole == restored


@pytest.mark.parametrize("case", [*workload_facts.WORKLOADS, "sgd", "adamw", "host_loader"])
def test_a_replayed_step_is_the_models_own_to_the_last_bit(case, facts):
    assert facts["torch"]["replayed"][case] == [True] * 5


def test_a_step_that_a_recording_would_not_repeat_is_taken_and_refused(facts):
    assert facts["torch"]["unrecordable"] == {
        "with_a_number": "aten._local_scalar_dense.default gives the model a number, which may "
        "change. [1.0, 1.0]",
        "with_a_stranger": "The model uses a tensor that is no parameter or buffer. [1.0, 1.0]",
        "with_a_list_of_its_own": "aten._foreach_add_.Scalar changes a list of tensors that do not "
        "last. [2.0, 2.0]",
    }


@pytest.mark.parametrize("workload", workload_facts.WORKLOADS)
def test_xla_takes_every_operation_of_a_step(workload, facts):
    assert facts["torch_xla"]["trained"][workload]["fallbacks"] == []
