"""Lines arrive whole and in order, and nobody waits for a stuck reader."""

import os
import subprocess
import sys
import threading
import time

import pytest

from dragoman.adapters import line_writer
from dragoman.adapters.line_writer import LineWriter


class Sink:
    """Takes bytes, a few at a time, once it is open."""

    def __init__(self, *, is_open: bool = True, at_once: int = 1 << 20) -> None:
        self.data = b""
        self.calls = 0
        self.at_once = at_once
        self.gate = threading.Event()
        self.entered = threading.Event()
        if is_open:
            self.gate.set()

    def __call__(self, data: bytes) -> int:
        """Write."""
        self.entered.set()
        self.gate.wait()
        self.calls += 1
        self.data += data[: self.at_once]
        return min(len(data), self.at_once)


def test_lines_arrive_in_batches() -> None:
    """All of them, in order, in far fewer writes."""
    sink = Sink()
    writer = LineWriter(sink)
    for i in range(5000):
        writer.write(f"line {i}")
    writer.close()
    assert sink.data.decode().split("\n") == [*(f"line {i}" for i in range(5000)), ""]
    assert sink.calls < 100


def test_lines_arrive_without_closing() -> None:
    """Soon; and again after a pause."""
    sink = Sink()
    writer = LineWriter(sink)
    for line in ("one", "two"):
        writer.write(line)
        deadline = time.monotonic() + 5
        while not sink.data.endswith(f"{line}\n".encode()) and time.monotonic() < deadline:
            time.sleep(0.005)
        assert sink.data.endswith(f"{line}\n".encode())
    writer.close()


def test_short_writes_are_completed() -> None:
    """A pipe takes what fits."""
    sink = Sink(at_once=3)
    writer = LineWriter(sink)
    writer.write("a long line, seen from here: \N{SNOWMAN} \ud800")
    writer.close()
    assert sink.data == b"a long line, seen from here: \xe2\x98\x83 \\ud800\n"


def test_a_stuck_reader_costs_old_lines_only() -> None:
    """Writing stays quick; the newest lines are kept, and the gap is told."""
    sink = Sink(is_open=False)
    writer = LineWriter(sink, capacity=10)
    writer.write("first")
    assert sink.entered.wait(5)
    started = time.monotonic()
    for i in range(1000):
        writer.write(f"line {i}")
    assert time.monotonic() - started < 1
    sink.gate.set()
    writer.close(5)
    expected = ["first", "level=warning event=lines_dropped count=990", *(f"line {i}" for i in range(990, 1000)), ""]
    assert sink.data.decode().split("\n") == expected


def test_closing_waits_for_a_stuck_reader_only_so_long() -> None:
    """The process must be able to end."""
    sink = Sink(is_open=False)
    writer = LineWriter(sink)
    writer.write("stuck")
    started = time.monotonic()
    writer.close(0.05)
    assert 0.04 < time.monotonic() - started < 2
    sink.gate.set()


def test_closing_without_a_line() -> None:
    """There is no thread to wait for."""
    LineWriter(Sink()).close()


def test_a_reader_that_is_gone() -> None:
    """Lines are lost, the writer lives."""
    calls: list[bytes] = []

    def send(data: bytes) -> int:
        calls.append(data)
        if len(calls) == 1:
            raise BrokenPipeError
        return len(data)

    writer = LineWriter(send)
    writer.write("lost")
    while not calls:
        time.sleep(0.001)
    writer.write("kept")
    writer.close()
    assert calls[-1] == b"kept\n"


@pytest.mark.parametrize("recovers", [True, False])
def test_a_descriptor_that_does_not_block(recovers: bool) -> None:
    """It is tried again, but not for ever after closing."""
    calls: list[bytes] = []

    def send(data: bytes) -> int:
        calls.append(data)
        if not recovers or len(calls) < 3:
            raise BlockingIOError
        return len(data)

    writer = LineWriter(send)
    writer.write("patient")
    while len(calls) < 3:
        time.sleep(0.001)
    writer.close(5)
    assert set(calls) == {b"patient\n"}


def test_stderr_by_default(capfd: pytest.CaptureFixture[str]) -> None:
    """The descriptor, not the stream."""
    writer = LineWriter()
    writer.write("to stderr")
    writer.close()
    assert capfd.readouterr().err == "to stderr\n"


def test_exit_flushes() -> None:
    """Also what is written after closing."""
    code = (
        "from dragoman.adapters.line_writer import LineWriter\n"
        "w = LineWriter(); w.write('one'); w.close(); w.write('two')\n"
        "LineWriter().write('three')\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True)
    assert sorted(run.stderr.split()) == ["one", "three", "two"]


def test_the_process_ends_with_stderr_stuck() -> None:
    """A full pipe that nobody reads delays the end by the patience, and does not crash the interpreter."""
    code = (
        "from dragoman.adapters.line_writer import LineWriter\n"
        "w = LineWriter()\n"
        "for i in range(9000): w.write('x' * 100)\n"
        "w.close(0.2)\n"
    )
    read, write = os.pipe()
    try:
        run = subprocess.run([sys.executable, "-c", code], stderr=write, timeout=20, check=False)
    finally:
        os.close(read)
        os.close(write)
    assert run.returncode == 0
    assert line_writer.CAPACITY * 100 > 65536
