"""/internal/v1: reports and requests of the worker. Never on the public port."""

from uuid import UUID

from fastapi import APIRouter, Depends
from fastapi.responses import Response

from api.dependencies import Services
from api.settings import ImageUploadSettings
from twelvefold.contracts.images import (
    ImageErasure,
    ImageIds,
    ImageObjects,
    ImagesToErase,
    ObjectKeys,
    ObjectRange,
    VariantReport,
)
from twelvefold.http.callers import require_caller
from twelvefold.http.edge.responses import described, document_problems, json_response
from twelvefold.http.features import FeatureRouter

_FROM_WORKER = [Depends(require_caller("worker"))]
router = APIRouter(prefix="/internal/v1", tags=["images"], dependencies=_FROM_WORKER)
images = FeatureRouter(
    ImageUploadSettings, prefix="/internal/v1", tags=["images"], dependencies=_FROM_WORKER
)


@images.put(
    "/images/{image_id}/variants",
    operation_id="put_image_variants",
    summary="Report the variants of an image, or why there are none",
    status_code=204,
    responses=document_problems(401, 403, 404, 409, 422),
)
async def put_image_variants(image_id: UUID, report: VariantReport, services: Services) -> Response:
    """Idempotent by job; 409 where a newer job has reported, 404 where the image is gone."""
    await services.images.report(image_id, report)
    return Response(status_code=204)


@router.post(
    "/accounts/{account_id}/erasure",
    operation_id="erase_account",
    summary="Erase the images of a deleted account, batch by batch",
    response_model=ImagesToErase,
    responses={
        **described(200, "The images whose objects are to be deleted next"),
        **document_problems(401, 403, 422),
    },
)
async def erase_account(account_id: UUID, done: ImageErasure, services: Services) -> Response:
    """Idempotent: images that were not reported as deleted are returned again."""
    images = await services.maintenance.erase(account_id, done.deleted)
    return json_response(
        ImagesToErase(
            images=[
                ImageObjects(id=image.id, object_keys=list(image.object_keys)) for image in images
            ]
        )
    )


@images.put(
    "/objects/orphans",
    operation_id="find_orphans",
    summary="Find the objects that belong to no image",
    response_model=ObjectKeys,
    responses={**described(200, "The orphaned objects"), **document_problems(401, 403, 422)},
)
async def find_orphans(request: ObjectKeys, services: Services) -> Response:
    """Send only objects that are older than the duration of any upload or job."""
    orphans = await services.maintenance.orphans(request.keys)
    return json_response(ObjectKeys(keys=list(orphans)))


@images.put(
    "/objects/missing",
    operation_id="find_missing",
    summary="Find the images that lack an object in a range of keys",
    response_model=ImageIds,
    responses={**described(200, "At most 1,000 of them"), **document_problems(401, 403, 422)},
)
async def find_missing(found: ObjectRange, services: Services) -> Response:
    """Changes nothing."""
    return json_response(ImageIds(ids=list(await services.maintenance.missing(found))))


@images.post(
    "/images/mend",
    operation_id="repair_images",
    summary="Repair images that lack objects",
    status_code=204,
    responses=document_problems(401, 403, 422),
)
async def repair_images(missing: ImageIds, services: Services) -> Response:
    """Queues new variants from the source; an image without variants is rejected."""
    await services.maintenance.repair(missing.ids)
    return Response(status_code=204)
