"""/api/v1/images: upload, list, show, delete."""

from typing import Annotated

from fastapi import Path, Query, Request
from fastapi.responses import Response

from api.dependencies import Services
from api.repository.images import Image as ImageRecord
from api.routes.image_body import IMAGE_BODY
from api.schemas import Image, ImageAccepted, ImagePage, Job
from api.service.images import Accepted
from api.settings import ImageUploadSettings
from twelvefold.http.edge.parameters import (
    Cursor,
    Id,
    IdempotencyKey,
    IfMatch,
    IfNoneMatch,
    PageLimit,
)
from twelvefold.http.edge.policies import signed_in
from twelvefold.http.edge.responses import (
    NOT_MODIFIED,
    REDIRECT,
    body_of,
    described,
    document_problems,
    page,
    position_of,
    read_method,
    redirect,
    replied,
    reply,
    versioned,
)
from twelvefold.http.features import FeatureRouter
from twelvefold.http.rest.conditional import etag, parse_if_match
from twelvefold.http.rest.idempotency import StoredResponse
from twelvefold.security.principals import Principal

router = FeatureRouter(ImageUploadSettings, prefix="/api/v1/images", tags=["images"])
ReadsImages = Annotated[Principal, signed_in("images:read")]
WritesImages = Annotated[Principal, signed_in("images:write")]
ImageId = Annotated[Id, Path(description="Id of the image.")]
OwnerId = Annotated[
    Id | None, Query(description="The owner. Default: the caller; for admins all owners.")
]


@router.post(
    "",
    operation_id="create_image",
    summary="Upload an image",
    status_code=202,
    response_model=ImageAccepted,
    openapi_extra=IMAGE_BODY,
    responses={
        **described(
            202,
            "Stored; a job makes its variants",
            "Location",
            "ETag",
            "Link",
            "Idempotency-Replayed",
        ),
        **document_problems(401, 403, 409, 413, 415, 422),
    },
)
async def create_image(
    request: Request,
    principal: WritesImages,
    services: Services,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """A JPEG, PNG or WebP file as the body, without multipart; a job makes the smaller copies."""
    return replied(
        await services.images.upload(
            principal,
            body_of(request),
            request.headers.get("content-type"),
            operation=services.keys.once(str(principal.id), idempotency_key, "POST /images"),
            respond=_accepted,
        )
    )


def _accepted(accepted: Accepted) -> StoredResponse:
    headers = {
        "Location": f"{router.prefix}/{accepted.image.id}",
        "ETag": etag(accepted.image.version),
        # The progress of the job (RFC 8631).
        "Link": f'</api/v1/jobs/{accepted.job.id}>; rel="status"',
    }
    body = ImageAccepted(image=Image.of(accepted.image), job=Job.of(accepted.job))
    return reply(body, 202, headers)


@router.get(
    "",
    operation_id="list_images",
    summary="List images",
    response_model=ImagePage,
    responses={**described(200, "Newest first", "Link"), **document_problems(401, 403, 422)},
)
async def list_images(
    request: Request,
    principal: ReadsImages,
    services: Services,
    limit: PageLimit = 20,
    cursor: Cursor = None,
    owner_id: OwnerId = None,
) -> Response:
    """The caller's images; for admins those of every owner."""
    cursors = services.image_cursors
    after = None if cursor is None else cursors.decode(cursor)
    rows = await services.images.list(principal, owner_id=owner_id, limit=limit + 1, after=after)
    return page(request, rows, limit, cursors, position=position_of, view=Image.item)


@router.get(
    "/{image_id}",
    operation_id="get_image",
    summary="Show an image",
    response_model=Image,
    responses={
        **described(200, "The image", "ETag"),
        **NOT_MODIFIED,
        **document_problems(401, 403, 404, 422),
    },
)
async def get_image(
    image_id: ImageId,
    principal: ReadsImages,
    services: Services,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """`status` says whether the smaller copies are there; 404 for images of other accounts."""
    image: ImageRecord = await services.images.get(principal, image_id)
    return versioned(Image.of(image).model_dump_json(), etag(image.version), if_none_match)


@router.get(
    "/{image_id}/{variant}",
    operation_id="get_image_variant",
    summary="Show a smaller copy of an image",
    status_code=307,
    response_class=Response,
    responses={**REDIRECT, **document_problems(401, 403, 404, 422)},
)
async def get_image_variant(
    request: Request,
    image_id: ImageId,
    variant: Annotated[str, Path(max_length=20, description="Longest side: 128, 512, 1024.")],
    principal: ReadsImages,
    services: Services,
) -> Response:
    """Redirects to a URL that needs no token. Rejected and unfinished images have no copies."""
    method = read_method(request)
    return redirect(await services.images.variant_url(principal, image_id, variant, method))


@router.delete(
    "/{image_id}",
    operation_id="delete_image",
    summary="Delete an image",
    status_code=204,
    responses=document_problems(401, 403, 404, 412, 422),
)
async def delete_image(
    image_id: ImageId, principal: WritesImages, services: Services, if_match: IfMatch = None
) -> Response:
    """Deletes its variants too. If-Match is optional."""
    expected = None if if_match is None else parse_if_match(if_match)
    await services.images.delete(principal, image_id, expected)
    return Response(status_code=204)
