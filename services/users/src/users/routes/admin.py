"""Administration of accounts over HTTP, and erasure by the worker."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from twelvefold.contracts.accounts import (
    AccountErasure,
    User,
    UserAdminUpdate,
    UserPage,
)
from twelvefold.errors import FieldError, UnprocessableContent
from twelvefold.http.rest.conditional import etag, parse_if_match
from twelvefold.http.rest.problems import problem_responses
from users.dependencies import Admin, IfMatch, Services, from_api, from_worker

router = APIRouter(prefix="/internal/v1", tags=["admin"])


@router.get(
    "/users",
    operation_id="list_users",
    dependencies=[from_api],
    responses=problem_responses(401, 403, 422, 503),
)
async def list_users(
    _: Admin,
    services: Services,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    after_time: Annotated[datetime | None, Query(description="With after_id: `next`.")] = None,
    after_id: UUID | None = None,
) -> UserPage:
    """Return a page of all accounts, newest first."""
    if after_time is None or after_id is None:
        if (after_time is None) != (after_id is None):
            fault = FieldError("/query/after_id", "goes together with after_time")
            raise UnprocessableContent("Send after_time and after_id together.", errors=[fault])
        return await services.account_admin.page(None, limit)
    return await services.account_admin.page((after_time, after_id), limit)


@router.patch(
    "/users/{user_id}/standing",
    operation_id="administer_user",
    dependencies=[from_api],
    response_model=User,
    responses=problem_responses(401, 403, 404, 409, 412, 422, 428, 503),
)
async def administer_user(
    user_id: UUID,
    changes: UserAdminUpdate,
    caller: Admin,
    services: Services,
    if_match: IfMatch = None,
) -> Response:
    """Change the role, or disable or enable; 409 where no active admin would be left."""
    entry = await services.account_admin.change(
        caller.id, user_id, changes, parse_if_match(if_match)
    )
    headers = {"ETag": etag(entry.version)}
    return Response(entry.body, headers=headers, media_type="application/json")


@router.get(
    "/users/{user_id}/erasure",
    operation_id="check_erasure",
    dependencies=[from_api],
    status_code=204,
    responses=problem_responses(401, 403, 409, 422, 503),
)
async def check_erasure(user_id: UUID, caller: Admin, services: Services) -> None:
    """Check that this admin may erase the account; 409 where no admin would be left."""
    await services.personal_data.require_erasable(caller.id, user_id)


@router.post(
    "/users/{user_id}/erasure",
    operation_id="erase_user",
    dependencies=[from_worker],
    status_code=204,
    responses=problem_responses(401, 403, 409, 422, 503),
)
async def erase_user(user_id: UUID, _: AccountErasure, services: Services) -> None:
    """Remove the rest of an account's personal data. Idempotent."""
    await services.personal_data.erase(user_id)
