"""/api/v1/auth: tokens (RFC 6749, RFC 7009) and emails that verify an address."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import SecretStr

from api.dependencies import Services
from api.rate_limits import AccountLimit
from api.routes.forms import FORM_TYPE, FormError, parse_form
from api.schemas import EmailAddress, EmailChangeUndo, EmailConfirmation, PasswordReset
from twelvefold.contracts.accounts import TokenPair, TokenRequest
from twelvefold.errors import OAuthError
from twelvefold.http.edge.policies import anyone
from twelvefold.http.edge.responses import Responses, described, document_problems

BODY_LIMIT = 16 * 1024  # bytes; far more than any valid form
_MAX_USER_AGENT = 256
_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}

_MAX_FIELDS = 20
router = APIRouter(prefix="/api/v1/auth", tags=["auth"])
_GUESSED = [anyone(AccountLimit.CREDENTIALS)]
_MAILING = [anyone(AccountLimit.MAIL)]


def _form(schema: dict[str, Any], example: dict[str, str]) -> Any:
    content = {FORM_TYPE: {"schema": schema, "example": example}}
    return {"requestBody": {"required": True, "content": content}}


_SCOPE = {
    "type": "string",
    "maxLength": BODY_LIMIT,
    "description": "Ignored: the response states the granted scope.",
}
_TOKEN = {"type": "string", "minLength": 1, "maxLength": BODY_LIMIT}


def _grant(title: str, name: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "title": title,
        "type": "object",
        "properties": {
            "grant_type": {"type": "string", "const": name},
            **properties,
            "scope": _SCOPE,
        },
        "required": ["grant_type", *properties],
    }


_TOKEN_FORM = _form(
    {
        "oneOf": [
            _grant(
                "PasswordGrant",
                "password",
                {
                    "username": {**_TOKEN, "description": "Email address of the account."},
                    "password": {**_TOKEN, "format": "password"},
                },
            ),
            _grant("RefreshTokenGrant", "refresh_token", {"refresh_token": _TOKEN}),
        ]
    },
    {"grant_type": "password", "username": "ada@example.com", "password": "correct horse battery"},
)
_REVOKE_FORM = _form(
    {
        "title": "TokenRevocation",
        "type": "object",
        "properties": {
            "token": {**_TOKEN, "description": "A refresh or an access token."},
            "token_type_hint": {
                "type": "string",
                "maxLength": BODY_LIMIT,
                "description": "Ignored: the token says itself what it is.",
            },
        },
        "required": ["token"],
    },
    {"token": "mF_9.B5f-4.1JqM"},
)
_OAUTH_ERROR: Responses = {
    400: {
        "description": "Refused (RFC 6749 section 5.2)",
        "content": {
            "application/json": {
                "schema": {
                    "title": "OAuthError",
                    "type": "object",
                    "required": ["error"],
                    "properties": {
                        "error": {
                            "type": "string",
                            "enum": [
                                "invalid_request",
                                "invalid_client",
                                "invalid_grant",
                                "unauthorized_client",
                                "unsupported_grant_type",
                                "invalid_scope",
                            ],
                        },
                        "error_description": {"type": "string"},
                    },
                },
                "example": {"error": "invalid_grant", "error_description": "wrong credentials"},
            }
        },
    }
}


def _invalid(detail: str) -> OAuthError:
    return OAuthError("invalid_request", detail)


async def _parse_form(request: Request) -> dict[str, str]:
    """Raises OAuthError, since these endpoints answer no problem documents."""
    try:
        return await parse_form(request, max_fields=_MAX_FIELDS)
    except FormError as error:
        raise _invalid(str(error)) from None


def _required(fields: dict[str, str], name: str) -> str:
    if name not in fields:
        raise _invalid(f"{name} is missing")
    return fields[name]


@router.post(
    "/token",
    operation_id="create_token",
    dependencies=_GUESSED,
    summary="Log in, or exchange a refresh token",
    response_model=TokenPair,
    openapi_extra=_TOKEN_FORM,
    responses={
        **described(200, "An access token of 10 minutes and a refresh token"),
        **document_problems(413),
        **_OAUTH_ERROR,
    },
)
async def create_token(request: Request, services: Services) -> Response:
    """Each refresh token works once; use the new one from then on."""
    fields = await _parse_form(request)
    grant = _required(fields, "grant_type")
    user_agent = request.headers.get("user-agent", "")[:_MAX_USER_AGENT] or None
    address = request.client.host if request.client else None
    if grant == "password":
        grant_request = TokenRequest(
            grant_type=grant,
            username=_required(fields, "username"),
            password=SecretStr(_required(fields, "password")),
            user_agent=user_agent,
            address=address,
        )
    elif grant == "refresh_token":
        grant_request = TokenRequest(
            grant_type=grant,
            refresh_token=SecretStr(_required(fields, "refresh_token")),
            user_agent=user_agent,
            address=address,
        )
    else:
        raise OAuthError("unsupported_grant_type", "use password or refresh_token")
    pair = await services.credentials.issue_token(grant_request)
    return Response(pair, 200, _NO_STORE, media_type="application/json")


@router.post(
    "/revoke",
    operation_id="revoke_token",
    dependencies=_GUESSED,
    summary="Revoke a token and its session",
    openapi_extra=_REVOKE_FORM,
    response_class=Response,
    responses={
        **described(200, "Revoked, or unknown"),
        **document_problems(413),
        **_OAUTH_ERROR,
    },
)
async def revoke_token(request: Request, services: Services) -> Response:
    """A refresh token or an access token; either ends the whole session at once (RFC 7009)."""
    fields = await _parse_form(request)
    await services.credentials.revoke_token(SecretStr(_required(fields, "token")))
    return Response(status_code=200, headers=_NO_STORE)


@router.post(
    "/email-verifications",
    operation_id="request_email_verification",
    dependencies=_MAILING,
    summary="Request an email that verifies an address",
    status_code=202,
    response_class=Response,
    responses={
        **described(202, "The same response with and without an account"),
        **document_problems(413, 415, 422),
    },
)
async def request_email_verification(request: EmailAddress, services: Services) -> Response:
    """The link expires in 24 hours. At most 6 an hour are sent to one address."""
    await services.credentials.request_email_verification(request.email)
    return Response(status_code=202)


@router.post(
    "/email-verifications/confirm",
    operation_id="confirm_email",
    dependencies=_GUESSED,
    summary="Verify an address by the emailed token",
    status_code=204,
    responses=document_problems(413, 415, 422),
)
async def confirm_email(confirmation: EmailConfirmation, services: Services) -> Response:
    """The token works once; 400 where it is unknown, used or expired."""
    await services.credentials.confirm_email(confirmation.token)
    return Response(status_code=204)


@router.post(
    "/password-resets",
    operation_id="request_password_reset",
    dependencies=_MAILING,
    summary="Request an email that resets a password",
    status_code=202,
    response_class=Response,
    responses={
        **described(202, "The same response with and without an account"),
        **document_problems(413, 415, 422),
    },
)
async def request_password_reset(request: EmailAddress, services: Services) -> Response:
    """The link expires in 10 minutes. At most 6 an hour are sent to one address."""
    await services.credentials.request_password_reset(request.email)
    return Response(status_code=202)


@router.post(
    "/password-resets/confirm",
    operation_id="reset_password",
    dependencies=_GUESSED,
    summary="Set a new password by the emailed token",
    status_code=204,
    responses=document_problems(413, 415, 422),
)
async def reset_password(reset: PasswordReset, services: Services) -> Response:
    """Ends every session of the account."""
    await services.credentials.reset_password(reset.token, reset.password)
    return Response(status_code=204)


@router.post(
    "/email-changes/undo",
    operation_id="undo_email_change",
    dependencies=_GUESSED,
    summary="Restore an address by the emailed token",
    status_code=204,
    responses=document_problems(413, 415, 422),
)
async def undo_email_change(undo: EmailChangeUndo, services: Services) -> Response:
    """Possible for 7 days after the change. Ends every session, voids the password, and sends a
    link for a new one to the restored address.
    """
    await services.credentials.undo_email_change(undo.token)
    return Response(status_code=204)
