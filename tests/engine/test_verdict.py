"""How a run ended is decided from what it said, how it exited, and what was asked."""

import pytest
from msgspec import structs

from engine import verdict
from engine.config import RunConfig
from engine.events import Failed, Finished
from engine.job import EXIT_JOURNAL_LOST
from engine.journal import Record
from engine.launchers import Exit
from storage import database, runs

NOW, STALL_S = 2000.0, 900.0


@pytest.fixture
def run(tmp_path):
    """A run that started at 1000 s and said something at 1990 s."""
    database.prepare(tmp_path)
    config = RunConfig.parse({"timeout_s": 5000}).model_dump(mode="json")
    with database.opened(tmp_path) as db:
        run_id = runs.create(db, name="", config=config, total_steps=9, submitted_by="test")
        row = runs.get(db, run_id)
    return structs.replace(
        row, status="RUNNING", started_at=1000.0, last_event_at=1990.0, step=3, epoch=1.5
    )


def said(event):
    return Record(9, 1995.0, event)


def decide(run, ended, code):
    return verdict.of(run, ended, Exit(code), NOW)


def test_a_run_that_said_it_succeeded_did_at_that_time(run):
    assert decide(run, said(Finished("SUCCEEDED")), 0) == ("SUCCEEDED", 1995.0, None, None)


def test_success_before_the_stop_arrived_is_success(run):
    asked = structs.replace(run, stop_requested_at=1994.0)
    assert decide(asked, said(Finished("SUCCEEDED")), 0).status == "SUCCEEDED"


@pytest.mark.parametrize("code", [0, -9])
def test_a_run_that_was_asked_to_stop_is_stopped_however_it_left(run, code):
    assert decide(structs.replace(run, stop_requested_at=1994.0), None, code).status == "STOPPED"


def test_a_signal_without_a_name_is_told_by_its_number(run):
    end = decide(run, None, -35)
    assert (end.status, end.failure_kind) == ("FAILED", "crashed")
    assert end.failure.startswith("The trainer was killed by signal 35 after 1.5 epochs.")


@pytest.mark.parametrize(
    ("done", "told"),
    [(1.0, "after 1 epoch."), (1460.0, "after 1,460 epochs."), (0.04, "in its first epoch.")],
)
def test_epochs_are_told_as_they_are_counted(run, done, told):
    end = decide(structs.replace(run, epoch=done), None, -35)
    assert told in end.failure


def test_the_trainers_own_words_are_the_failure(run):
    end = decide(run, said(Failed("diverged", "NaN.")), 1)
    assert (end.failure_kind, end.failure) == ("diverged", "NaN.")


@pytest.mark.parametrize(
    ("code", "kind", "part"),
    [
        (-9, "crashed", "killed by SIGKILL after 1.5 epochs"),
        (-11, "crashed", "killed by SIGSEGV"),
        (3, "crashed", "exited with status 3"),
        (0, "crashed", "without saying why"),
        (None, "crashed", "without saying why. How it exited went to the supervisor"),
        (EXIT_JOURNAL_LOST, "disk_full", "disk was full"),
    ],
)
def test_each_way_to_go_has_its_kind_and_sentence(run, code, kind, part):
    end = decide(run, None, code)
    assert (end.status, end.failure_kind) == ("FAILED", kind)
    assert part in end.failure


@pytest.mark.parametrize(
    ("by_oom_killer", "kind", "part"),
    [
        (True, "out_of_memory", "The host ran out of memory after 1.5 epochs, and its kernel"),
        (False, "crashed", "The host's kernel did not do that for want of memory"),
        (None, "crashed", "If nobody did that by hand, the host ran out of memory"),
    ],
)
def test_a_kill_for_want_of_memory_is_told_from_one_by_hand(run, by_oom_killer, kind, part):
    end = verdict.of(run, None, Exit(-9, by_oom_killer=by_oom_killer), NOW)
    assert (end.failure_kind, part in end.failure) == (kind, True)
    assert verdict.of(run, None, Exit(-11, by_oom_killer=by_oom_killer), NOW).failure_kind == (
        "crashed"
    )


def test_time_used_up_and_silence_are_told_apart(run):
    late = structs.replace(run, started_at=NOW - 5001)
    timed_out = verdict.overdue(late, NOW, 5.0, STALL_S)
    stalled = verdict.overdue(run, NOW, STALL_S + 1, STALL_S)
    assert (timed_out.kind, stalled.kind) == ("timed_out", "stalled")
    assert verdict.overdue(run, NOW, STALL_S, STALL_S) is None
    end = verdict.of(late, said(Finished("STOPPED")), Exit(0), NOW, timed_out)
    assert (end.status, end.failure_kind) == ("FAILED", "timed_out")


def test_a_run_found_gone_long_after_is_lost_when_it_was_last_heard(run):
    end = verdict.of(run, None, Exit(None, watched=False), NOW + 40_000)
    assert (end.failure_kind, end.finished_at) == ("lost", 1990.0)
    assert "no supervisor was there" in end.failure


@pytest.mark.parametrize(
    ("ended", "last_event_at"), [(Finished("STOPPED"), 1000.0), (None, 6001.0)]
)
def test_a_run_past_its_time_whose_supervisor_went_away_too_has_timed_out(
    run, ended, last_event_at
):
    """The supervisor that asked it to stop is gone before it has stopped."""
    row = structs.replace(run, last_event_at=last_event_at)
    record = Record(9, 6001.0, ended) if ended else None
    end = verdict.of(row, record, Exit(None, watched=False), 6050.0)
    assert (end.status, end.failure_kind, end.finished_at) == ("FAILED", "timed_out", 6001.0)
    asked = structs.replace(row, stop_requested_at=5900.0)
    assert verdict.of(asked, record, Exit(None, watched=False), 6050.0).status == "STOPPED"


def test_a_run_out_of_memory_is_told_the_largest_batch_that_fitted(run):
    end = decide(run, said(Failed("out_of_memory", "No room.")), 1)
    like_it = "same model, data, framework, precision, optimizer, input and devices"
    assert verdict.with_what_fitted(end, 4096).failure == (
        f"No room. The largest batch of such a run ({like_it}) that has fitted here is 4,096."
    )
    assert verdict.with_what_fitted(end, None).failure == (
        f"No room. No such run ({like_it}) has fitted here yet."
    )


def test_a_trainer_that_aborted_for_want_of_memory_is_known_by_its_log(run):
    end = verdict.of(run, None, Exit(-6), NOW, ran_out="device")
    assert (end.status, end.failure_kind) == ("FAILED", "out_of_memory")
    assert end.failure == (
        "The device ran out of memory after 1.5 epochs, by the last lines of the log, and the "
        "trainer was killed by SIGABRT. Try a smaller batch size or model."
    )
    assert verdict.of(run, None, Exit(-6), NOW).failure_kind == "crashed"
