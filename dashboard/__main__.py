"""`python -m dashboard`: serve the dashboard where the settings say, and print the address."""

from __future__ import annotations

import argparse
import errno
import os
import socket
import sqlite3
import sys
import urllib.error
import urllib.request
from pathlib import Path

import click
from streamlit.web import cli

from engine import settings
from engine.problems import ConfigError
from engine.settings import PROJECT, Settings
from storage import database

USUAL_PORT = 8501


def main() -> None:
    _take_arguments()
    try:
        configured = settings.load()
    except ConfigError as error:
        sys.exit(f"Settings: {error}")
    if _answers(configured):
        print(f"Accelboard is running already: {url(configured)}")
        return
    refused = why_not_there(configured) or why_no_store(configured)
    if refused:
        sys.exit(refused)
    print(f"Accelboard: {url(configured)}", f"Store: {configured.store}", sep="\n", flush=True)
    os.chdir(PROJECT)
    options = {
        "server.address": configured.address,
        "server.port": configured.port,
        "browser.serverAddress": configured.address,
        "logger.hideWelcomeMessage": "true",
    }
    flags = [f"--{name}={value}" for name, value in options.items()]
    try:
        cli.main(["run", "streamlit_app.py", *flags], "streamlit", standalone_mode=False)
    except click.Abort:  # Ctrl-C
        print("The dashboard has stopped. Runs go on.")


def _take_arguments() -> None:
    """Nothing is started by one who asks for help, or for what is not there."""
    parser = argparse.ArgumentParser(
        prog="python -m dashboard",
        description="Serve the dashboard where the settings say, and print the address.",
        epilog="See Settings in the README for the environment variables, such as ACCELBOARD_PORT.",
    )
    parser.add_argument("--store", type=Path, help="The store's folder; else that of the settings.")
    store = parser.parse_args().store
    if store:  # handed on to what the server imports
        os.environ["ACCELBOARD_STORE"] = str(store.absolute())


def url(configured: Settings) -> str:
    """Where a browser on this host finds the dashboard."""
    everywhere = configured.address in ("0.0.0.0", "::")
    host = "localhost" if everywhere else configured.address
    return f"http://{f'[{host}]' if ':' in host else host}:{configured.port}{_base()}"


def _base() -> str:
    """The path under which Streamlit has been told to serve."""
    given = os.environ.get("STREAMLIT_SERVER_BASE_URL_PATH", "").strip("/")
    return f"/{given}" if given else ""


def _answers(configured: Settings) -> bool:
    """Whether a dashboard of this same store is there already."""
    try:
        with urllib.request.urlopen(f"{url(configured)}/_accelboard", timeout=1) as answer:
            return answer.read().decode() == str(configured.store)
    except (OSError, urllib.error.URLError, ValueError):
        return False


def why_not_there(configured: Settings) -> str | None:
    """Why nothing can listen at the address and port, with the way out; None if it can."""
    address, port = configured.address, configured.port
    try:
        found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)
        with socket.socket(found[0][0]) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(found[0][4])
    except (socket.gaierror, UnicodeError):
        return f"Address {address!r} names no host. {_other_addresses()}"
    except OSError as error:
        return refusal(error, address, port)
    return None


def refusal(error: OSError, address: str, port: int) -> str:
    """What the system's refusal to listen means, and the way out."""
    usual = f"ACCELBOARD_PORT={USUAL_PORT} make run"
    if error.errno == errno.EADDRINUSE:
        other = port + 1 if port + 1 not in (1 << 16, USUAL_PORT) else USUAL_PORT + 1
        return (
            f"Port {port} of {address} is taken by another program. "
            f"Choose another: ACCELBOARD_PORT={other} make run"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return f"Address {address!r} is none of this host's. {_other_addresses()}"
    if error.errno == errno.EACCES:
        return f"Port {port} is for programs with more rights. Choose one from 1024 on: {usual}"
    return f"Port {port} of {address!r} cannot be opened: {error.strerror}. Choose another: {usual}"


def _other_addresses() -> str:
    return "Set ACCELBOARD_ADDRESS to 127.0.0.1 for this host alone, or to 0.0.0.0 for others too."


def why_no_store(configured: Settings) -> str | None:
    """Why the store cannot be made or used, with the way out; None if it can."""
    try:
        database.prepare(configured.store)
    except (OSError, sqlite3.Error) as error:
        return (
            f"The store in {str(configured.store)!r} cannot be used: {error}. "
            "Name a folder that you can write to: ACCELBOARD_STORE=/path/to/store make run"
        )
    return None


if __name__ == "__main__":
    main()
