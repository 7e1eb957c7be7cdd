"""The avatar as the worker reports it: the newest job wins, whatever the order of arrival."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

import pytest

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def report(number, *, job=None, at=NOW, **changes):
    variant = {
        "name": "128",
        "object_key": f"avatars/{number}/128",
        "content_type": "image/webp",
        "width": 128,
        "height": 96,
        "size": 4321,
    }
    job_id = str(job or uuid.uuid4())
    body = {"job_id": job_id, "job_created_at": at.isoformat(), "variants": [variant]}
    return {**body, **changes}


async def shown(api, account):
    response = await api.http.get(f"/users/{account.id}/avatar", headers=account.bearer)
    assert response.status_code == 200
    return [variant["object_key"] for variant in response.json()["variants"]]


async def test_an_account_has_no_avatar_before_the_first_report(api, worker):
    account = await api.member()
    assert await shown(api, account) == []
    response = await worker.put(f"/users/{account.id}/avatar", json=report(1))
    assert (response.status_code, response.content) == (204, b"")
    assert await shown(api, account) == ["avatars/1/128"]
    read = await api.http.get(f"/users/{account.id}", headers=account.bearer)
    assert (read.json()["has_avatar"], read.headers["etag"]) == (True, '"v2"')


async def test_the_same_report_again_changes_nothing(api, worker):
    account = await api.member()
    body = report(1)
    for _ in range(3):
        response = await worker.put(f"/users/{account.id}/avatar", json=body)
        assert response.status_code == 204
    read = await api.http.get(f"/users/{account.id}", headers=account.bearer)
    assert read.headers["etag"] == '"v2"'


async def test_the_report_of_an_older_job_is_a_conflict(api, worker):
    account = await api.member()
    path = f"/users/{account.id}/avatar"
    assert (await worker.put(path, json=report(2, at=NOW))).status_code == 204
    older = report(1, at=NOW - timedelta(seconds=1))
    assert (await worker.put(path, json=older)).status_code == 409
    newer = report(3, at=NOW + timedelta(microseconds=1))
    assert (await worker.put(path, json=newer)).status_code == 204
    assert await shown(api, account) == ["avatars/3/128"]


async def test_of_jobs_of_one_moment_the_greater_id_wins(api, worker):
    account = await api.member()
    path = f"/users/{account.id}/avatar"
    ids = sorted(uuid.uuid4() for _ in range(2))
    assert (await worker.put(path, json=report(2, job=ids[1]))).status_code == 204
    assert (await worker.put(path, json=report(1, job=ids[0]))).status_code == 409


async def test_racing_reports_leave_the_newest(api, worker):
    account = await api.member()
    path = f"/users/{account.id}/avatar"
    reports = [report(number, at=NOW + timedelta(seconds=number)) for number in range(8)]
    responses = await asyncio.gather(*(worker.put(path, json=body) for body in reversed(reports)))
    assert {response.status_code for response in responses} <= {204, 409}
    assert await shown(api, account) == ["avatars/7/128"]


async def test_a_refused_upload_leaves_the_avatar_that_was_there(api, worker):
    account = await api.member()
    path = f"/users/{account.id}/avatar"
    await worker.put(path, json=report(1))
    refused = report(2, at=NOW + timedelta(seconds=1), variants=[], rejected="no image")
    assert (await worker.put(path, json=refused)).status_code == 204
    assert await shown(api, account) == ["avatars/1/128"]


async def test_a_time_without_a_zone_is_utc(api, worker):
    account = await api.member()
    body = report(1, at=NOW.replace(tzinfo=None))
    assert (await worker.put(f"/users/{account.id}/avatar", json=body)).status_code == 204


@pytest.mark.parametrize("rejected", [None, "no image"])
async def test_a_report_for_an_unknown_account_is_not_found(worker, rejected):
    body = report(1, rejected=rejected)
    assert (await worker.put(f"/users/{uuid.uuid4()}/avatar", json=body)).status_code == 404


async def test_the_avatar_of_another_account_is_forbidden(api):
    account, other = await api.member(), await api.register()
    response = await api.http.get(f"/users/{other.id}/avatar", headers=account.bearer)
    assert response.status_code == 403
