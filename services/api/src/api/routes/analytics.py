"""/api/v1/analytics: the counts of each day, where ENABLE_ANALYTICS is on."""

from typing import Annotated

from fastapi import Query
from fastapi.responses import Response

from api.dependencies import Services
from api.schemas import DailyAnalytics, DailyAnalyticsReport, JobCount
from twelvefold.http.edge.parameters import Day
from twelvefold.http.edge.policies import admin
from twelvefold.http.edge.responses import described, document_problems, json_response
from twelvefold.http.features import FeatureRouter
from twelvefold.jobs import JobStatus
from twelvefold.security.principals import Principal
from twelvefold.settings import AnalyticsSettings

router = FeatureRouter(AnalyticsSettings, prefix="/api/v1", tags=["admin"])
Admin = Annotated[Principal, admin()]


@router.get(
    "/analytics/daily",
    operation_id="get_daily_analytics",
    summary="Show the counts of each day",
    response_model=DailyAnalyticsReport,
    responses={
        **described(200, "A row for every day, zeros included"),
        **document_problems(401, 403, 404, 422),
    },
)
async def get_daily_analytics(
    principal: Admin,
    services: Services,
    first: Annotated[Day, Query(alias="from", description="First day (UTC).")],
    last: Annotated[Day, Query(alias="to", description="Last day (UTC); at most 366 days in all.")],
) -> Response:
    """404 where the operator has disabled analytics (ENABLE_ANALYTICS)."""
    days = await services.reports.daily(principal, first, last)
    items = [
        DailyAnalytics(
            day=accounts.day,
            registrations=accounts.registrations,
            active_users=accounts.active_users,
            images=counts.images,
            jobs=[
                JobCount(type=kind, status=JobStatus(status), count=count)
                for kind, status, count in counts.jobs
            ],
        )
        for accounts, counts in days
    ]
    return json_response(DailyAnalyticsReport(items=items))
