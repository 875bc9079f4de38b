"""Certificates for tests, made once."""

import datetime
import ssl
from functools import lru_cache
from pathlib import Path

import trustme


@lru_cache(1)
def authority() -> trustme.CA:
    """Who signs what tests trust."""
    return trustme.CA()


@lru_cache(8)
def serving(*names: str, is_trusted: bool = True, is_expired: bool = False) -> ssl.SSLContext:
    """A server's context with a certificate for `names`."""
    issuer = authority() if is_trusted else trustme.CA()
    until = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC) if is_expired else None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issuer.issue_cert(*names, not_after=until).configure_cert(context)
    return context


def trusting() -> ssl.SSLContext:
    """A client's context that trusts `authority`."""
    context = ssl.create_default_context()
    authority().configure_trust(context)
    return context


def write_ca_file(folder: Path) -> str:
    """The roots as a PEM file."""
    path = folder / "roots.pem"
    authority().cert_pem.write_to_path(str(path))
    return str(path)
