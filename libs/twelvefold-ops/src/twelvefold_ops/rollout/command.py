"""`twelvefold rollout`: reads what is asked for, runs it, shows it, and ends with a code.

Owns the command line and signals. Nothing heavy is imported before the command runs.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twelvefold.settings.command_line import fail

if TYPE_CHECKING:
    from .engine import RolloutResult
    from .kubernetes import KubernetesCluster, Source
    from .model import Options, Target
    from .progress import Progress

PROMOTED, UNDONE, REFUSED, UNFINISHED = 0, 1, 2, 3

_SERVICES = ("api", "users", "worker")


@dataclass(frozen=True, slots=True)
class _Arguments:
    """What the command line says, but for how the rollout goes."""

    service: str
    to: str
    namespace: str
    context: str | None
    charts: Path
    environment: str | None
    site: Path | None
    values: list[Path]
    sets: list[str]
    abort: bool
    dry_run: bool


def rollout(
    service: Annotated[str, typer.Argument(help="api, users or worker.")],
    *,
    to: Annotated[
        str | None,
        typer.Option(help="Tag, sha256:… or a whole image reference.", show_default=False),
    ] = None,
    canary: Annotated[
        str, typer.Option(metavar="SHARES", help="Percent of the requests, step by step.")
    ] = "5,25,50,100",
    blue_green: Annotated[
        bool, typer.Option("--blue-green", help="All requests at once, instead of step by step.")
    ] = False,
    pause: Annotated[str, typer.Option(help="How long each step is watched.")] = "30s",
    max_error_ratio: Annotated[
        float,
        typer.Option(min=0, max=1, help="Answers of 5xx (failed runs of jobs) beyond the old."),
    ] = 0.01,
    max_p99: Annotated[str, typer.Option(help="p99 that is always good enough.")] = "500ms",
    min_requests: Annotated[
        int, typer.Option(min=0, help="Requests (jobs) of the new version before a verdict.")
    ] = 100,
    patience: Annotated[str, typer.Option(help="How long a step waits for them.")] = "10m",
    ready_within: Annotated[str, typer.Option(help="From a pod's start to readiness.")] = "60s",
    check: Annotated[
        str | None, typer.Option(help="A command that decides while `canary: true` leads there.")
    ] = None,
    environment: Annotated[
        str | None, typer.Option(help="Takes values-ENVIRONMENT.yaml of the charts.")
    ] = None,
    site: Annotated[Path | None, typer.Option(help="Your site file, with --environment.")] = None,
    values: Annotated[
        list[Path] | None, typer.Option("--values", "-f", help="Values over those.")
    ] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", help="NAME.NAME=VALUE.")] = None,
    namespace: Annotated[str, typer.Option("--namespace", "-n")] = "twelvefold",
    context: Annotated[str | None, typer.Option(help="Of kubeconfig.")] = None,
    charts: Annotated[Path, typer.Option(help="Folder with charts/ and istio/.")] = Path(),
    abort: Annotated[bool, typer.Option("--abort", help="Goes back, wherever it stands.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Says what would be done; changes nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Brings a new version of a service into the cluster beside the old one, and judges it.

    Without --environment it keeps the values of the release and changes the image alone. Ctrl-C goes
    back. It may be killed: the same command goes on where that one stopped.

    Ends with 0: the new version serves everybody (with --abort: the old one). 1: it was bad, and
    everything is as before. 2: refused, nothing was changed. 3: neither: repeat the command, and it
    goes on from there. docs/guides/rollout.md has every state.
    """
    from .arguments import duration, shares
    from .canary_analysis import AnalysisLimits
    from .model import Options, RolloutRefused

    if service not in _SERVICES:
        fail(f"there is no service {service}: {', '.join(_SERVICES)}", REFUSED)
    if to is None and not abort:
        fail("say which version: --to VERSION (or --abort)", REFUSED)
    if site is not None and environment is None:
        fail("--site goes with --environment; a single file is --values", REFUSED)
    arguments = _Arguments(
        service=service,
        to=to or "",
        namespace=namespace,
        context=context,
        charts=charts,
        environment=environment,
        site=site,
        values=values or [],
        sets=sets or [],
        abort=abort,
        dry_run=dry_run,
    )
    try:
        options = Options(
            steps=(100,) if blue_green else shares(canary),
            window=duration(pause),
            patience=duration(patience),
            limits=AnalysisLimits(max_error_ratio, duration(max_p99), min_requests),
            ready_within=duration(ready_within),
            check=check,
        )
    except RolloutRefused as error:
        fail(error.detail, REFUSED)
    progress = _progress(as_json=as_json)
    try:
        code = asyncio.run(_main(arguments, options, progress))
    finally:
        progress.close()
    raise typer.Exit(code)


def _progress(*, as_json: bool) -> Progress:
    from rich.console import Console

    from .progress import JsonLines, Lines, Screen

    if as_json:
        return JsonLines(sys.stdout)
    console = Console()
    return Screen(console) if console.is_terminal else Lines(sys.stdout)


async def _main(arguments: _Arguments, options: Options, progress: Progress) -> int:
    """Runs what is asked for and tells how it ended; the exit code."""
    from .model import CandidateFailed, ClusterError, Event, RolloutIncomplete, RolloutRefused

    task = asyncio.current_task()
    assert task is not None  # noqa: S101 (we run in one)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    outcome: str | None = None
    try:
        ended = await _run(arguments, options, progress)
    except RolloutIncomplete as error:
        why, code = error.detail, UNFINISHED
    except CandidateFailed as error:
        why, code = error.detail, UNDONE
    except (RolloutRefused, ClusterError) as error:
        why, code = f"nothing was changed: {error.detail}", REFUSED
    except asyncio.CancelledError:
        why, code = "stopped before anything was changed", REFUSED
    else:
        if ended is None:
            return PROMOTED
        undone = ended.outcome == "undone"
        outcome, why = str(ended.outcome), ended.why
        code = UNDONE if undone and not arguments.abort else PROMOTED
        if undone:
            why = f"everything is as before: {why}"
    facts: dict[str, Any] = {"exit_code": code, "outcome": outcome}
    progress.take(Event("ended", f"{arguments.service}: {why}", facts))
    return code


async def _run(arguments: _Arguments, options: Options, progress: Progress) -> RolloutResult | None:
    from .engine import Rollout
    from .kubernetes import KubernetesCluster
    from .model import Target

    cluster = KubernetesCluster(arguments.namespace, arguments.context, _source(arguments))
    try:
        if arguments.abort:
            nowhere = Target(arguments.service, "", {})
            return await Rollout(cluster, nowhere, options, progress.take).abort()
        target = await _target(cluster, arguments)
        if arguments.dry_run:
            await _planned(cluster, target, options, progress)
            return None
        return await Rollout(cluster, target, options, progress.take).run()
    finally:
        await cluster.aclose()


def _source(arguments: _Arguments) -> Source:
    from .kubernetes import Source

    return Source(arguments.charts, _files(arguments, "istio") if arguments.environment else None)


def _files(arguments: _Arguments, kind: str) -> dict[str, Any]:
    """Values of an environment, with the site's."""
    from .arguments import merged

    files = [arguments.charts / kind / arguments.service / f"values-{arguments.environment}.yaml"]
    if arguments.site is not None:
        files.append(arguments.site)
    return merged({}, files)


async def _target(cluster: KubernetesCluster, arguments: _Arguments) -> Target:
    from .arguments import image, merged
    from .model import Target

    chosen = image(arguments.to)
    if arguments.environment is not None:
        base = _files(arguments, "charts")
    else:
        base = await _present_values(cluster, arguments)
    values = merged(base, arguments.values, arguments.sets, {"image": chosen})
    return Target(arguments.service, f"version {arguments.to}", values)


async def _present_values(cluster: KubernetesCluster, arguments: _Arguments) -> dict[str, Any]:
    """Of the release as it is, or was when the rollout that is under way began."""
    from .model import PRIMARY_BEFORE, ReleaseNames, RolloutRefused

    names = ReleaseNames(arguments.service)
    second = await cluster.release(names.canary)
    if second is not None and PRIMARY_BEFORE in second.labels:
        return await cluster.values(names.primary, int(second.labels[PRIMARY_BEFORE]))
    primary = await cluster.release(names.primary)
    if primary is None or primary.deployed is None:
        raise RolloutRefused(
            f"there is no release {names.primary} in {arguments.namespace} to take values from: say "
            "--environment (and --site), or another --namespace"
        )
    return await cluster.values(names.primary, primary.deployed)


async def _planned(
    cluster: KubernetesCluster, target: Target, options: Options, progress: Progress
) -> None:
    """What a run would do, in its order, once Helm and the API server have taken all of it."""
    from .model import Event, ReleaseNames

    names = ReleaseNames(target.service)
    await cluster.dry_run(target, options.steps[0])
    limits = options.limits
    lines = [
        f"helm upgrade --install {names.canary}: {target.title}, beside {names.primary}",
        f"helm test {names.canary}" + (f", then {options.check}" if options.check else ""),
    ]
    judged = f"at least {options.window:.0f} s and {limits.requests} requests or jobs"
    if names.routing:
        lines.insert(1, f"helm upgrade {names.routing}: `canary: true` leads there")
        shares = ", ".join(str(step) for step in options.steps)
        lines.append(f"helm upgrade {names.routing}: {shares} % of the requests, each for {judged}")
    else:
        lines.append(f"more pods of {names.canary} for each of {options.steps} %, {judged}")
    lines += [
        (
            f"back where more than {limits.error_ratio:.2%} beyond the old one fail, "
            f"or p99 is over {limits.p99 * 1000:.0f} ms and the old one's is not"
        ),
        f"helm upgrade {names.primary}: {target.title}; all traffic goes to the primary",
        f"helm uninstall {names.canary}",
    ]
    for number, line in enumerate(lines, 1):
        progress.take(Event("plan", f"{number}. {line}", {"step": number}))
    progress.take(Event("plan", "Helm and the API server take all of it; nothing was changed", {}))
