"""What the host did before a run, and which waiting runs have rested long enough to start."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import psutil

from engine.config import RunConfig
from storage.runs import Run

WINDOW_S = 5.0  # what happened much earlier does not matter to a run
SHORTEST_S = 0.5  # the kernel counts CPU time in hundredths of a second


class Look(NamedTuple):
    """CPU seconds of all cores, since the host began; `at` only counts forward."""

    at: float
    busy: float
    total: float


def _now(clock: Callable[[], float]) -> Look:
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    # Linux counts guests' time in user's, too.
    total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    return Look(clock(), total - idle, total)


class Rest:
    """How long it is since the last run on this host ended, and how busy the host was since."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.begin()

    def begin(self) -> None:
        """A run has ended."""
        self._earlier = self._later = _now(self._clock)
        self._begun_at = self._later.at

    def look(self) -> None:
        """Call often: what is older than two windows is forgotten."""
        if self._clock() - self._later.at >= WINDOW_S:
            self._earlier, self._later = self._later, _now(self._clock)

    @property
    def seconds(self) -> float:
        return self._clock() - self._begun_at

    def host_cpu(self) -> float | None:
        """Share of all cores' time that was used lately; None if the rest was too short to tell."""
        now, then = _now(self._clock), self._earlier
        if now.at - then.at < SHORTEST_S or now.total <= then.total:
            return None
        return min(1.0, max(0.0, (now.busy - then.busy) / (now.total - then.total)))


def rested(
    waiting: Iterable[tuple[Run, RunConfig]], rest_s: float
) -> Iterator[tuple[Run, RunConfig]]:
    """Those that may start: one that still cools down keeps all later ones off that hardware."""
    cooling: set[str] = set()
    for run, config in waiting:
        if config.accelerator in cooling or run.cool_down_s > rest_s:
            cooling.add(config.accelerator)
        else:
            yield run, config
