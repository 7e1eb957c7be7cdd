"""/api/v1/users/…/avatar, where ENABLE_IMAGES is on."""

from typing import Annotated

from fastapi import Path, Request
from fastapi.responses import Response

from api.dependencies import Services
from api.routes.image_body import IMAGE_BODY
from api.schemas import Job
from api.settings import ImageUploadSettings
from twelvefold.http.edge.responses import (
    REDIRECT,
    body_of,
    described,
    document_problems,
    json_response,
    read_method,
    redirect,
)
from twelvefold.http.features import FeatureRouter

from .users import ReadsUsers, UserId, WritesUsers

router = FeatureRouter(ImageUploadSettings, prefix="/api/v1/users", tags=["users"])


@router.put(
    "/me/avatar",
    operation_id="put_my_avatar",
    summary="Upload my avatar",
    status_code=202,
    response_model=Job,
    openapi_extra=IMAGE_BODY,
    responses={
        **described(202, "The job that makes its variants", "Location"),
        **document_problems(401, 403, 413, 415),
    },
)
async def put_my_avatar(request: Request, principal: WritesUsers, services: Services) -> Response:
    """A JPEG, PNG or WebP file as the body. The newest upload wins, whichever job ends last."""
    content_type = request.headers.get("content-type")
    job = await services.images.upload_avatar(principal, body_of(request), content_type)
    return json_response(Job.of(job), 202, {"Location": f"/api/v1/jobs/{job.id}"})


@router.get(
    "/{user_id}/avatar/{variant}",
    operation_id="get_avatar",
    summary="Show an avatar",
    status_code=307,
    response_class=Response,
    responses={**REDIRECT, **document_problems(401, 403, 404, 422)},
)
async def get_avatar(
    request: Request,
    user_id: UserId,
    variant: Annotated[str, Path(max_length=20, description="Longest side: 128, 512, 1024.")],
    principal: ReadsUsers,
    services: Services,
) -> Response:
    """Redirects to a URL that needs no token. 404 while the account has no avatar."""
    method = read_method(request)
    return redirect(await services.avatars.url(principal, user_id, variant, method))
