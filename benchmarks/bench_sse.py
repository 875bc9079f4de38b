"""The reader of server-sent events alone: events/s, by how many arrive together.

``python -m benchmarks.bench_sse [SECONDS]``: one line for each recording and size of piece; no pass or fail.
"""

import sys
import time

from benchmarks import data
from dragoman.core.sse import EventReader


def events_per_second(pieces: list[bytes], expected: int, secs: float) -> float:
    """Read the stream again and again for `secs` seconds, each time with a new reader."""
    rounds = 0
    begun = time.perf_counter()
    while (spent := time.perf_counter() - begun) < secs:
        reader = EventReader()
        found = sum(len(reader.feed(piece)) for piece in pieces)
        assert found == expected, f"{found} events read, {expected} sent"
        rounds += 1
    return rounds * expected / spent


def main() -> None:
    """Print the figures."""
    secs = float(sys.argv[1]) if len(sys.argv) > 1 else 0.5
    for name, events in {"openai_chat": data.chat_events(), "claude": data.claude_events()}.items():
        for together in (1, 5, 20, len(events)):
            pieces = [b"".join(events[n : n + together]) for n in range(0, len(events), together)]
            rate = events_per_second(pieces, len(events), secs)
            print(f"sse {name:<12} {together:>4} events for each feed {rate:>12,.0f} events/s")


if __name__ == "__main__":
    main()
