"""Sending a recorded request again, as the demo account and with a new Idempotency-Key."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable
from urllib.parse import urlencode

from .http_client import HttpClient, HttpResponse, RequestFailed
from .recordings import Recording

_KEY = "idempotency-key"
_LOGIN = "/api/v1/auth/token"
_RENEWED_BEFORE = 30.0  # seconds before a token expires
_OK, _UNAUTHORIZED = 200, 401


class ResendRefused(Exception):
    """The request cannot be sent again."""


class Resender:
    """Sends to the public URLs in `public`, by service; `edge` is where the demo account logs in.

    `demo` returns email and password of the demo account, or None where there is none.
    """

    def __init__(
        self,
        http: HttpClient,
        *,
        edge: str,
        public: dict[str, str],
        demo: Callable[[], tuple[str, str] | None],
    ) -> None:
        self._http = http
        self._edge = edge
        self._public = public
        self._demo = demo
        self._token, self._expires = "", 0.0  # by the monotonic clock
        self._lock = asyncio.Lock()

    async def send(self, recording: Recording) -> HttpResponse:
        """Send the request again. Raises ResendRefused or RequestFailed."""
        if recording.body is None:
            raise ResendRefused("The body was not recorded whole, so it cannot be sent again.")
        if recording.service not in self._public:
            raise ResendRefused(f"{recording.service} has no public URL.")
        headers = [(name, value) for name, value in recording.headers if name.lower() != _KEY]
        if len(headers) < len(recording.headers) or recording.method == "POST":
            headers.append(("Idempotency-Key", f'"{uuid.uuid4()}"'))
        if recording.authorized:
            headers.append(("Authorization", f"Bearer {await self._login()}"))
        url = self._public[recording.service]
        body = recording.body or None
        response = await self._http.send(recording.method, url, recording.target, headers, body)
        if response.status == _UNAUTHORIZED:
            self._expires = 0.0  # the sessions of the demo account were ended
        return response

    async def _login(self) -> str:
        """Return a token of the demo account."""
        async with self._lock:
            if time.monotonic() > self._expires:
                await self._fetch_token()
            return self._token

    async def _fetch_token(self) -> None:
        account = self._demo()
        if account is None:
            raise ResendRefused("There is no demo account to send the request as.")
        form = {"grant_type": "password", "username": account[0], "password": account[1]}
        headers = [("Content-Type", "application/x-www-form-urlencoded")]
        body = urlencode(form).encode()
        response = await self._http.send("POST", self._edge, _LOGIN, headers, body)
        try:
            if response.status != _OK:
                raise ValueError(f"HTTP {response.status}")
            content = json.loads(response.body)
            token, lifetime = str(content["access_token"]), float(content["expires_in"])
        except (ValueError, KeyError, TypeError) as error:
            raise RequestFailed(f"The demo account cannot log in: {error}.") from error
        self._token, self._expires = token, time.monotonic() + lifetime - _RENEWED_BEFORE
