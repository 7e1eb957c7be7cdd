"""What stands in front of api lists its paths: each list holds what the routes are."""

import re
from pathlib import Path

import pytest
import yaml
from fastapi.routing import APIRoute

from api.routes import PUBLIC
from twelvefold.http.edge.policies import PublicPolicy, policies
from users.service.emails import email_links

ROOT = Path(__file__).parents[3]
GATEWAY = yaml.safe_load((ROOT / "istio/api/values.yaml").read_text())["public"]
INGRESS = yaml.safe_load((ROOT / "charts/api/values.yaml").read_text())["ingress"]["paths"]
# Served beside the routers: probes, the document and its page.
BESIDE = {("GET", path) for path in ("/health", "/ready", "/docs", "/docs/{name}", "/openapi.json")}
ROUTES = [
    (
        method,
        route.path,
        any(isinstance(found, PublicPolicy) for found in policies(route.dependant)),
    )
    for router in PUBLIC
    for route in router.routes
    if isinstance(route, APIRoute)
    for method in sorted(route.methods or ())
]
OPEN = {(method, path) for method, path, is_public in ROUTES if is_public} | BESIDE


def test_the_gateway_admits_without_a_token_exactly_what_is_open_to_anyone():
    admitted = {
        (method, path)
        for rule in GATEWAY["anonymous"]
        for method in rule["methods"]
        for path in rule["paths"]
        if method != "HEAD"
    }
    assert admitted == {(method, re.sub(r"{\w+}$", "*", path)) for method, path in OPEN}


@pytest.mark.parametrize(("method", "path"), sorted({found[:2] for found in ROUTES} | BESIDE))
def test_the_gateway_and_the_ingress_lead_to_every_route(method, path):
    assert path in GATEWAY["paths"] or any(path.startswith(each) for each in GATEWAY["prefixes"])
    assert any(path == each or path.startswith(f"{each}/") for each in INGRESS)


def test_the_charts_default_leads_every_mailed_link_to_a_page_of_api():
    users = yaml.safe_load((ROOT / "charts/users/values.yaml").read_text())
    assert users["config"]["WEB_URL"] == "https://{{ .Values.global.host }}"
    for page in email_links._PAGES.values():
        path = f"/{page}"
        assert ("GET", path) in OPEN
        assert path in GATEWAY["paths"]
        assert path in INGRESS
