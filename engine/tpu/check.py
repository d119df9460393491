"""Ask the TPU's compiler about a run's training step: does it compile, does it fit, what bounds it?

Bounds follow the roofline model (Williams, Waterman, Patterson, 2009): a step takes no less than
its FLOPs at the chip's peak, and no less than its bytes at the bandwidth of its HBM. They are no
prediction: what chips tell each other, latencies and the host come on top.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from engine import devices, footprint
from engine.config import RunConfig
from engine.settings import PROJECT, Settings
from engine.tpu import chips, environment, program, traffic
from engine.tpu.environment import CheckImpossible

TIMEOUT_S = 1800.0  # a convolution in fp32 takes the compiler minutes on a busy host
UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
# What XLA says on running out of HBM: `… temporaries (32.00G) exceeds available HBM (15.75G)`.
NEEDED = re.compile(r"\(([\d.]+)([KMGT])\) exceeds available HBM")

Say = Callable[[str], None]


@dataclass(frozen=True)
class TpuCheck:
    """What the compiler said of one program. Figures are each chip's; None is unknown."""

    program: str
    topology: str
    chips: int  # that the batch is shared by
    precision: str
    compiler: str
    compiles: bool
    message: str | None  # the compiler's, if the program does not compile
    hbm_bytes: int | None  # the program's arguments, results, temporaries and code, and `beside`
    beside_bytes: int  # of the data set, on the chip as long as the run and in no step's arguments
    hbm_available_bytes: int
    flops: float | None  # of one step, as are the following
    bytes: int | None  # between HBM and the chip
    bound_s: float | None
    binds: Literal["compute", "memory"] | None
    compile_s: float | None  # that the compiler took

    @property
    def fits(self) -> bool:
        return self.compiles and (self.hbm_bytes or 0) <= self.hbm_available_bytes

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def check(
    settings: Settings, configs: Sequence[RunConfig], topology: str, say: Say = lambda _: None
) -> list[TpuCheck]:
    """One result for each config, all from one run of either process.

    A config of another framework or accelerator is checked as it would be under PyTorch/XLA on a
    TPU. Raise `ConfigError` for a topology that does not exist or is too small, `CheckImpossible`
    where the compiler cannot be asked.
    """
    there = [program.on_tpu(config) for config in configs]
    for config in there:
        chips.check_room(config, topology)
    environment.prepare(settings, say)
    with tempfile.TemporaryDirectory(prefix="accelboard-tpu-") as folder:
        say("Recording the training step with PyTorch/XLA.")
        record(settings, there, Path(folder))
        say(f"Compiling it for {topology}, which may take a minute or two.")
        return judge(settings, there, topology, Path(folder))


def record(settings: Settings, configs: Sequence[RunConfig], folder: Path) -> None:
    """Leave the step of config N in the folder as `N.mlir`; raise `CheckImpossible`."""
    missing = devices.framework_missing("torch_xla", settings.python_torch_xla)
    if missing:
        raise CheckImpossible(f"PyTorch/XLA, which records the step, cannot run here: {missing}.")
    raw = [config.model_dump(mode="json") for config in configs]
    (folder / "configs.json").write_text(json.dumps(raw), "utf-8")
    python = str(settings.python_torch_xla)
    _run([python, "-m", "engine.tpu.export", str(folder)], {}, "PyTorch/XLA")
    for number in range(len(configs)):
        failed = _read(folder / f"{number}.json").get("message")
        if failed is not None:
            raise CheckImpossible(f"PyTorch/XLA could not record the step: {_first_line(failed)}")


def judge(
    settings: Settings, configs: Sequence[RunConfig], topology: str, folder: Path
) -> list[TpuCheck]:
    """Compile what was recorded in the folder, and leave each program as `N.hlo`."""
    asked = {
        "topology": topology,
        "options": chips.chip_of(topology).options,
        "programs": [{"number": n, "chips": c.device_count} for n, c in enumerate(configs)],
    }
    (folder / "compile.json").write_text(json.dumps(asked), "utf-8")
    script = str(PROJECT / "engine" / "tpu" / "compile.py")
    python = str(settings.python_tpu_check)
    # No chip is used: libtpu need not look for a TPU's metadata, nor keep other processes out.
    alone = {
        "JAX_PLATFORMS": "cpu",
        "TPU_SKIP_MDS_QUERY": "1",
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
        "TPU_LOG_DIR": "disabled",
    }
    _run([python, "-P", script, str(folder)], alone, "The TPU's compiler")
    return [_result(folder, number, config, topology) for number, config in enumerate(configs)]


def _run(command: list[str], environ: dict[str, str], who: str) -> None:
    """Raise `CheckImpossible` unless it ends well."""
    try:
        done = subprocess.run(
            command,
            cwd=PROJECT,
            env=os.environ | environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CheckImpossible(f"{who} took longer than {TIMEOUT_S:.0f} s.") from None
    except OSError as error:
        raise CheckImpossible(f"{who} could not be started: {error}.") from None
    if done.returncode:
        raise CheckImpossible(f"{who} failed: {_why(done.returncode, done.stderr)}")


def _why(status: int, stderr: str) -> str:
    if -status == signal.SIGKILL:
        return "its process was killed, most likely because this host ran out of memory."
    if status < 0:
        return f"its process crashed ({signal.Signals(-status).name})."
    lines = [line for line in stderr.splitlines() if line.strip()]
    return lines[-1][:400] if lines else f"its process ended with status {status}."


def _result(folder: Path, number: int, config: RunConfig, topology: str) -> TpuCheck:
    found = _read(folder / f"{number}.compiled.json")
    chip = chips.chip_of(topology)
    message, flops = found.get("message"), found.get("flops")
    compiled = folder / f"{number}.hlo"
    moved = traffic.hbm_bytes(compiled.read_text("utf-8")) if compiled.exists() else None
    bound_s, binds = bound(chip, flops, moved)
    in_step = _needed(message) if message else _in_memory(found)
    beside = footprint.beside_the_step(config)
    return TpuCheck(
        program=program.key(config),
        topology=topology,
        chips=config.device_count,
        precision=config.precision,
        compiler=f"libtpu {_read(folder / 'compiler.json')}",
        compiles=message is None,
        message=None if message is None else _first_line(message),
        hbm_bytes=None if in_step is None else in_step + beside,
        beside_bytes=beside,
        hbm_available_bytes=chip.hbm_bytes,
        flops=flops,
        bytes=moved,
        bound_s=bound_s,
        binds=binds,
        compile_s=found.get("compile_s"),
    )


def bound(
    chip: chips.Chip, flops: float | None, moved: int | None
) -> tuple[float | None, Literal["compute", "memory"] | None]:
    """Seconds that a step takes at least, and what makes it so.

    The peak is that of bf16. A product of fp32 takes several passes of it, how many libtpu does
    not say: so for fp32 too this is a bound, and a looser one.
    """
    if flops is None or moved is None:
        return None, None
    compute_s, memory_s = flops / chip.peak_flops, moved / chip.hbm_bytes_per_s
    return max(compute_s, memory_s), "compute" if compute_s > memory_s else "memory"


def _in_memory(found: dict[str, Any]) -> int:
    """Results that take the place of arguments are counted once."""
    parts = ("argument_bytes", "output_bytes", "temp_bytes", "generated_code_bytes")
    return sum(found[part] for part in parts) - found["alias_bytes"]


def _needed(message: str) -> int | None:
    found = NEEDED.search(message)
    return int(float(found[1]) * UNITS[found[2]]) if found else None


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "no message.")[:1000]


def _read(file: Path) -> Any:
    return json.loads(file.read_text("utf-8"))
