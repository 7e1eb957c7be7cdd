"""What a platform team may change without a fork: its values reach the objects."""

from __future__ import annotations

import base64

import pytest
from cryptography import x509
from tests.charts.invariants.adoption import mounted_secrets
from tests.charts.rendering import (
    DIGEST,
    JWKS,
    NAMESPACE,
    Object,
    Release,
    Values,
    Workload,
    World,
    merged,
    releases,
)


def render(chart: str, *values: Values, name: str = "") -> list[Object]:
    given: Values = {"image": {"digest": DIGEST}} if chart.startswith("charts/") else {}
    for more in values:
        given = merged(given, more)
    return Release(chart, name or chart.rpartition("/")[2], values=given).render()


def of(objects: list[Object], kind: str) -> list[Object]:
    return [one for one in objects if one["kind"] == kind]


def deployment(objects: list[Object]) -> Workload:
    (found,) = of(objects, "Deployment")
    return Workload(found, found["spec"]["template"])


def test_an_object_store_of_ones_own_is_described_once() -> None:
    site: Values = {"global": {"s3": {"endpoint": "https://minio.example.internal:9443"}}}
    objects = render("charts/api", site)
    (policy,) = [one for one in of(objects, "NetworkPolicy") if one["metadata"]["name"] == "api"]
    ports = [rule["ports"][0]["port"] for rule in policy["spec"]["egress"]]
    sidecars = [host for one in of(render("istio/api", site), "Sidecar") for host in hosts(one)]

    assert 9443 in ports
    assert 443 not in ports
    assert "./minio.example.internal" in sidecars


def hosts(sidecar: Object) -> list[str]:
    return [host for egress in sidecar["spec"]["egress"] for host in egress["hosts"]]


@pytest.mark.parametrize(
    ("registry", "repository", "image"),
    [
        ("", "ghcr.io/twelvefold/api", "ghcr.io/twelvefold/api"),
        ("registry.example.com", "ghcr.io/twelvefold/api", "registry.example.com/twelvefold/api"),
        (
            "registry.example.com:5000/mirror",
            "localhost:5000/api",
            "registry.example.com:5000/mirror/api",
        ),
        ("registry.example.com", "twelvefold/api", "registry.example.com/twelvefold/api"),
    ],
)
def test_a_private_registry_replaces_the_registry_of_every_image(
    registry: str, repository: str, image: str
) -> None:
    values: Values = {
        "global": {"imageRegistry": registry, "imagePullSecrets": ["registry"]},
        "image": {"repository": repository},
        "imagePullSecrets": ["other", "registry"],
    }
    objects = render("charts/api", values)
    pods = [
        one["spec"] if one["kind"] == "Pod" else one["spec"]["template"]["spec"]
        for one in objects
        if one["kind"] in ("Deployment", "Job", "Pod")
    ]

    assert len(pods) == 3  # the service, its migration and its test
    for pod in pods:
        assert pod["containers"][0]["image"] == f"{image}@{DIGEST}"
        assert pod["imagePullSecrets"] == [{"name": "registry"}, {"name": "other"}]


def test_each_setting_may_come_from_a_secret_and_a_key_of_an_operator() -> None:
    values: Values = {
        "secret": {
            "keys": {
                "DATABASE_URL": {"name": "database-app", "key": "uri"},
                "REDIS_URL": {"name": "redis", "key": "url"},
                "S3_ACCESS_KEY_ID": False,
                "S3_SECRET_ACCESS_KEY": False,
            }
        },
        "migrations": {"secret": {"existingSecret": "database-owner", "key": "uri"}},
    }
    objects = render("charts/api", values)
    (volume,) = [one for one in deployment(objects).pod["volumes"] if one["name"] == "secrets"]
    items = {
        item["path"]: (source["secret"]["name"], item["key"])
        for source in volume["projected"]["sources"]
        for item in source["secret"]["items"]
    }

    assert items == {
        "DATABASE_URL": ("database-app", "uri"),
        "REDIS_URL": ("redis", "url"),
        "SECRET_KEY": ("api", "SECRET_KEY"),
        "INTERNAL_SECRET": ("api", "INTERNAL_SECRET"),
        "INTERNAL_SECRETS_WORKER": ("api", "INTERNAL_SECRETS_WORKER"),
    }
    environment = {
        one["name"]: one.get("value") for one in deployment(objects).containers[0]["env"]
    }
    assert environment["DATABASE_URL_FILE"] == "/run/secrets/twelvefold/DATABASE_URL"
    assert "S3_ACCESS_KEY_ID_FILE" not in environment
    assert mounted_secrets(objects)["database-owner"] == {"uri"}


def test_a_setting_of_development_may_come_from_another_secret_too() -> None:
    keys: Values = {"secret": {"keys": {"DATABASE_URL": {"name": "database", "key": "uri"}}}}
    values = merged(keys, {"image": {"tag": "1"}})
    objects = Release("charts/api", "api", environment="dev", values=values).render()

    assert {"database", "api"} <= set(mounted_secrets(objects))


def test_an_existing_service_account_is_used_by_every_pod_and_none_is_created() -> None:
    account: Values = {"serviceAccount": {"create": False, "name": "workload", "token": True}}
    objects = render("charts/api", account)
    pods = [one for one in objects if one["kind"] in ("Deployment", "Job", "Pod")]
    specs = [one["spec"].get("template", one)["spec"] for one in pods]

    assert of(objects, "ServiceAccount") == []
    assert [spec["serviceAccountName"] for spec in specs] == ["workload"] * 3
    # Only the service asks for the token.
    assert sorted(spec["automountServiceAccountToken"] for spec in specs) == [False, False, True]


def test_further_hosts_are_served_beside_the_canonical_one() -> None:
    site: Values = {"global": {"additionalHosts": ["api.example.org"]}}
    both = ["api.example.com", "api.example.org"]
    mesh = next(one for one in releases("production") if one.chart == "istio/mesh")
    (gateway,) = of(
        Release("istio/mesh", "mesh", values=merged(mesh.values, site)).render(), "Gateway"
    )
    public = of(render("istio/api", site), "VirtualService")[0]
    without_mesh: Values = {
        "global": {"mesh": {"mode": "none"}, "trustedProxies": ["10.0.0.0/16"]},
        "ingress": {"enabled": True},
    }
    (ingress,) = of(render("charts/api", site, without_mesh), "Ingress")

    assert [server["hosts"] for server in gateway["spec"]["servers"]] == [both, both]
    assert public["spec"]["hosts"] == both
    assert ingress["spec"]["tls"][0]["hosts"] == both
    assert [rule["host"] for rule in ingress["spec"]["rules"]] == both


def test_services_and_processes_take_the_clusters_ip_families() -> None:
    families: Values = {
        "global": {"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6", "IPv4"]}
    }
    objects = render("charts/users", families)
    (config,) = [
        one["data"] for one in of(objects, "ConfigMap") if one["metadata"]["name"] == "users"
    ]

    for service in of(objects, "Service"):
        assert service["spec"]["ipFamilyPolicy"] == "RequireDualStack"
        assert service["spec"]["ipFamilies"] == ["IPv6", "IPv4"]
    assert config["HTTP_HOST"] == "::"


_EXTRA: Values = {
    "extra": {
        "env": [{"name": "VAULT_ADDR", "value": "https://vault.example.internal"}],
        "envFrom": [{"configMapRef": {"name": "more"}}],
        "volumes": [{"name": "more", "emptyDir": {}}],
        "mounts": [{"name": "more", "mountPath": "/more"}],
        "containers": [{"name": "agent", "image": "registry.example.com/agent:1"}],
        "initContainers": [{"name": "first", "image": "registry.example.com/first:1"}],
        "manifests": [
            {
                "apiVersion": "external-secrets.io/v1",
                "kind": "ExternalSecret",
                "metadata": {"name": "api", "namespace": "{{ .Release.Namespace }}"},
            }
        ],
    }
}


def test_what_the_platform_adds_is_in_the_services_pods_and_its_objects_in_the_primary() -> None:
    primary, canary = render("charts/api", _EXTRA), render("charts/api", _EXTRA, name="api-canary")
    workload = deployment(primary)
    first, service, agent = workload.containers

    assert (first["name"], service["name"], agent["name"]) == ("first", "api", "agent")
    assert {"name": "VAULT_ADDR", "value": "https://vault.example.internal"} in service["env"]
    assert {"configMapRef": {"name": "more"}} in service["envFrom"]
    assert {"name": "more", "mountPath": "/more"} in service["volumeMounts"]
    assert {"name": "more", "emptyDir": {}} in workload.pod["volumes"]
    (added,) = of(primary, "ExternalSecret")
    assert added["metadata"]["namespace"] == NAMESPACE
    # Helm refuses an object that another release owns.
    assert of(canary, "ExternalSecret") == []
    assert deployment(canary).containers[2]["name"] == "agent"


def test_affinity_topology_strategy_and_probes_are_the_platforms_where_it_gives_them() -> None:
    values: Values = {
        "scheduling": {
            "affinity": {"nodeAffinity": {"a": "b"}},
            "topologySpreadConstraints": [{"topologyKey": "rack"}],
        },
        "strategy": {"type": "Recreate"},
        "probes": {"startup": {"failureThreshold": 90}},
    }
    workload = deployment(render("charts/worker", values))

    assert workload.pod["affinity"] == {"nodeAffinity": {"a": "b"}}
    assert workload.pod["topologySpreadConstraints"] == [{"topologyKey": "rack"}]
    assert workload.owner["spec"]["strategy"] == {"type": "Recreate"}
    probe = workload.containers[0]["startupProbe"]
    assert (probe["failureThreshold"], probe["periodSeconds"]) == (90, 2)


def test_a_proxy_is_a_setting_that_every_process_accepts() -> None:
    from tests.charts.invariants.settings import environment, problems

    from twelvefold.service.installed import installed_services

    world = World("production")
    proxy = {
        "HTTP_PROXY": "http://proxy.example.internal:3128",
        "HTTPS_PROXY": "http://proxy.example.internal:3128",
        "NO_PROXY": ".svc,.cluster.local",
    }
    for workload in world.services():
        given = environment(world, workload) | proxy
        assert problems(installed_services()[workload.service].settings, given) == []


def test_in_development_the_gateway_has_a_certificate_for_the_host_and_nowhere_else() -> None:
    mesh = {
        environment: Release("istio/mesh", "mesh", environment=environment, values=jwks)
        for environment, jwks in (("dev", {}), ("production", {"tokens": {"jwks": JWKS}}))
    }
    (secret,) = of(mesh["dev"].render(), "Secret")
    (gateway,) = of(mesh["dev"].render(), "Gateway")
    certificate = x509.load_pem_x509_certificate(base64.b64decode(secret["data"]["tls.crt"]))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value

    assert secret["type"] == "kubernetes.io/tls"
    assert secret["metadata"]["namespace"] == "istio-system"
    assert secret["metadata"]["name"] == gateway["spec"]["servers"][0]["tls"]["credentialName"]
    assert names.get_values_for_type(x509.DNSName) == ["twelvefold.localhost"]
    assert of(mesh["production"].render(), "Secret") == []
