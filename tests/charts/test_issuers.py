"""Whose tokens count: by default those of the host, and of the former issuer while it changes."""

from __future__ import annotations

import pytest
from tests.charts.rendering import JWKS, Object, Release, Values

HOST = "https://api.example.com"
MESH: Values = {"tokens": {"jwks": JWKS}}


def render(chart: str, environment: str, tokens: Values) -> list[Object]:
    values: Values = {"global": {"tokens": tokens}, **(MESH if chart == "istio/mesh" else {})}
    if chart.startswith("charts/"):
        values["image"] = {"tag": "1.0.0"}
    return Release(chart, chart.split("/")[1], environment=environment, values=values).render()


def settings(service: str, environment: str, tokens: Values) -> dict[str, str]:
    objects = render(f"charts/{service}", environment, tokens)
    (config,) = (
        one["data"]
        for one in objects
        if one["kind"] == "ConfigMap" and one["metadata"]["name"] == service
    )
    return dict(config)


def admitted(environment: str, tokens: Values) -> list[str]:
    """Issuers that both the gateway's authentication and api's policy name."""
    (authentication,) = (
        one
        for one in render("istio/mesh", environment, tokens)
        if one["kind"] == "RequestAuthentication" and one["metadata"]["name"] == "api-tokens"
    )
    rules = authentication["spec"]["jwtRules"]
    assert all(rule["jwks"] and rule["audiences"] == ["twelvefold-api"] for rule in rules)
    principals = [
        source["source"]["requestPrincipals"]
        for one in render("istio/api", environment, tokens)
        if one["kind"] == "AuthorizationPolicy"
        for rule in one["spec"]["rules"]
        for source in rule["from"]
        if "requestPrincipals" in source["source"]
    ]
    issuers = [rule["issuer"] for rule in rules]
    assert principals == [[f"{issuer}/*" for issuer in issuers]]
    return issuers


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_the_issuer_of_a_deployment_is_its_host(environment: str) -> None:
    for service in ("api", "users"):
        variables = settings(service, environment, {})
        assert variables["JWT_ISSUER"] == HOST
        assert "JWT_ACCEPTED_ISSUERS" not in variables
    assert admitted(environment, {}) == [HOST]


def test_development_keeps_its_issuer() -> None:
    assert settings("users", "dev", {})["JWT_ISSUER"] == "twelvefold"
    assert admitted("dev", {}) == ["twelvefold"]


def test_an_issuer_of_ones_own_stays() -> None:
    own = {"issuer": "https://id.example.com"}
    assert settings("api", "production", own)["JWT_ISSUER"] == own["issuer"]
    assert admitted("production", own) == [own["issuer"]]


def test_the_former_issuer_is_accepted_by_services_and_mesh_during_an_upgrade() -> None:
    changing = {"acceptedIssuers": ["twelvefold", "https://old.example.com"]}
    for service in ("api", "users"):
        variables = settings(service, "production", changing)
        assert variables["JWT_ISSUER"] == HOST
        assert variables["JWT_ACCEPTED_ISSUERS"] == "twelvefold,https://old.example.com"
    assert admitted("production", changing) == [HOST, *changing["acceptedIssuers"]]


def test_an_issuer_named_twice_is_one_rule() -> None:
    """A mesh with two rules for one issuer refuses the object."""
    assert admitted("production", {"issuer": HOST, "acceptedIssuers": [HOST]}) == [HOST]
