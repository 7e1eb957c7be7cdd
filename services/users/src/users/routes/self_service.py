"""An account's own credentials, sessions and data over HTTP."""

from uuid import UUID

from fastapi import APIRouter

from twelvefold.contracts.accounts import EmailChange, PasswordChange, SessionList, UserExport
from twelvefold.http.rest.problems import problem_responses
from users.dependencies import ChangesOwnAccount, ReadsOwnAccount, Services, from_api

router = APIRouter(prefix="/internal/v1/users/{user_id}", tags=["users"], dependencies=[from_api])


@router.post(
    "/password",
    operation_id="change_password",
    status_code=204,
    responses=problem_responses(401, 403, 404, 422, 429, 503),
)
async def change_password(
    user_id: UUID, request: PasswordChange, caller: ChangesOwnAccount, services: Services
) -> None:
    """Set the password and end every other session; 403 where the current one is wrong."""
    current, new = request.current.get_secret_value(), request.new.get_secret_value()
    await services.passwords.change(user_id, caller.session_id, current, new)


@router.post(
    "/email",
    operation_id="change_email",
    status_code=202,
    responses=problem_responses(401, 403, 404, 422, 429, 503),
)
async def change_email(
    user_id: UUID, request: EmailChange, _: ChangesOwnAccount, services: Services
) -> None:
    """Queue an email to the new address, taken or not; 403 without the password."""
    given = None if request.password is None else request.password.get_secret_value()
    await services.passwords.require(user_id, given, "/body/password")
    await services.email_changes.request(user_id, request.email)


@router.get(
    "/sessions",
    operation_id="list_sessions",
    responses=problem_responses(401, 403, 422, 503),
)
async def list_sessions(user_id: UUID, caller: ReadsOwnAccount, services: Services) -> SessionList:
    """Return the live sessions, the latest used first."""
    return await services.sessions.live(user_id, caller.session_id)


@router.delete(
    "/sessions/{session_id}",
    operation_id="end_session",
    status_code=204,
    responses=problem_responses(401, 403, 404, 422, 503),
)
async def end_session(
    user_id: UUID, session_id: UUID, _: ChangesOwnAccount, services: Services
) -> None:
    """End one session at once, the caller's own included."""
    await services.sessions.end(user_id, session_id)


@router.get(
    "/export",
    operation_id="export_user",
    responses=problem_responses(401, 403, 404, 422, 503),
)
async def export_user(user_id: UUID, caller: ReadsOwnAccount, services: Services) -> UserExport:
    """Return all data that users keeps about the account, without secrets."""
    return await services.personal_data.export(user_id, caller.session_id)
