"""Responses that several routes build, and how the OpenAPI document describes them."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel
from pydantic_core import to_json
from starlette.requests import ClientDisconnect

from twelvefold.errors import BadRequest
from twelvefold.http.middleware.routing import is_head
from twelvefold.http.rest.conditional import is_not_modified
from twelvefold.http.rest.idempotency import StoredResponse
from twelvefold.http.rest.pagination import CursorCodec, Position, link_header
from twelvefold.http.rest.problems import problem_responses
from twelvefold.storage.object_store import ReadMethod

T = TypeVar("T")
Responses = dict[int | str, dict[str, Any]]

# A copy may be cached, but must be revalidated: the cache's user may have changed.
REVALIDATED = "private, no-cache"


def json_response(
    model: BaseModel, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """Return `model` as JSON. It was made from validated rows and is not validated again."""
    return Response(model.model_dump_json(), status, headers, media_type="application/json")


async def json_items(
    batches: AsyncIterator[Sequence[T]], view: Callable[[T], BaseModel]
) -> AsyncIterator[bytes]:
    """Yield the items of a JSON array without its brackets, one chunk per batch."""
    separator = b""
    async for rows in batches:
        yield separator + b",".join(view(row).model_dump_json().encode() for row in rows)
        separator = b","


def reply(
    model: BaseModel, status: int = 200, headers: dict[str, str] | None = None
) -> StoredResponse:
    """Return the response in the form that is stored with an Idempotency-Key."""
    return StoredResponse(status, model.model_dump_json().encode(), headers or {})


def replied(stored: StoredResponse) -> Response:
    """Return the stored response, first or replayed."""
    return Response(stored.body, stored.status, stored.headers, media_type="application/json")


def versioned(
    body: bytes | str, etag: str, if_none_match: str | None, status: int = 200
) -> Response:
    """Return the body with its ETag, or 304 where the caller has it (RFC 9110 section 15.4.5)."""
    headers = {"ETag": etag, "Cache-Control": REVALIDATED}
    if is_not_modified(if_none_match, etag):
        return Response(status_code=304, headers=headers)
    return Response(body, status, headers, media_type="application/json")


def read_method(request: Request) -> ReadMethod:
    """Return the method that the client will use on the redirect's URL, which is signed for it."""
    return "HEAD" if is_head(request.scope) else "GET"


def redirect(url: str) -> Response:
    """Redirect to a presigned URL, which no cache may keep longer than the permission lasts."""
    return RedirectResponse(url, 307, {"Cache-Control": "private, no-store"})


def page(
    request: Request,
    rows: Sequence[T],
    limit: int,
    cursors: CursorCodec,
    *,
    position: Callable[[T], Position],
    view: Callable[[T], BaseModel | Mapping[str, Any]],
) -> Response:
    """Return one page of `rows`, which exceed `limit` by one where there is another page.

    Items become JSON in one pass. A mapping is much cheaper than a model; its keys are the fields.
    """
    shown = rows[:limit]
    cursor = cursors.encode(position(shown[-1])) if len(rows) > limit else None
    body = to_json({"items": [view(row) for row in shown], "next_cursor": cursor})
    headers = link_header(request, cursor)
    return Response(body, headers=headers, media_type="application/json")


def position_of(row: Any) -> Position:
    """Return the position of a row, a mapping with the columns `created_at` and `id`."""
    return row["created_at"], row["id"]


async def body_of(request: Request) -> AsyncIterator[bytes]:
    """Yield the chunks of the body. Raises BadRequest where the client disconnects."""
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
        "Only where this is the response to an earlier request with the same key.", "true"
    ),
    "ETag": _header("Version of the resource, for If-Match and If-None-Match.", '"v3"'),
    "Location": _header(
        "Path of the new resource.", "/api/v1/jobs/0198c5f0-7b2a-7c31-8f4d-93b7e05d6a22"
    ),
    "Link": _header(
        'Next page, `rel="next"`; absent on the last one.', '</api/v1/images?cursor=…>; rel="next"'
    ),
}


def described(status: int, description: str, *headers: str) -> Responses:
    """Return the documentation of a response with these headers, for a route's `responses`."""
    documented: dict[str, Any] = {"description": description}
    if headers:
        documented["headers"] = {name: _HEADERS[name] for name in headers}
    return {status: documented}


NOT_MODIFIED = described(304, "Not modified: the caller's copy is current", "ETag")
REDIRECT: Responses = {
    307: {
        "description": "Redirect to a URL that serves the bytes for 5 minutes",
        "headers": {
            "Location": _header("Presigned URL.", "https://objects.example/…?X-Amz-Signature=…")
        },
    }
}


def document_problems(*statuses: int) -> Responses:
    """Return the problems of a route, with those that every route may answer."""
    return problem_responses(*sorted({400, 500, 503, *statuses}))
