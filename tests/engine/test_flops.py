"""What a step takes is counted once for each model, and kept."""

import pytest

from engine import flops, keep, workloads
from engine.config import RunConfig
from engine.flops import Count

SMALL = {"name": "synthetic", "height": 8, "width": 8, "train_samples": 64, "test_samples": 16}
KEPT = Count(1, 2, 3)


def config(**fields):
    return RunConfig.parse({"dataset": SMALL, "batch_size": 16} | fields)


CONVNET = config(workload={"name": "convnet", "width": 4})


def kept_files(folder):
    return {path.name for path in folder.glob("flops-*.json")}


def keep_one(made, folder):
    """As if it had been counted; the name of its file."""
    flops.of(made, folder)
    (name,) = kept_files(folder)
    keep.write(folder / name, KEPT)
    return name


def test_what_was_counted_is_found_again_whatever_no_step_depends_on(tmp_path):
    keep_one(CONVNET, tmp_path)
    assert flops.of(CONVNET, tmp_path) == KEPT
    again = {"seed": 3, "epochs": 9, "learning_rate": 0.1, "framework": "torch_xla"}
    assert flops.of(config(workload={"name": "convnet", "width": 4}, **again), tmp_path) == KEPT


@pytest.mark.parametrize(
    "other",
    [
        {"workload": {"name": "convnet", "width": 8}},
        {"dataset": SMALL | {"classes": 7}},
        {"batch_size": 32},
        {"optimizer": "sgd"},
        {"precision": "bf16"},
    ],
)
def test_of_another_step_it_is_counted_anew(tmp_path, other):
    keep_one(CONVNET, tmp_path)
    counted = flops.of(config(**{"workload": {"name": "convnet", "width": 4}} | other), tmp_path)
    assert counted not in (None, KEPT)
    assert len(kept_files(tmp_path)) == 2


def test_what_was_counted_of_an_earlier_version_of_a_model_is_counted_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(workloads, "VERSIONS", {})
    keep_one(CONVNET, tmp_path)
    monkeypatch.setattr(workloads, "VERSIONS", {"convnet": 2})
    assert flops.of(CONVNET, tmp_path) not in (None, KEPT)
    assert len(kept_files(tmp_path)) == 2


def test_a_convnets_flops_are_those_of_its_products(tmp_path):
    """Forward, and twice as many backward; the pixels need no gradient. Activations count none."""
    products = [8 * 8 * 9 * 1 * 4, 4 * 4 * 9 * 4 * 8, 2 * 2 * 8 * 16, 16 * 10]
    assert flops.count(CONVNET).flops == 2 * 16 * (3 * sum(products) - products[0])
