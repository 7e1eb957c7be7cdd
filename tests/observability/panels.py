"""Panels, queries and boards in our style, on Grafana's own Foundation SDK.

Owns how a panel looks; what is shown is `dashboards`'.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from string import ascii_uppercase

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders.dashboard import (
    Dashboard,
    DatasourceVariable,
    Row,
    ThresholdsConfig,
)
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.stat import Panel as Stat
from grafana_foundation_sdk.builders.timeseries import Panel as Series
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
)

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
EVERY = "$__rate_interval"
ANY = 'job=~"api|users|worker"'
ONE = 'job="$service"'
PUBLIC = 'job="api",handler!~"/internal/.*"'
REQUESTS = "http_requests_total"
LATENCY = "http_request_duration_seconds"


def _query(expression: str, legend: str, reference: str = "A") -> Dataquery:
    query = Dataquery().ref_id(reference).expr(expression).legend_format(legend).range()
    # Only these carry trace ids.
    return query.exemplar("_bucket" in expression)


def series(
    title: str,
    *queries: tuple[str, str],
    transaction: str = "short",
    about: str = "",
    wide: int = 8,
) -> Series:
    """Lines over time; `queries` are expressions and legends."""
    panel = (
        Series()
        .title(title)
        .description(about)
        .datasource(SOURCE)
        .unit(transaction)
        .min(0)
        .span(wide)
        .height(7)
        .line_width(1)
        .fill_opacity(8)
        .legend(
            common_builders.VizLegendOptions()
            .display_mode(common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(
            common_builders.VizTooltipOptions()
            .mode(common.TooltipDisplayMode.MULTI)
            .sort(common.SortOrder.DESCENDING)
        )
    )
    for reference, (expression, legend) in zip(ascii_uppercase, queries, strict=False):
        panel = panel.with_target(_query(expression, legend, reference))
    return panel


def stat(
    title: str,
    expression: str,
    *,
    transaction: str = "short",
    limits: Sequence[tuple[float, str]] = (),
    below: str = "green",
    wide: int = 4,
    about: str = "",
) -> Stat:
    """One number, coloured from each of `limits` on, before the first in `below`."""
    steps = [Threshold(color=below), *(Threshold(value=at, color=c) for at, c in limits)]
    return (
        Stat()
        .title(title)
        .description(about)
        .datasource(SOURCE)
        .unit(transaction)
        .span(wide)
        .height(4)
        .color_mode(common.BigValueColorMode.VALUE)
        .graph_mode(common.BigValueGraphMode.AREA)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
        .with_target(_query(expression, ""))
    )


def board(uid: str, title: str, about: str) -> Dashboard:
    return (
        Dashboard(f"Twelvefold: {title}")
        .uid(f"twelvefold-{uid}")
        .description(about)
        .tags(["twelvefold"])
        .readonly()
        .timezone("browser")
        .time("now-3h", "now")
        .refresh("30s")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(DatasourceVariable("datasource").label("Data source").type("prometheus"))
    )


def filled(board: Dashboard, rows: Mapping[str, Sequence[Series | Stat]]) -> Dashboard:
    """`board` with rows of panels; a row without a title stands at the top, open."""
    numbers = count(1)
    for title, panels in rows.items():
        if title:
            board = board.with_row(Row(title).id(next(numbers)))
        for panel in panels:
            board = board.with_panel(panel.id(next(numbers)))
    return board


def per_second(metric: str, where: str, by: str) -> str:
    return f"sum by ({by}) (rate({metric}{{{where}}}[{EVERY}]))"


def used(where: str, by: str) -> str:
    return f"sum by ({by}) (pool_in_use{{{where}}}) / sum by ({by}) (pool_size{{{where}}})"


def quantile(share: float, metric: str, where: str, by: str = "") -> str:
    labels = f"{by}, le" if by else "le"
    rate = f"rate({metric}_bucket{{{where}}}[{EVERY}])"
    return f"histogram_quantile({share}, sum by ({labels}) ({rate}))"


def faults(where: str, by: str) -> str:
    failed = per_second(REQUESTS, where + ',status=~"5.."', by)
    return f"{failed} / {per_second(REQUESTS, where, by)}"
