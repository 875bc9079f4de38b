"""Microseconds for each pick, by strategy and number of credentials, with one credential in a hundred cooling.

One pick is `Pool.pick` and `Pool.report` of a success; 32 attempts are in flight at any time. ``python -m benchmarks.bench_pool [--json]``.
"""

import json
import sys
import time
from collections import deque

from dragoman.core.credentials.outcome import Outcome, classify, succeeded
from dragoman.core.credentials.pool import Lease, MemberRule, Pool
from dragoman.core.routing.strategy import STRATEGIES

SIZES = (1, 10, 100, 1_000, 10_000)
PICKS = 20_000
_LIMIT = b'{"error": {"code": "rate_limit_exceeded"}}'


def measure(strategy: str, size: int, picks: int = PICKS) -> float:
    """Microseconds for one pick and its report."""
    pool, now = Pool(), 1_000_000.0
    pool.configure([MemberRule(str(i), "lab", f"key-{i}") for i in range(size)], now)
    lane = pool.lane([(str(i), "m", 0, 1 + i % 3) for i in range(size)], STRATEGIES[strategy])
    limited: Outcome = classify(429, [(b"retry-after", b"3000")], _LIMIT, now)
    good = succeeded({}, now)
    for i in range(size // 100):
        lease = pool.pick(lane, now, i * 100 / size)
        assert lease is not None
        pool.report(lease, limited, now)
    in_flight: deque[Lease] = deque()
    best = float("inf")
    for repeat in range(3):
        start = time.perf_counter()
        for i in range(picks):
            lease = pool.pick(lane, now + i * 0.001, (i * 0.618034 + repeat / 3) % 1.0)
            assert lease is not None
            in_flight.append(lease)
            if len(in_flight) > 32:
                pool.report(in_flight.popleft(), good, now + i * 0.001)
        best = min(best, time.perf_counter() - start)
    return best / picks * 1e6


def main() -> None:
    """Print the table, or JSON."""
    figures = {strategy: {size: round(measure(strategy, size), 2) for size in SIZES} for strategy in STRATEGIES}
    if "--json" in sys.argv:
        print(json.dumps({"unit": "us per pick and report", "picks": PICKS, "figures": figures}))
        return
    print(f"{'us per pick and report':24}" + "".join(f"{size:>9,}" for size in SIZES))
    for strategy, row in figures.items():
        print(f"{strategy:24}" + "".join(f"{value:9.2f}" for value in row.values()))


if __name__ == "__main__":
    main()
