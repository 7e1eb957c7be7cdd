"""The endpoints of caught emails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from twelvefold_dev.console.sources.mail_html import Scheme
from twelvefold_dev.console.sources.mails import FRAME_POLICY, Mails
from twelvefold_dev.console.state import MAIL, ConsoleState

from .responses import delete, get, json_response, number, post, require

_MAX_LIMIT, _DEFAULT_LIMIT = 500, 100
_MAX_TEXT = 500  # characters of a parameter
_MAX_WAIT, _DEFAULT_WAIT = 60, 10  # seconds for an email to arrive
_MAX_WAITING = 32  # requests at a time
_POLL_INTERVAL = 0.05  # seconds
T = TypeVar("T")


class MailEndpoints:
    """The endpoints for one state."""

    def __init__(self, state: ConsoleState) -> None:
        self._state = state
        self._waiting = 0

    @property
    def routes(self) -> Sequence[Route]:
        return [
            get("mails", self.mails),
            delete("mails", self.delete_all),
            get("mails/wait", self.wait),
            get("mails/{name}", self.mail),
            delete("mails/{name}", self.delete),
            post("mails/{name}/links", self.check_links),
            get("mails/{name}/frame", self.frame),
            get("mails/{name}/attachments/{number:int}", self.attachment),
        ]

    async def mails(self, request: Request) -> Response:
        state = self._state
        limit = number(request, "limit", maximum=_MAX_LIMIT) or _DEFAULT_LIMIT
        words = request.query_params.get("q", "")[:_MAX_TEXT]
        items, total = (
            await state.run_in_file_thread(state.mails.newest, limit, words)
            if state.mails
            else ([], 0)
        )
        return json_response({"items": items, "total": total, "caught": state.mails is not None})

    async def wait(self, request: Request) -> Response:
        """Return the newest email to an address, and wait for it where there is none yet.

        For tests: `to` is the address; `q` are words that it contains; `after` is the name of an
        email that was caught before; `timeout` are seconds. 404 where none arrives in time.
        """
        parameters = request.query_params
        to = parameters.get("to", "")[:_MAX_TEXT]
        if not to:
            raise HTTPException(400, "Name the recipient's address: to=….")
        seconds = number(request, "timeout", maximum=_MAX_WAIT) or _DEFAULT_WAIT
        words, after = parameters.get("q", "")[:_MAX_TEXT], parameters.get("after", "")[:_MAX_TEXT]
        if self._waiting >= _MAX_WAITING:
            raise HTTPException(503, "Too many requests wait for emails. Try again.")
        self._waiting += 1
        try:
            found = await self._wait_for(to, words, after, seconds)
        finally:
            self._waiting -= 1
        if found is None:
            raise HTTPException(404, f"No such email to {to} was caught within {seconds} s.")
        return json_response(found)

    async def _wait_for(
        self, to: str, words: str, after: str, seconds: int
    ) -> dict[str, Any] | None:
        mails = self._require_mails()
        deadline, version = time.monotonic() + seconds, -1
        while True:
            changed = await self._state.run_in_file_thread(mails.state)
            if changed != version:
                version = changed
                found = await self._state.run_in_file_thread(mails.find, to, words, after)
                if found is not None:
                    return found
            if time.monotonic() > deadline:
                return None
            await asyncio.sleep(_POLL_INTERVAL)

    async def mail(self, request: Request) -> Response:
        return json_response(await self._read(request, Mails.one))

    async def delete(self, request: Request) -> Response:
        if not await self._read(request, Mails.delete):
            return require(None, "email")
        self._state.live.notify(MAIL)
        return Response(status_code=204)

    async def delete_all(self, _: Request) -> Response:
        """Delete all emails that were caught until now."""
        deleted = await self._state.run_in_file_thread(self._require_mails().delete_all)
        self._state.live.notify(MAIL)
        return json_response({"deleted": deleted})

    async def check_links(self, request: Request) -> Response:
        """Open the links of an email that lead to this stack, and return what became of each."""
        mail = await self._read(request, Mails.one)
        return json_response({"links": await self._state.links.check(mail.get("links", ()))})

    async def frame(self, request: Request) -> Response:
        scheme = request.query_params.get("scheme")
        if scheme not in (None, "light", "dark"):
            raise HTTPException(400, "scheme must be light or dark.")
        html = await self._read(request, Mails.html, cast("Scheme | None", scheme))
        headers = {"Content-Security-Policy": FRAME_POLICY}
        return Response(html, media_type="text/html", headers=headers)

    async def attachment(self, request: Request) -> Response:
        part = request.path_params["number"]
        name, content = await self._read(request, Mails.attachment, part)
        # Without its own media type, so that no browser opens it as a document of this origin.
        disposition = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
        headers = {"Content-Disposition": disposition}
        return Response(content, media_type="application/octet-stream", headers=headers)

    async def _read(self, request: Request, read: Callable[..., T | None], *arguments: Any) -> T:
        mails, name = self._require_mails(), request.path_params["name"]
        content = await self._state.run_in_file_thread(read, mails, name, *arguments)
        return require(content, "email")

    def _require_mails(self) -> Mails:
        return require(self._state.mails, "email")
