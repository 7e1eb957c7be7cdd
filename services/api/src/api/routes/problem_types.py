"""/problems: what the member `type` of an error leads to (RFC 9457 section 3.1.1)."""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response
from pydantic import BaseModel

from api.pages import message_page
from twelvefold.errors import NotFound
from twelvefold.http.edge.policies import anyone
from twelvefold.http.edge.responses import Responses, described, document_problems, json_response
from twelvefold.http.rest.problem_types import (
    PATH,
    ProblemType,
    ProblemTypeList,
    find_problem_type,
    problem_types,
)

_HEADERS = {"Cache-Control": "public, max-age=3600", "Vary": "Accept"}
_REPEAT = {
    "no": "Do not repeat the same request: it fails again.",
    "if_safe": (
        "The outcome may be unknown. Repeat GET, PUT and DELETE requests, and a POST with the same "
        "Idempotency-Key."
    ),
    "yes": "Nothing was done. Repeat the request after the seconds in Retry-After.",
}
Code = Annotated[
    str, Path(max_length=60, pattern="^[a-z0-9-]+$", description="The last part of `type`.")
]
router = APIRouter(prefix=PATH, tags=["problems"], dependencies=[anyone()])


def _documented(description: str) -> Responses:
    documented = described(200, description)
    documented[200]["content"] = {"text/html": {"schema": {"type": "string"}}}
    return documented


@router.get(
    "",
    operation_id="list_problem_types",
    summary="List the kinds of problems",
    response_model=ProblemTypeList,
    responses={**_documented("By status and code"), **document_problems()},
)
async def list_problem_types(request: Request) -> Response:
    """JSON, or a page for browsers. The list changes with releases only; expect new members."""
    if _wants_page(request):
        lines = [f"{found.status} {found.code}: {found.title}" for found in problem_types()]
        return message_page("Problem types", "\n\n".join(lines), headers=_HEADERS)
    return _json(ProblemTypeList(items=list(problem_types())))


@router.get(
    "/{code}",
    operation_id="get_problem_type",
    summary="Explain a kind of problem",
    response_model=ProblemType,
    responses={
        **_documented("What it means, what to do, whether to repeat the request"),
        **document_problems(404, 422),
    },
)
async def get_problem_type(request: Request, code: Code) -> Response:
    """JSON, or a page for browsers. Every `type` of an error is a path of this operation."""
    found = find_problem_type(code)
    if found is None:
        raise NotFound("There is no such problem type. GET /problems lists them.")
    if _wants_page(request):
        text = f"{found.meaning}\n\n{found.advice}\n\n{_REPEAT[found.repeat]}"
        return message_page(f"{found.status} {found.title}", text, headers=_HEADERS)
    return _json(found)


def _json(model: BaseModel) -> Response:
    return json_response(model, headers=_HEADERS)


def _wants_page(request: Request) -> bool:
    """Return whether the client is a browser: these name text/html, API clients do not."""
    return "text/html" in request.headers.get("accept", "")
