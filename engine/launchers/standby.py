"""Trainer processes that have imported their framework and wait for a run.

Importing takes seconds, and a run that finds its trainer waiting is spared them. Each trains one
run and ends: no run inherits another's memory.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from engine.job import READY, STANDBY
from engine.settings import PROJECT


class Standby:
    """One waiting process. It leaves by itself when whoever started it is gone."""

    def __init__(
        self, interpreter: Path, framework: str, environment: Mapping[str, str], log: Path
    ) -> None:
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                [str(interpreter), "-m", "engine.trainer", STANDBY, framework],
                cwd=PROJECT,
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        self._said = b""

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    @property
    def is_ready(self) -> bool:
        """Whether it has imported all, and only waits."""
        assert self.process.stdout is not None
        self._said += self.process.stdout.read() or b""
        return self.is_alive and READY.encode() in self._said.split()

    def assign(self, run_dir: Path, environment: Mapping[str, str]) -> bool:
        """Give it its run, for good; False if it is gone."""
        assert self.process.stdin is not None
        line = json.dumps({"run_dir": str(run_dir), "environment": dict(environment)})
        try:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.close()
        except BrokenPipeError:
            return False
        return self.is_alive

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


class Bench:
    """At most one process on standby for each framework."""

    def __init__(self, start: Callable[[str], Standby]) -> None:
        self._start, self._waiting = start, dict[str, Standby]()

    def fill(self, frameworks: tuple[str, ...]) -> None:
        """See to it that these wait, and no others; one is started after the other is ready.

        One that died is not replaced before a run has asked for it: it might die each time.
        """
        for framework in self._waiting.keys() - set(frameworks):
            self._waiting.pop(framework).end()
        for framework in frameworks:
            if framework not in self._waiting:
                self._waiting[framework] = self._start(framework)
            waiting = self._waiting[framework]
            if waiting.is_alive and not waiting.is_ready:
                return

    def take(self, framework: str) -> Standby | None:
        """The framework's, if it is alive."""
        taken = self._waiting.pop(framework, None)
        return taken if taken and taken.is_alive else None

    def hush(self) -> None:
        """Those that still import would disturb a run: they end."""
        for name, other in list(self._waiting.items()):
            if not other.is_ready:
                self._waiting.pop(name).end()
