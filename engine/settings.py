"""Where things are and how they are reached: environment variables, else `accelboard.toml`.

The file is looked for in the project's folder, or is the one that ACCELBOARD_SETTINGS names.
"""

from __future__ import annotations

import os
import sys
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from engine.config import FRAMEWORK_NAMES
from engine.problems import ConfigError, Problem, problems_of

PROJECT = Path(__file__).resolve().parent.parent
TPU_CHECK_PYTHON = PROJECT / ".venv-tpu" / "bin" / "python"


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="ACCELBOARD_", extra="forbid", env_ignore_empty=True, frozen=True
    )

    store: Path = Field(
        default=PROJECT / "store", description="Folder of the database and the runs."
    )
    data_dir: Path = Field(
        default=Path("~/.cache/accelboard"), description="Folder where data sets are cached."
    )
    address: str = Field(
        default="127.0.0.1", description="Network address the dashboard listens on."
    )
    port: int = Field(default=8501, ge=1, le=65_535, description="Port the dashboard listens on.")
    public_address: str = Field(
        default="",
        description="Address under which others reach the dashboard, for links that are copied.",
    )
    python_keras: Path = Field(
        default=Path(sys.executable), description="Interpreter of Keras/TensorFlow trainers."
    )
    python_torch: Path = Field(
        default=Path(sys.executable), description="Interpreter of PyTorch trainers."
    )
    python_torch_xla: Path = Field(
        default=Path(sys.executable), description="Interpreter of PyTorch/XLA trainers."
    )
    python_tpu_check: Path = Field(
        default=TPU_CHECK_PYTHON, description="Interpreter that has the TPU's compiler."
    )
    warm: str = Field(
        default="all",
        description="Which frameworks have a trainer waiting between runs: all, none, or some of "
        "keras,torch,torch_xla. Each takes about 0.7 GB.",
    )
    stop_grace_s: float = Field(
        default=10.0,
        ge=0,
        le=3600,
        description="Seconds a trainer has to stop before it is killed.",
    )
    stall_s: float = Field(
        default=900.0,
        gt=0,
        le=86_400,
        description="Seconds without an event before a run is stalled.",
    )
    readings_s: float = Field(
        default=1.0,
        ge=0,
        le=3600,
        description="Seconds between readings of power, memory and load; 0 takes none.",
    )

    alerts: str = Field(
        default="",
        repr=False,
        description="Where alerts are sent: addresses of Apprise with spaces between them.",
    )

    @field_validator("warm")
    @classmethod
    def _known_frameworks(cls, text: str) -> str:
        unknown = [name for name in _names(text) if name not in FRAMEWORK_NAMES]
        if unknown and text not in ("all", "none"):
            choices = ", ".join(("all", "none", *FRAMEWORK_NAMES))
            raise ValueError(f"Unknown framework {unknown[0]!r}. Choose from: {choices}.")
        return text

    @field_validator("public_address")
    @classmethod
    def _web_address(cls, text: str) -> str:
        parts = urlsplit(text)
        if text and (parts.scheme not in ("http", "https") or not parts.netloc or parts.query):
            raise ValueError(
                f"Public address must begin with http:// or https:// and name a host, got {text!r}."
            )
        return text.rstrip("/")

    @field_validator("store", "data_dir")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        return path.expanduser().absolute()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, _file())

    @property
    def warm_frameworks(self) -> tuple[str, ...]:
        if self.warm in ("all", "none"):
            return tuple(FRAMEWORK_NAMES) if self.warm == "all" else ()
        return _names(self.warm)

    def interpreter(self, framework: str) -> Path:
        """The Python that runs a framework's trainers."""
        return getattr(self, f"python_{framework}")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


def _file() -> Path:
    """The project's own file may be absent; one that is named must be there."""
    named = os.environ.get("ACCELBOARD_SETTINGS")
    if named and not Path(named).is_file():
        sentence = f"ACCELBOARD_SETTINGS names {named!r}, which is no file."
        raise ConfigError([Problem("settings", sentence)])
    return Path(named) if named else PROJECT / "accelboard.toml"


def load(store: Path | None = None) -> Settings:
    """Settings as they stand now; `store` overrides what is configured. Raise `ConfigError`.

    Read again only if the environment or the file is another: pages ask many times a second.
    """
    ours = (one for one in os.environ.items() if one[0].upper().startswith(("ACCELBOARD_", "HOME")))
    return _load(store, tuple(sorted(ours)), _state_of(_file()))


def _state_of(file: Path) -> tuple[Path, int, int] | None:
    """What tells a file from a later one of its name; None if there is none."""
    try:
        about = file.stat()
    except OSError:
        return None
    return file, about.st_mtime_ns, about.st_size


@lru_cache(maxsize=16)
def _load(store: Path | None, *_state: object) -> Settings:
    given: dict[str, Any] = {"store": store} if store else {}
    try:
        return Settings(**given)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([Problem("settings", f"{_file()} is not valid TOML: {error}.")]) from None
    except OSError as error:
        raise ConfigError([Problem("settings", f"{_file()} cannot be read: {error}.")]) from None
    except ValidationError as error:
        raise ConfigError(problems_of(error, Settings)) from None
