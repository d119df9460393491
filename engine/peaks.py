"""What a device can do at most: arithmetic and memory traffic, and how we know.

A GPU's figures are its vendor's, for dense matrices; a CPU's are measured once and kept. A device
that is in no table has none: unknown is better than a guess.
"""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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


# Substring of NVML's name -> TFLOP/s dense in (fp32, tf32, bf16 and fp16), memory GB/s; the more
# telling names first. From NVIDIA's data sheets; None where the format is not in hardware.
GPUS: dict[str, tuple[float, float | None, float | None, float, float]] = {
    "B200": (75, 1100, 2250, 2250, 8000),
    "H200": (67, 494, 989, 989, 4800),
    "H100 PCIe": (51, 378, 756, 756, 2000),
    "H100 NVL": (60, 417, 835, 835, 3900),
    "H100": (67, 494, 989, 989, 3350),
    "A100-PCIE-40GB": (19.5, 156, 312, 312, 1555),
    "A100-SXM4-40GB": (19.5, 156, 312, 312, 1555),
    "A100": (19.5, 156, 312, 312, 2039),
    "L40S": (91.6, 183, 362, 362, 864),
    "V100-SXM2": (15.7, None, None, 125, 900),
    "T4": (8.1, None, None, 65, 320),
}
GPU_FORMATS = ("fp32", "tf32", "bf16", "fp16")


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
        return Peak(None, None, f"no figures for {name}")
    flops = chip.peak_flops if precision == "bf16" else None
    return Peak(flops, chip.hbm_bytes_per_s, "Google's documentation, dense bf16")


def _of_gpu(name: str, precision: str) -> Peak:
    for part, (*tflops, gb_per_s) in GPUS.items():
        if re.search(rf"\b{part}\b", name) and "MIG" not in name:
            flops = tflops[GPU_FORMATS.index(precision)]
            return Peak(flops and flops * 1e12, gb_per_s * 1e9, "NVIDIA's data sheet, dense")
    return Peak(None, None, f"no figures for {name}")


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
