"""What a trainer is given: a run's config, its devices, and the folders it may use."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from engine.config import RunConfig

# Exit statuses of a trainer that ended without being told to.
EXIT_FAILED, EXIT_JOURNAL_LOST = 1, 74
# How a trainer is asked to wait for its run, and what it says when it does.
STANDBY, READY = "--standby", "ready"


@dataclass(frozen=True)
class Device:
    """One piece of hardware. `found_by` is why we think it is here; unknown figures are None.

    `id` is ours (`gpu:0`); `uuid` is the vendor's, stable over reboots and index changes.
    """

    id: str
    accelerator: str
    name: str
    found_by: str
    uuid: str | None = None
    memory_bytes: int | None = None
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """One run as its trainer sees it. It knows folders, not the store.

    `begun_at` is when the run was given its devices, in Unix seconds: its wall time counts from
    there. `resumes` says that it goes on from the checkpoint in its folder. `entered_at` is when
    the trainer began to work on it, and `gpus_before` how busy its GPUs were then; both are the
    trainer's to say.
    """

    run_id: str
    config: RunConfig
    devices: tuple[Device, ...]
    run_dir: Path
    data_dir: Path
    begun_at: float | None = None
    resumes: bool = False
    entered_at: float | None = None
    gpus_before: dict[str, Any] = field(default_factory=dict)

    def save(self) -> None:
        raw = {
            "run_id": self.run_id,
            "config": self.config.model_dump(mode="json"),
            "devices": [asdict(device) for device in self.devices],
            "data_dir": str(self.data_dir),
            "begun_at": self.begun_at,
            "resumes": self.resumes,
        }
        (self.run_dir / "job.json").write_text(json.dumps(raw, indent=2), encoding="utf-8")

    @classmethod
    def load(cls, run_dir: Path) -> Job:
        raw = json.loads((run_dir / "job.json").read_text(encoding="utf-8"))
        return cls(
            run_id=raw["run_id"],
            config=RunConfig.parse(raw["config"]),
            devices=tuple(Device(**device) for device in raw["devices"]),
            run_dir=run_dir,
            data_dir=Path(raw["data_dir"]),
            begun_at=raw["begun_at"],
            resumes=raw["resumes"],
        )

    @property
    def journal(self) -> Path:
        return self.run_dir / "events.jsonl"

    def last_words(self, rank: int) -> Path:
        """Where one of several replicas leaves the failure that ended it."""
        return self.run_dir / f"replica-{rank}.jsonl"

    @property
    def log(self) -> Path:
        return self.run_dir / "trainer.log"
