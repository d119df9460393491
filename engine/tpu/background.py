"""Checks that a page started: one at a time, each in a thread, which outlives the page."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from engine.config import RunConfig
from engine.settings import Settings
from engine.tpu import program, results
from engine.tpu.check import TpuCheck

Key = tuple[str, str, str]  # store, program, topology


@dataclass
class Ticket:
    """One check: what it is doing, until its result is in the store or it failed."""

    doing: str = "Waiting for another check to end."
    future: Future[TpuCheck] = field(default_factory=Future)

    @property
    def over(self) -> bool:
        return self.future.done()

    @property
    def failure(self) -> str | None:
        """Why there is no result, in a sentence; None while it goes on or if it went well."""
        error = self.future.exception() if self.over else None
        return None if error is None else str(error) or type(error).__name__


class Checks:
    """All checks that this process was asked for. Threads may share it."""

    def __init__(self) -> None:
        self._tickets: dict[Key, Ticket] = {}
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="tpu-check")

    def start(self, settings: Settings, config: RunConfig, topology: str) -> None:
        """Queue a check, unless the same is at work already."""
        with self._lock:
            before = self._tickets.get(_key(settings, config, topology))
            if before is None or before.over:
                ticket = self._tickets[_key(settings, config, topology)] = Ticket()
                ticket.future = self._threads.submit(_work, ticket, settings, config, topology)

    def ticket(self, settings: Settings, config: RunConfig, topology: str) -> Ticket | None:
        """The last one for this program, topology and store."""
        with self._lock:
            return self._tickets.get(_key(settings, config, topology))


def _key(settings: Settings, config: RunConfig, topology: str) -> Key:
    return str(settings.store), program.key(config), topology


def _work(ticket: Ticket, settings: Settings, config: RunConfig, topology: str) -> TpuCheck:
    def say(line: str) -> None:
        ticket.doing = line

    return results.check_and_keep(settings, config, topology, say)
