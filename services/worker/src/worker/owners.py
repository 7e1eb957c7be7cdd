"""Client of the owners: the services whose rows a job's result belongs to.

Owns the paths and bodies of their internal APIs. `twelvefold.http.internal` owns deadlines,
pooling, secrets and forwarded headers. Jobs retry; this client does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from twelvefold.contracts.accounts import AccountErasure, EmailContent
from twelvefold.contracts.images import (
    ImageErasure,
    ImageIds,
    ImageObjects,
    ImagesToErase,
    ObjectKeys,
    ObjectRange,
    VariantReport,
)
from twelvefold.contracts.jobs import EmailSend, ImageProcess
from twelvefold.http.internal import InternalClient

_BASE_PATH = "/internal/v1"
AVATAR_PREFIX = "variants/avatar/"


class OwnerClient(Protocol):
    """Every method raises DependencyUnavailable where the owner does not respond in time."""

    async def email_content(self, job_id: UUID, email: EmailSend) -> EmailContent:
        """Return recipient and a new link. Raises NotFound where the account was deleted."""
        ...

    async def report(self, job: ImageProcess, report: VariantReport) -> None:
        """Report the result of a job to the owner of its target.

        Raises NotFound for a deleted target, Conflict where a newer job has reported.
        """
        ...

    async def images_to_erase(
        self, job_id: UUID, account_id: UUID, deleted: Sequence[UUID]
    ) -> Sequence[ImageObjects]:
        """Delete the rows of `deleted` and return the next images; none at the end."""
        ...

    async def orphans(self, keys: Sequence[str]) -> Sequence[str]:
        """Return those of `keys` (at most 1,000, all below one prefix) that belong to no row."""
        ...

    async def missing(self, keys: ObjectRange) -> Sequence[UUID]:
        """Return the images whose rows name an object in this range that does not exist."""
        ...

    async def repair(self, ids: Sequence[UUID]) -> None:
        """Process these images (at most 1,000) again; reject those without a source."""
        ...

    async def erase_account(self, job_id: UUID, account_id: UUID) -> None:
        """Delete what users keeps about an account. Idempotent.

        Raises Conflict where no active admin would remain.
        """
        ...


class HttpOwnerClient:
    """Call the owners on their internal ports."""

    def __init__(self, *, users: InternalClient, api: InternalClient) -> None:
        self._users = users
        self._api = api

    async def email_content(self, job_id: UUID, email: EmailSend) -> EmailContent:
        response = await self._users.request(
            "PUT", f"{_BASE_PATH}/emails/{job_id}", json=email.model_dump(mode="json")
        )
        return EmailContent.model_validate_json(response.content)

    async def report(self, job: ImageProcess, report: VariantReport) -> None:
        client, path = (
            (self._users, f"users/{job.target_id}/avatar")
            if job.target == "avatar"
            else (self._api, f"images/{job.target_id}/variants")
        )
        await client.request("PUT", f"{_BASE_PATH}/{path}", json=report.model_dump(mode="json"))

    async def images_to_erase(
        self, job_id: UUID, account_id: UUID, deleted: Sequence[UUID]
    ) -> Sequence[ImageObjects]:
        done = ImageErasure(job_id=job_id, deleted=list(deleted))
        response = await self._api.request(
            "POST", f"{_BASE_PATH}/accounts/{account_id}/erasure", json=done.model_dump(mode="json")
        )
        return ImagesToErase.model_validate_json(response.content).images

    async def erase_account(self, job_id: UUID, account_id: UUID) -> None:
        body = AccountErasure(job_id=job_id).model_dump(mode="json")
        await self._users.request("POST", f"{_BASE_PATH}/users/{account_id}/erasure", json=body)

    async def orphans(self, keys: Sequence[str]) -> Sequence[str]:
        avatars = any(key.startswith(AVATAR_PREFIX) for key in keys)
        client = self._users if avatars else self._api
        body = ObjectKeys(keys=list(keys)).model_dump(mode="json")
        response = await client.request("PUT", f"{_BASE_PATH}/objects/orphans", json=body)
        return ObjectKeys.model_validate_json(response.content).keys

    async def missing(self, keys: ObjectRange) -> Sequence[UUID]:
        body = keys.model_dump(mode="json")
        response = await self._api.request("PUT", f"{_BASE_PATH}/objects/missing", json=body)
        return ImageIds.model_validate_json(response.content).ids

    async def repair(self, ids: Sequence[UUID]) -> None:
        body = ImageIds(ids=list(ids)).model_dump(mode="json")
        await self._api.request("POST", f"{_BASE_PATH}/images/mend", json=body)
