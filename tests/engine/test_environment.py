"""What is recorded of a trainer's surroundings, and that it imports no framework."""

import json
import subprocess
import sys

from engine import environment
from engine.settings import PROJECT
from tests.engine import trainers


def test_it_says_what_figures_depend_on(tmp_path):
    found = environment.of_trainer(trainers.job(tmp_path))
    assert found["python"] == sys.version.split()[0]
    assert found["devices"] == [{"id": "cpu:0", "name": "CPU", "uuid": None}]
    assert 1 <= found["usable_cores"] <= found["logical_cores"]
    json.dumps(found)


def test_a_commit_is_dirty_once_a_file_differs_from_it(tmp_path):
    def git(*arguments):
        who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        subprocess.run(["git", "-C", str(tmp_path), *who, *arguments], check=True)

    git("init", "-q")
    assert environment.git_state(tmp_path) is None  # no commit yet
    git("commit", "-q", "--allow-empty", "-m", "first")
    state = environment.git_state(tmp_path)
    assert (len(state["commit"]), state["dirty"]) == (40, False)
    (tmp_path / "new.py").write_text("")
    assert environment.git_state(tmp_path)["dirty"] is True


def test_a_folder_inside_somebody_elses_checkout_has_no_commit(tmp_path):
    subprocess.run(["git", "-C", str(tmp_path), "init", "-q"], check=True)
    (tmp_path / "inner").mkdir()
    assert environment.git_state(tmp_path / "inner") is None


def test_a_cpu_that_does_not_say_its_model_has_none(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: A CPU\nmodel name\t: A CPU\n")
    assert environment.cpu_model(cpuinfo) == "A CPU"
    cpuinfo.write_text("processor\t: 0\n")
    assert environment.cpu_model(cpuinfo) is None


def test_it_imports_no_framework():
    script = (
        "import sys, engine.environment as e; print({'torch', 'tensorflow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, capture_output=True)
    assert done.stdout.strip() == b"set()"
