"""The regression watch: bands of a job's own history, alerts with what changed, sending them."""

import json
import sqlite3
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from statistics import NormalDist

import numpy as np
import pytest

from engine import launch, notify, references
from engine import settings as settings_module
from engine.problems import ConfigError
from storage import alerts, database, metrics, runs
from storage import references as stored
from tests.engine.studies import DEVICE
from tests.processes import SMALL, free_port, lab

ENVIRONMENT = {"python": "3.11", "nvidia": {"driver": "550.54", "cuda": "12.8"}}


@pytest.fixture
def settings(tmp_path):
    from engine import supervision

    database.prepare(tmp_path)
    with supervision.locked(tmp_path):  # so that nothing is started
        yield settings_module.load(tmp_path)


@pytest.fixture
def db(settings):
    with database.opened(settings.store) as db:
        yield db


def ended(db, run_id, rate, status="SUCCEEDED", host="here", on="A CPU", **environment):
    """End a run as a supervisor would, at so many samples/s."""
    runs.claim(db, run_id, host=host, devices=[DEVICE | {"name": on}], now=100.0)
    metrics.ingest(db, run_id, [], last_seq=1, offset=1,
                   environment=ENVIRONMENT | environment,
                   facts={"steady_samples_per_s": rate})  # fmt: skip
    failure = "It broke." if status == "FAILED" else None
    runs.finish(db, run_id, status, finished_at=108.0, failure=failure)
    return run_id


def named(settings, db, rate=1000.0, name=""):
    config, _ = launch.check(SMALL, {}, settings, launch.devices.find())
    run_id = runs.create(db, name="a job", config=config.model_dump(mode="json"), total_steps=64,
                         submitted_by="test")  # fmt: skip
    ended(db, run_id, rate)
    return references.add(settings, run_id, by="test", name=name)


def repeat(settings, db, name, rate, **how):
    run_id = references.submit(settings, references.find(db, name), by="cron")
    ended(db, run_id, rate, **how)
    return references.judge(settings, name, run_id)


def with_history(settings, db, rates=(990.0, 1010.0, 995.0, 1005.0), name=""):
    name = named(settings, db, name=name)
    for rate in rates:
        repeat(settings, db, name, rate)
    return name


def test_a_repeat_that_cannot_be_noted_with_its_job_is_not_submitted(settings, db):
    job = references.find(db, named(settings, db))
    waiting = len(runs.queue(db))
    db.execute("CREATE TRIGGER full BEFORE INSERT ON reference_runs "
               "BEGIN SELECT RAISE(ABORT, 'no room'); END")  # fmt: skip
    with pytest.raises(sqlite3.IntegrityError, match="no room"):
        references.submit(settings, job, by="cron")
    db.execute("DROP TRIGGER full")
    references.remove(settings, job.name, by="ann")
    with pytest.raises(references.UnknownReference):
        references.submit(settings, job, by="cron")
    assert len(runs.queue(db)) == waiting


def test_the_band_is_wide_by_the_spread_and_never_narrower_than_three_percent():
    assert references.band([1000.0] * 4) is None
    assert references.band([1000.0] * 5) == (970.0, 1000.0, 1030.0, 5)
    found = references.band([900.0, 950.0, 1000.0, 1050.0, 1100.0, 10.0, 1990.0])
    assert found.median == 1000.0
    assert found.high == pytest.approx(1000 + 4 * 1.4826 * 100)  # of |x - 1000| the median is 100


def test_the_bands_deviation_is_the_normal_ones_by_a_published_example_and_scipy():
    """Wikipedia's example of the median absolute deviation: that of 1, 1, 2, 2, 4, 6, 9 is 1."""
    found = references.band([1.0, 1, 2, 2, 4, 6, 9])
    sigma = 1 / NormalDist().inv_cdf(0.75)  # of which the MAD of a normal distribution is 1
    assert (found.median, found.high) == (2.0, pytest.approx(2 + 4 * sigma, rel=1e-4))
    scipy_stats = pytest.importorskip("scipy.stats")
    rates = np.random.default_rng(4).normal(1000, 50, 50)
    scale = scipy_stats.median_abs_deviation(rates, scale="normal")
    found = references.band(rates)
    assert found.high - found.low == pytest.approx(8 * scale, rel=1e-4)


def test_too_little_history_raises_no_alert_and_says_how_much_there_is(settings, db):
    name = named(settings, db)
    repeat(settings, db, name, 500.0)
    found = repeat(settings, db, name, 1500.0)
    assert found.standing == "no history"
    assert found.sentence == "not enough history: 2 of 5 repeats"
    assert alerts.list_newest(db, 9) == []


@pytest.mark.parametrize(
    ("rate", "standing", "told"),
    [
        (1005.0, "in band", "the band of 5 earlier repeats"),
        (800.0, "alert", "20.0 % slower than the median"),
        (1300.0, "alert", "30.0 % faster than the median"),
    ],
)
def test_a_repeat_that_leaves_the_band_raises_an_alert(settings, db, rate, standing, told):
    found = repeat(settings, db, with_history(settings, db), rate)
    assert found.standing == standing
    assert told in found.sentence
    assert bool(alerts.list_newest(db, 9)) == (standing == "alert")


def test_an_alert_comes_with_what_changed(settings, db):
    name = with_history(settings, db)
    newer = {"nvidia": {"driver": "560.10", "cuda": "12.8"}}
    found = repeat(settings, db, name, 700.0, **newer)
    alert = alerts.get(db, found.alert_id)
    assert alert.changes == (("nvidia.driver", "550.54", "560.10"),)
    assert "nvidia.driver: 550.54 -> 560.10" in references.in_words(alert)


def test_a_failed_repeat_raises_an_alert_even_without_history(settings, db):
    found = repeat(settings, db, named(settings, db), None, status="FAILED")
    assert found.standing == "alert"
    assert "failed. It broke." in found.sentence


def test_repeats_on_another_host_are_no_history(settings, db):
    found = repeat(settings, db, with_history(settings, db), 100.0, host="elsewhere")
    assert found.sentence == "not enough history: 0 of 5 repeats"


def test_a_repeat_on_another_model_of_device_is_held_against_the_one_before(settings, db):
    name = with_history(settings, db)
    assert repeat(settings, db, name, 1000.0, on="Another").standing == "in band"
    slower = repeat(settings, db, name, 700.0, on="A third")
    assert slower.standing == "no history"  # of the one before there is one repeat
    name = with_history(settings, db, name="again")
    slower = repeat(settings, db, name, 700.0, on="Another")
    alert = alerts.get(db, slower.alert_id)
    assert alert.changes == (("device", "A CPU", "Another"),)
    assert "30.0 % slower" in alert.sentence
    assert repeat(settings, db, name, 700.0, on="Another").standing == "alert"
    references.acknowledge(settings, slower.alert_id, by="me")  # that is what it takes there
    assert repeat(settings, db, name, 705.0, on="Another").standing == "no history"


def test_a_repeat_of_another_version_of_a_model_is_held_against_the_one_before(settings, db):
    name = with_history(settings, db)
    slower = repeat(settings, db, name, 700.0, workload_version=2)
    assert alerts.get(db, slower.alert_id).changes == (("workload_version", "—", "2"),)
    references.acknowledge(settings, slower.alert_id, by="me")  # that is what it takes
    assert repeat(settings, db, name, 705.0, workload_version=2).standing == "no history"


def test_a_regression_becomes_history_only_when_it_is_acknowledged(settings, db):
    name = with_history(settings, db)
    first = repeat(settings, db, name, 800.0)
    assert "of 5 earlier" in repeat(settings, db, name, 1000.0).sentence
    references.acknowledge(settings, first.alert_id, by="me")
    assert "of 7 earlier" in repeat(settings, db, name, 1000.0).sentence
    with pytest.raises(launch.NotPossible, match="no open alert"):
        references.acknowledge(settings, first.alert_id, by="me")


def test_a_repeat_is_judged_once(settings, db):
    name = with_history(settings, db)
    run_id = references.submit(settings, references.find(db, name), by="cron")
    ended(db, run_id, 100.0)
    assert stored.unjudged(db, name) == [run_id]
    assert references.judge(settings, name, run_id).standing == "alert"
    assert references.judge(settings, name, run_id) is None
    assert len(alerts.list_newest(db, 9)) == 1


def test_a_job_outlives_its_run_and_its_name_is_taken_literally(settings, db):
    name = named(settings, db)
    assert runs.delete(db, references.find(db, name).run_id)
    assert repeat(settings, db, name, 1000.0).standing == "no history"
    references.remove(settings, name, by="me")
    with pytest.raises(references.UnknownReference, match="'a job'"):
        references.find(db, name)
    with pytest.raises(ConfigError, match="1 to 100 printable"):
        references.add(settings, repeat_id(db), by="me", name="\x1b[31m")


def repeat_id(db):
    return next(run.id for run in runs.list_newest(db, 9) if run.status == "SUCCEEDED")


@pytest.fixture
def inbox():
    """A web server that keeps what Apprise posts to it: (port, [JSON])."""
    got = []

    class Keep(BaseHTTPRequestHandler):
        def do_POST(self):
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Keep)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port, got
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_alert_is_sent_to_each_address(settings, db, inbox):
    pytest.importorskip("apprise")
    port, got = inbox
    told = settings.model_copy(update={"alerts": f"json://127.0.0.1:{port}/a"})
    found = repeat(told, db, with_history(settings, db), 700.0)
    assert found.problems == ()
    (message,) = got
    assert "30.0 % slower" in message["message"]
    assert alerts.get(db, found.alert_id).sent == "sent"


def test_a_notification_that_fails_is_told_and_logged_without_secrets_and_loses_nothing(
    settings, db
):
    pytest.importorskip("apprise")
    address = f"json://me:secret@127.0.0.1:{free_port()}/a"
    told = settings.model_copy(update={"alerts": f"nonsense {address}"})
    found = repeat(told, db, with_history(settings, db), 700.0)
    unknown, unreached = found.problems
    assert unknown == "Address 1 of ACCELBOARD_ALERTS is none that Apprise knows."
    assert "was not reached" in unreached
    assert alerts.get(db, found.alert_id).sent.startswith("Address 1")
    log = (settings.store / "changes.log").read_text()
    assert "was not sent" in log
    assert "secret" not in log + unreached


def test_notifications_are_sent_by_nobody_where_no_address_is(settings, db):
    found = repeat(settings, db, with_history(settings, db), 700.0)
    assert (found.problems, alerts.get(db, found.alert_id).sent) == ((), None)
    assert notify.send("", "title", "body") == []


def test_reference_run_repeats_a_job_through_the_queue_and_its_status_tells(tmp_path):
    with lab(tmp_path / "store") as here:
        run_id = here.submit(SMALL, name="first")
        here.supervise()
        here.over(run_id)
        assert here.cli("reference", "add", run_id, "--name", "my job").returncode == 0
        done = here.cli("reference", "run", "my job", "--json")
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert (told["standing"], told["reference"]) == ("no history", "my job")
        assert here.run(told["run"]).tags == ("reference",)
        with database.opened(here.store) as db:  # five repeats, a thousand times as fast
            for _ in range(5):
                copy = runs.create(db, name="x", config=here.run(run_id).config, total_steps=64,
                                   submitted_by="test", now=1.0)  # fmt: skip
                stored.add_run(db, "my job", copy)
                stored.note_judged(db, "my job", copy)
                runs.claim(db, copy, host=here.run(run_id).host, devices=here.run(run_id).devices,
                           now=100.0)  # fmt: skip
                metrics.ingest(db, copy, [], last_seq=1, offset=1,
                               facts={"steady_samples_per_s": 1e9})  # fmt: skip
                runs.finish(db, copy, "SUCCEEDED", finished_at=101.0)
        done = here.cli("reference")
        assert done.returncode == 1, done.stderr
        assert "slower" in done.stdout
        assert "my job" in here.cli("reference", "alerts").stdout
        assert here.cli("reference", "run", "no such").returncode == 4
        assert here.cli("reference", "run").returncode == 2
