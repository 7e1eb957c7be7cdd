"""image.process: variants in S3, and a report or the reason of a rejection to the owner."""

import io
from datetime import UTC, datetime, timedelta

import pytest
from PIL import Image

from twelvefold.contracts.images import VariantReport
from twelvefold.contracts.jobs import IMAGE_PROCESS, ImageProcess
from twelvefold.identifiers import new_id
from worker.service.image_processor import variant_prefix


def jpeg(size=(1600, 1200)) -> bytes:
    content = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by 90 degrees
    exif[0x010F] = "planted-camera-maker"
    Image.radial_gradient("L").resize(size).convert("RGB").save(content, "JPEG", exif=exif)
    return content.getvalue()


@pytest.fixture
def upload(bench, owners, store):
    """Stores bytes as api does, and enqueues their job."""

    async def chunks(content):
        yield content

    async def enqueue(content: bytes | None, target="image", target_id=None, *, exists=True):
        target_id = target_id or new_id()
        if exists:
            owners.targets.add(target_id)
        payload = ImageProcess(target=target, target_id=target_id, object_key=f"uploads/{new_id()}")
        if content is not None:
            await store.put(payload.object_key, chunks(content), "image/jpeg")
        async with bench.producer.transaction() as transaction:
            job_id = await bench.jobs.enqueue(transaction, IMAGE_PROCESS, payload)
        return job_id, payload

    return enqueue


async def stored(store, payload):
    return [found.key async for found in store.list(variant_prefix(payload))]


@pytest.mark.parametrize("target", ["image", "avatar"])
async def test_an_upload_becomes_three_upright_variants_without_metadata(
    bench, registry, owners, store, upload, target
):
    job_id, payload = await upload(jpeg(), target)
    async with bench.running(registry):
        await bench.becomes("succeeded", job_id)
    report = owners.kept[payload.target_id]
    assert (report.job_id, report.rejected) == (job_id, None)
    assert report.job_created_at == (await bench.record(job_id)).created_at
    assert {variant.name for variant in report.variants} == {"128", "512", "1024"}
    for variant in report.variants:
        assert variant.object_key == f"{variant_prefix(payload)}{job_id}/{variant.name}.webp"
        async with store.open(variant.object_key) as chunks:
            content = b"".join([chunk async for chunk in chunks])
        image = Image.open(io.BytesIO(content), formats=["WEBP"])
        assert image.size == (variant.width, variant.height)
        assert variant.height == int(variant.name), "the orientation was not applied"
        assert not image.getexif()
        assert len(content) == variant.size
    assert (await bench.record(job_id)).result == {
        "variants": [variant.name for variant in report.variants],
        "kept": True,
    }


async def test_a_second_run_writes_the_same_objects_and_the_same_report(
    bench, registry, owners, store, upload
):
    job_id, payload = await upload(jpeg())
    async with bench.running(registry):
        await bench.becomes("succeeded", job_id)
        first = await stored(store, payload)
        await bench.sql.execute("UPDATE jobs.jobs SET status = 'queued' WHERE id = $1", job_id)
        await bench.becomes("succeeded", job_id)
    assert await stored(store, payload) == first
    assert len(owners.reports) == 2
    assert owners.reports[0] == owners.reports[1]


async def test_an_invalid_image_is_rejected_and_the_reason_reported(
    bench, registry, owners, store, upload
):
    job_id, payload = await upload(b"<html>hello</html>")
    async with bench.running(registry):
        await bench.becomes("rejected", job_id)
    record = await bench.record(job_id)
    assert record.error == "is not a JPEG, PNG or WebP image"
    assert owners.kept[payload.target_id].rejected == record.error
    assert await stored(store, payload) == []


async def test_a_source_of_too_many_bytes_is_rejected_while_it_is_fetched(
    bench, registry, owners, upload
):
    job_id, payload = await upload(b"\xff\xd8\xff" + b"\0" * 1_500_000)
    async with bench.running(registry):
        await bench.becomes("rejected", job_id)
    assert "more than 1000000 bytes" in (owners.kept[payload.target_id].rejected or "")


async def test_a_missing_source_is_rejected(bench, registry, owners, upload):
    job_id, payload = await upload(None)
    async with bench.running(registry):
        await bench.becomes("rejected", job_id)
    assert owners.kept[payload.target_id].rejected


async def test_variants_of_a_deleted_target_are_deleted(bench, registry, store, upload):
    job_id, payload = await upload(jpeg(), exists=False)
    async with bench.running(registry):
        await bench.becomes("succeeded", job_id)
    assert (await bench.record(job_id)).result["kept"] is False
    assert await stored(store, payload) == []


async def test_an_older_job_does_not_replace_the_report_of_a_newer_one(
    bench, registry, owners, upload
):
    target_id = new_id()
    newer = VariantReport(
        job_id=new_id(), job_created_at=datetime.now(UTC) + timedelta(hours=1), rejected="newer"
    )
    owners.kept[target_id] = newer
    job_id, _ = await upload(jpeg(), "avatar", target_id)
    async with bench.running(registry):
        await bench.becomes("succeeded", job_id)
    assert owners.kept[target_id] == newer
    assert (await bench.record(job_id)).result["kept"] is False


async def test_a_report_is_retried_until_its_owner_is_available(bench, registry, owners, upload):
    owners.unavailable = True
    job_id, payload = await upload(jpeg((300, 200)))
    async with bench.running(registry):
        await bench.becomes("failed", job_id)
        owners.unavailable = False
        await bench.becomes("succeeded", job_id)
    assert owners.kept[payload.target_id].variants
