"""What a chart refuses to render, and that it says why: mistakes end at the operator's terminal."""

from __future__ import annotations

from typing import Any

import helm_python
import pytest
from tests.charts.invariants.security import SIGNING_KEYS
from tests.charts.rendering import BACKING, DIGEST, JWKS, NAMESPACE, PLATFORM, Release, merged

IMAGE = {"image": {"digest": DIGEST}}
DEVELOPMENT = {"namespace": "twelvefold-backing", "labels": {"app": "any"}}
LEVEL = {"LOG_LEVEL": "INFO"}


def release(
    chart: str, values: dict[str, Any], name: str = "", namespace: str = NAMESPACE, **more: str
) -> Release:
    return Release(chart, name or chart.rpartition("/")[2], namespace, values=values, **more)


def service(values: dict[str, Any], chart: str = "charts/api", **more: str) -> Release:
    return release(chart, merged(IMAGE, values), **more)


def peer(name: str, **values: Any) -> dict[str, Any]:
    return {"global": {"peers": {name: values}}}


REFUSED = {
    "no image": (release("charts/api", {}), "give image.digest or image.tag"),
    "the tag latest": (release("charts/api", {"image": {"tag": "latest"}}), "image.digest"),
    "a digest that is none": (
        release("charts/api", {"image": {"digest": "sha256:abc"}}),
        "image/digest",
    ),
    "another release's name": (service({}, name="edge"), "name the release api (the primary)"),
    "an unknown value": (service({"replicaCount": 3}), "replicaCount"),
    "an unknown value deep inside": (service({"autoscaling": {"max": 3}}), "max"),
    "KEDA without a trigger": (
        service({"keda": {"enabled": True}, "autoscaling": {"cpu": 0}}, chart="charts/users"),
        "keda.enabled without a trigger",
    ),
    "KEDA beside Flagger": (
        service({"keda": {"enabled": True}, "global": {"rolloutController": "flagger"}}),
        "Flagger copies the HorizontalPodAutoscaler of api",
    ),
    "a direction of scaling that there is not": (
        service({"autoscaling": {"behavior": {"scaleSideways": {}}}}),
        "scaleSideways",
    ),
    "a misspelt setting": (service({"config": {"USERZ_URL": "http://users:8001"}}), "USERZ_URL"),
    "another service's setting": (service({"config": {"ARGON2_MEMORY": "1"}}), "ARGON2_MEMORY"),
    "a secret among the settings": (service({"config": {"SECRET_KEY": "x"}}), "SECRET_KEY"),
    "another service's secret": (service({"secret": {"keys": {SIGNING_KEYS: True}}}), SIGNING_KEYS),
    "a secret among production's values": (
        service({"secret": {"data": {"SECRET_KEY": "x"}}}),
        "set secret.existingSecret",
    ),
    "the owner's URL among production's values": (
        service({"migrations": {"secret": {"data": {"MIGRATION_DATABASE_URL": "x"}}}}),
        "set secret.existingSecret",
    ),
    "no secret at all in development": (
        service({"secret": {"data": {"SECRET_KEY": ""}}}, environment="dev"),
        "secret.existingSecret names no Secret, and secret.data has no SECRET_KEY",
    ),
    "no owner's URL in development": (
        service(
            {"migrations": {"secret": {"data": {"MIGRATION_DATABASE_URL": ""}}}}, environment="dev"
        ),
        "MIGRATION_DATABASE_URL",
    ),
    "a mapping without a key": (
        service({"secret": {"keys": {"DATABASE_URL": {"name": "db-app"}}}}),
        "secret/keys/DATABASE_URL",
    ),
    "a mapping with more than name and key": (
        service({"secret": {"keys": {"DATABASE_URL": {"name": "a", "key": "b", "path": "c"}}}}),
        "path",
    ),
    "no host": (service({"global": {"host": ""}}), "global.host is empty"),
    "a host of the laptop": (
        service({"global": {"host": "twelvefold.localhost"}}),
        "global.host twelvefold.localhost is each client's own machine",
    ),
    "a further host of the laptop": (
        service({"global": {"additionalHosts": ["localhost"]}}),
        "global.host localhost is each client's own machine",
    ),
    "an object store on the laptop": (
        service({"global": {"s3": {"publicEndpoint": "http://localhost:8333"}}}),
        "global.s3.publicEndpoint is http://localhost:8333",
    ),
    "no bucket": (service({"global": {"s3": {"bucket": ""}}}), "global.s3.bucket is empty"),
    "the namespace default": (
        Release("charts/api", "api", "default", values=IMAGE),
        "the namespace default",
    ),
    "a server that is called and not described": (
        service(peer("redis", host="")),
        "global.peers.redis.host is empty",
    ),
    "a server that the routing's sidecar would need": (
        release("istio/users", peer("postgres", host="")),
        "global.peers.postgres.host is empty",
    ),
    "no mail server for worker": (
        service(peer("mail", host=""), chart="charts/worker"),
        "global.peers.mail.host is empty",
    ),
    "no service account": (
        service({"serviceAccount": {"create": False}}),
        "name an existing account in serviceAccount.name",
    ),
    "an extra variable that is a setting": (
        service({"extra": {"env": [{"name": "LOG_LEVEL", "value": "DEBUG"}]}, "config": LEVEL}),
        "extra.env names LOG_LEVEL, which the chart sets",
    ),
    "an extra variable that comes from a Secret": (
        service({"extra": {"env": [{"name": "DATABASE_URL_FILE", "value": "/x"}]}}),
        "extra.env names DATABASE_URL_FILE, which comes from a Secret",
    ),
    "an unknown part of extra": (service({"extra": {"sidecars": []}}), "sidecars"),
    "an extra object that is none": (service({"extra": {"manifests": [{"kind": "A"}]}}), "extra"),
    "a probe of another kind": (
        service({"probes": {"liveness": {"httpGet": {"path": "/"}}}}),
        "httpGet",
    ),
    "root as the pods' user": (
        service({"podSecurityContext": {"runAsUser": 0}}),
        "podSecurityContext/runAsUser",
    ),
    "privileges by the pods' security context": (
        service({"podSecurityContext": {"sysctls": []}}),
        "sysctls",
    ),
    "a label of the suite's own": (
        service({"global": {"labels": {"app.kubernetes.io/name": "x"}}}),
        "invalid propertyName 'app.kubernetes.io/name'",
    ),
    "an annotation of Helm's": (
        service({"global": {"annotations": {"helm.sh/hook": "x"}}}),
        "invalid propertyName 'helm.sh/hook'",
    ),
    "two sources of certificates": (
        service({"trustedCertificates": {"configMap": "a", "secret": "b"}}),
        "choose one",
    ),
    "development's servers in production": (
        service(peer("postgres", locations=[DEVELOPMENT])),
        "set yours in a site file",
    ),
    "a peer that is nowhere": (
        service(peer("postgres", locations=[])),
        "global.peers.postgres has no location",
    ),
    "a peer in a namespace, whoever it is there": (
        service(peer("postgres", locations=[], namespace="databases")),
        "global.peers.postgres has a namespace and no labels",
    ),
    "a peer in a list and beside it": (
        service(peer("dns", cidrs=["10.0.0.10/32"])),
        "global.peers.dns has locations, and app, cidrs",
    ),
    "a location without labels": (
        service(peer("dns", locations=[{"namespace": "kube-system", "labels": {}}])),
        "peers/dns/locations",
    ),
    "a peer that nobody knows": (
        service({"calls": {"kafka": "events of all kinds"}}),
        "calls names kafka, and global.peers has no kafka",
    ),
    "a call without a reason": (service({"calls": {"users": ""}}), "calls/users"),
    "the metadata address": (
        service(peer("s3", locations=["169.254.169.254/32"])),
        "metadata address",
    ),
    "a second release named like a hook": (
        service({}, name="api-migrate"),
        "api-migrate conflicts",
    ),
    "a caller on a port that there is not": (
        service({"callers": {"grpc": {"worker": "calls by gRPC"}}}),
        "callers names the port grpc",
    ),
    "both add CORS headers": (
        service(
            {
                "config": {"HTTP_CORS_ORIGINS": "https://app.example.com"},
                "ingress": {"enabled": True, "cors": {"origins": ["https://app.example.com"]}},
            }
        ),
        "both add CORS headers",
    ),
    "an Ingress whose addresses nobody trusts": (
        service({"global": {"mesh": {"mode": "none"}}, "ingress": {"enabled": True}}),
        "global.trustedProxies is empty",
    ),
    "an environment that there is not": (
        service({"global": {"environment": "prod"}}),
        "environment",
    ),
    "the platform released into its own namespace": (
        release("charts/platform", {}),
        "release this chart from a namespace other than",
    ),
    "the platform with development's servers": (
        release("charts/platform", peer("redis", locations=[DEVELOPMENT]), "", PLATFORM),
        "global.peers.redis is the development server",
    ),
    "development's servers outside development": (
        release(
            "charts/backing",
            merged(IMAGE, {"global": {"environment": "production"}}),
            namespace=BACKING,
            environment="dev",
        ),
        "attach managed servers by URL",
    ),
    "a certificate that nobody signed in production": (
        release("istio/mesh", {"tokens": {"jwks": JWKS}, "gateway": {"selfSigned": True}}),
        "gateway.selfSigned is for development",
    ),
    "a mesh without keys": (release("istio/mesh", {}), "give tokens.jwks"),
    "a mesh with keys from two places": (
        release("istio/mesh", {"tokens": {"jwks": JWKS, "jwksUri": "https://id.example.com"}}),
        "tokens.jwksUri of another issuer",
    ),
    "a private key in the mesh": (
        release("istio/mesh", {"tokens": {"jwks": '{"keys": [{"kty": "EC", "d": "x"}]}'}}),
        "contains a private key",
    ),
    "the documented key outside development": (
        release(
            "istio/mesh",
            {"tokens": {"jwks": '{"x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"}'}},
        ),
        "the documented example",
    ),
    "routing without a mesh": (
        release("istio/users", {"global": {"mesh": {"mode": "none"}}}),
        "there is nothing to route",
    ),
    "a second release beside a controller": (
        service({"global": {"rolloutController": "argo-rollouts"}}, name="api-canary"),
        "api is the only release of api",
    ),
    "a second subset beside a controller": (
        release(
            "istio/api", {"global": {"rolloutController": "flagger"}, "canary": {"enabled": True}}
        ),
        "flagger sets the weights itself",
    ),
    "a controller that there is not": (
        service({"global": {"rolloutController": "spinnaker"}}),
        "rolloutController",
    ),
    "more weight than there is": (release("istio/api", {"canary": {"weight": 101}}), "weight"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_the_reason(name: str) -> None:
    asked, reason = REFUSED[name]

    with pytest.raises((helm_python.HelmRenderError, helm_python.HelmValuesError)) as refusal:
        asked.render()
    assert reason in str(refusal.value)
