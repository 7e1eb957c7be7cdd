"""/.well-known: metadata that verifiers and OAuth clients discover."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.dependencies import Services
from api.schemas import ServerMetadata
from api.scopes import SCOPES
from twelvefold.http.edge.policies import anyone
from twelvefold.http.edge.responses import described, document_problems, json_response

_CACHED = {"Cache-Control": "public, max-age=300"}
# Without PUBLIC_URL the metadata repeats the Host header, so no cache may share it.
_UNCACHED = {"Cache-Control": "no-store"}
router = APIRouter(
    prefix="/.well-known", tags=["discovery"], dependencies=[anyone(in_process=True)]
)


@router.get(
    "/jwks.json",
    operation_id="get_jwks",
    summary="Public keys of access tokens (RFC 7517)",
    response_model=dict[str, Any],
    responses={**described(200, "A JWK set"), **document_problems()},
)
async def get_jwks(services: Services) -> Response:
    """Keys stay published for as long as a token that they signed is valid."""
    keys = await services.credentials.key_set()
    return Response(keys, 200, _CACHED, media_type="application/json")


@router.get(
    "/oauth-authorization-server",
    operation_id="get_server_metadata",
    summary="Metadata of the token endpoints (RFC 8414)",
    response_model=ServerMetadata,
    responses={**described(200, "The metadata"), **document_problems()},
)
async def get_server_metadata(request: Request, services: Services) -> Response:
    """Where OAuth clients find the endpoints of this issuer."""
    base = (services.public_url or str(request.base_url)).rstrip("/")
    metadata = ServerMetadata(
        issuer=services.issuer,
        token_endpoint=f"{base}/api/v1/auth/token",
        revocation_endpoint=f"{base}/api/v1/auth/revoke",
        jwks_uri=f"{base}/.well-known/jwks.json",
        service_documentation=f"{base}/docs",
        scopes_supported=list(SCOPES),
        response_types_supported=[],  # there is no authorization endpoint
        grant_types_supported=["password", "refresh_token"],
        token_endpoint_auth_methods_supported=["none"],
        revocation_endpoint_auth_methods_supported=["none"],
    )
    return json_response(metadata, headers=_CACHED if services.public_url else _UNCACHED)
