"""The demo account: somebody to log in as, made once through the public API."""

from __future__ import annotations

import asyncio
import http.client
import json
import secrets
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from twelvefold_dev.checkout import read_json, write_private

_ADDRESS = "demo@example.com"  # RFC 2606: nobody's
_TIMEOUT = 10.0


class DemoFailed(Exception):
    """The account is not there; the stack is of use without it."""


async def demo_account(public: str, path: Path) -> dict[str, str]:
    """Its address and password, kept in `path`. Raises DemoFailed."""
    kept: dict[str, Any] = read_json(path) or {}
    account = {
        "email": kept.get("email", _ADDRESS),
        "password": kept.get("password", secrets.token_urlsafe(15)),
    }
    if not kept.get("registered"):
        # The password is on disk before the account is there, not only after.
        write_private(path, {**account, "registered": False})
        await asyncio.to_thread(_register, public, account)
        write_private(path, {**account, "registered": True})
    return account


def _register(public: str, account: dict[str, str]) -> None:
    connection = http.client.HTTPConnection(urlsplit(public).netloc, timeout=_TIMEOUT)
    body = json.dumps({**account, "name": "Demo"})
    try:
        connection.request(
            "POST", "/api/v1/users", body=body, headers={"Content-Type": "application/json"}
        )
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException) as error:
        raise DemoFailed(f"no demo account: {error}") from error
    finally:
        connection.close()
    # Taken: by our own request whose answer was lost.
    if response.status not in (HTTPStatus.CREATED, HTTPStatus.CONFLICT):
        raise DemoFailed(f"no demo account: registration answered {response.status}")
