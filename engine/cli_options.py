"""What the commands share: options, how a config is given, exit statuses, errors in a sentence."""

from __future__ import annotations

import functools
import json
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from engine import settings, store_problems
from engine.config import unflatten
from engine.launch import NotPossible, UnknownRun
from engine.problems import ConfigError, Problem
from engine.settings import Settings
from engine.tpu.environment import CheckImpossible
from storage import database
from storage.fields import BadQuery

EXIT_BAD_INPUT, EXIT_UNKNOWN_RUN, EXIT_NOT_POSSIBLE, EXIT_INTERRUPTED = 2, 4, 5, 130
EXIT_OF_STATUS = {"SUCCEEDED": 0, "FAILED": 1, "STOPPED": 3}
STORE = f"{__name__}.store"
# Commands that make no store where there is none.
NEEDS_A_STORE = {
    *("list_runs", "show", "watch", "stop", "retry", "resume", "edit", "archive", "restore"),
    *("delete", "export_run", "study_list", "study_show", "study_stop", "study_resume"),
    *("reference_add", "reference_list", "reference_run", "reference_remove"),
    *("reference_alerts", "reference_acknowledge"),
}


def _keep_store(ctx: click.Context, _: click.Parameter, store: Path | None) -> None:
    if store:
        ctx.meta[STORE] = store


# Before a command or after it; the last one counts.
store_argument = click.option(
    "--store",
    type=click.Path(path_type=Path, file_okay=False),
    help="The store's folder; else that of the settings.",
    expose_value=False,
    callback=_keep_store,
)


def store_option(command: Callable[..., None]) -> Callable[..., None]:
    """Give the command `--store`, and its function the settings instead; errors in a sentence."""

    @store_argument
    @functools.wraps(command)
    def wrapped(**arguments: Any) -> None:
        try:
            found = _settings()
            if command.__name__ in NEEDS_A_STORE:
                _check_there(found.store)
            command(settings=found, **arguments)
        except ConfigError as error:
            for problem in error.problems:
                click.echo(f"Error: {problem.sentence}", err=True)
            sys.exit(EXIT_BAD_INPUT)
        except BadQuery as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(EXIT_BAD_INPUT)
        except UnknownRun as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(EXIT_UNKNOWN_RUN)
        except (NotPossible, CheckImpossible) as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(EXIT_NOT_POSSIBLE)
        except BrokenPipeError:  # the reader has seen enough
            sys.stdout = None
        except (OSError, sqlite3.Error) as error:
            click.echo(f"Error: {store_problems.sentence(error, _settings().store)}", err=True)
            sys.exit(EXIT_NOT_POSSIBLE)

    return wrapped


def _settings() -> Settings:
    return settings.load(click.get_current_context().meta.get(STORE))


def _check_there(store: Path) -> None:
    """What reads or changes runs makes no store that is not there: its path may be mistyped.

    Raise `NotPossible`, or `sqlite3.Error` for one that this version cannot read.
    """
    if not database.path_of(store).exists():
        raise NotPossible(
            f"There is no store in {str(store)!r}. Check the path; the first run that is submitted "
            "makes one."
        )
    with database.opened(store) as db:
        database.check(db)


json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
set_option = click.option(
    "--set", "pairs", multiple=True, metavar="KEY=VALUE", help="A field of the config; repeatable."
)
config_option = click.option(
    "--config",
    "config_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A config as JSON, or a run as `show --json` prints it; --set goes on top.",
)


def config_from(
    framework: str | None, pairs: tuple[str, ...], config_file: Path | None
) -> dict[str, Any]:
    """The file's fields, then `--framework`, then each `--set`. Raise `ConfigError`."""
    raw = _read_config(config_file) if config_file else {}
    flat: dict[str, str] = {"framework": framework} if framework else {}
    on_top = unflatten(flat | given_pairs(pairs), raw)
    return raw | on_top


def given_pairs(pairs: tuple[str, ...]) -> dict[str, str]:
    flat = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise click.UsageError(f"--set takes KEY=VALUE, got {pair!r}.")
        flat[key.strip()] = value.strip()
    return flat


def _read_config(file: Path) -> dict[str, Any]:
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ConfigError([Problem("config", f"{file} is not valid JSON: {error}.")]) from None
    if not isinstance(raw, dict):
        raise ConfigError([Problem("config", f"{file} must hold one JSON object of fields.")])
    return raw["config"] if isinstance(raw.get("config"), dict) else raw
