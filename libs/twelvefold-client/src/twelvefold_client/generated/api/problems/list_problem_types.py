from typing import Any

import httpx

from ... import errors
from ...client import Operation
from ...models.problem_type_list import ProblemTypeList


def build() -> dict[str, Any]:
    """Return the request as arguments of httpx."""

    _kwargs: dict[str, Any] = {
        "method": "GET",
        "url": "/problems",
    }

    return _kwargs


def _parse(response: httpx.Response) -> ProblemTypeList:
    if response.status_code == 200:
        response_200 = ProblemTypeList.from_dict(response.json())

        return response_200
    raise errors.UnexpectedStatus(response.status_code, response.content)


OPERATION = Operation(
    name="list_problem_types",
    takes_key=False,
    needs_token=False,
    parse=_parse,
)
