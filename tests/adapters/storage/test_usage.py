"""Sums of the ledger are those that the same entries come to in Python."""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.adapters.storage import usage as module
from dragoman.adapters.storage.database import StorageError
from dragoman.adapters.storage.usage import (
    FILTERS,
    GROUPS,
    UsageQuery,
    UsageSums,
    parse_usage_query,
    read_usage,
    report_values,
)
from dragoman.adapters.storage.usage_file import UsageFile
from dragoman.core.chat.usage import TokenUsage
from dragoman.core.ledger import Entry

NOW = 1_800_000_000.0  # 2027-01-15T08:00:00Z


COUNTED = TokenUsage(10, 5, 3, 2, 1)


def entry(
    at: float = NOW,
    model: str = "m",
    provider: str = "lab",
    status: int = 200,
    usage: TokenUsage | None = COUNTED,
    cost: int | None = None,
) -> Entry:
    return Entry(
        at, "req", "anna", "claude", model, provider, "key-1", f"up-{model}", status, "", False, 1, usage, 0.5, 0.25, cost
    )  # fmt: skip


def filled(folder: Path, entries: Sequence[Entry]) -> Path:
    path = folder / "usage"
    file = UsageFile(path, NOW)
    file.add(entries, NOW)
    file.close()
    return path


COUNTS = st.integers(0, 10**10)
ENTRIES = st.builds(
    entry,
    st.integers(0, 40).map(lambda n: NOW + n * 1800.0),
    st.sampled_from(["a", "b"]),
    st.sampled_from(["lab", "", "ü'; --"]),
    st.sampled_from([200, 429, 500]),
    st.none() | st.builds(TokenUsage, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS),
    st.none() | st.integers(0, 2**62),
)

KEYS: dict[str, Callable[[Entry], object]] = {
    "model": lambda e: e.model,
    "provider": lambda e: e.provider,
    "status": lambda e: e.status,
    "upstream-model": lambda e: e.upstream_model,
}


def added(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def expected(entries: Sequence[Entry], by: Sequence[str]) -> dict[tuple[str, ...], tuple[object, ...]]:
    groups: dict[tuple[str, ...], list[Entry]] = {}
    for one in entries:
        groups.setdefault(tuple(str(KEYS[name](one)) for name in by), []).append(one)
    return {
        key: (
            len(some),
            sum(e.status >= 400 for e in some),
            sum(e.usage is None and e.status < 400 for e in some),
            sum(e.usage is not None and e.cost is None for e in some),
            added([e.usage.input if e.usage else None for e in some]),
            added([e.usage.total if e.usage else None for e in some]),
            added([e.cost for e in some]),
        )
        for key, some in groups.items()
    }


def told(row: UsageSums) -> tuple[object, ...]:
    return (row.requests, row.failures, row.usage_missing, row.unpriced, row.input, row.total, row.cost)


@settings(max_examples=40, deadline=None)
@given(st.lists(ENTRIES, max_size=130), st.lists(st.sampled_from([*KEYS]), max_size=2, unique=True), st.integers(0, 41))
def test_sums(entries: list[Entry], by: list[str], hour: int) -> None:
    """LAW: in every group, of every time; nothing is rounded, and the sum of no counts is not zero."""
    since = NOW + hour * 900.0
    with TemporaryDirectory() as folder:
        path = filled(Path(folder), entries)
        report = read_usage(path, UsageQuery(tuple(by), since=since))
        rest = read_usage(path, UsageQuery((), until=since))
    late = [e for e in entries if e.at >= since]
    if by:
        assert {row.keys: told(row) for row in report.rows} == expected(late, by)
    assert report.total.requests == len(late)
    assert report.total.requests + rest.total.requests == len(entries)
    assert report.total.cost == added([e.cost for e in late])
    assert report.total.total == added([e.usage.total if e.usage else None for e in late])


def test_by_time_and_by_size(tmp_path: Path) -> None:
    path = filled(
        tmp_path,
        [
            entry(NOW),
            entry(NOW + 3600, "big", usage=TokenUsage(100)),
            entry(NOW + 86400),
            entry(NOW + 86401, "none", usage=None),
        ],
    )
    assert [row.keys for row in read_usage(path, UsageQuery(("day", "model"))).rows] == [
        ("2027-01-15", "big"), ("2027-01-15", "m"), ("2027-01-16", "m"), ("2027-01-16", "none"),
    ]  # fmt: skip
    assert [row.keys for row in read_usage(path, UsageQuery(("hour",))).rows][:2] == [
        ("2027-01-15T08:00Z",), ("2027-01-15T09:00Z",),
    ]  # fmt: skip
    assert [row.keys for row in read_usage(path).rows] == [("big",), ("m",), ("none",)]
    assert [row.keys for row in read_usage(path, UsageQuery(("month",))).rows] == [("2027-01",)]


@pytest.mark.parametrize("name", GROUPS)
def test_every_group(tmp_path: Path, name: str) -> None:
    (row,) = read_usage(filled(tmp_path, [entry(), entry()]), UsageQuery((name,))).rows
    assert row.requests == 2


@pytest.mark.parametrize("name", FILTERS)
def test_every_filter(tmp_path: Path, name: str) -> None:
    path = filled(tmp_path, [entry(status=500, model="a"), entry()])
    assert read_usage(path, UsageQuery((), filters=((name, "nothing like it"),))).total.requests == 0


def test_filters(tmp_path: Path) -> None:
    path = filled(tmp_path, [entry(status=500, model="a"), entry(), entry(model="x' OR '1'='1")])
    assert read_usage(path, UsageQuery((), filters=(("status", "500"),))).total.requests == 1
    assert read_usage(path, UsageQuery((), filters=(("model", "x' OR '1'='1"),))).total.requests == 1


def test_more_groups_than_wanted(tmp_path: Path) -> None:
    path = filled(tmp_path, [entry(model=f"m-{n}") for n in range(5)])
    report = read_usage(path, UsageQuery(("model",), limit=3))
    assert (len(report.rows), report.is_cut, report.total.requests) == (3, True, 5)
    assert not read_usage(path, UsageQuery(("model",), limit=5)).is_cut


def test_no_file_is_nothing(tmp_path: Path) -> None:
    report = read_usage(tmp_path / "usage")
    (tmp_path / "begun").touch()
    assert read_usage(tmp_path / "begun") == report
    assert (report.rows, report.total.requests, report.total.total, report.total.cost) == ((), 0, None, None)
    assert not (tmp_path / "usage").exists()


def test_what_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "noise").write_bytes(b"something else " * 100)
    with pytest.raises(StorageError, match=r"usage ledger .*noise cannot be read"):
        read_usage(tmp_path / "noise")
    with closing(sqlite3.connect(tmp_path / "theirs")) as connection:
        connection.execute("CREATE TABLE exchanges (a)")
    with pytest.raises(StorageError, match="not one of ours"):
        read_usage(tmp_path / "theirs")
    monkeypatch.setattr(module, "_PATIENCE", -1.0)
    monkeypatch.setattr(module, "_STEPS", 1)
    with pytest.raises(StorageError, match="interrupted"):
        read_usage(filled(tmp_path, [entry()]))


def test_for_programs(tmp_path: Path) -> None:
    path = filled(tmp_path, [entry(cost=720_000_000), entry(usage=None, status=429), entry(usage=None)])
    report = read_usage(path, UsageQuery(("upstream-model",), since=NOW, filters=(("client-key", "anna"),)))
    text = orjson.dumps(report_values(report))
    assert b'"cost":0.00072,' in text
    found = orjson.loads(text)
    assert found["since"] == "2027-01-15T08:00:00+00:00"
    assert (found["until"], found["by"], found["filters"]) == (None, ["upstream_model"], {"client_key": "anna"})
    assert found["usage"] == [{"upstream_model": "up-m", **found["total"]}]
    assert found["total"] == {
        "request_count": 3, "success_count": 2, "failure_count": 1, "streamed_count": 0, "attempt_count": 3, "usage_missing_count": 1,
        "input_tokens": 10, "output_tokens": 5, "reasoning_tokens": 1, "cache_read_tokens": 3, "cache_write_tokens": 2, "total_tokens": 15,
        "cost": 0.00072, "unpriced_count": 0, "latency_ms": 500, "ttfb_ms": 250,
    }  # fmt: skip
    nothing = orjson.loads(orjson.dumps(report_values(read_usage(tmp_path / "none"))))
    assert nothing["total"]["cost"] is nothing["total"]["latency_ms"] is nothing["total"]["total_tokens"] is None


def test_queries_in_words() -> None:
    query = parse_usage_query(
        "model, client_key,model", "7d", "2027-01-15", {"upstream_model": "x", "provider": ""}, NOW, 5
    )
    assert query == UsageQuery(("model", "client-key"), NOW - 7 * 86400, NOW - 8 * 3600, (("upstream-model", "x"),), 5)
    assert parse_usage_query("", "", "", {}, NOW) == UsageQuery(())
    assert parse_usage_query("", "2027-01-15T09:00:00+01:00", "1h30m", {}, NOW) == UsageQuery((), NOW, NOW - 5400)


@pytest.mark.parametrize(
    ("by", "since", "filters", "said"),
    [
        ("colour", "", {}, "by: 'colour' is none of model, "),
        ("", "soon", {}, "since: expected how long ago, like 7d"),
        ("", "0001-01-01T00:00+23:00", {}, None),
        ("", "", {"day": "x"}, "'day' is none of model"),
    ],
)
def test_what_is_not_understood(by: str, since: str, filters: dict[str, str], said: str | None) -> None:
    if said is None:
        parse_usage_query(by, since, "", filters, NOW)
        return
    with pytest.raises(ValueError, match=said):
        parse_usage_query(by, since, "", filters, NOW)
