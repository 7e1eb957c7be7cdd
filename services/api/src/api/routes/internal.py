"""/internal/v1: what the worker reports to the owner of the rows. Never on the public port."""

from uuid import UUID

from fastapi import APIRouter, Depends
from fastapi.responses import Response

from api.dependencies import Services
from twelvefold.contracts.images import (
    ImageErasure,
    ImageIds,
    ImageObjects,
    ImagesToErase,
    ObjectKeys,
    ObjectRange,
    VariantReport,
)
from twelvefold.http.internal import require_caller

from .responses import described, document_problems, json_response

router = APIRouter(
    prefix="/internal/v1", tags=["images"], dependencies=[Depends(require_caller("worker"))]
)


@router.put(
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
    summary="Erase the images of an account that is gone, batch by batch",
    response_model=ImagesToErase,
    responses={
        **described(200, "Whose objects to delete next"),
        **document_problems(401, 403, 422),
    },
)
async def erase_account(account_id: UUID, done: ImageErasure, services: Services) -> Response:
    """Idempotent: what was not reported as deleted is answered again."""
    images = await services.maintenance.erase(account_id, done.deleted)
    return json_response(
        ImagesToErase(
            images=[
                ImageObjects(id=image.id, object_keys=list(image.object_keys)) for image in images
            ]
        )
    )


@router.put(
    "/objects/orphans",
    operation_id="find_orphans",
    summary="Which of these objects belong to no image",
    response_model=ObjectKeys,
    responses={**described(200, "Those that nobody knows"), **document_problems(401, 403, 422)},
)
async def find_orphans(request: ObjectKeys, services: Services) -> Response:
    """Ask only about objects that are older than any upload or job may take."""
    orphans = await services.maintenance.orphans(request.keys)
    return json_response(ObjectKeys(keys=list(orphans)))


@router.put(
    "/objects/missing",
    operation_id="find_missing",
    summary="Which images miss an object in a range of keys",
    response_model=ImageIds,
    responses={**described(200, "At most 1,000 of them"), **document_problems(401, 403, 422)},
)
async def find_missing(found: ObjectRange, services: Services) -> Response:
    """Changes nothing."""
    return json_response(ImageIds(ids=list(await services.maintenance.missing(found))))


@router.post(
    "/images/mend",
    operation_id="repair_images",
    summary="Mend images that miss objects",
    status_code=204,
    responses=document_problems(401, 403, 422),
)
async def repair_images(missing: ImageIds, services: Services) -> Response:
    """Variants are made anew from the source; an image that had none yet is refused."""
    await services.maintenance.repair(missing.ids)
    return Response(status_code=204)
