"""Readings in the store: written in any order, read by time, gone with their run."""

import pytest

from engine.config import RunConfig
from storage import database, readings, runs
from storage.readings import Extent, Reading


@pytest.fixture
def db(tmp_path):
    database.prepare(tmp_path)
    with database.opened(tmp_path) as opened:
        yield opened


@pytest.fixture
def run_id(db):
    config = RunConfig.parse({}).model_dump(mode="json")
    return runs.create(db, name="", config=config, total_steps=1, submitted_by="test")


def power(*pairs):
    return [Reading("gpu:0", "power_w", at, value) for at, value in pairs]


def test_readings_are_read_by_time_whatever_order_they_came_in(db, run_id):
    readings.add(db, run_id, power((3.0, 30.0), (1.0, 10.0)))
    readings.add(db, run_id, [*power((2.0, 20.0)), Reading("host", "cpu", 1.0, 0.5)])
    found = readings.series(db, run_id, ["power_w", "cpu"])
    assert set(found) == {("gpu:0", "power_w"), ("host", "cpu")}
    assert found["gpu:0", "power_w"].at.tolist() == [1, 2, 3]
    assert found["gpu:0", "power_w"].value.tolist() == [10, 20, 30]
    assert set(readings.series(db, run_id, ["cpu"])) == {("host", "cpu")}


def test_a_reading_that_comes_again_stays_as_it_was(db, run_id):
    for value in (10.0, 11.0):
        readings.add(db, run_id, power((1.0, value)))
    assert readings.series(db, run_id, ["power_w"])["gpu:0", "power_w"].value.tolist() == [10]


def test_readings_of_a_run_that_is_gone_go_nowhere(db, run_id):
    readings.add(db, run_id, power((1.0, 10.0)))
    with database.transaction(db):
        db.execute("DELETE FROM runs WHERE id = ?", [run_id])
    readings.add(db, run_id, power((2.0, 10.0)))
    assert db.execute("SELECT count(*) FROM readings").fetchone()[0] == 0


def test_long_series_are_read_as_means(db, run_id):
    readings.add(db, run_id, power(*((float(second), float(second)) for second in range(20))))
    found = readings.series(db, run_id, ["power_w"], mean_of_s=10)["gpu:0", "power_w"]
    assert found.at.tolist() == found.value.tolist() == [4.5, 14.5]


@pytest.mark.parametrize(
    ("begin", "end", "at"),
    [
        (2.5, 3.5, [2, 3, 4]),
        (2.0, 4.0, [2, 3, 4]),
        (0.0, 1.5, [1, 2]),
        (4.5, 9.0, [4, 5]),
        (9.0, 9.5, [5]),
    ],
)
def test_a_span_has_the_readings_next_to_its_ends(db, run_id, begin, end, at):
    readings.add(db, run_id, power(*((float(second), 1.0) for second in range(1, 6))))
    assert readings.span(db, run_id, "gpu:0", "power_w", begin, end).at.tolist() == at


def test_a_span_of_nothing_is_empty(db, run_id):
    assert readings.span(db, run_id, "gpu:0", "power_w", 0, 9).value.tolist() == []


def test_extents_tell_from_when_to_when_and_the_largest(db, run_id):
    readings.add(db, run_id, power((1.0, 10.0), (2.0, 30.0), (3.0, 20.0)))
    assert readings.extents(db, run_id) == [Extent("gpu:0", "power_w", 1.0, 3.0, 30.0)]


def test_codes_are_told_with_the_share_of_readings_that_have_them(db, run_id):
    codes = [Reading("gpu:0", "throttle_reasons", t, c) for t, c in enumerate((0.0, 4.0, 4.0, 4.0))]
    readings.add(db, run_id, codes)
    assert readings.shares(db, run_id, "throttle_reasons") == {"gpu:0": {0: 0.25, 4: 0.75}}


def test_facts_are_noted_part_by_part(db, run_id):
    runs.note_facts(db, run_id, {"readings": {"a": "x", "b": "y"}, "flops": 3})
    runs.note_facts(db, run_id, {"readings": {"a": None, "c": "z"}})
    assert runs.get(db, run_id).facts == {"readings": {"b": "y", "c": "z"}, "flops": 3}
