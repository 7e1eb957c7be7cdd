"""Tokens and the keys that verify them over HTTP."""

from fastapi import APIRouter, Response

from twelvefold.contracts.accounts import TokenPair, TokenRequest
from twelvefold.errors import OAuthError
from twelvefold.http.rest.problems import problem_responses
from users.dependencies import Container, Services, from_api
from users.schemas import JwkSet, TokenError, TokenRevocation
from users.service.sessions import Client

_NOT_STORED = {"Cache-Control": "no-store", "Pragma": "no-cache"}  # RFC 6749 section 5.1
_PUBLISHED = {"Cache-Control": "public, max-age=300"}
router = APIRouter(prefix="/internal/v1", tags=["sessions"], dependencies=[from_api])
# Every service verifies tokens, and the keys are public: no caller has to show a secret for them.
keys = APIRouter(prefix="/internal/v1", tags=["sessions"])


@router.post(
    "/tokens",
    operation_id="issue_token",
    responses={
        400: {"model": TokenError, "description": "Refused (RFC 6749 section 5.2)"},
        **problem_responses(401, 403, 422, 429, 503),
    },
)
async def issue_token(request: TokenRequest, services: Services, response: Response) -> TokenPair:
    """Issue tokens for a password or for a refresh token."""
    response.headers.update(_NOT_STORED)
    return await _grant(request, services)


async def _grant(request: TokenRequest, services: Container) -> TokenPair:
    match request.grant_type:
        case "password":
            username = request.username
            if not username or request.password is None:
                raise OAuthError("invalid_request", "username and password are required")
            client = Client(request.user_agent, request.address)
            return await services.sessions.log_in(
                username, request.password.get_secret_value(), client
            )
        case "refresh_token":
            if request.refresh_token is None:
                raise OAuthError("invalid_request", "refresh_token is required")
            return await services.sessions.refresh(request.refresh_token.get_secret_value())
        case _:
            raise OAuthError("unsupported_grant_type", "use password or refresh_token")


@router.post(
    "/tokens/revoke",
    operation_id="revoke_token",
    responses=problem_responses(401, 403, 422, 503),
    response_class=Response,
)
async def revoke_token(request: TokenRevocation, services: Services) -> Response:
    """End the token's session; 200 for an unknown token too (RFC 7009 section 2.2)."""
    await services.sessions.revoke(request.token.get_secret_value())
    return Response(headers=_NOT_STORED)


@keys.get("/jwks", operation_id="get_jwks", response_model=JwkSet)
async def get_jwks(services: Services, response: Response) -> dict[str, object]:
    """Return the public keys of access tokens."""
    response.headers.update(_PUBLISHED)
    return {**services.keys.public_jwks()}
