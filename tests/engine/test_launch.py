"""What this host cannot do is refused before anything is written."""

import json

import pytest

from engine import devices, launch
from engine.config import RunConfig
from engine.devices import Hardware
from engine.job import Device
from engine.problems import ConfigError
from engine.settings import Settings

CPU = Device("cpu:0", "cpu", "CPU", "test")
OLD_GPU = Device("gpu:0", "gpu", "Tesla T4", "test", details={"compute capability": "7.5"})
HARDWARE = Hardware((CPU, OLD_GPU), {})  # a GPU that is not here


def refused(tmp_path, **config):
    with pytest.raises(ConfigError) as problems:
        launch.check(config, {}, Settings(store=tmp_path / "store"), HARDWARE)
    assert not (tmp_path / "store").exists()
    return [problem.sentence for problem in problems.value.problems]


def test_a_precision_that_the_gpu_lacks_says_what_it_takes(tmp_path):
    assert refused(tmp_path, accelerator="gpu", precision="bf16") == [
        "gpu:0 (Tesla T4) has no bf16: that takes compute capability 8.0, and it has 7.5. "
        "Take fp16 or fp32."
    ]


def test_a_precision_that_it_has_is_taken():
    assert devices.precision_missing(OLD_GPU, "fp16") is None
    assert devices.precision_missing(CPU, "bf16") is None


def test_a_data_set_that_is_larger_than_memory_says_by_how_much(tmp_path):
    shape = {"height": 1024, "width": 1024, "channels": 16, "train_samples": 10_000_000}
    (sentence,) = refused(tmp_path, accelerator="cpu", dataset={"name": "synthetic", **shape})
    assert sentence.startswith("The run needs 312,")
    assert "GiB of memory at least (the data set 312," in sentence
    assert sentence.endswith("Take fewer or smaller samples.")


def test_a_tpu_whose_library_is_not_installed_says_how_to_install_it(tmp_path):
    """The TPU is not here, and the interpreter only says what it would have."""
    host = Hardware((CPU, Device("tpu:0", "tpu", "TPU v5e", "test")), {})
    config = RunConfig.parse({"framework": "torch_xla", "accelerator": "tpu"})

    def problems(packages):
        python = tmp_path / f"python-of-{len(packages)}"
        python.write_text(f"#!/bin/sh\necho '{json.dumps(packages)}'\n")
        python.chmod(0o755)
        given = Settings(store=tmp_path / "store", python_torch_xla=python)
        return [problem.sentence for problem in launch.problems_here(config, given, host)]

    (sentence,) = problems({"torch_xla": "2.9.0"})
    assert sentence.startswith("PyTorch/XLA drives a TPU with libtpu, which ")
    assert sentence.endswith("-m uv pip install -c constraints.txt 'torch_xla[tpu]==2.9.0'.")
    assert problems({"torch_xla": "2.9.0", "libtpu": "0.0.21"}) == []


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({}, "mlp, PyTorch on CPU"),
        ({"seed": 3, "batch_size": 256}, "mlp, PyTorch on CPU, batch size 256, seed 3"),
        ({"framework": "keras"}, "mlp, Keras/TensorFlow on CPU"),
        ({"workload": {"name": "mlp", "width": 16}}, "mlp, PyTorch on CPU, width 16"),
        (
            {"dataset": {"name": "synthetic", "width": 8}},
            "mlp, PyTorch on CPU, dataset synthetic, image width 8",
        ),
    ],
)
def test_a_run_without_a_name_is_called_by_what_it_does_differently(fields, name):
    assert launch.default_name(RunConfig.parse(fields)) == name
