"""Which waiting run gets which devices next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from engine.config import ACCELERATOR_NAMES, RunConfig
from engine.devices import Hardware
from engine.job import Device
from engine.problems import cut
from storage.runs import Run


class Placement(NamedTuple):
    """A run that can start on `devices`; or that cannot, as things are here, and why."""

    run: Run
    config: RunConfig
    devices: list[Device]
    impossible: str | None


def place(
    waiting: Iterable[tuple[Run, RunConfig]], hardware: Hardware, taken: set[str]
) -> Iterator[Placement]:
    """Placements in the order of the queue.

    A run whose devices are busy keeps all later ones off that kind of device, so that a run that
    needs many is not overtaken for ever by runs that need one.
    """
    free = {device.id for device in hardware.devices} - taken
    blocked: set[str] = set()
    for run, config in waiting:
        impossible = why_impossible(config, hardware)
        if impossible:
            yield Placement(run, config, [], impossible)
            continue
        chosen = _choose(config, hardware, free)
        if chosen and config.accelerator not in blocked:
            free -= {device.id for device in chosen}
            yield Placement(run, config, chosen, None)
        else:
            blocked.add(config.accelerator)


def why_impossible(config: RunConfig, hardware: Hardware) -> str | None:
    """Why this host can never run the config, as a sentence; None if it can."""
    kind, here = ACCELERATOR_NAMES[config.accelerator], hardware.of(config.accelerator)
    if not here:
        return f"This host has no {kind}. {hardware.missing.get(config.accelerator, '')}".strip()
    ids = ", ".join(device.id for device in here)
    if isinstance(config.devices, tuple):
        unknown = [name for name in config.devices if name not in {d.id for d in here}]
        if unknown and unknown[0] in hardware.missing:
            return f"{unknown[0]} is missing. {hardware.missing[unknown[0]]}"
        if unknown:
            return f"{cut(', '.join(unknown))} is no {kind} of this host. Choose from: {ids}."
    elif config.leased > len(here):
        return f"{config.devices} {kind} devices were asked for, and this host has {len(here)}."
    if config.accelerator == "tpu" and config.device_count != len(here):
        return f"A TPU host trains on all its chips together: ask for {len(here)} devices."
    return None


def _choose(config: RunConfig, hardware: Hardware, free: set[str]) -> list[Device]:
    """The devices asked for, or the first free ones; none at all if there are too few.

    Virtual devices of a CPU lease that CPU.
    """
    here = [device for device in hardware.of(config.accelerator) if device.id in free]
    if isinstance(config.devices, tuple):
        chosen = [device for device in here if device.id in config.devices]
    else:
        chosen = here[: config.leased]
    return chosen if len(chosen) == config.leased else []
