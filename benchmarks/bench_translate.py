"""The translator alone: streams and requests between each two dialects, beside the floor and beside LiteLLM.

``python -m benchmarks.bench_translate [--quick] [--rounds N] [--only claude:openai_chat,...] [--no-litellm] [--out FILE]``

The floor is orjson reading and writing each event (or the request): less than that nobody does who takes JSON apart in Python. It is
measured right before each cell, in CPU time of this process, and ratios are taken within the round, then their median; on a shared
machine only they can be trusted. Streams are fed with 1, 5, 20 and all events at a time, short (200 events) and long (20,000): the cost of an
event must not grow with the stream. Prints a Markdown table and a line of JSON; tells how the aims stand and fails over none.
"""

import argparse
import itertools
import json
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Final

import orjson

from benchmarks import data, litellm_streams
from benchmarks.agent_request import agent_body
from benchmarks.report import markdown_table, number
from dragoman.core.translate import StreamTranslator, translate_request

NAMES: Final = ("openai_chat", "openai_responses", "claude", "gemini")
EVENTS: Final = {
    "openai_chat": data.chat_events, "openai_responses": data.responses_events, "claude": data.claude_events,
    "gemini": data.gemini_events,
}  # fmt: skip
SHORT, LONG = 200, 20_000
AIM, NEXT_AIM, AIM_OF_FLOOR = 250_000, 600_000, 0.10
FLAT: Final = 1.25  # how much dearer an event of a long stream may be


@dataclass(frozen=True)
class Cell:
    """One pair, one length, so many events for each feed; medians of the rounds.

    Attributes:
        source: The provider's dialect.
        target: The client's dialect.
        length: Events of the stream; 0: it is a request.
        together: Events for each feed; 0: all.
        rate: Events (or requests) for each second of CPU time.
        floor: The same of the floor.
        of_floor: The ratio of the two.
        mb_s: Megabytes read for each second.

    """

    source: str
    target: str
    length: int
    together: int
    rate: float
    floor: float
    of_floor: float
    mb_s: float


def cost(work: Callable[[], object], secs: float) -> float:
    """CPU seconds of one call, over at least `secs` seconds."""
    calls, begun = 0, time.process_time()
    while (spent := time.process_time() - begun) < secs or not calls:
        work()
        calls += 1
    return spent / calls


def floor_of(events: Sequence[bytes]) -> Callable[[], None]:
    """What reads and writes the JSON of each event."""
    documents = [event.partition(b"data: ")[2].strip() for event in events]
    documents = [document for document in documents if document != b"[DONE]"]
    loads, dumps = orjson.loads, orjson.dumps

    def work() -> None:
        for document in documents:
            dumps(loads(document))

    return work


def translation(source: str, target: str, pieces: Sequence[bytes]) -> Callable[[], bytes]:
    """What translates a stream in pieces."""

    def work() -> bytes:
        translator = StreamTranslator(source, target)
        feed = translator.feed
        out = [feed(piece) for piece in pieces]
        out.append(translator.close())
        assert translator.fault is None
        return b"".join(out)

    return work


def pieces_of(events: Sequence[bytes], together: int) -> list[bytes]:
    """The events, so many in each piece; 0: all in one."""
    step = together or len(events)
    return [b"".join(events[n : n + step]) for n in range(0, len(events), step)]


def measure(
    pair: tuple[str, str], length: int, together: int, units: int, size: int, works: Sequence[Callable[[], object]],
    *, rounds: int, secs: float,
) -> Cell:  # fmt: skip
    """Measure one cell: the floor and the translator in turn."""
    floor, ours = works
    found = [(cost(floor, secs / 3), cost(ours, secs)) for _ in range(rounds)]
    lowest, spent = (statistics.median(times) for times in zip(*found, strict=True))
    ratio = statistics.median(a / b for a, b in found)
    return Cell(*pair, length, together, units / spent, units / lowest, ratio, size / spent / 1e6)


def stream_cells(
    pairs: Iterable[tuple[str, str]], lengths: Sequence[int], feeds: Sequence[int], *, rounds: int, secs: float
) -> list[Cell]:
    """All streams."""
    cells = []
    for (source, target), length in itertools.product(pairs, lengths):
        events = EVENTS[source](length)
        size, floor = sum(map(len, events)), floor_of(events)
        for together in feeds if length == SHORT else (feeds[0], feeds[-1]):
            works = (floor, translation(source, target, pieces_of(events, together)))
            cells.append(measure((source, target), length, together, length, size, works, rounds=rounds, secs=secs))
    return cells


def request_cells(pairs: Iterable[tuple[str, str]], *, rounds: int, secs: float) -> list[Cell]:
    """The request of a coding agent."""
    cells = []
    for source, target in pairs:
        body = agent_body(source)
        works = (partial(_reread, body), partial(translate_request, body, source, target, model="another"))
        cells.append(measure((source, target), 0, 0, 1, len(body), works, rounds=rounds, secs=secs))
    return cells


def _reread(body: bytes) -> bytes:
    return orjson.dumps(orjson.loads(body))


def litellm_rates(sources: Iterable[str], secs: float) -> tuple[dict[str, float], str]:
    """LiteLLM's events/s towards OpenAI Chat by source, and why there are none."""
    if reason := litellm_streams.missing():
        return {}, reason
    rates, reasons = {}, []
    for source in sources:
        events = EVENTS[source](SHORT)
        try:
            convert = litellm_streams.converter(source)
            if convert is not None and convert(events):
                rates[source] = SHORT / cost(partial(convert, events), secs)
        except Exception as error:  # whatever its parts raise where they have moved
            reasons.append(f"{source}: {type(error).__name__}: {str(error).partition(chr(10))[0]}")
    return rates, "; ".join(reasons)


def stream_table(cells: Sequence[Cell], rates: dict[str, float]) -> str:
    """A row for each pair."""
    feeds = sorted({c.together for c in cells if c.length == SHORT}, key=lambda n: n or SHORT)
    head = [
        "events/s, short stream",
        *(f"{n or 'all'} a feed" for n in feeds),
        "of floor",
        "at all",
        "MB/s",
        "long/short",
        "× LiteLLM",
    ]
    rows = []
    for pair in dict.fromkeys((c.source, c.target) for c in cells):
        short = {c.together: c for c in cells if (c.source, c.target, c.length) == (*pair, SHORT)}
        first, last = short[feeds[0]], short[feeds[-1]]
        times = first.rate / rates[pair[0]] if pair[1] == "openai_chat" and pair[0] in rates else float("nan")
        row = [f"{pair[0]} → {pair[1]}", *(number(short[n].rate) for n in feeds)]
        row += [
            f"{first.of_floor:.0%}",
            f"{last.of_floor:.0%}",
            number(last.mb_s),
            number(growth(cells, pair)),
            number(times),
        ]
        rows.append(row)
    return markdown_table(head, rows)


def growth(cells: Sequence[Cell], pair: tuple[str, str]) -> float:
    """How much dearer an event of the long stream is, the floor of each taken off the comparison; NaN where it was not measured."""
    found = {c.length: c for c in cells if (c.source, c.target) == pair and c.together == 1}
    return found[SHORT].of_floor / found[LONG].of_floor if LONG in found else float("nan")


def request_table(cells: Sequence[Cell]) -> str:
    """A row for each pair."""
    rows = [
        [f"{c.source} → {c.target}", number(c.rate), number(1000 / c.rate), f"{c.of_floor:.0%}", number(c.mb_s)]
        for c in cells
    ]
    return markdown_table(["request of 200 KB", "requests/s", "ms", "of floor", "MB/s"], rows)


def aims(cells: Sequence[Cell]) -> list[str]:
    """How the aims stand."""
    lines = []
    for c in cells:
        if (c.source, c.target, c.length, c.together) == ("claude", "openai_chat", SHORT, 1):
            is_met = c.rate >= AIM or c.of_floor >= AIM_OF_FLOOR
            lines.append(
                f"- Claude to Chat, one event a feed: {number(c.rate)} events/s, {c.of_floor:.0%} of the floor; the aim is {AIM:,} or "
                f"{AIM_OF_FLOOR:.0%}: {'met' if is_met else 'missed'}; the next, {NEXT_AIM:,}: {'met' if c.rate >= NEXT_AIM else 'not yet'}"
            )
    grown = {pair: growth(cells, pair) for pair in dict.fromkeys((c.source, c.target) for c in cells)}
    dear = [f"{a} → {b} ({value:.2f})" for (a, b), value in grown.items() if value > FLAT]
    lines.append(
        f"- The cost of an event is flat in the stream's length (at most {FLAT}): {'met' if not dear else ', '.join(dear)}"
    )
    return lines


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="under 20 s: fewer rounds, fewer sizes of feeds")
    parser.add_argument("--rounds", type=int, help="rounds of each cell")
    parser.add_argument("--only", help="comma-separated pairs, like claude:openai_chat")
    parser.add_argument("--no-litellm", action="store_true", help="leave LiteLLM out, whose import takes seconds")
    parser.add_argument("--out", type=Path, help="write the JSON here, too")
    options = parser.parse_args()
    pairs = [(a, b) for a in NAMES for b in NAMES]
    if options.only:
        pairs = [pair for pair in pairs if ":".join(pair) in options.only.split(",")]
    rounds = options.rounds or (3 if options.quick else 7)
    secs = 0.006 if options.quick else 0.06
    feeds = (1, 20, 0) if options.quick else (1, 5, 20, 0)
    streams = stream_cells(pairs, (SHORT, LONG), feeds, rounds=rounds, secs=secs)
    requests = request_cells(pairs, rounds=rounds, secs=secs)
    rates, reason = ({}, "left out") if options.no_litellm else litellm_rates(dict.fromkeys(a for a, _ in pairs), secs)
    print(f"# The translator, Python {platform.python_version()}; medians of {rounds} rounds; quote the ratios\n")
    print(stream_table(streams, rates), request_table(requests), "\n".join(aims(streams)), sep="\n\n")
    if reason:
        print(f"- LiteLLM: {reason}")
    figures = {"cells": [asdict(c) for c in streams + requests], "litellm": rates, "litellm_missing": reason}
    text = json.dumps(figures)
    print("\n" + text)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
