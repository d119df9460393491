"""The Compare page as a script: what it says and does with each kind of address. No browser."""

import re

import pytest

from dashboard import saved_views
from engine.config import RunConfig
from storage import database, metrics, runs, views
from storage.metrics import Point
from tests.dashboard.pages import GPU, create, finished, told, visit


def tables(at):
    """The page's HTML tables: results, and what differs."""
    bodies = [html.proto.body for html in at.get("html")]
    return [body for body in bodies if "<table>" in body]


def rows(table):
    """Its rows as lists of texts."""
    found = re.findall(r"<tr.*?</tr>", table)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in found]
    return [[re.sub("<[^>]+>", " ", cell).strip() for cell in row] for row in cells]


def address(at, name):
    """The values of a parameter; a single one comes as a list or not, by who wrote it."""
    values = at.query_params.get(name, [])
    return [values] if isinstance(values, str) else list(values)


def test_results_and_what_differs_are_told_and_what_is_unknown_is_left_out(here):
    first, second = finished(here, "one", seed=1), finished(here, "two", seed=2)
    at = visit("compare", runs=[first, second, "nope"])
    assert "nope" in at.warning[0].value
    results, differing = tables(at)
    assert rows(results)[0][:3] == ["Run", "Took", "Best validation accuracy"]
    assert rows(results)[1][2] == "80.0 %"
    assert ["seed", "1", "2"] in rows(differing)
    assert "base" in rows(results)[1][0]


def test_without_runs_it_says_what_to_do_and_offers_the_newest(here):
    run_id = finished(here, "one")
    at = visit("compare")
    assert "Choose two or more runs" in told(at)
    at.button(key=f"add-{run_id}").click().run()
    assert address(at, "runs") == [run_id]


def test_runs_are_found_by_words_or_by_a_query_and_added(here):
    first = finished(here, "one", seed=1)
    found = finished(here, "needle", seed=2, framework="keras")
    create(here, "other", seed=3)
    at = visit("compare", runs=[first])
    for text in ("needle", "framework = keras and accuracy > 0.5"):
        at.text_input(key="compare-find").set_value(text).run()
        offered = [b.key for b in at.button if (b.key or "").startswith("add-")]
        assert offered == [f"add-{found}"]
    at.button(key=f"add-{found}").click().run()
    assert address(at, "runs") == [first, found]
    assert not at.exception


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("accuracy > high", "accuracy is compared with a number, got 'high'."),
        ("nowhere", "No other run matches 'nowhere'."),
        ("a = " + "x" * 10_000, "A query may have 2,000 characters at most"),
    ],
)
def test_a_search_that_finds_nothing_says_why(here, text, sentence):
    at = visit("compare", runs=[finished(here)])
    at.text_input(key="compare-find").set_value(text).run()
    assert sentence in told(at).replace("\\", "").replace("\u2060", "")
    assert not at.exception


def test_a_run_is_removed_by_its_own_control(here):
    ids = [finished(here, f"run {seed}", seed=seed) for seed in range(3)]
    at = visit("compare", runs=ids)
    at.multiselect(key=f"runs-{'-'.join(ids)}").unselect(ids[1]).run()
    assert address(at, "runs") == [ids[0], ids[2]]
    assert len(rows(tables(at)[0])) == 3


def test_a_link_of_500_runs_shows_the_first_50_and_says_so(here):
    with database.opened(here) as db:
        config = RunConfig.parse({})
        ids = [runs.create(db, name=f"run {i}", config=config.model_dump(mode="json"),
                           total_steps=1, submitted_by="test") for i in range(500)]  # fmt: skip
    at = visit("compare", runs=ids)
    assert "names 500 runs; 50 can be compared. The first 50 are shown" in at.warning[0].value
    assert len(rows(tables(at)[0])) == 51


def test_another_base_is_in_the_address_and_distances_are_from_it(here):
    first, second = finished(here, "one", seed=1), finished(here, "two", seed=2)
    at = visit("compare", runs=[first, second], base=second)
    assert at.selectbox(key="compare-base").value == second
    assert rows(tables(at)[1])[0][1].startswith("seed 2")
    at.selectbox(key="compare-base").select(first).run()
    assert "base" not in at.query_params


def test_every_state_is_restored_from_the_address(here):
    ids = [finished(here, f"run {n}", seed=n, batch_size=32 * (n % 2 + 1)) for n in range(4)]
    state = {
        "runs": ids, "x": "clock", "log": ["x", "y"], "smooth": "0.9", "full": "1",
        "group": "batch_size", "end": "last", "metric": ["train_loss"], "all": "1", "key": "rate",
        "sort": "train_loss", "px": "seed", "py": "metric.train_loss",
        "dims": ["seed", "metric.train_loss"],
    }  # fmt: skip
    at = visit("compare", **state)
    shown = {name: address(at, name) for name in state}
    assert shown == {k: v if isinstance(v, list) else [v] for k, v in state.items()}
    assert [row[0] for row in rows(tables(at)[1])] == ["Key", "Configuration", "learning_rate"]
    assert "batch size 64 (2 runs)" in told(at)


def test_words_in_the_address_that_mean_nothing_are_taken_for_the_defaults(here):
    ids = [finished(here, f"run {n}", seed=n) for n in range(2)]
    at = visit("compare", runs=ids, x="sideways", group="nothing", base="nobody", end="middle",
               metric=["none"], sort="?", px="?", py="?", dims=["?"], key="zzz")  # fmt: skip
    assert not at.exception
    assert "No key that differs matches 'zzz'." in told(at).replace("\\", "")
    assert {"x", "group", "base", "end", "metric", "sort", "px", "py", "dims"}.isdisjoint(
        at.query_params
    )


def test_a_link_that_was_made_before_there_were_groups_still_works(here):
    ids = [finished(here, f"run {n}", seed=n) for n in range(2)]
    at = visit("compare", runs=[",".join(ids)], metric="train_loss", x="time", log="1")
    assert at.multiselect(key="compare-metric").value == ["train_loss"]
    assert address(at, "log") == ["y"]
    view = views.View("a", "n", "compare", 1, {"runs": ids, "x": ["time"]}, "ann", 1.0)
    assert saved_views.address(view) == f"/compare?runs={ids[0]}&runs={ids[1]}&x=time"


def test_speeds_of_runs_of_another_job_or_an_absent_device_are_called_unfair(here):
    first = finished(here, "one", seed=1)
    second = finished(here, "two", devices=[GPU], dataset={"name": "synthetic"})
    (error,) = visit("compare", runs=[first, second]).error
    assert "should not be compared" in error.value
    assert "did not do the same job" in error.value
    assert "synthetic" in error.value.replace("\\", "")
    assert "asked for cpu and was given gpu" in error.value


def test_runs_without_points_are_compared_by_what_they_were_asked(here):
    at = visit("compare", runs=[create(here, "a", seed=1), create(here, "b", seed=2)])
    assert "No points yet" in told(at)
    assert ["seed", "1", "2"] in rows(tables(at)[1])


def test_one_run_alone_is_shown_and_a_second_one_asked_for(here):
    at = visit("compare", runs=[finished(here, "alone")])
    assert "Add a second run" in told(at)


def test_the_tables_are_offered_in_three_formats_and_the_whole_as_html(here):
    ids = [finished(here, f"run {n}", seed=n) for n in range(2)]
    keys = {button.key for button in visit("compare", runs=ids).get("download_button")}
    formats = {f"download-compare-{table}-{suffix}" for table in ("results", "differences")
               for suffix in ("csv", "json", "parquet")}  # fmt: skip
    assert formats | {"compare-export"} <= keys


def test_what_nobody_chose_follows_the_runs_and_what_was_chosen_stays(here):
    bare = create(here, "ended early", learning_rate=0.5)
    with database.opened(here) as db:
        metrics.ingest(db, bare, [Point("step_loss", 1, 0.1, 9.0, 1.0)], last_seq=1, offset=1)
    at = visit("compare", runs=[bare])
    assert at.multiselect(key="compare-metric").value == ["step_loss"]
    base = finished(here, "base", seed=1)
    at.query_params["runs"] = [bare, base]
    at.run()
    assert "validation_accuracy" in at.multiselect(key="compare-metric").value
    assert "metric" not in at.query_params
    assert "batch_size" not in at.multiselect(key="compare-dims").value
    other = finished(here, "other", seed=2, batch_size=512)
    at.query_params["runs"] = [bare, base, other]
    at.run()
    assert "batch_size" in at.multiselect(key="compare-dims").value
    assert not {"dims", "px", "py"} & set(at.query_params)
    at.multiselect(key="compare-dims").set_value(["seed", "batch_size"]).run()
    at.query_params["runs"] = [bare, base]
    at.run()
    assert at.multiselect(key="compare-dims").value == ["seed", "batch_size"]


def test_a_scatter_begins_with_a_number_that_differs(here):
    ids = [finished(here, f"run {n}", seed=n, learning_rate=0.1 * (1 + n)) for n in range(2)]
    ids.append(finished(here, "other", framework="keras", learning_rate=0.5))
    assert visit("compare", runs=ids).selectbox(key="compare-px").value == "batch_size"
    assert visit("compare", runs=ids[:2]).selectbox(key="compare-px").value == "learning_rate"
