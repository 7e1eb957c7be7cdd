"""Counts by day over HTTP, where ENABLE_ANALYTICS is on."""

from datetime import date
from typing import Annotated

from fastapi import Query

from twelvefold.contracts.accounts import DailyAccountsReport
from twelvefold.http.features import FeatureRouter
from twelvefold.http.rest.problems import problem_responses
from twelvefold.settings import AnalyticsSettings
from users.dependencies import Admin, Services, from_api

router = FeatureRouter(AnalyticsSettings, prefix="/internal/v1", tags=["admin"])


@router.get(
    "/analytics/daily",
    operation_id="count_accounts_daily",
    dependencies=[from_api],
    responses=problem_responses(401, 403, 422, 503),
)
async def count_accounts_daily(
    _: Admin,
    services: Services,
    first: Annotated[date, Query(alias="from")],
    last: Annotated[date, Query(alias="to", description="Included; at most 366 days in all.")],
) -> DailyAccountsReport:
    """Return registrations and active accounts by day (UTC)."""
    return await services.analytics.daily(first, last)
