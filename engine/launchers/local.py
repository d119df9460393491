"""Trainers as processes of this host, each in a session and process group of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from engine.job import Job
from engine.launchers import Exit
from engine.launchers.standby import Bench, Standby
from engine.settings import PROJECT

PROCESS_FILE = "process.json"
TAKE_UP_S = 5.0
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# For PyTorch on a CPU. Without huge pages, how the cache takes a model's tensors is chance: the
# same steps took up to 1.5x as long in one process as in the next. And its threads wait for each
# other by spinning, 100 times as long by default: beside other work an epoch then took 10x as long.
HUGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
SPIN_BRIEFLY = {"GOMP_SPINCOUNT": "3000"}


class _Process:
    """What is alike for a trainer of ours and one that was found."""

    pid: int

    def poll(self) -> Exit | None:
        raise NotImplementedError

    def terminate(self) -> None:
        if self.poll() is None:
            _signal_group(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        if self.poll() is None:
            _signal_group(self.pid, signal.SIGKILL)


class Child(_Process):
    """A trainer that this supervisor started: how it ends is known."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.pid = process.pid
        self.identity = identity_of(process.pid) or {"pid": process.pid}

    def poll(self) -> Exit | None:
        if self._process.returncode is None and self._process.poll() is not None:
            _signal_group(self.pid, signal.SIGKILL)
        code = self._process.returncode
        return None if code is None else Exit(code)


class Adopted(_Process):
    """A trainer that an earlier supervisor started: the kernel tells us only that it is gone."""

    def __init__(self, identity: dict[str, Any]) -> None:
        self.identity = identity
        self.pid = identity["pid"]

    def poll(self) -> Exit | None:
        if _runs(self.identity):
            return None
        if not psutil.pid_exists(self.pid):  # nobody has the number now, so its group is its own
            _signal_group(self.pid, signal.SIGKILL)
        return Exit(None)


class LocalLauncher:
    """Starts trainers in processes; `log` is where those on standby complain."""

    def __init__(self, interpreter: Callable[[str], Path], log: Path | None = None) -> None:
        self._interpreter = interpreter
        self._log = log or Path(os.devnull)
        self._bench = Bench(self._stand_by)

    def start(self, job: Job, *, cold: bool = False) -> Child:
        job.save()
        waiting = None if cold else self._bench.take(job.config.framework)
        self._bench.hush()
        if waiting:
            identity = identity_of(waiting.process.pid)
            _note_process(job.run_dir, identity)
            if waiting.assign(job.run_dir, _environment(job)):
                return Child(waiting.process)
        return Child(self._cold(job))

    def keep_warm(self, frameworks: tuple[str, ...]) -> None:
        try:
            self._bench.fill(frameworks)
        except OSError:
            return  # an interpreter that cannot be started: the run that needs it will say so

    def find(self, run_dir: Path, identity: dict[str, Any] | None) -> Adopted | None:
        if identity is not None:
            return Adopted(identity) if _runs(identity) else None
        noted = _noted_process(run_dir)
        if noted and _takes_up(run_dir, noted):
            return Adopted(noted)
        for process in psutil.process_iter(["cmdline"]):
            command = process.info["cmdline"] or []
            if "engine.trainer" in command and str(run_dir) in command:
                found = identity_of(process.pid)
                if found and _leads_group(process.pid):
                    return Adopted(found)
        return None

    def _cold(self, job: Job) -> subprocess.Popen[bytes]:
        interpreter = self._interpreter(job.config.framework)
        with job.log.open("ab") as log:
            return subprocess.Popen(
                [str(interpreter), "-m", "engine.trainer", str(job.run_dir)],
                cwd=PROJECT,
                env=tuned_environment() | _environment(job),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _stand_by(self, framework: str) -> Standby:
        environment = tuned_environment() | _environment(None)
        return Standby(self._interpreter(framework), framework, environment, self._log)


def _note_process(run_dir: Path, identity: dict[str, Any] | None) -> None:
    """Before a waiting process gets its run: its command line will not say which one it has."""
    (run_dir / PROCESS_FILE).write_text(json.dumps(identity), encoding="ascii")


def _noted_process(run_dir: Path) -> dict[str, Any] | None:
    try:
        return json.loads((run_dir / PROCESS_FILE).read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        return None


def _takes_up(run_dir: Path, identity: dict[str, Any]) -> bool:
    """Whether a process that was noted got its run: then its journal begins, else it leaves."""
    give_up = time.monotonic() + TAKE_UP_S
    while _runs(identity) and time.monotonic() < give_up:
        if (run_dir / "events.jsonl").exists():
            return True
        time.sleep(0.05)
    if _runs(identity):  # it may yet read which run it got, and there must not be two of it
        _signal_group(identity["pid"], signal.SIGKILL)
    return False


def tuned_environment() -> dict[str, str]:
    """This process's, with what makes a trainer fast unless it was set to something else."""
    spinning = {} if "OMP_WAIT_POLICY" in os.environ else SPIN_BRIEFLY
    return HUGE_PAGES | spinning | os.environ


def _environment(job: Job | None) -> dict[str, str]:
    """What a trainer needs beside ours: only the job's own GPUs in sight, and none without a job.

    They go by UUID, since NVML and CUDA count apart.
    """
    gpus = [
        device.uuid or "" for device in (job.devices if job else ()) if device.accelerator == "gpu"
    ]
    return {
        "CUDA_VISIBLE_DEVICES": ",".join(gpus),
        "PYTHONPATH": str(PROJECT),
        "PYTHONUNBUFFERED": "1",
    }


def identity_of(pid: int) -> dict[str, Any] | None:
    """What tells a process from every other, also from a later one with its PID; None if gone.

    Linux counts a process's start from boot, so no change of the clock touches it.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):  # the latter as it goes while it is read
        return _identity_by_clock(pid) if not BOOT_ID.exists() else None
    started_ticks = int(stat.rpartition(")")[2].split()[19])
    return {"pid": pid, "started_ticks": started_ticks, "boot": BOOT_ID.read_text().strip()}


def _identity_by_clock(pid: int) -> dict[str, Any] | None:
    try:
        return {"pid": pid, "started_at": psutil.Process(pid).create_time()}
    except psutil.NoSuchProcess:
        return None


def _runs(identity: dict[str, Any]) -> bool:
    pid = identity["pid"]
    try:
        return identity_of(pid) == identity and (
            psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        )
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
