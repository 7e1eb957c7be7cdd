"""Routes for admins: list and administer accounts."""

from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.dependencies import Services
from api.schemas import UserList
from twelvefold.contracts.accounts import User, UserAdminUpdate
from twelvefold.http.edge.parameters import Cursor, IfMatch, PageLimit
from twelvefold.http.edge.policies import admin
from twelvefold.http.edge.responses import described, document_problems, json_response, versioned
from twelvefold.http.rest.conditional import parse_if_match
from twelvefold.http.rest.pagination import link_header
from twelvefold.security.principals import Principal

from .users import UserId

router = APIRouter(prefix="/api/v1", tags=["admin"])
Admin = Annotated[Principal, admin()]


@router.get(
    "/users",
    operation_id="list_users",
    summary="List accounts",
    response_model=UserList,
    responses={**described(200, "Newest first", "Link"), **document_problems(401, 403, 422)},
)
async def list_users(
    request: Request,
    principal: Admin,
    services: Services,
    limit: PageLimit = 20,
    cursor: Cursor = None,
) -> Response:
    """All accounts, disabled ones included. A cursor belongs to this list."""
    cursors = services.user_cursors
    after = None if cursor is None else cursors.decode(cursor)
    listed = await services.accounts.list(principal, limit=limit, after=after)
    next_cursor = None
    if listed.next is not None:
        next_cursor = cursors.encode((listed.next.created_at, listed.next.id))
    body = UserList(items=listed.items, next_cursor=next_cursor)
    return json_response(body, headers=link_header(request, next_cursor))


@router.patch(
    "/users/{user_id}",
    operation_id="update_user",
    summary="Change an account's role, or disable it",
    response_model=User,
    responses={
        **described(200, "The account after the change", "ETag"),
        **document_problems(401, 403, 404, 409, 412, 413, 415, 422, 428),
    },
)
async def update_user(
    user_id: UserId,
    changes: UserAdminUpdate,
    principal: Admin,
    services: Services,
    if_match: IfMatch = None,
) -> Response:
    """Ends the account's sessions. 409 where no admin would be left."""
    expected = parse_if_match(if_match)
    document = await services.accounts.administer(principal, user_id, changes, expected)
    return versioned(document.body, document.etag, None)
