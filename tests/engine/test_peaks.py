"""What devices can do at most, how well runs used it, and what is kept of that."""

import pytest

from engine import efficiency, keep, peaks
from engine.job import Device
from engine.peaks import Peak


def gpu(name):
    return Device("gpu:0", "gpu", name, "test")


@pytest.mark.parametrize(
    ("name", "precision", "tflops"),
    [
        ("NVIDIA H100 80GB HBM3", "bf16", 989),
        ("NVIDIA H100 PCIe", "bf16", 756),
        ("NVIDIA A100-SXM4-80GB", "tf32", 156),
        ("Tesla T4", "fp16", 65),
        ("Tesla T4", "bf16", None),
        ("NVIDIA T400 4GB", "fp32", None),
        ("NVIDIA GH200 480GB", "bf16", None),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", "bf16", None),
    ],
)
def test_a_gpu_has_its_data_sheets_figures_or_none(name, precision, tflops, tmp_path):
    found = peaks.of(gpu(name), precision, tmp_path).flops_per_s
    assert found == (tflops and tflops * 1e12)


def test_a_tpu_has_its_chips_figures_in_bf16(tmp_path):
    chip = Device("tpu:0", "tpu", "TPU v5e", "test")
    assert peaks.of(chip, "bf16", tmp_path).flops_per_s == 197e12
    assert peaks.of(chip, "fp32", tmp_path).flops_per_s is None


def test_a_cpu_is_measured_once_and_kept(tmp_path):
    cpu = Device("cpu:0", "cpu", "CPU", "test")
    first = peaks.of(cpu, "fp32", tmp_path)
    assert first.flops_per_s > 1e9
    assert first.bytes_per_s > 1e8
    assert peaks.of(cpu, "fp32", tmp_path) == first
    in_bf16 = peaks.of(cpu, "bf16", tmp_path)
    assert (in_bf16.flops_per_s, in_bf16.bytes_per_s) == (None, first.bytes_per_s)


def test_a_cpus_peak_that_a_run_has_beaten_is_measured_anew(tmp_path):
    cpu = Device("cpu:0", "cpu", "CPU", "test")
    kept_in = tmp_path / f"peak-{peaks._this_cpu()}.json"
    keep.write(kept_in, Peak(1e6, 1e15, "measured beside other work"))
    assert peaks.of(cpu, "fp32", tmp_path, 9e5).flops_per_s == 1e6
    found = peaks.of(cpu, "fp32", tmp_path, 2e6)
    assert found.flops_per_s > 1e9
    assert found.bytes_per_s == 1e15
    assert peaks.of(cpu, "fp32", tmp_path) == found


@pytest.mark.parametrize("text", ["", "{", '{"flops": 1}', "[]"])
def test_what_was_kept_and_cannot_be_read_is_found_out_again(text, tmp_path):
    (tmp_path / "peak.json").write_text(text)
    assert keep.read(tmp_path / "peak.json", Peak) is None


def test_a_cache_that_cannot_be_written_costs_no_run(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    keep.write(tmp_path / "file" / "peak.json", Peak(1.0, 2.0, "test"))
    assert "was not kept" in capsys.readouterr().err


FACTS = {"flops_per_step": 100, "bytes_per_step": 10, "steady_steps": 6, "steady_s": 2.0}


def test_mfu_is_what_was_achieved_over_the_peak():
    found = efficiency.of(FACTS | {"peak_flops_per_s": 1000.0, "peak_bytes_per_s": 50.0})
    assert (found.flops_per_s, found.mfu) == (300.0, 0.3)
    assert (found.intensity, found.ridge) == (10.0, 20.0)
    assert (found.binds, found.roof_flops_per_s) == ("memory", 500.0)


def test_a_peak_that_was_beaten_gives_no_mfu():
    assert efficiency.of(FACTS | {"peak_flops_per_s": 299.0}).mfu is None


def test_what_is_unknown_stays_unknown():
    found = efficiency.of(FACTS | {"peak_flops_per_s": None})
    assert (found.flops_per_s, found.mfu, found.ridge, found.binds) == (300.0, None, None, None)
    assert set(vars(efficiency.of({})).values()) == {None}
