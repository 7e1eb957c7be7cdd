"""One case of an alert: samples for which it fires, and for which not; and cases of many services.

Samples are in promtool's notation, one a minute: `0+60x20` begins at 0 and grows by 60, 20 times.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Case:
    """`at` is the time at which both sets of samples are evaluated."""

    alert: str
    at: str
    fires: dict[str, str]
    text: str
    quiet: dict[str, str]
    labels: dict[str, str] = field(default_factory=dict)


def requests(job: str, good: str, bad: str) -> dict[str, str]:
    """Samples of a service's requests that succeed and that fail."""
    where = f'job="{job}",handler="/api/v1/users/me",method="GET"'
    return {
        f'http_requests_total{{{where},status="200"}}': good,
        f'http_requests_total{{{where},status="503"}}': bad,
    }


def down(job: str) -> Case:
    """The case of `<Job>Down`: no process of a service can be scraped."""
    return Case(
        f"{job.capitalize()}Down",
        at="10m",
        fires={f'up{{job="{job}",pod="a"}}': "0x20"},
        text=f"Every {job} pod is down, or its PodMonitor matches none.",
        quiet={f'up{{job="{job}",pod="a"}}': "0x20", f'up{{job="{job}",pod="b"}}': "1x20"},
    )
