"""Jobs as their owners see them, and the stream of their changes."""

import asyncio
import json
from datetime import UTC, datetime
from uuid import UUID

import pytest

from twelvefold.identifiers import new_id

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 100


@pytest.fixture
async def image_id(ada) -> str:
    return str((await _uploaded(ada))["image"]["id"])


async def _uploaded(caller):
    response = await caller.client.post(
        "/api/v1/images", content=PNG, headers={"content-type": "image/png"}
    )
    assert response.status_code == 202, response.text
    return response.json()


async def _create(caller, kind: str, payload):
    return await caller.client.post("/api/v1/jobs", json={"type": kind, "payload": payload})


async def _set(sql, job_id: str, **columns) -> None:
    """Does to the row what a worker would."""
    names = list(columns)
    changes = ", ".join(f"{name} = ${number}" for number, name in enumerate(names, 2))
    await sql.execute(
        f"UPDATE jobs.jobs SET {changes}, version = version + 1 WHERE id = $1",
        UUID(job_id),
        *columns.values(),
    )


async def test_an_own_image_is_processed_again(ada, image_id, sql):
    response = await _create(ada, "image.process", {"image_id": image_id})
    assert response.status_code == 202, response.text
    job = response.json()
    assert response.headers["location"] == f"/api/v1/jobs/{job['id']}"
    assert set(job) == {
        "id",
        "type",
        "status",
        "progress",
        "attempts",
        "max_attempts",
        "created_at",
        "run_at",
        "started_at",
        "finished_at",
        "result",
        "error",
    }
    payload = await sql.fetchval("SELECT payload FROM jobs.jobs WHERE id = $1", UUID(job["id"]))
    assert json.loads(payload)["target_id"] == image_id
    assert (await ada.client.get(response.headers["location"])).json() == job


async def test_a_job_that_cannot_be_is_named(ada, bob, image_id):
    cases = [
        (ada, "no.such", {}, 422, "/body/type"),
        (ada, "image.process", {}, 422, "/body/payload/image_id"),
        (ada, "image.process", {"image_id": "x"}, 422, "/body/payload/image_id"),
        (ada, "image.process", {"image_id": image_id, "x": 1}, 422, "/body/payload/x"),
        (ada, "image.process", {"image_id": str(new_id())}, 422, "/body/payload/image_id"),
        (bob, "image.process", {"image_id": image_id}, 422, "/body/payload/image_id"),
    ]
    for caller, kind, payload, status, pointer in cases:
        response = await _create(caller, kind, payload)
        assert response.status_code == status
        assert [error["pointer"] for error in response.json()["errors"]] == [pointer]
    refused = await _create(ada, "email.send", {"template": "welcome", "user_id": str(ada.id)})
    assert refused.status_code == 403


async def test_an_admin_starts_any_type(admin, image_id, ada):
    mail = await _create(admin, "email.send", {"template": "welcome", "user_id": str(ada.id)})
    assert mail.status_code == 202
    assert (await _create(admin, "image.process", {"image_id": image_id})).status_code == 202
    bad = await _create(admin, "email.send", {"template": "spam", "user_id": str(ada.id)})
    assert bad.json()["errors"][0]["pointer"] == "/body/payload/template"


async def test_a_foreign_job_is_as_absent_as_none(ada, bob, admin):
    job_id = (await _uploaded(ada))["job"]["id"]
    for method, suffix in (
        ("GET", ""),
        ("GET", "/events"),
        ("POST", "/cancel"),
        ("POST", "/retry"),
    ):
        foreign = await bob.client.request(method, f"/api/v1/jobs/{job_id}{suffix}")
        absent = await bob.client.request(method, f"/api/v1/jobs/{new_id()}{suffix}")
        assert foreign.status_code == absent.status_code == 404
        assert foreign.json()["detail"] == absent.json()["detail"]
    assert (await admin.client.get(f"/api/v1/jobs/{job_id}")).status_code == 200


async def test_a_list_is_filtered_and_paged(ada, sql):
    made = [(await _uploaded(ada))["job"]["id"] for _ in range(3)]
    await _set(sql, made[0], status="succeeded")
    first = (await ada.client.get("/api/v1/jobs?limit=2")).json()
    assert [job["id"] for job in first["items"]] == [made[2], made[1]]
    rest = await ada.client.get("/api/v1/jobs", params={"cursor": first["next_cursor"]})
    assert [job["id"] for job in rest.json()["items"]] == [made[0]]
    assert rest.json()["next_cursor"] is None
    done = await ada.client.get("/api/v1/jobs?status=succeeded&type=image.process")
    assert [job["id"] for job in done.json()["items"]] == [made[0]]
    assert (await ada.client.get("/api/v1/jobs?status=lost")).status_code == 422


async def test_a_list_shows_each_job_exactly_as_its_own_page(ada, sql):
    made = [(await _uploaded(ada))["job"]["id"] for _ in range(3)]
    now = datetime.now(UTC)
    result = json.dumps({"variants": [{"name": "é", "size": 1.5}], "none": None})
    await _set(sql, made[0], status="succeeded", result=result, started_at=now, finished_at=now)
    await _set(sql, made[1], status="dead", error='"quoted" \u2028', attempts=5, max_attempts=7)
    listed = (await ada.client.get("/api/v1/jobs")).text
    shown = [(await ada.client.get(f"/api/v1/jobs/{job_id}")).text for job_id in made[::-1]]
    assert listed == f'{{"items":[{",".join(shown)}],"next_cursor":null}}'


async def test_a_waiting_job_is_cancelled_and_retried(ada, sql):
    job_id = (await _uploaded(ada))["job"]["id"]
    early = await ada.client.post(f"/api/v1/jobs/{job_id}/retry")
    assert early.status_code == 409
    cancelled = await ada.client.post(f"/api/v1/jobs/{job_id}/cancel")
    assert (cancelled.status_code, cancelled.json()["status"]) == (202, "cancelled")
    again = await ada.client.post(f"/api/v1/jobs/{job_id}/retry")
    assert (again.status_code, again.json()["status"]) == (202, "queued")
    await _set(sql, job_id, status="succeeded")
    late = await ada.client.post(f"/api/v1/jobs/{job_id}/cancel")
    assert late.status_code == 409


def _events(text: str) -> list[dict[str, str]]:
    blocks = [block.splitlines() for block in text.split("\n\n")]
    found = [dict(line.split(": ", 1) for line in lines if line[0] != ":") for lines in blocks]
    return [fields for fields in found if "event" in fields]


async def test_a_job_is_watched_to_its_end_and_not_beyond(ada, sql):
    job_id = (await _uploaded(ada))["job"]["id"]
    path = f"/api/v1/jobs/{job_id}/events"
    watching = asyncio.create_task(ada.client.get(path, timeout=20))
    await asyncio.sleep(0)
    await _set(sql, job_id, status="succeeded", progress=100)
    response = await watching
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-store"
    events = _events(response.text)
    assert [event["event"] for event in events][-2:] == ["state", "end"]
    assert json.loads(events[-2]["data"])["status"] == "succeeded"
    assert json.loads(events[-1]["data"]) == {"reason": "finished", "status": "succeeded"}
    # A browser comes back by itself, and stops at 204.
    again = await ada.client.get(path, headers={"last-event-id": events[-2]["id"]})
    assert again.status_code == 204
    behind = await ada.client.get(path, headers={"last-event-id": "0"})
    assert [event["event"] for event in _events(behind.text)] == ["state", "end"]
