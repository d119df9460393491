"""Each page as a script: what it says and does with each kind of address. No browser."""

import pytest

from dashboard import host, links, saved_views
from storage import database, run_list, runs, views
from storage.run_list import Wanted
from tests.dashboard.pages import create, finished, opened, told, visit


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
