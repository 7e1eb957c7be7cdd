"""Pictures of the dashboards for the docs, drawn from their JSON and from real data.

    python -m tests.observability.pictures CHECKOUT [--minutes 6]

CHECKOUT has a running suite (`make up`). Its processes are scraped by a real Prometheus (on the
PATH) with the charts' rules while visitors use the suite; then the expressions of every panel are
evaluated and drawn. The pictures are not Grafana's: only definitions and values are the same.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import yaml
from tests.browser import save_screenshot
from tests.e2e.console_visits import Visitor
from tests.observability.dashboards import FOLDER
from tests.observability.dashboards_page import PICTURES
from tests.observability.drawing import Series, page
from tests.observability.rules import CHARTS, rule_files

from twelvefold_dev.system.sockets import listen_on_first_free, url_of

_SCRAPE_INTERVAL = "5s"
_STEP = 5  # seconds between two points
# Values of the variables that Grafana sets.
_VARIABLES = {"$__rate_interval": "30s", "$__range": "10m", "$service": "api"}
_SIZE = (1240, 800)
_VISITORS = 3


def configuration(checkout: Path, directory: Path) -> Path:
    """Write Prometheus' configuration for the processes of a running suite."""
    endpoints = json.loads((checkout / ".twelvefold/endpoints.json").read_text())
    rules = [str(file) for chart in CHARTS for file in rule_files(chart)]
    jobs = [
        {
            "job_name": service,
            "static_configs": [
                {
                    "targets": [urlsplit(url).netloc],
                    "labels": {"pod": f"{service}-1", "app_kubernetes_io_part_of": "twelvefold"},
                }
            ],
        }
        for service, url in endpoints["management"].items()
    ]
    intervals = {"scrape_interval": _SCRAPE_INTERVAL, "evaluation_interval": _SCRAPE_INTERVAL}
    content = {"global": intervals, "rule_files": rules, "scrape_configs": jobs}
    path = directory / "prometheus.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@asynccontextmanager
async def prometheus(checkout: Path) -> AsyncIterator[str]:
    """Run a Prometheus for the suite and yield its URL."""
    program = shutil.which("prometheus")
    if program is None:
        raise SystemExit("no prometheus on the PATH: apt-get install prometheus")
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        with listen_on_first_free((0,)) as listening:
            address = urlsplit(url_of(listening)).netloc
        process = await asyncio.create_subprocess_exec(
            program,
            f"--config.file={configuration(checkout, directory)}",
            f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address={address}",
            "--log.level=error",
        )
        try:
            yield f"http://{address}"
        finally:
            process.terminate()
            await process.wait()


async def visit(checkout: Path, seconds: float) -> None:
    """Use the suite as a few visitors do, for so many seconds."""
    endpoints = json.loads((checkout / ".twelvefold/endpoints.json").read_text())
    deadline = time.monotonic() + seconds

    async def visitor() -> None:
        while time.monotonic() < deadline:
            with suppress(httpx.HTTPError, LookupError):  # a limit was reached: another visit
                async with httpx.AsyncClient(base_url=endpoints["api"], timeout=30) as client:
                    await Visitor(client, [], lambda: False, uploads=True).visit()
            await asyncio.sleep(0.5)

    await asyncio.gather(*(visitor() for _ in range(_VISITORS)))


async def evaluate(
    client: httpx.AsyncClient, panel: dict[str, Any], start: float, end: float
) -> list[Series]:
    """Return the lines of a panel."""
    lines = []
    for target in panel.get("targets", ()):
        expression = target["expr"]
        for name, value in _VARIABLES.items():
            expression = expression.replace(name, value)
        parameters: dict[str, Any] = {
            "query": expression, "start": start, "end": end, "step": _STEP
        }  # fmt: skip
        response = await client.get("/api/v1/query_range", params=parameters)
        for result in response.raise_for_status().json()["data"]["result"]:
            legend = target["legendFormat"]
            for label, value in result["metric"].items():
                legend = legend.replace("{{" + label + "}}", value)
            points = [(float(at), float(value)) for at, value in result["values"]]
            lines.append(Series(legend, points))
    return lines


async def main(checkout: Path, minutes: float) -> None:
    """Write the picture of every dashboard."""
    from playwright.async_api import async_playwright

    async with prometheus(checkout) as url:
        start = time.time()
        await visit(checkout, minutes * 60)
        end = time.time()
        async with (
            httpx.AsyncClient(base_url=url, timeout=30) as client,
            async_playwright() as playwright,
        ):
            browser = await playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
            tab = await browser.new_page(viewport={"width": _SIZE[0], "height": _SIZE[1]})
            for file in sorted(FOLDER.glob("*.json")):
                board = json.loads(file.read_text())
                values = {
                    panel["id"]: await evaluate(client, panel, start, end)
                    for panel in board["panels"]
                }
                await tab.set_content(page(board, values, start, end))
                save_screenshot(await tab.screenshot(full_page=True), PICTURES / f"{file.stem}.png")
            await browser.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--minutes", type=float, default=6)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.checkout, arguments.minutes))
