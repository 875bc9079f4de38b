"""TLS contexts. `ssl` is loaded only when somebody speaks TLS: it takes a fifth of a start.

Upstream certificates are always checked, names too. Trust roots: the system's own through truststore where that works, else certifi's,
and the `ca_file` of an origin besides.
"""

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl


@lru_cache(64)
def upstream_context(ca_file: str | None) -> "ssl.SSLContext":
    """For connections to providers."""
    import ssl

    if ca_file is None:
        try:
            import truststore

            context: ssl.SSLContext = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        except ImportError:
            context = ssl.create_default_context()
        if not _has_roots():
            import certifi

            context = ssl.create_default_context(cafile=certifi.where())
    else:
        # truststore verifies after the handshake through the system; an extra root needs OpenSSL's own verification.
        import certifi

        context = ssl.create_default_context(cafile=certifi.where())
        context.load_default_certs()
        context.load_verify_locations(ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _has_roots() -> bool:
    """Whether OpenSSL finds trust roots of the system (macOS and Windows keep them elsewhere, truststore knows where)."""
    import os
    import ssl
    import sys

    paths = ssl.get_default_verify_paths()
    return sys.platform in {"darwin", "win32"} or any(
        path and os.path.exists(path) for path in (paths.cafile, paths.capath)
    )


def server_context(cert: str, key: str) -> "ssl.SSLContext":
    """For serving HTTPS.

    Args:
        cert: PEM file of the certificate chain.
        key: PEM file of its private key.

    Raises:
        OSError: They cannot be read, or do not belong together (`ssl.SSLError`).

    """
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(cert, key)
    context.set_alpn_protocols(["http/1.1"])
    return context


def explain(error: Exception) -> str:
    """What is wrong with a handshake, for people.

    >>> explain(ConnectionResetError(104, "Connection reset by peer"))
    'the TLS handshake failed: Connection reset by peer'
    """
    import ssl

    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message or error}"
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or str(error)).replace("_", " ").lower()
        if "wrong version number" in reason or "record layer failure" in reason:
            return "it does not speak TLS (is the URL to begin with http:// instead?)"
        return f"the TLS handshake failed: {reason}"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
    return f"the TLS handshake failed: {text}"
