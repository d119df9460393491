"""`python -m storage`: reads, in three shapes, and never writes."""

import json

import pytest

from storage import database, views
from storage.__main__ import main


@pytest.fixture
def here(tmp_path):
    database.prepare(tmp_path)
    with database.opened(tmp_path) as db:
        views.create(db, name="a, b", page="", state={}, by="ann", now=1.5)
    return tmp_path


def run(capsys, here, *arguments):
    status = main([*arguments, "--store", str(here)])
    return status, capsys.readouterr()


def test_a_select_is_printed_as_a_table_as_json_and_as_csv(here, capsys):
    query = "SELECT name, created_at, NULL AS note FROM views"
    status, told = run(capsys, here, "sql", query)
    assert (status, told.out) == (0, "name  created_at  note\na, b  1.5         —\n")
    _, told = run(capsys, here, "sql", query, "--json")
    assert json.loads(told.out) == {"name": "a, b", "created_at": 1.5, "note": None}
    _, told = run(capsys, here, "sql", query, "--csv")
    assert told.out.splitlines() == ["name,created_at,note", '"a, b",1.5,']


def test_as_json_columns_of_one_name_are_told_apart(here, capsys):
    _, told = run(capsys, here, "sql", "SELECT 1 AS a, 2 AS a, 3 AS a_2, 4 AS b, 5 AS a", "--json")
    assert json.loads(told.out) == {"a": 1, "a_2": 2, "a_2_2": 3, "b": 4, "a_3": 5}


def test_tables_and_views_are_listed_with_their_columns(here, capsys):
    _, told = run(capsys, here, "tables", "--json")
    listed = {row["name"]: row for row in map(json.loads, told.out.splitlines())}
    assert listed["run_summary"]["type"] == "view"
    assert listed["tags"] == {"name": "tags", "type": "table", "columns": "run_id, tag"}


WRONG = ["DELETE FROM views", "DROP TABLE views", "SELECT 1; SELECT 2", "SELEC", "SELECT x FROM no"]


@pytest.mark.parametrize("statement", WRONG)
def test_what_writes_or_is_wrong_changes_nothing_and_is_said_in_a_sentence(here, capsys, statement):
    status, told = run(capsys, here, "sql", statement)
    assert (status, told.out) == (1, "")
    assert told.err.startswith("Error: ")
    with database.opened(here) as db:
        assert len(views.of_page(db, "")) == 1


@pytest.mark.parametrize(
    ("text", "why"),
    [(None, "No such file"), ("store = ", "Invalid value"), ("store = 5", "not int")],
)
def test_settings_that_cannot_be_read_lead_to_no_other_store(
    here, tmp_path, monkeypatch, capsys, text, why
):
    file = tmp_path / "accelboard.toml"
    monkeypatch.delenv("ACCELBOARD_STORE", raising=False)
    monkeypatch.setenv("ACCELBOARD_SETTINGS", str(file))
    if text is not None:
        file.write_text(text)
    assert main(["path"]) == 5
    told = capsys.readouterr()
    assert (told.out, why in told.err, "--store" in told.err) == ("", True, True)
    assert run(capsys, here, "path")[0] == 0
    file.write_text(f'store = "{here}"')
    assert main(["path"]) == 0


def test_a_mistyped_store_is_not_made(tmp_path, capsys):
    status, told = run(capsys, tmp_path / "typo", "path")
    assert (status, told.out) == (5, "")
    assert "There is no store" in told.err
    assert not (tmp_path / "typo").exists()
