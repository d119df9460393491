"""The journal: written by a trainer that may die anywhere, read by a supervisor that may too."""

import errno
import os

import pytest

from engine import journal
from engine.events import Failed, Finished, Metrics, PhaseStarted, Started


def write(path, *written):
    writer = journal.Writer(path, clock=lambda: 1000.5)
    for event in written:
        writer.append(event)
    writer.close()


EVENTS = (
    Started({"python": "3.11"}),
    PhaseStarted("train"),
    Metrics(3, 0.5, {"loss": 1.25, "accuracy": None}),
    Failed("diverged", "The loss became NaN\nat “step 3”."),
    Finished("SUCCEEDED"),
)


def test_what_is_written_is_read_in_order_and_numbered(tmp_path):
    write(tmp_path / "j", *EVENTS)
    records = journal.read(tmp_path / "j", 0).records
    assert [record.event for record in records] == list(EVENTS)
    assert [record.seq for record in records] == [1, 2, 3, 4, 5]
    assert {record.at for record in records} == {1000.5}


def test_a_reader_goes_on_from_its_offset(tmp_path):
    path = tmp_path / "j"
    write(path, EVENTS[0])
    first = journal.read(path, 0)
    write(path, EVENTS[1])
    assert [r.event for r in journal.read(path, first.offset).records] == [EVENTS[1]]


def test_a_line_cut_in_half_is_left_until_it_is_whole(tmp_path):
    path = tmp_path / "j"
    write(path, *EVENTS[:2])
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    cut = journal.read(path, 0)
    assert ([r.seq for r in cut.records], cut.damaged) == ([1], 0)
    path.write_bytes(whole)
    assert [r.seq for r in journal.read(path, cut.offset).records] == [2]


@pytest.mark.parametrize(
    "line",
    [
        b'{"seq":2,"at":1,"ty\n',
        b"[]\n",
        b"\xff\xfe\n",
        b'{"seq":2,"at":1,"type":"x"}\n',
        b'{"seq":2.5,"at":1,"type":"finished","status":"STOPPED"}\n',
        b'{"seq":2,"type":"finished","status":"STOPPED"}\n',
        b'{"seq":2,"at":1,"type":"finished","status":"STOPPED"} {"seq":3}\n',
        b'{"seq":2,"at":1,"type":"metrics","step":1,"epoch":1,"values":{"loss":"low"}}\n',
        b'{"seq":2,"at":1,"type":"metrics","step":1,"epoch":1,"values":{"loss":NaN}}\n',
        b"\n",
    ],
)
def test_a_damaged_line_is_counted_and_the_rest_is_read(tmp_path, line):
    path = tmp_path / "j"
    write(path, EVENTS[0])
    with path.open("ab") as file:
        file.write(line)
    write(path, EVENTS[4])
    chunk = journal.read(path, 0)
    assert [r.event for r in chunk.records] == [EVENTS[0], EVENTS[4]]
    assert chunk.damaged == 1


def test_no_journal_yet_is_no_event_yet(tmp_path):
    assert journal.read(tmp_path / "none", 0) == journal.Chunk([], 0, 0)
    assert journal.outcome(tmp_path / "none") is None


def test_the_outcome_is_the_last_word(tmp_path):
    write(tmp_path / "j", *EVENTS[:3])
    assert journal.outcome(tmp_path / "j") is None
    write(tmp_path / "j", EVENTS[4])
    assert journal.outcome(tmp_path / "j").event == Finished("SUCCEEDED")


def test_values_that_json_lacks_are_refused_before_anything_is_written(tmp_path):
    writer = journal.Writer(tmp_path / "j")
    with pytest.raises(ValueError, match="Out of range"):
        writer.append(Metrics(1, 0.1, {"loss": float("nan")}))
    assert (tmp_path / "j").read_bytes() == b""


def test_what_a_full_disk_refuses_is_written_when_there_is_room(tmp_path, monkeypatch):
    """The kernel's refusal is made here, half-way into a line; a real full disk has a test too."""
    writer = journal.Writer(tmp_path / "j")
    really_write = os.write

    def full_after_ten_bytes(fd, data):
        if os.fstat(fd).st_size >= 10:
            raise OSError(errno.ENOSPC, "No space left on device")
        return really_write(fd, data[:10])

    monkeypatch.setattr(os, "write", full_after_ten_bytes)
    writer.append(EVENTS[0])
    writer.append(EVENTS[1])
    assert journal.read(tmp_path / "j", 0).records == []
    monkeypatch.undo()
    assert writer.flush()
    assert [r.event for r in journal.read(tmp_path / "j", 0).records] == list(EVENTS[:2])


def test_a_line_torn_in_two_is_two_damaged_lines(tmp_path):
    path = tmp_path / "j"
    write(path, *EVENTS[:2])
    path.write_bytes(path.read_bytes().replace(b'"type"', b'\n"type"', 1))
    chunk = journal.read(path, 0)
    assert ([r.event for r in chunk.records], chunk.damaged) == ([EVENTS[1]], 2)


def test_whole_numbers_are_read_where_fractions_are_expected_and_later_fields_are_passed_over(
    tmp_path,
):
    line = b'{"seq":1,"at":1,"type":"metrics","step":2,"epoch":1,"values":{"a":3},"later":{}}\n'
    (tmp_path / "j").write_bytes(line)
    (record,) = journal.read(tmp_path / "j", 0).records
    assert record == journal.Record(1, 1.0, Metrics(2, 1.0, {"a": 3.0}))
