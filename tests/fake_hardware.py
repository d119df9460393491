"""Fakes for hardware that this host does not have, each at the narrowest boundary to it."""

from __future__ import annotations

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
