"""Whom the mesh admits to what: service accounts, and tokens from the gateway."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache

from tests.charts.edges import EDGES
from tests.charts.policies import Request, authorized
from tests.charts.rendering import NAMESPACE, World
from tests.charts.tree import ROOT
from tests.suite import DECLARED, PUBLIC, SERVICES

from api.routes import pages

from .registry import MESH_POLICY, SERVICE_POLICY, SERVICE_ROUTES, Fault, invariant

AUDIENCE = "twelvefold-api"
ISSUERS = {
    "dev": "twelvefold",
    "staging": "https://api.example.com",
    "production": "https://api.example.com",
}
GATEWAY = "cluster.local/ns/istio-system/sa/istio-ingressgateway-service-account"
# Pages and their document, which the document does not list.
_DOCUMENTATION = {("GET", "/docs"), ("GET", "/docs/swagger-ui.css"), ("GET", "/openapi.json")}
_PROBES = ("/health", "/ready")
_MAILED = {(method, path) for path in pages.PATHS for method in ("GET", "POST")}


def account(name: str) -> str:
    return f"cluster.local/ns/{NAMESPACE}/sa/{name}"


@cache
def public_operations(service: str) -> dict[tuple[str, str], bool]:
    """Method and path of a service's public operations, and whether anybody may call each."""
    document = json.loads((ROOT / f"docs/api/{service}.json").read_text())
    operations = {
        (method.upper(), re.sub(r"{\w+}", "0191e0c4", path)): not operation.get("security")
        for path, found in document["paths"].items()
        for method, operation in found.items()
    }
    # The host's own pages and probes are one service's; another's are at its own URL.
    if DECLARED[service].serves("/docs"):
        return operations | dict.fromkeys(_DOCUMENTATION | _MAILED, True)
    return {one: anybody for one, anybody in operations.items() if one[1] not in _PROBES}


def _labels(service: str) -> dict[str, str]:
    return {"app.kubernetes.io/name": service}


@invariant(
    Fault("istio/api/values.yaml", "        - /api/v1/auth/revoke\n", ""),
    Fault(
        "istio/api/values.yaml",
        "        - /health\n",
        "        - /health\n        - /api/v1/jobs\n",
    ),
    Fault(
        SERVICE_ROUTES,
        '          - {{ printf "%s/*" $issuer | quote }}\n',
        '          - "*"\n',
    ),
    Fault(
        SERVICE_ROUTES,
        "    - key: request.auth.audiences\n"
        "      values: [{{ $.Values.global.tokens.audience | quote }}]",
        "    - key: request.auth.audiences\n      values: [another]",
    ),
    Fault(
        SERVICE_ROUTES,
        '        principals: [{{ include "routing.gatewayPrincipal" $ }}]\n'
        "        requestPrincipals",
        "        requestPrincipals",
    ),
    Fault(SERVICE_ROUTES, '"rules" (include "routing.rules" $root | trim)', '"rules" "- {}"'),
)
def the_gateway_passes_without_a_token_exactly_what_anybody_may_call(world: World) -> Iterator[str]:
    policies = world.of("AuthorizationPolicy")
    issuer = ISSUERS[world.environment]
    tokens = {
        "no token": (None, None),
        "a good token": (issuer, AUDIENCE),
        "another's token": ("https://else.example.com", AUDIENCE),
        "a token for another": (issuer, "another-api"),
    }
    cases = [(service, *one) for service in PUBLIC for one in public_operations(service).items()]
    for service, (method, path), anybody in cases:
        for output, (iss, aud) in tokens.items():
            wanted = anybody or (output == "a good token" and path.startswith("/api/"))
            request = Request(GATEWAY, 8000, method, path, iss, aud)
            if authorized(policies, NAMESPACE, _labels(service), request) != wanted:
                yield f"{method} {path} with {output} is {'refused' if wanted else 'admitted'}"
            for other in map(account, {*SERVICES, "default"} - {service}):
                stranger = Request(other, 8000, method, path, iss, aud)
                if authorized(policies, NAMESPACE, _labels(service), stranger):
                    yield f"{other} may call {method} {path}"


@invariant(
    Fault("istio/users/values.yaml", "internal: [api, ", "internal: [api, default, "),
    Fault("istio/users/values.yaml", ", worker]", "]"),
    Fault("istio/api/values.yaml", "internal: [worker]", "internal: []"),
    Fault(SERVICE_POLICY, "        paths: [/internal/v1/*]", "        methods: [GET]"),
    Fault(
        SERVICE_POLICY,
        '        ports: [{{ index $root.Values.global.peers $root.Chart.Name "port" | quote }}]\n',
        "",
    ),
    Fault(SERVICE_ROUTES, '"rules" (include "routing.rules" $root | trim)', '"rules" "- {}"'),
    Fault(
        SERVICE_ROUTES,
        '{{ include "routing.authorizationpolicy" (dict "root" $root "rules" '
        '(include "routing.rules" $root | trim)) }}\n',
        "",
        also=((MESH_POLICY, "spec: {}", "spec: {selector: {matchLabels: {a: b}}}"),),
    ),
)
def each_edge_is_admitted_by_its_service_account_and_every_other_is_refused(
    world: World,
) -> Iterator[str]:
    policies = world.of("AuthorizationPolicy")
    principals = {
        name: account(name) for name in (*SERVICES, "default", "api-migrate", "users-test")
    }
    principals["gateway"] = GATEWAY
    principals["impostor"] = "cluster.local/ns/default/sa/api"
    for service in (*SERVICES, "a-fourth"):
        for name, principal in principals.items():
            for port in (8001, 9000, 80):
                request = Request(principal, port, "PUT", "/internal/v1/things/1")
                wanted = (name, service, port) in EDGES and port == 8001
                if authorized(policies, NAMESPACE, _labels(service), request) != wanted:
                    yield f"{name} to {service}:{port} is {'refused' if wanted else 'admitted'}"
