"""Who uses the suite while a test disturbs it, and what they want next.

Owns the mix of requests of a load: people with accounts, sessions and pictures, the next request,
its expected response, and what was learned from it. How requests are sent is `load`'s, what became
of them in the end is `effects`'.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
from PIL import Image
from tests.cluster.deployment import Deployment

PASSWORD = "correct horse battery staple"
RENEW = 240.0  # seconds after which a session asks for its next access token; one lives ten minutes
_STALE = 540.0  # seconds after which an access token is not shown any more
# Of a thousand requests. Passwords and pictures cost a hundred times what a read costs.
MIX: Mapping[str, int] = {
    "read me": 300,
    "read account": 100,
    "list jobs": 100,
    "list images": 110,
    "read job": 140,
    "read image": 120,
    "keys": 20,
    "rename": 70,
    "refresh": 10,
    "upload": 14,
    "login": 8,
    "register": 8,
}


@dataclass
class Person:
    """A person with an account and one session: one request at a time on each changing thing."""

    email: str
    id: str = ""
    token: str = ""
    token_since: float = 0.0  # by the monotonic clock
    refresh: str = ""
    version: int = 0  # of the account; 0: not known, since an answer was lost
    changing: bool = False
    signing_in: bool = False
    images: deque[str] = field(default_factory=lambda: deque(maxlen=5))
    jobs: deque[str] = field(default_factory=lambda: deque(maxlen=5))

    @property
    def signed_in(self) -> bool:
        return bool(self.token) and time.monotonic() - self.token_since < _STALE

    def welcome(self, pair: Mapping[str, Any]) -> None:
        self.token, self.refresh = pair["access_token"], pair["refresh_token"]
        self.token_since = time.monotonic()


@dataclass(frozen=True, slots=True)
class Wish:
    """One request: what is sent and the expected response. `key` names the effect it requests."""

    operation: str
    method: str
    path: str
    template: str
    expected: int
    person: Person | None = None
    key: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def target(self, base_url: str, number: int) -> str:
        """Return a line of vegeta's JSON format. The fragment returns in the result, unsent."""
        target: dict[str, Any] = {"method": self.method, "url": f"{base_url}{self.path}#{number}"}
        if self.headers:
            target["header"] = {name: [value] for name, value in self.headers.items()}
        if self.body:
            target["body"] = base64.b64encode(self.body).decode()
        return json.dumps(target) + "\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """`status` is 0 where none came."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def version(self) -> int:
        return version_of(self.headers.get("etag", ""))


def version_of(etag: str) -> int:
    return int(etag.strip('"v') or 0)


def picture() -> bytes:
    """A small JPEG, each another one."""
    image = Image.new("RGB", (64, 48), tuple(uuid4().bytes[:3]))
    content = io.BytesIO()
    image.save(content, "JPEG", comment=uuid4().bytes)
    return content.getvalue()


class ClientPool:
    """People with accounts, for a test session. Two threads use it: for requests and responses."""

    def __init__(self, deployment: Deployment, count: int = 24) -> None:
        self.deployment = deployment
        self.name = f"load.{uuid4().hex[:8]}"
        self.people = [Person(f"{self.name}.person{number}@example.com") for number in range(count)]
        self._lock = threading.Lock()
        self._chance = random.Random(self.name)  # noqa: S311 (a load)
        self._newcomers = 0

    def sign_in(self) -> None:
        """Everybody has an account and a fresh token; those that have one get their next."""
        client = httpx.Client(
            base_url=self.deployment.url, verify=self.deployment.tls, timeout=30, http2=False
        )
        with client, ThreadPoolExecutor(4) as threads:
            for entered in [threads.submit(_enter, person, client) for person in self.people]:
                entered.result()

    def forget_tokens(self) -> None:
        """For when the key that signed them has gone: all sign in again."""
        with self._lock:
            for person in self.people:
                person.token = ""

    def next(self, mix: Mapping[str, int]) -> Wish:
        """Return the next request of some person."""
        with self._lock:
            for person in self.people:
                if not person.signing_in and time.monotonic() - person.token_since > RENEW:
                    return self._renew(person)
            (operation,) = self._chance.choices(list(mix), weights=list(mix.values()))
            person = self._chance.choice([one for one in self.people if one.signed_in])
            return self._wishes[operation](self, person)

    def learn(self, wish: Wish, response: Answer) -> None:
        """Update the person by the response."""
        with self._lock:
            if wish.person is None:
                return
            good = response.status == wish.expected
            if wish.operation in ("login", "refresh"):
                wish.person.signing_in = False
                if good:
                    wish.person.welcome(response.json())
                else:
                    wish.person.refresh = ""  # unknown whether it was used: the password is next
            elif wish.operation == "rename":
                wish.person.changing = False
                wish.person.version = response.version if good else 0
            elif wish.operation == "read me" and good and not wish.person.changing:
                wish.person.version = max(wish.person.version, response.version)
            elif wish.operation == "upload" and good:
                accepted = response.json()
                wish.person.images.append(accepted["image"]["id"])
                wish.person.jobs.append(accepted["job"]["id"])

    def _renew(self, person: Person) -> Wish:
        return self._refresh(person) if person.refresh else self._login(person)

    def _refresh(self, person: Person) -> Wish:
        if person.signing_in or not person.refresh:
            return self._login(person)
        person.signing_in = True
        form = {"grant_type": "refresh_token", "refresh_token": person.refresh}
        return _posted("refresh", "/api/v1/auth/token", form, 200, person)

    def _login(self, person: Person) -> Wish:
        if person.signing_in:
            return self._me(person)
        person.signing_in = True
        form = {"grant_type": "password", "username": person.email, "password": PASSWORD}
        return _posted("login", "/api/v1/auth/token", form, 200, person)

    def _register(self, _: Person) -> Wish:
        self._newcomers += 1
        email = f"{self.name}.newcomer{self._newcomers}@example.com"
        return Wish(
            *("register", "POST", "/api/v1/users", "/api/v1/users", 201),
            key=email,
            headers={"Content-Type": "application/json", "Idempotency-Key": email},
            body=_registration(email),
        )

    def _me(self, person: Person) -> Wish:
        return _read("read me", "/api/v1/users/me", person)

    def _account(self, person: Person) -> Wish:
        return _read("read account", f"/api/v1/users/{person.id}", person, "/api/v1/users/{id}")

    def _list_jobs(self, person: Person) -> Wish:
        return _read("list jobs", "/api/v1/jobs?limit=5", person)

    def _list_images(self, person: Person) -> Wish:
        return _read("list images", "/api/v1/images?limit=5", person)

    def _job(self, person: Person) -> Wish:
        if not person.jobs:
            return self._list_jobs(person)
        path = f"/api/v1/jobs/{self._chance.choice(person.jobs)}"
        return _read("read job", path, person, "/api/v1/jobs/{id}")

    def _image(self, person: Person) -> Wish:
        if not person.images:
            return self._list_images(person)
        path = f"/api/v1/images/{self._chance.choice(person.images)}"
        return _read("read image", path, person, "/api/v1/images/{id}")

    def _keys(self, _: Person) -> Wish:
        path = "/.well-known/jwks.json"
        return Wish("keys", "GET", path, path, 200)

    def _rename(self, person: Person) -> Wish:
        if person.changing or not person.version:
            return self._me(person)
        person.changing = True
        name, path = f"Name {uuid4().hex}", "/api/v1/users/me"
        headers = {
            **_bearer(person),
            "Content-Type": "application/json",
            "If-Match": f'"v{person.version}"',
        }
        body = json.dumps({"name": name}).encode()
        return Wish("rename", "PATCH", path, path, 200, person, person.id, headers, body)

    def _upload(self, person: Person) -> Wish:
        content, path = picture(), "/api/v1/images"
        headers = {**_bearer(person), "Content-Type": "image/jpeg"}
        key = hashlib.sha256(content).hexdigest()
        return Wish("upload", "POST", path, path, 202, person, key, headers, content)

    _wishes: Mapping[str, Callable[[ClientPool, Person], Wish]] = {
        "read me": _me,
        "read account": _account,
        "list jobs": _list_jobs,
        "list images": _list_images,
        "read job": _job,
        "read image": _image,
        "keys": _keys,
        "rename": _rename,
        "refresh": _refresh,
        "upload": _upload,
        "login": _login,
        "register": _register,
    }


def _bearer(person: Person) -> dict[str, str]:
    return {"Authorization": f"Bearer {person.token}"}


def _read(operation: str, path: str, person: Person, template: str = "") -> Wish:
    known = template or path.partition("?")[0]
    return Wish(operation, "GET", path, known, 200, person, headers=_bearer(person))


def _posted(operation: str, path: str, form: dict[str, str], expected: int, one: Person) -> Wish:
    body = str(httpx.QueryParams(form)).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return Wish(operation, "POST", path, path, expected, one, headers=headers, body=body)


def _registration(email: str) -> bytes:
    return json.dumps({"email": email, "name": "Ada", "password": PASSWORD}).encode()


def _enter(person: Person, client: httpx.Client) -> None:
    if not person.id:
        headers = {"Content-Type": "application/json"}
        made = client.post("/api/v1/users", content=_registration(person.email), headers=headers)
        assert made.status_code == 201, made.text
        person.id = made.json()["id"]
    form = {"grant_type": "password", "username": person.email, "password": PASSWORD}
    if time.monotonic() - person.token_since > RENEW or not person.token:
        if person.refresh:
            form = {"grant_type": "refresh_token", "refresh_token": person.refresh}
        pair = client.post("/api/v1/auth/token", data=form)
        assert pair.status_code == 200, pair.text
        person.welcome(pair.json())
    me = client.get("/api/v1/users/me", headers=_bearer(person))
    assert me.status_code == 200, me.text
    person.version, person.changing, person.signing_in = (
        version_of(me.headers["etag"]),
        False,
        False,
    )
