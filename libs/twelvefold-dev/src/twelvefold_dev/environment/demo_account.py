"""The demo account, which is registered once through the public API."""

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

_ADDRESS = "demo@example.com"  # a reserved domain (RFC 2606)
_TIMEOUT = 10.0  # seconds


class DemoFailed(Exception):
    """The demo account could not be registered. The stack works without it."""


async def ensure_demo_account(public: str, path: Path) -> dict[str, str]:
    """Register the account unless `path` records it, and return its email and password.

    Raises DemoFailed where the registration fails.
    """
    stored: dict[str, Any] = read_json(path) or {}
    account = {
        "email": stored.get("email", _ADDRESS),
        "password": stored.get("password", secrets.token_urlsafe(15)),
    }
    if not stored.get("registered"):
        # Written before the registration, so that a crash in between does not lose the password.
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
        raise DemoFailed(f"demo account not registered: {error}") from error
    finally:
        connection.close()
    # CONFLICT: an earlier request registered the account, but its response was lost.
    if response.status not in (HTTPStatus.CREATED, HTTPStatus.CONFLICT):
        raise DemoFailed(f"demo account not registered: the API returned {response.status}")
