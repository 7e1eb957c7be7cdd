"""The pages behind emailed links, for installations without a front end.

A GET shows a form and changes nothing, since mail scanners follow links. The POST does the same as
the route under /api/v1/auth. Neither reads a cookie or an Authorization header, so a form on
another site gains nothing. The pages are served for any WEB_URL: where it names a front end, no
email links to them, and they can do no more than those routes.
"""

from collections.abc import Callable, Coroutine
from typing import Any

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from fastapi.routing import APIRoute
from pydantic import SecretStr, TypeAdapter, ValidationError

from api.dependencies import Container, Services
from api.pages import (
    RESET_PASSWORD,
    UNDO_EMAIL_CHANGE,
    VERIFY_EMAIL,
    Form,
    done_page,
    form_page,
    message_page,
)
from api.rate_limits import AccountLimit
from api.routes.forms import FormError, NotAFormError, parse_form
from twelvefold.contracts.accounts import Password
from twelvefold.errors import (
    BadRequest,
    TooManyRequests,
    TwelvefoldError,
    UnprocessableContent,
    UnsupportedMedia,
)
from twelvefold.http.edge.policies import anyone

_MAX_TOKEN = 512  # characters
_SERVER_ERROR = 500
_PASSWORD = TypeAdapter[SecretStr](Password)
_log = structlog.get_logger(__name__)
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class PageRoute(APIRoute):
    """Renders errors as pages for people, also those of its policy."""

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        async def handle_page(request: Request) -> Response:
            try:
                return await handle(request)
            except TwelvefoldError as error:
                return _error_page(error)

        return handle_page


_MAX_FIELDS = 10
router = APIRouter(route_class=PageRoute, include_in_schema=False)
PATHS = tuple(f"/{form.path}" for form in (VERIFY_EMAIL, RESET_PASSWORD, UNDO_EMAIL_CHANGE))
_VIEW_POLICY = [anyone()]
_SUBMIT_POLICY = [anyone(AccountLimit.CREDENTIALS)]


@router.get("/verify-email", dependencies=_VIEW_POLICY)
async def show_verification(request: Request) -> HTMLResponse:
    return _show(VERIFY_EMAIL, request)


@router.post("/verify-email", dependencies=_SUBMIT_POLICY)
async def verify_email(request: Request, services: Services) -> HTMLResponse:
    return await _submit(VERIFY_EMAIL, request, services)


@router.get("/reset-password", dependencies=_VIEW_POLICY)
async def show_reset(request: Request) -> HTMLResponse:
    return _show(RESET_PASSWORD, request)


@router.post("/reset-password", dependencies=_SUBMIT_POLICY)
async def reset_password(request: Request, services: Services) -> HTMLResponse:
    return await _submit(RESET_PASSWORD, request, services)


@router.get("/undo-email-change", dependencies=_VIEW_POLICY)
async def show_undo(request: Request) -> HTMLResponse:
    return _show(UNDO_EMAIL_CHANGE, request)


@router.post("/undo-email-change", dependencies=_SUBMIT_POLICY)
async def undo_email_change(request: Request, services: Services) -> HTMLResponse:
    return await _submit(UNDO_EMAIL_CHANGE, request, services)


def _show(form: Form, request: Request) -> HTMLResponse:
    tokens = request.query_params.getlist("token")
    if len(tokens) != 1:
        raise BadRequest("The link is incomplete.")
    return form_page(form, _check_token(tokens[0]))


async def _submit(form: Form, request: Request, services: Container) -> HTMLResponse:
    fields = await _parse_form(request)
    token, credentials = _check_token(fields.get("token", "")), services.credentials
    try:
        if form is RESET_PASSWORD:
            password = _parse_password(fields.get("password", ""))
            await credentials.reset_password(SecretStr(token), password)
        elif form is VERIFY_EMAIL:
            await credentials.confirm_email(SecretStr(token))
        else:
            await credentials.undo_email_change(SecretStr(token))
    except UnprocessableContent as refused:
        return form_page(form, token, fault=_format_fault(refused))
    return done_page(form)


def _check_token(token: str) -> str:
    if not 0 < len(token) <= _MAX_TOKEN:
        raise BadRequest("The link is incomplete.")
    return token


def _parse_password(given: str) -> SecretStr:
    try:
        return _PASSWORD.validate_python(given)
    except ValidationError:
        raise UnprocessableContent("The password must have 8 to 256 characters.") from None


def _format_fault(refused: UnprocessableContent) -> str:
    """Return the detail as a sentence. It never contains the password."""
    return f"{refused.detail[:1].upper()}{refused.detail[1:].rstrip('.')}."


async def _parse_form(request: Request) -> dict[str, str]:
    try:
        return await parse_form(request, max_fields=_MAX_FIELDS)
    except NotAFormError as error:
        raise UnsupportedMedia(str(error)) from None
    except FormError as error:
        raise BadRequest(str(error)) from None


def _error_page(error: TwelvefoldError) -> HTMLResponse:
    title, text = "That did not work", "Please go back and try again."
    if isinstance(error, TooManyRequests):
        title, text = "Too many attempts", "Please wait a minute and try again."
    elif error.status >= _SERVER_ERROR:
        _log.warning("unavailable", code=error.code, detail=error.detail)
        title, text = "Temporarily unavailable", "Please try again in a moment."
    elif error.status in (400, 409):
        title, text = (
            "This link does not work",
            (
                "It was used before, has expired or is incomplete. Open the newest one that we "
                "sent you, or request another."
            ),
        )
    return message_page(title, text, error.status, error.headers)
