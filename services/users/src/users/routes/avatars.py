"""Avatars over HTTP, where ENABLE_IMAGES is on."""

from uuid import UUID

from twelvefold.contracts.images import ObjectKeys, VariantReport
from twelvefold.http.features import FeatureRouter
from twelvefold.http.rest.problems import problem_responses
from users.dependencies import Services, from_api, from_worker, may_read
from users.schemas import Avatar
from users.settings import AvatarSettings

router = FeatureRouter(AvatarSettings, prefix="/internal/v1/users", tags=["users"])
objects = FeatureRouter(AvatarSettings, prefix="/internal/v1/objects", tags=["objects"])


@router.get(
    "/{user_id}/avatar",
    operation_id="get_avatar",
    dependencies=[from_api, may_read],
    responses=problem_responses(401, 403, 404, 422, 503),
)
async def get_avatar(user_id: UUID, services: Services) -> Avatar:
    """Return the variants of the avatar; none before the first upload was processed."""
    return Avatar(variants=await services.accounts.avatar(user_id))


@router.put(
    "/{user_id}/avatar",
    operation_id="report_avatar",
    dependencies=[from_worker],
    status_code=204,
    responses=problem_responses(401, 403, 404, 409, 422, 503),
)
async def report_avatar(user_id: UUID, report: VariantReport, services: Services) -> None:
    """Store the variants that a job has made; 409 where a newer job has reported."""
    await services.accounts.report_avatar(user_id, report)


@objects.put(
    "/orphans",
    operation_id="find_orphans",
    dependencies=[from_worker],
    responses=problem_responses(401, 403, 422, 503),
)
async def find_orphans(request: ObjectKeys, services: Services) -> ObjectKeys:
    """Return the objects that belong to no avatar. Send only objects older than any job."""
    return ObjectKeys(keys=await services.accounts.orphans(request.keys))
