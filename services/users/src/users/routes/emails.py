"""Emails with a link over HTTP: the edge requests and confirms, the worker fetches content."""

from uuid import UUID

from fastapi import APIRouter

from twelvefold.contracts.accounts import EmailContent
from twelvefold.contracts.jobs import EmailSend, EmailTemplate
from twelvefold.http.rest.problems import problem_responses
from users.dependencies import Services, from_api, from_worker
from users.schemas import EmailRequest, PasswordReset, TokenConfirmation

router = APIRouter(prefix="/internal/v1", tags=["emails"])


@router.post(
    "/email-verifications",
    operation_id="request_email_verification",
    dependencies=[from_api],
    status_code=202,
    responses=problem_responses(401, 403, 422, 429, 503),
)
async def request_email_verification(request: EmailRequest, services: Services) -> None:
    """Queue the email to the address, whether or not there is an account."""
    await services.email_links.request(EmailTemplate.VERIFY, request.email)


@router.post(
    "/email-verifications/confirm",
    operation_id="confirm_email",
    dependencies=[from_api],
    status_code=204,
    responses=problem_responses(400, 401, 403, 409, 422, 503),
)
async def confirm_email(request: TokenConfirmation, services: Services) -> None:
    """Verify the address by the mailed token; a pending address becomes the account's."""
    await services.email_links.confirm(request.token.get_secret_value())


@router.post(
    "/password-resets",
    operation_id="request_password_reset",
    dependencies=[from_api],
    status_code=202,
    responses=problem_responses(401, 403, 422, 429, 503),
)
async def request_password_reset(request: EmailRequest, services: Services) -> None:
    """Queue the email to the address, whether or not there is an account."""
    await services.email_links.request(EmailTemplate.RESET, request.email)


@router.post(
    "/password-resets/confirm",
    operation_id="confirm_password_reset",
    dependencies=[from_api],
    status_code=204,
    responses=problem_responses(400, 401, 403, 422, 503),
)
async def confirm_password_reset(request: PasswordReset, services: Services) -> None:
    """Set the password by the mailed token and end every session."""
    await services.email_links.reset_password(
        request.token.get_secret_value(), request.password.get_secret_value()
    )


@router.post(
    "/email-changes/undo",
    operation_id="undo_email_change",
    dependencies=[from_api],
    status_code=204,
    responses=problem_responses(400, 401, 403, 422, 503),
)
async def undo_email_change(request: TokenConfirmation, services: Services) -> None:
    """Restore the account's former address, end its sessions and email a reset link there."""
    await services.email_changes.undo(request.token.get_secret_value())


@router.put(
    "/emails/{job_id}",
    operation_id="get_email_content",
    dependencies=[from_worker],
    responses=problem_responses(401, 403, 404, 422, 503),
)
async def get_email_content(job_id: UUID, mail: EmailSend, services: Services) -> EmailContent:
    """Return the content of one email, with a new link; 404 where it has no recipient."""
    return await services.email_links.content(job_id, mail)
