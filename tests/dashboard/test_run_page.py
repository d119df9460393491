"""A run's page as a script: what it says of a run, and what is done there. No browser."""

import pytest

from dashboard import words
from storage import alerts, database, metrics, readings, runs
from storage.metrics import Point
from storage.readings import Reading
from tests.dashboard.pages import DEVICE, GPU, create, finished, opened, told, visit


def test_a_run_is_named_a_reference_job_on_its_page_and_its_alert_stands_until_acknowledged(here):
    run_id = finished(here, name="nightly *job*")
    at = visit("run", id=run_id)
    at.button(key="reference-add").click().run()
    assert "is the reference job nightly" in told(at)
    with database.opened(here) as db:
        sentence = "Reference job <b>nightly</b>: 20.0 % slower."
        changes = [("nvidia.driver", "550", "560")]
        alert_id = alerts.create(db, reference="nightly *job*", run_id=run_id, sentence=sentence,
                                 changes=changes)  # fmt: skip
    assert "20\\.0 \\% slower" in visit("hardware").warning[0].value
    at = visit()
    assert "driver: 550 → 560" in told(at).replace("\\", "").replace("\u2060", "")
    at.button(key=f"acknowledge-{alert_id}").click().run()
    assert not at.warning
    listed = visit("hardware").dataframe[-1].value
    assert listed["What"].tolist() == [sentence]


def test_a_finished_run_shows_its_figures_and_what_can_be_done(here):
    at = visit("run", id=finished(here, "<b>done</b>"))
    assert "&lt;b&gt;done&lt;/b&gt;" in told(at)
    assert "took 30 s" in told(at)
    assert at.metric[0].value == "80.0 %"
    assert {button.label for button in at.button} >= {"Retry", "Clone", "Compare"}


def test_a_stopped_run_says_after_which_epoch(here):
    run_id = create(here, epochs=10)
    with database.opened(here) as db:
        runs.claim(db, run_id, host="here", devices=[DEVICE], now=100.0)
        point = Point("train_loss", 3 * 60_000 // 32, 3.0, 110.0, 0.5)
        metrics.ingest(db, run_id, [point], last_seq=1, offset=1)
        runs.finish(db, run_id, "STOPPED", finished_at=112.0)
    assert "after epoch 3 of 10 · A CPU · took 12 s" in told(visit("run", id=run_id))


def test_what_is_known_of_a_run_is_told_in_words_and_its_notes_in_their_lines(here):
    run_id = finished(here, keep_last_batch=True)
    met = {"git": {"dirty": False}, "gpus": [{"name": "A", "mib": 9}, {"name": "B", "mib": None}],
           "flags": ["avx2", "amx"], "driver": None}  # fmt: skip
    with database.opened(here) as db:
        metrics.ingest(db, run_id, [], last_seq=7, offset=70, environment=met)
        runs.edit(db, run_id, notes="first\n  <b>second</b>")
    at = visit("run", id=run_id, tab="Environment")
    facts = dict(at.dataframe[0].value.itertuples(index=False))
    assert {k: facts[k] for k in ("git.dirty", "gpus", "flags", "driver")} == {
        "git.dirty": "no", "gpus": "name A, mib 9; name B, mib —", "flags": "avx2, amx",
        "driver": "—",
    }  # fmt: skip
    at = visit("run", id=run_id, tab="Configuration")
    assert dict(at.dataframe[0].value.itertuples(index=False))["keep_last_batch"] == "yes"
    assert ">first\n  &lt;b&gt;second&lt;/b&gt;<" in told(at)


def test_a_failed_run_says_why_first(here):
    run_id = create(here)
    with database.opened(here) as db:
        runs.finish(
            db, run_id, "FAILED", finished_at=5.0, failure_kind="diverged", failure="NaN *x*"
        )
    assert visit("run", id=run_id).error[0].value == r"**Diverged.** NaN \*x\*"


def read(folder, run_id, *rows):
    """Readings of these (device, key, value) at each second of a run from 99 s to 125 s."""
    with database.opened(folder) as db:
        readings.add(
            db,
            run_id,
            [
                Reading(device, key, float(at), value * at if key == "energy_j" else value)
                for at in range(99, 126)
                for device, key, value in rows
            ],
        )


def test_a_runs_readings_and_energy_are_told_with_their_source(here):
    ten_steps = {"name": "synthetic", "train_samples": 1280}
    run_id = finished(here, devices=[GPU], epoch_s=8.0, dataset=ten_steps)
    rows = [("gpu:0", "energy_j", 300.0), ("gpu:0", "power_w", 300.0)]
    rows += [("gpu:0", "memory_bytes", 3.0 * 2**30), ("gpu:0", "throttle_reasons", 4.0)]
    rows += [("host", "cpu", 0.5), ("trainer", "memory_bytes", 2.0 * 2**30)]
    read(here, run_id, *rows)
    with database.opened(here) as db:
        runs.note_facts(db, run_id, {"readings": {"RAPL": "unavailable: <b>only</b> root"}})
    at = visit("run", id=run_id, tab="Readings")
    energy, said = at.dataframe[0].value, told(at)
    assert energy["Energy"].tolist() == ["5.4 kJ", "—"]
    assert energy["per epoch"].tolist() == ["2.7 kJ", "—"]
    assert energy["per sample"].tolist() == ["2.11 J", "—"]
    assert energy["Source"].tolist() == ["counter: NVML", "unavailable: <b>only</b> root"]
    assert "3.00 GiB on gpu:0, 2.00 GiB of the trainer and its children (RSS)" in said
    assert "clocks held back by power limit in 100 % of readings" in said
    assert words.plain("unavailable: <b>only</b> root") in said
    for panel in ("Power", "Device memory", "CPU, share of all cores"):
        assert f"**{panel}**" in said
    assert "TPU" not in said


def test_a_run_before_its_first_epochs_end_has_readings_and_no_energy_yet(here):
    run_id = create(here)
    with database.opened(here) as db:
        runs.claim(db, run_id, host="here", devices=[DEVICE], now=100.0)
    read(here, run_id, ("host", "cpu", 0.5))
    said = told(visit("run", id=run_id, tab="Readings"))
    assert "**CPU, share of all cores**" in said
    assert "Energy is told of whole epochs, once the first has ended" in said


def test_hours_of_readings_are_drawn_as_means(here):
    run_id = finished(here)
    with database.opened(here) as db:
        hours = [Reading("host", "cpu", float(at), 0.5) for at in range(100, 14_500, 10)]
        readings.add(db, run_id, hours)
    assert "mean of 16 s" in told(visit("run", id=run_id, tab="Readings"))


@pytest.mark.parametrize(
    ("status", "interval_s", "sentence"),
    [
        ("PENDING", "1", "begin when the run starts"),
        ("RUNNING", "1", "Waiting for the first reading"),
        ("RUNNING", "0", "Readings are turned off"),
        ("SUCCEEDED", "1", "No readings were taken of this run"),
    ],
)
def test_a_run_without_readings_says_why(here, monkeypatch, status, interval_s, sentence):
    monkeypatch.setenv("ACCELBOARD_READINGS_S", interval_s)
    run_id = finished(here) if status == "SUCCEEDED" else create(here)
    if status == "RUNNING":
        with database.opened(here) as db:
            runs.claim(db, run_id, host="here", devices=[DEVICE], now=100.0)
    assert sentence in told(visit("run", id=run_id, tab="Readings"))


def test_readings_are_not_read_while_another_tab_is_open(here):
    run_id = finished(here)
    read(here, run_id, ("host", "cpu", 0.5))
    assert "CPU, share of all cores" not in told(visit("run", id=run_id))


@pytest.mark.parametrize("left", ["clone", "runs"])
def test_back_to_a_run_finds_it_under_what_the_next_page_left_in_the_address(here, left):
    assert "took 30 s" in told(visit("run", **{left: finished(here)}))


def test_retry_is_a_run_of_its_own(here):
    run_id = finished(here)
    at = visit("run", id=run_id)
    at.button(key="retry").click().run()
    with database.opened(here) as db:
        (new,) = runs.queue(db)
    assert (new.cloned_from, new.name) == (run_id, "a run")


def test_stop_ends_a_waiting_run(here):
    run_id = create(here)
    visit("run", id=run_id).button(key="stop").click().run()
    with database.opened(here) as db:
        assert runs.get(db, run_id).status == "STOPPED"


@pytest.mark.parametrize("run_id", ["", "../../etc/passwd", "' OR 1=1", "0" * 12])
def test_an_unknown_run_gets_a_plain_page(here, run_id):
    assert "Not found" in told(visit("run", id=run_id))


def test_a_name_and_notes_are_edited_in_place(here):
    run_id = finished(here)
    at = opened(visit("run", id=run_id), "edit")
    at.text_input(key=f"edit-name-{run_id}").set_value("*new*")
    at.text_area(key=f"edit-notes-{run_id}").set_value("<b>why</b>")
    at.button(key="edit-save").click().run()
    assert "Saved." in [caption.value for caption in at.caption]
    assert not at.error
    with database.opened(here) as db:
        run = runs.get(db, run_id)
    assert (run.name, run.notes, run.tags) == ("*new*", "<b>why</b>", ("mine",))


def test_notes_that_someone_else_changed_meanwhile_are_not_lost(here):
    run_id = finished(here)
    at = opened(visit("run", id=run_id), "edit")
    with database.opened(here) as db:
        runs.edit(db, run_id, notes="theirs")
    at.text_area(key=f"edit-notes-{run_id}").set_value("mine")
    at.button(key="edit-save").click().run()
    assert "Someone else" in at.error[0].value
    assert at.text_area(key=f"edit-notes-{run_id}").value == "mine"
    with database.opened(here) as db:
        assert runs.get(db, run_id).notes == "theirs"


def test_a_deleted_run_is_gone_with_its_files(here):
    run_id = finished(here)
    folder = here / "runs" / run_id
    folder.mkdir(parents=True)
    (folder / "trainer.log").write_text("x")
    at = visit("run", id=run_id)
    assert "6 points" not in told(at)  # nobody asked yet
    opened(at, "delete-menu")
    assert "6 points and 1 file" in told(at)
    at.button(key="delete").click().run()
    assert not folder.exists()
    with database.opened(here) as db:
        assert runs.get(db, run_id) is None
        assert db.execute("SELECT count(*) FROM points").fetchone()[0] == 0


def test_curves_restore_from_the_address(here):
    at = visit("run", id=finished(here), x="clock", smooth="0.6", log="y")
    assert at.slider(key="smooth").value == 0.6
    assert not at.warning


def test_metrics_of_ones_own_are_grouped_by_what_is_before_a_slash(here):
    run_id = finished(here)
    with database.opened(here) as db:
        points = [Point(key, 30, 3.0, 140.0, 1.0) for key in ("gan/real", "gan/fake", "extra")]
        metrics.add(db, run_id, points)
    labels = [expander.label for expander in visit("run", id=run_id).expander]
    assert labels[-2:] == ["Other curves", "gan"]


def test_a_run_that_is_through_can_be_trained_on(here):
    run_id = finished(here)
    with database.opened(here) as db:
        runs.note_facts(db, run_id, {"checkpoint": 2})
    at = visit("run", id=run_id)
    assert at.text_input(key=f"resume-epochs-{run_id}").value == "20"
    at.button(key="resume").click().run()
    assert "cannot be resumed" in at.error[0].value  # this one left no checkpoint


def test_a_log_is_searched(here):
    run_id = finished(here)
    folder = here / "runs" / run_id
    folder.mkdir(parents=True)
    (folder / "trainer.log").write_text("one\nTWO here\nthree\n")
    at = visit("run", id=run_id)
    assert at.code[0].value == "one\nTWO here\nthree"
    at.text_input(key="log-search").set_value("two").run()
    assert at.code[0].value == "TWO here"
    assert "1 line" in told(at)


def test_files_of_a_run_are_listed(here):
    run_id = finished(here)
    folder = here / "runs" / run_id
    folder.mkdir(parents=True)
    (folder / "trainer.log").write_text("12345")
    row = visit("run", id=run_id, tab="Files").dataframe[0].value.iloc[0]
    assert (row["File"], row["Size"]) == ("trainer.log", "5 B")
    assert row["Download"] == f"/files/{run_id}/trainer.log"
