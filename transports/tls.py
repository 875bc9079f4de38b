"""TLS: contexts, what is wrong with a handshake in words, and a pipe that does TLS without a socket.

Upstream certificates are always checked, names too. Trust roots: the system's own (OpenSSL's files; on macOS and Windows through
truststore), else certifi's, and the `ca_file` of an origin besides. They are read once in the life of the process: it takes 40 ms.
"""

import contextlib
import os
import ssl
import sys
from functools import lru_cache
from typing import Final

_RECORD: Final = 64 * 1024  # read at a time; a record is at most 16 KiB


class RootsError(OSError):
    """A file of trust roots cannot be used."""


@lru_cache(64)
def upstream_context(ca_file: str | None) -> ssl.SSLContext:
    """Make the context for connections to providers.

    Args:
        ca_file: PEM file of extra trust roots, or None.

    Raises:
        RootsError: `ca_file` cannot be read, or is none.

    """
    # truststore asks the system after the handshake, on macOS and Windows; extra roots need OpenSSL's own verification.
    context = (_asking_context() if ca_file is None else None) or _reading_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:
            raise RootsError(f"its roots cannot be read from {ca_file}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _asking_context() -> ssl.SSLContext | None:
    """Make a context that asks the system, where it keeps its roots out of OpenSSL's sight."""
    # Elsewhere truststore reads the files of roots anew for every connection, which holds up everybody for as long.
    platform: str = sys.platform
    if platform not in {"darwin", "win32"}:
        return None
    try:
        import truststore
    except ImportError:  # an older Python or an unusual one
        return None
    context: ssl.SSLContext = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return context


def _reading_context() -> ssl.SSLContext:
    """Make a context with the roots of the system's files; in a bare container, which has none, with certifi's."""
    paths = ssl.get_default_verify_paths()
    if any(path and os.path.exists(path) for path in (paths.cafile, paths.capath)):
        return ssl.create_default_context()
    return _certifi_context()


def _certifi_context() -> ssl.SSLContext:
    import certifi

    return ssl.create_default_context(cafile=certifi.where())


def server_context(cert: str, key: str) -> ssl.SSLContext:
    """Make the context for serving HTTPS.

    Args:
        cert: PEM file of the certificate chain.
        key: PEM file of its private key.

    Raises:
        OSError: They cannot be read, or do not belong together (`ssl.SSLError`).

    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(cert, key)
    context.set_alpn_protocols(["http/1.1"])
    return context


def explain(error: Exception) -> str:
    """Say what is wrong with a handshake, for people.

    >>> explain(ConnectionResetError(104, "Connection reset by peer"))
    'the TLS handshake failed: Connection reset by peer'
    """
    if isinstance(error, RootsError):
        return str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message or error}"
    if isinstance(error, ssl.SSLEOFError):
        return "the TLS handshake failed: the connection was closed"
    if isinstance(error, ssl.SSLError):
        reason = (getattr(error, "reason", None) or str(error)).replace("_", " ").lower()
        if any(sign in reason for sign in _NOT_TLS):
            return "it does not speak TLS (is the URL to begin with http:// instead?)"
        return f"the TLS handshake failed: {reason}"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
    return f"the TLS handshake failed: {text}"


# What OpenSSL 1.1 and 3 say of bytes that are no TLS record.
_NOT_TLS: Final = ("wrong version number", "record layer failure", "packet length too long", "http request")


class TLSPipe:
    """One end of a TLS connection, sans-IO: encrypted bytes in and out on one side, plain ones on the other.

    `ssl.SSLSocket` on a non-blocking socket would do, but for three things: older versions of truststore check nothing
    through it, the system's poll does not know of the bytes it has decrypted, and a half-closed one speaks in the clear.

    Args:
        context: Roots or certificate.
        server_hostname: What the peer's certificate is checked against; None on the server's side.

    Attributes:
        is_at_end: The peer said good-bye, closed, or broke the protocol: nothing more can be read.

    """

    def __init__(self, context: ssl.SSLContext, *, server_hostname: str | None = None) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_hostname is None, server_hostname=server_hostname
        )
        self.is_at_end = False

    def shake_hands(self) -> bool:
        """Go on with the handshake; then send what `take` returns.

        Returns:
            Whether it is done; if not, `feed` more.

        Raises:
            ssl.SSLError: It failed; an alert for the peer may be there to `take`.

        """
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def feed(self, data: bytes) -> None:
        """Take what the peer sent; nothing: it closed."""
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def read(self) -> bytes:
        """Return all plain bytes that are here; none: `feed` more, unless `is_at_end`."""
        pieces = []
        try:
            while piece := self._tls.read(_RECORD):
                pieces.append(piece)
            self.is_at_end = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:  # the end without a good-bye, or no TLS any more: either way the stream is cut here
            self.is_at_end = True
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def write(self, data: bytes) -> None:
        """Encrypt; then send what `take` returns.

        Raises:
            ssl.SSLError: The connection is broken.

        """
        rest = memoryview(data)
        while rest:
            rest = rest[self._tls.write(rest) :]  # one record at a time

    def finish(self) -> None:
        """Say good-bye; then send what `take` returns."""
        with contextlib.suppress(ssl.SSLError):  # the peer has not said good-bye yet, and need not
            self._tls.unwrap()

    def take(self) -> bytes:
        """Return what is to be sent to the peer."""
        return self._outgoing.read() if self._outgoing.pending else b""
