"""Results of checks: kept in the store, found again for any run with the same program, in words."""

from __future__ import annotations

import dataclasses
import time

from engine.config import RunConfig
from engine.format import UNKNOWN, amount, step_time
from engine.settings import Settings
from engine.tpu import chips, program
from engine.tpu.check import Say, TpuCheck, check
from storage import database, tpu_checks
from storage.database import Database

SEVERAL_CHIPS = "of one SPMD program over all chips; a run has a process for each chip"
ROOFS = {
    "compute": "compute: the FLOPs, at the chip's bf16 peak",
    "memory": "memory: the bytes, at the bandwidth of its HBM",
}


def check_and_keep(settings: Settings, config: RunConfig, topology: str, say: Say) -> TpuCheck:
    """Check one config, and keep what was found. Raise as `check` does, and keep nothing."""
    (found,) = check(settings, [config], topology, say)
    database.prepare(settings.store)
    with database.opened(settings.store) as db:
        tpu_checks.put(db, found.program, topology, time.time(), found.as_json())
    return found


def of(db: Database, config: RunConfig) -> list[tuple[float, TpuCheck]]:
    """(checked at, result) for each topology, the newest first; what no version here wrote, not."""
    fields = {field.name for field in dataclasses.fields(TpuCheck)}
    kept = tpu_checks.of_program(db, program.key(config))
    return [(at, TpuCheck(**raw)) for at, raw in kept if raw.keys() == fields]


def verdict(found: TpuCheck) -> str:
    if not found.compiles:
        return "does not compile"
    return "compiles and fits" if found.fits else "compiles, and does not fit"


def where(found: TpuCheck) -> str:
    """`1 chip of v5e:2x2, fp32`."""
    chips_used = f"{found.chips} chip{'s' if found.chips > 1 else ''}"
    return f"{chips_used} of {found.topology}, {found.precision}"


def needed(found: TpuCheck) -> str:
    """HBM, `0.05 GiB`."""
    return UNKNOWN if found.hbm_bytes is None else f"{found.hbm_bytes / chips.GIB:.2f} GiB"


def beside(found: TpuCheck) -> str:
    """What of it is no part of the program: the splits that stay on the chip."""
    return f"{found.beside_bytes / chips.GIB:.2f} GiB"


def available(found: TpuCheck) -> str:
    return f"{found.hbm_available_bytes / chips.GIB:.2f} GiB"


def binding(found: TpuCheck) -> str:
    return ROOFS[found.binds] if found.binds else UNKNOWN


def caveat(found: TpuCheck) -> str:
    """What the bound leaves out."""
    fp32 = found.precision == "fp32"
    loose = "; fp32 takes several passes of bf16, which are not counted" if fp32 else ""
    return f"a bound, not a prediction{loose}"


def facts(found: TpuCheck) -> list[tuple[str, str]]:
    """What the command line says, a label and a value a line."""
    told = [
        ("checked for", f"{where(found)}, with {found.compiler}"),
        ("figures are", f"each chip's, {SEVERAL_CHIPS}" if found.chips > 1 else ""),
        ("verdict", verdict(found)),
        ("the compiler says", found.message or ""),
        ("HBM needed", f"{needed(found)} of {available(found)}"),
        ("of it, the data set as loaded", beside(found)),
        ("FLOPs a step", amount(found.flops, "FLOP")),
        ("HBM traffic a step", amount(found.bytes, "B")),
        ("bound by", binding(found)),
        ("step time, at least", f"{step_time(found.bound_s)} ({caveat(found)})"),
    ]
    return [(label, value) for label, value in told if value]
