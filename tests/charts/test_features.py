"""A deployment without images needs no bucket: neither a name, nor an address, nor keys."""

from __future__ import annotations

import json
import os
from unittest import mock

import pytest
from helm_python.errors import HelmRenderError
from tests.charts.invariants.settings import SECRETS
from tests.charts.rendering import Release, Values

from twelvefold.service.installed import installed_services, settings_of
from twelvefold.settings import load, without_disabled

NO_STORE: Values = {"s3": {"endpoint": "", "publicEndpoint": "", "bucket": "", "region": ""}}
_STRONG = "c0ffee1234567890abcdefghijklmnop-of-the-test"


def release(chart: str, *, images: bool) -> Release:
    site = {**NO_STORE, "peers": {"s3": {"host": ""}}, "features": {"images": images}}
    values: Values = {"global": site}
    if chart.startswith("charts/"):
        values["image"] = {"tag": "1.0.0"}
    return Release(chart, chart.split("/")[1], environment="production", values=values)


@pytest.mark.parametrize("service", ["api", "worker"])
def test_without_images_a_service_starts_without_a_bucket(service: str) -> None:
    objects = release(f"charts/{service}", images=False).render()
    (config,) = (
        one["data"]
        for one in objects
        if one["kind"] == "ConfigMap" and one["metadata"]["name"] == service
    )
    (pod,) = (one["spec"]["template"]["spec"] for one in objects if one["kind"] == "Deployment")
    files = [entry["name"] for entry in pod["containers"][0]["env"] if "_FILE" in entry["name"]]
    assert not [name for name in files if name.startswith("S3_")]
    secrets = {name.removesuffix("_FILE"): _STRONG for name in files} | {
        name: value for name, value in SECRETS.items() if f"{name}_FILE" in files
    }
    given = {**config, **secrets, "ENVIRONMENT": "production"}
    with mock.patch.dict(os.environ, given, clear=True):
        load(without_disabled(settings_of(installed_services()[service])))


@pytest.mark.parametrize("chart", ["charts/api", "charts/worker", "istio/api", "istio/worker"])
def test_without_images_no_way_leads_to_an_object_store(chart: str) -> None:
    text = json.dumps(release(chart, images=False).render())
    assert "twelvefold.dev/to-s3" not in text
    with pytest.raises(HelmRenderError, match=r"s3\.(bucket|host) is empty"):
        release(chart, images=True).render()
