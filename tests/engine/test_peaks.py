"""What devices can do at most, how well runs used it, and what is kept of that."""

import pytest

from engine import efficiency, keep, peaks
from engine.job import Device
from engine.peaks import Peak


def gpu(name):
    return Device("gpu:0", "gpu", name, "test")


# Of the data sheets: TFLOP/s in fp32, tf32, bf16, fp16; GB/s.
SHEETS = {
    "NVIDIA B200": (75, 1100, 2250, 2250, 8000),
    "NVIDIA H200": (67, 494, 989, 989, 4800),
    "NVIDIA H200 NVL": (60, 417, 835, 835, 4800),
    "NVIDIA H100 80GB HBM3": (67, 494, 989, 989, 3350),
    "NVIDIA H100 PCIe": (51, 378, 756, 756, 2000),
    "NVIDIA H100 NVL": (60, 417, 835, 835, 3900),
    "NVIDIA A100-SXM4-80GB": (19.5, 156, 312, 312, 2039),
    "NVIDIA A100 80GB PCIe": (19.5, 156, 312, 312, 1935),
    "NVIDIA A100-PCIE-40GB": (19.5, 156, 312, 312, 1555),
    "NVIDIA A10": (31.2, 62.5, 125, 125, 600),
    "NVIDIA L40S": (91.6, 183, 362, 362, 864),
    "NVIDIA L4": (30.3, 60, 121, 121, 300),
    "NVIDIA GeForce RTX 4090": (82.6, 82.6, 165.2, 165.2, 1008),
    "Tesla T4": (8.1, None, None, 65, 320),
    "Tesla V100-SXM2-32GB": (15.7, None, None, 125, 900),
    "Tesla V100-PCIE-16GB": (14, None, None, 112, 900),
}
WITHOUT_A_SHEET = [
    *("NVIDIA T400 4GB", "NVIDIA GH200 480GB", "NVIDIA A10G", "NVIDIA H100", "GRID T4-16Q"),
    *("NVIDIA A100-SXM4-40GB MIG 1g.5gb", "NVIDIA GeForce RTX 4090 Laptop GPU"),
    *("NVIDIA GeForce RTX 4090 D", "NVIDIA H20"),
]


@pytest.mark.parametrize("name", SHEETS)
def test_a_gpu_has_the_figures_of_its_own_data_sheet_in_each_format(name, tmp_path):
    *tflops, gb_per_s = SHEETS[name]
    for precision, wanted in zip(("fp32", "tf32", "bf16", "fp16"), tflops, strict=True):
        found = peaks.of(gpu(name), precision, tmp_path)
        assert found.flops_per_s == (wanted and wanted * 1e12)
        assert found.bytes_per_s == gb_per_s * 1e9
        assert found.source.startswith("NVIDIA's ")
        assert found.source.endswith(f"; dense {precision}")


@pytest.mark.parametrize("name", WITHOUT_A_SHEET)
def test_another_gpu_has_none_however_alike_its_name(name, tmp_path):
    found = peaks.of(gpu(name), "fp16", tmp_path)
    assert found == Peak(None, None, f"no figures for {name}")


@pytest.mark.parametrize(
    ("generation", "tflops", "gb_per_s"),
    [("v4", 275, 1228), ("v5e", 197, 819), ("v5p", 459, 2765), ("v6e", 918, 1638)],
)
def test_a_tpu_has_its_chips_figures_in_bf16(generation, tflops, gb_per_s, tmp_path):
    chip = Device("tpu:0", "tpu", f"TPU {generation}", "test")
    found = peaks.of(chip, "bf16", tmp_path)
    assert (found.flops_per_s, found.bytes_per_s) == (tflops * 1e12, gb_per_s * 1e9)
    assert f"page on {generation}" in found.source
    assert peaks.of(chip, "fp32", tmp_path).flops_per_s is None


@pytest.mark.parametrize("name", ["TPU v2/v3", "TPU v7x", "TPU v9"])
def test_a_tpu_of_which_too_little_is_known_has_none_and_says_why(name, tmp_path):
    found = peaks.of(Device("tpu:0", "tpu", name, "test"), "bf16", tmp_path)
    assert (found.flops_per_s, found.bytes_per_s) == (None, None)
    assert found.source.startswith(f"no figures for {name}")


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
