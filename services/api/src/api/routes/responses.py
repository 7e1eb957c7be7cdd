"""Responses that several routes build, and how the OpenAPI document describes them."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel
from starlette.requests import ClientDisconnect

from api.service.uploads import IMAGE_TYPES
from twelvefold.errors import BadRequest
from twelvefold.http.middleware.routing import is_head
from twelvefold.http.rest.conditional import is_not_modified
from twelvefold.http.rest.idempotency import StoredResponse
from twelvefold.http.rest.pagination import CursorCodec, Page, Position, link_header
from twelvefold.http.rest.problems import problem_responses
from twelvefold.storage.object_store import ReadMethod

T = TypeVar("T")
Responses = dict[int | str, dict[str, Any]]

# A cached copy may be kept, but is asked about each time: it may be another's by then.
REVALIDATED = "private, no-cache"
_BINARY = {"schema": {"type": "string", "format": "binary"}}
IMAGE_BODY = {
    "requestBody": {
        "required": True,
        "description": "The bytes of the image. They decide about its type, not the header.",
        "content": dict.fromkeys((*IMAGE_TYPES, "application/octet-stream"), _BINARY),
    }
}


def json_response(
    model: BaseModel, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """`model` as it is: it was made from our own rows and needs no second validation."""
    return Response(model.model_dump_json(), status, headers, media_type="application/json")


async def json_items(
    batches: AsyncIterator[Sequence[T]], view: Callable[[T], BaseModel]
) -> AsyncIterator[bytes]:
    """What stands between the brackets of a JSON array, a piece for each batch."""
    separator = b""
    async for rows in batches:
        yield separator + b",".join(view(row).model_dump_json().encode() for row in rows)
        separator = b","


def reply(
    model: BaseModel, status: int = 200, headers: dict[str, str] | None = None
) -> StoredResponse:
    """As `json_response`, in the form that is stored with an Idempotency-Key."""
    return StoredResponse(status, model.model_dump_json().encode(), headers or {})


def replied(found: StoredResponse) -> Response:
    """The first answer, or the same again."""
    return Response(found.body, found.status, found.headers, media_type="application/json")


def versioned(
    body: bytes | str, etag: str, if_none_match: str | None, status: int = 200
) -> Response:
    """The body with its ETag, or 304 where the caller has it already (RFC 9110 section 15.4.5)."""
    headers = {"ETag": etag, "Cache-Control": REVALIDATED}
    if is_not_modified(if_none_match, etag):
        return Response(status_code=304, headers=headers)
    return Response(body, status, headers, media_type="application/json")


def read_method(request: Request) -> ReadMethod:
    """What the URL of a redirect has to be signed for: what the client follows it with."""
    return "HEAD" if is_head(request.scope) else "GET"


def redirect(url: str) -> Response:
    """To a presigned URL, which must not outlive the permission to see it in a cache."""
    return RedirectResponse(url, 307, {"Cache-Control": "private, no-store"})


def page(
    request: Request,
    rows: Sequence[T],
    limit: int,
    cursors: CursorCodec,
    *,
    position: Callable[[T], Position],
    view: Callable[[T], BaseModel],
) -> Response:
    """One page of `rows`, which are one more than `limit` where there is another page."""
    shown = rows[:limit]
    cursor = cursors.encode(position(shown[-1])) if len(rows) > limit else None
    found = Page[Any](items=[view(row) for row in shown], next_cursor=cursor)
    return json_response(found, headers=link_header(request, cursor))


async def body_of(request: Request) -> AsyncIterator[bytes]:
    """The body's chunks as they come. Raises BadRequest where the client goes away."""
    try:
        async for chunk in request.stream():
            if chunk:
                yield chunk
    except ClientDisconnect:
        raise BadRequest("The request body is incomplete.") from None


def _header(description: str, example: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}, "example": example}


_HEADERS = {
    "Idempotency-Replayed": _header(
        "Only where this is the answer to an earlier request with the same key.", "true"
    ),
    "ETag": _header("Version of the resource, for If-Match and If-None-Match.", '"v3"'),
    "Location": _header(
        "Path of what was made.", "/api/v1/jobs/0198c5f0-7b2a-7c31-8f4d-93b7e05d6a22"
    ),
    "Link": _header(
        'Next page, `rel="next"`; absent on the last one.', '</api/v1/images?cursor=…>; rel="next"'
    ),
}


def described(status: int, description: str, *headers: str) -> Responses:
    """A response of this status with these headers, besides what the route declares."""
    found: dict[str, Any] = {"description": description}
    if headers:
        found["headers"] = {name: _HEADERS[name] for name in headers}
    return {status: found}


NOT_MODIFIED = described(304, "Not modified: what the caller holds is current", "ETag")
REDIRECT: Responses = {
    307: {
        "description": "To a URL of 5 minutes that serves the bytes",
        "headers": {
            "Location": _header("Presigned URL.", "https://objects.example/…?X-Amz-Signature=…")
        },
    }
}


def document_problems(*statuses: int) -> Responses:
    """Problems of a route, besides those that every route may answer."""
    return problem_responses(*sorted({400, 500, 503, *statuses}))
