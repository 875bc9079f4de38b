"""Results as people read them: Markdown tables, and line charts in SVG written by hand (no plotting library).

``python -m benchmarks.report RESULTS.json`` prints the tables of an old run and writes its charts beside it.
"""

import json
import math
import sys
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Final, cast

from benchmarks.results import Results, TargetResult, is_ours, is_void, median, median_of

COLOURS: Final = ("#1b6ca8", "#d1495b", "#2e8b57", "#edae49", "#7b4fa3", "#8d6e63", "#607d8b", "#00a2a2")
WIDTH: Final = 760
HEIGHT: Final = 420
LEFT, RIGHT, TOP, BOTTOM = 80, 170, 44, 52

Points = Sequence[tuple[float, float]]


def number(value: float) -> str:
    """Three significant digits, thousands apart, and a dash for what is not known.

    >>> [number(v) for v in (math.nan, 0.0, 0.04567, 3.14159, 412345.0)]
    ['–', '0', '0.0457', '3.14', '412,000']
    """
    if math.isnan(value):
        return "–"
    if value == 0:
        return "0"
    digits = 2 - math.floor(math.log10(abs(value)))
    rounded = round(value, digits)
    return f"{rounded:,.{max(digits, 0)}f}"


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first to the right."""
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def added(result: TargetResult, direct: TargetResult, cell: str, metric: str) -> float:
    """What a target adds to the direct call, in milliseconds: the difference of the medians."""
    return median_of(result, cell, metric) - median_of(direct, cell, metric)


def target_table(targets: dict[str, TargetResult]) -> str:
    """One row for each target, medians over the rounds; only the columns somebody has."""
    direct = targets["direct"]
    requests = sorted({c for t in targets.values() for c in t["cells"] if c[0] == "J"}, key=lambda c: int(c[1:]))
    columns: list[tuple[str, Callable[[TargetResult], float]]] = [
        *((f"req/s c{c[1:]}", lambda t, c=c: median_of(t, c, "rps")) for c in requests),
        ("added p50 ms", lambda t: added(t, direct, "J1", "p50")),
        ("added p99 ms", lambda t: added(t, direct, "J1", "p99")),
        ("idle: added p50", lambda t: added(t, direct, "L", "p50")),
        ("idle: added p99", lambda t: added(t, direct, "L", "p99")),
        ("CPU s/1k req", lambda t: median_of(t, "J64", "cpu_per_1000")),
        ("fast ev/s", lambda t: median_of(t, "SF16", "events_s")),
        ("split ev/s", lambda t: median_of(t, "SS16", "events_s")),
        ("split CPU s/100k", lambda t: median_of(t, "SS16", "cpu_per_100k")),
        ("translated fast ev/s", lambda t: median_of(t, "TF16", "events_s")),
        ("translated split ev/s", lambda t: median_of(t, "TS16", "events_s")),
        ("translated CPU s/100k", lambda t: median_of(t, "TS16", "cpu_per_100k")),
    ]
    return _measured_table(targets, columns)


def process_table(targets: dict[str, TargetResult]) -> str:
    """The 500 paced streams, memory and the start: one row for each target."""
    columns: list[tuple[str, Callable[[TargetResult], float]]] = [
        ("P500 wall s", lambda t: median_of(t, "P500", "wall")),
        ("TTFT p50 ms", lambda t: median_of(t, "P500", "ttft")),
        ("TTFT p99 ms", lambda t: median_of(t, "P500", "ttft99")),
        ("CPU s/100k ev", lambda t: median_of(t, "P500", "cpu_per_100k")),
        ("PSS before MB", lambda t: _memory(t, "rss_before_mb")),
        ("PSS peak MB", lambda t: _memory(t, "rss_peak_mb")),
        ("KB/stream", lambda t: median_of(t, "P500", "kb_per_stream")),
        ("PSS idle MB", lambda t: t.get("rss_idle_mb", math.nan)),
        ("to listening s", lambda t: median(t["cold_listen_s"])),
        ("to first 200 s", lambda t: median(t["cold_start_s"])),
    ]
    return _measured_table(targets, columns)


def _memory(result: TargetResult, key: str) -> float:
    cells = [c for c in result["cells"].get("P500", []) if not is_void(c)]
    return median(cast(float, c.get(key, math.nan)) for c in cells)


def _measured_table(
    targets: dict[str, TargetResult], columns: Sequence[tuple[str, Callable[[TargetResult], float]]]
) -> str:
    measured = {name: t for name, t in targets.items() if t["cells"]}
    kept = [(head, value) for head, value in columns if any(not math.isnan(value(t)) for t in measured.values())]
    rows = [[name, *(number(value(t)) for _, value in kept)] for name, t in measured.items()]
    return markdown_table(["target", *(head for head, _ in kept)], rows)


def goal_table(results: Results) -> str:
    """The ratios that have a goal, and how they stand."""
    rows = []
    for v in results["goals"]:
        spread = results["ratios"][f"{v['target']} {v['id']}/{v['versus']}"]
        between = f"{number(spread['min'])} to {number(spread['max'])}"
        names = [v["target"], v["id"], v["versus"]]
        rows.append([*names, number(v["value"]), between, number(v["gate"]), number(v["goal"]), v["verdict"]])
    return markdown_table(["target", "figure", "versus", "ratio", "rounds", "gate", "goal", "stands at"], rows)


# Absolute figures we aim at, on two cores with mock, load and gateway together. They are told, and never fail a run.
AIMS: Final[tuple[tuple[str, float, bool, Callable[[TargetResult, TargetResult], float]], ...]] = (
    ("added latency p50 at one connection, ms", 0.25, False, lambda t, d: added(t, d, "J1", "p50")),
    ("requests/s at 64 connections", 10_000, True, lambda t, d: median_of(t, "J64", "rps")),
    ("events/s, fast, 16 streams", 400_000, True, lambda t, d: median_of(t, "SF16", "events_s")),
    ("translated events/s (Claude to Chat), fast, 16 streams", 150_000, True, lambda t, d: median_of(t, "TF16", "events_s")),
    ("translated events/s (Claude to Chat), split, 16 streams", 150_000, True, lambda t, d: median_of(t, "TS16", "events_s")),
    ("CPU seconds for 100,000 events, 500 paced streams", 2.5, False, lambda t, d: median_of(t, "P500", "cpu_per_100k")),
    ("KB for each open stream", 40, False, lambda t, d: median_of(t, "P500", "kb_per_stream")),
    ("start to listening, s", 0.3, False, lambda t, d: median(t["cold_listen_s"])),
    ("PSS idle, MB", 60, False, lambda t, d: t.get("rss_idle_mb", math.nan)),
)  # fmt: skip


def aim_table(targets: dict[str, TargetResult]) -> str:
    """The absolute aims, for our own targets."""
    ours = {name: t for name, t in targets.items() if is_ours(name) and t["cells"]}
    rows = []
    for what, aim, more_is_better, value in AIMS:
        row = [what, f"{'≥' if more_is_better else '≤'} {number(aim)}"]
        for result in ours.values():
            found = value(result, targets["direct"])
            is_met = found >= aim if more_is_better else found <= aim
            row.append(number(found) + ("" if math.isnan(found) else " ✓" if is_met else " ✗"))
        rows.append(row)
    return markdown_table(["aim", "", *ours], rows) if ours else ""


def markdown(results: Results) -> str:
    """The whole report."""
    meta, targets = results["meta"], results["targets"]
    parts = [
        f"# Dragoman over loopback, {meta['utc']}",
        f"{meta['cores']} cores, {meta['cpu']}, Python {meta['python']}, git {meta['git']}, plan `{meta['plan']}`, "
        f"driver `{meta['driver']}`, {meta['secs']:.0f} s. Medians of the rounds; quote the ratios.",
        target_table(targets),
        process_table(targets),
    ]
    if results["goals"]:
        parts += ["Ratios within the run:", goal_table(results)]
    if aims := aim_table(targets):
        parts += ["Aims on such a machine (told, never a gate):", aims]
    if meta["cut"]:
        parts.append("The time allowed ran out: some rounds are missing.")
    parts += [f"- {name} skipped: {t['skipped']}" for name, t in targets.items() if "skipped" in t]
    voids = [f"{name} {c} ({sum(map(is_void, cells))} of {len(cells)})"
             for name, t in targets.items() for c, cells in t["cells"].items() if any(map(is_void, cells))]  # fmt: skip
    if voids:
        parts.append("Void, for something failed in them: " + ", ".join(voids))
    return "\n\n".join(parts) + "\n"


def curve(
    targets: dict[str, TargetResult], kind: str, value: Callable[[TargetResult, str], float]
) -> dict[str, Points]:
    """For each target, a figure of the cells `kind` (``SS``, ``P``) against their number of streams."""
    series: dict[str, Points] = {}
    for name, result in targets.items():
        cells = {int(c.removeprefix(kind)): c for c in result["cells"] if c.removeprefix(kind).isdigit()}
        points = [(float(n), value(result, cells[n])) for n in sorted(cells)]
        points = [(x, y) for x, y in points if not math.isnan(y)]
        if points:
            series[name] = points
    return series


def write_charts(results: Results, stem: Path) -> list[Path]:
    """Write ``STEM-events.svg`` and ``STEM-memory.svg``; those with fewer than two points on a line are left out."""

    def peak(result: TargetResult, cell: str) -> float:
        return median(c.get("rss_peak_mb", math.nan) for c in result["cells"][cell] if not is_void(c))

    targets = results["targets"]
    memory = curve(targets, "P", peak)
    for name, points in memory.items():
        if "rss_idle_mb" in targets[name]:
            memory[name] = [(0.0, targets[name]["rss_idle_mb"]), *points]
    events = curve(targets, "SS", lambda result, cell: median_of(result, cell, "events_s"))
    charts = {
        "events": (events, "Streamed events/s (split)", "events/s", True),
        "memory": (memory, "Memory with open paced streams", "PSS, MB", False),
    }
    written = []
    for name, (series, title, y_label, logarithmic) in charts.items():
        if any(len(points) > 1 for points in series.values()):
            path = stem.with_name(f"{stem.name}-{name}.svg")
            chart = line_chart(series, title=title, x_label="streams", y_label=y_label, logarithmic=logarithmic)
            path.write_text(chart, encoding="utf-8")
            written.append(path)
    return written


def line_chart(series: dict[str, Points], *, title: str, x_label: str, y_label: str, logarithmic: bool) -> str:
    """An SVG line chart.

    Args:
        series: A name for the legend -> its points, x ascending.
        title: Above.
        x_label: Below.
        y_label: At the left.
        logarithmic: Both axes; every number must be positive. Otherwise both are linear and begin at 0.

    """
    xs = [x for points in series.values() for x, _ in points]
    ys = [y for points in series.values() for _, y in points]
    x_ticks, y_ticks = (_ticks(v, logarithmic=logarithmic) for v in (xs, ys))
    x_at = _scale(x_ticks, LEFT, WIDTH - RIGHT, logarithmic=logarithmic)
    y_at = _scale(y_ticks, HEIGHT - BOTTOM, TOP, logarithmic=logarithmic)
    middle = (LEFT + WIDTH - RIGHT) / 2
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{middle:.0f}" y="24" text-anchor="middle" font-size="15">{escape(title)}</text>',
        f'<text x="{middle:.0f}" y="{HEIGHT - 12}" text-anchor="middle">{escape(x_label)}</text>',
        f'<text transform="translate(18 {(TOP + HEIGHT - BOTTOM) / 2:.0f}) rotate(-90)" text-anchor="middle">{escape(y_label)}</text>',
    ]
    for tick in x_ticks:
        x = x_at(tick)
        out.append(f'<path d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#eee"/>')
        out.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{_short(tick)}</text>')
    for tick in y_ticks:
        y = y_at(tick)
        out.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        out.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_short(tick)}</text>')
    for number_of, (name, points) in enumerate(series.items()):
        colour = COLOURS[number_of % len(COLOURS)]
        path = " ".join(f"{x_at(x):.1f},{y_at(y):.1f}" for x, y in points)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'<circle cx="{x_at(x):.1f}" cy="{y_at(y):.1f}" r="3" fill="{colour}"/>' for x, y in points]
        y = TOP + 10 + 18 * number_of
        out.append(f'<rect x="{WIDTH - RIGHT + 14}" y="{y - 9}" width="12" height="12" fill="{colour}"/>')
        out.append(f'<text x="{WIDTH - RIGHT + 32}" y="{y + 2}">{escape(name)}</text>')
    return "\n".join([*out, "</svg>", ""])


def _ticks(values: Sequence[float], *, logarithmic: bool) -> list[float]:
    """Round numbers that enclose the values: 1, 10, 100 ... or about five equal steps from 0."""
    top = max(values)
    if logarithmic:
        first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(top))
        return [10.0**power for power in range(first, max(last, first + 1) + 1)]
    step = 10.0 ** math.floor(math.log10(top / 5 or 1))
    step *= next(factor for factor in (1, 2, 5, 10) if top / (step * factor) <= 6)
    return [step * n for n in range(math.ceil(top / step) + 1)]


def _scale(ticks: Sequence[float], start: float, end: float, *, logarithmic: bool) -> Callable[[float], float]:
    """From a value to its place between `start` and `end`."""
    low, high = (math.log10(t) if logarithmic else t for t in (ticks[0], ticks[-1]))
    return lambda value: start + ((math.log10(value) if logarithmic else value) - low) / (high - low) * (end - start)


def _short(value: float) -> str:
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m benchmarks.report RESULTS.json")
    source = Path(sys.argv[1])
    old = cast(Results, json.loads(source.read_text(encoding="utf-8")))
    print(markdown(old))
    for chart_path in write_charts(old, source.with_suffix("")):
        print(chart_path)
