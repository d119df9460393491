"""Sends alerts to wherever the settings say, by Apprise, which is imported only then."""

from __future__ import annotations

import logging
from typing import Any

LONGEST_REASON = 300


def send(addresses: str, title: str, body: str) -> list[str]:
    """Send to each address (separated by spaces); a sentence for each that did not work.

    Addresses hold secrets: what is said of one has them hidden.
    """
    import apprise

    problems = []
    for place, address in enumerate(addresses.split(), 1):
        service = apprise.Apprise.instantiate(address)
        if not isinstance(service, apprise.NotifyBase):
            problems.append(f"Address {place} of ACCELBOARD_ALERTS is none that Apprise knows.")
            continue
        capture: Any = apprise.LogCapture(level=logging.WARNING, fmt="%(message)s")
        with capture as log:  # in memory
            is_sent, heard = _sent(service, title, body), log.getvalue()
        if not is_sent:
            reason = " ".join(heard.split())[:LONGEST_REASON] or "no reason was given"
            problems.append(f"{service.url(privacy=True)} was not reached: {reason}")
    return problems


def _sent(service: Any, title: str, body: str) -> bool:
    """Whatever a service's own code raises is its trouble, and is told like any other."""
    try:
        return bool(service.notify(body=body, title=title))
    except Exception as error:  # noqa: BLE001
        logging.getLogger("apprise").warning("%s: %s", type(error).__name__, error)
        return False
