"""Listening sockets, bound before an event loop runs: a taken port is an error at the start, with a sentence that says so."""

import contextlib
import errno
import os
import socket
import stat

BACKLOG = 1024


class ListenError(Exception):
    """An address cannot be listened on; the message says which and why."""


def listen_tcp(host: str, port: int) -> list[socket.socket]:
    """Listen on `host`, each of its addresses; an empty host means all interfaces, both IP versions.

    Raises:
        ListenError: One of the addresses is taken, or not ours.

    """
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ListenError(f"cannot listen on {host!r}: {getattr(error, 'strerror', None) or error}") from None
    listeners: list[socket.socket] = []
    for family, kind, protocol, _, address in dict.fromkeys(found):
        try:
            listener = socket.socket(family, kind, protocol)
        except OSError:
            continue  # the machine has no such family
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if port == 0 and listeners:  # one free port for all addresses
                address = (address[0], listeners[0].getsockname()[1], *address[2:])
            listener.bind(address)
            listener.listen(BACKLOG)
            listener.setblocking(False)
        except OSError as error:
            listener.close()
            has_other = any(other != family for other, *_ in found)
            is_off = error.errno == errno.EADDRNOTAVAIL and has_other
            if family == socket.AF_INET6 and (is_off or (listeners and not host)):
                continue  # IPv6 is switched off here; `localhost` and "all interfaces" mean it only where it is on
            for other in listeners:
                other.close()
            raise ListenError(f"cannot listen on {host or '*'}:{port}: {error.strerror or error}") from None
        listeners.append(listener)
    if not listeners:
        raise ListenError(f"cannot listen on {host!r}: it has no address of this machine")
    return listeners


def listen_unix(path: str) -> socket.socket:
    """Listen on a Unix socket that only its owner can use.

    A socket that is left from a run that is over is replaced; one that somebody listens on, and any other file, is not.

    Raises:
        ListenError: It cannot be.

    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        mask = os.umask(0o177)
        try:
            listener.bind(path)
        finally:
            os.umask(mask)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise ListenError(f"cannot listen on {path}: {error.strerror or error}") from None
    return listener


def _remove_stale(path: str) -> None:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(0, "a file of that name is there, and it is no socket")
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
        probe.setblocking(False)  # somebody whose queue is full would keep us waiting
        try:
            probe.connect(path)
        except BlockingIOError:
            pass
        except ConnectionRefusedError:
            os.unlink(path)
            return
    raise OSError(0, "somebody listens there")


def close_listener(listener: socket.socket) -> None:
    """Close it, and take a Unix socket's file away."""
    path = listener.getsockname() if listener.family == socket.AF_UNIX else None
    listener.close()
    if path:
        with contextlib.suppress(OSError):
            os.unlink(path)


def describe(listener: socket.socket) -> str:
    """Where it listens, for people."""
    if listener.family == socket.AF_UNIX:
        return f"unix:{listener.getsockname()}"
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
