"""The operations with the tag images."""

from __future__ import annotations

import datetime
from io import BytesIO
from typing import Any, cast
from uuid import UUID

from ...client import AsyncCaller, Caller
from ...models.image import Image
from ...models.image_accepted import ImageAccepted
from ...models.image_page import ImagePage
from ...models.problem import Problem
from ...types import UNSET, Response, Unset, Upload
from . import create_image as _create_image
from . import delete_image as _delete_image
from . import get_image as _get_image
from . import get_image_variant as _get_image_variant
from . import list_images as _list_images


class ImagesOperations(Caller):
    """The operations with the tag images."""

    def list_images(
        self,
        *,
        limit: int | Unset = 20,
        cursor: str | Unset = UNSET,
        owner_id: UUID | Unset = UNSET,
    ) -> ImagePage:
        """List images.

        The caller's images; for admins those of every owner.

        Args:
            limit (int | Unset): Maximum number of items in the page. Default: 20.
            cursor (str | Unset): `next_cursor` of the previous page.
            owner_id (UUID | Unset): The owner. Default: the caller; for admins all owners.
        """

        return self.list_images_detailed(
            limit=limit,
            cursor=cursor,
            owner_id=owner_id,
        ).parsed

    def list_images_detailed(
        self,
        *,
        limit: int | Unset = 20,
        cursor: str | Unset = UNSET,
        owner_id: UUID | Unset = UNSET,
    ) -> Response[ImagePage]:
        """As `list_images`, and return the status and the header fields as well."""
        return self._call(
            _list_images.OPERATION,
            _list_images.build(
                limit=limit,
                cursor=cursor,
                owner_id=owner_id,
            ),
        )

    def create_image(
        self,
        body: Upload,
        *,
        idempotency_key: str | Unset = UNSET,
    ) -> ImageAccepted:
        """Upload an image.

        A JPEG, PNG or WebP file as the body, without multipart; a job makes the smaller copies.

        Args:
            idempotency_key (str | Unset): A value of your choice, new for each operation. A repeated
                request with the same key and body gets the first response again, for 24 hours.
            body (File):
        """

        return self.create_image_detailed(
            body=body,
            idempotency_key=idempotency_key,
        ).parsed

    def create_image_detailed(
        self,
        body: Upload,
        *,
        idempotency_key: str | Unset = UNSET,
    ) -> Response[ImageAccepted]:
        """As `create_image`, and return the status and the header fields as well."""
        return self._call(
            _create_image.OPERATION,
            _create_image.build(
                body=body,
                idempotency_key=idempotency_key,
            ),
        )

    def get_image(
        self,
        image_id: UUID,
        *,
        if_none_match: str | Unset = UNSET,
    ) -> Image:
        """Show an image.

        `status` says whether the smaller copies are there; 404 for images of other accounts.

        Args:
            image_id (UUID): Id of the image.
            if_none_match (str | Unset): ETag of the caller's copy.
        """

        return self.get_image_detailed(
            image_id=image_id,
            if_none_match=if_none_match,
        ).parsed

    def get_image_detailed(
        self,
        image_id: UUID,
        *,
        if_none_match: str | Unset = UNSET,
    ) -> Response[Image]:
        """As `get_image`, and return the status and the header fields as well."""
        return self._call(
            _get_image.OPERATION,
            _get_image.build(
                image_id=image_id,
                if_none_match=if_none_match,
            ),
        )

    def delete_image(
        self,
        image_id: UUID,
        *,
        if_match: str | Unset = UNSET,
    ) -> None:
        """Delete an image.

        Deletes its variants too. If-Match is optional.

        Args:
            image_id (UUID): Id of the image.
            if_match (str | Unset): ETag of the version that the change is based on.
        """

        return self.delete_image_detailed(
            image_id=image_id,
            if_match=if_match,
        ).parsed

    def delete_image_detailed(
        self,
        image_id: UUID,
        *,
        if_match: str | Unset = UNSET,
    ) -> Response[None]:
        """As `delete_image`, and return the status and the header fields as well."""
        return self._call(
            _delete_image.OPERATION,
            _delete_image.build(
                image_id=image_id,
                if_match=if_match,
            ),
        )

    def get_image_variant(
        self,
        image_id: UUID,
        variant: str,
    ) -> str:
        """Show a smaller copy of an image.

        Redirects to a URL that needs no token. Rejected and unfinished images have no copies.

        Args:
            image_id (UUID): Id of the image.
            variant (str): Longest side: 128, 512, 1024.
        """

        return self.get_image_variant_detailed(
            image_id=image_id,
            variant=variant,
        ).parsed

    def get_image_variant_detailed(
        self,
        image_id: UUID,
        variant: str,
    ) -> Response[str]:
        """As `get_image_variant`, and return the status and the header fields as well."""
        return self._call(
            _get_image_variant.OPERATION,
            _get_image_variant.build(
                image_id=image_id,
                variant=variant,
            ),
        )


class AsyncImagesOperations(AsyncCaller):
    """The operations with the tag images."""

    async def list_images(
        self,
        *,
        limit: int | Unset = 20,
        cursor: str | Unset = UNSET,
        owner_id: UUID | Unset = UNSET,
    ) -> ImagePage:
        """List images.

        The caller's images; for admins those of every owner.

        Args:
            limit (int | Unset): Maximum number of items in the page. Default: 20.
            cursor (str | Unset): `next_cursor` of the previous page.
            owner_id (UUID | Unset): The owner. Default: the caller; for admins all owners.
        """

        return (
            await self.list_images_detailed(
                limit=limit,
                cursor=cursor,
                owner_id=owner_id,
            )
        ).parsed

    async def list_images_detailed(
        self,
        *,
        limit: int | Unset = 20,
        cursor: str | Unset = UNSET,
        owner_id: UUID | Unset = UNSET,
    ) -> Response[ImagePage]:
        """As `list_images`, and return the status and the header fields as well."""
        return await self._call(
            _list_images.OPERATION,
            _list_images.build(
                limit=limit,
                cursor=cursor,
                owner_id=owner_id,
            ),
        )

    async def create_image(
        self,
        body: Upload,
        *,
        idempotency_key: str | Unset = UNSET,
    ) -> ImageAccepted:
        """Upload an image.

        A JPEG, PNG or WebP file as the body, without multipart; a job makes the smaller copies.

        Args:
            idempotency_key (str | Unset): A value of your choice, new for each operation. A repeated
                request with the same key and body gets the first response again, for 24 hours.
            body (File):
        """

        return (
            await self.create_image_detailed(
                body=body,
                idempotency_key=idempotency_key,
            )
        ).parsed

    async def create_image_detailed(
        self,
        body: Upload,
        *,
        idempotency_key: str | Unset = UNSET,
    ) -> Response[ImageAccepted]:
        """As `create_image`, and return the status and the header fields as well."""
        return await self._call(
            _create_image.OPERATION,
            _create_image.build(
                body=body,
                idempotency_key=idempotency_key,
            ),
        )

    async def get_image(
        self,
        image_id: UUID,
        *,
        if_none_match: str | Unset = UNSET,
    ) -> Image:
        """Show an image.

        `status` says whether the smaller copies are there; 404 for images of other accounts.

        Args:
            image_id (UUID): Id of the image.
            if_none_match (str | Unset): ETag of the caller's copy.
        """

        return (
            await self.get_image_detailed(
                image_id=image_id,
                if_none_match=if_none_match,
            )
        ).parsed

    async def get_image_detailed(
        self,
        image_id: UUID,
        *,
        if_none_match: str | Unset = UNSET,
    ) -> Response[Image]:
        """As `get_image`, and return the status and the header fields as well."""
        return await self._call(
            _get_image.OPERATION,
            _get_image.build(
                image_id=image_id,
                if_none_match=if_none_match,
            ),
        )

    async def delete_image(
        self,
        image_id: UUID,
        *,
        if_match: str | Unset = UNSET,
    ) -> None:
        """Delete an image.

        Deletes its variants too. If-Match is optional.

        Args:
            image_id (UUID): Id of the image.
            if_match (str | Unset): ETag of the version that the change is based on.
        """

        return (
            await self.delete_image_detailed(
                image_id=image_id,
                if_match=if_match,
            )
        ).parsed

    async def delete_image_detailed(
        self,
        image_id: UUID,
        *,
        if_match: str | Unset = UNSET,
    ) -> Response[None]:
        """As `delete_image`, and return the status and the header fields as well."""
        return await self._call(
            _delete_image.OPERATION,
            _delete_image.build(
                image_id=image_id,
                if_match=if_match,
            ),
        )

    async def get_image_variant(
        self,
        image_id: UUID,
        variant: str,
    ) -> str:
        """Show a smaller copy of an image.

        Redirects to a URL that needs no token. Rejected and unfinished images have no copies.

        Args:
            image_id (UUID): Id of the image.
            variant (str): Longest side: 128, 512, 1024.
        """

        return (
            await self.get_image_variant_detailed(
                image_id=image_id,
                variant=variant,
            )
        ).parsed

    async def get_image_variant_detailed(
        self,
        image_id: UUID,
        variant: str,
    ) -> Response[str]:
        """As `get_image_variant`, and return the status and the header fields as well."""
        return await self._call(
            _get_image_variant.OPERATION,
            _get_image_variant.build(
                image_id=image_id,
                variant=variant,
            ),
        )
