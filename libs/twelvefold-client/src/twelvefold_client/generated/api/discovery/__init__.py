"""The operations with the tag discovery."""

from __future__ import annotations

import datetime
from typing import Any, cast
from uuid import UUID

from ...client import AsyncCaller, Caller
from ...models.get_jwks_response_get_jwks import GetJwksResponseGetJwks
from ...models.problem import Problem
from ...models.server_metadata import ServerMetadata
from ...types import UNSET, Response, Unset, Upload
from . import get_jwks as _get_jwks
from . import get_server_metadata as _get_server_metadata


class DiscoveryOperations(Caller):
    """The operations with the tag discovery."""

    def get_jwks(
        self,
    ) -> GetJwksResponseGetJwks:
        """Public keys of access tokens (RFC 7517).

        Keys stay published for as long as a token that they signed is valid.
        """

        return self.get_jwks_detailed().parsed

    def get_jwks_detailed(
        self,
    ) -> Response[GetJwksResponseGetJwks]:
        """As `get_jwks`, and return the status and the header fields as well."""
        return self._call(
            _get_jwks.OPERATION,
            _get_jwks.build(),
        )

    def get_server_metadata(
        self,
    ) -> ServerMetadata:
        """Metadata of the token endpoints (RFC 8414).

        Where OAuth clients find the endpoints of this issuer.
        """

        return self.get_server_metadata_detailed().parsed

    def get_server_metadata_detailed(
        self,
    ) -> Response[ServerMetadata]:
        """As `get_server_metadata`, and return the status and the header fields as well."""
        return self._call(
            _get_server_metadata.OPERATION,
            _get_server_metadata.build(),
        )


class AsyncDiscoveryOperations(AsyncCaller):
    """The operations with the tag discovery."""

    async def get_jwks(
        self,
    ) -> GetJwksResponseGetJwks:
        """Public keys of access tokens (RFC 7517).

        Keys stay published for as long as a token that they signed is valid.
        """

        return (await self.get_jwks_detailed()).parsed

    async def get_jwks_detailed(
        self,
    ) -> Response[GetJwksResponseGetJwks]:
        """As `get_jwks`, and return the status and the header fields as well."""
        return await self._call(
            _get_jwks.OPERATION,
            _get_jwks.build(),
        )

    async def get_server_metadata(
        self,
    ) -> ServerMetadata:
        """Metadata of the token endpoints (RFC 8414).

        Where OAuth clients find the endpoints of this issuer.
        """

        return (await self.get_server_metadata_detailed()).parsed

    async def get_server_metadata_detailed(
        self,
    ) -> Response[ServerMetadata]:
        """As `get_server_metadata`, and return the status and the header fields as well."""
        return await self._call(
            _get_server_metadata.OPERATION,
            _get_server_metadata.build(),
        )
