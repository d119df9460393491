"""Memory that a run takes at least, and how one that cannot fit is refused."""

import pytest

from engine import footprint, launch
from engine.config import RunConfig
from engine.devices import Hardware
from engine.job import EXIT_FAILED, Device
from engine.settings import Settings
from tests.engine import trainers

GIB = 1 << 30
HUGE = {"name": "synthetic", "height": 1024, "width": 1024, "train_samples": 10_000_000}
GPU = Device("gpu:0", "gpu", "A GPU", "test", memory_bytes=8 * GIB)


def refused(host_gib, there=(), **raw):
    found = footprint.too_large(RunConfig.parse(raw), host_gib * GIB, there)
    return (found.field, found.sentence) if found else None


def test_the_defaults_of_every_workload_fit_into_2_gib():
    for workload in ("mlp", "convnet", "resnet", "vit"):
        assert refused(2, workload={"name": workload}) is None


def test_a_data_set_too_large_is_counted_with_the_copy_that_is_trained_from():
    train_gib, test_gib = ((1024 * 1024 + 8) * samples / GIB for samples in (10_000_000, 2048))
    resident_gib = 2 * (train_gib + test_gib)
    assert refused(16, dataset=HUGE) == (
        "dataset",
        f"The run needs {resident_gib + 2.5:,.1f} GiB of memory at least (the data set "
        f"{resident_gib:,.1f} GiB, the model in training 2.0 GiB, a batch's activations 0.5 GiB), "
        "and there are 16.0 GiB. Take fewer or smaller samples.",
    )
    loaded = refused(16, dataset=HUGE, input="host_loader")[1]
    assert f"the data set {train_gib + 2 * test_gib:,.1f} GiB" in loaded


def test_a_model_too_large_is_counted_with_gradients_and_moments():
    deep = {"name": "mlp", "width": 16_384, "depth": 32}
    parameters = 784 * 16_384 + 31 * 16_384**2 + 16_384 * 10 + 32 * 16_384 + 10
    for optimizer, numbers in (("sgd", 3), ("adam", 4)):
        field, sentence = refused(64, workload=deep, optimizer=optimizer)
        assert field == "workload"
        told = f"the model in training {4 * numbers * parameters / GIB:,.1f} GiB"
        assert told in sentence
        assert sentence.endswith("and there are 64.0 GiB. Take a smaller model.")


def test_a_batch_too_large_is_counted_in_the_runs_precision():
    asked = {"workload": {"name": "convnet", "width": 512}, "batch_size": 60_000}
    full, half = (refused(16, precision=name, **asked) for name in ("fp32", "bf16"))
    assert full[0] == half[0] == "batch_size"
    kept = 784 + (784 + 2 * 196) * 512 + (196 + 2 * 49) * 1024 + 2 * 4 * 512
    assert f"a batch's activations {4 * 60_000 * kept / GIB:,.1f} GiB" in full[1]
    assert f"a batch's activations {2 * 60_000 * kept / GIB:,.1f} GiB" in half[1]
    assert full[1].endswith("Take a smaller batch size.")


def test_virtual_devices_have_a_copy_of_data_and_model_each():
    wide = {"workload": {"name": "mlp", "width": 16_384, "depth": 4}, "batch_size": 128}
    assert refused(16, **wide) is None
    assert refused(16, devices=4, **wide)[0] == "workload"


def test_a_gpus_own_memory_holds_what_is_resident_and_not_what_a_loader_feeds():
    pictures = {"name": "synthetic", "height": 256, "width": 256, "train_samples": 200_000}
    asked = {"accelerator": "gpu", "dataset": pictures}
    field, sentence = refused(64, [GPU], **asked)
    assert field == "dataset"
    assert sentence.startswith("The run needs 12.5 GiB of memory on each GPU at least ")
    assert refused(64, [GPU], input="host_loader", **asked) is None
    assert refused(8, [GPU], input="host_loader", **asked)[1].startswith(
        "The run needs 12.3 GiB of memory at least (the data set 12.3 GiB), and there are 8.0 GiB."
    )


@pytest.mark.parametrize("unknown", [(), [Device("tpu:0", "tpu", "TPU v5e", "test")]])
def test_memory_of_a_device_that_is_not_known_refuses_nothing(unknown):
    raw = {"accelerator": "tpu", "framework": "torch_xla", "dataset": HUGE}
    assert refused(100_000, unknown, **raw) is None


def test_a_run_too_large_is_refused_before_it_is_queued(tmp_path):
    cpu = Device("cpu:0", "cpu", "CPU", "test")
    config = RunConfig.parse({"dataset": HUGE})
    problems = launch.problems_here(config, Settings(store=tmp_path), Hardware((cpu,), {}))
    assert [problem.field for problem in problems] == ["dataset"]
    assert "The run needs 19,5" in problems[0].sentence


def test_a_trainer_looks_at_what_is_free_before_it_makes_anything(tmp_path):
    run = trainers.train(tmp_path, dataset=HUGE)
    assert run.exit_code == EXIT_FAILED
    failed = run.events[-1]
    assert failed.kind == "out_of_memory"
    assert "GiB of free memory at least" in failed.sentence
    assert failed.sentence.endswith("Take fewer or smaller samples.")


def test_of_unlike_gpus_the_largest_decide():
    wide = {"accelerator": "gpu", "workload": {"name": "mlp", "width": 16_384, "depth": 4}}
    small, large = (
        Device(f"gpu:{n}", "gpu", "A GPU", "test", memory_bytes=n * GIB) for n in (4, 40)
    )
    assert refused(256, [small, large], **wide) is None
    assert refused(256, [small], **wide)[0] == "workload"
    assert refused(256, [small, large], devices=2, **wide)[0] == "workload"
