"""The command `twelvefold rollout`: its options, signals, and exit codes.

Large dependencies are imported only when the command runs, to keep `twelvefold --help` fast.
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

EXIT_PROMOTED, EXIT_ROLLED_BACK, EXIT_REFUSED, EXIT_INCOMPLETE = 0, 1, 2, 3


@dataclass(frozen=True, slots=True)
class _Arguments:
    """The command's arguments, without those in `Options`."""

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
    service: Annotated[str, typer.Argument(help="A service with charts in --charts.")],
    *,
    to: Annotated[
        str | None,
        typer.Option(
            help="Tag, digest (sha256:…) or complete image reference.", show_default=False
        ),
    ] = None,
    canary: Annotated[
        str, typer.Option(metavar="SHARES", help="Percent of the requests in each step.")
    ] = "5,25,50,100",
    blue_green: Annotated[
        bool, typer.Option("--blue-green", help="Switch all requests at once.")
    ] = False,
    pause: Annotated[str, typer.Option(help="How long each step is watched.")] = "30s",
    max_error_ratio: Annotated[
        float,
        typer.Option(min=0, max=1, help="Allowed 5xx (failed jobs) above the old version's."),
    ] = 0.01,
    max_p99: Annotated[str, typer.Option(help="Allowed p99 of the response time.")] = "500ms",
    min_requests: Annotated[
        int, typer.Option(min=0, help="Requests (jobs) that a verdict needs.")
    ] = 100,
    patience: Annotated[str, typer.Option(help="Limit of a step without enough requests.")] = "10m",
    ready_within: Annotated[
        str, typer.Option(help="Limit from a pod's start to readiness.")
    ] = "60s",
    check: Annotated[
        str | None, typer.Option(help="Command to run while only `canary: true` reaches it.")
    ] = None,
    environment: Annotated[
        str | None, typer.Option(help="Use the charts' values-ENVIRONMENT.yaml.")
    ] = None,
    site: Annotated[
        Path | None, typer.Option(help="Values file of your site; needs --environment.")
    ] = None,
    values: Annotated[
        list[Path] | None, typer.Option("--values", "-f", help="Values file that overrides those.")
    ] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", help="Single value: NAME.NAME=VALUE.")
    ] = None,
    namespace: Annotated[str, typer.Option("--namespace", "-n")] = "twelvefold",
    context: Annotated[str | None, typer.Option(help="Context of the kubeconfig.")] = None,
    charts: Annotated[Path, typer.Option(help="Folder with charts/ and istio/.")] = Path(),
    abort: Annotated[bool, typer.Option("--abort", help="Undo the rollout.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the steps; change nothing.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per line.")
    ] = False,
) -> None:
    """Deploy a new version of a service beside the old one, compare both, and promote or roll back.

    Without --environment the release keeps its values and only the image changes. Ctrl-C rolls
    back. If the command is killed, the same command continues where it stopped.

    Exit codes: 0: the new version serves all traffic (with --abort: the old one). 1: the new
    version failed, and the former state is restored. 2: refused, nothing was changed. 3:
    incomplete, repeat the command to continue. docs/guides/rollout.md describes every state.
    """
    from .arguments import parse_duration, parse_shares
    from .canary_analysis import AnalysisLimits
    from .model import Options, RolloutRefused
    from .services import find_services

    services = find_services(charts)
    if service not in services:
        choice = f"choose one of {', '.join(services)}" if services else f"{charts} has no charts"
        fail(f"no service {service}: {choice}", EXIT_REFUSED)
    if to is None and not abort:
        fail("no version: give --to VERSION (or --abort)", EXIT_REFUSED)
    if site is not None and environment is None:
        fail("--site needs --environment; use --values for a single file", EXIT_REFUSED)
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
            steps=(100,) if blue_green else parse_shares(canary),
            window=parse_duration(pause),
            patience=parse_duration(patience),
            limits=AnalysisLimits(max_error_ratio, parse_duration(max_p99), min_requests),
            ready_timeout=parse_duration(ready_within),
            check=check,
        )
    except RolloutRefused as error:
        fail(error.detail, EXIT_REFUSED)
    progress = _open_progress(as_json=as_json)
    try:
        code = asyncio.run(_main(arguments, options, progress))
    finally:
        progress.close()
    raise typer.Exit(code)


def _open_progress(*, as_json: bool) -> Progress:
    from rich.console import Console

    from .progress import JsonLines, Lines, Screen

    if as_json:
        return JsonLines(sys.stdout)
    console = Console()
    return Screen(console) if console.is_terminal else Lines(sys.stdout)


async def _main(arguments: _Arguments, options: Options, progress: Progress) -> int:
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


async def _run(arguments: _Arguments, options: Options, progress: Progress) -> RolloutResult | None:
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
        target = await _build_target(cluster, arguments, is_routed=is_routed)
        if arguments.dry_run:
            await _show_plan(cluster, target, options, progress)
            return None
        return await Rollout(cluster, target, options, progress.show).run()
    finally:
        await cluster.aclose()


def _find_source(arguments: _Arguments) -> Source:
    from .kubernetes import Source

    return Source(
        arguments.charts, _load_values(arguments, "istio") if arguments.environment else None
    )


def _load_values(arguments: _Arguments, kind: str) -> dict[str, Any]:
    """Return the values of the environment, with those of the site."""
    from .arguments import merge_values

    files = [arguments.charts / kind / arguments.service / f"values-{arguments.environment}.yaml"]
    if arguments.site is not None:
        files.append(arguments.site)
    return merge_values({}, files)


async def _build_target(
    cluster: KubernetesCluster, arguments: _Arguments, *, is_routed: bool
) -> Target:
    from .arguments import merge_values, parse_image
    from .model import Target

    image = parse_image(arguments.to)
    if arguments.environment is not None:
        base = _load_values(arguments, "charts")
    else:
        base = await _read_present_values(cluster, arguments)
    values = merge_values(base, arguments.values, arguments.sets, {"image": image})
    return Target(arguments.service, f"version {arguments.to}", values, is_routed)


async def _read_present_values(cluster: KubernetesCluster, arguments: _Arguments) -> dict[str, Any]:
    """Return the values of the primary release before the rollout in progress, if there is one."""
    from .model import PRIMARY_BEFORE, ReleaseNames, RolloutRefused

    names = ReleaseNames(arguments.service)
    canary = await cluster.release(names.canary)
    if canary is not None and PRIMARY_BEFORE in canary.labels:
        return await cluster.values(names.primary, int(canary.labels[PRIMARY_BEFORE]))
    primary = await cluster.release(names.primary)
    if primary is None or primary.deployed is None:
        raise RolloutRefused(
            f"no release {names.primary} in {arguments.namespace} has values to reuse: give "
            "--environment (and --site), or another --namespace"
        )
    return await cluster.values(names.primary, primary.deployed)


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
