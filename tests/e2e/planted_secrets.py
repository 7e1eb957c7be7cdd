"""Secrets of every kind, sent and stored as clients and services would, to be looked for.

Owns what counts as a secret and how it is planted. The caught mail itself is not looked at: it is
the developer's own.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from functools import partial
from urllib.parse import quote

import httpx
from tests.running_suite import Suite

from twelvefold_dev.servers.mailbox import Mailbox

_SHORT = 8  # characters below which a setting is no secret but a word
# The public half of a key pair, ids and times are public.
_PUBLIC = re.compile(r"\.(x|y|kid|crv|kty|alg|use|published_at|access_key_id)$")


@dataclass(slots=True)
class PlantedSecrets:
    """Secrets by what they are, and the responses to the requests that misplaced them."""

    secrets: dict[str, str] = field(default_factory=dict)
    answers: list[bytes] = field(default_factory=list)
    request_id: str = ""

    def found_in(self, outputs: Mapping[str, bytes]) -> list[tuple[str, str]]:
        """Which secret stands where, also in the forms that URLs and JSON give it."""
        return [
            (name, where)
            for name, secret in self.secrets.items()
            for where, content in outputs.items()
            if any(form in content for form in _forms(secret))
        ]


def _forms(secret: str) -> set[bytes]:
    return {
        secret.encode(),
        quote(secret, safe="").encode(),
        json.dumps(secret)[1:-1].encode(),
        base64.b64encode(secret.encode()).rstrip(b"="),
    }


def logged(suite: Suite) -> bytes:
    """Every line that the suite's processes have written."""
    assert suite.checkout is not None
    files = (suite.checkout / ".twelvefold/logs").glob("*.log*")
    return b"\n".join(path.read_bytes() for path in files)


def _settings(suite: Suite) -> dict[str, str]:
    """What the suite itself must keep: passwords of its servers, keys, callers' secrets."""
    assert suite.checkout is not None
    found: dict[str, str] = {}

    def collect(name: str, value: object) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                collect(f"{name}.{key}", inner)
        elif isinstance(value, list):
            for inner in value:
                collect(name, inner)
        elif isinstance(value, str) and value.startswith(("{", "[")):
            collect(name, json.loads(value))
        elif isinstance(value, str) and len(value) >= _SHORT and not _PUBLIC.search(name):
            found[name] = value

    collect("setting", json.loads((suite.checkout / ".twelvefold/secrets.json").read_text()))
    return found


class Careless:
    """A client that sends its secrets anywhere, and keeps the responses."""

    def __init__(self, client: httpx.AsyncClient, planted: PlantedSecrets) -> None:
        self._client = client
        self._planted = planted

    def new(self, name: str) -> str:
        value = f"planted-{secrets.token_hex(12)}"
        self._planted.secrets[name] = value
        return value

    async def ask(self, method: str, path: str, **arguments: object) -> httpx.Response:
        response = await self._client.request(method, path, **arguments)  # type: ignore[arg-type]  # passed on
        if response.is_error:
            self._planted.answers.append(response.content)
        self._planted.request_id = response.headers["x-request-id"]
        return response


async def plant_secrets(suite: Suite) -> PlantedSecrets:
    """Does what people do with secrets, rightly and wrongly."""
    planted = PlantedSecrets(_settings(suite))
    async with httpx.AsyncClient(base_url=suite.url, timeout=60) as client:
        careless = Careless(client, planted)
        address = f"planted.{uuid.uuid4().hex}@example.com"
        account = {"email": address, "name": "Ada", "password": careless.new("password")}
        (await careless.ask("POST", "/api/v1/users", json=account)).raise_for_status()
        form = {"grant_type": "password", "username": address, "password": account["password"]}
        granted = await careless.ask("POST", "/api/v1/auth/token", data=form)
        tokens = granted.raise_for_status().json()
        planted.secrets["access token"] = tokens["access_token"]
        planted.secrets["refresh token"] = tokens["refresh_token"]
        for path in ("email-verifications", "password-resets"):
            await careless.ask("POST", f"/api/v1/auth/{path}", json={"email": address})
        await _links(suite, address, planted)
        await _bodies(careless, account, form, tokens["access_token"])
        await _headers(careless, tokens["access_token"])
    return planted


async def _bodies(
    careless: Careless, account: dict[str, str], form: dict[str, str], token: str
) -> None:
    """Refused for the value, for its form, or since it is taken."""
    ask, new = careless.ask, careless.new
    await ask("POST", "/api/v1/users", json=account)
    await ask("POST", "/api/v1/auth/token", data={**form, "password": new("wrong password")})
    refused = {"email": "no address", "name": 7, "password": new("refused password")}
    await ask("POST", "/api/v1/users", json=refused)
    change = {"current_password": new("wrong current password"), "new_password": new("new one")}
    bearer = {"authorization": f"Bearer {token}"}
    await ask("POST", "/api/v1/users/me/password", json=change, headers=bearer)
    await ask("POST", "/api/v1/auth/revoke", data={"token": new("unknown refresh token")})
    confirm = {"token": new("unknown mailed token"), "password": new("password of a reset")}
    await ask("POST", "/api/v1/auth/password-resets/confirm", json=confirm)
    broken = f'{{"password": "{new("broken JSON")}"'
    await ask("POST", "/api/v1/users", content=broken, headers={"content-type": "application/json"})


async def _headers(careless: Careless, token: str) -> None:
    """In headers and URLs."""
    ask, new = careless.ask, careless.new
    bearer = {"authorization": f"Bearer {token}"}
    forged = f"eyJhbGciOiJub25lIn0.{new('forged claims')}.x"
    basic = base64.b64encode(f"ada:{new('basic')}".encode()).decode()
    for credentials in (f"Bearer {new('bearer')}", f"Bearer {forged}", f"Basic {basic}"):
        await ask("GET", "/api/v1/users/me", headers={"authorization": credentials})
    await ask("GET", "/api/v1/users/me", headers={**bearer, "cookie": f"sid={new('cookie')}"})
    await ask("GET", "/api/v1/jobs", params={"cursor": new("cursor")}, headers=bearer)
    await ask("GET", "/nowhere", params={"token": new("token in a query")})
    await ask("GET", f"/nowhere/token={new('token in a path')}")
    await ask("GET", "/health", headers={"user-agent": f"x password={new('user agent')}"})


def _is(wanted: tuple[str, str], mail: EmailMessage) -> bool:
    return (mail["To"], mail["Subject"]) == wanted


async def _links(suite: Suite, address: str, planted: PlantedSecrets) -> None:
    """The tokens of the links that were mailed meanwhile."""
    assert suite.checkout is not None
    mailbox = Mailbox(suite.checkout / ".twelvefold/mail")
    for subject in ("Confirm your address", "Choose a new password"):
        wanted = (address, subject)
        mail = await mailbox.wait_for(partial(_is, wanted), timeout=60)
        body = mail.get_body(("plain",))
        assert body is not None
        tokens = re.findall(r"[?&#]token=([\w-]+)", body.get_content())
        assert tokens, body.get_content()
        planted.secrets[f"link: {subject}"] = tokens[0]
