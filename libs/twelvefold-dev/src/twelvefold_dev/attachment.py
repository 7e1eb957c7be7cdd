"""The environment of a running stack, for admin tasks that are run in its folder."""

from __future__ import annotations

from pathlib import Path

from twelvefold_dev.servers.server import StackError
from twelvefold_dev.supervisor.control import RunLock, ask

from .checkout import Checkout

_ASK_TIMEOUT = 15.0  # seconds


def find_environment(process: str) -> dict[str, str]:
    """Return the settings of `process`, a service or "operator"; empty where no stack runs here."""
    try:
        checkout = Checkout.find(Path.cwd())
        if not RunLock(checkout.run).is_held:
            return {}
        for response in ask(checkout.run, _ASK_TIMEOUT, command="env", process=process):
            environment: dict[str, str] = response["environment"]
            return environment
    except (StackError, OSError):
        pass
    return {}
