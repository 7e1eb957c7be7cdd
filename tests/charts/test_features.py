"""A deployment without images needs no bucket: neither a name, nor an address, nor keys."""

from __future__ import annotations

import os
from unittest import mock

import pytest
from tests.charts.invariants.settings import SECRETS
from tests.charts.rendering import Release, Values

from twelvefold.service.installed import installed_services, settings_of
from twelvefold.settings import SettingsError, load, without_disabled

NO_BUCKET: Values = {
    "image": {"tag": "1.0.0"},
    "global": {"s3": {"endpoint": "", "publicEndpoint": "", "bucket": ""}},
    "secret": {"keys": {"S3_ACCESS_KEY_ID": False, "S3_SECRET_ACCESS_KEY": False}},
}
_STRONG = "c0ffee1234567890abcdefghijklmnop-of-the-test"


def variables(service: str) -> dict[str, str]:
    """Return what a pod of the chart would have, without the shared ConfigMap."""
    chart = Release(f"charts/{service}", service, environment="production", values=NO_BUCKET)
    objects = chart.render()
    config = next(
        one["data"]
        for one in objects
        if one["kind"] == "ConfigMap" and one["metadata"]["name"] == service
    )
    keys = [name for name, wanted in chart.in_force()["secret"]["keys"].items() if wanted]
    secrets = {name: SECRETS.get(name, _STRONG) for name in keys}
    return {**config, **secrets, "ENVIRONMENT": "production"}


@pytest.mark.parametrize("service", ["api", "worker"])
def test_the_charts_start_a_service_without_a_bucket_once_images_are_off(service):
    given = variables(service)
    settings = settings_of(installed_services()[service])
    with mock.patch.dict(os.environ, given, clear=True):
        with pytest.raises(SettingsError, match="S3_BUCKET is missing"):
            load(without_disabled(settings))
        os.environ["ENABLE_IMAGES"] = "false"
        load(without_disabled(settings))
