"""Every chart renders, is linted and fits the API's schemas, whatever is switched on or off."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import helm_python
import jsonschema_rs
import kubernetes_validate
import pytest
from tests.charts.invariants.peers import LOCATED
from tests.charts.rendering import (
    ENVIRONMENTS,
    JWKS,
    NAMESPACE,
    Object,
    Release,
    Values,
    folder_of,
    load,
    merged,
    read,
    releases,
    title,
)
from tests.charts.schemas.update import schema_path
from tests.charts.tree import ROOT
from tests.suite import PUBLIC, SERVICES

VERSIONS = ("1.30", "1.31", "1.33", "1.35", "1.37")
_CONTROLLERS = ("argo-rollouts", "flagger")
_WITHOUT_MESH: Values = {"global": {"mesh": {"mode": "none"}, "trustedProxies": ["10.0.0.0/16"]}}
_PEERS: dict[str, Values] = {
    "DNS of GKE, peers at networks and at pods": LOCATED,
    "credentials by EKS Pod Identity": {
        "global": {"peers": {"cloudIdentity": {"host": "169.254.170.23"}}}
    },
    "credentials by STS": {
        "global": {
            "peers": {
                "cloudIdentity": {
                    "host": "sts.eu-central-1.amazonaws.com",
                    "port": 443,
                    "tls": True,
                    "locations": ["52.94.0.0/16"],
                }
            }
        }
    },
}
_SERVICE_TOGGLES: dict[str, Values] = {
    **_PEERS,
    "requests per second": {
        "autoscaling": {"enabled": True, "requestsPerSecond": {"enabled": True}}
    },
    "KEDA": {
        "keda": {
            "enabled": True,
            "authModes": "bearer",
            "authenticationRef": {"name": "prometheus", "kind": "ClusterTriggerAuthentication"},
            "requestsPerSecond": 50,
            "triggers": [
                {
                    "type": "cron",
                    "metadata": {
                        "timezone": "Etc/UTC",
                        "start": "0 8 * * *",
                        "end": "0 18 * * *",
                        "desiredReplicas": "5",
                    },
                }
            ],
        },
    },
    "memory after all": {"autoscaling": {"enabled": True, "memory": 80}},
    "fixed replicas": {"autoscaling": {"enabled": False}, "replicas": 2},
    "one replica": {"autoscaling": {"enabled": False}, "replicas": 1},
    "no mesh": _WITHOUT_MESH,
    "no monitoring": {"monitoring": {"enabled": False}},
    "monitoring": {"monitoring": {"enabled": True, "labels": {"release": "prometheus"}}},
    "no migration": {"migrations": {"enabled": False}},
    "no budget": {"disruptionBudget": {"enabled": False}},
    "no shared settings": {"sharedConfig": "", "config": {"LOG_LEVEL": "INFO"}},
    "tag only": {"image": {"digest": "", "tag": 20261125}},
    "development with file sync": {
        "readOnlyRootFilesystem": False,
        "command": ["python3", "/app/reload.py"],
    },
    "where pods go": {
        "scheduling": {
            "nodeSelector": {"disk": "fast"},
            "tolerations": [{"key": "spot", "operator": "Exists", "effect": "NoSchedule"}],
            "priorityClassName": "high",
        },
        "imagePullSecrets": ["registry"],
        "podAnnotations": {"a": "b"},
        "podLabels": {"team": "core"},
        "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/r"}},
    },
    "an authority of one's own": {"trustedCertificates": {"configMap": "authorities"}},
    "an authority in a Secret": {"trustedCertificates": {"secret": "database-ca"}},
    "OpenShift": {"podSecurityContext": None},
    "a user of one's own": {
        "podSecurityContext": {"runAsUser": 2000, "supplementalGroups": [3000]}
    },
    "an existing service account": {"serviceAccount": {"create": False, "name": "workload"}},
    "both IP families": {
        "global": {"ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv4", "IPv6"]}
    },
    "a private registry": {
        "global": {"imageRegistry": "registry.example.com:5000/mirror", "imagePullSecrets": ["r"]}
    },
    "labels and annotations of the platform": {
        "global": {"labels": {"team": "core"}, "annotations": {"example.com/owner": "core"}},
        "deploymentAnnotations": {"reloader.stakater.com/auto": "true"},
        "service": {"annotations": {"example.com/scrape": "false"}},
    },
    "secrets of an operator": {
        "secret": {"keys": {"DATABASE_URL": {"name": "database-app", "key": "uri"}}},
        "migrations": {"secret": {"existingSecret": "database-owner", "key": "uri"}},
    },
    "a proxy": {
        "config": {
            "HTTP_PROXY": "http://proxy.example.internal:3128",
            "HTTPS_PROXY": "http://proxy.example.internal:3128",
            "NO_PROXY": ".svc,.cluster.local",
        }
    },
    "what the platform adds": {
        "extra": {
            "env": [{"name": "VAULT_ADDR", "value": "https://vault.example.internal"}],
            "envFrom": [{"secretRef": {"name": "more", "optional": True}}],
            "volumes": [{"name": "more", "emptyDir": {"sizeLimit": "1Mi"}}],
            "mounts": [{"name": "more", "mountPath": "/more", "readOnly": True}],
            "containers": [{"name": "agent", "image": "registry.example.com/agent:1"}],
            "initContainers": [{"name": "first", "image": "registry.example.com/first:1"}],
            "manifests": [
                {
                    "apiVersion": "v1",
                    "kind": "ConfigMap",
                    "metadata": {"name": "more", "namespace": "{{ .Release.Namespace }}"},
                }
            ],
        },
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["10.0.0.10"], "options": [{"name": "ndots", "value": "2"}]},
        "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["db.example.internal"]}],
        "probes": {"startup": {"failureThreshold": 60}, "readiness": {"timeoutSeconds": 5}},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%"}},
        "scheduling": {
            "affinity": {"nodeAffinity": {}},
            "topologySpreadConstraints": [
                {
                    "topologyKey": "kubernetes.io/hostname",
                    "maxSkew": 1,
                    "whenUnsatisfiable": "DoNotSchedule",
                    "labelSelector": {"matchLabels": {"app.kubernetes.io/name": "api"}},
                }
            ],
        },
    },
    "a CPU limit after all": {"resources": {"limits": {"cpu": "2"}}},
}
# Of the charts that have some of their own; the others are rendered as they are.
_TOGGLES: dict[str, dict[str, Values]] = {
    **{f"charts/{service}": dict(_SERVICE_TOGGLES) for service in SERVICES},
    "charts/platform": {
        "a revision of Istio": {"namespace": {"istioRevision": "stable"}},
        "signed images only": {"imagePolicy": {"enabled": True, "branches": ["main", "develop"]}},
        "nothing more": {
            "namespace": {"create": False},
            "quota": {"enabled": False},
            "dashboards": {"enabled": False},
        },
        "monitoring": {"monitoring": {"enabled": True}},
        "deployers": {
            "deployers": [
                {"kind": "ServiceAccount", "name": "pipeline", "namespace": "ci"},
                {"kind": "Group", "name": "operators"},
            ]
        },
        "no mesh": _WITHOUT_MESH,
    },
    "charts/backing": {
        "data kept": {
            "servers": {"postgres": {"volume": {"persistentVolumeClaim": {"claimName": "data"}}}}
        },
        "no mail": {"servers": {"mail": {"enabled": False}}},
    },
    "istio/mesh": {
        **_PEERS,
        "shared gateway": {"gateway": {"dedicated": False}},
        "another issuer": {
            "tokens": {"jwks": "", "jwksUri": "https://id.example.com/jwks.json"},
        },
        "traces": {"telemetry": {"accessLog": "", "tracingProvider": "otel"}},
    },
    "istio/api": {
        **_PEERS,
        "browsers": {"public": {"preflight": True}},
        "no canary": {"canary": {"enabled": False}},
        "all weight": {"canary": {"enabled": True, "weight": 100}},
        "no retries": {"retries": {"reads": 0, "keyed": 0, "budget": 0}},
    },
    "istio/users": {**_PEERS, "no canary": {"canary": {"enabled": False}}},
    "istio/worker": dict(_PEERS),
}
_INGRESS: Values = {
    "ingress": {
        "enabled": True,
        "profile": "ingress-nginx",
        "cors": {"origins": ["https://app.example.com"]},
    }
}
for _service in PUBLIC:
    _TOGGLES[f"charts/{_service}"] |= {
        "ingress": merged(_INGRESS, _WITHOUT_MESH),
        "ingress of another kind": merged(
            _WITHOUT_MESH,
            {
                "ingress": {
                    "enabled": True,
                    "className": "traefik",
                    "clusterIssuer": "",
                    "annotations": {"a": "b"},
                }
            },
        ),
    }


def cases() -> Iterator[Any]:
    for environment in ENVIRONMENTS:
        for release in releases(environment):
            controllers = {} if release.is_second else dict(_controlled(release))
            for name, values in {
                "as it is": {},
                **_TOGGLES.get(release.chart, {}),
                **controllers,
            }.items():
                more = Release(
                    release.chart,
                    release.name,
                    release.namespace,
                    environment,
                    merged(release.values, values),
                )
                yield pytest.param(more, id=f"{environment}-{release.name}-{name}")


def _controlled(release: Release) -> Iterator[tuple[str, Values]]:
    """The release under each controller, which takes the place of a second release."""
    for name in _CONTROLLERS:
        values: Values = {"global": {"rolloutController": name}}
        if "canary" in release.values:
            values["canary"] = {"enabled": False}
        yield name, values


@cache
def validator(path: Path) -> Any:
    return jsonschema_rs.validator_for(json.loads(path.read_text()))


# Maps whose names are the user's: any text by any text.
_FREE = {"annotations", "data", "hard", "labels", "matchLabels", "nodeSelector", "stringData"}


def shape(value: Any) -> Any:
    """What Kubernetes' schemas look at: names and types, no text. One of each shape is checked."""
    if isinstance(value, dict):
        return {
            name: sorted({type(text).__name__ for text in entry.values()})
            if name in _FREE and isinstance(entry, dict)
            else shape(entry)
            for name, entry in sorted(value.items())
        }
    if isinstance(value, list):
        return sorted({json.dumps(shape(entry)) for entry in value})
    return type(value).__name__


_CHECKED: set[str] = set()


def faults(one: Object) -> Iterator[str]:
    """What the schemas of the API server's kinds and of the operators' refuse; strictly."""
    group = one["apiVersion"].partition("/")[0]
    if "." in group and (path := schema_path(group, one["kind"])).exists():
        for error in validator(path).iter_errors(one):
            yield f"{title(one)} {list(error.instance_path)}: {error.message}"
        return
    key = f"{one['apiVersion']} {one['kind']} {json.dumps(shape(one))}"
    if key in _CHECKED:
        return
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(one, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"{title(one)} in {version} {list(error.path)}: {error.message}"
    _CHECKED.add(key)


@pytest.mark.parametrize("release", list(cases()))
def test_renders_what_the_api_server_takes(release: Release) -> None:
    objects = release.render()

    assert objects
    assert [fault for one in objects for fault in faults(one)] == []


@pytest.mark.parametrize("release", releases("production"), ids=lambda one: one.name)
def test_an_upgrade_renders_what_an_install_does(release: Release) -> None:
    chart = load(release.chart)
    named: Any = {"name": release.name, "namespace": release.namespace}
    values = release.in_force()

    assert chart.render(values, **named) == chart.render(
        values, **named, is_upgrade=True, is_install=False, revision=2
    )


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize(
    "chart", sorted(str(path.parent.relative_to(ROOT)) for path in ROOT.glob("*/*/Chart.yaml"))
)
def test_lint_finds_nothing_but_the_missing_icon(chart: str, environment: str) -> None:
    values = {one.chart: one.in_force() for one in releases(environment)}
    report = helm_python.lint(
        str(folder_of(chart)), values.get(chart, {}), strict=True, namespace=NAMESPACE
    )

    errors = [found["error"] for found in report["messages"]]
    if environment == "dev" or chart != "charts/backing":
        assert set(errors) <= {"icon is recommended"}
    assert report["errors"] == []


PLANTED = {
    "circuitBreaker": (
        "DestinationRule",
        lambda spec: spec["trafficPolicy"].update(circuitBreaker={"maxConnections": 1}),
    ),
    "LEAST_CONNECTIONS": (
        "DestinationRule",
        lambda spec: spec["trafficPolicy"]["loadBalancer"].update(simple="LEAST_CONNECTIONS"),
    ),
    "a field of another kind": ("VirtualService", lambda spec: spec.update(host="users")),
    "a claim without a condition": (
        "AuthorizationPolicy",
        lambda spec: spec["rules"][0].update(claims={"role": "admin"}),
    ),
    "a probe of an older API": (
        "Deployment",
        lambda spec: spec["template"]["spec"]["containers"][0]["livenessProbe"].update(path="/"),
    ),
    "a metric of autoscaling v1": (
        "HorizontalPodAutoscaler",
        lambda spec: spec.update(targetCPUUtilizationPercentage=70),
    ),
    "a misspelt trigger": ("ScaledObject", lambda spec: spec.update(trigger=[])),
    "an interval at the wrong place": ("PodMonitor", lambda spec: spec.update(interval="30s")),
    "a step of a rollout that there is not": (
        "Rollout",
        lambda spec: spec["strategy"]["canary"]["steps"].append({"setShare": 5}),
    ),
    "a metric of an analysis without a provider": (
        "AnalysisTemplate",
        lambda spec: spec["metrics"][0].update(query="up"),
    ),
    "a retry budget in Flagger's policy": (
        "Canary",
        lambda spec: spec["service"]["trafficPolicy"].update(retryBudget={"percent": 10}),
    ),
    "a metric of Flagger's in the wrong place": (
        "MetricTemplate",
        lambda spec: spec.update(address="http://prometheus:9090"),
    ),
    "a rule without an expression": (
        "PrometheusRule",
        lambda spec: spec["groups"][0]["rules"][0].pop("expr"),
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_field_that_does_not_exist_is_refused(name: str) -> None:
    kind, plant = PLANTED[name]
    keda = Release(
        "charts/worker",
        "worker",
        values={"keda": {"enabled": True}, "image": {"tag": "1"}},
    )
    argo = Release(
        "charts/api",
        "api",
        values={"global": {"rolloutController": "argo-rollouts"}, "image": {"tag": "1"}},
    )
    flagger = Release(
        "istio/api", "api-routing", values={"global": {"rolloutController": "flagger"}}
    )
    objects = [
        one
        for release in (*releases("production"), keda, argo, flagger)
        for one in release.render()
    ]
    one = next(
        one
        for one in objects
        if one["kind"] == kind and (kind != "AuthorizationPolicy" or "rules" in one["spec"])
    )
    assert list(faults(one)) == []
    one = copy.deepcopy(one)
    plant(one["spec"])

    assert list(faults(one)) != []


def test_every_value_of_the_site_file_is_known_to_every_chart() -> None:
    site = read(ROOT / "charts/site.example.yaml")
    for release in releases("production"):
        load(release.chart).validate_schema(site)


def test_the_mesh_takes_keys_by_file_as_documented() -> None:
    mesh = next(one for one in releases("production") if one.chart == "istio/mesh")
    policies = [one for one in mesh.render() if one["kind"] == "RequestAuthentication"]

    rules = [rule for one in policies for rule in one["spec"]["jwtRules"]]
    assert len(rules) == len(PUBLIC)
    assert {rule["jwks"] for rule in rules} == {JWKS}
