"""Checks that a page started: one at a time, each in a thread, which outlives the page."""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import dataclass

from engine.config import RunConfig
from engine.problems import ConfigError
from engine.settings import Settings
from engine.tpu import program, results
from engine.tpu.environment import CheckImpossible

Key = tuple[str, str, str]  # store, program, topology


@dataclass
class Ticket:
    """One check. Once it is over, its result is in the store, or `failure` says why not."""

    doing: str = "Waiting for another check to end."
    over: bool = False
    failure: str | None = None

    def say(self, line: str) -> None:
        self.doing = line


class Checks:
    """All checks that this process was asked for. Threads may share it."""

    def __init__(self) -> None:
        self._tickets: dict[Key, Ticket] = {}
        self._lock, self._turn = threading.Lock(), threading.Lock()

    def start(self, settings: Settings, config: RunConfig, topology: str) -> None:
        """Queue a check, unless the same is at work already."""
        key = _key(settings, config, topology)
        with self._lock:
            before = self._tickets.get(key)
            if before is None or before.over:
                ticket = self._tickets[key] = Ticket()
                work = (ticket, settings, config, topology)
                threading.Thread(target=self._work, args=work, daemon=True).start()

    def ticket(self, settings: Settings, config: RunConfig, topology: str) -> Ticket | None:
        """The last one for this program, topology and store."""
        with self._lock:
            return self._tickets.get(_key(settings, config, topology))

    def _work(self, ticket: Ticket, settings: Settings, config: RunConfig, topology: str) -> None:
        try:
            with self._turn:
                results.check_and_keep(settings, config, topology, ticket.say)
        except (ConfigError, CheckImpossible, OSError, sqlite3.Error) as error:
            ticket.failure = str(error)
        except (ValueError, LookupError) as error:
            ticket.failure = f"The compiler's answer could not be read ({error!r})."
        finally:
            ticket.over = True


def _key(settings: Settings, config: RunConfig, topology: str) -> Key:
    return str(settings.store), program.key(config), topology
