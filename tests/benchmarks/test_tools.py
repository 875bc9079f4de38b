"""Mock, load generator, fixed inputs and report: what every figure rests on."""

import http.client
import json
import math
import re
import socket
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import data, report
from benchmarks.drivers import PYTHON, Drivers, Load, build_c, mock_running, run_load
from benchmarks.results import (
    METRICS,
    Cell,
    Goal,
    Latency,
    Meta,
    Results,
    TargetResult,
    is_void,
    judge_all,
    kb_per_stream,
)

C = build_c()
MOCKS = [
    pytest.param(C, id="c", marks=pytest.mark.skipif(C is None, reason="no C compiler, or not Linux")),
    pytest.param(PYTHON, id="python"),
]
STREAM = b"".join(data.chat_events())


@pytest.fixture(scope="module", params=MOCKS)
def drivers(request: pytest.FixtureRequest) -> Drivers:
    """Each pair in turn."""
    pair = request.param
    assert isinstance(pair, Drivers)
    return pair


@pytest.fixture(scope="module")
def mock(drivers: Drivers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a running mock with a quick pace."""
    with mock_running(drivers, tmp_path_factory.mktemp("mock"), cpus=set(), pace_ms=2) as port:
        yield port


def post(port: int, model: str, path: str = data.PATH["openai_chat"], *, chunked: bool = False) -> tuple[int, bytes]:
    """One request by a client that is not ours."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    body = data.request_body(model, stream=True)
    pieces = iter([body[:40], body[40:]]) if chunked else body
    connection.request("POST", path, pieces, {"Content-Type": "application/json"}, encode_chunked=chunked)
    response = connection.getresponse()
    answer = response.status, response.read()
    connection.close()
    return answer


def load_of(drivers: Drivers, load: Load, port: int, folder: Path) -> Cell:
    """Run a load, and see that nothing failed."""
    cell = run_load(drivers, load, port, folder, cpus=set())
    assert not is_void(cell), cell
    return cell


# --- fixed inputs ---


@pytest.mark.parametrize("stream", [False, True])
def test_request_has_its_size(stream: bool) -> None:
    body = data.request_body("door-bench-fast", stream=stream)
    assert len(body) == data.REQUEST_BYTES
    assert json.loads(body)["stream"] is stream


def test_answers_are_json() -> None:
    assert len(data.chat_answer()) == data.ANSWER_BYTES
    assert json.loads(data.chat_answer())["choices"][0]["message"]["content"]
    assert json.loads(data.claude_answer())["content"][0]["type"] == "text"


def test_streams_are_events() -> None:
    chat, claude = data.chat_events(), data.claude_events()
    assert (len(chat), len(claude)) == (data.CHAT_EVENTS, data.CLAUDE_EVENTS)
    assert chat[-1] == b"data: [DONE]\n\n"
    chunks = [json.loads(event.removeprefix(b"data: ")) for event in chat[:-1]]
    assert chunks[-1]["usage"]["completion_tokens"] == data.CHAT_EVENTS - 4
    assert 280 < len(STREAM) / len(chat) < 320
    for event in claude:
        name, payload = event.decode().removesuffix("\n\n").split("\n")
        assert json.loads(payload.removeprefix("data: "))["type"] == name.removeprefix("event: ")


# --- the mock ---


@pytest.mark.parametrize("model", ["bench-fast", "bench-split", "door-bench-paced", "bench-fast-203"])
def test_mock_streams_the_recording(mock: int, model: str) -> None:
    assert post(mock, model) == (200, STREAM)


def test_mock_answers_each_dialect(mock: int) -> None:
    assert post(mock, "bench-json") == (200, data.chat_answer())
    assert post(mock, "bench-json", data.PATH["claude"]) == (200, data.claude_answer())
    assert post(mock, "bench-split", data.PATH["claude"]) == (200, b"".join(data.claude_events()))


def test_mock_makes_as_many_events_as_asked(mock: int) -> None:
    for count in (5, 50, 450):
        events = re.findall(rb".+?\n\n", post(mock, f"bench-split-{count}")[1], re.DOTALL)
        assert len(events) == count
        assert events[0] == data.chat_events()[0]
        assert events[-3:] == data.chat_events()[-3:]


def test_mock_reads_chunked_bodies(mock: int) -> None:
    assert post(mock, "bench-json", chunked=True) == (200, data.chat_answer())


def test_mock_refuses_what_it_does_not_know(mock: int) -> None:
    refused = (404, b'{"error":{"message":"no such path or model"}}')
    assert post(mock, "bench-nothing") == refused
    assert post(mock, "gpt-5") == refused
    assert post(mock, "bench-fast-2") == refused
    assert post(mock, "bench-json", "/v1/embeddings") == refused


def test_mock_answers_pipelined_requests_in_order(mock: int) -> None:
    requests = b""
    for model in ("bench-json", "bench-fast-9", "bench-paced-5", "bench-json"):
        body = data.request_body(model, stream=True)
        last = b"Connection: close\r\n" if requests.count(b"POST") == 3 else b""
        requests += b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n%bContent-Length: %d\r\n\r\n%b" % (
            last, len(body), body,
        )  # fmt: skip
    with socket.create_connection(("127.0.0.1", mock), timeout=5) as client:
        for at in range(0, len(requests), 700):
            client.sendall(requests[at : at + 700])
        answers = b"".join(iter(lambda: client.recv(65536), b""))
    assert answers.count(b"HTTP/1.1 200 OK") == 4
    assert [answers.count(end) for end in (b"\n\n\r\n", b"data: [DONE]", data.chat_answer())] == [14, 2, 2]
    assert answers.endswith(data.chat_answer())


# --- the load generator ---


def test_pairs_count_the_same(drivers: Drivers, mock: int, tmp_path: Path) -> None:
    """What does not depend on speed is equal, to the byte."""
    split = load_of(drivers, Load("bench-split", 3, each=2, length=len(STREAM)), mock, tmp_path)
    assert (split["conns"], split["measured"], split["unfinished"]) == (3, 6, 0)
    assert (split["events"], split["bytes"]) == (6 * data.CHAT_EVENTS, 6 * len(STREAM))
    claude = load_of(drivers, Load("bench-fast", 2, each=1, dialect="claude"), mock, tmp_path)
    assert claude["events"] == 2 * data.CLAUDE_EVENTS
    answer = load_of(drivers, Load("bench-json", 2, each=5, length=data.ANSWER_BYTES), mock, tmp_path)
    assert (answer["measured"], answer["events"], answer["bytes"]) == (10, 0, 10 * data.ANSWER_BYTES)


def test_load_measures_time(drivers: Drivers, mock: int, tmp_path: Path) -> None:
    timed = load_of(drivers, Load("bench-json", 2, secs=0.2, warmup=0.05, think_ms=2), mock, tmp_path)
    assert 10 < timed["measured"] <= 200
    assert timed["rps"] == pytest.approx(timed["measured"] / 0.2, rel=0.01)
    assert 0 < timed["lat_ms"]["p50"] <= timed["lat_ms"]["p99"] <= timed["lat_ms"]["max"]
    paced = load_of(drivers, Load("bench-paced-50", 2, each=1), mock, tmp_path)
    assert paced["secs"] >= 49 * 0.002
    assert paced["ttft_ms"]["p50"] < paced["lat_ms"]["p50"]


def test_load_voids_what_fails(drivers: Drivers, mock: int, tmp_path: Path) -> None:
    wrong_length = run_load(drivers, Load("bench-json", 1, each=1, length=5), mock, tmp_path, cpus=set())
    assert (wrong_length["errors"], wrong_length["measured"]) == (1, 0)
    unknown = run_load(drivers, Load("bench-nothing", 1, each=1), mock, tmp_path, cpus=set())
    assert (unknown["non200"], unknown["measured"]) == (1, 0)
    assert is_void(wrong_length)
    assert is_void(unknown)


@pytest.mark.parametrize("answer", [
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: {}\n\n",
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\na\r\ndata: {}\n\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"",
], ids=["no terminator", "cut in chunks", "cut by length", "no chunk", "nothing"])  # fmt: skip
def test_load_notices_a_torn_answer(drivers: Drivers, tmp_path: Path, answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        body = tmp_path / "body"
        body.write_bytes(b"{}")
        options = {"port": server.getsockname()[1], "body": body, "each": 1, "terminator": "[DONE]", "limit": 5}
        command = [*drivers.load, *(str(word) for name, value in options.items() for word in (f"--{name}", value))]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            client, _ = server.accept()
            with client:
                client.recv(65536)
                client.sendall(answer)
                client.shutdown(socket.SHUT_WR)
                out, _ = process.communicate(timeout=8)
    cell = json.loads(out)
    assert (cell["errors"], cell["measured"]) == (1, 0)


def test_load_stays_on_loopback(drivers: Drivers, tmp_path: Path) -> None:
    command = [*drivers.load, "--host", "192.0.2.1", "--port", "80", "--body", str(tmp_path / "none")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=5)
    assert done.returncode == 2
    assert "loopback only" in done.stderr


# --- results ---


def cell_of(rps: float, *, errors: int = 0, conns: int = 500) -> Cell:
    """A cell with one figure that matters."""
    lat = Latency(mean=1.0, p50=1.0, p90=2.0, p99=3.0, max=4.0)
    return Cell(
        conns=conns, secs=1.0, measured=10, unfinished=0, rps=rps, lat_ms=lat, ttft_ms=lat, gapmax_ms=0.0, events=100,
        events_s=rps, bytes=1, MB_s=1.0, errors=errors, non200=0, driver="c", cpu_s=0.5, rss_before_mb=20.0,
        rss_peak_mb=28.0, rss_after_mb=25.0,
    )  # fmt: skip


def results_of(ours: list[Cell], direct: list[Cell]) -> Results:
    """A run of one target beside the mock, and one that was skipped."""
    cells = {"J1": ours, "J64": ours, "SS1": ours, "SS16": ours, "P100": ours, "P500": ours}
    targets = {
        "direct": TargetResult(
            version="", cold_listen_s=[], cold_start_s=[], cells={"J1": direct, "J64": direct, "SS16": direct}
        ),
        "dragoman-trio": TargetResult(
            version="1", cold_listen_s=[0.2], cold_start_s=[0.3], rss_idle_mb=20.0, cells=cells
        ),
        "nginx": TargetResult(
            version="", skipped="nginx is not installed", cold_listen_s=[], cold_start_s=[], cells={}
        ),
    }
    ratios, goals = judge_all(targets)
    meta = Meta(
        utc="2026-11-01T00:00:00+00:00", git="abc", cpu="any", cores=2, python="3.11", driver="c", plan="quick", versions={},
        load_before=0.0, load_after=0.0, secs=1.0, cut=False,
    )  # fmt: skip
    return Results(meta=meta, targets=targets, ratios=ratios, goals=goals)


def test_ratios_are_taken_within_rounds() -> None:
    results = results_of([cell_of(10), cell_of(100), cell_of(30)], [cell_of(100), cell_of(1000), cell_of(100)])
    assert results["ratios"]["dragoman-trio J64 rps/direct"] == {"median": 0.1, "min": 0.1, "max": 0.3}


def test_void_cells_do_not_count() -> None:
    results = results_of([cell_of(10), cell_of(99, errors=1)], [cell_of(100), cell_of(100)])
    assert results["ratios"]["dragoman-trio J64 rps/direct"]["max"] == 0.1
    assert "Void" in report.markdown(results)


def test_goals_judge_both_directions() -> None:
    more = Goal("J64", "rps", "direct", gate=1, goal=2)
    less = Goal("L", "p50", "direct", gate=2, goal=1, more_is_better=False)
    assert [more.judge(value) for value in (0.5, 1, 2)] == ["below", "gate", "goal"]
    assert [less.judge(value) for value in (3, 2, 1)] == ["below", "gate", "goal"]


def test_a_target_that_finishes_nothing_has_no_latency() -> None:
    slow = cell_of(0)
    slow["measured"] = 0
    assert not is_void(slow)
    assert math.isnan(METRICS["p50"](slow))


def test_memory_is_told_for_each_stream() -> None:
    assert kb_per_stream(cell_of(1, conns=500)) == 16.0


def test_report_has_tables_and_charts(tmp_path: Path) -> None:
    results = results_of([cell_of(10)], [cell_of(100)])
    text = report.markdown(json.loads(json.dumps(results, allow_nan=False)))
    for table in re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE):
        assert len({line.count("|") for line in table.strip().split("\n")}) == 1
    assert "nginx skipped: nginx is not installed" in text
    charts = report.write_charts(results, tmp_path / "run")
    assert [path.name for path in charts] == ["run-events.svg", "run-memory.svg"]
    for path in charts:
        lines = ElementTree.parse(path).getroot().findall("{http://www.w3.org/2000/svg}polyline")
        assert lines
        for line in lines:
            for point in line.attrib["points"].split():
                x, y = map(float, point.split(","))
                assert 0 <= x <= report.WIDTH
                assert 0 <= y <= report.HEIGHT


def test_numbers_have_three_digits() -> None:
    shown = [report.number(v) for v in (math.nan, 0.0, 0.04567, 3.14159, 999.6, 412345.0)]
    assert shown == ["–", "0", "0.0457", "3.14", "1,000", "412,000"]
