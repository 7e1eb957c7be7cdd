"""The owners in memory: they store the worker's reports as users and api do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from twelvefold.contracts.accounts import EmailContent
from twelvefold.contracts.images import ImageObjects, ObjectRange, VariantReport
from twelvefold.contracts.jobs import EmailSend, ImageProcess
from twelvefold.errors import Conflict, DependencyUnavailable, NotFound


@dataclass
class FakeOwnerClient:
    """`targets`: those that exist. `kept`: the report of the newest job of each target."""

    emails: dict[UUID, EmailContent] = field(default_factory=dict)
    targets: set[UUID] = field(default_factory=set)
    kept: dict[UUID, VariantReport] = field(default_factory=dict)
    reports: list[VariantReport] = field(default_factory=list)
    images: dict[UUID, dict[UUID, list[str]]] = field(default_factory=dict)  # of accounts
    ranges: list[ObjectRange] = field(default_factory=list)
    repaired: list[UUID] = field(default_factory=list)
    erased: set[UUID] = field(default_factory=set)
    last_admins: set[UUID] = field(default_factory=set)
    unavailable: bool = False

    async def email_content(self, job_id: UUID, email: EmailSend) -> EmailContent:
        self._require_available("users")
        if email.user_id not in self.emails:
            raise NotFound("no such account")
        return self.emails[email.user_id]

    async def report(self, job: ImageProcess, report: VariantReport) -> None:
        self._require_available("api")
        self.reports.append(report)
        if job.target_id not in self.targets:
            raise NotFound("no such target")
        kept = self.kept.get(job.target_id)
        if kept is not None and kept.job_created_at > report.job_created_at:
            raise Conflict("a newer job has reported already")
        self.kept[job.target_id] = report

    async def images_to_erase(
        self, job_id: UUID, account_id: UUID, deleted: Sequence[UUID]
    ) -> Sequence[ImageObjects]:
        self._require_available("api")
        mine = self.images.setdefault(account_id, {})
        for image_id in deleted:
            mine.pop(image_id, None)
        return [ImageObjects(id=key, object_keys=keys) for key, keys in [*mine.items()][:2]]

    async def orphans(self, keys: Sequence[str]) -> Sequence[str]:
        self._require_available("api")
        known = {key for rows in self.images.values() for found in rows.values() for key in found}
        return [key for key in keys if key not in known]

    async def missing(self, found: ObjectRange) -> Sequence[UUID]:
        self._require_available("api")
        self.ranges.append(found)
        return [
            image_id
            for rows in self.images.values()
            for image_id, keys in rows.items()
            for key in keys
            if key.startswith(found.prefix)
            and key > found.after
            and (found.through is None or key <= found.through)
            and key not in found.keys
        ]

    async def repair(self, ids: Sequence[UUID]) -> None:
        self._require_available("api")
        self.repaired += ids

    async def erase_account(self, job_id: UUID, account_id: UUID) -> None:
        self._require_available("users")
        if account_id in self.last_admins:
            raise Conflict("At least one active admin must remain. Promote another account first.")
        self.erased.add(account_id)

    def _require_available(self, name: str) -> None:
        if self.unavailable:
            raise DependencyUnavailable(name, retry_after=0)
