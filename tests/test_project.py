"""What the documents promise is held against the project itself."""

import re
import shutil
import subprocess

import pytest
from packaging.requirements import Requirement

from engine import cli
from engine.settings import PROJECT, Settings

README = (PROJECT / "README.md").read_text("utf-8")
DECISIONS = sorted((PROJECT / "docs" / "decisions").glob("*.md"))
REQUIREMENT_FILES = (
    "requirements.txt",
    "requirements-dev.txt",
    "constraints.txt",
    "requirements-tpu.txt",
)
FOLDERS_SHOWN_IN_FULL = ("dashboard", "engine", "storage")


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def code_lines(markdown: str) -> list[str]:
    blocks = re.findall(r"^```\w*\n(.*?)^```", markdown, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


def tree_paths() -> list[str]:
    """`engine/` followed by `  queue.py jobs.py   caption` -> engine/, engine/queue.py, …"""
    paths, folder = [], ""
    for line in code_lines(section("Layout")):
        names = re.split(r"\s{2,}", line.strip())[0].split()
        folder = folder if line.startswith("  ") else ""
        paths += [folder + name for name in names]
        folder = folder or (names[0] if names[0].endswith("/") else "")
    return paths


def project_files() -> list[str]:
    """Tracked, or new and not ignored; what was deleted but not yet committed is left out."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=PROJECT, capture_output=True, check=True, text=True)
    return [name for name in listed.stdout.split("\0") if name and (PROJECT / name).exists()]


def test_every_path_of_the_readmes_tree_exists():
    assert [path for path in tree_paths() if not (PROJECT / path).exists()] == []


def test_the_readmes_tree_names_each_path_once():
    assert len(tree_paths()) == len(set(tree_paths()))


def test_every_top_level_entry_is_in_the_readmes_tree():
    entries = {name.split("/")[0] for name in project_files()}
    shown = {path.split("/")[0] for path in tree_paths()}
    assert entries - shown == set()


@pytest.mark.parametrize("folder", FOLDERS_SHOWN_IN_FULL)
def test_every_module_is_in_the_readmes_tree(folder):
    parts = [name.split("/") for name in project_files() if name.startswith(f"{folder}/")]
    entries = {f"{folder}/{part[1]}" + ("/" if part[2:] else "") for part in parts}
    assert entries - {*tree_paths(), f"{folder}/__init__.py"} == set()


def test_the_readmes_table_of_settings_is_that_of_the_settings():
    rows = re.findall(r"^\| `ACCELBOARD_(\w+)` \| [^|]+ \| (.+?) \|$", README, re.MULTILINE)
    fields = {name.upper(): field.description for name, field in Settings.model_fields.items()}
    assert dict(rows) == fields
    assert len(rows) == len(fields)


def test_every_make_command_of_the_documents_is_a_target():
    contributing = (PROJECT / "CONTRIBUTING.md").read_text("utf-8")
    named = set(re.findall(r"^make ([a-z-]+)", "\n".join(code_lines(README)), re.MULTILINE))
    named |= set(re.findall(r"`make ([a-z-]+)", README + contributing))
    makefile = (PROJECT / "Makefile").read_text("utf-8")
    assert named >= {"run", "test"}
    assert named - set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)) == set()


def test_the_readme_names_every_subcommand_and_no_other():
    named = re.findall(r"-m engine ([a-z-]+)", "\n".join(code_lines(README)))
    assert set(named) == set(cli.main.commands)


def test_every_relative_link_of_the_documents_leads_somewhere():
    documents = [*PROJECT.glob("*.md"), *DECISIONS]
    links = [
        (document, target)
        for document in documents
        for target in re.findall(r"\]\(([^)#]+)", document.read_text("utf-8"))
        if "://" not in target
    ]
    missing = [target for document, target in links if not (document.parent / target).exists()]
    assert missing == []


def test_decisions_are_numbered_without_gaps():
    assert DECISIONS
    for number, path in enumerate(DECISIONS, 1):
        assert re.fullmatch(rf"{number:04}-[a-z0-9-]+\.md", path.name), path.name


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.name)
def test_a_decision_has_a_context_a_decision_and_a_consequence(path):
    lines = path.read_text("utf-8").splitlines()
    assert lines[0].startswith(f"# {int(path.name[:4])}. ")
    headings = [line for line in lines if line.startswith("## ")]
    assert headings == ["## Context", "## Decision", "## Consequence"]


@pytest.mark.parametrize("name", REQUIREMENT_FILES)
def test_requirements_are_pins_of_one_version_and_name_no_host(name):
    for line in (PROJECT / name).read_text("utf-8").splitlines():
        text = line.split("#")[0].strip()
        if text:
            requirement = Requirement(text)
            assert requirement.url is None, line
            assert re.fullmatch(r"==[\w.+]+", str(requirement.specifier)), line


@pytest.mark.parametrize("name", REQUIREMENT_FILES[:2])
def test_what_is_required_is_constrained_to_the_same_version(name):
    constrained = pins("constraints.txt")
    assert {k: v for k, v in pins(name).items() if constrained.get(k) != v} == {}


def test_each_requirement_has_its_reason_in_a_decision():
    reasons = (PROJECT / "docs/decisions/0005-dependencies-on-purpose.md").read_text("utf-8")
    required = pins("requirements.txt") | pins("requirements-dev.txt")
    named = {name.replace("_", "-") for name in re.findall(r"[\w-]+", reasons)}
    assert set(required) - named == set()


def pins(name: str) -> dict[str, str]:
    lines = (PROJECT / name).read_text("utf-8").splitlines()
    found = [Requirement(text) for line in lines if (text := line.split("#")[0].strip())]
    return {pin.name.lower().replace("_", "-"): str(pin.specifier) for pin in found}


def test_the_set_up_takes_any_browser_and_says_how_to_get_one_where_there_is_none(tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("sh", "dirname", "sed", "tr", "true", "id"):
        (tools / name).symlink_to(str(shutil.which(name)))
    (tmp_path / "fashion-mnist").mkdir()
    bare = {"PATH": str(tools), "HOME": str(tmp_path), "ACCELBOARD_DATA_DIR": str(tmp_path)}

    def set_up(**more: str) -> subprocess.CompletedProcess[str]:
        command = ["sh", str(PROJECT / "bin" / "setup"), "system"]
        return subprocess.run(command, env=bare | more, capture_output=True, text=True, check=False)

    refused = set_up()
    assert refused.returncode == 1
    assert refused.stderr.startswith("The tests need Chromium or Chrome.")
    assert "ACCELBOARD_CHROMIUM=/path/to/chrome make test" in refused.stderr
    assert set_up(ACCELBOARD_CHROMIUM=str(tools / "gone")).returncode == 1
    assert set_up(ACCELBOARD_CHROMIUM=str(tools / "true")).returncode == 0
    (tools / "google-chrome").symlink_to(tools / "true")
    assert (set_up().returncode, set_up().stderr) == (0, "")
