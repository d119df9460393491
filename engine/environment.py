"""What a run's figures depend on besides its config: machine, system, driver, source, model."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from engine import workloads
from engine.job import Device, Job
from engine.settings import PROJECT

CPUINFO = Path("/proc/cpuinfo")
GIT_TIMEOUT_S = 10.0
CODE = "engine"  # what trainers run: an edit of a page or an exported run makes no other code


def of_trainer(job: Job) -> dict[str, Any]:
    """For the process that calls it. What cannot be told is None.

    `workload_version` is there from version 2 on: a run without it trained the first.
    """
    version = workloads.version(job.config.workload.name)
    return {
        "python": platform.python_version(),
        "interpreter": sys.executable,
        "platform": platform.platform(),
        "hostname": platform.node(),
        "cpu_model": cpu_model(),
        "logical_cores": os.cpu_count(),
        "usable_cores": _usable_cores(),
        "devices": [{"id": d.id, "name": d.name, "uuid": d.uuid} for d in job.devices],
        "git": git_state(PROJECT),
        "nvidia": _nvidia(),
    } | ({"workload_version": version} if version > 1 else {})


def cpu_model(cpuinfo: Path = CPUINFO) -> str | None:
    """As Linux names it; other systems and most ARM machines do not say."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or None
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else None


def process_age_s() -> float:
    """Seconds since this process began, to about 0.01 s where Linux tells; 0 elsewhere.

    `psutil` counts from a boot time in whole seconds.
    """
    try:
        fields = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    ticks = int(fields[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def git_state(checkout: Path) -> dict[str, Any] | None:
    """The commit that runs, and whether code that trains differs from it; None if no checkout.

    `changes` is a hash of how it differs: runs of one commit and one hash ran the same code.
    """
    if not (checkout / ".git").exists():
        return None
    commit = _git(checkout, "rev-parse", "HEAD")
    changed = _git(checkout, "status", "--porcelain", "--", CODE)
    if commit is None or changed is None:
        return None
    if not changed:
        return {"commit": commit, "dirty": False}
    return {"commit": commit, "dirty": True, "changes": _changes(checkout)}


def _changes(checkout: Path) -> str | None:
    """Of what is changed in files that Git knows, and of new files that it does not ignore."""
    tracked = _git(checkout, "diff", "HEAD", "--binary", "--no-ext-diff", "--", CODE)
    new = _git(checkout, "ls-files", "--others", "--exclude-standard", "-z", "--", CODE)
    if tracked is None or new is None:
        return None
    changes = hashlib.sha256(tracked.encode(errors="surrogateescape"))
    for name in sorted(filter(None, new.split("\0"))):
        changes.update(f"\0{name}\0".encode(errors="surrogateescape"))
        path = checkout / name
        if path.is_file():
            changes.update(path.read_bytes())
    return changes.hexdigest()


def _git(checkout: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(checkout), *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="surrogateescape",
            timeout=GIT_TIMEOUT_S, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _usable_cores() -> int | None:
    """Cores that this process may run on; a container's CPU quota is not counted."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else None


def gpus_in_use(devices: Sequence[Device], nvml: Any = None) -> dict[str, dict[str, Any]]:
    """How busy each GPU is, by its id; what the driver does not tell is None.

    Ask before a run touches its GPUs: what is there then is somebody else's. `nvml` is a module
    like pynvml.
    """
    gpus = [device for device in devices if device.accelerator == "gpu"]
    nvml = (nvml or _pynvml()) if gpus else None
    if nvml is None:
        return {}
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return {}
    try:
        return {gpu.id: _use_of(gpu, nvml) for gpu in gpus}
    finally:
        nvml.nvmlShutdown()


GPU_USE: dict[str, Callable[[Any, Any], float]] = {
    "utilisation": lambda nvml, gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu / 100,
    "processes": lambda nvml, gpu: len(nvml.nvmlDeviceGetComputeRunningProcesses(gpu)),
    "memory_bytes": lambda nvml, gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).used,
}


def _use_of(gpu: Device, nvml: Any) -> dict[str, Any]:
    found: dict[str, Any] = dict.fromkeys(GPU_USE)
    try:
        handle = nvml.nvmlDeviceGetHandleByUUID(gpu.uuid)
    except nvml.NVMLError:
        return found
    for name, ask in GPU_USE.items():
        with suppress(nvml.NVMLError):
            found[name] = ask(nvml, handle)
    return found


def _pynvml() -> Any:
    """None where the trainer's interpreter lacks it."""
    try:
        import pynvml
    except ImportError:
        return None
    return pynvml


def _nvidia() -> dict[str, str] | None:
    """The driver's version and the newest CUDA that it runs, as NVML says."""
    nvml = _pynvml()
    if nvml is None:
        return None
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return None
    try:
        cuda = nvml.nvmlSystemGetCudaDriverVersion_v2()
        return {
            "driver": nvml.nvmlSystemGetDriverVersion(),
            "cuda": f"{cuda // 1000}.{cuda % 1000 // 10}",
        }
    except nvml.NVMLError:
        return None
    finally:
        nvml.nvmlShutdown()
