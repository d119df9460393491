"""How trainer processes start, and how the supervisor holds on to them.

A trainer outlives the supervisor that started it; the next one finds it again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from engine.job import Job


@dataclass(frozen=True)
class Exit:
    """How a trainer ended: its exit status, or minus the signal; None if nobody was told.

    `watched` says that the supervisor saw it run and then be gone, whatever it was told;
    `by_oom_killer`, that the kernel killed for want of memory as it went: None if nobody knows.
    """

    code: int | None
    watched: bool = True
    by_oom_killer: bool | None = None


class Trainer(Protocol):
    """A trainer process that runs or has run."""

    @property
    def pid(self) -> int: ...

    @property
    def identity(self) -> dict[str, Any]:
        """What `Launcher.find` needs to find it again: its `pid`, and what else tells it apart."""
        ...

    def poll(self) -> Exit | None:
        """None while it runs; then the same Exit at every call, with its children ended too."""
        ...

    def terminate(self) -> None:
        """Ask it to stop. It may be gone already."""
        ...

    def kill(self) -> None:
        """End it and its children now. It may be gone already."""
        ...


class Launcher(Protocol):
    def start(self, job: Job, *, cold: bool = False) -> Trainer:
        """Start the job's trainer; raise `OSError` if it cannot be started.

        `cold`: in a process that imports its framework itself, whoever waits.
        """
        ...

    def keep_warm(self, frameworks: tuple[str, ...]) -> None:
        """Have a process wait for the next run of each of these, and of no others."""
        ...

    def find(self, run_dir: Path, identity: dict[str, Any] | None) -> Trainer | None:
        """The running trainer of a run that another supervisor started; None if it is gone.

        Without an identity, as the supervisor may have died before it noted one, it is looked
        for by its run's folder.
        """
        ...
