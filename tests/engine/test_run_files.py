"""A run's folder: what is found in its log, and which files can be had."""

from types import SimpleNamespace

import pytest

from engine import run_files, supervisor
from engine.settings import Settings


@pytest.fixture
def folder(tmp_path):
    made = supervisor.run_dir_of(tmp_path, "run")
    made.mkdir(parents=True)
    return made


def listed(tmp_path):
    return run_files.listed(Settings(store=tmp_path), SimpleNamespace(id="run"))


def test_a_line_is_found_in_any_case_wherever_blocks_end(tmp_path, monkeypatch):
    log = tmp_path / "log"
    log.write_text("".join(f"Line {n} of many\n" for n in range(500)))
    for size in (1, 7, 64, 10**6):
        monkeypatch.setattr(run_files, "BLOCK_BYTES", max(size, 20))
        found = run_files.search(log, "LINE 123 ")
        assert found == run_files.Found(["Line 123 of many"], True)


def test_of_many_lines_the_last_are_shown_and_it_says_that_there_are_more(tmp_path):
    log = tmp_path / "log"
    log.write_text("".join(f"step {n}\n" for n in range(5000)))
    found = run_files.search(log, "step")
    assert found.lines[-1] == "step 4999"
    assert len(found.lines) == run_files.MOST_LINES
    assert not found.is_all


def test_only_the_end_of_a_huge_log_is_searched(tmp_path, monkeypatch):
    monkeypatch.setattr(run_files, "SEARCHED_BYTES", 100)
    log = tmp_path / "log"
    log.write_text("first\n" + "x" * 200 + "\nlast\n")
    assert run_files.search(log, "first") == run_files.Found([], False)
    assert run_files.search(log, "last").lines == ["last"]


def test_files_are_listed_and_links_to_elsewhere_are_not(tmp_path, folder):
    (folder / "trainer.log").write_text("hello")
    (tmp_path / "secret").write_text("s")
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "sub").mkdir()
    (folder / "sub" / "a b").write_bytes(b"")
    assert [(file.name, file.size_bytes) for file in listed(tmp_path)] == [
        ("sub/a b", 0),
        ("trainer.log", 5),
    ]


@pytest.mark.parametrize(
    "name", ["../../secret", "link", "", "/etc/passwd", "sub", "./trainer.log"]
)
def test_a_name_that_is_not_listed_is_no_file(tmp_path, folder, name):
    (folder / "trainer.log").write_text("hello")
    (tmp_path / "secret").write_text("s")
    (folder / "link").symlink_to(tmp_path / "secret")
    run = SimpleNamespace(id="run")
    assert run_files.of_name(Settings(store=tmp_path), run, name) is None
