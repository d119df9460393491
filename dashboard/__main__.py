"""`python -m dashboard`: serve the dashboard where the settings say, and print the address."""

from __future__ import annotations

import os
import socket
import sys
import urllib.error
import urllib.request

from engine import settings
from engine.problems import ConfigError
from engine.settings import PROJECT, Settings


def main() -> None:
    if sys.argv[1:]:
        _say_how(sys.argv[1:])
    try:
        configured = settings.load()
    except ConfigError as error:
        sys.exit(f"Settings: {error}")
    if _answers(configured):
        print(f"Accelboard is running already: {url(configured)}")
        return
    if _port_taken(configured):
        sys.exit(
            f"Port {configured.port} of {configured.address} is taken by another program. "
            f"Choose another: ACCELBOARD_PORT={configured.port + 1} make run"
        )
    print(f"Accelboard: {url(configured)}", f"Store: {configured.store}", sep="\n", flush=True)
    os.chdir(PROJECT)
    options = {
        "server.address": configured.address,
        "server.port": configured.port,
        "browser.serverAddress": configured.address,
        "logger.hideWelcomeMessage": "true",
    }
    flags = [f"--{name}={value}" for name, value in options.items()]
    command = [sys.executable, "-m", "streamlit", "run", "streamlit_app.py", *flags]
    os.execv(sys.executable, command)


def _say_how(arguments: list[str]) -> None:
    """Nothing is started by one who asks for help, or for what is not there."""
    usage = (
        f"{__doc__}\n\nIt takes no arguments: see Settings in the README for the environment "
        "variables, such as ACCELBOARD_PORT and ACCELBOARD_STORE."
    )
    if set(arguments) & {"-h", "--help"}:
        print(usage)
        sys.exit()
    sys.exit(f"Unknown argument {arguments[0]!r}. {usage.splitlines()[-1]}")


def url(configured: Settings) -> str:
    """Where a browser on this host finds the dashboard."""
    everywhere = configured.address in ("0.0.0.0", "::")
    host = "localhost" if everywhere else configured.address
    return f"http://{f'[{host}]' if ':' in host else host}:{configured.port}"


def _answers(configured: Settings) -> bool:
    """Whether a dashboard of this same store is there already."""
    try:
        with urllib.request.urlopen(f"{url(configured)}/_accelboard", timeout=1) as answer:
            return answer.read().decode() == str(configured.store)
    except (OSError, urllib.error.URLError, ValueError):
        return False


def _port_taken(configured: Settings) -> bool:
    family = socket.AF_INET6 if ":" in configured.address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((configured.address, configured.port))
        except OSError:
            return True
    return False


if __name__ == "__main__":
    main()
