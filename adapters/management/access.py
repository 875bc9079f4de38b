"""Who may manage: the secret of the configuration or of the environment, shown in one of three headers; never a client's key.

A plain secret is compared in constant time at once. A bcrypt hash takes long on purpose, so it is checked in a worker thread, one at a time; whose key
was right last is remembered by a digest. Wrong keys make a peer wait (`dragoman.core.lockouts`).
"""

import hashlib
import hmac
import ipaddress
import math
import threading
from collections.abc import Callable, Mapping
from typing import Final

from dragoman.core.config import Management
from dragoman.core.effects import LocalAnswer, LocalRequest, Step
from dragoman.core.lockouts import Lockouts

_HEADERS: Final = (b"x-management-key", b"x-management-secret")
# Whoever speaks for somebody else says so: then the peer is a proxy, however near.
_FORWARDED: Final = (b"forwarded", b"x-forwarded-for", b"x-real-ip")
_BCRYPT: Final = ("$2a$", "$2b$", "$2y$")
_LONGEST_BCRYPT: Final = 72  # bytes; it knows no longer ones


class Access:
    """Lets in who shows the secret.

    Args:
        now: The clock, epoch seconds.

    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lockouts = Lockouts()
        self._lock = threading.Lock()  # of what follows, and of checking hashes: guesses are made one after another
        self._checking = threading.Lock()
        self._right: tuple[str, bytes] | None = None  # a hash, and the digest of the key that fits it

    def admit(self, request: LocalRequest, management: Management, answer: Callable[[], Step]) -> Step:
        """Answer a request if whoever asks may; on the loop's thread.

        Args:
            request: What is asked.
            management: Who may.
            answer: Answers; called on the loop's thread.

        """
        if not management.secret and not management.password:
            return LocalAnswer(404, error=f"Nothing answers at {request.path[:200]}.", code="not_found")
        if not (management.allow_remote or management.password or is_local(request)):
            message = "The gateway is managed from its own machine only. The operator may allow more: `remote-management.allow-remote`."
            return LocalAnswer(403, error=message, code="remote_management_disabled")
        keys = shown_keys(request.fields)
        if not keys:
            message = "A management key is needed: send it as `Authorization: Bearer <key>`, `X-Management-Key` or `X-Management-Secret`."
            return LocalAnswer(401, error=message, code="missing_management_key", fields=_BEARER)
        with self._lock:
            paused_until = self._lockouts.paused_until(request.peer, self._now())
        if paused_until:
            return self._wait(paused_until)
        digests = [hashlib.sha256(key).digest() for key in keys]
        if self._is_known(digests, management):
            with self._lock:
                self._lockouts.right(request.peer, self._now())
            return answer()
        if management.secret.startswith(_BCRYPT):
            return lambda: self._check(request, management.secret, keys, answer)
        return self._refuse(request)

    def _is_known(self, digests: list[bytes], management: Management) -> bool:
        """Whether one of the keys is right, as far as that is known without work."""
        plain = [management.password]
        if not management.secret.startswith(_BCRYPT):
            plain.append(management.secret)
        wanted = [hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest() for secret in plain if secret]
        right = self._right
        if right is not None and right[0] == management.secret:
            wanted.append(right[1])
        return any(hmac.compare_digest(one, other) for one in digests for other in wanted)

    def _check(self, request: LocalRequest, hashed: str, keys: list[bytes], answer: Callable[[], Step]) -> Step:
        """Check keys against a hash; in a worker thread, one request after another."""
        import bcrypt

        with self._checking:
            with self._lock:
                paused_until = self._lockouts.paused_until(request.peer, self._now())
            if paused_until:  # by who was checked before: what waits is not looked at either
                return self._wait(paused_until)
            for key in keys:
                if len(key) <= _LONGEST_BCRYPT and b"\0" not in key and bcrypt.checkpw(key, hashed.encode("ascii")):
                    self._right = (hashed, hashlib.sha256(key).digest())
                    with self._lock:
                        self._lockouts.right(request.peer, self._now())
                    return answer
            return self._refuse(request)

    def _refuse(self, request: LocalRequest) -> LocalAnswer:
        with self._lock:
            self._lockouts.wrong(request.peer, self._now())
        return LocalAnswer(401, error="This is not the management key.", code="invalid_management_key", fields=_BEARER)

    def _wait(self, until: float) -> LocalAnswer:
        seconds = max(1, math.ceil(until - self._now()))
        message = f"Too many wrong management keys came from this address; its next one is looked at in {seconds} s."
        fields = ((b"retry-after", b"%d" % seconds),)
        return LocalAnswer(429, error=message, code="too_many_wrong_keys", fields=fields)


_BEARER: Final = ((b"www-authenticate", b"Bearer"),)


def shown_keys(fields: Mapping[bytes, bytes]) -> list[bytes]:
    """The keys that a request shows, from the headers that may have one.

    >>> shown_keys({b"authorization": b"Bearer a", b"x-management-secret": b"b"}), shown_keys({b"authorization": b"a"})
    ([b'a', b'b'], [b'a'])
    """
    shown = []
    scheme, _, rest = fields.get(b"authorization", b"").partition(b" ")
    if scheme:
        # A value without a scheme is taken whole: other gateways of this kind do, so their clients are written that way.
        shown.append(rest.strip() if scheme.lower() == b"bearer" and rest.strip() else scheme + rest)
    shown += [fields[name] for name in _HEADERS if fields.get(name)]
    return list(dict.fromkeys(shown))


def is_local(request: LocalRequest) -> bool:
    """Whether whoever asks is on this machine: not even by a proxy that is."""
    if any(name in request.fields for name in _FORWARDED):
        return False
    if request.peer == "unix":
        return True
    try:
        address = ipaddress.ip_address(request.peer)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
