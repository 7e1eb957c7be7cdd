"""Secrets are replaced by the commands of docs/guides/deploy.md under load, and nobody notices."""

from __future__ import annotations

import base64
import json
import socket
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from tests.cluster.clients import ClientPool
from tests.cluster.cluster import kubectl, run, until
from tests.cluster.deployment import BACKING, HOST, NAMESPACE, TLS_SECRET, Deployment
from tests.cluster.disruptions import wait_for_rollout
from tests.cluster.effects import effects
from tests.cluster.load import Load

from twelvefold.security.keys import KeySet
from twelvefold.security.rotation import rotate

RATE = 40  # a second

pytestmark = pytest.mark.endurance


@pytest.fixture
def original(deployment: Deployment, clients: ClientPool) -> Iterator[Deployment]:
    """Has the secrets of development again afterwards."""
    yield deployment
    clients.forget_tokens()
    deployment.release("mesh", "istio/mesh", "--set", f"gateway.tlsSecret={TLS_SECRET}")
    for service in ("users", "api"):
        deployment.service(service)
        restart(service)


def restart(service: str) -> None:
    kubectl("-n", NAMESPACE, "rollout", "restart", f"deployment/{service}")
    wait_for_rollout(service)


def put(service: str, **secrets: str) -> None:
    """Into a service's Secret, and to its pods."""
    patch = json.dumps({"stringData": secrets})
    kubectl("-n", NAMESPACE, "patch", "secret", service, "--type", "merge", "--patch", patch)
    restart(service)


def read(service: str, name: str) -> str:
    found = kubectl("-n", NAMESPACE, "get", "secret", service, "-o", f"jsonpath={{.data.{name}}}")
    return base64.b64decode(found).decode()


def bootstrap(passwords: dict[str, str]) -> str:
    """`twelvefold db bootstrap`, from where the database can be reached."""
    output = f"BOOTSTRAP_ROLE_PASSWORDS={json.dumps(passwords)}"
    command = ("env", "ENVIRONMENT=development", output, "twelvefold", "db", "bootstrap")
    return kubectl("-n", BACKING, "exec", "deploy/postgres", "--", *command)


def test_the_signing_key(
    original: Deployment, clients: ClientPool, client: httpx.Client, note: Callable[[str], None]
) -> None:
    keys = json.dumps(original.signing_keys())
    before = KeySet.from_json(keys).signing_kid
    now = datetime.now(UTC)
    with Load(clients, rate=RATE) as load:
        load.run(seconds=2)
        old_token = clients.people[0].token
        # Its steps are minutes apart: the clock that they are told goes ahead.
        for later in (timedelta(), timedelta(minutes=61)):
            keys = rotate(keys, now + later).to_json()
            _deploy(original, keys)
        load.run(seconds=5)
    note(f"rotation of the signing key     {load.result}")

    assert load.result.failures == [], load.result.summary()
    assert KeySet.from_json(keys).signing_kid != before
    asked = {"Authorization": f"Bearer {old_token}"}
    assert client.get("/api/v1/users/me", headers=asked).status_code == 200

    _deploy(original, rotate(keys, now + timedelta(hours=3)).to_json())

    def old_is_refused() -> bool:
        return client.get("/api/v1/users/me", headers=asked).status_code == 401

    until(old_is_refused, "a token of the key that was dropped is refused", timeout=60)
    clients.forget_tokens()
    with Load(clients, rate=RATE) as load:
        load.run(seconds=5)
    assert load.result.failures == [], load.result.summary()


def _deploy(deployment: Deployment, keys: str) -> None:
    """The mesh first, then users."""
    public = deployment.folder / "jwks.json"
    public.write_text(json.dumps(KeySet.from_json(keys).public_jwks()))
    deployment.release(
        "mesh",
        "istio/mesh",
        *("--set", f"gateway.tlsSecret={TLS_SECRET}", "--set-file", f"tokens.jwks={public}"),
    )
    put("users", JWT_SIGNING_KEYS=keys)


def test_a_callers_secret(
    original: Deployment, clients: ClientPool, note: Callable[[str], None]
) -> None:
    old, new = read("api", "INTERNAL_SECRET"), "another-internal-secret-of-api-0123456789"
    with Load(clients, rate=RATE) as load:
        load.run(seconds=2)
        put("users", INTERNAL_SECRETS_API=f"{new},{old}")
        put("api", INTERNAL_SECRET=new)
        put("users", INTERNAL_SECRETS_API=new)
        load.run(seconds=5)
    note(f"rotation of api's secret        {load.result}")

    assert load.result.failures == [], load.result.summary()


def test_a_password_of_the_database(
    original: Deployment, clients: ClientPool, note: Callable[[str], None]
) -> None:
    url = read("users", "DATABASE_URL")
    with Load(clients, rate=RATE) as load:
        load.run(seconds=2)
        output = bootstrap({"users_app_b": "the-next-one"})
        put("users", DATABASE_URL=url.replace("users_app:development", "users_app_b:the-next-one"))
        bootstrap({"users_app": "nobody-knows"})
        load.run(seconds=5)
    note(f"rotation of users' password     {load.result}")
    found = effects(original, load.result)

    def roles() -> list[str]:
        connected = "SELECT DISTINCT usename FROM pg_stat_activity WHERE usename LIKE 'users_%'"
        return original.sql(connected).split()

    # The last of the old pods may still be draining.
    until(lambda: roles() == ["users_app_b"], "nobody uses the old password", timeout=90)
    bootstrap({"users_app": "development"})

    assert "users_app_b" in output
    assert load.result.failures == [], load.result.summary()
    assert found.hold, found


def test_the_gateways_certificate(
    original: Deployment, clients: ClientPool, note: Callable[[str], None]
) -> None:
    old = original.certificate.read_text()
    new = _certificate(original.folder)
    original.certificate.write_text(old + new)  # what clients trust
    served_before = _served(original)
    with Load(clients, rate=RATE) as load:
        load.run(seconds=2)
        made = kubectl(
            *("create", "secret", "tls", TLS_SECRET, "-n", "istio-system", "--dry-run=client"),
            *(f"--cert={original.folder}/new.pem", f"--key={original.folder}/new-key.pem"),
            *("-o", "json"),
        )
        kubectl("apply", "--filename", "-", given=made)
        until(lambda: _served(original) == _body(new), "the new certificate is served", 60)
        load.run(seconds=5)
    note(f"rotation of the certificate     {load.result}")

    assert served_before == _body(old)
    assert load.result.failures == [], load.result.summary()


def _certificate(folder: Path) -> str:
    run(
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
        *("-nodes", "-days", "2", "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}"),
        *("-keyout", folder / "new-key.pem", "-out", folder / "new.pem"),
    )
    return (folder / "new.pem").read_text()


def _served(deployment: Deployment) -> bytes:
    address, port = deployment.gateway
    context = ssl.create_default_context(cafile=deployment.certificate)
    with (
        socket.create_connection((address, port), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname=HOST) as secure,
    ):
        found = secure.getpeercert(binary_form=True)
    assert found is not None
    return found


def _body(pem: str) -> bytes:
    """The first certificate of a PEM file."""
    begin = pem.index("-----BEGIN CERTIFICATE-----")
    end = pem.index("-----END CERTIFICATE-----", begin) + len("-----END CERTIFICATE-----")
    return ssl.PEM_cert_to_DER_cert(pem[begin:end])
