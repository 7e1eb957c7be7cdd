"""`make cluster-rollouts`: rollouts under load, as often as it takes to believe them, in one table.

    python -m tests.cluster.rollouts --only good bad --into docs/guides/rollout.md

On the cluster of KUBECONFIG, in namespaces of its own. Each experiment says what it promises and
whether that held; the exit code is 1 where one did not.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import httpx
from tests.cluster.clients import ClientPool
from tests.cluster.cluster import missing, until
from tests.cluster.deployment import HOST, Deployment
from tests.cluster.name_resolution import lead
from tests.cluster.rollout_experiments import EXPERIMENTS, SHARES, Bench, Row, say
from tests.cluster.rollout_run import BAD
from tests.tables import between, merged, put_between, table

_BEGIN, _END = "<!-- rollout: measured -->", "<!-- rollout: end -->"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.rollouts", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=EXPERIMENTS, default=list(EXPERIMENTS))
    parser.add_argument("--rate", type=int, default=50, help="requests a second")
    parser.add_argument("--repeat", type=int, default=5, help="of what goes well")
    parser.add_argument(
        "--services", nargs="+", choices=SHARES, default=list(SHARES), help="of good, bad, …"
    )
    parser.add_argument("--bad", nargs="+", choices=BAD, default=list(BAD), help="versions")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1, help="of the moments of the kills")
    parser.add_argument("--into", type=Path, help="document whose rows are replaced")
    given = parser.parse_args()
    if reason := missing():
        print(reason, file=sys.stderr)
        return 2
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        deployment = Deployment(Path(folder))
        try:
            deployment.install()
            lead(HOST, deployment.gateway[0])
            bench = Bench(
                deployment,
                ClientPool(deployment),
                rate=given.rate,
                services=tuple(given.services),
                bad=tuple(given.bad),
                repeat=given.repeat,
                kills=given.kills,
                seed=given.seed,
            )
            until(lambda: _answers(deployment), "the gateway leads to api")
            for name in given.only:
                for row in EXPERIMENTS[name](bench):
                    rows.append(row)
                    say(f"{row.what}: {row.seen}")
                    _written(rows, given.into)
        finally:
            deployment.close()
            if not os.environ.get("CLUSTER_TEST_KEEP"):
                deployment.remove()
    print(_table(rows))
    return 0 if all(row.holds for row in rows) else 1


def _table(rows: list[Row]) -> str:
    lines = [
        (one.what, one.promised, one.seen if one.holds else f"**NOT HELD** {one.seen}")
        for one in rows
    ]
    return table(("experiment", "promise", "result"), lines)


def _written(rows: list[Row], into: Path | None) -> None:
    """After each row: what was measured is not lost where the rest fails."""
    if into is not None:
        known = between(into, _BEGIN, _END)
        put_between(into, _BEGIN, _END, merged(known, _table(rows)))


def _answers(deployment: Deployment) -> bool:
    with httpx.Client(base_url=deployment.url, verify=deployment.tls, timeout=10) as client:
        return client.get("/health").status_code == 200


if __name__ == "__main__":
    sys.exit(main())
