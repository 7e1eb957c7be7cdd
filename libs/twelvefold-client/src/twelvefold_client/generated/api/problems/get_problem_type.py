from typing import Any
from urllib.parse import quote

import httpx

from ... import errors
from ...client import Operation
from ...models.problem_type import ProblemType


def build(
    code: str,
) -> dict[str, Any]:
    """Return the request as arguments of httpx."""

    _kwargs: dict[str, Any] = {
        "method": "GET",
        "url": "/problems/{code}".format(
            code=quote(str(code), safe=""),
        ),
    }

    return _kwargs


def _parse(response: httpx.Response) -> ProblemType:
    if response.status_code == 200:
        response_200 = ProblemType.from_dict(response.json())

        return response_200
    raise errors.UnexpectedStatus(response.status_code, response.content)


OPERATION = Operation(
    name="get_problem_type",
    takes_key=False,
    needs_token=False,
    parse=_parse,
)
