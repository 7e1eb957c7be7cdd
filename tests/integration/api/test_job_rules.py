"""What may be done with jobs: the same rules for every action, by the caller's present rights."""

import uuid

import pytest
from tests.integration.api.conftest import Caller, client_of

from twelvefold.contracts.accounts import Role
from twelvefold.contracts.jobs import ACCOUNT_ERASE, EMAIL_SEND, IMAGE_PROCESS, KINDS
from twelvefold.identifiers import new_id

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 100
ACTIONS = ("cancel", "retry")
USERS_KINDS = {IMAGE_PROCESS}


async def uploaded(caller, **headers):
    return await caller.client.post(
        "/api/v1/images", content=PNG, headers={"content-type": "image/png", **headers}
    )


async def act(caller, job_id, action):
    return await caller.client.post(f"/api/v1/jobs/{job_id}/{action}")


async def create(caller, kind, payload):
    return await caller.client.post("/api/v1/jobs", json={"type": kind, "payload": payload})


@pytest.fixture
async def add_job(sql):
    """A job inserted directly, as a caller with other rights left it."""

    async def add(owner, kind, status, **payload) -> uuid.UUID:
        job_id = new_id()
        await sql.execute(
            "INSERT INTO jobs.jobs (id, kind, payload, owner_id, status) VALUES ($1, $2, "
            "(SELECT coalesce(jsonb_object_agg(k, v), '{}') FROM unnest($3::text[], $4::text[])"
            " AS p (k, v)), $5, $6)",
            job_id,
            kind,
            list(payload),
            [str(value) for value in payload.values()],
            owner,
            status,
        )
        return job_id

    return add


@pytest.fixture
async def demoted(admin, api, users):
    """Somebody who was an admin, with the token that they get now."""
    token = users.token_for(admin.id, role=Role.USER)
    client = client_of(api, token)
    yield Caller(admin.id, token, client)
    await client.aclose()


def payload_of(kind: str, victim) -> dict[str, object]:
    if kind == EMAIL_SEND:
        return {"template": "welcome", "user_id": victim}
    return {"user_id": victim}


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("kind", [*KINDS, "objects.sweep", "of.a.newer.release"])
async def test_every_action_asks_who_may_start_such_a_job_now(
    kind, action, admin, demoted, ada, add_job, sql
):
    status = "queued" if action == "cancel" else "cancelled"
    if kind in USERS_KINDS:
        image_id = (await uploaded(ada)).json()["image"]["id"]
        payload = {"target": "image", "target_id": image_id, "object_key": "uploads/x"}
    else:
        payload = payload_of(kind, ada.id)
    job_id = await add_job(admin.id, kind, status, **payload)
    refused = await act(demoted, job_id, action)
    # By kind; where users start such jobs, too, by whose the target is.
    assert refused.status_code == (404 if kind in USERS_KINDS else 403), refused.text
    assert await sql.fetchval("SELECT status FROM jobs.jobs WHERE id = $1", job_id) == status
    assert (await act(admin, job_id, action)).status_code == 202


async def test_a_former_admin_erases_no_account_by_an_old_job(admin, demoted, ada, sql):
    job_id = (await create(admin, ACCOUNT_ERASE, {"user_id": str(ada.id)})).json()["id"]
    assert (await act(admin, job_id, "cancel")).status_code == 202
    assert (await act(demoted, job_id, "retry")).status_code == 403
    status = "SELECT status FROM jobs.jobs WHERE id = $1"
    assert await sql.fetchval(status, uuid.UUID(job_id)) == "cancelled"


@pytest.mark.parametrize(("action", "status"), [("cancel", 202), ("retry", 409)])
async def test_a_job_on_a_deleted_image_can_be_stopped_and_not_run(ada, add_job, action, status):
    before = "queued" if action == "cancel" else "rejected"
    payload = {"target": "image", "target_id": new_id(), "object_key": "uploads/gone"}
    job_id = await add_job(ada.id, IMAGE_PROCESS, before, **payload)
    assert (await act(ada, job_id, action)).status_code == status


@pytest.mark.parametrize("action", ACTIONS)
async def test_an_avatars_job_is_its_accounts(ada, bob, add_job, action):
    status = "queued" if action == "cancel" else "cancelled"
    for target, expected in ((bob.id, 404), (ada.id, 202)):
        payload = {"target": "avatar", "target_id": target, "object_key": "uploads/x"}
        job_id = await add_job(ada.id, IMAGE_PROCESS, status, **payload)
        assert (await act(ada, job_id, action)).status_code == expected


async def test_neither_the_last_admin_nor_the_caller_is_erased_by_a_job(admin, ada, users, add_job):
    users.last_admins.add(ada.id)  # as it is once the caller was demoted meanwhile
    for account in (ada, admin):
        refused = await create(admin, ACCOUNT_ERASE, {"user_id": str(account.id)})
        assert (refused.status_code, refused.headers["content-type"]) == (
            409,
            "application/problem+json",
        )
        job_id = await add_job(admin.id, ACCOUNT_ERASE, "cancelled", user_id=account.id)
        assert (await act(admin, job_id, "retry")).status_code == 409
        queued = await add_job(admin.id, ACCOUNT_ERASE, "queued", user_id=account.id)
        assert (await act(admin, queued, "cancel")).status_code == 202


@pytest.fixture
async def crowded(open_api, sign_in):
    """Somebody whom a process grants two waiting jobs."""
    return await sign_in(process=await open_api(jobs_max_waiting_per_owner=2))


async def test_one_account_adds_no_more_jobs_than_may_wait(crowded, sql):
    first = (await uploaded(crowded)).json()
    assert (await uploaded(crowded)).status_code == 202
    image = {"image_id": first["image"]["id"]}
    done = "UPDATE jobs.jobs SET status = $2 WHERE id = $1"
    await sql.execute(done, uuid.UUID(first["job"]["id"]), "cancelled")
    assert (await create(crowded, IMAGE_PROCESS, image)).status_code == 202
    avatar = {"content-type": "image/png"}
    refused = [
        await uploaded(crowded),
        await create(crowded, IMAGE_PROCESS, image),
        await crowded.client.put("/api/v1/users/me/avatar", content=PNG, headers=avatar),
        await act(crowded, first["job"]["id"], "retry"),
    ]
    for response in refused:
        assert (response.status_code, response.headers["content-type"]) == (
            429,
            "application/problem+json",
        ), response.text
        assert int(response.headers["retry-after"]) > 0
    count = "SELECT count(*) FROM api.images WHERE owner_id = $1"
    assert await sql.fetchval(count, crowded.id) == 2


async def test_what_was_refused_for_want_of_room_is_taken_later_under_the_same_key(crowded, sql):
    for _ in range(2):
        assert (await uploaded(crowded)).status_code == 202
    key = {"idempotency-key": str(new_id())}
    assert (await uploaded(crowded, **key)).status_code == 429
    await sql.execute("UPDATE jobs.jobs SET status = 'succeeded' WHERE owner_id = $1", crowded.id)
    taken = await uploaded(crowded, **key)
    assert taken.status_code == 202
    assert (await uploaded(crowded)).status_code == 202
    assert (await uploaded(crowded, **key)).json() == taken.json()


async def test_jobs_of_the_system_are_not_counted_and_not_refused(crowded, worker, sql):
    found = [(await uploaded(crowded)).json() for _ in range(2)]
    ids = [uuid.UUID(one["image"]["id"]) for one in found]
    await sql.execute("UPDATE jobs.jobs SET status = 'succeeded' WHERE owner_id = $1", crowded.id)
    await sql.execute("UPDATE api.images SET status = 'ready' WHERE id = ANY($1)", ids)
    for _ in range(2):
        assert (await uploaded(crowded)).status_code == 202
    repaired = await worker.post(
        "/internal/v1/images/mend", json={"ids": [str(one) for one in ids]}
    )
    assert repaired.status_code == 204
    count = "SELECT count(*) FROM jobs.jobs WHERE owner_id = $1 AND status = 'queued'"
    assert await sql.fetchval(count, crowded.id) == 4
    await sql.execute(
        "UPDATE jobs.jobs SET status = 'succeeded' WHERE owner_id = $1 AND unique_key IS NULL",
        crowded.id,
    )
    assert (await uploaded(crowded)).status_code == 202
