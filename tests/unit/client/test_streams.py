"""Event streams that break off, uploads that are sent again, lists of several pages."""

import io
import json
import uuid

import httpx
import pytest

from twelvefold_client import AsyncTwelvefold, JobGone, NotModified, Tokens, Unreachable
from twelvefold_client.events import MAX_LOSSES, EventReader

from .script import JOB, QUICK, Script, client_of, job, problem

ID = uuid.UUID(int=1)


def event(version: int, name: str = "state", **members) -> bytes:
    return f"id: {version}\nevent: {name}\ndata: {json.dumps({**JOB, **members})}\n\n".encode()


def end(reason: str) -> bytes:
    return f'event: end\ndata: {{"reason": "{reason}"}}\n\n'.encode()


def stream(*chunks: bytes, broken: bool = False) -> httpx.Response:
    def read():
        yield from chunks
        if broken:
            raise httpx.RemoteProtocolError("broken")

    return httpx.Response(200, content=read(), headers={"content-type": "text/event-stream"})


def test_a_stream_that_breaks_off_is_resumed_after_its_last_event():
    script = Script(
        stream(b"retry: 2000\n\n", event(1), event(2)[:20], broken=True),
        problem(503, "unavailable"),
        stream(event(2, "progress", progress=50), end("draining")),
        stream(event(3, status="succeeded"), end("finished")),
    )
    found = list(client_of(script).watch_job(ID))
    assert [one.id for one in found] == ["1", "2", "3"]
    assert [one.name for one in found] == ["state", "progress", "state"]
    assert script.headers("last-event-id") == [None, "1", "1", "2"]


def test_a_job_that_has_ended_already_has_no_further_events():
    assert list(client_of(Script(httpx.Response(204))).watch_job(ID, last_event_id="7")) == []


def test_a_deleted_job_ends_its_stream_with_an_error():
    with pytest.raises(JobGone):
        list(client_of(Script(stream(event(1), end("gone")))).watch_job(ID))


def test_connections_that_bring_nothing_end_after_some_of_them():
    script = Script(*[lambda _: stream(broken=True)] * (MAX_LOSSES + 1))
    with pytest.raises(Unreachable):
        list(client_of(script).watch_job(ID))


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_events_are_read_from_any_chunks_and_line_ends(size):
    text = event(1, error="a\u2028b").replace(b"\n", b"\r\n") + b": alive\n\n" + event(2)
    reader = EventReader(QUICK)
    found = [
        one
        for start in range(0, len(text), size)
        for one in reader.feed(text[start : start + size])
    ]
    assert [one.id for one in found] == ["1", "2"]
    assert found[0].job.error == "a\u2028b"


def test_an_event_without_end_is_refused_at_a_bound():
    reader = EventReader(QUICK)
    with pytest.raises(ValueError, match="too large"):
        list(reader.feed(b"data: " + b"x" * 2_000_000))


def accepted() -> httpx.Response:
    image = {
        "id": str(ID),
        "owner_id": str(ID),
        "status": "processing",
        "reason": None,
        "content_type": "image/png",
        "size": 3,
        "sha256": "",
        "variants": [],
        "created_at": JOB["created_at"],
        "updated_at": JOB["created_at"],
    }
    return httpx.Response(202, json={"image": image, "job": JOB})


@pytest.mark.parametrize("kind", ["bytes", "path", "file"])
async def test_an_upload_is_sent_whole_in_every_try(kind, tmp_path):
    content = b"picture" * 50_000
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    opened = io.BytesIO(b"head" + content)
    opened.seek(4)
    upload = {"bytes": content, "path": path, "file": opened}[kind]
    script = Script(httpx.WriteError("lost"), accepted())
    client_of(script).create_image(upload)
    assert [request.content for request in script.requests] == [content] * 2
    assert script.headers("content-length") == [str(len(content))] * 2

    script = Script(httpx.WriteError("lost"), accepted())

    async def answer(request):
        await request.aread()
        return script(request)

    opened.seek(4)
    client = AsyncTwelvefold(
        "http://api.test",
        tokens=Tokens("first"),
        retries=QUICK,
        transport=httpx.MockTransport(answer),
    )
    async with client:
        await client.create_image(upload)
    assert [request.content for request in script.requests] == [content] * 2


def page(cursor: str | None) -> httpx.Response:
    return httpx.Response(200, json={"items": [JOB, JOB], "next_cursor": cursor})


def test_a_list_is_read_page_by_page():
    script = Script(page("c1"), page("c2"), page(None))
    client = client_of(script)
    assert len(list(client.iterate(client.list_jobs, limit=2))) == 6
    assert [request.url.params.get("cursor") for request in script.requests] == [None, "c1", "c2"]
    assert {request.url.params["limit"] for request in script.requests} == {"2"}


def test_a_copy_that_is_current_is_not_sent_again():
    client = client_of(Script(httpx.Response(304)))
    with pytest.raises(NotModified):
        client.get_me(if_none_match='"v3"')


def test_a_redirect_becomes_the_url_that_serves_the_bytes():
    script = Script(httpx.Response(307, headers={"location": "http://s3/x"}))
    assert client_of(script).get_image_variant(ID, "128") == "http://s3/x"


def test_the_detailed_form_of_a_call_has_the_header_fields():
    client = client_of(Script(job(200), job(200)))
    assert client.get_job_detailed(ID).status == 200
    assert client.get_job_detailed(ID).parsed.id == ID
