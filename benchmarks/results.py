"""The shape of the results, and what follows from them: medians, ratios within a run, and verdicts.

Only ratios have gates. An absolute figure says as much of the machine and its neighbours as of the program.
"""

import math
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, NotRequired, TypedDict


class Latency(TypedDict):
    """Milliseconds; `mean` and `max` not for the time to the first byte."""

    p50: float
    p90: float
    p99: float
    mean: NotRequired[float]
    max: NotRequired[float]


class Cell(TypedDict):
    """One load on one target: what the load generator printed, and what the target's process used meanwhile."""

    conns: int
    secs: float
    measured: int
    unfinished: int
    rps: float
    lat_ms: Latency
    ttft_ms: Latency
    gapmax_ms: float
    events: int
    events_s: float
    bytes: int
    MB_s: float
    errors: int
    non200: int
    driver: str
    cpu_s: NotRequired[float]
    rss_before_mb: NotRequired[float]
    rss_peak_mb: NotRequired[float]
    rss_after_mb: NotRequired[float]


class TargetResult(TypedDict):
    """What was found about one target, or why nothing was."""

    version: str
    skipped: NotRequired[str]
    cold_listen_s: list[float]
    cold_start_s: list[float]
    rss_idle_mb: NotRequired[float]
    cells: dict[str, list[Cell]]


class Ratio(TypedDict):
    """The ratios of the rounds."""

    median: float
    min: float
    max: float


class Verdict(TypedDict):
    """How a ratio stands to its gate and goal."""

    id: str
    target: str
    versus: str
    value: float
    gate: float
    goal: float
    verdict: str


class Meta(TypedDict):
    """Where and how the run was made."""

    utc: str
    git: str
    cpu: str
    cores: int
    python: str
    driver: str
    plan: str
    versions: dict[str, str]
    load_before: float
    load_after: float
    secs: float
    cut: bool


class Results(TypedDict):
    """A whole run."""

    meta: Meta
    targets: dict[str, TargetResult]
    ratios: dict[str, Ratio]
    goals: list[Verdict]


def is_void(cell: Cell) -> bool:
    """Whether something failed in it, or nothing happened: then its figures say nothing."""
    return bool(cell["errors"] or cell["non200"] or cell["unfinished"] or not (cell["measured"] or cell["events"]))


def kb_per_stream(cell: Cell) -> float:
    """Memory for each open stream in KB, from the growth of a fresh process to its peak."""
    return (cell.get("rss_peak_mb", math.nan) - cell.get("rss_before_mb", math.nan)) * 1000 / cell["conns"]


def cpu_per_1000(cell: Cell) -> float:
    """CPU seconds for 1,000 requests."""
    return cell.get("cpu_s", math.nan) / cell["measured"] * 1000 if cell["measured"] else math.nan


def cpu_per_100k(cell: Cell) -> float:
    """CPU seconds for 100,000 events."""
    return cell.get("cpu_s", math.nan) / cell["events"] * 100_000 if cell["events"] else math.nan


def _if_measured(cell: Cell, value: float) -> float:
    return value if cell["measured"] else math.nan


METRICS: Final[dict[str, Callable[[Cell], float]]] = {
    "rps": lambda cell: cell["rps"],
    "p50": lambda cell: _if_measured(cell, cell["lat_ms"]["p50"]),
    "p99": lambda cell: _if_measured(cell, cell["lat_ms"]["p99"]),
    "ttft": lambda cell: _if_measured(cell, cell["ttft_ms"]["p50"]),
    "ttft99": lambda cell: _if_measured(cell, cell["ttft_ms"]["p99"]),
    "events_s": lambda cell: cell["events_s"],
    "wall": lambda cell: cell["secs"],
    "cpu_per_1000": cpu_per_1000,
    "cpu_per_100k": cpu_per_100k,
    "kb_per_stream": kb_per_stream,
}


@dataclass(frozen=True)
class Goal:
    """What a ratio must be.

    Attributes:
        cell: Which load.
        metric: A key of `METRICS`.
        versus: The target it is compared with.
        gate: ``--check`` fails beyond this.
        goal: What we are after.
        more_is_better: Which side of the gate is beyond.

    """

    cell: str
    metric: str
    versus: str
    gate: float
    goal: float
    more_is_better: bool = True

    def judge(self, value: float) -> str:
        """``goal``, ``gate`` (between the two) or ``below``."""
        sign = 1 if self.more_is_better else -1
        return "goal" if sign * value >= sign * self.goal else "gate" if sign * value >= sign * self.gate else "below"


# Set from prototypes and from these peers as measured on two cores; a finished gateway does more than a prototype, so the gates leave room.
GOALS: Final = (
    Goal("J64", "rps", "direct", 0.03, 0.06),
    Goal("J64", "rps", "nginx", 0.06, 0.20),
    Goal("J64", "rps", "litellm", 40, 100),
    Goal("J64", "cpu_per_1000", "nginx", 15, 6, more_is_better=False),
    Goal("J64", "cpu_per_1000", "litellm", 1 / 40, 1 / 100, more_is_better=False),
    Goal("L", "p50", "nginx", 2.0, 1.4, more_is_better=False),
    Goal("L", "p50", "litellm", 1 / 12, 1 / 25, more_is_better=False),
    Goal("L", "p99", "litellm", 1 / 4, 1 / 8, more_is_better=False),
    Goal("SS16", "events_s", "direct", 0.3, 0.6),
    Goal("SS16", "events_s", "nginx", 0.5, 1.0),
    Goal("SS16", "events_s", "litellm", 60, 150),
    Goal("P500", "wall", "direct", 1.10, 1.02, more_is_better=False),
    Goal("P500", "cpu_per_100k", "nginx", 4, 2.5, more_is_better=False),
    Goal("P500", "cpu_per_100k", "litellm", 1 / 12, 1 / 20, more_is_better=False),
    # nginx keeps about 17 KB for a stream: the gate is 40 KB, the goal 16.
    Goal("P500", "kb_per_stream", "nginx", 2.4, 1.0, more_is_better=False),
)


def median(values: Iterable[float]) -> float:
    """The median of those that are numbers; NaN of none."""
    numbers = [v for v in values if not math.isnan(v)]
    return statistics.median(numbers) if numbers else math.nan


def median_of(result: TargetResult, cell: str, metric: str) -> float:
    """The median of a figure over the rounds that are not void."""
    return median(METRICS[metric](c) for c in result["cells"].get(cell, []) if not is_void(c))


def ratio(ours: TargetResult, other: TargetResult, cell: str, metric: str) -> Ratio | None:
    """Our figure over the other's, round by round; None when no round has both."""
    value = METRICS[metric]
    pairs = zip(ours["cells"].get(cell, []), other["cells"].get(cell, []), strict=False)
    ratios = [value(a) / value(b) for a, b in pairs if not is_void(a) and not is_void(b) and value(b)]
    ratios = [r for r in ratios if not math.isnan(r)]
    return Ratio(median=statistics.median(ratios), min=min(ratios), max=max(ratios)) if ratios else None


def is_ours(target: str) -> bool:
    """Whether a target is this gateway."""
    return target.startswith("dragoman")


def _is_too_short(goal: Goal, other: TargetResult) -> bool:
    """Whether the start of all streams at once would outweigh the streams: a wall time says something from three seconds on."""
    return goal.metric == "wall" and not median_of(other, goal.cell, "wall") > 3


def judge_all(targets: dict[str, TargetResult]) -> tuple[dict[str, Ratio], list[Verdict]]:
    """All ratios that have a goal, and how they stand."""
    ratios: dict[str, Ratio] = {}
    verdicts: list[Verdict] = []
    for name in filter(is_ours, targets):
        for goal in GOALS:
            if goal.versus not in targets or _is_too_short(goal, targets[goal.versus]):
                continue
            found = ratio(targets[name], targets[goal.versus], goal.cell, goal.metric)
            if found is None:
                continue
            ratios[f"{name} {goal.cell} {goal.metric}/{goal.versus}"] = found
            verdicts.append(
                Verdict(
                    id=f"{goal.cell} {goal.metric}", target=name, versus=goal.versus, value=found["median"],
                    gate=goal.gate, goal=goal.goal, verdict=goal.judge(found["median"]),
                )
            )  # fmt: skip
    return ratios, verdicts
