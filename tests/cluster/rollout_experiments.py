"""What rollouts promise, tried under load on a cluster: one row of a table for each promise.

Run by `rollouts`. Each experiment leaves the suite on a good version, for the next one.
"""

from __future__ import annotations

import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

import httpx
from tests.cluster.clients import ClientPool
from tests.cluster.deployment import Deployment
from tests.cluster.effects import effects
from tests.cluster.load import Load
from tests.cluster.rollout_run import Rollouts, Run, unchanged

_QUICK = ("--canary", "50", "--pause", "2s", "--min-requests", "0")
_KILLED = ("api", "worker")  # with routing, and without
# Of the load one request in ten comes to users: a twentieth of that would take its time.
SHARES = {"api": "5,25,50,100", "users": "25,50,100"}
# docs/guides/rollout.md's rule for the first share: what gets its requests in time.
_FIRST = {"api": SHARES["api"], "users": "50,100"}
_BRISK = ("--pause", "10s", "--min-requests", "50")
_BLUE_GREEN = ("--blue-green", "--pause", "10s")


@dataclass
class Bench:
    """What every experiment needs."""

    deployment: Deployment
    clients: ClientPool
    rate: int
    services: tuple[str, ...]  # of those that have routing
    bad: tuple[str, ...]  # conducts
    repeat: int
    kills: int
    seed: int
    rollouts: Rollouts = field(init=False)
    count: int = 0

    def __post_init__(self) -> None:
        self.rollouts = Rollouts(self.deployment)

    def start(self, service: str, conduct: str, *options: str) -> Run:
        """A rollout to a version that was never there."""
        return self.rollouts.start(service, conduct, self.name(), *options)

    def name(self) -> str:
        self.count += 1
        return f"v{self.count}-{time.time_ns() % 10**8}"


@dataclass(frozen=True, slots=True)
class Row:
    """Of the table."""

    what: str
    promised: str
    seen: str
    holds: bool


def good(bench: Bench) -> Iterator[Row]:
    """A canary to a good version, time and again, while people use the suite."""
    for service in bench.services:
        requests = failed = held = 0
        times: list[float] = []
        p99: list[float] = []
        for _ in range(bench.repeat):
            with Load(bench.clients, rate=bench.rate) as load:
                load.run(seconds=2)
                run = bench.start(service, "good", "--canary", SHARES[service], *_BRISK).wait()
                load.run(seconds=2)
            say(f"good {service}: exit {run.code}, {run.seconds:.0f} s; {load.result.summary()}")
            requests += load.result.requests
            failed += load.result.failed
            times.append(run.seconds)
            p99.append(load.result.quantile(0.99))
            found = effects(bench.deployment, load.result)
            if run.code == 0 and not load.result.failed and found.hold:
                held += 1
            else:
                say(f"{run.transcript()}\n{found}")
        yield Row(
            f"canary of {service} to a good version, {bench.repeat} times,"
            f" {SHARES[service]} %, 10 s each",
            "0 failed requests, 0 effects lost or doubled",
            f"{failed} of {requests:,} failed, {held} of {bench.repeat} as promised; "
            f"{min(times):.0f} to {max(times):.0f} s each, p99 of all requests "
            f"{min(p99):.0f} to {max(p99):.0f} ms",
            held == bench.repeat,
        )


def bad(bench: Bench) -> Iterator[Row]:
    """A version that is worse in each of the ways."""
    for service in bench.services:
        for conduct in bench.bad:
            with unchanged() as differences, Load(bench.clients, rate=bench.rate) as load:
                load.run(seconds=2)
                run = bench.start(service, conduct, "--canary", _FIRST[service]).wait()
                load.run(seconds=2)
            share = load.result.failed / load.result.requests
            say(f"{conduct} {service}: exit {run.code}; {load.result.summary()}\n{differences}")
            holds = run.code == 1 and run.seconds < 120 and share <= 0.01 and not differences
            if not holds:
                say(run.transcript())
            yield Row(
                f"{service}, {conduct}",
                "undone within 120 s, at most 1 % failed, no object differs",
                f"exit {run.code} after {run.seconds:.0f} s, {load.result.failed} of "
                f"{load.result.requests:,} failed ({share:.2%}), {len(differences)} differ: "
                f"{run.why.partition('as before: ')[2] or run.why}",
                holds,
            )


def blue_green(bench: Bench) -> Iterator[Row]:
    """All clients at once; the quota in a response shows which version sent it."""
    for service in bench.services:
        requests = failed = held = 0
        switches: list[float] = []
        for number in range(bench.repeat):
            options = [*_BLUE_GREEN, "--set", f"config.RATE_LIMIT_USER={90_000 + number}"]
            watched = service == "api"
            with Load(bench.clients, rate=bench.rate) as load, _watching(bench) as quotas:
                load.run(seconds=2)
                chosen = options if watched else _BLUE_GREEN
                run = bench.start(service, "good", *chosen).wait()
                load.run(seconds=2)
            switch = _switch(run, quotas, str(90_000 + number)) if watched else _routed(run)
            say(f"blue-green {service}: exit {run.code}, {switch:.1f} s; {load.result.summary()}")
            requests += load.result.requests
            failed += load.result.failed
            switches.append(switch)
            if run.code == 0 and not load.result.failed and switch <= 5:
                held += 1
            else:
                say(run.transcript())
        how = "to the last answer of the old one" if service == "api" else "Helm has switched"
        yield Row(
            f"blue-green of {service}, {bench.repeat} times",
            "0 failed requests, switched within 5 s",
            f"{failed} of {requests:,} failed, {held} of {bench.repeat} as promised; switched in "
            f"{min(switches):.1f} to {max(switches):.1f} s ({how})",
            held == bench.repeat,
        )


@contextmanager
def _watching(bench: Bench) -> Iterator[list[tuple[float, str]]]:
    """When a client got an answer with which quota, 20 times a second."""
    seen: list[tuple[float, str]] = []
    over = threading.Event()
    person = bench.clients.people[0]

    def watch() -> None:
        deployment = bench.deployment
        with httpx.Client(base_url=deployment.url, verify=deployment.tls, timeout=10) as client:
            while not over.wait(0.05):
                response = client.get(
                    "/api/v1/users/me", headers={"Authorization": f"Bearer {person.token}"}
                )
                seen.append((time.time(), response.headers.get("ratelimit-policy", "")))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join(timeout=15)


def _switch(run: Run, quotas: list[tuple[float, str]], quota: str) -> float:
    """Return the seconds from the switch to the old version's last response before promotion."""
    began, ended = _at(run, "weight-100"), _at(run, "promotion")
    old = [at for at, policy in quotas if began < at < ended and quota not in policy]
    new = [at for at, policy in quotas if began < at < ended and quota in policy]
    assert new, "no request reached the new version"
    return max(old, default=began) - began


def _routed(run: Run) -> float:
    """Return the seconds that Helm took for weight 100; proxies follow within milliseconds."""
    times = [event for event in run.events if event.get("step") == "weight-100"]
    routed = [event for event in run.events if event.get("routed") == 100]
    return _seconds(routed[-1]["at"]) - _seconds(times[-1]["at"]) if routed else float("nan")


def _at(run: Run, step: str) -> float:
    (at,) = [event["at"] for event in run.events if event.get("step") == step]
    return _seconds(at)


def _seconds(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()


def killed(bench: Bench) -> Iterator[Row]:
    """The command is killed at random points, and run again: forth, or with --abort back."""
    chance = random.Random(bench.seed)  # noqa: S311 (an experiment)
    whole = {service: bench.start(service, "good", *_QUICK).wait().seconds for service in _KILLED}
    ends: Counter[str] = Counter()
    failed = requests = 0
    for number in range(bench.kills):
        service = _KILLED[number // 2 % 2]
        with Load(bench.clients, rate=bench.rate // 2) as load:
            name, before = bench.name(), bench.rollouts.serving(service)
            run = bench.rollouts.start(service, "good", name, *_QUICK)
            after = chance.uniform(0.5, whole[service])
            if run.lasts(after):
                run.stop()
            if number % 2:
                second = bench.rollouts.abort(service).wait()
            else:
                second = bench.rollouts.start(service, "good", name, *_QUICK).wait()
        serving = bench.rollouts.serving(service)
        state = "new" if serving == {name} else "old" if serving == before else "between"
        # Called off after the end, it stays new; gone on with where it had begun to go back, old.
        if second.code not in {0, 1} or not _settled(bench, service):
            state = "between"
        again = "--abort" if number % 2 else "again"
        say(
            f"{service} killed after {after:.1f} s, then {again}: exit {second.code}, "
            f"{second.seconds:.0f} s: {state}; {load.result.summary()}"
        )
        if state == "between":
            say(f"{second.transcript()} {serving}")
        ends[state] += 1
        requests += load.result.requests
        failed += load.result.failed
    yield Row(
        f"kill -9 of the command at {bench.kills} random points, then it again or --abort",
        "the old or the new state, never between",
        f"{ends['new']} new, {ends['old']} old, {ends['between']} between; {failed} of "
        f"{requests:,} requests failed meanwhile",
        not ends["between"] and not failed,
    )


def interrupted(bench: Bench) -> Iterator[Row]:
    """Ctrl-C while the new version has half of the requests."""
    for service in bench.services:
        with unchanged() as differences, Load(bench.clients, rate=bench.rate) as load:
            run = bench.start(service, "good", *_QUICK)
            run.leads(50)
            began = time.monotonic()
            run.stop(signal.SIGINT)
            took = time.monotonic() - began
            load.run(seconds=2)
        say(
            f"Ctrl-C {service}: exit {run.code}, {took:.0f} s;"
            f" {load.result.summary()} {differences}"
        )
        yield Row(
            f"Ctrl-C at 50 % of {service}",
            "as before, 0 failed",
            f"exit {run.code}, back in {took:.0f} s, {load.result.failed} of "
            f"{load.result.requests:,} failed, {len(differences)} objects differ",
            run.code == 1 and not load.result.failed and not differences,
        )


def worker(bench: Bench) -> Iterator[Row]:
    """Worker by its share of the pods: what it is given to do is all done, once."""
    with Load(bench.clients, rate=bench.rate) as load:
        run = bench.start("worker", "good", "--min-requests", "10").wait()
        load.run(seconds=2)
    found = effects(bench.deployment, load.result)
    say(f"worker: exit {run.code}; {load.result.summary()}; {found}")
    yield Row(
        "canary of worker to a good version",
        "0 failed requests, 0 jobs lost or doubled",
        f"exit {run.code} after {run.seconds:.0f} s, {load.result.failed} of "
        f"{load.result.requests:,} failed; {found}",
        run.code == 0 and not load.result.failed and found.hold,
    )
    with unchanged() as differences, Load(bench.clients, rate=bench.rate) as load:
        run = bench.start("worker", "crashing").wait()
        load.run(seconds=2)
    say(f"worker crashing: exit {run.code}; {load.result.summary()} {differences}")
    yield Row(
        "worker, crashing",
        "undone within 120 s, no object differs",
        f"exit {run.code} after {run.seconds:.0f} s, {load.result.failed} of "
        f"{load.result.requests:,} failed, {len(differences)} differ",
        run.code == 1 and run.seconds < 120 and not load.result.failed and not differences,
    )


def _settled(bench: Bench, service: str) -> bool:
    """Whether one release is left."""
    releases = {
        pod["metadata"]["labels"]["app.kubernetes.io/instance"]
        for pod in bench.deployment.pods(service)
    }
    return releases == {service}


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)


EXPERIMENTS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "good": good,
    "bad": bad,
    "blue-green": blue_green,
    "interrupted": interrupted,
    "worker": worker,
    "killed": killed,
}
