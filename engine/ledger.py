"""The time ledger: where the seconds of a run went, each in one account.

Clocks are read after the device has been waited for: `Session.run` and `evaluate` return no sooner.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, get_args

Account = Literal[
    "import",  # the interpreter, this project and the framework
    "data",  # find, verify and load the data set
    "build",  # the model, its optimizer and the data, put on the device
    "compile",  # stretches of steps or of evaluation in which a program was compiled
    "warm_up",  # first steps, without a compile
    "input_wait",  # the device waits for samples, or for their order
    "compute",  # steady optimizer steps
    "evaluation",
    "checkpoint",
    "idle",  # before the process began, while events are written, while a step is taken apart:
    #          its FLOPs counted, the CPU's peak measured
]
ACCOUNTS: tuple[Account, ...] = get_args(Account)


class Ledger:
    """Every second since it was opened is in exactly one account."""

    def __init__(
        self, account: Account = "idle", clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._clock = clock
        self._account: Account = account
        self._since = self._switched = clock()
        self._seconds: dict[Account, float] = dict.fromkeys(ACCOUNTS, 0.0)

    def credit(self, account: Account, seconds: float) -> None:
        """Add what passed before the ledger was opened."""
        self._seconds[account] += max(0.0, seconds)

    def switch(self, account: Account) -> None:
        """What passes from now on belongs to `account`."""
        self._settle()
        self._account, self._switched = account, self._since

    def lap(self) -> float:
        """Seconds since the last switch."""
        return self._clock() - self._switched

    def move(self, seconds: float, account: Account) -> None:
        """Of what is in the current account, so much belongs to another one."""
        self._settle()
        self._seconds[self._account] -= seconds
        self._seconds[account] += seconds

    @contextmanager
    def aside(self, account: Account) -> Iterator[None]:
        """What passes in the block belongs to `account`; afterwards all is as before."""
        before = self._account
        self.switch(account)
        try:
            yield
        finally:
            self.switch(before)

    def seconds(self) -> dict[Account, float]:
        """Account -> seconds so far; those that are 0 are left out."""
        self._settle()
        return {account: round(s, 6) for account, s in self._seconds.items() if s}

    def _settle(self) -> None:
        now = self._clock()
        self._seconds[self._account] += now - self._since
        self._since = now
