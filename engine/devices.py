"""What hardware this host has, how each device was found, and why an expected one is missing.

No framework is imported: the CPU is asked through the kernel, NVIDIA's driver through NVML, and a
TPU shows itself on the PCI bus.
"""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pynvml

from engine import environment, interpreters
from engine.job import Device

NVIDIA_VENDOR, GOOGLE_VENDOR = "0x10de", "0x1ae0"
# Google's other PCI devices (network, disk) share its vendor id, so a TPU is known by both.
TPU_PCI_IDS = {
    "0x0027": "TPU v2/v3",
    "0x005e": "TPU v4",
    "0x0063": "TPU v5e",
    "0x0062": "TPU v5p",
    "0x006f": "TPU v6e",
    "0x0076": "TPU v7x",
}
PCI_DEVICES = Path("/sys/bus/pci/devices")
PRECISION_NEEDS = {"tf32": 8.0, "bf16": 8.0}  # NVIDIA's compute capability: Ampere
DISPLAY_CLASS = "0x03"
# The installed package that each framework is known by.
PACKAGES = {"keras": "tensorflow", "torch": "torch", "torch_xla": "torch_xla"}
LIBTPU = "libtpu"  # what PyTorch/XLA drives a TPU with
ALL_PACKAGES = (*PACKAGES.values(), LIBTPU)
INSTALL_LIBTPU = "-m uv pip install -c constraints.txt 'torch_xla[tpu]==2.9.0'"


@dataclass(frozen=True)
class Hardware:
    """What was found; and why what is missing is, by accelerator or by a single device's id."""

    devices: tuple[Device, ...]
    missing: dict[str, str]

    def of(self, accelerator: str) -> list[Device]:
        return [device for device in self.devices if device.accelerator == accelerator]


@dataclass(frozen=True)
class DeviceProcess:
    """A process that uses a GPU, ours or not. Unknown figures are None."""

    device_id: str
    pid: int
    name: str
    memory_bytes: int | None


def find(pci: Path = PCI_DEVICES, nvml: Any = pynvml) -> Hardware:
    """Look for every kind of device.

    The parameters are the boundary to hardware: where the kernel lists the PCI bus, and a module
    like pynvml.
    """
    gpus, no_gpus = _gpus(pci, nvml)
    tpus = _tpus(pci)
    missing = no_gpus if tpus else no_gpus | {"tpu": "No Google TPU on the PCI bus."}
    return Hardware((_cpu(), *gpus, *tpus), missing)


def framework_version(framework: str, interpreter: Path) -> str | None:
    """A framework's version in the interpreter of its trainers; None if that cannot be told."""
    if interpreter == Path(sys.executable):
        return _version(PACKAGES[framework])
    return (interpreters.versions(interpreter, ALL_PACKAGES) or {}).get(PACKAGES[framework])


def framework_missing(framework: str, interpreter: Path) -> str | None:
    """Why a framework's trainers cannot run here, None if they can.

    An interpreter that does not answer is looked into when a trainer starts.
    """
    if interpreter != Path(sys.executable):
        return _missing_in(interpreter, PACKAGES[framework])
    if framework_version(framework, interpreter) is not None:
        return None
    if framework == "torch_xla" and (sys.platform, platform.machine()) != ("linux", "x86_64"):
        where = f"{platform.system()} on {platform.machine()}"
        return f"torch_xla 2.9 has no wheel for {where}; it needs Linux on x86_64"
    return "its package is not installed in this environment; run `make run` again to install it"


def _missing_in(interpreter: Path, package: str) -> str | None:
    if not interpreter.exists():
        return f"its interpreter {interpreter} does not exist"
    found = interpreters.versions(interpreter, ALL_PACKAGES)
    if found is None or package in found:
        return None
    return f"its interpreter {interpreter} has no package {package}; install it there"


def libtpu_missing(interpreter: Path) -> str | None:
    """Why a TPU that is here cannot be used; None if it can, or if the interpreter can't tell."""
    found = interpreters.versions(interpreter, ALL_PACKAGES)
    if found is None or LIBTPU in found:
        return None
    return (
        f"PyTorch/XLA drives a TPU with libtpu, which {interpreter} does not have. Install it: "
        f"{interpreter} {INSTALL_LIBTPU}."
    )


def precision_missing(device: Device, precision: str) -> str | None:
    """Why the device cannot compute in a precision; None if it can, or nobody knows."""
    capability = device.details.get("compute capability")
    needed = PRECISION_NEEDS.get(precision)
    if needed is None or capability is None or float(capability) >= needed:
        return None
    return (
        f"{device.id} ({device.name}) has no {precision}: that takes compute capability {needed}, "
        f"and it has {capability}. Take fp16 or fp32."
    )


def processes(hardware: Hardware, nvml: Any = pynvml) -> list[DeviceProcess]:
    """Who computes on the GPUs now, by NVIDIA's driver; empty without one."""
    found: list[DeviceProcess] = []
    gpus = hardware.of("gpu")
    if not gpus:
        return found
    with _opened(nvml):
        for gpu in gpus:
            found += _processes_of(gpu, nvml)
    return found


def _processes_of(gpu: Device, nvml: Any) -> list[DeviceProcess]:
    """Empty too where the driver does not tell, as for a GPU that has just been lost."""
    try:
        handle = nvml.nvmlDeviceGetHandleByUUID(gpu.uuid)
        users = nvml.nvmlDeviceGetComputeRunningProcesses(handle)
    except pynvml.NVMLError:
        return []
    return [DeviceProcess(gpu.id, p.pid, _process_name(p.pid), p.usedGpuMemory) for p in users]


def _cpu() -> Device:
    return Device(
        id="cpu:0",
        accelerator="cpu",
        name=environment.cpu_model() or platform.machine(),
        found_by="the operating system",
        memory_bytes=psutil.virtual_memory().total,
        details={
            "logical cores": psutil.cpu_count(),
            "physical cores": psutil.cpu_count(logical=False),
        },
    )


def _gpus(pci: Path, nvml: Any) -> tuple[list[Device], dict[str, str]]:
    """Those that answer; and why there is none, or which one does not answer."""
    gpus: list[Device] = []
    missing: dict[str, str] = {}
    try:
        with _opened(nvml):
            for index in range(nvml.nvmlDeviceGetCount()):
                try:
                    gpus.append(_gpu(index, nvml))
                except pynvml.NVMLError as error:
                    missing[f"gpu:{index}"] = _why_silent(error)
    except pynvml.NVMLError as error:
        return [], {"gpu": _why_no_gpu(error, pci)}
    if missing and not gpus:
        missing = {"gpu": "None answers.", **missing}
    return gpus, missing or ({} if gpus else {"gpu": "NVIDIA's driver is loaded, but lists none."})


def _why_silent(error: pynvml.NVMLError) -> str:
    return (
        f"NVIDIA's driver lists it, but it does not answer ({error}). `nvidia-smi` and the kernel's"
        " log may tell more; a GPU that was lost comes back with a restart of the host."
    )


def _gpu(index: int, nvml: Any) -> Device:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    return Device(
        id=f"gpu:{index}",
        accelerator="gpu",
        name=nvml.nvmlDeviceGetName(handle),
        found_by="NVML",
        uuid=nvml.nvmlDeviceGetUUID(handle),
        memory_bytes=_gpu_memory(handle, nvml),
        details={
            "driver": nvml.nvmlSystemGetDriverVersion(),
            "compute capability": _compute_capability(handle, nvml),
        },
    )


def _compute_capability(handle: Any, nvml: Any) -> str | None:
    try:
        major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
    except pynvml.NVMLError:
        return None
    return f"{major}.{minor}"


def _gpu_memory(handle: Any, nvml: Any) -> int | None:
    """None for a GPU that has no memory of its own to tell of."""
    try:
        return int(nvml.nvmlDeviceGetMemoryInfo(handle).total)
    except pynvml.NVMLError:
        return None


def _why_no_gpu(error: pynvml.NVMLError, pci: Path) -> str:
    on_bus = [
        device
        for device in _pci_devices(pci, NVIDIA_VENDOR)
        if _read(device / "class").startswith(DISPLAY_CLASS)
    ]
    if on_bus:
        gpus = f"{len(on_bus)} NVIDIA GPU{'s' if on_bus[1:] else ''} on the PCI bus"
        return f"{gpus}, but the driver does not answer ({error}). Load or install NVIDIA's driver."
    return f"No NVIDIA GPU on the PCI bus, and no driver ({error})."


def _tpus(pci: Path) -> list[Device]:
    chips = [
        (device.name, TPU_PCI_IDS[_read(device / "device")])
        for device in _pci_devices(pci, GOOGLE_VENDOR)
        if _read(device / "device") in TPU_PCI_IDS
    ]
    return [
        Device(f"tpu:{index}", "tpu", name, "the PCI bus", uuid=address)
        for index, (address, name) in enumerate(chips)
    ]


def _pci_devices(pci: Path, vendor: str) -> list[Path]:
    found = sorted(pci.iterdir()) if pci.exists() else []
    return [device for device in found if _read(device / "vendor") == vendor]


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except OSError:  # the device went away, or may not be looked at
        return ""


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _process_name(pid: int) -> str:
    try:
        return psutil.Process(pid).name()
    except psutil.Error:
        return "unknown"


@contextmanager
def _opened(nvml: Any) -> Iterator[None]:
    nvml.nvmlInit()
    try:
        yield
    finally:
        nvml.nvmlShutdown()
