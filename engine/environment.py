"""What a run's figures depend on besides its config: machine, system, driver, source."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from engine.job import Job
from engine.settings import PROJECT

CPUINFO = Path("/proc/cpuinfo")
GIT_TIMEOUT_S = 10.0


def of_trainer(job: Job) -> dict[str, Any]:
    """For the process that calls it. What cannot be told is None."""
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
    }


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
    """The commit that runs, and whether files differ from it; None if this is no checkout."""
    if not (checkout / ".git").exists():
        return None
    commit = _git(checkout, "rev-parse", "HEAD")
    changes = _git(checkout, "status", "--porcelain")
    if commit is None or changes is None:
        return None
    return {"commit": commit, "dirty": bool(changes)}


def _git(checkout: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(checkout), *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=GIT_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _usable_cores() -> int | None:
    """Cores that this process may run on; a container's CPU quota is not counted."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else None


def _nvidia() -> dict[str, str] | None:
    """The driver's version and the newest CUDA that it runs, as NVML says."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        cuda = pynvml.nvmlSystemGetCudaDriverVersion_v2()
        return {
            "driver": pynvml.nvmlSystemGetDriverVersion(),
            "cuda": f"{cuda // 1000}.{cuda % 1000 // 10}",
        }
    except pynvml.NVMLError:
        return None
    finally:
        pynvml.nvmlShutdown()
