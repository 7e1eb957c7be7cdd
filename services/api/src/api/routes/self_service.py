"""/api/v1/users/me/…: the caller's own credentials, sessions and data."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import Response

from api.dependencies import Services
from api.rate_limits import AccountLimit
from api.schemas import AccountExport, Image, Job
from twelvefold.contracts.accounts import EmailChange, PasswordChange, SessionList
from twelvefold.http.edge.parameters import Id
from twelvefold.http.edge.policies import signed_in
from twelvefold.http.edge.responses import described, document_problems, json_items, json_response
from twelvefold.http.rest.streaming import OpenedResponse
from twelvefold.security.principals import Principal

router = APIRouter(prefix="/api/v1/users/me", tags=["users"])
Reads = Annotated[Principal, signed_in("users:read")]
Writes = Annotated[Principal, signed_in("users:write")]
# A stolen token must not try passwords or send emails at the ordinary rate.
Guesses = Annotated[Principal, signed_in("users:write", limit=AccountLimit.CREDENTIALS)]
# Also by address, since one person may have many accounts.
Mails = Annotated[
    Principal, signed_in("users:write", limit=AccountLimit.MAIL, address_limit=AccountLimit.MAIL)
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
        **described(202, "The same response for taken and free addresses"),
        **document_problems(401, 403, 404, 413, 415, 422),
    },
)
async def change_email(request: EmailChange, principal: Mails, services: Services) -> Response:
    """Sends an email to the new address, which takes effect once its link was used.

    403 without the account's password. The former address, if verified, gets a link that undoes
    the change for 7 days.
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
    """The active logins of the account; `current` marks the one that asks."""
    return json_response(await services.accounts.sessions(principal))


@router.delete(
    "/sessions/{session_id}",
    operation_id="end_my_session",
    summary="End one of my sessions",
    status_code=204,
    responses=document_problems(401, 403, 404, 422),
)
async def end_my_session(
    session_id: Annotated[Id, Path(description="Id of the session.")],
    principal: Writes,
    services: Services,
) -> Response:
    """Takes effect at once, also on its access tokens. The caller's own session is allowed."""
    await services.accounts.end_session(principal, session_id)
    return Response(status_code=204)


@router.get(
    "/export",
    operation_id="export_me",
    summary="Export my data",
    response_model=AccountExport,
    responses={
        **described(200, "The account, its images and jobs, and what further services keep"),
        **document_problems(401, 403, 404),
    },
)
async def export_me(principal: Reads, services: Services) -> Response:
    """Streamed, one export at a time per account (429). 503 where a service that keeps data of the
    account fails. After a broken connection it is incomplete.
    """
    headers = {"Content-Disposition": 'attachment; filename="twelvefold-export.json"'}
    return OpenedResponse(_export(services, principal), headers=headers)


@asynccontextmanager
async def _export(services: Services, principal: Principal) -> AsyncIterator[AsyncIterator[bytes]]:
    """Yield an `AccountExport` as JSON, in chunks."""
    async with services.reports.export(principal) as data:

        async def chunks() -> AsyncIterator[bytes]:
            yield b'{"account":' + data.account + b',"services":{'
            separator = b""
            for name, body in data.services.items():
                yield separator + json.dumps(name).encode() + b":" + body
                separator = b","
            yield b'},"images":['
            async for chunk in json_items(data.images, Image.of):
                yield chunk
            yield b'],"jobs":['
            async for chunk in json_items(data.jobs, Job.of):
                yield chunk
            yield b"]}"

        yield chunks()
