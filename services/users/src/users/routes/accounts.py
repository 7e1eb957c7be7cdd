"""Accounts over HTTP."""

from uuid import UUID

from fastapi import APIRouter, Request, Response

from twelvefold.cache.cache import CacheEntry
from twelvefold.contracts.accounts import User, UserCreate, UserUpdate
from twelvefold.contracts.email_address import email_key
from twelvefold.http.rest.conditional import etag, parse_if_match
from twelvefold.http.rest.idempotency import StoredResponse
from twelvefold.http.rest.problems import problem_responses
from users.dependencies import (
    IdempotencyKey,
    IfMatch,
    Services,
    Writer,
    from_api,
    may_read,
    may_write,
)
from users.repository.accounts import AccountRecord
from users.service.documents import document

_JSON = "application/json"
router = APIRouter(prefix="/internal/v1/users", tags=["users"])


def _document(entry: CacheEntry) -> Response:
    return Response(entry.body, headers={"ETag": etag(entry.version)}, media_type=_JSON)


def _created(account: AccountRecord) -> StoredResponse:
    entry = document(account)
    headers = {"ETag": etag(entry.version), "Location": f"{router.prefix}/{account.id}"}
    return StoredResponse(201, entry.body or b"", headers)


@router.post(
    "",
    operation_id="create_user",
    dependencies=[from_api],
    status_code=201,
    response_model=User,
    responses=problem_responses(401, 403, 409, 422, 429, 503),
)
async def create_user(
    request: Request, new: UserCreate, services: Services, idempotency_key: IdempotencyKey = None
) -> Response:
    """Register an account and queue its welcome email."""
    body = await request.body()
    # The address alone identifies the caller: another caller's equal key is a different key, and
    # a retry may come from another network.
    caller = services.idempotency.pseudonym(email_key(new.email))
    operation = services.idempotency.once(caller, idempotency_key, "POST /users", body)
    stored = await services.accounts.register(new, operation, _created)
    return Response(stored.body, stored.status, headers=stored.headers, media_type=_JSON)


@router.get(
    "/{user_id}",
    operation_id="get_user",
    dependencies=[from_api, may_read],
    response_model=User,
    responses=problem_responses(401, 403, 404, 422, 503),
)
async def get_user(user_id: UUID, services: Services) -> Response:
    """Return an account, to itself and to admins. Fills the cache that the edge has missed in."""
    return _document(await services.accounts.get(user_id))


@router.patch(
    "/{user_id}",
    operation_id="update_user",
    dependencies=[from_api, may_write],
    response_model=User,
    responses=problem_responses(401, 403, 404, 412, 422, 428, 503),
)
async def update_user(
    user_id: UUID, changes: UserUpdate, services: Services, if_match: IfMatch = None
) -> Response:
    """Change the given fields where If-Match names the current version."""
    return _document(await services.accounts.update(user_id, changes, parse_if_match(if_match)))


@router.delete(
    "/{user_id}",
    operation_id="delete_user",
    dependencies=[from_api],
    status_code=204,
    responses=problem_responses(401, 403, 404, 409, 412, 422, 503),
)
async def delete_user(
    user_id: UUID, caller: Writer, services: Services, if_match: IfMatch = None
) -> None:
    """Delete the account where If-Match names the current version or is not sent.

    401 insufficient_user_authentication where the caller's login is older than 5 minutes; 409 for
    the last active admin.
    """
    expected = None if if_match is None else parse_if_match(if_match)
    await services.accounts.delete(user_id, caller.session_id, expected)
