"""The command `twelvefold rollout`: its options, signals and exit codes.

Large dependencies are imported only when the command runs, to keep `twelvefold --help` fast.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twelvefold.settings.command_line import fail

if TYPE_CHECKING:
    from .arguments import Arguments
    from .engine import RolloutResult
    from .kubernetes import KubernetesCluster, Source
    from .model import Options, Target
    from .progress import Progress

EXIT_PROMOTED, EXIT_ROLLED_BACK, EXIT_REFUSED, EXIT_INCOMPLETE = 0, 1, 2, 3

_HERE = Path()


_Service = Annotated[str, typer.Argument(help="A service with charts in --charts.")]
_To = Annotated[
    str | None,
    typer.Option(help="Tag, digest (sha256:…) or complete image reference.", show_default=False),
]
_Shares = Annotated[
    str, typer.Option(metavar="SHARES", help="Percent of the requests in each step.")
]
_BlueGreen = Annotated[bool, typer.Option("--blue-green", help="Switch all requests at once.")]
_Pause = Annotated[str, typer.Option(help="How long each step is watched.")]
_MaxErrorRatio = Annotated[
    float,
    typer.Option(min=0, max=1, help="Allowed 5xx (failed jobs) above the old version's."),
]
_MaxP99 = Annotated[str, typer.Option(help="Allowed p99 of the response time.")]
_MinRequests = Annotated[int, typer.Option(min=0, help="Requests (jobs) that a verdict needs.")]
_Patience = Annotated[str, typer.Option(help="Limit of a step without enough requests.")]
_ReadyWithin = Annotated[str, typer.Option(help="Limit from a pod's start to readiness.")]
_Check = Annotated[
    str | None, typer.Option(help="Command to run while only `canary: true` reaches it.")
]
_Environment = Annotated[str | None, typer.Option(help="Use the charts' values-ENVIRONMENT.yaml.")]
_Site = Annotated[Path | None, typer.Option(help="Values file of your site; needs --environment.")]
_Values = Annotated[
    list[Path] | None, typer.Option("--values", "-f", help="Values file that overrides those.")
]
_Sets = Annotated[list[str] | None, typer.Option("--set", help="Single value: NAME.NAME=VALUE.")]
_Namespace = Annotated[str, typer.Option("--namespace", "-n")]
_Context = Annotated[str | None, typer.Option(help="Context of the kubeconfig.")]
_Charts = Annotated[Path, typer.Option(help="Folder with charts/ and istio/.")]
_Abort = Annotated[bool, typer.Option("--abort", help="Undo the rollout.")]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the steps; change nothing.")]
_AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")]


def rollout(
    service: _Service,
    *,
    to: _To = None,
    canary: _Shares = "5,25,50,100",
    blue_green: _BlueGreen = False,
    pause: _Pause = "30s",
    max_error_ratio: _MaxErrorRatio = 0.01,
    max_p99: _MaxP99 = "500ms",
    min_requests: _MinRequests = 100,
    patience: _Patience = "10m",
    ready_within: _ReadyWithin = "60s",
    check: _Check = None,
    environment: _Environment = None,
    site: _Site = None,
    values: _Values = None,
    sets: _Sets = None,
    namespace: _Namespace = "twelvefold",
    context: _Context = None,
    charts: _Charts = _HERE,
    abort: _Abort = False,
    dry_run: _DryRun = False,
    as_json: _AsJson = False,
) -> None:
    """Deploy a new version of a service beside the old one, compare both, and promote or roll back.

    Without --environment the release keeps its values and only the image changes. Ctrl-C rolls
    back. If the command is killed, the same command continues where it stopped.

    Exit codes: 0: the new version serves all traffic (with --abort: the old one). 1: the new
    version failed, and the former state is restored. 2: refused, nothing was changed. 3:
    incomplete, repeat the command to continue. docs/guides/rollout.md describes every state.
    """
    from .arguments import Arguments

    arguments = Arguments(
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
    _require_consistent(arguments)
    analysis = _parse_options(
        shares="100" if blue_green else canary,
        pause=pause,
        max_error_ratio=max_error_ratio,
        max_p99=max_p99,
        min_requests=min_requests,
        patience=patience,
        ready_within=ready_within,
        check=check,
    )
    progress = _open_progress(as_json=as_json)
    try:
        code = asyncio.run(_main(arguments, analysis, progress))
    finally:
        progress.close()
    raise typer.Exit(code)


def _require_consistent(arguments: Arguments) -> None:
    from .services import find_services

    service, services = arguments.service, find_services(arguments.charts)
    if service not in services:
        charts = arguments.charts
        choice = f"choose one of {', '.join(services)}" if services else f"{charts} has no charts"
        fail(f"no service {service}: {choice}", EXIT_REFUSED)
    if not arguments.to and not arguments.abort:
        fail("no version: give --to VERSION (or --abort)", EXIT_REFUSED)
    if arguments.site is not None and arguments.environment is None:
        fail("--site needs --environment; use --values for a single file", EXIT_REFUSED)


def _parse_options(
    *,
    shares: str,
    pause: str,
    max_error_ratio: float,
    max_p99: str,
    min_requests: int,
    patience: str,
    ready_within: str,
    check: str | None,
) -> Options:
    from .arguments import parse_duration, parse_shares
    from .canary_analysis import AnalysisLimits
    from .model import Options, RolloutRefused

    try:
        return Options(
            steps=parse_shares(shares),
            window=parse_duration(pause),
            patience=parse_duration(patience),
            limits=AnalysisLimits(max_error_ratio, parse_duration(max_p99), min_requests),
            ready_timeout=parse_duration(ready_within),
            check=check,
        )
    except RolloutRefused as error:
        fail(error.detail, EXIT_REFUSED)


def _open_progress(*, as_json: bool) -> Progress:
    from rich.console import Console

    from .progress import JsonLines, Lines, Screen

    if as_json:
        return JsonLines(sys.stdout)
    console = Console()
    return Screen(console) if console.is_terminal else Lines(sys.stdout)


async def _main(arguments: Arguments, options: Options, progress: Progress) -> int:
    """Run the command, display its end, and return the exit code."""
    from .model import CandidateFailed, ClusterError, Event, RolloutIncomplete, RolloutRefused

    task = asyncio.current_task()
    assert task is not None  # noqa: S101 (asyncio.run creates one)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    outcome: str | None = None
    try:
        result = await _run(arguments, options, progress)
    except RolloutIncomplete as error:
        why, code = error.detail, EXIT_INCOMPLETE
    except CandidateFailed as error:
        why, code = error.detail, EXIT_ROLLED_BACK
    except (RolloutRefused, ClusterError) as error:
        why, code = f"nothing was changed: {error.detail}", EXIT_REFUSED
    except asyncio.CancelledError:
        why, code = "stopped before anything was changed", EXIT_REFUSED
    else:
        if result is None:
            return EXIT_PROMOTED
        is_undone = result.outcome == "undone"
        outcome, why = str(result.outcome), result.why
        code = EXIT_ROLLED_BACK if is_undone and not arguments.abort else EXIT_PROMOTED
        if is_undone:
            why = f"the former state is restored: {why}"
    facts: dict[str, Any] = {"exit_code": code, "outcome": outcome}
    progress.show(Event("ended", f"{arguments.service}: {why}", facts))
    return code


async def _run(arguments: Arguments, options: Options, progress: Progress) -> RolloutResult | None:
    from .arguments import build_target
    from .engine import Rollout
    from .kubernetes import KubernetesCluster
    from .model import Target
    from .services import receives_requests

    is_routed = receives_requests(arguments.charts, arguments.service)
    cluster = KubernetesCluster(arguments.namespace, arguments.context, _find_source(arguments))
    try:
        if arguments.abort:
            no_target = Target(arguments.service, "", {}, is_routed)
            return await Rollout(cluster, no_target, options, progress.show).abort()
        await cluster.require_unowned(arguments.service)
        target = await build_target(cluster, arguments, is_routed=is_routed)
        if arguments.dry_run:
            await _show_plan(cluster, target, options, progress)
            return None
        return await Rollout(cluster, target, options, progress.show).run()
    finally:
        await cluster.aclose()


def _find_source(arguments: Arguments) -> Source:
    from .arguments import load_values
    from .kubernetes import Source

    return Source(
        arguments.charts, load_values(arguments, "istio") if arguments.environment else None
    )


async def _show_plan(
    cluster: KubernetesCluster, target: Target, options: Options, progress: Progress
) -> None:
    """Validate the manifests with Helm and the API server, and display the steps of a run."""
    from .model import Event

    names = target.names
    await cluster.dry_run(target, options.steps[0])
    limits = options.limits
    lines = [
        f"helm upgrade --install {names.canary}: {target.title}, in addition to {names.primary}",
        f"helm test {names.canary}" + (f", then {options.check}" if options.check else ""),
    ]
    duration = f"at least {options.window:.0f} s and {limits.requests} requests or jobs"
    if names.routing:
        lines.insert(1, f"helm upgrade {names.routing}: requests with `canary: true` reach it")
        shares = ", ".join(str(step) for step in options.steps)
        lines.append(
            f"helm upgrade {names.routing}: {shares} % of the requests, each for {duration}"
        )
    else:
        lines.append(f"more pods of {names.canary} for each of {options.steps} %, {duration}")
    lines += [
        (
            f"roll back if errors exceed the old version's by over {limits.error_ratio:.2%}, or "
            f"p99 exceeds {limits.p99 * 1000:.0f} ms and the old version's does not"
        ),
        f"helm upgrade {names.primary}: {target.title}; all traffic goes to the primary",
        f"helm uninstall {names.canary}",
    ]
    for number, line in enumerate(lines, 1):
        progress.show(Event("plan", f"{number}. {line}", {"step": number}))
    progress.show(
        Event("plan", "Helm and the API server accept all of it; nothing was changed", {})
    )
