"""Where readings come from: NVML, libtpu, RAPL, the kernel. What is absent is said, never guessed.

A source yields a `Reading` for each value that it has and a `Missing` for each that it should
have. No framework is imported.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pynvml

from engine.readings import READINGS
from storage.readings import Reading

POWERCAP = Path("/sys/class/powercap")
PACKAGE_FOLDER = re.compile(r"intel-rapl:\d+")  # AMD's too; one more number would be a part of it
LOOK_FOR_CHILDREN_S = 10.0  # the whole process table is read for it
# The GPU or the driver is gone; any other error is about the one value that was asked for.
DEVICE_GONE = {
    pynvml.NVML_ERROR_GPU_IS_LOST,
    pynvml.NVML_ERROR_RESET_REQUIRED,
    pynvml.NVML_ERROR_UNINITIALIZED,
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED,
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH,
    pynvml.NVML_ERROR_UNKNOWN,
}


class Missing(NamedTuple):
    """`why` is "unavailable: " and the reason."""

    source: str
    why: str


Found = Iterator[Reading | Missing]


def missing(source: str, reason: object) -> Missing:
    return Missing(source, f"unavailable: {reason}")


class Sources:
    """All of them. Not for several threads at once: some remember what they read last.

    The parameters are the boundary to hardware: a module like pynvml, the kernel's powercap
    folder, and a module like libtpu.sdk.tpumonitoring (None: import that one). `say` is told, once
    for each source, of an error that nobody expected: it costs that source's readings only.
    """

    def __init__(
        self,
        nvml: Any = pynvml,
        powercap: Path = POWERCAP,
        tpu_monitoring: Any = None,
        say: Callable[[str], None] = print,
    ) -> None:
        self._say, self._surprising = say, set[str]()
        self._nvml, self._tpu = Nvml(nvml), Tpu(tpu_monitoring)
        self._cpu, self.rapl = HostCpu(), Rapl(powercap)
        self._trainers: dict[str, ProcessTree] = {}

    def keep(self, run_ids: Collection[str]) -> None:
        """Forget what was read last of other runs; without any run, of the host too.

        A share of CPU time is since the last reading: it must not be that of a run long ago.
        """
        self._trainers = {run: tree for run, tree in self._trainers.items() if run in run_ids}
        self._cpu = self._cpu if run_ids else HostCpu()

    def of_devices(self, devices: Sequence[dict[str, Any]]) -> Found:
        """Of a run's GPUs and TPUs, as `Device`s in JSON. A CPU's readings are its host's."""
        for device in devices:
            if device.get("accelerator") == "gpu":
                found = self._nvml.read(device["id"], device.get("uuid"))
                yield from self._kept_apart(device["id"], found)
        tpus = [device["id"] for device in devices if device.get("accelerator") == "tpu"]
        if tpus:
            yield from self._kept_apart("TPU monitoring", self._tpu.read(tpus))

    def of_host(self) -> Found:
        yield from self._kept_apart("host CPU", self._cpu.read())
        yield from self._kept_apart("host memory", _host_memory())
        yield from self._kept_apart("RAPL", self.rapl.read())

    def of_trainer(self, run_id: str, pid: int) -> Found:
        """Of a trainer process and its children; nothing once it has ended."""
        if run_id not in self._trainers:
            self._trainers[run_id] = ProcessTree(pid)
        yield from self._kept_apart("trainer", self._trainers[run_id].read())

    def _kept_apart(self, source: str, found: Found) -> Found:
        try:
            yield from found
        except Exception as error:  # noqa: BLE001  vendors' libraries raise what they like
            why = f"{type(error).__name__}: {error}"
            if source not in self._surprising:
                self._surprising.add(source)
                self._say(f"A reading of {source} failed ({why}). It is left out, others go on.")
            yield missing(source, why)


class Nvml:
    """NVIDIA's driver. GPUs go by UUID, since NVML's numbers ignore CUDA_VISIBLE_DEVICES."""

    def __init__(self, nvml: Any) -> None:
        self._nvml, self._is_open = nvml, False

    def read(self, device: str, uuid: str | None) -> Found:
        try:
            self._open()
            handle = self._nvml.nvmlDeviceGetHandleByUUID(uuid)
        except pynvml.NVMLError as error:
            self._close()
            yield missing(device, error)
            return
        for key, ask in NVML_FIELDS.items():
            try:
                value = ask(self._nvml, handle)
            except pynvml.NVMLError as error:
                if _code(error) in DEVICE_GONE:
                    self._close()
                    yield missing(device, error)
                    return
                yield missing(f"{device} {READINGS[key].title}", error)
            else:
                yield Reading(device, key, time.time(), float(value))

    def _open(self) -> None:
        if not self._is_open:
            self._nvml.nvmlInit()
            self._is_open = True

    def _close(self) -> None:
        """So that a driver that comes back is found again."""
        was_open, self._is_open = self._is_open, False
        if was_open:
            try:
                self._nvml.nvmlShutdown()
            except pynvml.NVMLError:
                return  # it went away by itself


def _code(error: pynvml.NVMLError) -> int:
    return error.value  # pyright: ignore[reportAttributeAccessIssue]


def _power_w(nvml: Any, handle: Any) -> float:
    """At this moment; where the driver cannot tell, its own average (of 1 s since Ampere)."""
    try:
        (field,) = nvml.nvmlDeviceGetFieldValues(handle, [nvml.NVML_FI_DEV_POWER_INSTANT])
    except pynvml.NVMLError as error:
        if _code(error) in DEVICE_GONE:
            raise
    else:
        if field.nvmlReturn == pynvml.NVML_SUCCESS:
            return field.value.uiVal / 1000
    return nvml.nvmlDeviceGetPowerUsage(handle) / 1000


def _throttle_reasons(nvml: Any, handle: Any) -> int:
    try:
        return nvml.nvmlDeviceGetCurrentClocksEventReasons(handle)
    except pynvml.NVMLError as error:
        if _code(error) != pynvml.NVML_ERROR_FUNCTION_NOT_FOUND:
            raise
    return nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)  # its name before driver 535


# The energy counter is first, so that its time is the nearest to the moment that is asked for.
NVML_FIELDS: dict[str, Callable[[Any, Any], float]] = {
    "energy_j": lambda nvml, gpu: nvml.nvmlDeviceGetTotalEnergyConsumption(gpu) / 1000,
    "power_w": _power_w,
    "utilisation": lambda nvml, gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu / 100,
    "memory_bytes": lambda nvml, gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).used,
    "temperature_c": lambda nvml, gpu: nvml.nvmlDeviceGetTemperature(
        gpu, pynvml.NVML_TEMPERATURE_GPU
    ),
    "sm_clock_mhz": lambda nvml, gpu: nvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_SM),
    "memory_clock_mhz": lambda nvml, gpu: nvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_MEM),
    "throttle_reasons": _throttle_reasons,
}


class Tpu:
    """libtpu's monitoring: lists with one number in a string for each chip of the host.

    Written from Google's documentation of it; not verified on hardware. It has no power.
    """

    METRICS = (("duty_cycle", "duty_cycle_pct", 0.01), ("memory_bytes", "hbm_capacity_usage", 1.0))

    def __init__(self, monitoring: Any = None) -> None:
        self._monitoring = monitoring

    def read(self, devices: Sequence[str]) -> Found:
        """`devices` are ids whose number is the chip's."""
        try:
            self._load()
        except ImportError as error:
            yield missing("TPU monitoring", f"libtpu's is not installed here ({error})")
            return
        for key, name, scale in self.METRICS:
            try:
                values = self._monitoring.get_metric(name).data()
                for device in devices:
                    value = float(values[int(device.partition(":")[2])])
                    yield Reading(device, key, time.time(), value * scale)
            except (RuntimeError, ValueError, IndexError) as error:
                yield missing(f"TPU {READINGS[key].title}", f"libtpu says {error}")

    def _load(self) -> None:
        if self._monitoring is None:
            from libtpu.sdk import tpumonitoring  # pyright: ignore[reportMissingImports]

            self._monitoring = tpumonitoring


class Rapl:
    """Energy counters of CPU packages, of all that runs on them; only root may read them."""

    def __init__(self, powercap: Path) -> None:
        self._powercap = powercap
        self.ranges_j: dict[str, float] = {}  # by device: at which a counter begins anew

    def read(self) -> Found:
        packages = self._packages()
        if not packages:
            yield missing("RAPL", "this host shows no energy counter of a CPU package")
        for folder in packages:
            device = f"package:{folder.name.partition(':')[2]}"
            try:
                self.ranges_j[device] = _microjoules(folder / "max_energy_range_uj")
                energy_j = _microjoules(folder / "energy_uj")
            except PermissionError:
                yield missing("RAPL", f"only root may read {folder}/energy_uj")
            except (OSError, ValueError) as error:
                yield missing("RAPL", error)
            else:
                yield Reading(device, "energy_j", time.time(), energy_j)

    def _packages(self) -> list[Path]:
        """Without `psys`, which has the packages in it, and without parts of packages."""
        try:
            folders = [f for f in self._powercap.iterdir() if PACKAGE_FOLDER.fullmatch(f.name)]
        except OSError:
            return []
        return sorted(f for f in folders if _name_of(f).startswith("package"))


def _name_of(folder: Path) -> str:
    try:
        return (folder / "name").read_text(encoding="ascii")
    except OSError:
        return ""


def _microjoules(file: Path) -> float:
    return int(file.read_text(encoding="ascii")) / 1e6


class HostCpu:
    """Share of all cores' time that was not idle, since the last reading."""

    def __init__(self) -> None:
        self._before: tuple[float, float] | None = None

    def read(self) -> Found:
        times = psutil.cpu_times()
        idle_s = times.idle + getattr(times, "iowait", 0.0)
        # A guest's time is in the user's already.
        total_s = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        before, self._before = self._before, (total_s, idle_s)
        if before and total_s > before[0]:
            busy = 1 - (idle_s - before[1]) / (total_s - before[0])
            yield Reading("host", "cpu", time.time(), min(1.0, max(0.0, busy)))


def _host_memory() -> Found:
    memory = psutil.virtual_memory()
    yield Reading("host", "memory_bytes", time.time(), memory.total - memory.available)


class ProcessTree:
    """Memory and CPU of a process and its children.

    RSS counts memory that processes share once for each of them. CPU is the share of all cores'
    time since the last reading, of the processes that were there then.
    """

    def __init__(self, pid: int) -> None:
        self._pid, self._processes = pid, list[psutil.Process]()
        self._looked_at = float("-inf")
        self._before: tuple[float, dict[int, float]] | None = None

    def read(self) -> Found:
        now_s = time.monotonic()
        if now_s - self._looked_at > LOOK_FOR_CHILDREN_S:
            self._processes, self._looked_at = _family(self._pid), now_s
        used = dict(filter(None, map(_use_of, self._processes)))
        if self._pid not in used:
            return
        yield Reading("trainer", "memory_bytes", time.time(), sum(rss for _, rss in used.values()))
        cpu_s = {pid: seconds for pid, (seconds, _) in used.items()}
        before, self._before = self._before, (now_s, cpu_s)
        if before and now_s > before[0]:
            spent_s = sum(cpu_s[pid] - before[1][pid] for pid in cpu_s.keys() & before[1].keys())
            share = spent_s / (now_s - before[0]) / (psutil.cpu_count() or 1)
            yield Reading("trainer", "cpu", time.time(), share)


def _family(pid: int) -> list[psutil.Process]:
    """The process and all its children; empty if it has ended."""
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.Error:
        return []


def _use_of(process: psutil.Process) -> tuple[int, tuple[float, int]] | None:
    """PID, seconds of CPU, bytes of RSS; None if it has ended: a zombie has no memory."""
    try:
        with process.oneshot():
            times, rss = process.cpu_times(), process.memory_info().rss
    except psutil.Error:
        return None
    return (process.pid, (times.user + times.system, rss)) if rss else None
