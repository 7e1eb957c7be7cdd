"""The services whose rows a job's result belongs to, and what the worker asks of them.

Owns paths and shapes of their internal APIs. Deadlines, pooling, secrets and forwarded headers are
`twelvefold.http.internal`'s; nothing here retries, the job does.
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

_BASE = "/internal/v1"
AVATARS = "variants/avatar/"


class OwnerClient(Protocol):
    """Every method raises DependencyUnavailable where the owner does not answer in time."""

    async def email_content(self, job_id: UUID, mail: EmailSend) -> EmailContent:
        """Addressee and link, minted now. Raises NotFound where the account is gone."""
        ...

    async def report(self, job: ImageProcess, report: VariantReport) -> None:
        """Hands over what was made. Raises NotFound for a deleted target, Conflict for an older job."""
        ...

    async def images_to_erase(
        self, job_id: UUID, account_id: UUID, deleted: Sequence[UUID]
    ) -> Sequence[ImageObjects]:
        """Gives up the rows of `deleted`; returns the next images, none at the end."""
        ...

    async def orphans(self, keys: Sequence[str]) -> Sequence[str]:
        """Those of `keys`, at most 1,000 and all below one prefix, that belong to no row."""
        ...

    async def missing(self, found: ObjectRange) -> Sequence[UUID]:
        """Images of which an object should be in this range of keys and is not."""
        ...

    async def repair(self, ids: Sequence[UUID]) -> None:
        """Has the variants of these images, at most 1,000, made anew, or the images refused."""
        ...

    async def erase_account(self, job_id: UUID, account_id: UUID) -> None:
        """Removes what users still keeps on an account. Doing it again finds nothing.

        Raises Conflict where no active admin would be left.
        """
        ...


class HttpOwnerClient:
    """The owners over their internal ports."""

    def __init__(self, *, users: InternalClient, api: InternalClient) -> None:
        self._users = users
        self._api = api

    async def email_content(self, job_id: UUID, mail: EmailSend) -> EmailContent:
        response = await self._users.request(
            "PUT", f"{_BASE}/emails/{job_id}", json=mail.model_dump(mode="json")
        )
        return EmailContent.model_validate_json(response.content)

    async def report(self, job: ImageProcess, report: VariantReport) -> None:
        client, path = (
            (self._users, f"users/{job.target_id}/avatar")
            if job.target == "avatar"
            else (self._api, f"images/{job.target_id}/variants")
        )
        await client.request("PUT", f"{_BASE}/{path}", json=report.model_dump(mode="json"))

    async def images_to_erase(
        self, job_id: UUID, account_id: UUID, deleted: Sequence[UUID]
    ) -> Sequence[ImageObjects]:
        done = ImageErasure(job_id=job_id, deleted=list(deleted))
        response = await self._api.request(
            "POST", f"{_BASE}/accounts/{account_id}/erasure", json=done.model_dump(mode="json")
        )
        return ImagesToErase.model_validate_json(response.content).images

    async def erase_account(self, job_id: UUID, account_id: UUID) -> None:
        body = AccountErasure(job_id=job_id).model_dump(mode="json")
        await self._users.request("POST", f"{_BASE}/users/{account_id}/erasure", json=body)

    async def orphans(self, keys: Sequence[str]) -> Sequence[str]:
        avatars = any(key.startswith(AVATARS) for key in keys)
        client = self._users if avatars else self._api
        body = ObjectKeys(keys=list(keys)).model_dump(mode="json")
        response = await client.request("PUT", f"{_BASE}/objects/orphans", json=body)
        return ObjectKeys.model_validate_json(response.content).keys

    async def missing(self, found: ObjectRange) -> Sequence[UUID]:
        body = found.model_dump(mode="json")
        response = await self._api.request("PUT", f"{_BASE}/objects/missing", json=body)
        return ImageIds.model_validate_json(response.content).ids

    async def repair(self, ids: Sequence[UUID]) -> None:
        body = ImageIds(ids=list(ids)).model_dump(mode="json")
        await self._api.request("POST", f"{_BASE}/images/mend", json=body)
