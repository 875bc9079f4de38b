"""What commands ask of a running gateway or a provider: one short request, by the standard library alone.

No proxy is asked and no redirect followed: the answer of what is at the address itself is wanted.
"""

import http.client
import json
import math
import socket
import ssl
import time
from collections.abc import Mapping
from typing import Any, Final

import attrs

from dragoman import __version__
from dragoman.core.urls import Url, split_url
from dragoman.transports.tls import explain, upstream_context

MAX_BYTES: Final = 16 * 1024 * 1024
PATIENCE: Final = 5.0  # seconds


@attrs.frozen
class Asked:
    """What came of a question.

    Attributes:
        status: Of the answer; 0 when there was none.
        headers: By name in lower case.
        body: All of it.
        fault: Why there was no answer; empty when there was.
        at: When it came, epoch seconds.

    """

    status: int = 0
    headers: Mapping[str, str] = attrs.field(factory=dict)
    body: bytes = b""
    fault: str = ""
    at: float = 0.0

    @property
    def json(self) -> Any:
        """The body as JSON; None when it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


def ask(
    root: str,
    path: str,
    *,
    headers: Mapping[str, str] | None = None,
    method: str = "GET",
    body: bytes | None = None,
    patience: float = PATIENCE,
    ca_file: str | None = None,
    trust: str | None = None,
) -> Asked:
    """Ask once.

    Args:
        root: The URL of the server, with the path that comes before `path`, if any.
        path: What is asked for.
        headers: Sent besides.
        method: Of HTTP.
        body: Sent along.
        patience: Seconds for each step.
        ca_file: A PEM file of more trust roots.
        trust: A PEM file with a certificate to trust, whatever name it is for: the gateway's own.

    """
    try:
        url = split_url(root)
    except ValueError as error:
        return Asked(fault=f"not a URL that can be asked: {error}")
    if url.scheme not in ("http", "https"):
        return Asked(fault="not a URL that can be asked: expected http or https")
    connection = _connection(url, patience, ca_file, trust)
    try:
        sent = {"User-Agent": f"dragoman/{__version__}", **(headers or {})}
        connection.request(method, url.path.rstrip("/") + path, body, sent)
        answer = connection.getresponse()
        found = answer.read(MAX_BYTES)
        return Asked(answer.status, {name.lower(): value for name, value in answer.getheaders()}, found, at=time.time())
    except ssl.SSLError as error:
        return Asked(fault=explain(error))
    except TimeoutError:
        return Asked(fault=f"no answer within {math.ceil(patience)} s")
    except socket.gaierror:
        return Asked(fault=f"the name {url.host} cannot be resolved")
    except http.client.HTTPException as error:
        return Asked(fault=f"what came back is not HTTP ({type(error).__name__})")
    except OSError as error:
        return Asked(fault=error.strerror or str(error) or type(error).__name__)
    finally:
        connection.close()


def bearer(key: str | None) -> dict[str, str]:
    """The header that shows a client key; none without one."""
    return {"Authorization": f"Bearer {key}"} if key else {}


def _connection(url: Url, patience: float, ca_file: str | None, trust: str | None) -> http.client.HTTPConnection:
    if url.scheme != "https":
        return http.client.HTTPConnection(url.host, url.port, timeout=patience)
    if trust is None:
        return http.client.HTTPSConnection(url.host, url.port, timeout=patience, context=upstream_context(ca_file))
    context = ssl.create_default_context(cafile=trust)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the file may hold the certificate without its root
    context.check_hostname = False  # it is that very certificate, or one that it signed
    return http.client.HTTPSConnection(url.host, url.port, timeout=patience, context=context)
