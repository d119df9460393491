"""The TPU's own compiler judges what PyTorch/XLA would train: real processes, and no TPU."""

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from click.testing import CliRunner

from engine import cli, settings, workloads
from engine.config import WORKLOADS, RunConfig
from engine.problems import ConfigError
from engine.tpu import check, chips, environment, program, results
from storage import database, tpu_checks
from tests.processes import lab

pytestmark = pytest.mark.timeout(1200)  # whichever test is first waits for all to be compiled
V5E = "v5e:2x2"
BY_HAND = "func.func @main(%a: {0}) -> {0} {{ return %a : {0} }}"
# The compiler takes several times as long over fp32 convolutions; mlp stands for fp32. One block of
# a deep one stands for more: they are all alike. A small batch takes the least time, and has masks
# among its constants: a larger one's are made as they are needed.
CONFIGS = {
    "mlp": {},
    "mlp on 4 chips": {"devices": 4},
    "mlp from a host loader": {"input": "host_loader", "optimizer": "sgd", "devices": 4},
} | {
    name: {"workload": workload, "precision": "bf16", "batch_size": 16}
    for name, workload in {
        "convnet": {"name": "convnet"},
        "resnet": {"name": "resnet", "depth": 1},
        "vit": {"name": "vit", "depth": 1},
    }.items()
}


@pytest.fixture(scope="module")
def compiler():
    """Settings of a host that can ask the compiler; it is installed here if it is not yet."""
    here = settings.load()
    try:
        environment.prepare(here, print)
    except check.CheckImpossible as why:
        pytest.skip(str(why))
    return here


@pytest.fixture(scope="module")
def recorded(compiler, tmp_path_factory):
    """The folder with each step as recorded and as compiled, and the results by name."""
    folder = tmp_path_factory.mktemp("programs")
    configs = [program.config_of(raw) for raw in CONFIGS.values()]
    check.record(compiler, configs, folder)
    results = check.judge(compiler, configs, V5E, folder)
    return folder, dict(zip(CONFIGS, results, strict=True))


@pytest.mark.parametrize("name", WORKLOADS)
def test_every_workloads_step_compiles_for_a_v5e_and_fits(recorded, name):
    found = recorded[1][name]
    assert (found.compiles, found.fits, found.message) == (True, True, None)
    assert 0 < found.hbm_bytes < found.hbm_available_bytes
    assert found.flops > 0
    bounds = {"compute": found.flops / 197e12, "memory": found.bytes / 819e9}
    assert found.bound_s == max(bounds.values()) == bounds[found.binds]


def test_an_mlps_flops_are_those_of_its_matrix_products_and_a_little_more(recorded):
    products = 2 * 128 * (2 * 784 * 128 + 3 * 128 * 10)  # the first layer needs no input gradient
    assert products < recorded[1]["mlp"].flops < 1.05 * products


def test_four_chips_share_the_batch_and_sum_their_gradients(recorded):
    folder, results = recorded
    one, four = results["mlp"], results["mlp on 4 chips"]
    assert four.chips == 4
    assert 0.25 < four.flops / one.flops < 0.3
    compiled = (folder / f"{list(CONFIGS).index('mlp on 4 chips')}.hlo").read_text()
    assert "all-reduce(" in compiled or "all-reduce-start(" in compiled
    assert "num_partitions=4" in compiled


def test_the_data_set_is_an_argument_of_the_program(recorded):
    folder, results = recorded
    assert (folder / "0.mlir").stat().st_size < 100_000
    assert "u8[468,128,784]" in (folder / "0.hlo").read_text().partition("->")[0]
    beside = 70_000 * (784 + 8)  # both splits as they were loaded, beside the epoch in its order
    assert results["mlp"].beside_bytes == beside
    assert results["mlp"].hbm_bytes > 468 * 128 * 784 + beside


def test_batches_from_a_host_loader_are_the_programs_only_data(recorded):
    found = recorded[1]["mlp from a host loader"]
    assert found.compiles
    assert found.beside_bytes == 10_000 * (784 + 8)
    assert found.hbm_bytes < 60_000 * 784


def test_weights_and_their_updates_share_their_memory(recorded):
    compiled = (recorded[0] / "0.hlo").read_text().splitlines()[0]
    assert "input_output_alias" in compiled


def test_a_program_too_large_for_the_chip_gets_the_compilers_sentence(compiler, tmp_path):
    """Written by hand: a step that is too large for a TPU would be too large for this host."""
    (tmp_path / "0.mlir").write_text(BY_HAND.format("tensor<20x1073741824xi8>"))
    (tmp_path / "0.json").write_text(json.dumps({"aliases": {}, "batch_dims": {}}))
    (found,) = check.judge(compiler, [program.config_of({})], V5E, tmp_path)
    assert not found.compiles
    assert "exceeds available HBM (15.75G)" in found.message
    assert found.hbm_bytes > found.hbm_available_bytes
    assert (found.flops, found.bound_s, found.binds) == (None, None, None)


def test_two_checks_at_once_do_not_keep_each_other_out(compiler, tmp_path):
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
        (folder / "0.mlir").write_text(BY_HAND.format("tensor<8xf32>"))
        (folder / "0.json").write_text(json.dumps({"aliases": {}, "batch_dims": {}}))
    config = [program.config_of({})]
    with ThreadPoolExecutor(2) as both:
        judged = list(both.map(lambda at: check.judge(compiler, config, V5E, at), folders))
    assert [found.compiles for (found,) in judged] == [True, True]


def test_every_offered_topology_exists_with_as_many_devices_as_chips(compiler):
    script = (
        "import json, sys; from jax.experimental.topologies import get_topology_desc as get\n"
        "print([len(get(name, 'tpu', **o).devices) for name, o in json.loads(sys.argv[1])])"
    )
    asked = [(name, chips.chip_of(name).options) for name in chips.TOPOLOGIES]
    done = subprocess.run(
        [compiler.python_tpu_check, "-c", script, json.dumps(asked)],
        env={
            **{"JAX_PLATFORMS": "cpu", "TPU_SKIP_MDS_QUERY": "1"},
            "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == [chips.count_of(name) for name in chips.TOPOLOGIES]


def test_the_command_line_tells_it_as_json_and_keeps_it_for_runs_with_the_same_program(
    compiler, tmp_path
):
    small = ["workload.width=8", "dataset=synthetic", "dataset.train_samples=512", "batch_size=64"]
    pairs = [part for pair in small for part in ("--set", pair)]
    with lab(tmp_path / "store") as here:
        done = here.cli("tpu-check", *pairs, "--topology", V5E, "--json", timeout_s=280)
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout.splitlines()[-1])
        assert (told["compiles"], told["topology"], told["chips"]) == (True, V5E, 1)
        assert min(told["hbm_bytes"], told["flops"], told["bytes"], told["bound_s"]) > 0
        with database.opened(here.store) as db:
            ((_, kept),) = tpu_checks.of_program(db, told["program"])
    assert kept == told


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--topology", "v5e:3x3"], "Unknown topology 'v5e:3x3'. Choose one of: v4:2x2x1"),
        (["--topology", "v9"], "Unknown topology 'v9'. Choose one of:"),
        (["--set", "devices=8"], "Topology v5e:2x2 has 4 chips, got 8 devices."),
        (["--set", "epohcs=3"], "Unknown field 'epohcs'. Did you mean 'epochs'?"),
    ],
)
def test_bad_input_is_one_sentence_status_2_and_nothing_written(tmp_path, arguments, sentence):
    database.prepare(tmp_path)
    before = database.path_of(tmp_path).read_bytes()
    done = CliRunner().invoke(cli.main, ["--store", str(tmp_path), "tpu-check", *arguments])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"Error: {sentence}")
    assert database.path_of(tmp_path).read_bytes() == before


def test_a_compiler_that_is_not_there_is_one_sentence_with_the_way_out(tmp_path):
    with lab(tmp_path / "store") as here:
        here.env["ACCELBOARD_PYTHON_TPU_CHECK"] = "/nowhere/python"
        done = here.cli("tpu-check")
    assert done.returncode == 5
    assert "names '/nowhere/python', which is no interpreter." in done.stderr
    assert "Traceback" not in done.stderr


def test_any_run_is_checked_as_it_would_be_on_a_tpu():
    keras = RunConfig.parse({"framework": "keras", "accelerator": "gpu", "precision": "fp16"})
    there = program.on_tpu(keras)
    assert (there.framework, there.accelerator) == ("torch_xla", "tpu")
    assert (there.precision, there.batch_size) == ("bf16", 32)


def test_a_program_is_the_same_for_other_seeds_rates_and_epochs_and_no_other():
    def key(**fields):
        return program.key(program.config_of(fields))

    assert key(seed=3, epochs=2, learning_rate=0.1, schedule="cosine") == key()
    different = [
        {"workload": {"name": "mlp", "width": 64}},
        {"dataset": {"name": "synthetic"}},
        {"batch_size": 64},
        {"devices": 4},
        {"optimizer": "sgd"},
        {"precision": "bf16"},
        {"input": "host_loader"},
    ]
    assert len({key(), *(key(**fields) for fields in different)}) == 1 + len(different)


def test_a_check_of_an_earlier_version_of_a_model_is_made_anew(tmp_path, monkeypatch):
    """And one of a model that never changed is found."""
    convnet, mlp = (program.config_of({"workload": {"name": name}}) for name in ("convnet", "mlp"))
    found = check.TpuCheck("", V5E, 1, "fp32", "libtpu 1", True, None, 1, 1, 2, 1.0, 1, 1.0,
                           "compute", 1.0)  # fmt: skip
    database.prepare(tmp_path)
    with database.opened(tmp_path) as db:
        monkeypatch.setattr(workloads, "VERSIONS", {})
        for config in (convnet, mlp):
            tpu_checks.put(db, program.key(config), V5E, 1.0, found.as_json())
            assert results.of(db, config) == [(1.0, found)]
        monkeypatch.setattr(workloads, "VERSIONS", {"convnet": 2})
        assert (results.of(db, convnet), results.of(db, mlp)) == ([], [(1.0, found)])


def test_an_unknown_topology_is_refused_before_anything_is_installed():
    with pytest.raises(ConfigError, match="Unknown topology"):
        check.check(settings.load(), [program.config_of({})], "v5e:banana")
