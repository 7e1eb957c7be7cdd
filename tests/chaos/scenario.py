"""The fault scenario: load, injected faults, and the check of the history afterwards."""

from __future__ import annotations

import asyncio
import email
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
from tests.chaos.checker import Verdict, check, percentile
from tests.chaos.environment import ChaosEnvironment
from tests.chaos.history import History, Outcome
from tests.chaos.load import ENQUEUE, REGISTER, RENAME, UPLOAD, Producer, run_clients
from tests.chaos.nemesis import Nemesis, plan

_SETTLED = "('succeeded', 'rejected', 'cancelled', 'dead')"
_HELD = """
SELECT e ->> 'error' AS error, j.started_at, j.finished_at, j.crashes
FROM jobs.jobs AS j, jsonb_array_elements(j.errors) AS e
WHERE e ->> 'status' = 'crashed' AND j.crashes = 1 AND j.attempts = 0
"""


@dataclass(frozen=True, slots=True)
class Terms:
    """How hard and how long. Seconds."""

    seconds: float
    jobs: int
    people: int
    seed: int
    lease: float = 30.0
    calm: float = 180.0  # for everything to end after the last fault
    fury: float = 1.0  # faults, in multiples of the usual ones
    only: frozenset[str] | None = None


@dataclass
class Report:
    """The result of a scenario. `rows` are the lines of the table: measurement and result."""

    rows: list[tuple[str, str]] = field(default_factory=list)
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)
    recoveries: list[float] = field(default_factory=list)
    unfinished: int = 0

    @property
    def holds(self) -> bool:
        return not self.unfinished and all(verdict.holds for verdict in self.verdicts.values())


async def run(environment: ChaosEnvironment, terms: Terms, log: Callable[[str], None]) -> Report:
    """Run the scenario in `environment`. The history is `history.jsonl` in its folder."""
    history = History(environment.folder / "history.jsonl")
    nemesis = Nemesis(environment, terms.lease, terms.seed)
    producer = Producer(environment, history, rate=terms.jobs / terms.seconds, seed=terms.seed)
    faults = plan(terms.seed, terms.seconds, fury=terms.fury, only=terms.only)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(producer.run(terms.jobs))
        if terms.people:
            group.create_task(run_clients(environment, history, terms.people, stop, log))
        await nemesis.run(faults, log)
        stop.set()
    await environment.heal()
    log("no more faults")
    sql = await environment.sql()
    report = Report(faults=nemesis.done)
    try:
        report.unfinished = await calm(sql, terms.calm, log)
        await _account_for_jobs(sql, environment, history, report)
        if terms.people:
            await account_for_people(sql, environment, history, report)
    finally:
        await sql.close()
        history.close()
    return report


async def calm(
    sql: asyncpg.Connection[asyncpg.Record], seconds: float, report: Callable[[str], None]
) -> int:
    """Waits until no job is left to do; how many still are after so long."""
    left = f"SELECT count(*) FROM jobs.jobs WHERE status NOT IN {_SETTLED} AND kind <> 'jobs.prune'"
    deadline = time.monotonic() + seconds
    while True:
        count = int(await sql.fetchval(left))
        if not count or time.monotonic() > deadline:
            return count
        report(f"{count} jobs to go")
        await asyncio.sleep(1)


async def _account_for_jobs(
    sql: asyncpg.Connection[asyncpg.Record],
    environment: ChaosEnvironment,
    history: History,
    report: Report,
) -> None:
    outcomes = history.outcomes(ENQUEUE)
    rows = await sql.fetch("SELECT job_id::text AS id, kind FROM chaos.effects")
    effects = Counter(row["id"] for row in rows)
    jobs = check(outcomes, effects)
    report.verdicts["jobs"] = jobs
    report.rows.append(("jobs: effects in the database", str(jobs)))
    dead = await sql.fetchval("SELECT count(*) FROM jobs.jobs WHERE status = 'dead'")
    report.rows.append(("jobs: dead", str(dead)))
    sent = _emails(environment.servers.mail.directory)
    mailed = {row["id"] for row in rows if row["kind"] == "chaos.mail"}
    again = sum(sent[f"<{job}@chaos.example>"] - 1 for job in mailed)
    report.rows.append(("emails: accepted, sent again", f"{len(mailed)}, {again}"))
    report.recoveries = await _recoveries(sql, environment)
    if report.recoveries:
        worst, median = max(report.recoveries), percentile(report.recoveries, 0.5)
        report.rows.append(
            (
                "jobs of a killed worker: claimed again",
                f"{len(report.recoveries)} jobs, median {median:.1f} s, p100 {worst:.1f} s",
            )
        )


async def _recoveries(
    sql: asyncpg.Connection[asyncpg.Record], environment: ChaosEnvironment
) -> list[float]:
    """From each kill -9 to the next claim of each job that was held, in seconds."""
    killed = {
        end.name: end.at
        for worker in environment.workers
        for end in worker.ends
        if end.by is signal.SIGKILL
    }
    found = []
    for row in await sql.fetch(_HELD):
        name = row["error"].removeprefix("lease of ").removesuffix(" expired")
        if name in killed:
            found.append(row["started_at"].timestamp() - killed[name])
    return found


def _emails(folder: Path) -> Counter[str]:
    """How often each Message-ID was delivered."""
    return Counter(
        str(email.message_from_bytes(path.read_bytes())["Message-ID"])
        for path in folder.glob("*.eml")
    )


async def account_for_people(
    sql: asyncpg.Connection[asyncpg.Record],
    environment: ChaosEnvironment,
    history: History,
    report: Report,
) -> None:
    accounts = await sql.fetch("SELECT id, email, version FROM users.accounts")
    by_email = Counter(row["email"] for row in accounts if row["email"].startswith("chaos."))
    registered = check(history.outcomes(REGISTER), by_email)
    report.verdicts["registrations"] = registered
    report.rows.append(("registrations", str(registered)))

    uploaded = history.outcomes(UPLOAD)
    images = await sql.fetch("SELECT id::text AS id, status, version FROM api.images")
    keys = {
        event.seen["id"]: event.key
        for event in history.events(UPLOAD)
        if event.outcome is Outcome.OK
    }
    seen = Counter(keys[row["id"]] for row in images if row["id"] in keys)
    # A row that no answer ever named is one of the requests of unknown outcome.
    unnamed = sum(row["id"] not in keys for row in images)
    unknown = [key for key, outcome in uploaded.items() if outcome is Outcome.UNKNOWN]
    seen.update(unknown[:unnamed] + ["nobody's"] * max(0, unnamed - len(unknown)))
    report.verdicts["uploads"] = uploads = check(uploaded, seen)
    report.rows.append(("uploads", str(uploads)))
    done_once = sum(row["status"] == "ready" and row["version"] == 2 for row in images)
    report.rows.append(("images with exactly one report", f"{done_once} of {len(images)}"))
    if done_once != len(images):
        report.unfinished += len(images) - done_once

    _account_for_names(accounts, history, report)
    await _account_for_welcomes(accounts, environment, report)


def _account_for_names(accounts: list[asyncpg.Record], history: History, report: Report) -> None:
    """The version grew by one for each change that was acknowledged; for an unknown one, maybe."""
    certain: Counter[str] = Counter()
    perhaps: Counter[str] = Counter()
    for key, outcome in history.outcomes(RENAME).items():
        certain[key.split()[0]] += outcome is Outcome.OK
        perhaps[key.split()[0]] += outcome is Outcome.UNKNOWN
    wrong = 0
    for row in accounts:
        grown = row["version"] - 1
        sure = certain[row["email"]]
        wrong += not sure <= grown <= sure + perhaps[row["email"]]
    report.unfinished += wrong
    output = f"{certain.total()} acknowledged, {perhaps.total()} unknown, {wrong} accounts off"
    report.rows.append(("changes of names", output))


async def _account_for_welcomes(
    accounts: list[asyncpg.Record], environment: ChaosEnvironment, report: Report
) -> None:
    folder = environment.servers.mail.directory
    recipients = Counter(path.stem.partition("-")[2] for path in folder.glob("*-chaos.*.eml"))
    welcome = [row["email"] for row in accounts if row["email"].startswith("chaos.")]
    missing = sum(recipients[address] == 0 for address in welcome)
    again = sum(max(0, recipients[address] - 1) for address in welcome)
    report.unfinished += missing
    report.rows.append(
        ("welcome emails", f"{len(welcome)} due, {missing} missing, {again} sent again")
    )
