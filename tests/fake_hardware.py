"""Fakes for hardware that this host does not have, each at the narrowest boundary to it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from types import SimpleNamespace

import pynvml

UUID = "GPU-a-fake"


@dataclass
class FakeNvml:
    """In place of the module pynvml: one GPU of which the functions that we call tell.

    `errors` are NVML's codes by function; a GPU that is `lost` answers none of them.
    """

    energy_mj: int = 5_000_000
    power_mw: int = 300_000
    reasons: int = 0x4
    errors: dict[str, int] = field(default_factory=dict)
    lost: bool = False
    opened: int = 0
    NVML_FI_DEV_POWER_INSTANT = pynvml.NVML_FI_DEV_POWER_INSTANT
    NVMLError = pynvml.NVMLError

    def _answer(self, function, value):
        code = pynvml.NVML_ERROR_GPU_IS_LOST if self.lost else self.errors.get(function)
        if code is not None:
            raise pynvml.NVMLError(code)
        return value

    def nvmlInit(self):
        self._answer("nvmlInit", None)
        self.opened += 1

    def nvmlShutdown(self):
        self.opened -= 1

    def nvmlDeviceGetHandleByUUID(self, uuid):
        assert uuid == UUID
        return self._answer("nvmlDeviceGetHandleByUUID", "the GPU")

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        return self._answer("nvmlDeviceGetTotalEnergyConsumption", self.energy_mj)

    def nvmlDeviceGetFieldValues(self, handle, fields):
        assert fields == [pynvml.NVML_FI_DEV_POWER_INSTANT]
        returned = self.errors.get("power instant", pynvml.NVML_SUCCESS)
        value = SimpleNamespace(nvmlReturn=returned, value=SimpleNamespace(uiVal=self.power_mw))
        return self._answer("nvmlDeviceGetFieldValues", [value])

    def nvmlDeviceGetPowerUsage(self, handle):
        return self._answer("nvmlDeviceGetPowerUsage", self.power_mw + 1000)

    def nvmlDeviceGetUtilizationRates(self, handle):
        return self._answer("nvmlDeviceGetUtilizationRates", SimpleNamespace(gpu=87, memory=40))

    def nvmlDeviceGetMemoryInfo(self, handle):
        return self._answer("nvmlDeviceGetMemoryInfo", SimpleNamespace(used=3 << 30))

    def nvmlDeviceGetComputeRunningProcesses(self, handle):
        users = [SimpleNamespace(pid=os.getpid(), usedGpuMemory=3 << 30)]
        return self._answer("nvmlDeviceGetComputeRunningProcesses", users)

    def nvmlDeviceGetTemperature(self, handle, sensor):
        assert sensor == pynvml.NVML_TEMPERATURE_GPU
        return self._answer("nvmlDeviceGetTemperature", 61)

    def nvmlDeviceGetClockInfo(self, handle, clock):
        mhz = {pynvml.NVML_CLOCK_SM: 1980, pynvml.NVML_CLOCK_MEM: 2619}[clock]
        return self._answer("nvmlDeviceGetClockInfo", mhz)

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle):
        return self._answer("nvmlDeviceGetCurrentClocksEventReasons", self.reasons)

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle):
        return self._answer("nvmlDeviceGetCurrentClocksThrottleReasons", self.reasons)


class FakeDriver:
    """In place of pynvml where devices are looked for: GPUs by index, some of them `lost`."""

    def __init__(self, gpus=1, lost=(), no_driver=False):
        self._gpus, self._lost, self._no_driver = gpus, lost, no_driver

    def nvmlInit(self):
        if self._no_driver:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_DRIVER_NOT_LOADED)

    def nvmlShutdown(self):
        pass

    def nvmlSystemGetDriverVersion(self):
        return "999.1"

    def nvmlDeviceGetCount(self):
        return self._gpus

    def nvmlDeviceGetHandleByIndex(self, index):
        if index in self._lost:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid):
        return self.nvmlDeviceGetHandleByIndex(int(uuid.removeprefix("GPU-")))

    def nvmlDeviceGetName(self, index):
        return f"Fake {index}"

    def nvmlDeviceGetUUID(self, index):
        return f"GPU-{index}"

    def nvmlDeviceGetMemoryInfo(self, index):
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    def nvmlDeviceGetCudaComputeCapability(self, index):
        return 9, 0

    def nvmlDeviceGetComputeRunningProcesses(self, index):
        return [SimpleNamespace(pid=os.getpid(), usedGpuMemory=5 << 20)]


def fake_pci(folder, *devices):
    """A folder like /sys/bus/pci/devices of (vendor, device, class) each."""
    for number, ids in enumerate(devices):
        device = folder / f"0000:00:{number:02x}.0"
        device.mkdir(parents=True)
        for name, value in zip(("vendor", "device", "class"), ids, strict=True):
            (device / name).write_text(f"{value}\n")
    return folder


class FakeTpuMonitoring:
    """In place of the module libtpu.sdk.tpumonitoring, on a host of two chips."""

    def __init__(self, **lists):
        self._lists = lists

    def get_metric(self, name):
        return SimpleNamespace(data=lambda: self._lists[name])


def fake_powercap(folder, *energies_uj, range_uj=262_143_328_850):
    """A folder like /sys/class/powercap with these counters, and what lies beside them there."""
    for number, energy_uj in enumerate(energies_uj):
        zone(folder / f"intel-rapl:{number}", f"package-{number}", energy_uj, range_uj)
        zone(folder / f"intel-rapl:{number}:0", "core", 7, range_uj)
    zone(folder / f"intel-rapl:{len(energies_uj)}", "psys", 7, range_uj)
    zone(folder / "intel-rapl-mmio:0", "package-0", 7, range_uj)
    return folder


def zone(folder, name, energy_uj, range_uj):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "energy_uj").write_text(f"{energy_uj}\n")
    (folder / "max_energy_range_uj").write_text(f"{range_uj}\n")
