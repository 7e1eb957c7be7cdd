"""The TypeScript client against a running suite, and through a network that plants faults."""

import asyncio
import json
from pathlib import Path

import pytest
from tests.fault_proxy import Fault, open_fault_proxy

STREAM = Path(__file__).with_name("client_stream.ts")
FAULTS = Path(__file__).with_name("client_faults.ts")
STORY = Path(__file__).with_name("client_story.ts")


@pytest.fixture
def picture(tmp_path):
    from PIL import Image

    path = tmp_path / "picture.png"
    Image.new("RGB", (300, 200), "teal").save(path)
    return path


@pytest.mark.timeout(300)  # with the build of the client
def test_an_account_lives_by_the_typescript_client(suite, run_typescript, picture):
    output = run_typescript("story", STORY.read_text(), API=suite.url, PICTURE=str(picture))
    assert json.loads(output.splitlines()[-1]) == {
        "state": "succeeded",
        "avatar": "succeeded",
        "variant": "LoginRequired",  # after the session has ended
        "listed": 1,
        "renewals": 1,  # for four calls at the same time
        "missing": "LoginRequired",
        "ended": "LoginRequired",
        "refused": "invalid_grant",
    }


@pytest.mark.timeout(300)
async def test_an_event_stream_that_breaks_off_again_and_again_brings_the_job_to_its_end(
    suite, run_typescript, picture
):
    async with open_fault_proxy(suite.url, rate=0.8, seed=3, stall=0.5) as proxy:
        output = await asyncio.to_thread(
            run_typescript,
            "stream",
            STREAM.read_text(),
            API=proxy.url,
            DIRECT=suite.url,
            PICTURE=str(picture),
        )
    found = json.loads(output.splitlines()[-1])
    assert found["status"] == "succeeded"
    assert found["versions"] == sorted(set(found["versions"]))


@pytest.mark.slow
@pytest.mark.timeout(1500)
async def test_no_repeatable_call_fails_and_no_effect_is_doubled(
    suite, run_typescript, scaled, figure
):
    calls, patience = scaled(400, 10_000), scaled(10, 30)
    async with open_fault_proxy(suite.url, rate=0.05, stall=patience + 1) as proxy:
        output = await asyncio.to_thread(
            run_typescript,
            "faults",
            FAULTS.read_text(),
            timeout=1400,
            API=proxy.url,
            DIRECT=suite.url,
            CALLS=str(calls),
            PATIENCE=str(patience),
        )
        tally = json.loads(output.splitlines()[-1])
        figure(
            "calls of the TypeScript client",
            calls=calls,
            requests=proxy.requests,
            planted=proxy.planted.total(),
            done=tally["done"],
            unknown=tally["unknown"],
            failed=len(tally["failed"]),
        )
        assert tally["failed"] == []
        assert set(proxy.planted) == set(Fault)
        assert tally["unknown"].keys() <= {"PATCH /api/v1/users/me", "create_token"}
        patches = [count for key, count in proxy.executed.items() if key[0] == "PATCH"]
        assert max(patches) == 1
        for effects in tally["effects"]:
            assert effects["images"] == effects["expectedImages"]
            assert effects["jobs"] == effects["expectedJobs"]
