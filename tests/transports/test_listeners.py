"""Listening sockets."""

import contextlib
import os
import socket
import stat
from pathlib import Path

import pytest

from dragoman.transports.listeners import ListenError, close_listener, describe, listen_tcp, listen_unix


def close(listeners: list[socket.socket]) -> None:
    """All of them."""
    for listener in listeners:
        close_listener(listener)


def test_any_port_is_one_port() -> None:
    """The same for all addresses."""
    listeners = listen_tcp("", 0)
    assert len({listener.getsockname()[1] for listener in listeners}) == 1
    assert not any(listener.getblocking() for listener in listeners)
    close(listeners)


def test_taken_port() -> None:
    """A sentence that says so, and nothing is left open."""
    listeners = listen_tcp("127.0.0.1", 0)
    port = listeners[0].getsockname()[1]
    with pytest.raises(ListenError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
        listen_tcp("127.0.0.1", port)
    close(listeners)


def test_address_of_another_machine() -> None:
    """It cannot be bound."""
    with pytest.raises(ListenError, match=r"cannot listen on 192\.0\.2\.1:0: "):
        listen_tcp("192.0.2.1", 0)


@pytest.mark.parametrize("host", ["no..such", "no such"])
def test_name_of_nobody(host: str) -> None:
    """It does not resolve."""
    with pytest.raises(ListenError, match=f"cannot listen on '{host}': "):
        listen_tcp(host, 0)


def test_description() -> None:
    """For people."""
    listeners = listen_tcp("127.0.0.1", 0)
    assert describe(listeners[0]) == f"127.0.0.1:{listeners[0].getsockname()[1]}"
    close(listeners)


def test_unix_socket(tmp_path: Path) -> None:
    """Its owner's, and gone afterwards."""
    path = tmp_path / "socket"
    mask = os.umask(0)
    try:
        listener = listen_unix(str(path))
        assert os.umask(0) == 0
    finally:
        os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert describe(listener) == f"unix:{path}"
    with pytest.raises(ListenError, match="somebody listens there"):
        listen_unix(str(path))
    close_listener(listener)
    assert not path.exists()


def test_stale_unix_socket_is_replaced(tmp_path: Path) -> None:
    """One that is left from a run that is over."""
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    listener = listen_unix(str(path))
    close_listener(listener)


def test_other_files_stay(tmp_path: Path) -> None:
    """Whatever is there and is no socket."""
    path = tmp_path / "file"
    path.write_text("precious")
    with pytest.raises(ListenError, match="no socket"):
        listen_unix(str(path))
    assert path.read_text() == "precious"


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    """A sentence, and no socket left open."""
    with pytest.raises(ListenError, match="No such file"):
        listen_unix(str(tmp_path / "nowhere" / "socket"))


@pytest.mark.parametrize("order", [1, -1])
def test_name_on_a_machine_without_ipv6(monkeypatch: pytest.MonkeyPatch, order: int) -> None:
    """`localhost` names both families; where one is off, it means the other. Its own address alone is a mistake."""
    there = socket.getaddrinfo("127.0.0.1", 0, type=socket.SOCK_STREAM)[0]
    off = (socket.AF_INET6, there[1], there[2], "", ("2001:db8::1", 0, 0, 0))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [there, off][::order])
    listeners = listen_tcp("localhost", 0)
    assert [one.family for one in listeners] == [socket.AF_INET]
    close(listeners)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [off])
    with pytest.raises(ListenError):
        listen_tcp("localhost", 0)


def test_unix_socket_with_a_full_queue(tmp_path: Path) -> None:
    """Somebody listens, and has no time: that is told at once."""
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as busy, contextlib.ExitStack() as waiting:
        busy.bind(path)
        busy.listen(0)
        for _ in range(4):
            guest = waiting.enter_context(socket.socket(socket.AF_UNIX))
            guest.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                guest.connect(path)
        with pytest.raises(ListenError, match="somebody listens there"):
            listen_unix(path)
