"""Links: what they mean for good, what is wrong with one, and the routes of the server."""

import io
import json
import threading
import time
import urllib.error
import urllib.request
import zipfile
from urllib.parse import parse_qs, quote, urlsplit

import pytest
import uvicorn
from starlette.applications import Starlette

from dashboard import links, run_columns, saved_views, server
from engine import transfer
from engine.settings import Settings
from storage import database, runs, views
from storage.views import View
from tests.dashboard.pages import create, finished, opened, told, visit
from tests.processes import free_port


@pytest.fixture(scope="module")
def site():
    """Our own routes over HTTP, without Streamlit's pages."""
    port = free_port()
    config = uvicorn.Config(Starlette(routes=list(server.ROUTES)), port=port, log_level="error")
    serving = uvicorn.Server(config)
    thread = threading.Thread(target=serving.run)
    thread.start()
    while not serving.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    serving.should_exit = True
    thread.join()


class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def get(address):
    """Status, headers and body; a redirect is not followed."""
    try:
        with urllib.request.build_opener(Stay).open(address, timeout=20) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def led(site, folder, page, state, version=1):
    """Where the short link of a view leads that lies in the store as an earlier day wrote it."""
    view = View("old00001", "an <old> view", page, version, state, "ann", 1.0)
    with database.opened(folder) as db:
        views.delete(db, view.id)
        views.put_back(db, view)
    status, headers, body = get(f"{site}/v/{view.id}")
    where = urlsplit(headers.get("location", ""))
    return status, where.path, parse_qs(where.query), body.decode()


def test_a_view_of_runs_that_version_1_saved_still_shows_them(here, site):
    """Written down as it was saved then, as are the two after it: never change these states."""
    base = finished(here, "one", framework="torch")
    finished(here, "two", framework="keras", seed=3)
    create(here, "late")
    state = {"q": ["mine"], "query": ["accuracy > 0.5"], "sort": ["-config.seed"],
             "columns": ["name", "last.train_loss", "config.seed", "accuracy"],
             "pinned": ["name"], "baseline": [base], "status": ["SUCCEEDED"],
             "framework": ["torch", "keras"], "accelerator": ["cpu"], "workload": ["mlp"],
             "tag": ["mine"], "since": ["2020-01-31"], "until": ["2100-01-01"],
             "archived": ["1"], "page": ["1"]}  # fmt: skip
    status, path, query, _ = led(site, here, "", state)
    assert (status, path, query) == (307, "/", state)
    del query["page"]
    at = visit(**query)
    assert not at.warning
    frame = at.dataframe[0].value
    assert list(frame["name"]) == ["two", "one"]
    assert list(frame.columns) == ["open", "name", "last.train_loss", "Δ last.train_loss",
                                   "config.seed", "accuracy", "Δ accuracy"]  # fmt: skip
    grouped = {"group": ["repeats"], "columns": ["name", "accuracy"]}
    _, _, query, _ = led(site, here, "", grouped)
    frame = visit(**query).dataframe[0].value
    assert list(frame["runs"]) == ["2 runs", "1 run"]


def test_a_view_of_compared_runs_that_version_1_saved_still_shows_them(here, site):
    ids = [finished(here, f"run {n}", seed=n) for n in range(3)]
    state = {"runs": ids, "metric": ["train_loss", "samples_per_s"], "x": ["time"], "log": ["1"],
             "full": ["1"], "base": [ids[1]], "end": ["last"], "sort": ["train_loss"],
             "key": ["seed"], "all": ["1"], "px": ["seed"], "py": ["metric.train_loss"],
             "dims": ["seed", "metric.train_loss"]}  # fmt: skip
    status, path, query, _ = led(site, here, "compare", state)
    assert (status, path, query) == (307, "/compare", state)
    at = visit("compare", **query)
    assert "link" not in " ".join(warning.value for warning in at.warning)
    assert at.multiselect(key="compare-metric").value == state["metric"]
    assert at.pills(key="compare-log").value == ["y"]
    assert at.toggle(key="compare-full").value
    assert at.selectbox(key="compare-base").value == ids[1]
    assert at.segmented_control(key="compare-end").value == "last"
    assert at.selectbox(key="compare-px").value == "seed"
    assert at.multiselect(key="compare-dims").value == state["dims"]


def test_a_view_of_a_run_that_version_1_saved_still_shows_it(here, site):
    run_id = finished(here)
    state = {"id": [run_id], "x": ["clock"], "smooth": ["0.6"], "log": ["y"], "tab": ["Files"]}
    status, path, query, _ = led(site, here, "run", state)
    assert (status, path, query) == (307, "/run", state)
    at = visit("run", **{name: values[0] for name, values in query.items()})
    assert not at.warning
    assert at.slider(key="smooth").value == 0.6
    assert "Download the whole run" in told(at)


def test_a_view_of_a_later_version_and_one_that_is_not_there_get_a_page_with_a_way_back(here, site):
    status, path, _, body = led(site, here, "", {"q": ["x"]}, views.VERSION + 1)
    assert (status, path) == (409, "")
    assert "later version" in body
    assert "an &lt;old&gt; view" in body
    assert "<a href='/'>All runs</a>" in body
    status, _, body = get(f"{site}/v/<b>nope")
    assert status == 404
    assert b"There is no view" in body
    assert b"<b>" not in body
    assert b"All runs" in body


def test_every_version_of_a_view_has_its_step_to_the_next():
    assert set(saved_views.UPGRADES) == set(range(1, views.VERSION))


@pytest.mark.parametrize("name", ["weights → 2.npz", 'a";b.txt', "ü.log"])
def test_a_file_of_any_name_is_downloaded_under_its_name(here, site, name):
    run_id = finished(here)
    folder = here / "runs" / run_id
    folder.mkdir(parents=True)
    (folder / name).write_text("its own")
    status, headers, body = get(f"{site}/files/{run_id}/{quote(name)}")
    assert (status, body) == (200, b"its own")
    named = f"attachment; filename*=UTF-8''{quote(f'{run_id}-{name}')}"
    assert headers["content-disposition"] == named


def test_a_whole_run_is_downloaded_and_imported_elsewhere(here, site, tmp_path):
    run_id = finished(here, "*far*")
    status, headers, body = get(f"{site}/export/{run_id}")
    assert status == 200
    assert f'filename="{run_id}.accelboard.zip"' in headers["content-disposition"]
    assert zipfile.ZipFile(io.BytesIO(body)).testzip() is None
    (tmp_path / "run.zip").write_bytes(body)
    there = Settings(store=tmp_path / "there")
    assert transfer.load(there, tmp_path / "run.zip", by="bob") == run_id
    waiting = create(here)
    status, _, body = get(f"{site}/export/{waiting}")
    assert (status, b"export it when it is over" in body) == (409, True)
    assert get(f"{site}/export/nope")[0] == 404
    assert get(f"{site}/files/{run_id}/nope")[0] == 404


def test_an_exported_run_is_imported_on_the_runs_page(here, tmp_path):
    run_id, file = finished(here, "*far*"), io.BytesIO()
    transfer.export(Settings(store=here), run_id, file)
    with database.opened(here) as db:
        runs.delete(db, run_id)
    at = opened(visit(), "import-menu")
    assert "does not travel with it" in told(at)
    at.file_uploader(key="import-file").set_value(("far.zip", b"nonsense", "application/zip")).run()
    at.button(key="import-run").click().run()
    assert "far.zip is no exported run" in at.error[0].value.replace("\\", "")
    far = ("far.zip", file.getvalue(), "application/zip")
    at.file_uploader(key="import-file").set_value(far).run()
    at.button(key="import-run").click().run()
    assert not at.error
    with database.opened(here) as db:
        assert runs.get(db, run_id).name == "*far*"


def test_a_run_of_another_version_that_was_imported_is_shown_on_every_page(here, tmp_path):
    """All that is asked of such a file, and no more: the least and the oddest that is let in."""
    run_id, other, file = finished(here), finished(here, seed=2), tmp_path / "run.zip"
    config = {"workload": {"name": "rnn"}, "dataset": {"name": "x"}, "framework": "jax",
              "accelerator": "npu", "epochs": 3, "batch_size": 1, "mesh": {"data": 2}}  # fmt: skip
    row = {"id": run_id, "name": "", "submitted_by": "a", "config": json.dumps(config),
           "workload": "rnn", "dataset": "x", "framework": "jax", "accelerator": "npu",
           "total_steps": 3, "status": "FAILED", "submitted_at": 0}  # fmt: skip
    about = {"format": "accelboard-run", "version": 1, "run": row, "tags": []}
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("run.json", json.dumps(about))
        archive.writestr(
            "metrics.jsonl", '["gan/real", 1, 0, 5, 1e308]\n["step_loss", 0, 0, 0, null]'
        )
        archive.writestr("readings.jsonl", '["moon", "warmth", 0, -1]\n["host", "cpu", 9e9, 1e300]')
    with database.opened(here) as db:
        runs.delete(db, run_id)
    assert transfer.load(Settings(store=here), file, by="bob") == run_id
    columns = [*run_columns.OWN, "accuracy", "config.epochs"]
    assert len(visit(columns=columns).dataframe[0].value) == 2
    assert len(visit(group="repeats").dataframe[0].value) == 2
    for tab in links.TABS:
        assert "could not be shown" not in told(visit("run", id=run_id, tab=tab))
    visit("compare", runs=[run_id, other], x="clock", group="framework")
    visit("new_run", clone=run_id)


@pytest.mark.parametrize(
    ("page", "query", "sentence"),
    [
        ("runs", {"columns": ["foo", "name"]}, "'columns' must be a column, a metric or a key"),
        ("runs", {"pinned": "took", "columns": "name"}, "'pinned' must be a column that is shown"),
        ("runs", {"tag": "gone"}, "No run has the tag 'gone', which the link asks for."),
        ("runs", {"workload": "gone"}, "No run has the workload 'gone'"),
        ("run", {"log": "z"}, "'log' must be one of x, y, got 'z'"),
        ("run", {"hide": "nothing"}, "'hide' must be a curve of this run, got 'nothing'"),
        ("run", {"tab": "Secrets"}, "'tab' must be one of Log, Performance"),
        ("compare", {"x": "weeks"}, "'x' must be one of epoch, step, time, clock, got 'weeks'"),
        ("compare", {"log": "z"}, "'log' must be one of x, y, got 'z'"),
        ("compare", {"base": "nobody"}, "'base' must be one of the runs compared"),
        ("compare", {"metric": "foo"}, "'metric' must be a metric of these runs, got 'foo'"),
        ("compare", {"dims": ["seed", "?"]}, "'dims' must be a parameter or a metric"),
        ("study", {"cpu": "cheap"}, "'cpu' must be a price from 0 to a million, got 'cheap'"),
    ],
)
def test_what_a_link_cannot_mean_is_said_once(here, page, query, sentence):
    ids = [finished(here, f"run {n}", seed=n) for n in range(2)]
    of = {"run": {"id": ids[0]}, "compare": {"runs": ids}, "study": {"id": ids[0]}}
    at = visit(page, **of.get(page, {}), **query)
    said = [w.value.replace("\\", "").replace("\u2060", "") for w in at.warning]
    assert len([one for one in said if sentence in one]) == 1


def test_a_column_that_means_nothing_is_no_column(here):
    finished(here)
    at = visit(columns=["foo", "name", "last.train_loss", "config.rotor"])
    assert list(at.dataframe[0].value.columns) == [
        "open",
        "name",
        "last.train_loss",
        "config.rotor",
    ]


def test_a_filter_that_no_run_passes_stays_when_the_menu_opens(here):
    finished(here)
    at = opened(visit(tag="gone"), "filter-menu")
    assert at.multiselect(key="filter-tag").value == ["gone"]
    assert at.query_params["tag"] in ("gone", ["gone"])


def test_a_search_of_the_log_is_in_the_address(here):
    run_id = finished(here)
    folder = here / "runs" / run_id
    folder.mkdir(parents=True)
    (folder / "trainer.log").write_text("one\nTWO here\nthree\n")
    at = visit("run", id=run_id, **{"log-search": "two"})
    assert at.code[0].value == "TWO here"


@pytest.mark.parametrize("page", ["run", "hardware", "new_run", "compare"])
def test_each_page_that_has_a_state_can_be_saved_as_a_view(here, page):
    query = {"id": finished(here), "x": "time"} if page == "run" else {}
    at = opened(visit(page, **query), "views-menu")
    at.text_input(key="view-name").set_value("mine").run()
    at.button(key="save-view").click().run()
    path = page.replace("new_run", "new")
    with database.opened(here) as db:
        (view,) = views.of_page(db, path)
    assert saved_views.address(view).startswith(f"/{path}")
    assert ("x=time" in saved_views.address(view)) == (page == "run")
    assert f"/v/{view.id}" in told(at)


def test_a_view_is_renamed_under_its_link_and_no_two_of_a_page_have_one_name(here):
    create(here)
    with database.opened(here) as db:
        first, _ = (views.create(db, name=n, page="", state={}, by="ann") for n in ("one", "two"))
        assert views.create(db, name="One", page="", state={}, by="ann") is None
        assert views.create(db, name="one", page="compare", state={}, by="ann")
    at = opened(visit(), "views-menu")
    at.text_input(key="view-name").set_value("two").run()
    at.button(key="save-view").click().run()
    assert "There is a view 'two' already" in at.error[0].value.replace("\\", "")
    at.button(key=f"view-rename-{first}").click().run()
    at.text_input(key=f"view-new-name-{first}").set_value("Two").run()
    at.button(key="view-rename").click().run()
    assert "There is a view 'Two' already" in at.error[0].value.replace("\\", "")
    at.text_input(key=f"view-new-name-{first}").set_value("ONE").run()
    at.button(key="view-rename").click().run()
    assert "[ONE](" in told(at)
    with database.opened(here) as db:
        assert views.get(db, first).name == "ONE"


def test_a_removed_view_comes_back_unless_its_name_was_taken_meanwhile(here):
    create(here)
    with database.opened(here) as db:
        first = views.create(db, name="one", page="", state={}, by="ann")
    at = opened(visit(), "views-menu")
    at.button(key=f"view-delete-{first}").click().run()
    with database.opened(here) as db:
        second = views.create(db, name="ONE", page="", state={}, by="bob")
    at.button(key="view-undo").click().run()
    assert "There is a view 'one' already" in at.error[0].value.replace("\\", "")
    with database.opened(here) as db:
        assert views.get(db, first) is None
        views.delete(db, second)
    at.button(key="view-undo").click().run()
    with database.opened(here) as db:
        assert views.get(db, first).name == "one"


def test_a_short_link_begins_with_the_public_address(here, monkeypatch):
    monkeypatch.setenv("ACCELBOARD_PUBLIC_ADDRESS", "https://boards.example/accel")
    create(here)
    with database.opened(here) as db:
        view_id = views.create(db, name="n", page="", state={}, by="ann")
    assert f"](https://boards.example/accel/v/{view_id})" in told(opened(visit(), "views-menu"))


def test_a_view_beyond_the_first_is_found_by_a_part_of_its_name(here):
    create(here)
    with database.opened(here) as db:
        for number in range(130):
            views.create(db, name=f"view {number:03} 100%", page="", state={}, by="ann")
    at = opened(visit(), "views-menu")
    assert "30 of 130 views" in told(at).replace("\\", "")
    at.text_input(key="view-find").set_value(" 129 100% ").run()
    assert "view 129" in told(at)
    assert "No view" not in told(at)
    assert "view 000" not in told(at)


def test_a_closed_menu_of_views_asks_nothing_of_the_store(here):
    create(here)
    at = visit()
    assert not [box for box in at.text_input if box.key == "view-name"]


def test_a_colleagues_tag_outlives_an_edit_and_reopening_shows_their_notes(here):
    run_id = finished(here)
    at = opened(visit("run", id=run_id), "edit")
    with database.opened(here) as db:
        runs.edit(db, run_id, notes="theirs", tags=["mine", "colleague's"])
    at.text_input(key=f"edit-name-{run_id}").set_value("new")
    at.multiselect(key=f"edit-tags-{run_id}").set_value([])
    at.button(key="edit-save").click().run()
    assert not at.error
    with database.opened(here) as db:
        run = runs.get(db, run_id)
    assert (run.name, run.tags, run.notes) == ("new", ("colleague's",), "theirs")
    at.session_state["edit"] = False
    at.run()
    at = opened(at, "edit")
    assert at.text_area(key=f"edit-notes-{run_id}").value == "theirs"
    at.text_area(key=f"edit-notes-{run_id}").set_value("both")
    at.button(key="edit-save").click().run()
    assert not at.error
    with database.opened(here) as db:
        assert runs.get(db, run_id).notes == "both"


def test_a_name_that_someone_else_changed_meanwhile_is_not_overwritten(here):
    run_id = finished(here)
    at = opened(visit("run", id=run_id), "edit")
    with database.opened(here) as db:
        runs.edit(db, run_id, name="their name")
    at.text_input(key=f"edit-name-{run_id}").set_value("my name")
    at.button(key="edit-save").click().run()
    assert "changed the name" in at.error[0].value
    with database.opened(here) as db:
        assert runs.get(db, run_id).name == "their name"


@pytest.mark.parametrize(
    ("choices", "wanted"),
    [(("1",), "1"), (("a", "b"), "one of a, b"), (("a", "b", ""), "one of a, b"), ((), "")],
)
def test_what_a_parameter_may_be_is_told_without_a_choice_that_is_empty(choices, wanted):
    assert links.one_of(choices)[1] == wanted
