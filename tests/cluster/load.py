"""A load on the gateway at a constant rate, by vegeta, with requests of many clients.

    with Load(clients, rate=60) as load:
        load.run(requests=600)
        ...                                   # disturb it
        load.run(seconds=10)
    assert load.result.failures == []

Open-loop: a request leaves when it is due, and waits for no other (github.com/tsenart/vegeta).
Connections are kept alive. Targets are made as they are sent: a load may outlive its tokens.
"""

from __future__ import annotations

import base64
import contextlib
import json
import signal
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from tests.chaos.checker import percentile
from tests.chaos.history import Outcome
from tests.cluster.clients import MIX, Answer, ClientPool, Wish

PATIENCE = 30  # seconds for which a client waits; api itself gives up before
_WORKERS = 400  # requests under way at most, so that a suite that hangs does not drown the machine
_BODY = 65_536  # bytes of an answer that are kept


@dataclass(frozen=True, slots=True)
class Failure:
    """The request, and the status or the error instead of the expected response."""

    at: float  # seconds since the epoch, when it was sent
    operation: str  # method and template of the path
    outcome: str
    after: float  # seconds

    def __str__(self) -> str:
        moment = datetime.fromtimestamp(self.at).time().isoformat("milliseconds")  # noqa: DTZ006 (as logs of this machine)
        return f"{moment} {self.operation}: {self.outcome} after {self.after:.3f} s"


@dataclass
class Result:
    """What came of a load. `outcomes`: of what has an effect, by operation and key."""

    began: float = field(default_factory=time.time)
    seconds: float = 0.0
    requests: int = 0
    failures: list[Failure] = field(default_factory=list)
    latencies: list[float] = field(
        default_factory=list
    )  # seconds, of what was answered as expected
    operations: Counter[str] = field(default_factory=Counter)
    outcomes: dict[str, dict[str, Outcome]] = field(default_factory=dict)
    # By renamed account: the version that its first change was based on, and changes by outcome.
    versions: dict[str, tuple[int, Counter[Outcome]]] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        return len(self.failures)

    def quantile(self, share: float) -> float:
        """Milliseconds."""
        return 1000 * percentile(self.latencies, share)

    def __str__(self) -> str:
        shares = "/".join(f"{self.quantile(share):.0f}" for share in (0.5, 0.95, 0.99))
        return (
            f"{self.requests} requests in {self.seconds:.0f} s "
            f"({self.requests / max(self.seconds, 1):.0f}/s), {self.failed} failed; "
            f"p50/p95/p99 {shares} ms"
        )

    def summary(self) -> str:
        """The failures, by kind and then the first ones, for an assertion's message."""
        kinds = Counter((one.operation, one.outcome) for one in self.failures)
        lines = [f"{count} x {operation}: {output}" for (operation, output), count in kinds.items()]
        return "\n".join([str(self), *lines, *map(str, self.failures[:20])])


class Load:
    """Runs while its context is open; `result` is whole once that is left."""

    def __init__(
        self,
        clients: ClientPool,
        *,
        rate: int,
        mix: Mapping[str, int] = MIX,
        keep_alive: bool = True,
    ) -> None:
        """`rate` in requests a second. Without `keep_alive` each request makes a connection."""
        self.result = Result()
        self._clients = clients
        self._mix = mix
        self._rate = rate
        self._keep_alive = keep_alive
        self._wishes: dict[int, Wish] = {}
        self._answered = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._stopped = False

    def __enter__(self) -> Self:
        self._clients.sign_in()
        deployment = self._clients.deployment
        address, port = deployment.gateway
        host = deployment.url.removeprefix("https://")
        self._said = tempfile.TemporaryFile("w+")
        attack = (
            *("vegeta", "-cpus=1", "attack", "-format=json", "-lazy", f"-rate={self._rate}/s"),
            *("-duration=0", f"-timeout={PATIENCE}s", "-redirects=-1", "-http2=false"),
            *(f"-keepalive={str(self._keep_alive).lower()}", f"-max-workers={_WORKERS}"),
            *(f"-max-body={_BODY}", f"-root-certs={deployment.certificate}"),
            f"-connect-to={host}:{address}:{port}",
        )
        self._attack = subprocess.Popen(  # noqa: S603 (a tool of the developer)
            attack, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said
        )
        self._results = subprocess.Popen(
            ("vegeta", "encode", "-to=json"),  # noqa: S607 (as above)
            stdin=self._attack.stdout,
            stdout=subprocess.PIPE,
            stderr=self._said,
        )
        assert self._attack.stdout is not None
        self._attack.stdout.close()  # encode's alone
        self.result.began, self._since = time.time(), time.monotonic()
        for work in (self._ask, self._listen):
            thread = threading.Thread(target=work, name=f"load-{work.__name__}", daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._stopped = True
        self._attack.send_signal(signal.SIGINT)  # sends nothing more, waits for what is under way
        for process in (self._attack, self._results):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=PATIENCE + 10)
            process.kill()
        for thread in self._threads:
            thread.join(timeout=10)
        self._said.seek(0)
        if error is None and (output := self._said.read().strip()):
            raise AssertionError(f"vegeta: {output}")
        self._said.close()

    def run(self, *, seconds: float = 0, requests: int = 0, timeout: float = 1800) -> None:
        """Lets it go on until so many more seconds have passed and so many more were answered."""
        began, before = time.monotonic(), self.result.requests
        with self._answered:
            while time.monotonic() - began < seconds or self.result.requests - before < requests:
                assert self._attack.poll() is None, "vegeta has ended"
                assert time.monotonic() - began < timeout, f"answered only {self.result}"
                self._answered.wait(timeout=0.5)

    def _ask(self) -> None:
        """Keep the pipe to vegeta full: the next target is ready, and hardly a second old."""
        assert self._attack.stdin is not None
        number = 0
        with contextlib.suppress(BrokenPipeError):
            while not self._stopped:
                number += 1
                wish = self._wishes[number] = self._clients.next(self._mix)
                self._attack.stdin.write(wish.target(self._clients.deployment.url, number).encode())
                self._attack.stdin.flush()
        with contextlib.suppress(BrokenPipeError):
            self._attack.stdin.close()

    def _listen(self) -> None:
        assert self._results.stdout is not None
        for text in self._results.stdout:
            line = json.loads(text)
            _, _, number = line["url"].partition("#")
            if not number:
                continue  # that there was no more to ask for
            with self._answered:
                self._note(self._wishes.pop(int(number)), line)
                self._answered.notify_all()

    def _note(self, wish: Wish, line: Mapping[str, Any]) -> None:
        headers = {name.lower(): values[0] for name, values in (line["headers"] or {}).items()}
        response = Answer(line["code"], headers, base64.b64decode(line["body"] or ""))
        self._clients.learn(wish, response)
        found, after = self.result, line["latency"] / 1e9
        found.requests += 1
        found.seconds = time.monotonic() - self._since
        found.operations[wish.operation] += 1
        if response.status == wish.expected:
            found.latencies.append(after)
        else:
            sent = datetime.fromisoformat(line["timestamp"]).timestamp()
            operation = f"{wish.method} {wish.template}"
            found.failures.append(
                Failure(sent, operation, _describe(response, line["error"]), after)
            )
        if wish.key:
            self._note_effect(wish, response)

    def _note_effect(self, wish: Wish, response: Answer) -> None:
        outcome = _outcome(wish, response)
        if wish.operation == "rename":
            based_on = int(wish.headers["If-Match"].strip('"v'))
            _, changes = self.result.versions.setdefault(wish.key, (based_on, Counter()))
            changes[outcome] += 1
        else:
            self.result.outcomes.setdefault(wish.operation, {})[wish.key] = outcome


def _outcome(wish: Wish, response: Answer) -> Outcome:
    """A 4xx says that nothing was done; a 5xx, or no answer, says nothing."""
    if response.status == wish.expected:
        return Outcome.OK
    return Outcome.FAIL if 400 <= response.status < 500 else Outcome.UNKNOWN


def _describe(response: Answer, error: str) -> str:
    if not response.status:
        return error.rpartition(": ")[2] if "context deadline" not in error else "no answer in time"
    shown = response.body[:300].decode(errors="replace")
    with contextlib.suppress(ValueError, KeyError, TypeError):
        problem = response.json()
        shown = f"{problem['type']} {problem.get('detail', '')}"
    return f"{response.status} {shown}".strip()
