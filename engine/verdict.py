"""How a run ended, from what its journal says, how its trainer exited, and what was asked of it."""

from __future__ import annotations

import signal
from typing import NamedTuple

from engine import events
from engine.failures import FailureKind, signal_name
from engine.job import EXIT_JOURNAL_LOST
from engine.journal import Record
from engine.launchers import Exit
from engine.out_of_memory import Whose
from storage.runs import Run

LIKE_IT = "same model, data, framework, precision, optimizer, input and devices"


class Verdict(NamedTuple):
    status: str
    finished_at: float
    failure_kind: str | None = None
    failure: str | None = None


class Overdue(NamedTuple):
    """Why the supervisor ends a run by itself."""

    kind: FailureKind
    sentence: str


def overdue(run: Run, now: float, silent_s: float, stall_s: float) -> Overdue | None:
    """Whether a RUNNING run has used up its time, or has been silent for too long."""
    late = _out_of_time(run, now)
    if late:
        return late
    if silent_s > stall_s:
        return Overdue(
            "stalled",
            f"The trainer was silent for {silent_s:.0f} s and was ended. "
            "If its steps are that long, raise ACCELBOARD_STALL_S.",
        )
    return None


def _out_of_time(run: Run, at: float) -> Overdue | None:
    timeout_s = run.config.get("timeout_s")
    if timeout_s and run.started_at and at - run.started_at > timeout_s:
        return Overdue("timed_out", f"The run took longer than its limit of {timeout_s:g} s.")
    return None


def of(
    run: Run,
    ended: Record | None,
    exited: Exit,
    now: float,
    because: Overdue | None = None,
    ran_out: Whose | None = None,
) -> Verdict:
    """The final status of a run whose trainer is gone.

    `ended` is its journal's last word; `because` is why the supervisor ended it, if it did;
    `ran_out` is whose memory ran out, by what the trainer printed last.
    """
    event, at = (ended.event, ended.at) if ended else (None, now)
    if isinstance(event, events.Failed):
        return Verdict("FAILED", at, event.kind, event.sentence)
    if isinstance(event, events.Finished) and event.status == "SUCCEEDED":
        return Verdict("SUCCEEDED", at)
    if run.stop_requested_at:
        return Verdict("STOPPED", at)
    if because:
        return Verdict("FAILED", now, because.kind, because.sentence)
    heard_at = at if event else run.last_event_at or now
    late = _out_of_time(run, heard_at) if event or exited.code is None else None
    if late:  # an earlier supervisor ended it, and did not live to say so
        return Verdict("FAILED", heard_at, late.kind, late.sentence)
    if isinstance(event, events.Finished):
        return Verdict("STOPPED", at)
    kind, sentence = _of_exit(run, exited, ran_out)
    return Verdict("FAILED", run.last_event_at or now if kind == "lost" else now, kind, sentence)


def with_what_fitted(end: Verdict, batch_size: int | None) -> Verdict:
    """A run out of memory is told what has fitted before, in this store.

    `batch_size` is the largest of runs that are like this one in all that memory depends on.
    """
    known = (
        f"The largest batch of such a run ({LIKE_IT}) that has fitted here is {batch_size:,}."
        if batch_size
        else f"No such run ({LIKE_IT}) has fitted here yet."
    )
    return end._replace(failure=f"{end.failure} {known}")


def _reached(run: Run) -> str:
    """`after 1.5 epochs`, `after 1,460 epochs`."""
    if not run.step:
        return "before its first step"
    told = f"{run.epoch:,.1f}".removesuffix(".0")
    return (
        "in its first epoch" if told == "0" else f"after {told} epoch{'' if told == '1' else 's'}"
    )


def _of_exit(run: Run, exited: Exit, ran_out: Whose | None) -> tuple[FailureKind, str]:
    reached = _reached(run)
    if exited.code is None and exited.watched:
        return "crashed", (
            f"The trainer ended {reached} without saying why. How it exited went to the supervisor "
            "that had started it, which is gone. The log's last lines may tell; if they do not, it "
            "was probably killed, by hand or because the host ran out of memory."
        )
    if exited.code is None:
        return "lost", (
            f"The trainer went away {reached} while no supervisor was there to see how: the host "
            "was restarted, or everything was killed. What it had recorded is kept; retry it."
        )
    if exited.code == EXIT_JOURNAL_LOST:
        return "disk_full", (
            f"The store's disk was full {reached}, and the last events could not be written. "
            "Free some space and retry."
        )
    if exited.code < 0:
        number = -exited.code
        if ran_out:
            return "out_of_memory", (
                f"The {ran_out} ran out of memory {reached}, by the last lines of the log, and the "
                f"trainer was killed by {signal_name(number)}. Try a smaller batch size or model."
            )
        return _of_signal(number, exited.by_oom_killer, reached)
    return "crashed", (
        f"The trainer exited with status {exited.code} {reached} without saying why. "
        "The log's last lines may."
    )


def _of_signal(number: int, by_oom_killer: bool | None, reached: str) -> tuple[FailureKind, str]:
    if number == signal.SIGKILL and by_oom_killer:
        return "out_of_memory", (
            f"The host ran out of memory {reached}, and its kernel killed the trainer. Try a "
            "smaller batch size or model, or end what else takes the host's memory."
        )
    hint = "The log's last lines may say why."
    if number == signal.SIGKILL:
        hint = (
            "If nobody did that by hand, the host ran out of memory: try a smaller batch size or "
            "model."
            if by_oom_killer is None
            else "The host's kernel did not do that for want of memory: somebody or something did."
        )
    return "crashed", f"The trainer was killed by {signal_name(number)} {reached}. {hint}"
