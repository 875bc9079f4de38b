"""Tokens that change while exchanges run: the same credential, another secret.

A target made from a configuration keeps its place in plans that are under way; its token is looked up here when the request is written, so that an
exchange that waited for a renewal goes on with the new one.
"""

import hashlib
from collections import deque
from typing import Final

_REMEMBERED: Final = 8  # old tokens of a credential


class Token:
    """The present token of a credential.

    Attributes:
        line: The header line that shows it.

    """

    __slots__ = ("_past", "_present", "line")

    def __init__(self) -> None:
        self.line = b""
        self._present = b""
        self._past: deque[bytes] = deque(maxlen=_REMEMBERED)

    def renew(self, secret: str) -> None:
        """The provider gave a new one: the one before is of the past, whoever still says it."""
        if self._present:
            self._past.append(self._present)
        self._take(secret)

    def offer(self, secret: str) -> bool:
        """A configuration says this one. Returns whether it replaces another.

        A file that was read before a renewal was written to it says a token of the past: that is no news.
        """
        digest = _digest(secret)
        if not secret:  # none is said: it comes with the first renewal
            return False
        if digest == self._present or digest in self._past:
            return False
        is_other = self._present != b""
        self._take(secret)
        return is_other

    def _take(self, secret: str) -> None:
        self._present = _digest(secret)
        self.line = b"authorization: Bearer %b\r\n" % secret.encode("latin-1")


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


class Tokens:
    """The tokens of all credentials whose secret may change, by identity."""

    def __init__(self) -> None:
        self._found: dict[str, Token] = {}

    def __getitem__(self, identity: str) -> Token:
        token = self._found.get(identity)
        if token is None:
            token = self._found[identity] = Token()
        return token

    def keep(self, identities: set[str]) -> None:
        """Forget all others. Plans under way keep the token they hold."""
        self._found = {identity: token for identity, token in self._found.items() if identity in identities}
