"""The README's story through the gateway over HTTPS: register, mail, token, upload, thumbnails."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from uuid import uuid4

import httpx
from PIL import Image
from tests.cluster.cluster import kubectl, until
from tests.cluster.deployment import NAMESPACE, Deployment

PASSWORD = "correct horse battery staple"


def picture() -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (1600, 1200), "teal").save(content, "JPEG")
    return content.getvalue()


def test_a_newcomer_registers_is_welcomed_and_sees_a_thumbnail(
    client: httpx.Client, deployment: Deployment, note: Callable[[str], None]
) -> None:
    address = f"ada.{uuid4().hex[:12]}@example.com"
    account = client.post(
        "/api/v1/users", json={"email": address, "name": "Ada", "password": PASSWORD}
    )
    assert account.status_code == 201, account.text
    note(f"story register {account.status_code} over {account.http_version}, TLS")

    mail = until(lambda: deployment.mails(address), "the welcome mail is there", timeout=30)
    assert "Subject: Welcome to Twelvefold" in mail
    note("story mail     " + next(line for line in mail.splitlines() if line.startswith("Subject")))

    grant = {"grant_type": "password", "username": address, "password": PASSWORD}
    token = client.post("/api/v1/auth/token", data=grant).json()["access_token"]
    client.headers["Authorization"] = f"Bearer {token}"
    assert client.get("/api/v1/users/me").json()["email"] == address
    note("story token    /api/v1/users/me 200")

    upload = client.put(
        "/api/v1/users/me/avatar", content=picture(), headers={"Content-Type": "image/jpeg"}
    )
    assert upload.status_code == 202, upload.text
    job = upload.headers["location"]
    with client.stream("GET", f"{job}/events", timeout=60) as events:
        assert events.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in events.iter_lines() if line.startswith("data:")]
    states = [json.loads(line.removeprefix("data:")) for line in lines]
    assert any(state.get("status") == "succeeded" for state in states), states
    note(f"story upload   {upload.status_code}, {len(lines)} events to the end of its job")

    variants = f"/api/v1/users/{account.json()['id']}/avatar"
    for size in (128, 512, 1024):
        link = client.get(f"{variants}/{size}")
        assert link.status_code == 307
        stored = httpx.get(link.headers["location"])  # presigned: no token
        assert (stored.status_code, stored.headers["content-type"]) == (200, "image/webp")
        assert max(Image.open(io.BytesIO(stored.content)).size) == size
    note("story variants 128, 512 and 1024 pixels by presigned links")

    read = client.get("/api/v1/users/me")
    again = client.get("/api/v1/users/me", headers={"If-None-Match": read.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_an_admin_is_made_by_a_one_off_process_of_the_same_release(
    client: httpx.Client, deployment: Deployment
) -> None:
    address = f"admin.{uuid4().hex[:12]}@example.com"
    command = ("twelvefold", "users", "create-admin", address, "--password-stdin")
    kubectl("-n", NAMESPACE, "exec", "-i", "deploy/users", "--", *command, given=f"{PASSWORD}\n")

    grant = {"grant_type": "password", "username": address, "password": PASSWORD}
    token = client.post("/api/v1/auth/token", data=grant).json()["access_token"]
    found = client.get("/api/v1/users", headers={"Authorization": f"Bearer {token}"})
    assert found.status_code == 200


def test_what_is_not_public_is_not_there(client: httpx.Client) -> None:
    for path in ("/internal/v1/users", "/metrics", "/readyz", "/livez", "/info"):
        response = client.get(path)
        assert response.status_code == 404, path
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["type"] == "/problems/not-found"


def test_plain_http_is_led_to_https_and_the_proxy_does_not_name_itself(
    client: httpx.Client,
) -> None:
    response = client.get("/health")

    assert "server" not in response.headers
    assert "x-envoy-upstream-service-time" not in response.headers


def test_where_no_pod_answers_the_gateway_says_so_as_a_problem(
    client: httpx.Client, deployment: Deployment
) -> None:
    count = len(deployment.pods("api"))
    kubectl("-n", NAMESPACE, "scale", "deployment/api", "--replicas=0")
    try:
        until(lambda: client.get("/ready").status_code == 503, "nobody answers", timeout=90)
        until(lambda: not deployment.pods("api"), "api is away", timeout=90)
        response = client.get("/api/v1/users/me", headers={"X-Request-ID": "while.away"})
    finally:
        kubectl("-n", NAMESPACE, "scale", "deployment/api", f"--replicas={count}")
        until(lambda: client.get("/ready").status_code == 200, "api answers again", timeout=120)

    assert response.status_code == 503
    assert response.headers["content-type"] == "application/problem+json"
    assert int(response.headers["retry-after"]) > 0
    problem = response.json()
    assert (problem["type"], problem["status"]) == ("/problems/unavailable", 503)
    assert (problem["instance"], problem["request_id"]) == ("/api/v1/users/me", "while.away")
