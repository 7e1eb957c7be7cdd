import datetime
from typing import Any

import httpx

from ... import errors
from ...client import Operation
from ...models.daily_analytics_report import DailyAnalyticsReport
from ...types import UNSET


def build(
    *,
    from_: datetime.date,
    to: datetime.date,
) -> dict[str, Any]:
    """Return the request as arguments of httpx."""

    params: dict[str, Any] = {}

    json_from_ = from_.isoformat()
    params["from"] = json_from_

    json_to = to.isoformat()
    params["to"] = json_to

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "GET",
        "url": "/api/v1/analytics/daily",
        "params": params,
    }

    return _kwargs


def _parse(response: httpx.Response) -> DailyAnalyticsReport:
    if response.status_code == 200:
        response_200 = DailyAnalyticsReport.from_dict(response.json())

        return response_200
    raise errors.UnexpectedStatus(response.status_code, response.content)


OPERATION = Operation(
    name="get_daily_analytics",
    takes_key=False,
    needs_token=True,
    parse=_parse,
)
