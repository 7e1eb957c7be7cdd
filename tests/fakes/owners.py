"""The owners of rows in memory: they keep what the worker reports, as users and api would."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from twelvefold.contracts.accounts import EmailContent
from twelvefold.contracts.images import VariantReport
from twelvefold.contracts.jobs import EmailSend, ImageProcess
from twelvefold.errors import Conflict, DependencyUnavailable, NotFound


@dataclass
class FakeOwners:
    """`targets` are those that exist; of each the newest job's report is kept."""

    letters: dict[UUID, EmailContent] = field(default_factory=dict)
    targets: set[UUID] = field(default_factory=set)
    kept: dict[UUID, VariantReport] = field(default_factory=dict)
    reports: list[VariantReport] = field(default_factory=list)
    away: bool = False

    async def email_content(self, job_id: UUID, mail: EmailSend) -> EmailContent:
        self._require_presence("users")
        if mail.user_id not in self.letters:
            raise NotFound("no such account")
        return self.letters[mail.user_id]

    async def report(self, job: ImageProcess, report: VariantReport) -> None:
        self._require_presence("api")
        self.reports.append(report)
        if job.target_id not in self.targets:
            raise NotFound("no such target")
        kept = self.kept.get(job.target_id)
        if kept is not None and kept.job_created_at > report.job_created_at:
            raise Conflict("a newer job has reported already")
        self.kept[job.target_id] = report

    def _require_presence(self, name: str) -> None:
        if self.away:
            raise DependencyUnavailable(name, retry_after=0)
