"""Panels, queries and dashboards in one style, built with Grafana's Foundation SDK.

Owns the look of a panel; `dashboards` owns the content.
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
INTERVAL = "$__rate_interval"
# The label of every pod of the suite, which the PodMonitors pass on.
ALL_JOBS = 'app_kubernetes_io_part_of="twelvefold"'
SELECTED = 'job="$service"'
PUBLIC_ROUTES = f'{ALL_JOBS},handler!~"/internal/.*"'
REQUESTS = "http_requests_total"
LATENCY = "http_request_duration_seconds"


def _query(expression: str, legend: str, reference: str = "A") -> Dataquery:
    query = Dataquery().ref_id(reference).expr(expression).legend_format(legend).range()
    # Only buckets carry exemplars.
    return query.exemplar("_bucket" in expression)


def series(
    title: str,
    *queries: tuple[str, str],
    unit: str = "short",
    about: str = "",
    width: int = 8,
) -> Series:
    """Return lines over time; `queries` are pairs of expression and legend."""
    panel = (
        Series()
        .title(title)
        .description(about)
        .datasource(SOURCE)
        .unit(unit)
        .min(0)
        .span(width)
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
    unit: str = "short",
    limits: Sequence[tuple[float, str]] = (),
    below: str = "green",
    width: int = 4,
    about: str = "",
) -> Stat:
    """Return one number; its colour is `below`, and from each of `limits` on that limit's."""
    steps = [Threshold(color=below), *(Threshold(value=at, color=c) for at, c in limits)]
    return (
        Stat()
        .title(title)
        .description(about)
        .datasource(SOURCE)
        .unit(unit)
        .span(width)
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


def add_rows(board: Dashboard, rows: Mapping[str, Sequence[Series | Stat]]) -> Dashboard:
    """Return `board` with rows of panels; panels under an empty title come first, without a row."""
    numbers = count(1)
    for title, panels in rows.items():
        if title:
            board = board.with_row(Row(title).id(next(numbers)))
        for panel in panels:
            board = board.with_panel(panel.id(next(numbers)))
    return board


def per_second(metric: str, where: str, by: str) -> str:
    return f"sum by ({by}) (rate({metric}{{{where}}}[{INTERVAL}]))"


def utilization(where: str, by: str) -> str:
    return f"sum by ({by}) (pool_in_use{{{where}}}) / sum by ({by}) (pool_size{{{where}}})"


def quantile(share: float, metric: str, where: str, by: str = "") -> str:
    labels = f"{by}, le" if by else "le"
    rate = f"rate({metric}_bucket{{{where}}}[{INTERVAL}])"
    return f"histogram_quantile({share}, sum by ({labels}) ({rate}))"


def error_ratio(where: str, by: str) -> str:
    failed = per_second(REQUESTS, where + ',status=~"5.."', by)
    return f"{failed} / {per_second(REQUESTS, where, by)}"
