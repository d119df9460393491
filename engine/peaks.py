"""What a device can do at most: arithmetic and memory traffic, and how we know.

A GPU's figures are its vendor's, for dense matrices; a CPU's are measured once and kept. A device
that is in no table has none: unknown is better than a guess.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from engine import environment, keep
from engine.job import Device
from engine.tpu import chips

GEMM_SIZE, GEMM_REPEATS = 1536, 5
COPY_BYTES, COPY_REPEATS = 128 << 20, 4


@dataclass(frozen=True)
class Peak:
    """Of one device. `source` says where the figures are from; what is unknown is None."""

    flops_per_s: float | None
    bytes_per_s: float | None
    source: str


class Gpu(NamedTuple):
    """TFLOP/s of dense matrices by format, None where it is not in hardware; memory in GB/s."""

    fp32: float
    tf32: float | None
    bf16: float | None
    fp16: float
    gb_per_s: float
    sheet: str


# NVML's name without its brand. Others, such as laptops', vGPUs' and parts of a GPU (MIG), have
# figures of their own and so none here. Where a sheet gives what sparse matrices do, half of it.
GPUS = {
    "B200": Gpu(75, 1100, 2250, 2250, 8000, "Blackwell architecture brief and DGX B200 data sheet"),
    "H200": Gpu(67, 494, 989, 989, 4800, "H200 data sheet, SXM"),
    "H200 NVL": Gpu(60, 417, 835, 835, 4800, "H200 data sheet, NVL"),
    "H100 80GB HBM3": Gpu(67, 494, 989, 989, 3350, "H100 data sheet, SXM"),
    "H100 PCIe": Gpu(51, 378, 756, 756, 2000, "H100 data sheet, PCIe"),
    "H100 NVL": Gpu(60, 417, 835, 835, 3900, "H100 data sheet, NVL"),
    "A100-SXM4-80GB": Gpu(19.5, 156, 312, 312, 2039, "A100 data sheet, 80 GB SXM"),
    "A100 80GB PCIe": Gpu(19.5, 156, 312, 312, 1935, "A100 data sheet, 80 GB PCIe"),
    "A100-SXM4-40GB": Gpu(19.5, 156, 312, 312, 1555, "A100 data sheet, 40 GB SXM"),
    "A100-PCIE-40GB": Gpu(19.5, 156, 312, 312, 1555, "A100 data sheet, 40 GB PCIe"),
    "A10": Gpu(31.2, 62.5, 125, 125, 600, "A10 data sheet"),
    "L40S": Gpu(91.6, 183, 362, 362, 864, "L40S data sheet"),
    "L4": Gpu(30.3, 60, 121, 121, 300, "L4 data sheet"),
    "RTX 4090": Gpu(82.6, 82.6, 165.2, 165.2, 1008, "Ada architecture white paper, fp32 sums"),
    "T4": Gpu(8.1, None, None, 65, 320, "T4 data sheet"),
    "V100-SXM2-16GB": Gpu(15.7, None, None, 125, 900, "V100 data sheet, SXM2"),
    "V100-SXM2-32GB": Gpu(15.7, None, None, 125, 900, "V100 data sheet, SXM2"),
    "V100-PCIE-16GB": Gpu(14, None, None, 112, 900, "V100 data sheet, PCIe"),
    "V100-PCIE-32GB": Gpu(14, None, None, 112, 900, "V100 data sheet, PCIe"),
}
BRANDS = ("NVIDIA", "GeForce", "Tesla")
# Why a TPU that is known has no figures.
NO_TPU_FIGURES = {
    "TPU v2/v3": "the PCI bus does not tell a v2 from a v3",
    "TPU v7x": "a chip is two devices to its programs, and which of them a run has is not known",
}


def of(
    device: Device, precision: str, cache: Path, achieved_flops_per_s: float | None = None
) -> Peak:
    """The device's peaks in a precision; `cache` is where a CPU's are kept.

    A CPU's that a run has beaten were measured beside other work, and are measured anew.
    """
    if device.accelerator == "cpu":
        return _of_cpu(precision, cache, achieved_flops_per_s or 0.0)
    if device.accelerator == "gpu":
        return _of_gpu(device.name, precision)
    return _of_tpu(device.name, precision)


def _of_tpu(name: str, precision: str) -> Peak:
    """A chip multiplies in bf16; fp32 is made of several such products and has no peak here."""
    chip = chips.CHIPS.get(name.removeprefix("TPU "))
    if chip is None:
        why = NO_TPU_FIGURES.get(name)
        return Peak(
            None, None, f"no figures for {name}: {why}" if why else f"no figures for {name}"
        )
    flops = chip.peak_flops if precision == "bf16" else None
    source = f"Google's Cloud TPU documentation, page on {chip.generation}, dense bf16"
    return Peak(flops, chip.hbm_bytes_per_s, source)


def _of_gpu(name: str, precision: str) -> Peak:
    gpu = GPUS.get(" ".join(word for word in name.split() if word not in BRANDS))
    if gpu is None:
        return Peak(None, None, f"no figures for {name}")
    tflops = {"fp32": gpu.fp32, "tf32": gpu.tf32, "bf16": gpu.bf16, "fp16": gpu.fp16}[precision]
    source = f"NVIDIA's {gpu.sheet}; dense {precision}"
    return Peak(tflops and tflops * 1e12, gpu.gb_per_s * 1e9, source)


def _of_cpu(precision: str, cache: Path, achieved_flops_per_s: float) -> Peak:
    path = cache / f"peak-{_this_cpu()}.json"
    peak = keep.read(path, Peak)
    if peak is None or achieved_flops_per_s > (peak.flops_per_s or 0.0):
        peak = _higher(measured(), peak)
        keep.write(path, peak)
    if precision == "fp32":
        return peak
    return Peak(None, peak.bytes_per_s, f"no peak is measured for {precision} on a CPU")


def _higher(peak: Peak, other: Peak | None) -> Peak:
    """Of two measurements of one CPU: what slows one down adds nothing to the other."""
    if other is None:
        return peak
    return Peak(
        max(peak.flops_per_s or 0.0, other.flops_per_s or 0.0),
        max(peak.bytes_per_s or 0.0, other.bytes_per_s or 0.0),
        peak.source,
    )


def measured() -> Peak:
    """This host's CPU: a matrix product in fp32 and a copy in memory, each the best of a few."""
    a = np.ones((GEMM_SIZE, GEMM_SIZE), np.float32)
    gemm_s = _best_s(lambda: a @ a, GEMM_REPEATS)
    source, target = np.ones(COPY_BYTES, np.uint8), np.empty(COPY_BYTES, np.uint8)
    copy_s = _best_s(lambda: np.copyto(target, source), COPY_REPEATS)
    return Peak(
        flops_per_s=2 * GEMM_SIZE**3 / gemm_s,
        bytes_per_s=2 * COPY_BYTES / copy_s,
        source=f"measured: {GEMM_SIZE:,}-wide fp32 matrix product, copy of {COPY_BYTES >> 20} MiB",
    )


def _best_s(work: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return min(times)


def _this_cpu() -> str:
    """A file name for the CPU and as many of its cores as this process may use."""
    model = environment.cpu_model() or platform.machine()
    words = "".join(char if char.isalnum() else "-" for char in model)
    return f"{words}-{len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else 0}"
