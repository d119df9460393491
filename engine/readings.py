"""What each reading is called, in which unit, and what a GPU's throttle reasons are in words."""

from __future__ import annotations

from typing import NamedTuple

from engine.format import UNKNOWN


class Kind(NamedTuple):
    """A reading of unit "%" is a fraction of one; one of "GiB" is stored in bytes."""

    title: str
    unit: str
    decimals: int


READINGS = {
    "utilisation": Kind("Utilisation", "%", 0),  # share of time in which a kernel ran
    "duty_cycle": Kind("Duty cycle", "%", 0),
    "cpu": Kind("CPU load", "%", 0),  # of all cores together
    "memory_bytes": Kind("Memory used", "GiB", 2),
    "power_w": Kind("Power", "W", 0),
    "temperature_c": Kind("Temperature", "°C", 0),
    "sm_clock_mhz": Kind("SM clock", "MHz", 0),
    "memory_clock_mhz": Kind("Memory clock", "MHz", 0),
    "throttle_reasons": Kind("Throttle reasons", "", 0),
    "energy_j": Kind("Energy counter", "J", 0),
}

# Bits of nvmlDeviceGetCurrentClocksEventReasons, as nvml.h defines them.
THROTTLE_REASONS = {
    0x001: "idle",
    0x002: "clocks set by an administrator",
    0x004: "power limit",
    0x008: "hardware slowdown",
    0x010: "held to the clocks of its sync group",
    0x020: "temperature, slowed by the driver",
    0x040: "temperature, slowed by the hardware",
    0x080: "power brake of the server",
    0x100: "clocks set for a display",
}
NOT_THROTTLED = 0x001  # an idle GPU lowers its clocks, and nothing holds it back


def throttled(bits: int) -> list[str]:
    """What holds a GPU's clocks back, in words; empty if nothing does."""
    words = [word for bit, word in THROTTLE_REASONS.items() if bits & bit & ~NOT_THROTTLED]
    unknown = bits & ~sum(THROTTLE_REASONS)
    return [*words, f"unknown reason {unknown:#x}"] if unknown else words


def shown(key: str, value: float | None) -> str:
    """A reading with its unit: `71 %`, `1.50 GiB`, `312 W`; unknown is —."""
    if value is None:
        return UNKNOWN
    kind = READINGS[key]
    scaled = value * {"%": 100, "GiB": 2**-30}.get(kind.unit, 1)
    return f"{scaled:,.{kind.decimals}f} {kind.unit}".rstrip()
