"""The operations with the tag jobs."""

from __future__ import annotations

import datetime
from typing import Any, cast
from uuid import UUID

from ...client import AsyncCaller, Caller
from ...models.job import Job
from ...models.job_create import JobCreate
from ...models.job_page import JobPage
from ...models.job_status import JobStatus
from ...models.problem import Problem
from ...types import UNSET, Response, Unset, Upload
from . import cancel_job as _cancel_job
from . import create_job as _create_job
from . import get_job as _get_job
from . import list_jobs as _list_jobs
from . import retry_job as _retry_job


class JobsOperations(Caller):
    """The operations with the tag jobs."""

    def list_jobs(
        self,
        *,
        limit: int | Unset = 20,
        cursor: str | Unset = UNSET,
        owner_id: UUID | Unset = UNSET,
        status: JobStatus | Unset = UNSET,
        type_: str | Unset = UNSET,
    ) -> JobPage:
        """List jobs.

        The caller's jobs; for admins those of every account. Ended jobs are pruned in time.

        Args:
            limit (int | Unset): Maximum number of items in the page. Default: 20.
            cursor (str | Unset): `next_cursor` of the previous page.
            owner_id (UUID | Unset): The owner. Default: the caller; for admins all owners.
            status (JobStatus | Unset): `failed` is retried, `rejected` has invalid input, `dead` is
                kept for an operator.
            type_ (str | Unset): Only of this type.
        """

        return self.list_jobs_detailed(
            limit=limit,
            cursor=cursor,
            owner_id=owner_id,
            status=status,
            type_=type_,
        ).parsed

    def list_jobs_detailed(
        self,
        *,
        limit: int | Unset = 20,
        cursor: str | Unset = UNSET,
        owner_id: UUID | Unset = UNSET,
        status: JobStatus | Unset = UNSET,
        type_: str | Unset = UNSET,
    ) -> Response[JobPage]:
        """As `list_jobs`, and return the status and the header fields as well."""
        return self._call(
            _list_jobs.OPERATION,
            _list_jobs.build(
                limit=limit,
                cursor=cursor,
                owner_id=owner_id,
                status=status,
                type_=type_,
            ),
        )

    def create_job(
        self,
        body: JobCreate,
        *,
        idempotency_key: str | Unset = UNSET,
    ) -> Job:
        """Start a job.

        It runs at least once, and its effects happen once. 429 where too many jobs wait.

        Args:
            idempotency_key (str | Unset): A value of your choice, new for each operation. A repeated
                request with the same key and body gets the first response again, for 24 hours.
            body (JobCreate): `image.process` takes `{"image_id": …}`. Admins may start every other
                type as well.
        """

        return self.create_job_detailed(
            body=body,
            idempotency_key=idempotency_key,
        ).parsed

    def create_job_detailed(
        self,
        body: JobCreate,
        *,
        idempotency_key: str | Unset = UNSET,
    ) -> Response[Job]:
        """As `create_job`, and return the status and the header fields as well."""
        return self._call(
            _create_job.OPERATION,
            _create_job.build(
                body=body,
                idempotency_key=idempotency_key,
            ),
        )

    def get_job(
        self,
        job_id: UUID,
    ) -> Job:
        """Show a job.

        404 for jobs of other accounts. To follow a job, watch its events instead of polling.

        Args:
            job_id (UUID): Id of the job.
        """

        return self.get_job_detailed(
            job_id=job_id,
        ).parsed

    def get_job_detailed(
        self,
        job_id: UUID,
    ) -> Response[Job]:
        """As `get_job`, and return the status and the header fields as well."""
        return self._call(
            _get_job.OPERATION,
            _get_job.build(
                job_id=job_id,
            ),
        )

    def cancel_job(
        self,
        job_id: UUID,
        *,
        idempotency_key: str | Unset = UNSET,
    ) -> Job:
        """Cancel a job.

        A job that has ended is 409. A running job is cancelled once its handler has stopped.

        Args:
            job_id (UUID): Id of the job.
            idempotency_key (str | Unset): A value of your choice, new for each operation. A repeated
                request with the same key and body gets the first response again, for 24 hours.
        """

        return self.cancel_job_detailed(
            job_id=job_id,
            idempotency_key=idempotency_key,
        ).parsed

    def cancel_job_detailed(
        self,
        job_id: UUID,
        *,
        idempotency_key: str | Unset = UNSET,
    ) -> Response[Job]:
        """As `cancel_job`, and return the status and the header fields as well."""
        return self._call(
            _cancel_job.OPERATION,
            _cancel_job.build(
                job_id=job_id,
                idempotency_key=idempotency_key,
            ),
        )

    def retry_job(
        self,
        job_id: UUID,
        *,
        idempotency_key: str | Unset = UNSET,
    ) -> Job:
        """Run an unsuccessful job again.

        Only a dead, failed or cancelled job; any other is 409. Its attempts are counted anew.

        Args:
            job_id (UUID): Id of the job.
            idempotency_key (str | Unset): A value of your choice, new for each operation. A repeated
                request with the same key and body gets the first response again, for 24 hours.
        """

        return self.retry_job_detailed(
            job_id=job_id,
            idempotency_key=idempotency_key,
        ).parsed

    def retry_job_detailed(
        self,
        job_id: UUID,
        *,
        idempotency_key: str | Unset = UNSET,
    ) -> Response[Job]:
        """As `retry_job`, and return the status and the header fields as well."""
        return self._call(
            _retry_job.OPERATION,
            _retry_job.build(
                job_id=job_id,
                idempotency_key=idempotency_key,
            ),
        )


class AsyncJobsOperations(AsyncCaller):
    """The operations with the tag jobs."""

    async def list_jobs(
        self,
        *,
        limit: int | Unset = 20,
        cursor: str | Unset = UNSET,
        owner_id: UUID | Unset = UNSET,
        status: JobStatus | Unset = UNSET,
        type_: str | Unset = UNSET,
    ) -> JobPage:
        """List jobs.

        The caller's jobs; for admins those of every account. Ended jobs are pruned in time.

        Args:
            limit (int | Unset): Maximum number of items in the page. Default: 20.
            cursor (str | Unset): `next_cursor` of the previous page.
            owner_id (UUID | Unset): The owner. Default: the caller; for admins all owners.
            status (JobStatus | Unset): `failed` is retried, `rejected` has invalid input, `dead` is
                kept for an operator.
            type_ (str | Unset): Only of this type.
        """

        return (
            await self.list_jobs_detailed(
                limit=limit,
                cursor=cursor,
                owner_id=owner_id,
                status=status,
                type_=type_,
            )
        ).parsed

    async def list_jobs_detailed(
        self,
        *,
        limit: int | Unset = 20,
        cursor: str | Unset = UNSET,
        owner_id: UUID | Unset = UNSET,
        status: JobStatus | Unset = UNSET,
        type_: str | Unset = UNSET,
    ) -> Response[JobPage]:
        """As `list_jobs`, and return the status and the header fields as well."""
        return await self._call(
            _list_jobs.OPERATION,
            _list_jobs.build(
                limit=limit,
                cursor=cursor,
                owner_id=owner_id,
                status=status,
                type_=type_,
            ),
        )

    async def create_job(
        self,
        body: JobCreate,
        *,
        idempotency_key: str | Unset = UNSET,
    ) -> Job:
        """Start a job.

        It runs at least once, and its effects happen once. 429 where too many jobs wait.

        Args:
            idempotency_key (str | Unset): A value of your choice, new for each operation. A repeated
                request with the same key and body gets the first response again, for 24 hours.
            body (JobCreate): `image.process` takes `{"image_id": …}`. Admins may start every other
                type as well.
        """

        return (
            await self.create_job_detailed(
                body=body,
                idempotency_key=idempotency_key,
            )
        ).parsed

    async def create_job_detailed(
        self,
        body: JobCreate,
        *,
        idempotency_key: str | Unset = UNSET,
    ) -> Response[Job]:
        """As `create_job`, and return the status and the header fields as well."""
        return await self._call(
            _create_job.OPERATION,
            _create_job.build(
                body=body,
                idempotency_key=idempotency_key,
            ),
        )

    async def get_job(
        self,
        job_id: UUID,
    ) -> Job:
        """Show a job.

        404 for jobs of other accounts. To follow a job, watch its events instead of polling.

        Args:
            job_id (UUID): Id of the job.
        """

        return (
            await self.get_job_detailed(
                job_id=job_id,
            )
        ).parsed

    async def get_job_detailed(
        self,
        job_id: UUID,
    ) -> Response[Job]:
        """As `get_job`, and return the status and the header fields as well."""
        return await self._call(
            _get_job.OPERATION,
            _get_job.build(
                job_id=job_id,
            ),
        )

    async def cancel_job(
        self,
        job_id: UUID,
        *,
        idempotency_key: str | Unset = UNSET,
    ) -> Job:
        """Cancel a job.

        A job that has ended is 409. A running job is cancelled once its handler has stopped.

        Args:
            job_id (UUID): Id of the job.
            idempotency_key (str | Unset): A value of your choice, new for each operation. A repeated
                request with the same key and body gets the first response again, for 24 hours.
        """

        return (
            await self.cancel_job_detailed(
                job_id=job_id,
                idempotency_key=idempotency_key,
            )
        ).parsed

    async def cancel_job_detailed(
        self,
        job_id: UUID,
        *,
        idempotency_key: str | Unset = UNSET,
    ) -> Response[Job]:
        """As `cancel_job`, and return the status and the header fields as well."""
        return await self._call(
            _cancel_job.OPERATION,
            _cancel_job.build(
                job_id=job_id,
                idempotency_key=idempotency_key,
            ),
        )

    async def retry_job(
        self,
        job_id: UUID,
        *,
        idempotency_key: str | Unset = UNSET,
    ) -> Job:
        """Run an unsuccessful job again.

        Only a dead, failed or cancelled job; any other is 409. Its attempts are counted anew.

        Args:
            job_id (UUID): Id of the job.
            idempotency_key (str | Unset): A value of your choice, new for each operation. A repeated
                request with the same key and body gets the first response again, for 24 hours.
        """

        return (
            await self.retry_job_detailed(
                job_id=job_id,
                idempotency_key=idempotency_key,
            )
        ).parsed

    async def retry_job_detailed(
        self,
        job_id: UUID,
        *,
        idempotency_key: str | Unset = UNSET,
    ) -> Response[Job]:
        """As `retry_job`, and return the status and the header fields as well."""
        return await self._call(
            _retry_job.OPERATION,
            _retry_job.build(
                job_id=job_id,
                idempotency_key=idempotency_key,
            ),
        )
