"""Tables as files, as others read them."""

import io
import json
import re
from datetime import UTC, datetime

import pandas as pd
import pytest

from dashboard import downloads, links
from storage import alerts, database, metrics, readings, references
from storage.readings import Reading
from tests.dashboard.pages import GPU, finished, visit
from tests.dashboard.test_study_pages import ask, finish_runs

FRAME = pd.DataFrame(
    [
        {"name": "=1+1", "accuracy": 0.5, "tags": ["a", "b"]},
        {"name": 'x "y",\nz', "accuracy": None, "tags": []},
    ]
)


def test_csv_reads_back_and_holds_no_formula():
    back = pd.read_csv(io.BytesIO(downloads.written(FRAME, "csv")))
    assert list(back["name"]) == ["'=1+1", 'x "y",\nz']
    assert back["tags"][0] == "a, b"
    assert pd.isna(back["accuracy"][1])


def test_json_and_parquet_keep_text_as_it_is():
    rows = json.loads(downloads.written(FRAME, "json"))
    assert rows[0] == {"name": "=1+1", "accuracy": 0.5, "tags": ["a", "b"]}
    assert rows[1]["accuracy"] is None
    back = pd.read_parquet(io.BytesIO(downloads.written(FRAME, "parquet")))
    assert list(back["name"]) == list(FRAME["name"])


def test_json_holds_every_digit_and_tells_of_what_is_unknown_as_null():
    at = datetime(2025, 1, 31, 9, 30, 0, 123456, UTC)
    frame = pd.DataFrame(
        {"rate": [1e-12, float("inf")], "share": [0.1234567890123456, None], "at": [at, None],
         "seed": [2**53 + 1, 0], "fits": [[1, float("nan")], {"of": True}]}
    )  # fmt: skip
    assert json.loads(downloads.written(frame, "json")) == [
        {"rate": 1e-12, "share": 0.1234567890123456, "at": at.isoformat(), "seed": 2**53 + 1,
         "fits": [1, None]},
        {"rate": None, "share": None, "at": None, "seed": 0, "fits": {"of": True}},
    ]  # fmt: skip


EXACT = [0.37195384521484376, 1e-17, -1.5e300]


@pytest.mark.parametrize("suffix", downloads.MIME)
def test_a_number_has_every_digit_in_each_format(suffix):
    data = downloads.written(pd.DataFrame({"loss": EXACT}), suffix)
    back = {
        "csv": lambda: [float(line) for line in data.decode().split()[1:]],
        "json": lambda: [row["loss"] for row in json.loads(data)],
        "parquet": lambda: list(pd.read_parquet(io.BytesIO(data))["loss"]),
    }
    assert back[suffix]() == EXACT


def test_csv_has_a_list_of_facts_as_json():
    frame = pd.DataFrame({"key": ["devices"], "value": [[{"id": "cpu:0", "uuid": None}]]})
    data = downloads.written(frame, "csv").decode()
    assert data.splitlines()[1] == 'devices,"{""id"": ""cpu:0"", ""uuid"": null}"'


# Text that was made for people: a figure with its unit, its interval or its spread.
SHOWN = re.compile(
    r"^—$|±|\d \(.* to |^[+-]?[\d.,]+ ?(s|ms|min|h|%|x|pt|[kMGT]?J|[kMGT]?i?B|FLOPs?/\w+)$|^\d+,\d"
)
NAME = re.compile(r"[a-z0-9_.]+")


@pytest.fixture
def given(monkeypatch):
    """The table behind each download of the pages that are visited, by the file's name."""
    frames, table = {}, downloads.table

    def noting(name, frame, **options):
        frames[name] = frame()
        table(name, frame, **options)

    monkeypatch.setattr(downloads, "table", noting)
    return frames


def test_every_table_is_downloaded_as_values_under_names_with_their_units(here, settings, given):
    base = finished(here, "base", devices=[GPU], epoch_s=8.0)
    other = finished(here, "other", framework="keras", learning_rate=0.5)
    facts = {"ledger": {"compute": 20.0}, "steady_samples_per_s": 12_345.6, "parameters": 12_345,
             "peak_memory_bytes": 5 * 2**30}  # fmt: skip
    (here / "runs" / base).mkdir(parents=True)
    (here / "runs" / base / "trainer.log").write_text("x" * 5000)
    with database.opened(here) as db:
        metrics.ingest(db, base, [], last_seq=7, offset=70, facts=facts,
                       environment={"python": "3.11", "cpu": {"cores": 8}})  # fmt: skip
        readings.add(db, base, [Reading("gpu:0", "energy_j", float(at), 300.0 * at)
                                for at in range(99, 126)])  # fmt: skip
        references.create(db, name="nightly", run_id=base, config={}, by="ann", now=1.0)
        alerts.create(db, reference="nightly", run_id=base, sentence="Slower.",
                      changes=[("driver", "1", "2")])  # fmt: skip
    rates = {"PyTorch on CPU": 1234.5, "Keras/TensorFlow on CPU": 500.0}
    finish_runs(here, study := ask(settings), rates)
    scaling = ask(settings, kind="scaling", frameworks=["torch"], device_counts=[1, 2])
    finish_runs(here, scaling, {"1 device": 1000.0, "2 virtual devices": 1600.0})
    loaders = ask(settings, kind="input", frameworks=["torch"], workers=[0])
    finish_runs(here, loaders, {"Data set on the device": 1500.0,
                                "Loader on the host, 0 workers": 1000.0})  # fmt: skip

    columns = ["status", "took", "speed", "progress", "submitted", "accuracy", "config.seed"]
    visit(columns=columns, baseline=base)
    visit(columns=columns, group="framework", baseline=base)
    visit("compare", runs=[base, other])
    visit("hardware")
    visit("studies")
    for tab in links.TABS:
        visit("run", id=base, tab=tab)
    for study_id in (study, scaling, loaders):
        visit("study", id=study_id, cpu="3.6")

    of_runs = {f"{name}-{base}" for name in ("configuration", "environment", "efficiency",
                                             "files", "energy")}  # fmt: skip
    of_studies = {f"study-{one}" for one in (study, scaling, loaders)}
    assert set(given) == of_runs | of_studies | {
        "runs", "groups", "compare-results", "compare-differences", "frameworks",
        "reference-jobs", "alerts", "plan-arms", "plan-runs", f"scaling-{scaling}",
        f"input-{loaders}",
    }  # fmt: skip
    for name, frame in given.items():
        assert len(frame), name
        assert [c for c in frame.columns if not NAME.fullmatch(c)] == [], name
        texts = [cell for column in frame for cell in frame[column] if isinstance(cell, str)]
        assert [text for text in texts if SHOWN.search(text)] == [], name
        for suffix in downloads.MIME:
            assert downloads.written(frame, suffix), name
    card = given[f"study-{study}"].set_index("arm").loc["PyTorch on CPU"]
    assert card["samples_per_s_median"] == pytest.approx(1234.5, rel=0.02)
    assert card["took_s_median"] == 8.0
    assert card["cost_usd_median"] == pytest.approx(0.008)
    results = given["compare-results"].set_index("id")
    assert results.loc[base, "best_validation_accuracy"] == 0.8
    assert results.loc[base, "steady_samples_per_s"] == 12_345.6
    differing = given["compare-differences"].set_index("key")
    assert differing.loc["learning_rate", other] == 0.5
