"""What is found, how, and why the rest is not: on a fake PCI bus, with a fake driver."""

import sys
from pathlib import Path

import pytest

from engine import devices, interpreters
from tests.fake_hardware import FakeDriver, fake_pci

GPU = ("0x10de", "0x2330", "0x030200")
SOUND = ("0x10de", "0x10f0", "0x040300")  # a graphics card brings one along
TPU = ("0x1ae0", "0x0063", "0x088000")
GOOGLE_NET = ("0x1ae0", "0x0042", "0x020000")


def test_gpus_are_told_with_how_they_were_found(tmp_path):
    found = devices.find(fake_pci(tmp_path, GPU, GPU), FakeDriver(gpus=2))
    first, second = found.of("gpu")
    assert (first.id, second.id, first.found_by) == ("gpu:0", "gpu:1", "NVML")
    assert (first.uuid, first.memory_bytes) == ("GPU-0", None)
    assert first.details == {"driver": "999.1", "compute capability": "9.0"}
    assert list(found.missing) == ["tpu"]


def test_one_lost_gpu_hides_no_other_and_says_why_it_is_missing(tmp_path):
    found = devices.find(fake_pci(tmp_path, GPU, GPU, GPU), FakeDriver(gpus=3, lost=[1]))
    assert [gpu.id for gpu in found.of("gpu")] == ["gpu:0", "gpu:2"]
    assert "GPU is lost" in found.missing["gpu:1"]
    assert "gpu" not in found.missing


def test_where_no_gpu_answers_each_says_why(tmp_path):
    found = devices.find(fake_pci(tmp_path, GPU), FakeDriver(lost=[0]))
    assert found.of("gpu") == []
    assert list(found.missing) == ["gpu", "gpu:0", "tpu"]


@pytest.mark.parametrize(
    ("bus", "driver", "why"),
    [
        ([GPU, SOUND], FakeDriver(no_driver=True),
         "1 NVIDIA GPU on the PCI bus, but the driver does not answer (Driver Not Loaded)"),
        ([GPU, GPU], FakeDriver(no_driver=True), "2 NVIDIA GPUs on the PCI bus"),
        ([SOUND], FakeDriver(no_driver=True), "No NVIDIA GPU on the PCI bus, and no driver"),
        ([], FakeDriver(gpus=0), "NVIDIA's driver is loaded, but lists none."),
    ],
)  # fmt: skip
def test_why_there_is_no_gpu(tmp_path, bus, driver, why):
    assert devices.find(fake_pci(tmp_path, *bus), driver).missing["gpu"].startswith(why)


def test_tpus_are_known_by_their_ids_and_other_devices_of_google_are_none(tmp_path):
    """Whether torch_xla is there is a matter of the interpreter that it runs in."""
    found = devices.find(fake_pci(tmp_path, GOOGLE_NET, TPU, TPU), FakeDriver(no_driver=True))
    tpus = found.of("tpu")
    assert [(tpu.id, tpu.name, tpu.uuid) for tpu in tpus] == [
        ("tpu:0", "TPU v5e", "0000:00:01.0"), ("tpu:1", "TPU v5e", "0000:00:02.0")
    ]  # fmt: skip
    assert "tpu" not in found.missing


def test_no_bus_at_all_is_a_host_with_its_cpu(tmp_path):
    found = devices.find(tmp_path / "none", FakeDriver(no_driver=True))
    assert [device.id for device in found.devices] == ["cpu:0"]
    assert found.missing["tpu"] == "No Google TPU on the PCI bus."


def test_who_computes_on_a_gpu_is_told_and_a_lost_gpu_tells_nothing(tmp_path):
    found = devices.find(fake_pci(tmp_path, GPU), FakeDriver())
    (user,) = devices.processes(found, FakeDriver())
    assert (user.device_id, user.memory_bytes) == ("gpu:0", 5 << 20)
    assert user.name == Path(f"/proc/{user.pid}/comm").read_text().strip()
    assert devices.processes(found, FakeDriver(lost=[0])) == []


def an_interpreter(path, script):
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_a_framework_is_looked_for_in_the_interpreter_of_its_trainers(tmp_path):
    own = Path(sys.executable)
    assert devices.framework_missing("torch", own) is None
    other = an_interpreter(tmp_path / "other", f'exec {own} "$@"')
    version = devices.framework_version("torch", other)
    assert version == devices.framework_version("torch", own) is not None
    assert devices.framework_missing("torch", other) is None

    bare = an_interpreter(tmp_path / "bare", f'exec {own} -I -S "$@"')
    assert devices.framework_version("torch", bare) is None
    assert devices.framework_missing("torch", bare) == (
        f"its interpreter {bare} has no package torch; install it there"
    )


def test_an_interpreter_that_cannot_tell_is_taken_at_its_word(tmp_path):
    broken = an_interpreter(tmp_path / "python", "exit 3")
    assert interpreters.versions(broken, ("torch",)) is None
    assert devices.framework_version("keras", broken) is None
    assert devices.framework_missing("keras", broken) is None
    gone = tmp_path / "gone"
    assert devices.framework_missing("keras", gone) == f"its interpreter {gone} does not exist"


def test_where_a_framework_has_no_wheel_the_platform_is_named(monkeypatch):
    """As on a host that has neither: the packages go by names that nobody has."""
    monkeypatch.setattr(devices.platform, "machine", lambda: "aarch64")
    monkeypatch.setitem(devices.PACKAGES, "torch_xla", "no-such-package")
    monkeypatch.setitem(devices.PACKAGES, "torch", "no-such-package")
    own = Path(sys.executable)
    assert "no wheel for Linux on aarch64" in devices.framework_missing("torch_xla", own)
    assert "run `make run` again" in devices.framework_missing("torch", own)
