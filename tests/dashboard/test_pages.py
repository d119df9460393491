"""Each page as a script: what it says and does with each kind of address. No browser."""

import re

import pytest
from streamlit.testing.v1 import AppTest

from dashboard import host, links, saved_views, server, words
from engine.config import RunConfig
from engine.tpu import program
from engine.tpu.check import TpuCheck
from storage import alerts, database, metrics, readings, run_list, runs, tpu_checks, views
from storage.metrics import Point
from storage.readings import Reading
from storage.run_list import Wanted
from tests.processes import eventually


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A store of its own, whose supervisor lock this test holds, so that nothing is started."""
    from engine import supervision

    monkeypatch.setenv("ACCELBOARD_STORE", str(tmp_path))
    database.prepare(tmp_path)
    with supervision.locked(tmp_path):
        yield tmp_path


def create(folder, name="a run", tags=("mine",), **fields):
    config = RunConfig.parse(fields)
    with database.opened(folder) as db:
        return runs.create(
            db,
            name=name,
            config=config.model_dump(mode="json"),
            total_steps=config.total_steps,
            submitted_by="test",
            tags=tags,
        )


def finished(folder, name="a run", devices=None, epoch_s=None, **fields):
    """A run with two epochs of points."""
    run_id = create(folder, name, **fields)
    points = [
        Point(key, step, step / 10, 100.0 + step, value)
        for step, value in ((10, 0.5), (20, 0.8))
        for key in ("train_loss", "validation_accuracy", "samples_per_s")
    ]
    if epoch_s:
        for step in (10, 20):
            points.append(Point("step_loss", step, step / 10, 100.0 + step, 1.0))
            points.append(Point("epoch_s", step, step / 10, 100.0 + step, epoch_s))
    with database.opened(folder) as db:
        runs.claim(db, run_id, host="here", devices=devices or [DEVICE], now=100.0)
        metrics.ingest(db, run_id, points, last_seq=6, offset=60)
        runs.finish(db, run_id, "SUCCEEDED", finished_at=130.0)
    return run_id


DEVICE = {"id": "cpu:0", "name": "A CPU", "accelerator": "cpu", "found_by": "a test"}
GPU = {"id": "gpu:0", "name": "A GPU", "accelerator": "gpu", "found_by": "a test"}


def visit(page="runs", **query):
    at = AppTest.from_file(str(server.NAVIGATION), default_timeout=30)
    for name, value in query.items():
        at.query_params[name] = value
    at.run()
    if page != "runs":
        at.switch_page(str(server.NAVIGATION.parent / f"{page}.py"))
        if page == "compare":
            at.session_state["compare-drawn"] = {"drawn": True}  # as a browser tells it
        for name, value in query.items():
            at.query_params[name] = value
        at.run()
    assert not at.exception
    return at


def opened(at, menu):
    """The page with that menu open."""
    at.session_state[menu] = True
    return at.run()


def told(at):
    """All that the page says in words."""
    elements = (at.markdown, at.caption, at.error, at.info, at.warning, at.text, at.code)
    spoken = [element.value for kind in elements for element in kind]
    return " ".join([*spoken, *(html.proto.body for html in at.get("html"))])


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


def test_the_first_visit_leads_to_the_first_run(here):
    at = visit()
    assert "No runs yet" in told(at)
    assert at.button(key="first-run").label == "Configure the first run"


def test_each_page_has_a_path_that_the_server_knows(here):
    visit()  # in which Streamlit makes the pages
    from dashboard import pages

    assert {page.url_path for page in pages.ALL} == set(links.PAGES)


def test_runs_are_listed_newest_first_with_their_figures(here):
    older, newer = finished(here, "older"), create(here, "newer", framework="keras")
    frame = visit().dataframe[0].value
    assert list(frame["open"]) == [newer, older]
    assert list(frame["status"]) == ["◔ Pending", "✓ Succeeded"]
    assert frame["accuracy"][1] == pytest.approx(80.0)  # %
    assert frame["took"][1] == "30 s"


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"q": "OLD mine"}, ["older"]),
        ({"status": ["PENDING"]}, ["newer"]),
        ({"framework": ["keras"]}, ["newer"]),
    ],
)
def test_filters_are_in_the_address(here, query, names):
    finished(here, "older")
    create(here, "newer", framework="keras")
    assert list(visit(**query).dataframe[0].value["name"]) == names


def test_the_data_set_is_a_column_where_runs_have_several(here):
    create(here)
    assert "dataset" not in visit().dataframe[0].value
    create(here, dataset={"name": "synthetic"})
    assert list(visit().dataframe[0].value["dataset"]) == ["synthetic", "fashion_mnist"]


def test_no_match_is_said_in_words(here):
    create(here)
    assert "No run matches" in told(visit(q="nothing like it"))


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


def test_the_form_begins_with_the_patterns_defaults(here):
    at = visit("new_run")
    values = {name: at.text_input(key=f"new.{name}").value for name in ("epochs", "batch_size")}
    assert values == {"epochs": "10", "batch_size": "128"}
    assert "GPU" in told(at)  # what this host lacks is named, with its reason


def test_another_framework_brings_its_batch_size_unless_one_was_chosen(here):
    at = visit("new_run")
    at.segmented_control(key="new.framework").set_value("keras").run()
    assert at.text_input(key="new.batch_size").value == "32"
    at.text_input(key="new.batch_size").set_value("100").run()
    at.segmented_control(key="new.framework").set_value("torch").run()
    assert at.text_input(key="new.batch_size").value == "100"


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("epochs", "0", "Epochs must be between 1 and 100,000, got 0."),
        ("epochs", "1000000000", "Epochs must be between 1 and 100,000, got 1,000,000,000."),
        ("epochs", "1e9", "Epochs must be a whole number, got '1e9'."),
        ("epochs", "", "Epochs must be a whole number, got nothing."),
        ("batch_size", "60001", "Batch size 60,001 is larger than"),
        ("batch_size", "1,000", "Batch size must be a whole number, got '1,000'."),
        ("learning_rate", "0", "Learning rate must be above 0 and at most 1,000, got 0."),
        ("learning_rate", "1e9", "Learning rate must be above 0"),
        ("learning_rate", "", "Learning rate must be a finite number, got nothing."),
        ("seed", "-1", "Seed must be between 0"),
        ("count", "", "Devices must be a count or ids"),
        ("count", "9" * 5000, "9"),
        ("workload.width", "wide", "Width must be a whole number, got 'wide'."),
        ("priority", "", "Priority must be a whole number, got nothing."),
    ],
)
def test_a_bad_value_gets_its_sentence_and_nothing_is_written(here, field, value, sentence):
    at = visit("new_run")
    at.text_input(key=f"new.{field}").set_value(value).run()
    assert at.button(key="start").disabled
    assert words.plain(sentence) in at.error[0].value
    assert at.text_input(key=f"new.{field}").value == value
    with database.opened(here) as db:
        assert runs.queue(db) == []


@pytest.mark.parametrize("name", ["<b>x</b>", "two\nlines", "🚀", "' OR 1=1", ""])
def test_odd_names_are_kept(here, name):
    at = visit("new_run")
    at.text_input(key="new.name").set_value(name).run()
    at.button(key="start").click().run()
    with database.opened(here) as db:
        (run,) = runs.queue(db)
    assert run.name == (name or "mlp, PyTorch on CPU")


def test_an_address_the_form_cannot_take_waits_until_it_is_accepted(here):
    at = visit("new_run", epohcs="3", epochs="2")
    assert "Did you mean" in at.error[0].value
    assert at.button(key="start").disabled
    at.button(key="accept").click().run()
    assert not at.error
    assert at.text_input(key="new.epochs").value == "2"


def test_a_cpu_is_divided_by_the_form_and_by_its_address_and_is_labelled(here):
    at = visit("new_run", devices="4", batch_size="128")
    assert at.text_input(key="new.count").value == "4"
    assert "4 virtual devices on one CPU: it exercises the code" in told(at)
    at.text_input(key="new.count").set_value("2").run()
    assert at.query_params["devices"] in ("2", ["2"])
    at.button(key="start").click().run()
    with database.opened(here) as db:
        (run,) = runs.queue(db)
    assert (run.config["devices"], run.name) == (2, "mlp, PyTorch on 2 virtual devices on one CPU")


def test_a_number_of_devices_that_cannot_share_the_batch_is_refused_in_a_sentence(here):
    at = visit("new_run", devices="3")
    assert "Batch size 128 cannot be shared evenly by 3 devices" in at.error[0].value


def test_a_loaders_settings_are_in_the_form_and_in_the_address(here):
    at = visit("new_run", input="host_loader", loader_workers="2", loader_prefetch="4")
    assert not at.error
    at.text_input(key="new.loader_workers").set_value("3").run()
    assert at.query_params["loader_workers"] in ("3", ["3"])
    at.selectbox(key="new.input").set_value("device_resident").run()
    assert not at.error
    at.selectbox(key="new.input").set_value("host_loader").run()
    assert at.text_input(key="new.loader_prefetch").value == "4"
    at.button(key="start").click().run()
    with database.opened(here) as db:
        (run,) = runs.queue(db)
    asked = {name: run.config[name] for name in ("input", "loader_workers", "loader_prefetch")}
    assert asked == {"input": "host_loader", "loader_workers": 3, "loader_prefetch": 4}


def test_a_clone_of_no_run_gets_a_plain_page(here):
    assert "no run to clone" in told(visit("new_run", clone="nope")).replace("\\", "")


def test_hardware_names_what_is_here_and_why_the_rest_is_not(here):
    at = visit("hardware")
    said = told(at)
    assert "Frameworks" in said
    for accelerator in host.hardware().missing:
        assert f"No {accelerator.upper()}" in said
    assert "Memory used" in said  # of the host, at this moment


def test_a_store_that_cannot_be_read_is_said_in_words(here, monkeypatch):
    (here / database.FILE_NAME).write_bytes(b"this is no database, and never was" * 100)
    assert "file is not a database" in visit().error[0].value


# As its Markdown turns them into one sign each.
STREAMLIT_SIGNS = re.compile(r"(^|\s)(<->|->|<-|--|>=|<=|~=)(\s|$)")


@pytest.mark.parametrize("text", ["a <= b", "1 -> 2", "-- dashes", "x <-> y", "q ~= z", ">="])
def test_plain_keeps_signs_from_becoming_others_and_a_time_as_it_can_be_copied(text):
    assert not STREAMLIT_SIGNS.search(words.plain(text).replace("\\", ""))
    assert "T09:30," in words.plain("2025-01-31T09:30, or 7d").replace("\\", "")
    assert ":smile:" not in words.plain(":smile:").replace("\\", "")


@pytest.mark.parametrize("text", ["**b**", "[l](http://x)", "$x$", ":smile:", "<b>", "a\nb", "`c`"])
def test_plain_leaves_no_mark_of_markdown_bare(text):
    escaped = words.plain(text)
    bare = [c for i, c in enumerate(escaped) if c in "*[]()$:<>`" and escaped[i - 1] != "\\"]
    assert bare == []
    assert "\n" not in escaped


def checked(folder, **fields):
    """What a TPU check of the default run found, or of one that differs in these fields."""
    found = {
        **{"program": program.key(RunConfig.parse({})), "topology": "v5e:2x2", "chips": 1},
        **{"precision": "fp32", "compiler": "libtpu 0", "compiles": True, "message": None},
        **{"hbm_bytes": 2**30, "hbm_available_bytes": 2**34, "beside_bytes": 0},
        **{"flops": 5e9, "bytes": 2_000_000},
        **{"bound_s": 2.5e-5, "binds": "compute", "compile_s": 1.0, **fields},
    }
    with database.opened(folder) as db:
        tpu_checks.put(db, found["program"], "v5e:2x2", 100.0, TpuCheck(**found).as_json())


@pytest.mark.parametrize("page", ["run", "new_run"])
def test_a_tpu_check_is_shown_for_every_run_with_the_same_program(here, page):
    checked(here)
    tab = {"id": finished(here, seed=5), "tab": "TPU check"} if page == "run" else {}
    at = visit(page, **tab)
    figures = {metric.label: metric.value for metric in at.metric}
    assert figures["HBM needed, of 16.00 GiB"] == "1.00 GiB"
    assert figures["Step time, at least"] == "25 µs"
    assert (figures["FLOPs a step"], figures["HBM traffic a step"]) == ("5 GFLOP", "2 MB")
    assert words.plain("a bound, not a prediction") in told(at)
    assert "Compiles and fits" in told(at)


def test_a_program_that_compiles_and_does_not_fit_beside_its_data_set_says_so(here):
    checked(here, hbm_bytes=2**34 + 2**33, beside_bytes=2**33)
    at = visit("run", id=finished(here), tab="TPU check")
    assert "Compiles, and does not fit" in told(at)
    held = "8.00 GiB of the HBM are the data set as it was loaded"
    assert words.plain(held) in told(at)


def test_what_the_tpus_compiler_says_is_shown_as_it_is(here):
    checked(here, compiles=False, message="no <b>room</b>", flops=None, bytes=None, bound_s=None,
            binds=None)  # fmt: skip
    at = visit("run", id=finished(here), tab="TPU check")
    assert "no <b>room</b>" in [code.value for code in at.code]
    assert "Does not compile" in told(at)
    assert {metric.label: metric.value for metric in at.metric}["Step time, at least"] == "—"


def test_a_run_that_was_not_checked_says_how(here):
    at = visit("run", id=finished(here), tab="TPU check")
    assert "no TPU is needed" in told(at)
    assert at.button(key="tpu-check").label == "Check for TPU"


def test_a_tpu_check_that_cannot_be_made_says_why_in_a_sentence(here, monkeypatch):
    monkeypatch.setenv("ACCELBOARD_PYTHON_TPU_CHECK", "/nowhere/python")
    at = visit("new_run")
    at.button(key="tpu-check").click().run()
    eventually(lambda: at.run().error)
    assert "is no interpreter" in words.plain(at.error[0].value).replace("\\", "")
    assert not at.button(key="tpu-check").disabled


def test_a_query_sorts_and_columns_are_in_the_address(here):
    finished(here, "one", seed=1)
    finished(here, "two", seed=2)
    create(here, "three")
    at = visit(query="accuracy > 0.5", sort="config.seed", columns=["name", "config.seed"])
    frame = at.dataframe[0].value
    assert list(frame.columns) == ["open", "name", "config.seed"]
    assert list(frame["name"]) == ["one", "two"]


def test_a_bad_query_is_said_in_words(here):
    create(here)
    assert "Did you mean" in visit(query="acuracy > 1").error[0].value


def test_groups_tell_mean_and_spread(here):
    finished(here, "one", seed=1)
    finished(here, "two", seed=2)
    frame = visit(group="repeats").dataframe[0].value
    assert list(frame["runs"]) == ["2 runs"]
    assert frame["accuracy"][0] == "80.0 % ± 0.0 %"


def test_figures_are_shown_with_their_distance_from_the_baseline(here):
    base = finished(here)
    frame = visit(baseline=base, columns=["accuracy"]).dataframe[0].value
    assert list(frame["Δ accuracy"]) == ["±0"]
    assert "so there is no baseline" in told(visit(baseline="nope"))


def test_archived_runs_are_shown_when_asked_for(here):
    with database.opened(here) as db:
        runs.set_archived(db, finished(here, "old"), True)
    assert "No run matches" in told(visit())
    assert list(visit(archived="1").dataframe[0].value["name"]) == ["old"]


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


def test_a_saved_view_leads_to_the_state_it_was_saved_in(here):
    create(here)
    at = opened(visit(q="x", status=["PENDING", "FAILED"]), "views-menu")
    at.text_input(key="view-name").set_value("mine").run()
    at.button(key="save-view").click().run()
    with database.opened(here) as db:
        (view,) = views.of_page(db, "")
    assert saved_views.address(view) == "/?q=x&status=PENDING&status=FAILED"


def test_a_view_of_a_later_version_leads_nowhere():
    later = views.View("a", "n", "", views.VERSION + 1, {}, "ann", 1.0)
    assert saved_views.address(later) is None


def test_links_saved_by_the_first_version_keep_working(here):
    """Written down as they were saved then: never change this state."""
    finished(here, "one", framework="torch")
    state = {"query": ["accuracy > 0.5"], "sort": ["-accuracy"], "framework": ["torch"],
             "columns": ["name", "last.train_loss", "config.seed"], "archived": ["1"]}  # fmt: skip
    frame = visit(**state).dataframe[0].value
    assert list(frame.columns) == ["open", "name", "last.train_loss", "config.seed"]
    assert list(frame["name"]) == ["one"]


@pytest.mark.parametrize(
    ("page", "query", "sentence"),
    [
        ("runs", {"status": "FOO"}, "must be one of PENDING"),
        ("runs", {"archived": "yes"}, "must be 1, got 'yes'"),
        ("run", {"x": "weeks"}, "must be one of epoch, step, time, clock, got 'weeks'"),
        ("run", {"smooth": "lots"}, "must be a number from 0 to 0.99, got 'lots'"),
        ("run", {"smooth": "nan"}, "got 'nan'"),
    ],
)
def test_what_a_link_cannot_mean_is_said_and_left_out(here, page, query, sentence):
    run_id = finished(here)
    at = visit(page, **({"id": run_id} if page == "run" else {}), **query)
    assert sentence in at.warning[0].value.replace("\\", "").replace("\u2060", "")
    assert len(at.dataframe) >= (page == "runs")


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


def test_rows_of_a_long_list_stay_until_the_reader_asks_for_the_new_ones(here, monkeypatch):
    from dashboard import run_table  # not sooner: pages are made in a script run

    first = [create(here, f"run {number}") for number in range(20)][::-1]
    state = {}
    monkeypatch.setattr(run_table.st, "session_state", state)
    with database.opened(here) as db:
        found = run_list.page(db, Wanted(), limit=100).runs
        assert run_table._kept(db, found) == (found, False)
        late = create(here, "late")
        found = run_list.page(db, Wanted(), limit=100).runs
        kept, changed = run_table._kept(db, found)
        assert ([run.id for run in kept], changed) == (first, True)
        state.clear()
        kept, changed = run_table._kept(db, found)
    assert ([run.id for run in kept], changed) == ([late, *first], False)


def test_views_that_are_saved_and_deleted_are_noted_with_who_did(here):
    create(here)
    at = opened(visit(q="x"), "views-menu")
    at.text_input(key="view-name").set_value("mine").run()
    at.button(key="save-view").click().run()
    with database.opened(here) as db:
        (view,) = views.of_page(db, "")
    at.run()
    at.button(key=f"view-delete-{view.id}").click().run()
    noted = (here / "changes.log").read_text()
    assert f"saved view {view.id}." in noted
    assert f"deleted view {view.id}." in noted
    at.button(key="view-undo").click().run()
    with database.opened(here) as db:
        assert views.of_page(db, "") == [view]
