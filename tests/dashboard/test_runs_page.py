"""The Runs page as a script: pages, filters, groups, bulk actions, files. No browser."""

import time
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from dashboard import downloads, run_columns
from dashboard.words import plain
from storage import database, metrics, references, runs, studies
from storage.metrics import Point
from tests.dashboard.pages import create, finished, opened, told, visit

DASHBOARD = Path(run_columns.__file__).parent


def names(at):
    return list(at.dataframe[0].value["name"])


def select(at, *run_ids):
    """As a reader does; the table is a new one, for it keeps a selection itself."""
    at.session_state["selected"] = list(run_ids)
    at.session_state["selection-turn"] = 1


def tags(folder, run_id):
    with database.opened(folder) as db:
        return runs.get(db, run_id).tags


def test_no_table_is_shown_without_its_download():
    bare = [
        path.name
        for path in DASHBOARD.rglob("*.py")
        if path.name != "tables.py" and ("st.dataframe(" in path.read_text("utf-8"))
    ]
    assert bare == []


def test_a_page_that_is_not_there_is_the_last_one(here):
    create(here, "only")
    at = _visit_page("50")
    assert names(at) == ["only"]
    assert "page" not in at.query_params


@pytest.mark.parametrize(
    ("number", "text", "sentence"),
    [("9" * 5_000, "only", "must be a whole number"), ("1", "x" * 60_000, "characters at most")],
)
def test_what_is_too_long_in_an_address_is_said_in_a_sentence(here, number, text, sentence):
    create(here, "only")
    assert sentence in told(_visit_page(number, q=text))


def test_runs_of_summer_and_winter_each_show_the_time_of_their_own_clock(here, monkeypatch):
    with database.opened(here) as db:
        for month, run_id in ((1, create(here, "winter")), (7, create(here, "summer"))):
            noon_utc = datetime(2025, month, 8, 12, tzinfo=UTC).timestamp()
            db.execute("UPDATE runs SET submitted_at = ? WHERE id = ?", [noon_utc, run_id])
        db.commit()
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        shown = visit().dataframe[0].value["submitted"]
    finally:
        monkeypatch.undo()
        time.tzset()
    assert [at.strftime("%d.%m. %H:%M") for at in shown] == ["08.07. 14:00", "08.01. 13:00"]
    assert shown.dt.tz is None  # of two zones in one column, the browser would show the first


def _visit_page(number, **query):
    from streamlit.testing.v1 import AppTest

    from dashboard import server

    at = AppTest.from_file(str(server.NAVIGATION), default_timeout=30)
    at.query_params["page"] = number
    for name, value in query.items():
        at.query_params[name] = value
    at.run()
    assert not at.exception
    return at


def test_another_search_begins_at_its_first_page_and_with_nothing_selected(here):
    made = [create(here, f"run {number}") for number in range(101)]
    at = _visit_page("2")
    assert names(at) == ["run 0"]
    at.session_state["selected"] = made[:2]
    at.text_input(key="query").set_value("name ~ run").run()
    assert len(names(at)) == 100
    assert at.session_state["selected"] == []


def test_filters_are_cleared_at_once(here):
    finished(here, "one")
    at = visit(status=["FAILED"], q="x", device=["A CPU"])
    assert "No run matches" in told(at)
    at.button(key="clear-filters").click().run()
    assert names(at) == ["one"]
    assert not at.query_params.get("status")
    assert "clear-filters" not in {button.key for button in at.button}


def test_a_device_is_filtered_by_its_name(here):
    finished(here, "on a CPU")
    create(here, "waits")
    assert names(visit(device=["A CPU"])) == ["on a CPU"]


@pytest.mark.parametrize("by", ["tag", "host", "failure", "priority", "config.workload.width"])
def test_runs_are_grouped_by_any_column_or_key(here, by):
    finished(here, "one", seed=1)
    finished(here, "two", seed=2)
    base = finished(here, "three", seed=3)
    at = visit(group=by, baseline=base, columns=["took", "accuracy", "config.seed", "name"])
    row = at.dataframe[0].value.iloc[0]
    assert row["runs"] == "3 runs"
    assert (row["took"], row["accuracy"]) == ("30 s ± 0.0 s", "80.0 % ± 0.0 %")
    assert (row["config.seed"], row["Δ accuracy"]) == ("2 ± 1", "±0")
    assert "name" not in row


def test_runs_are_grouped_by_several_columns(here):
    for seed, framework in enumerate(("torch", "torch", "keras")):
        finished(here, f"run {seed}", seed=seed, framework=framework, epochs=2 + seed // 2)
    at = visit(group=["framework", "config.epochs"], columns=["accuracy"])
    frame = at.dataframe[0].value
    by = zip(frame["by framework"], frame["by config.epochs"], frame["runs"], strict=True)
    assert set(by) == {("PyTorch", "2", "2 runs"), ("Keras/TensorFlow", "3", "1 run")}
    opened(at, "show-menu")
    assert at.multiselect(key="filter-group").value == ["framework", "config.epochs"]
    at.multiselect(key="filter-group").set_value(["framework"]).run()
    assert at.query_params["group"] == "framework"
    assert list(at.dataframe[0].value.columns) == ["by framework", "runs", "accuracy"]


def test_all_that_is_found_is_selected_archived_and_restored(here):
    made = [create(here, f"run {number}") for number in range(101)]
    at = visit()
    at.button(key="select-all").click().run()
    assert set(at.session_state["selected"]) == set(made)
    assert "101 selected" in told(at)
    at.button(key="archive-selected").click().run()
    assert "101 archived runs would: Filter, Archived runs too" in told(visit())
    with database.opened(here) as db:
        assert all(runs.get(db, run_id).archived for run_id in made)


def test_tags_of_selected_runs_are_added_and_removed_beside_those_of_others(here):
    first, second = create(here, "one"), create(here, "two")
    at = visit()
    select(at, first, second)
    at.session_state["tag-selected-menu"] = True
    at.run()
    with database.opened(here) as db:
        runs.add_tags(db, first, ["theirs"])
    at.text_input(key="tag-selected-text").set_value("new").run()
    at.button(key="tag-selected").click().run()
    assert [toast.value for toast in at.toast] == ["2 runs tagged\\."]
    assert tags(here, first) == ("mine", "new", "theirs")
    assert tags(here, second) == ("mine", "new")
    at.session_state["tag-selected-menu"] = True
    at.run()
    at.multiselect(key="untag-selected-tags").set_value(["mine"]).run()
    at.button(key="untag-selected").click().run()
    assert tags(here, first) == ("new", "theirs")


def test_a_deletion_says_what_stays_and_deletes_the_rest(here):
    gone, stays = finished(here, "over"), create(here, "waits")
    at = visit()
    select(at, gone, stays)
    opened(at, "delete-selected-menu")
    said = told(at)
    assert "6 points" in said
    assert "1 run of those selected is active and not deleted" in said
    at.button(key="delete-selected").click().run()
    with database.opened(here) as db:
        assert runs.get(db, gone) is None
        assert runs.get(db, stays) is not None


def test_what_was_deleted_is_selected_no_longer(here):
    first, second, third = (finished(here, name) for name in ("one", "two", "three"))
    at = visit()
    select(at, first, second)
    opened(at, "delete-selected-menu")
    at.button(key="delete-selected").click().run()
    assert names(at) == ["three"]
    assert at.session_state["selected"] == []
    assert "selected" not in told(at)
    select(other := visit(), second, third)  # a colleague's, who has not deleted anything
    other.run()
    assert other.session_state["selected"] == [third]


def test_a_deletion_of_very_many_runs_names_the_studies_and_jobs_of_all_that_go(here):
    made = [create(here, f"run {number}") for number in range(202)]
    with database.opened(here) as db:
        for run_id in made[1:]:
            runs.finish(db, run_id, "STOPPED", finished_at=1.0)
        study = studies.create(db, name="which", kind="run_on", question={}, predicted_s=None,
                               submitted_by="ann")  # fmt: skip
        for run_id in made[:3]:  # the first of them waits, and stays
            studies.add(db, study, run_id, "arm", 1, False)
        references.create(db, name="nightly", run_id=made[-1], config={}, by="ann", now=1.0)
    at = visit()
    select(at, *made)
    opened(at, "delete-selected-menu")
    said = told(at).replace("\\", "")
    assert f"{len(made) - 1:,} runs with all their points" in said
    assert "Study 'which' loses 2 of its 3 runs." in said
    assert "Reference job 'nightly' loses 1 of its 1 repeat." in said


def test_a_file_of_runs_has_values_as_they_are(here):
    base = finished(here, "base", seed=1)
    with database.opened(here) as db:
        run = runs.get(db, base)
    words = ("status", "took", "speed", "accuracy", "last.learning_rate", "config.seed", "tags")
    row = run_columns.raw(run, words, run)
    assert (row["status"], row["took_s"], row["delta_took_s"]) == ("SUCCEEDED", 30.0, 0.0)
    assert row["best_validation_accuracy"] == 0.8
    assert row["delta_best_validation_accuracy"] == 0.0
    assert (row["config.seed"], row["tags"]) == (1, ["mine"])
    assert run_columns.title("best.learning_rate") == "Last learning rate"
    frame = pd.DataFrame([row, row | {"config.seed": "cpu:0"}])
    for suffix in downloads.MIME:
        assert downloads.written(frame, suffix)


def test_runs_are_sorted_and_averaged_by_the_speed_that_is_shown(here):
    for name, steady, best in (("a", 100.0, 900.0), ("b", 300.0, 500.0), ("c", None, 200.0)):
        run_id = finished(here, name)
        with database.opened(here) as db:
            metrics.add(db, run_id, [Point("samples_per_s", 99, 9.0, 99.0, best)])
            facts = {"steady_samples_per_s": steady} if steady else {}
            runs.note_facts(db, run_id, facts)
    at = visit(columns=["name", "speed"], sort="-speed")
    assert list(zip(names(at), at.dataframe[0].value["speed"], strict=True)) == [
        ("b", 300), ("c", 200), ("a", 100)
    ]  # fmt: skip
    opened(at, "show-menu")
    assert at.selectbox(key="show-sort").value == "speed"
    row = visit(columns=["speed"], group="repeats").dataframe[0].value.iloc[0]
    assert row["speed"] == "200 ± 100"
    assert names(visit(query="speed > 250")) == ["b"]


def test_columns_of_numbers_are_numbers_and_move_by_a_place(here):
    finished(here, "one", seed=12)
    at = visit(columns=["name", "config.seed", "config.optimizer"])
    frame = at.dataframe[0].value
    assert list(frame["config.seed"]) == [12]
    opened(at, "show-menu")
    at.button(key="move-right").click().run()
    assert list(at.dataframe[0].value.columns)[1:3] == ["config.seed", "name"]


def test_what_a_link_names_as_the_baseline_is_no_markup(here):
    finished(here, "one")
    at = visit(baseline="![x](https://example.com/x.png)")
    assert (
        at.button(key="drop-baseline").help == f"It is {plain('![x](https://example.com/x.png)')}."
    )


def test_what_a_link_groups_and_sorts_by_in_vain_is_told_and_left_out(here):
    finished(here, "one")
    at = visit(group="nope", sort="-zzz")
    of_sort, of_group = (warning.value.replace("\\", "") for warning in at.warning)
    assert "The link's 'sort' must be a column" in of_sort
    assert "The link's 'group' must be a column" in of_group
    assert names(at) == ["one"]
    assert "newest first" in told(at)
    for sort in ("--accuracy", "config.nope", "workload.widht"):
        assert "The link's 'sort' must be" in visit(sort=sort).warning[0].value.replace("\\", "")


def test_the_speed_of_a_slow_run_is_not_shown_as_none():
    assert [run_columns._rounded(speed) for speed in (None, 0.25, 29163.3)] == [None, 0.25, 29163]


def test_accuracies_are_shown_with_as_many_digits_in_each_row(here):
    finished(here, "one")
    at = visit(columns=["accuracy", "last.validation_accuracy"])
    assert at.dataframe[0].value["accuracy"].tolist() == pytest.approx([80.0])
    for word in ("accuracy", "last.validation_accuracy"):
        assert run_columns.shown(word, [80.0])["type_config"]["format"] == "%.2f %%"
