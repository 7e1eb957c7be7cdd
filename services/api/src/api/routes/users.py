"""/api/v1/users: registration and profiles."""

from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import Response

from api.dependencies import Services
from api.rate_limits import AccountLimit
from twelvefold.contracts.accounts import User, UserCreate, UserUpdate
from twelvefold.http.edge.parameters import Id, IdempotencyKey, IfMatch, IfNoneMatch
from twelvefold.http.edge.policies import anyone, signed_in
from twelvefold.http.edge.responses import (
    NOT_MODIFIED,
    described,
    document_problems,
    versioned,
)
from twelvefold.http.rest.conditional import parse_if_match
from twelvefold.security.principals import Principal

router = APIRouter(prefix="/api/v1/users", tags=["users"])
ReadsUsers = Annotated[Principal, signed_in("users:read")]
WritesUsers = Annotated[Principal, signed_in("users:write")]
UserId = Annotated[Id, Path(description="Id of the account.")]


@router.post(
    "",
    operation_id="create_user",
    summary="Register an account",
    status_code=201,
    response_model=User,
    dependencies=[anyone(AccountLimit.REGISTRATION)],
    responses={
        **described(
            201,
            "The account; a welcome email was queued",
            "Location",
            "ETag",
            "Idempotency-Replayed",
        ),
        **document_problems(409, 413, 415, 422),
    },
)
async def create_user(
    new: UserCreate, services: Services, idempotency_key: IdempotencyKey = None
) -> Response:
    """409 where the address has an account. The email to it holds a link that verifies it."""
    created = await services.accounts.create(new, idempotency_key)
    headers = {"ETag": created.document.etag}
    if created.id is not None:
        headers["Location"] = f"{router.prefix}/{created.id}"
    if created.replayed:
        headers["Idempotency-Replayed"] = "true"
    return Response(created.document.body, 201, headers, media_type="application/json")


@router.get(
    "/me",
    operation_id="get_me",
    summary="Show my account",
    response_model=User,
    responses={
        **described(200, "The caller's account", "ETag"),
        **NOT_MODIFIED,
        **document_problems(401, 403, 404),
    },
)
async def get_me(
    principal: ReadsUsers, services: Services, if_none_match: IfNoneMatch = None
) -> Response:
    """Send the ETag as If-Match with a change, and as If-None-Match to read again."""
    document = await services.accounts.get(principal, principal.id)
    return versioned(document.body, document.etag, if_none_match)


@router.patch(
    "/me",
    operation_id="update_me",
    summary="Change my account",
    response_model=User,
    responses={
        **described(200, "The account after the change", "ETag"),
        **document_problems(401, 403, 404, 412, 413, 415, 422, 428),
    },
)
async def update_me(
    changes: UserUpdate, principal: WritesUsers, services: Services, if_match: IfMatch = None
) -> Response:
    """Only the given members change. The address and the password have operations of their own."""
    expected = parse_if_match(if_match)
    document = await services.accounts.update(principal, changes, expected)
    return versioned(document.body, document.etag, None)


@router.delete(
    "/me",
    operation_id="delete_me",
    summary="Delete my account",
    status_code=204,
    responses=document_problems(401, 403, 404, 409, 412),
)
async def delete_me(
    principal: WritesUsers, services: Services, if_match: IfMatch = None
) -> Response:
    """Ends every session at once; a job erases the data of the account.

    401 insufficient_user_authentication (RFC 9470) where the login, not the token, is older than
    5 minutes: log in again. 409 for the last admin: promote another account first.
    """
    expected = None if if_match is None else parse_if_match(if_match)
    await services.accounts.delete(principal, expected)
    return Response(status_code=204)


@router.get(
    "/{user_id}",
    operation_id="get_user",
    summary="Show an account",
    response_model=User,
    responses={
        **described(200, "The account", "ETag"),
        **NOT_MODIFIED,
        **document_problems(401, 403, 404, 422),
    },
)
async def get_user(
    user_id: UserId, principal: ReadsUsers, services: Services, if_none_match: IfNoneMatch = None
) -> Response:
    """The caller's own account, or any account for an admin. 403 for other ids, existing or not."""
    document = await services.accounts.get(principal, user_id)
    return versioned(document.body, document.etag, if_none_match)
