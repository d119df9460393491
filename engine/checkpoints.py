"""Checkpoints: a run's whole state at the end of an epoch, in one file that replaces itself.

A safetensors file: the session's arrays, and in its metadata what they belong to. Arrays whose
names begin with `model.` are the trained weights, as the framework itself names them.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save, save_file

from engine import workloads
from engine.config import RunConfig, as_now

FILE_NAME = "checkpoint.safetensors"
WEIGHTS = "model."
State = dict[str, NDArray[np.generic]]
NOT_WRITTEN = (OSError, SafetensorError)


class Unusable(ValueError):
    """A file that no run can resume from; the message says why, and the way out."""


@dataclass(frozen=True)
class Origin:
    """What a checkpoint belongs to. `epoch` epochs are done; `at` is Unix time in seconds.

    `workload_version` is `workloads.version` where it was written; files once did not have it.
    """

    run_id: str
    config: str
    epoch: int
    step: int
    at: float
    digest: str
    workload_version: int = 1


def path_in(run_dir: Path) -> Path:
    return run_dir / FILE_NAME


def write(
    path: Path, state: State, *, run_id: str, config: RunConfig, epoch: int, at: float
) -> None:
    """Put the state in place in one step: a reader sees the former file or this one, whole.

    Raise one of `NOT_WRITTEN` where there is no room, for instance; the former file then stays.
    """
    origin = Origin(
        run_id=run_id,
        config=config.model_dump_json(),
        epoch=epoch,
        step=epoch * config.steps_per_epoch,
        at=at,
        digest=digest(state),
        workload_version=workloads.version(config.workload.name),
    )
    save_file(state, path, {"origin": json.dumps(asdict(origin))})
    path.chmod(0o644)


def origin_of(path: Path) -> Origin:
    """What a checkpoint belongs to; raise `Unusable` if there is none or it is not whole."""
    try:
        with safe_open(path, "numpy") as file:
            return _origin((file.metadata() or {})["origin"])
    except FileNotFoundError:
        raise Unusable("It has no checkpoint: it ended before its first epoch did.") from None
    except PermissionError:
        raise Unusable(f"The checkpoint {path.name} may not be read by this user.") from None
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise Unusable(_damaged(path, str(error) or type(error).__name__)) from None


def _origin(text: str) -> Origin:
    """Raise `ValueError`, `KeyError` or `TypeError` if it says something else than we write."""
    origin = Origin(**json.loads(text))
    counts = (origin.epoch, origin.step, origin.workload_version)
    whole = all(isinstance(count, int) for count in counts)
    if not whole or not isinstance(origin.at, (int, float)):
        raise TypeError("its numbers are none")
    if not isinstance(json.loads(origin.config), dict):
        raise TypeError("its config is none")
    return origin


def load(path: Path, config: RunConfig) -> tuple[Origin, State]:
    """A checkpoint that fits the config; raise `Unusable` otherwise."""
    origin = origin_of(path)
    check_fits(origin, config)
    state = load_file(path)
    if digest(state) != origin.digest:
        raise Unusable(_damaged(path, "its contents do not match their digest"))
    return origin, state


def check_fits(origin: Origin, config: RunConfig) -> None:
    """Raise `Unusable` unless a run of the config can go on from there."""
    theirs, ours = as_now(json.loads(origin.config)), config.model_dump(mode="json")
    for name in (
        "workload",
        "dataset",
        "framework",
        "optimizer",
        "precision",
        "batch_size",
        "keep_last_batch",
        "seed",
    ):
        if theirs.get(name) != ours[name]:
            raise Unusable(
                f"The checkpoint is of a run with {name} {_shown(theirs.get(name))}, and this one "
                f"has {_shown(ours[name])}. Resume with the same, or start from the beginning."
            )
    name, version = config.workload.name, workloads.version(config.workload.name)
    if origin.workload_version != version:
        raise Unusable(
            f"The checkpoint is of version {origin.workload_version} of {name}, whose model is "
            f"another than that of version {version}, which trains here. Start from the beginning: "
            "retry."
        )
    if origin.epoch >= config.epochs:
        raise Unusable(
            f"The checkpoint is at the end of epoch {origin.epoch:,} of {config.epochs:,}: nothing "
            "is left to train. Ask for more epochs."
        )


def weights(path: Path) -> bytes:
    """The trained weights as a safetensors file; raise `Unusable` if they cannot be read."""
    origin = origin_of(path)
    state = load_file(path)
    trained = {
        name.removeprefix(WEIGHTS): array
        for name, array in state.items()
        if name.startswith(WEIGHTS)
    }
    about = {
        "run": origin.run_id,
        "epochs": str(origin.epoch),
        "config": origin.config,
        "workload_version": str(origin.workload_version),
    }
    return save(trained, about)


def digest(state: State) -> str:
    """Equal for states that are equal to the last bit."""
    sha = hashlib.sha256()
    for name in sorted(state):
        sha.update(name.encode())
        sha.update(np.ascontiguousarray(state[name]).data)
    return sha.hexdigest()


def _damaged(path: Path, why: str) -> str:
    return f"The checkpoint {path.name} is damaged ({why[:120]}). Start from the beginning: retry."


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(f"{v}" if k == "name" else f"{k}={v}" for k, v in value.items())
    return str(value)
