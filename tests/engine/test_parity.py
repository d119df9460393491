"""Whether the frameworks do the same job: the command, and what it refuses."""

import json

import pytest
from click.testing import CliRunner

from engine import cli, parity
from engine.parity import Figure
from engine.problems import ConfigError
from tests import measured

TINY = [
    *("--set", "workload.width=8", "--set", "dataset=synthetic", "--set", "dataset.height=8"),
    *("--set", "dataset.width=8", "--set", "dataset.train_samples=512"),
    *("--set", "dataset.test_samples=64", "--set", "batch_size=32"),
]


def test_the_command_tells_a_figure_for_every_framework_and_epoch(tmp_path, monkeypatch):
    for name, value in measured.environment().items():
        monkeypatch.setenv(name, value)
    arguments = ["parity", "--workload", "mlp", *TINY, "--samples", "256", "--json"]
    done = CliRunner().invoke(cli.main, ["--store", str(tmp_path), *arguments])
    assert done.exit_code == 0, done.output
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [figure["name"] for figure in found] == [
        f"mlp, {framework}: training loss of epoch {epoch}, 256 samples each"
        for framework in ("torch", "keras", "torch_xla")
        for epoch in (1, 3)
    ]
    assert {figure["wanted"] for figure in found} == {"<= 0.001", "<= 0.01"}
    assert all(figure["value"] <= float(figure["wanted"][3:]) for figure in found)
    assert found[1]["loss"] < found[0]["loss"]


def test_a_figure_that_is_no_number_is_not_met():
    assert not Figure("mlp", "keras", 1, 100, float("nan"), 0.5).is_met
    assert Figure("mlp", "keras", 1, 100, 0.5004, 0.5).is_met
    assert not Figure("mlp", "keras", 1, 100, 0.5006, 0.5).is_met


def test_parameters_of_a_workload_are_taken():
    configs, _ = parity.configs_of(["mlp", "convnet"], {"workload.width": "16"}, 1000)
    assert [(c.workload.name, c.workload.width) for c in configs] == [("mlp", 16), ("convnet", 16)]
    (named,), samples = parity.configs_of([], {"workload": "vit", "workload.depth": "1"}, 10**6)
    assert (named.workload.name, named.workload.depth, samples) == ("vit", 1, 60_000)
    assert len(parity.configs_of([], {}, 1000)[0]) == 4


@pytest.mark.parametrize(
    ("given", "samples", "sentence"),
    [
        ({"epochs": "5"}, 1000, "epochs is not for parity to vary: always 3 are compared."),
        ({"schedule": "cosine"}, 1000, "schedule is not for parity to vary: all train at a"),
        ({"framework": "keras"}, 1000, "framework is not for parity to vary: every framework"),
        ({}, 100, "100 samples make no batch of 128. Take more samples, or a smaller batch_size."),
        ({"workload.patch": "4"}, 1000, "Unknown field 'workload.patch'"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_a_sentence(given, samples, sentence):
    with pytest.raises(ConfigError) as refused:
        parity.configs_of(["mlp"], given, samples)
    assert str(refused.value).startswith(sentence)
