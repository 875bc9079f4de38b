"""What transports are tested against: providers and proxies of plain threads and blocking sockets, all bounded."""

import base64
import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator

PATIENCE = 5  # seconds for anything at all


class Peer:
    """A listening thread, and one for each connection.

    Attributes:
        port: Where it listens.
        accepted: Connections so far.
        left_at: When each connection's other side closed, as its handler noticed; `time.monotonic`.

    """

    def __init__(self, handle: Callable[[socket.socket], None], tls: ssl.SSLContext | None, family: int) -> None:
        self._handle = handle
        self._tls = tls
        self._listener = socket.create_server(
            ("::1" if family == socket.AF_INET6 else "127.0.0.1", 0), family=family, backlog=512
        )
        self._ending = threading.Event()
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self.address = self._listener.getsockname()
        self.port: int = self.address[1]
        self.accepted = 0
        self.left_at: list[float] = []
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            if self._ending.is_set():
                sock.close()
                return
            self.accepted += 1
            sock.settimeout(PATIENCE)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets.append(sock)
            thread = threading.Thread(target=self._converse, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _converse(self, sock: socket.socket) -> None:
        with contextlib.ExitStack() as stack:
            stack.enter_context(sock)
            with contextlib.suppress(OSError):
                if self._tls is not None:
                    sock = stack.enter_context(self._tls.wrap_socket(sock, server_side=True))
                self._handle(sock)
            self.left_at.append(time.monotonic())

    def wait_until_left(self, count: int = 1) -> float:
        """Wait until so many connections are over; returns when the last one was."""
        end = time.monotonic() + PATIENCE
        while len(self.left_at) < count:
            assert time.monotonic() < end, "the connection was not closed"
            time.sleep(0.002)
        return self.left_at[count - 1]

    def close(self) -> None:
        """End everything."""
        self._ending.set()
        # close() does not wake a blocked accept(); a last connection does.
        with contextlib.suppress(OSError), socket.create_connection(self.address[:2]):
            pass
        self._acceptor.join(PATIENCE)
        self._listener.close()
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()


@contextlib.contextmanager
def peer(
    handle: Callable[[socket.socket], None], *, tls: ssl.SSLContext | None = None, family: int = socket.AF_INET
) -> Iterator[Peer]:
    """Listen with a handler for each connection; the socket is closed when the handler returns."""
    one = Peer(handle, tls, family)
    try:
        yield one
    finally:
        one.close()


def echo_lines(sock: socket.socket) -> None:
    """Answer each line with itself and ``end``."""
    kept = b""
    while data := sock.recv(65536):
        kept += data
        while b"\n" in kept:
            line, _, kept = kept.partition(b"\n")
            sock.sendall(line + b"\nend\n")


def listen_only(sock: socket.socket) -> None:
    """Read and say nothing, until the other side closes."""
    with contextlib.suppress(ConnectionResetError):
        while sock.recv(65536):
            pass


def reset(sock: socket.socket) -> None:
    """Close with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def read_to_end(sock: socket.socket) -> bytes:
    """Everything until the other side closes."""
    pieces = []
    while data := sock.recv(65536):
        pieces.append(data)
    return b"".join(pieces)


def read_until(sock: socket.socket, end: bytes) -> bytes:
    """Everything up to `end`."""
    data = b""
    while not data.endswith(end):
        piece = sock.recv(65536)
        assert piece, f"closed after {data[-200:]!r}"
        data += piece
    return data


def connect_proxy(user: str | None = None, status: bytes = b"200 OK") -> Callable[[socket.socket], None]:
    """Make the handler of an HTTP proxy: CONNECT, checking ``user:password`` if given."""

    def handle(sock: socket.socket) -> None:
        head = read_until(sock, b"\r\n\r\n")
        wanted = b"Proxy-Authorization: Basic " + base64.b64encode((user or "").encode())
        if user is not None and wanted.lower() not in head.lower():
            sock.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        host, _, port = head.split()[1].decode().rpartition(":")
        sock.sendall(b"HTTP/1.1 " + status + b"\r\n\r\n")
        if status.startswith(b"2"):
            _relay(sock, (host.strip("[]"), int(port)))

    return handle


def socks_proxy(user: str | None = None, reply: int = 0) -> Callable[[socket.socket], None]:
    """Make the handler of a SOCKS5 proxy, checking ``user:password`` if given."""

    def handle(sock: socket.socket) -> None:
        assert _read(sock, 1) == b"\x05"
        methods = _read(sock, _read(sock, 1)[0])
        if user is None:
            sock.sendall(b"\x05\x00")
        else:
            assert 2 in methods
            sock.sendall(b"\x05\x02")
            assert _read(sock, 1) == b"\x01"
            name = _read(sock, _read(sock, 1)[0])
            word = _read(sock, _read(sock, 1)[0])
            is_right = name + b":" + word == user.encode()
            sock.sendall(b"\x01\x00" if is_right else b"\x01\x01")
            if not is_right:
                return
        kind = _read(sock, 4)[3]
        if kind == 1:
            host = socket.inet_ntop(socket.AF_INET, _read(sock, 4))
        elif kind == 4:
            host = socket.inet_ntop(socket.AF_INET6, _read(sock, 16))
        else:
            host = _read(sock, _read(sock, 1)[0]).decode()
        port = int.from_bytes(_read(sock, 2), "big")
        sock.sendall(bytes([5, reply, 0, 1, 127, 0, 0, 1, 0, 0]))
        if not reply:
            _relay(sock, (host, port))

    return handle


def _read(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = sock.recv(count - len(data))
        assert piece
        data += piece
    return data


def _relay(one: socket.socket, address: tuple[str, int]) -> None:
    with socket.create_connection(address, PATIENCE) as other:

        def back() -> None:
            with contextlib.suppress(OSError):
                while data := other.recv(65536):
                    one.sendall(data)
                one.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=back, daemon=True)
        thread.start()
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
        with contextlib.suppress(OSError):
            other.shutdown(socket.SHUT_RDWR)
        thread.join(PATIENCE)
