"""/api/v1/users/me/…: one's own credentials, sessions, and everything that is kept."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path
from fastapi.responses import Response

from api.auth import signed_in
from api.dependencies import Services
from api.rate_limits import RateLimitName
from api.schemas import AccountExport, Image, Job
from twelvefold.contracts.accounts import EmailChange, PasswordChange, SessionList
from twelvefold.http.rest.streaming import OpenedResponse
from twelvefold.security.principals import Principal

from .responses import described, document_problems, json_items, json_response

router = APIRouter(prefix="/api/v1/users/me", tags=["users"])
Reads = Annotated[Principal, signed_in("users:read")]
Writes = Annotated[Principal, signed_in("users:write")]
# Who has a stolen token must not try passwords or send mails with it at the usual rate.
Guesses = Annotated[Principal, signed_in("users:write", limit=RateLimitName.CREDENTIALS)]
# By address as well: many accounts of one person are no more than one.
Mails = Annotated[
    Principal, signed_in("users:write", limit=RateLimitName.MAIL, address_limit=RateLimitName.MAIL)
]


@router.post(
    "/password",
    operation_id="change_password",
    summary="Change my password",
    status_code=204,
    responses=document_problems(401, 403, 404, 413, 415, 422),
)
async def change_password(
    request: PasswordChange, principal: Guesses, services: Services
) -> Response:
    """Ends every other session. 403 where the current password is wrong."""
    await services.accounts.change_password(principal, request)
    return Response(status_code=204)


@router.post(
    "/email",
    operation_id="change_email",
    summary="Change my address",
    status_code=202,
    response_class=Response,
    responses={
        **described(202, "The same answer whether or not somebody has the address"),
        **document_problems(401, 403, 404, 413, 415, 422),
    },
)
async def change_email(request: EmailChange, principal: Mails, services: Services) -> Response:
    """A mail goes to the new address, which counts once its link has been followed.

    403 without the account's password. The old address, where it was verified, gets a link that
    undoes the change for 7 days.
    """
    await services.accounts.change_email(principal, request)
    return Response(status_code=202)


@router.get(
    "/sessions",
    operation_id="list_my_sessions",
    summary="List my sessions",
    response_model=SessionList,
    responses={**described(200, "The latest used first"), **document_problems(401, 403)},
)
async def list_my_sessions(principal: Reads, services: Services) -> Response:
    return json_response(await services.accounts.sessions(principal))


@router.delete(
    "/sessions/{session_id}",
    operation_id="end_my_session",
    summary="End one of my sessions",
    status_code=204,
    responses=document_problems(401, 403, 404, 422),
)
async def end_my_session(
    session_id: Annotated[UUID, Path(description="Id of the session.")],
    principal: Writes,
    services: Services,
) -> Response:
    """At once, with its access tokens; the caller's own is one of them."""
    await services.accounts.end_session(principal, session_id)
    return Response(status_code=204)


@router.get(
    "/export",
    operation_id="export_me",
    summary="Everything that is kept on me",
    response_model=AccountExport,
    responses={
        **described(200, "The account, its images and jobs"),
        **document_problems(401, 403, 404),
    },
)
async def export_me(principal: Reads, services: Services) -> Response:
    """Sent while it is read, one at a time for an account (429). A broken connection means that
    it is not whole.
    """
    headers = {"Content-Disposition": 'attachment; filename="twelvefold-export.json"'}
    return OpenedResponse(_export(services, principal), headers=headers)


@asynccontextmanager
async def _export(services: Services, principal: Principal) -> AsyncIterator[AsyncIterator[bytes]]:
    """An `AccountExport` as JSON, piece by piece."""
    async with services.reports.export(principal) as found:

        async def pieces() -> AsyncIterator[bytes]:
            yield b'{"account":' + found.account + b',"images":['
            async for piece in json_items(found.images, Image.of):
                yield piece
            yield b'],"jobs":['
            async for piece in json_items(found.jobs, Job.of):
                yield piece
            yield b"]}"

        yield pieces()
