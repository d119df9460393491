"""What a run is asked to do: one frozen, validated value.

It is stored as JSON, travels to the trainer as JSON, fills a form, and round-trips through a URL
or a command line as flat text (`workload=mlp`, `workload.width=128`). Every way in ends in
`RunConfig.parse`, so the same input gets the same sentence everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import NoneType
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from engine import conflicts
from engine.problems import NO_TEXT, ConfigError, Problem, cut, is_text, problems_of, shown

Framework = Literal["keras", "torch", "torch_xla"]
Accelerator = Literal["cpu", "gpu", "tpu"]
Precision = Literal["fp32", "tf32", "bf16", "fp16"]
Optimizer = Literal["adam", "adamw", "sgd"]
Schedule = Literal["constant", "cosine", "one_cycle"]
InputPath = Literal["device_resident", "host_loader"]

FRAMEWORK_NAMES = {"keras": "Keras/TensorFlow", "torch": "PyTorch", "torch_xla": "PyTorch/XLA"}
ACCELERATOR_NAMES = {"cpu": "CPU", "gpu": "GPU", "tpu": "TPU"}
DATASET_NAMES = {"fashion_mnist": "Fashion-MNIST", "synthetic": "Synthetic"}

# Why each pair that cannot be, cannot be; a pair that is absent here can.
IMPOSSIBLE_PAIRS = {
    ("keras", "tpu"): "Keras/TensorFlow has no TPU trainer here; use PyTorch/XLA",
    ("torch", "tpu"): "PyTorch drives a TPU through XLA; use PyTorch/XLA",
    ("torch_xla", "gpu"): "PyTorch/XLA 2.9 ships no CUDA build; use PyTorch or Keras/TensorFlow",
}
PRECISIONS: dict[str, tuple[Precision, ...]] = {
    "cpu": ("fp32", "bf16"),
    "gpu": ("fp32", "tf32", "bf16", "fp16"),
    "tpu": ("fp32", "bf16"),
}
MOST_DEVICES = 1024
COUNT_OR_IDS = "Devices must be a count or ids such as cpu:0,gpu:1"
MOST_WORKERS = 64  # of a loader on the host
DEFAULT_BATCH_SIZE = {"keras": 32, "torch": 128, "torch_xla": 128}


def _is_number(annotation: Any) -> bool:
    return {int, float, NoneType} >= set(get_args(annotation) or [annotation])


class Section(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True
    )

    @model_validator(mode="before")
    @classmethod
    def _true_is_no_number(cls, raw: Any) -> Any:
        """Else pydantic takes true for 1."""
        if not isinstance(raw, Mapping):
            return raw
        as_text = {
            name: str(raw[name]).lower()
            for name, info in cls.model_fields.items()
            if isinstance(raw.get(name), bool) and _is_number(info.annotation)
        }
        return {**raw, **as_text}


class Mlp(Section):
    """Hidden layers of ReLU units: 784-128-10 on Fashion-MNIST as it stands."""

    name: Literal["mlp"] = "mlp"
    width: int = Field(default=128, ge=1, le=16_384, description="Units in each hidden layer.")
    depth: int = Field(default=1, ge=1, le=32, description="Hidden layers.")


class ConvNet(Section):
    """Blocks of convolution and pooling, then a hidden layer."""

    name: Literal["convnet"] = "convnet"
    width: int = Field(
        default=32, ge=1, le=1024, description="Channels of the first block; each block doubles it."
    )
    depth: int = Field(default=2, ge=1, le=6, description="Blocks; each halves the picture.")


class ResNet(Section):
    """Residual blocks with batch normalisation, in three stages that halve the picture."""

    name: Literal["resnet"] = "resnet"
    width: int = Field(
        default=16, ge=1, le=1024, description="Channels of the first stage; each stage doubles it."
    )
    depth: int = Field(default=1, ge=1, le=32, description="Residual blocks in each stage.")


class Vit(Section):
    """A small vision transformer: patches, self-attention, mean over the patches."""

    name: Literal["vit"] = "vit"
    width: int = Field(default=64, ge=1, le=4096, description="Numbers in each token.")
    depth: int = Field(default=4, ge=1, le=48, description="Transformer blocks.")
    heads: int = Field(default=4, ge=1, le=64, description="Attention heads; they share the width.")
    patch: int = Field(default=4, ge=1, le=256, description="Pixels on a patch's side.")


class FashionMnist(Section):
    """70,000 grey 28 x 28 photographs of clothes in 10 classes; 10,000 of them are for testing."""

    name: Literal["fashion_mnist"] = "fashion_mnist"

    @property
    def train_samples(self) -> int:
        return 60_000

    @property
    def test_samples(self) -> int:
        return 10_000

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width, channels of one sample."""
        return (28, 28, 1)

    @property
    def classes(self) -> int:
        return 10


class Synthetic(Section):
    """Noisy class prototypes, the same in every run: learnable, of any shape, without files."""

    name: Literal["synthetic"] = "synthetic"
    height: int = Field(default=28, ge=1, le=1024, description="Pixels.")
    width: int = Field(default=28, ge=1, le=1024, description="Pixels.")
    channels: int = Field(default=1, ge=1, le=16)
    classes: int = Field(default=10, ge=2, le=1000)
    train_samples: int = Field(default=8192, ge=1, le=10_000_000)
    test_samples: int = Field(default=2048, ge=1, le=1_000_000)

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.height, self.width, self.channels)


Workload = Annotated[Mlp | ConvNet | ResNet | Vit, Field(discriminator="name")]
Dataset = Annotated[FashionMnist | Synthetic, Field(discriminator="name")]
WORKLOADS: dict[str, type[Mlp | ConvNet | ResNet | Vit]] = {
    "mlp": Mlp,
    "convnet": ConvNet,
    "resnet": ResNet,
    "vit": Vit,
}
DATASETS: dict[str, type[FashionMnist | Synthetic]] = {
    "fashion_mnist": FashionMnist,
    "synthetic": Synthetic,
}


class RunConfig(Section):
    """Everything about a run that can change its result. Two runs with equal configs are repeats.

    `batch_size` is global, over all devices. `devices` is how many, or which by id.
    """

    workload: Workload = Field(default=Mlp(), description="The model that is trained.")
    dataset: Dataset = Field(default=FashionMnist(), description="What it is trained on.")
    framework: Framework = Field(default="torch", description="Whose training loop runs it.")
    accelerator: Accelerator = Field(default="cpu", description="The kind of hardware it runs on.")
    devices: int | tuple[str, ...] = Field(
        default=1,
        description="How many devices, or their ids. A run has them to itself. A CPU is one: "
        "several are virtual devices on it.",
    )
    epochs: int = Field(default=10, ge=1, le=100_000, description="Passes over the training data.")
    batch_size: int = Field(
        default=128, ge=1, le=1_000_000, description="Samples per step, over all devices together."
    )
    optimizer: Optimizer = Field(default="adam", description="sgd has momentum 0.9.")
    learning_rate: float = Field(
        default=1e-3, gt=0, le=1000, description="The highest rate of the schedule."
    )
    schedule: Schedule = Field(
        default="constant",
        description="How the rate goes: cosine falls to 0; one_cycle rises for 30 % of the steps "
        "from a 25th, then falls.",
    )
    precision: Precision = Field(default="fp32", description="Number format of the arithmetic.")
    input: InputPath = Field(
        default="device_resident",
        description="How samples reach the device: the whole data set lies there, or a loader on "
        "the host makes each batch.",
    )
    loader_workers: int = Field(
        default=0,
        ge=0,
        le=MOST_WORKERS,
        description="Processes (in TensorFlow: threads) beside the trainer that make batches for "
        "a loader on the host; 0 makes them in the trainer.",
    )
    loader_prefetch: int | None = Field(
        default=None,
        ge=1,
        le=64,
        description="Batches that each worker (in TensorFlow: the loader) keeps ready. Left empty, "
        "the framework chooses.",
    )
    loader_pinned: bool | None = Field(
        default=None,
        description="Whether a loader's batches lie in page-locked memory, which a GPU copies "
        "faster. Left empty: on a GPU.",
    )
    keep_last_batch: bool = Field(
        default=False,
        description="Whether an epoch ends with a smaller batch of the samples that fill none, as "
        "loaders do unless told otherwise; what compiles, compiles a program of its own for it.",
    )
    seed: int = Field(
        default=0, ge=0, le=2**53 - 1, description="Fixes initial weights and the order of samples."
    )
    timeout_s: float | None = Field(
        default=None, gt=0, le=30 * 86_400, description="Stop as failed after this many seconds."
    )

    @model_validator(mode="before")
    @classmethod
    def _batch_size_of_the_framework(cls, raw: Any) -> Any:
        if isinstance(raw, Mapping) and "batch_size" not in raw:
            framework = raw.get("framework", "torch")
            default = DEFAULT_BATCH_SIZE.get(framework) if isinstance(framework, str) else None
            return {**raw, "batch_size": default} if default else raw
        return raw

    @field_validator("loader_prefetch", "loader_pinned", "timeout_s", mode="before")
    @classmethod
    def _left_empty(cls, value: Any) -> Any:
        return None if value == "" else value

    @field_validator("devices", mode="before")
    @classmethod
    def _count_or_ids(cls, devices: Any) -> int | tuple[str, ...]:
        given = _devices_from_text(devices) if isinstance(devices, str) else devices
        if isinstance(given, (list, tuple)) and given and all(map(is_text, given)):
            if len(set(given)) != len(given):
                raise _problem("devices", f"Devices names one twice: {cut(', '.join(given))}.")
            return tuple(given)
        if isinstance(given, bool) or not isinstance(given, (int, float)) or given % 1:
            got = cut(repr(devices))
            raise _problem("devices", f"{COUNT_OR_IDS}, got {got}.")
        if not 1 <= given <= MOST_DEVICES:
            raise _problem(
                "devices", f"Devices must be between 1 and {MOST_DEVICES:,}, got {shown(given)}."
            )
        return int(given)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if found := _conflicts(self):
            raise PydanticCustomError("problems", "several", {"problems": found})
        return self

    @classmethod
    def parse(cls, raw: Any) -> RunConfig:
        """Validate nested data; raise `ConfigError` with a sentence for each problem."""
        try:
            return cls.model_validate(raw)
        except ValidationError as error:
            raise ConfigError(problems_of(error, cls)) from None

    @classmethod
    def parse_flat(cls, flat: Mapping[str, str]) -> RunConfig:
        """Validate text such as `{"epochs": "3", "workload.width": "64"}`."""
        return cls.parse(unflatten(flat))

    @property
    def device_count(self) -> int:
        return self.devices if isinstance(self.devices, int) else len(self.devices)

    @property
    def leased(self) -> int:
        """How many devices of the host it takes: a CPU's virtual devices are all on one."""
        on_cpu = self.accelerator == "cpu" and isinstance(self.devices, int)
        return 1 if on_cpu else self.device_count

    @property
    def virtual_devices(self) -> int:
        """Into how many devices a CPU is divided; 0 where every device is one of hardware."""
        return self.device_count if self.device_count > self.leased else 0

    @property
    def steps_per_epoch(self) -> int:
        """Full batches, unless the last one is kept: else the rest of an epoch's permutation is
        left out of that epoch.
        """
        return self.dataset.train_samples // self.batch_size + bool(self.last_batch)

    @property
    def last_batch(self) -> int:
        """Samples of the smaller batch that ends an epoch; 0 without one."""
        return self.dataset.train_samples % self.batch_size if self.keep_last_batch else 0

    @property
    def total_steps(self) -> int:
        return self.steps_per_epoch * self.epochs

    def flat(self) -> dict[str, str]:
        """The same config as flat text; `parse_flat` gives it back."""
        return flatten(self.model_dump(mode="json"))


def as_now(stored: Mapping[str, Any]) -> dict[str, Any]:
    """A stored config with the defaults of fields that came after it: they say what it did."""
    return _usual() | dict(stored)


@cache
def _usual() -> dict[str, Any]:
    return RunConfig().model_dump(mode="json")


class RunDetails(Section):
    """What people call a run. It belongs to the run, not to its config."""

    name: str = Field(
        default="", max_length=200, description="Left empty, it says what runs where."
    )
    tags: tuple[str, ...] = Field(default=(), max_length=20, description="For finding runs again.")
    notes: str = Field(
        default="", max_length=10_000, description="Why this run, and what came of it."
    )
    priority: int = Field(
        default=0, ge=-100, le=100, description="Higher goes first when runs wait for a device."
    )

    @field_validator("name", "notes")
    @classmethod
    def _are_text(cls, text: str, info: ValidationInfo) -> str:
        if text and not is_text(text):
            label = str(info.field_name)
            raise _problem(label, f"{label.capitalize()} {NO_TEXT}")
        return text

    @field_validator("tags")
    @classmethod
    def _short_tags(cls, tags: tuple[str, ...]) -> tuple[str, ...]:
        trimmed = tuple(dict.fromkeys(tag.strip() for tag in tags if tag.strip()))
        for tag in trimmed:
            if not is_text(tag):
                raise _problem("tags", f"A tag {NO_TEXT}")
            if len(tag) > 50:
                raise _problem(
                    "tags", f"A tag may have 50 characters at most, got {len(tag):,} in one."
                )
        return trimmed

    @classmethod
    def parse(cls, raw: Any) -> RunDetails:
        try:
            return cls.model_validate(raw)
        except ValidationError as error:
            raise ConfigError(problems_of(error, cls)) from None


def unflatten(flat: Mapping[str, str], onto: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """`{"dataset": "synthetic", "dataset.height": "8"}` -> `{"dataset": {"name": …, "height": …}}`.

    A section begins as it is in `onto`, whose other fields are left out.

    >>> unflatten({"epochs": "3", "workload": "mlp"})
    {'epochs': '3', 'workload': {'name': 'mlp'}}
    """
    raw: dict[str, Any] = {}
    for key, value in flat.items():
        section, _, field = key.partition(".")
        if section in ("workload", "dataset"):
            raw.setdefault(section, _begun(section, flat, onto or {}))
            raw[section][field or "name"] = value
        elif section == "devices":
            raw[key] = _devices_from_text(value)
        else:
            raw[key] = value
    for section, default in (("workload", "mlp"), ("dataset", "fashion_mnist")):
        if section in raw:
            raw[section].setdefault("name", default)
    return raw


def _begun(section: str, flat: Mapping[str, str], onto: Mapping[str, Any]) -> dict[str, Any]:
    """A section as it is in `onto`, unless `flat` makes another one of it."""
    begun = onto.get(section)
    if not isinstance(begun, Mapping) or flat.get(section, begun.get("name")) != begun.get("name"):
        return {}
    return dict(begun)


def flatten(raw: Mapping[str, Any]) -> dict[str, str]:
    """A stored config as flat text, also one of a version that has other fields."""
    flat: dict[str, str] = {}
    for key, value in raw.items():
        if value is None:
            continue
        if isinstance(value, Mapping):
            flat[key] = str(value.get("name"))
            flat |= {f"{key}.{k}": str(v) for k, v in value.items() if k != "name"}
        elif isinstance(value, (list, tuple)):
            flat[key] = ",".join(value)
        else:
            flat[key] = repr(value) if isinstance(value, float) else str(value)
    return flat


def _devices_from_text(text: str) -> int | list[str]:
    try:
        return int(text)
    except ValueError:
        return [part.strip() for part in text.split(",")]


def _problem(field: str, sentence: str) -> PydanticCustomError:
    return PydanticCustomError("problem", "{sentence}", {"field": field, "sentence": sentence})


def _conflicts(config: RunConfig) -> list[Problem]:
    """What is wrong between fields that are each right by themselves."""
    found = []
    pair = (config.framework, config.accelerator)
    if pair in IMPOSSIBLE_PAIRS:
        found.append(Problem("accelerator", f"{IMPOSSIBLE_PAIRS[pair]}."))
    if config.precision not in PRECISIONS[config.accelerator]:
        choices = ", ".join(PRECISIONS[config.accelerator])
        name = ACCELERATOR_NAMES[config.accelerator]
        found.append(
            Problem(
                "precision",
                f"A {name} has no {config.precision} here. Choose one of: {choices}.",
            )
        )
    found += _misshapen(config)
    if config.batch_size > config.dataset.train_samples:
        found.append(
            Problem(
                "batch_size",
                f"Batch size {config.batch_size:,} is larger than the data set's "
                f"{config.dataset.train_samples:,} training samples.",
            )
        )
    found += conflicts.of_devices(config)
    found += conflicts.of_loader(config)
    return found


def _misshapen(config: RunConfig) -> list[Problem]:
    """Where a workload does not fit the pictures it is given."""
    workload, (height, width, _) = config.workload, config.dataset.shape
    match workload:
        case ConvNet() if min(height, width) < 2**workload.depth:
            blocks = min(height, width).bit_length() - 1
            sentence = (
                f"{workload.depth} blocks halve a picture of {height} x {width} to nothing. "
                f"Depth may be {blocks} at most here."
            )
            return [Problem("workload.depth", sentence)]
        case ResNet() if (
            1 in (config.batch_size // config.device_count, config.last_batch)
            and max(height, width) <= 4
        ):
            sentence = (
                f"The last stage makes one pixel of a picture of {height} x {width}, and batch "
                "normalisation needs two. Choose batches of 2 or more, the last one too."
            )
            return [Problem("batch_size", sentence)]
        case Vit() if workload.width % workload.heads:
            sentence = f"{workload.heads} heads cannot share a width of {workload.width} evenly."
            return [Problem("workload.heads", sentence)]
        case Vit() if height % workload.patch or width % workload.patch:
            sentence = (
                f"Patches of {workload.patch} x {workload.patch} do not tile a picture of "
                f"{height} x {width}. Choose a divisor of both sides."
            )
            return [Problem("workload.patch", sentence)]
    return []
