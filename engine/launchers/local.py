"""Trainers as processes of this host, each in a session and process group of its own."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from engine.job import Job
from engine.launchers import Exit
from engine.settings import PROJECT

START_TIME_TOLERANCE_S = 0.05


class Child:
    """A trainer that this supervisor started: how it ends is known."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.pid = process.pid
        self.started_at = psutil.Process(process.pid).create_time()

    def poll(self) -> Exit | None:
        if self._process.returncode is None and self._process.poll() is not None:
            _signal_group(self.pid, signal.SIGKILL)
        code = self._process.returncode
        return None if code is None else Exit(code)

    def terminate(self) -> None:
        if self.poll() is None:
            _signal_group(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        if self.poll() is None:
            _signal_group(self.pid, signal.SIGKILL)


@dataclass
class Adopted:
    """A trainer that an earlier supervisor started: only whether it is there can be known."""

    pid: int
    started_at: float

    def poll(self) -> Exit | None:
        if _runs(self.pid, self.started_at):
            return None
        return Exit(None)

    def terminate(self) -> None:
        if self.poll() is None:
            _signal_group(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        if self.poll() is None:
            _signal_group(self.pid, signal.SIGKILL)


class LocalLauncher:
    def __init__(self, interpreter: Callable[[str], Path]) -> None:
        self._interpreter = interpreter

    def start(self, job: Job) -> Child:
        job.save()
        interpreter = self._interpreter(job.config.framework)
        with job.log.open("ab") as log:
            process = subprocess.Popen(
                [str(interpreter), "-m", "engine.trainer", str(job.run_dir)],
                cwd=PROJECT,
                env=_environment(job),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return Child(process)

    def find(self, run_dir: Path, pid: int | None, started_at: float | None) -> Adopted | None:
        if pid is not None and started_at is not None:
            return Adopted(pid, started_at) if _runs(pid, started_at) else None
        for process in psutil.process_iter(["cmdline", "create_time"]):
            command = process.info["cmdline"] or []
            if (
                "engine.trainer" in command
                and str(run_dir) in command
                and _leads_group(process.pid)
            ):
                return Adopted(process.pid, process.info["create_time"])
        return None


def _environment(job: Job) -> dict[str, str]:
    """Ours, with only the job's own GPUs in sight: by UUID, since NVML and CUDA count apart."""
    gpus = [device.uuid or "" for device in job.devices if device.accelerator == "gpu"]
    return {
        **os.environ,
        "CUDA_VISIBLE_DEVICES": ",".join(gpus),
        "PYTHONPATH": str(PROJECT),
        "PYTHONUNBUFFERED": "1",
    }


def _runs(pid: int, started_at: float) -> bool:
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - started_at) < START_TIME_TOLERANCE_S
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _leads_group(pid: int) -> bool:
    try:
        return os.getpgid(pid) == pid
    except ProcessLookupError:
        return False


def _signal_group(pid: int, number: signal.Signals) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return  # it ended in the meantime, which is what was wanted
