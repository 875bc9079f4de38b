"""Client keys: who may call.

Keys are compared by their SHA-256, so that the time it takes tells nothing of how much of a guess was right; the digests are compared in
constant time besides.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence

from dragoman.core.config import ClientKey
from dragoman.core.errors import AccessDenied

_ENCODED = re.compile(rb"%([0-9A-Fa-f]{2})")

ANONYMOUS = ClientKey(key="", label="")
CANARY = ClientKey(key="", label="canary")  # of requests that the gateway makes itself; nobody can show it


class ClientKeys:
    """The client keys of a configuration.

    Args:
        keys: The keys.
        allow_open: Let callers in without one, if there are no keys at all.

    """

    def __init__(self, keys: Sequence[ClientKey], *, allow_open: bool = False) -> None:
        self._by_digest = {digest: (digest, key) for key in keys for digest in [_digest(key)]}
        self._is_open = allow_open and not keys

    def check(self, fields: Mapping[bytes, bytes], query: str) -> ClientKey:
        """Find the caller's key.

        Args:
            fields: Request headers, names in lower case.
            query: The query of the target, without ``?``.

        Returns:
            The key it showed. Claude Code sends one key in two headers, some send an empty one beside it: any that fits will do.

        Raises:
            AccessDenied: It showed none, or none we know.

        """
        if self._is_open:
            return ANONYMOUS
        shown = _shown_keys(fields, query)
        for secret in shown:
            digest = hashlib.sha256(secret).digest()
            found = self._by_digest.get(digest)
            if found is not None and hmac.compare_digest(found[0], digest):
                return found[1]
        if shown:
            raise AccessDenied("This client key is not known here. The operator lists the keys under `api-keys`.")
        raise AccessDenied(
            "A client key is needed: send it as `Authorization: Bearer <key>`, `x-api-key`, `x-goog-api-key` or `?key=`."
        )


def _digest(key: ClientKey) -> bytes:
    return bytes.fromhex(key.key_hash) if key.key_hash else hashlib.sha256(key.key.encode()).digest()


def _shown_keys(fields: Mapping[bytes, bytes], query: str) -> list[bytes]:
    shown = []
    authorization = fields.get(b"authorization")
    if authorization:
        scheme, _, rest = authorization.partition(b" ")
        # A value without a scheme is taken whole: other gateways of this kind do, so clients are configured that way.
        shown.append(rest.strip() if scheme.lower() == b"bearer" and rest.strip() else authorization)
    shown += [fields[name] for name in (b"x-api-key", b"x-goog-api-key", b"api-key") if fields.get(name)]
    for pair in query.split("&") if query else ():
        name, _, value = pair.partition("=")
        if name in {"key", "auth_token"} and value:
            shown.append(percent_decode(value))
    return shown


def percent_decode(text: str) -> bytes:
    """Undo percent-encoding (RFC 3986, section 2.1); what is not valid stays as it is.

    >>> percent_decode("a%2Fb%zz")
    b'a/b%zz'
    """
    return _ENCODED.sub(lambda match: bytes.fromhex(match[1].decode("ascii")), text.encode())
