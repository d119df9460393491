"""What is recorded of a trainer's surroundings, and that it imports no framework."""

import json
import subprocess
import sys

import pynvml

from engine import environment
from engine.job import Device
from engine.settings import PROJECT
from tests.engine import trainers
from tests.fake_hardware import UUID, FakeNvml


def test_it_says_what_figures_depend_on(tmp_path):
    found = environment.of_trainer(trainers.job(tmp_path))
    assert found["python"] == sys.version.split()[0]
    assert found["devices"] == [{"id": "cpu:0", "name": "CPU", "uuid": None}]
    assert 1 <= found["usable_cores"] <= found["logical_cores"]
    json.dumps(found)
    assert "workload_version" not in found
    of_convnet = environment.of_trainer(trainers.job(tmp_path, workload={"name": "convnet"}))
    assert of_convnet["workload_version"] == 2


def test_a_commit_is_dirty_once_a_file_differs_from_it(tmp_path):
    def git(*arguments):
        who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        subprocess.run(["git", "-C", str(tmp_path), *who, *arguments], check=True)

    git("init", "-q")
    assert environment.git_state(tmp_path) is None  # no commit yet
    git("commit", "-q", "--allow-empty", "-m", "first")
    state = environment.git_state(tmp_path)
    assert (len(state["commit"]), state["dirty"]) == (40, False)
    (tmp_path / "run.zip").write_text("")
    assert environment.git_state(tmp_path)["dirty"] is False
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "new.py").write_text("")
    assert environment.git_state(tmp_path)["dirty"] is True


def test_the_same_changes_to_a_commit_have_the_same_hash_and_others_another(tmp_path):
    def git(*arguments):
        who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        subprocess.run(["git", "-C", str(tmp_path), *who, *arguments], check=True)

    def changes():
        return environment.git_state(tmp_path).get("changes")

    code = tmp_path / "engine"
    code.mkdir()
    known, new = code / "known.py", code / "n\u00e9w.py"
    known.write_text("a = 1\n")
    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    assert changes() is None
    known.write_text("a = 2\n")
    first = changes()
    new.write_bytes(b"caf\xe9 = 1\n")
    with_new = changes()
    new.write_bytes(b"caf\xe9 = 2\n")
    known_again = changes()
    (code / "a link to a folder").symlink_to(tmp_path)
    assert len({first, with_new, known_again, changes()}) == 4
    (code / "a link to a folder").unlink()
    new.write_bytes(b"caf\xe9 = 1\n")
    assert changes() == with_new
    new.unlink()
    assert changes() == first


def test_how_busy_a_gpu_is_before_a_run_is_what_its_driver_says():
    """The driver is a fake: this host has no GPU."""
    gpu = Device("gpu:0", "gpu", "A GPU", "a test", uuid=UUID)
    found = environment.gpus_in_use([gpu], FakeNvml())
    assert found == {"gpu:0": {"utilisation": 0.87, "processes": 1, "memory_bytes": 3 << 30}}
    unsupported = {"nvmlDeviceGetUtilizationRates": pynvml.NVML_ERROR_NOT_SUPPORTED}
    partly = environment.gpus_in_use([gpu], FakeNvml(errors=unsupported))["gpu:0"]
    assert (partly["utilisation"], partly["processes"]) == (None, 1)
    lost = FakeNvml(errors={"nvmlInit": pynvml.NVML_ERROR_DRIVER_NOT_LOADED})
    assert environment.gpus_in_use([gpu], lost) == {}
    assert environment.gpus_in_use([trainers.CPU], FakeNvml(lost=True)) == {}


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
