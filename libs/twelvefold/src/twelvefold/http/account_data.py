"""The hooks of a service that keeps data of accounts: export and erasure at its internal port.

Owns paths, callers and failures on both sides. A service with such rows declares
`account_data="hooks"`, passes `create_account_data_router` its two use cases, and is then asked
with all others.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any
from uuid import UUID

import structlog
from fastapi import APIRouter, Depends
from fastapi.responses import Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel

from twelvefold.errors import DependencyUnavailable, Forbidden, TwelvefoldError, Unauthenticated
from twelvefold.security.tokens import TokenVerifier
from twelvefold.service.backing import BackingServices
from twelvefold.settings import AccountDataSettings, CallerSettings

from .callers import require_caller
from .internal import MAX_RESPONSE_BYTES, InternalClient
from .rest.problems import problem_responses

PATH = "/internal/v1/account-data"
MAX_EXPORT_BYTES = MAX_RESPONSE_BYTES  # of one service
_SCOPE = "users:read"
_log = structlog.get_logger(__name__)
_bearer = HTTPBearer(auto_error=False, description="The account's access token.")

Export = Callable[[UUID], Awaitable[BaseModel]]
Erase = Callable[[UUID], Awaitable[object]]


def create_account_data_router(
    *, verifier: TokenVerifier, export: Export, erase: Erase
) -> APIRouter:
    """Return the router of a service's internal app.

    `export` returns everything that the service keeps about an account, as JSON of at most
    MAX_EXPORT_BYTES. `erase` deletes it; it may be repeated, also for an unknown account.
    """
    router = APIRouter(prefix=PATH, tags=["account data"])

    @router.get(
        "/{account_id}",
        operation_id="export_account_data",
        summary="Return everything that this service keeps about an account",
        response_model=dict[str, Any],
        dependencies=[Depends(require_caller("api"))],
        responses=problem_responses(401, 403, 422, 503),
    )
    async def export_account_data(
        account_id: UUID,
        credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    ) -> Response:
        """Only the account itself may ask. The edge forwards its token."""
        if credentials is None:
            raise Unauthenticated("Send the account's bearer token.")
        principal = await verifier.verify(credentials.credentials)
        principal.require_scope(_SCOPE)
        if principal.id != account_id:
            raise Forbidden("You may access only your own account.")
        data = await export(account_id)
        return Response(data.model_dump_json(), media_type="application/json")

    @router.delete(
        "/{account_id}",
        operation_id="erase_account_data",
        summary="Erase everything that this service keeps about an account",
        status_code=204,
        dependencies=[Depends(require_caller("worker"))],
        responses=problem_responses(401, 403, 422, 503),
    )
    async def erase_account_data(account_id: UUID) -> Response:
        """Idempotent. Repeated until it has succeeded once."""
        await erase(account_id)
        return Response(status_code=204)

    return router


class AccountDataClients:
    """The hooks of all services that declare them."""

    def __init__(self, clients: Sequence[InternalClient]) -> None:
        self._clients = clients

    async def export(self, account_id: UUID, *, bearer: str) -> dict[str, bytes]:
        """Return the JSON object of each service by its name.

        Raises DependencyUnavailable where any of them fails: a part would look like everything.
        """
        bodies = await self._ask_all(lambda client: _export(client, account_id, bearer))
        return {client.name: body for client, body in zip(self._clients, bodies, strict=True)}

    async def erase(self, account_id: UUID) -> None:
        """Erase the account in each service; one that fails does not keep the others from it.

        Raises DependencyUnavailable where any of them fails: repeat it.
        """

        async def erase(client: InternalClient) -> None:
            await client.request("DELETE", f"{PATH}/{account_id}")

        await self._ask_all(erase)

    async def _ask_all(self, ask: Callable[[InternalClient], Awaitable[Any]]) -> list[Any]:
        answers = await asyncio.gather(*map(ask, self._clients), return_exceptions=True)
        for client, answer in zip(self._clients, answers, strict=True):
            if isinstance(answer, TwelvefoldError):
                _log.warning("account_data_failed", service=client.name, reason=answer.detail)
                raise DependencyUnavailable(client.name) from answer
            if isinstance(answer, BaseException):
                raise answer
        return answers


async def _export(client: InternalClient, account_id: UUID, bearer: str) -> bytes:
    response = await client.request("GET", f"{PATH}/{account_id}", bearer=bearer)
    body: bytes = response.content
    if not await asyncio.to_thread(_is_object, body):
        raise DependencyUnavailable(client.name)
    return body


def _is_object(body: bytes) -> bool:
    try:
        return isinstance(json.loads(body), dict)
    except ValueError:
        return False


def create_account_data_clients(
    settings: AccountDataSettings, backing: BackingServices, *, caller: str
) -> AccountDataClients:
    """Return the clients of the services in the settings, which `backing` pings and closes.

    Raises TypeError where the settings lack the secret of the caller.
    """
    if not isinstance(settings, CallerSettings):
        raise TypeError(f"{type(settings).__name__} has no CallerSettings")
    clients = [
        InternalClient(
            name,
            url,
            caller=caller,
            secret=settings.internal_secret,
            timeout=settings.internal_timeout,
        )
        for name, url in settings.account_data_services.items()
    ]
    for client in clients:
        backing.register(client.name, client.ping, client.aclose)
    return AccountDataClients(clients)
