"""One account that asks for more than its share, and what others notice of it."""

import asyncio
import io
import json
import sys
import time

import httpx
import pytest
from PIL import Image

pytestmark = pytest.mark.timeout(900)
ENDED = {"succeeded", "rejected", "cancelled", "dead"}
WITHIN = 3.0  # seconds, on two cores that have nothing else to do
DOWNLOAD = """
import os, sys, urllib.error, urllib.request
os.nice(19)  # the client has a machine of its own elsewhere; here it would take the suite's cores
request = urllib.request.Request(sys.argv[1], headers={"Authorization": sys.argv[2]})
try:
    with urllib.request.urlopen(request) as answer:
        open(sys.argv[3], "wb").write(answer.read())
        print(answer.status)
except urllib.error.HTTPError as error:
    print(error.code)
"""
PATIENCE = 600.0  # seconds after which a job counts as lost


def encoded(size: int) -> bytes:
    content = io.BytesIO()
    Image.radial_gradient("L").resize((size, size)).convert("RGB").save(content, "PNG")
    return content.getvalue()


async def uploaded(account, content: bytes) -> dict[str, str]:
    headers = {**account.bearer, "Content-Type": "image/png"}
    response = await account.http.post("/api/v1/images", content=content, headers=headers)
    assert response.status_code == 202, response.text
    return {"image": response.json()["image"]["id"], "job": response.json()["job"]["id"]}


async def ended(account, job_id: str) -> str:
    async with asyncio.timeout(PATIENCE):
        while True:
            response = await account.http.get(f"/api/v1/jobs/{job_id}", headers=account.bearer)
            if response.json()["status"] in ENDED:
                return str(response.json()["status"])
            await asyncio.sleep(0.05)


async def waiting(account) -> int:
    query = {"status": "queued", "limit": "100"}
    response = await account.http.get("/api/v1/jobs", headers=account.bearer, params=query)
    return len(response.json()["items"])


async def test_a_small_picture_does_not_wait_for_another_account_s_large_ones(
    attacker, clients, scaled, figure, at_once
):
    large = encoded(5000)
    count = scaled(12, 60)
    (innocent,) = await clients(1)
    await innocent.log_in()
    first = await uploaded(attacker, large)
    body = {"type": "image.process", "payload": {"image_id": first["image"]}}

    async def again() -> str:
        response = await attacker.http.post("/api/v1/jobs", json=body, headers=attacker.bearer)
        assert response.status_code == 202, response.text
        return str(response.json()["id"])

    jobs = await at_once((again for _ in range(count - 1)), 8)
    before = await waiting(attacker)
    began = time.perf_counter()
    small = await uploaded(innocent, encoded(64))
    status = await ended(innocent, small["job"])
    took = time.perf_counter() - began
    overtaken = await waiting(attacker)
    figure(
        "a small picture behind large ones",
        large=count,
        bytes_of_each=len(large),
        waited_seconds=took,
        large_ones_still_waiting=overtaken,
    )
    for job_id in (first["job"], *jobs):
        await attacker.http.post(f"/api/v1/jobs/{job_id}/cancel", headers=attacker.bearer)
    assert status == "succeeded"
    # Those that ran already and those that began beside it; not the rest.
    assert before - overtaken <= 6
    assert overtaken > 0
    if count == scaled(0, 60):
        assert took < WITHIN


async def test_an_export_of_everything_holds_up_nobody(
    attacker, suite, postgres, scaled, figure, tmp_path
):
    """Measured from outside: what a probe of the same event loop waits for meanwhile."""
    jobs = scaled(2_000, 50_000)
    await postgres.execute(
        "INSERT INTO jobs.jobs (id, kind, payload, owner_id, status, finished_at, result) "
        "SELECT gen_random_uuid(), 'image.process', '{}', $1::uuid, 'succeeded', now(), "
        '\'{"variants": ["128", "512"], "kept": true}\' FROM generate_series(1, $2)',
        attacker.id,
        jobs,
    )
    path, management = "/api/v1/users/me/export", suite.management["api"]
    async with httpx.AsyncClient() as prober:

        async def memory() -> int:
            return int((await prober.get(f"{management}/info")).json()["rss_bytes"])

        async def probed(until: asyncio.Event) -> list[float]:
            found = []
            while not until.is_set():
                began = time.perf_counter()
                await prober.get(f"{management}/livez")
                found.append(time.perf_counter() - began)
            return found

        async def exported(number: int) -> tuple[int, int]:
            # In a process of its own: what it reads must not hold up the prober.
            file = tmp_path / f"{number}.json"
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", DOWNLOAD, suite.url + path),
                *(attacker.bearer["Authorization"], str(file)),
                stdout=asyncio.subprocess.PIPE,
            )
            output, _ = await child.communicate()
            return int(output), number

        quiet = asyncio.Event()
        asyncio.get_running_loop().call_later(1.0, quiet.set)
        alone = sorted(await probed(quiet))
        before, over = await memory(), asyncio.Event()
        probing = asyncio.create_task(probed(over))
        responses = await asyncio.gather(*(exported(number) for number in range(4)))
        over.set()
        beside = sorted(await probing)
        grew = await memory() - before
    whole = [
        len(json.loads((tmp_path / f"{number}.json").read_bytes())["jobs"])
        for status, number in responses
        if status == 200
    ]
    figure(
        "four exports at once of one account",
        jobs=jobs,
        whole=whole.count(jobs),
        refused=[status for status, _ in responses].count(429),
        probe_p99_ms=1000 * beside[len(beside) * 99 // 100],
        probe_longest_ms=1000 * beside[-1],
        alone_longest_ms=1000 * alone[-1],
        grew_mb=grew / 1e6,
    )
    assert sorted({status for status, _ in responses}) == [200, 429]
    assert set(whole) == {jobs}
    if jobs == scaled(0, 50_000):
        assert grew < 32_000_000
