"""The errors that are copied most: each is planted in the charts, and something here refuses it.

The table is that of the forms that guides and examples spread, with what is right instead in the
charts themselves.
"""

from __future__ import annotations

from pathlib import Path

import helm_python
import pytest
from tests.charts.invariants import INVARIANTS, Fault
from tests.charts.invariants.registry import (
    COMMON,
    DESTINATION_RULE,
    MESH_POLICY,
    SERVICE_ROUTES,
)
from tests.charts.rendering import World
from tests.charts.test_rendering import faults
from tests.charts.tree import copied

_SCALING = f"{COMMON}/_scaling.tpl"
# What is planted, and the complaint that names it.
ERRORS = {
    "circuitBreaker in a DestinationRule": (
        Fault(
            DESTINATION_RULE,
            "loadBalancer: {simple: LEAST_REQUEST}\n",
            "loadBalancer: {simple: LEAST_REQUEST}\n"
            "circuitBreaker: {maxConnections: 100, consecutiveErrors: 5}\n",
        ),
        "circuitBreaker",
    ),
    "LEAST_CONN": (
        Fault(DESTINATION_RULE, "{simple: LEAST_REQUEST}", "{simple: LEAST_CONN}"),
        "balances by {'simple': 'LEAST_CONN'}",
    ),
    "a policy on claims without a RequestAuthentication": (
        Fault(MESH_POLICY, "kind: RequestAuthentication", "kind: PeerAuthentication"),
        "0 rules say whose tokens count at api",
    ),
    "a policy on claims without an audience": (
        Fault(
            MESH_POLICY, "      audiences: [{{ $.Values.global.tokens.audience | quote }}]\n", ""
        ),
        "for None",
    ),
    "egress for DNS to all destinations": (
        Fault(
            f"{COMMON}/_network.tpl",
            '- to:\n    {{- include "common.peer" (dict "root" . "name" "dns")'
            " | trim | nindent 4 }}",
            "- to: []",
        ),
        "egress for everybody",
    ),
    "egress on 443 to the internet": (
        Fault("charts/site.example.yaml", "locations: [52.219.0.0/16]", "locations: [0.0.0.0/0]"),
        "is the internet",
    ),
    "a metric that no adapter serves": (
        Fault(
            _SCALING,
            "{{- if .Values.autoscaling.requestsPerSecond.enabled }}\n    - type: Pods",
            "{{- if true }}\n    - type: Pods",
        ),
        "waits for http_requests_per_second",
    ),
    "scaling by the pod, sidecar included": (
        Fault(
            _SCALING,
            "- type: ContainerResource\n      containerResource:\n"
            "        name: {{ $resource }}\n        container: {{ $.Chart.Name }}",
            "- type: Resource\n      resource:\n        name: {{ $resource }}",
        ),
        "counts the sidecar in",
    ),
    "an exporter that is gone": (
        Fault(
            "charts/platform/values.yaml",
            "  LOG_FORMAT: json",
            "  LOG_FORMAT: json\n  OTEL_EXPORTER_JAEGER_AGENT_HOST: jaeger",
        ),
        "OTEL_EXPORTER_JAEGER_AGENT_HOST",
    ),
    "process information on the public route": (
        Fault("istio/api/values.yaml", "    - /docs\n", "    - /docs\n    - /info\n"),
        "leads /info to clients",
    ),
    "the management port behind the gateway": (
        Fault(SERVICE_ROUTES, '  "port" 8000\n', '  "port" 9000\n'),
        "leads to an internal port",
    ),
    "an image by the tag latest": (
        Fault(
            f"{COMMON}/_init.tpl",
            '{{ with $image.tag }}:{{ include "common.scalar" . }}{{ end }}@{{ $image.digest }}',
            ":latest",
        ),
        "runs ghcr.io/twelvefold/api:latest",
    ),
    "one secret for another's purpose": (
        Fault("charts/users/values.yaml", "    SECRET_KEY: true\n", "    JWT_SECRET_KEY: true\n"),
        "additional properties 'JWT_SECRET_KEY' not allowed",
    ),
    "a default secret in the configuration": (
        Fault(
            f"{COMMON}/_configmap.tpl",
            '{{- $_ := set $settings "SERVICE_VERSION"',
            '{{- $_ := set $settings "SECRET_KEY" "changeme" -}}\n'
            '{{- $_ := set $settings "SERVICE_VERSION"',
        ),
        "holds SECRET_KEY",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_caught_in_the_charts(name: str, tmp_path: Path) -> None:
    fault, complaint = ERRORS[name]
    root = copied(tmp_path)
    fault.plant(root)
    world = World("production", root)
    try:
        complaints = [found for one in INVARIANTS for found in one.check(world)]
        complaints += [found for one in world.objects for found in faults(one)]
    except (helm_python.HelmValuesError, helm_python.HelmRenderError) as refusal:
        complaints = [str(refusal)]

    assert any(complaint in found for found in complaints), complaints
