"""One line for each exchange, whatever a client put into it."""

import json
import re

import msgspec.structs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.adapters.line_writer import LineWriter
from dragoman.adapters.logs import (
    Logs,
    exchange_json,
    exchange_text,
    fields_of,
    json_line,
    level_of,
    text_line,
    timestamp,
)
from dragoman.core.chat.loss import dropped
from dragoman.core.chat.request import Thinking
from dragoman.core.chat.usage import TokenUsage
from dragoman.core.journal import Attempt, Journal

ATTEMPT = Attempt(1, "openai", "gpt-5.4", "key-2", 200, "ok", "", 1.0, 2.0)
JOURNAL = Journal(
    request_id="5f3c",
    method="POST",
    path="/v1/chat/completions",
    dialect="openai_chat",
    client_key="laptop",
    model="fast",
    status=200,
    fault="",
    error="",
    streamed=True,
    attempts=(msgspec.structs.replace(ATTEMPT, provider="other", status=429), ATTEMPT),
    usage=TokenUsage(input=12, output=34, cached=5, reasoning=6),
    bytes_in=100,
    bytes_out=2000,
    started_at=1_764_000_000.1,
    first_byte_at=1_764_000_000.35,
    ended_at=1_764_000_001.6,
)
TEXTS = st.text(st.characters(), max_size=20) | st.text(max_size=20)
JOURNALS = st.builds(
    Journal,
    *[TEXTS] * 6,
    st.integers(100, 599),
    st.sampled_from(["", "client", "gateway", "provider"]),
    TEXTS | st.text(min_size=250, max_size=300),
    st.booleans(),
    st.lists(st.builds(Attempt, st.integers(), TEXTS, TEXTS, TEXTS, st.none(), TEXTS, TEXTS, *[st.floats(0, 1e9)] * 2), max_size=2).map(tuple),
    st.none() | st.builds(TokenUsage, *[st.integers(0, 10**7)] * 5),
    st.integers(0), st.integers(0),
    st.floats(0, 4e9), st.none() | st.floats(0, 4e9), st.floats(0, 4e9),
)  # fmt: skip


def test_the_line_of_an_exchange() -> None:
    """All that an operator asks about, the last attempt's names, milliseconds."""
    assert exchange_text(JOURNAL) == (
        "time=2025-11-24T16:00:01.600Z level=info event=exchange request_id=5f3c method=POST path=/v1/chat/completions "
        "status=200 client_key=laptop model=fast provider=openai upstream_model=gpt-5.4 credential=key-2 streamed=true attempts=2 "
        "ttfb_ms=250 duration_ms=1500 tokens_in=12 tokens_out=34 tokens_cached=5 tokens_reasoning=6 bytes_in=100 bytes_out=2000"
    )


def test_what_is_unknown_is_left_out() -> None:
    """An exchange that came to nothing has few fields."""
    nothing = msgspec.structs.replace(
        JOURNAL, client_key="", model="", attempts=(), usage=None, first_byte_at=None, status=401, fault="client", error="no key"
    )  # fmt: skip
    assert exchange_text(nothing) == (
        "time=2025-11-24T16:00:01.600Z level=warning event=exchange request_id=5f3c method=POST path=/v1/chat/completions "
        'status=401 streamed=true attempts=0 fault=client error="no key" duration_ms=1500 bytes_in=100 bytes_out=2000'
    )
    assert "tokens_in" not in json.loads(exchange_json(nothing))


@pytest.mark.parametrize(
    ("status", "fault", "level"),
    [
        (200, "", "info"),
        (404, "client", "warning"),
        (499, "", "warning"),
        (200, "provider", "error"),
        (503, "", "error"),
    ],
)
def test_levels(status: int, fault: str, level: str) -> None:
    """A stream that breaks after its 200 is an error, too."""
    assert level_of(msgspec.structs.replace(JOURNAL, status=status, fault=fault)) == level


@given(JOURNALS)
def test_one_line_in_ascii(journal: Journal) -> None:
    """No value of a client fakes a line, moves a cursor or breaks a field; the two ways to write it say the same."""
    line = exchange_text(journal)
    assert line == text_line(journal.ended_at, level_of(journal), "exchange", fields_of(journal))
    assert line.isascii()
    assert line.isprintable()
    parts = re.findall(r'(?:^| )([a-z_]+)=("(?:[^"\\]|\\.)*"|[^ "]*)', line)
    assert " ".join(f"{key}={value}" for key, value in parts) == line
    values = {key: json.loads(value) if value.startswith('"') else value for key, value in parts}
    for key in ("request_id", "model", "client_key"):
        assert values.get(key, "") == getattr(journal, key)
    record = json.loads(request_text := exchange_json(journal))
    assert request_text.isascii()
    assert "\n" not in request_text
    assert [key for key, value in fields_of(journal).items() if value is not None] == list(record)[3:]


def test_long_values_are_cut() -> None:
    """A path may be as long as a head."""
    assert len(text_line(0, "info", "e", {"path": "/" * 60000})) < 2200
    assert len(json_line(0, "info", "e", {"path": "/" * 60000})) < 2200


@given(st.floats(0, 4e9))
def test_timestamps(at: float) -> None:
    """ISO 8601 with milliseconds."""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", timestamp(at))


@pytest.mark.parametrize("as_json", [True, False])
def test_logs(as_json: bool) -> None:
    """Every kind of line goes to the writer; debug lines only when asked for."""
    data: list[bytes] = []

    def send(some: bytes) -> int:
        data.append(some)
        return len(some)

    for debug in (True, False):
        logs = Logs(LineWriter(send), lambda: 0.0, as_json=as_json, debug=debug)
        logs.debug("looking", n=1)
        logs.info("listening", port=8317, tls=False)
        logs.warning("slow", ratio=0.5)
        logs.error("gone", why="no idea", what=None)
        logs.exchange(JOURNAL)
        logs.close()
    lines = b"".join(data).decode().splitlines()
    assert len(lines) == 9
    assert lines[5:] == lines[1:5]
    if as_json:
        records = [json.loads(line) for line in lines]
        assert [record["level"] for record in records[:5]] == ["debug", "info", "warning", "error", "info"]
        assert records[1] == {
            "time": "1970-01-01T00:00:00.000Z",
            "level": "info",
            "event": "listening",
            "port": 8317,
            "tls": False,
        }
    else:
        assert lines[1] == "time=1970-01-01T00:00:00.000Z level=info event=listening port=8317 tls=false"
        assert lines[3] == 'time=1970-01-01T00:00:00.000Z level=error event=gone why="no idea"'


def test_reasoning_is_told_in_the_words_operators_look_for() -> None:
    lines: list[bytes] = []

    def send(data: bytes) -> int:
        lines.append(data)
        return len(data)

    for as_json in (False, True):
        logs = Logs(LineWriter(send), lambda: 0.0, debug=True, as_json=as_json)
        asked, applied = Thinking("budget", budget=99_999), Thinking("budget", budget=32_768)
        logs.exchange(
            msgspec.structs.replace(
                JOURNAL, thinking_asked=asked, thinking_applied=applied, losses=[dropped("seed", "")]
            )
        )
        logs.exchange(msgspec.structs.replace(JOURNAL, model="m(high)", thinking_asked=Thinking("level", level="high")))
        logs.close()
    text = b"".join(lines).decode()
    for words in ("thinking: original config from request", "thinking: processed config to apply", "from model suffix"):
        assert text.count(words) == 2
    assert "budget=99999" in text
    assert "losses=seed" in text
