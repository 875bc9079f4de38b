"""Keeping a conversation on its credential, for the sake of the provider's prompt cache.

Which requests are one conversation: the first id of `session_of`'s list that the client sent; else, where the configuration asks for
it, a digest of how the conversation begins. A bound credential is a preference: when it cannot be picked another is, and is bound from then on.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

_HEADERS_FIRST: Final = (b"x-claude-code-session-id",)
_HEADERS: Final = (b"session-id", b"session_id", b"x-session-id", b"x-session-affinity", b"x-client-request-id")
_LONGEST: Final = 256
_BEGINNING: Final = 50  # characters of the instructions
_MOST: Final = 100_000


class _Body(msgspec.Struct, gc=False):
    session_id: msgspec.Raw = msgspec.Raw(b"")
    session_id_in_camel_case: msgspec.Raw = msgspec.field(default=msgspec.Raw(b""), name="sessionId")
    prompt_cache_key: msgspec.Raw = msgspec.Raw(b"")
    conversation: msgspec.Raw = msgspec.Raw(b"")
    conversation_id: msgspec.Raw = msgspec.Raw(b"")
    metadata: msgspec.Raw = msgspec.Raw(b"")


class _Beginning(msgspec.Struct, gc=False):
    system: msgspec.Raw = msgspec.Raw(b"")
    instructions: msgspec.Raw = msgspec.Raw(b"")
    messages: list[msgspec.Raw] = []
    input: msgspec.Raw = msgspec.Raw(b"")
    contents: list[msgspec.Raw] = []


class _Message(msgspec.Struct, gc=False):
    role: str = ""
    content: msgspec.Raw = msgspec.Raw(b"")
    parts: msgspec.Raw = msgspec.Raw(b"")


_BODY: Final = msgspec.json.Decoder(_Body)
_BEGIN: Final = msgspec.json.Decoder(_Beginning)
_MESSAGE: Final = msgspec.json.Decoder(_Message)
_ANY: Final = msgspec.json.Decoder()


def session_of(fields: Mapping[bytes, bytes], body: bytes, *, scope: str, derive: bool) -> str | None:
    """The conversation that a request belongs to.

    Args:
        fields: Request headers, names in lower case.
        body: The request's body.
        scope: Label of the client key: conversations of different callers are never the same.
        derive: Make an id from the beginning of the conversation where the client sent none.

    Returns:
        An id, or None when there is none. Ids of more than 256 bytes or with control characters do not count.

    """
    found = _first_header(fields, _HEADERS_FIRST)
    if found is None and not _may_have_an_id(body):
        found = _first_header(fields, _HEADERS)  # a look is enough: none of the keys is in the body, at any depth
    elif found is None:
        try:
            read = _BODY.decode(body)
        except msgspec.DecodeError:
            read = _Body()
        metadata = _value(read.metadata)
        user = metadata.get("user_id") if isinstance(metadata, Mapping) else None
        found = _claude_session(user) or _first_header(fields, _HEADERS) or _from_body(read, user)
    if found is None and derive:
        found = _derived(body)
    # A digest: ids may hold names of people, and they are kept and saved.
    return None if found is None else hashlib.sha256(f"{scope}\0{found}".encode("utf-8", "replace")).hexdigest()[:32]


def _may_have_an_id(body: bytes) -> bool:
    return b'"session' in body or b'"prompt_cache_key"' in body or b'"conversation' in body or b'"metadata"' in body


def _first_header(fields: Mapping[bytes, bytes], names: Sequence[bytes]) -> str | None:
    for name in names:
        value = fields.get(name)
        if value is not None and (text := _usable(value.decode("latin-1"))) is not None:
            return text
    return None


def _usable(value: object) -> str | None:
    if not isinstance(value, str) or len(value) > _LONGEST or len(value.encode("utf-8", "replace")) > _LONGEST:
        return None
    text = value.strip()
    return text if text and text.isprintable() else None


def _value(raw: msgspec.Raw) -> object:
    try:
        return _ANY.decode(raw)
    except msgspec.DecodeError:
        return None


def _claude_session(user: object) -> str | None:
    """Claude Code puts its session into ``metadata.user_id``: as JSON, or behind ``_session_``."""
    if not isinstance(user, str) or len(user) > 4096:
        return None
    if user.startswith("{"):
        inner = _value(msgspec.Raw(user.encode("utf-8", "replace")))
        return _usable(inner.get("session_id")) if isinstance(inner, Mapping) else None
    _, mark, session = user.rpartition("_session_")
    return _usable(session) if mark else None


def _from_body(read: _Body, user: object) -> str | None:
    conversation = _value(read.conversation)
    if isinstance(conversation, Mapping):
        conversation = conversation.get("id")
    values = (
        _value(read.session_id), _value(read.session_id_in_camel_case), _value(read.prompt_cache_key), conversation, user,
        _value(read.conversation_id),
    )  # fmt: skip
    return next((text for value in values if (text := _usable(value)) is not None), None)


def _derived(body: bytes) -> str | None:
    """A digest of the instructions' beginning and of the first thing that was asked: what stays the same while a conversation grows."""
    try:
        read = _BEGIN.decode(body)
        system, first = bytes(read.instructions) or bytes(read.system), bytes(read.input)
        if first.startswith(b"["):
            first = _first_of(msgspec.json.decode(first, type=list[msgspec.Raw]))
        for message in read.messages or read.contents:
            found = _MESSAGE.decode(message)
            if found.role in ("system", "developer"):
                system = system or bytes(found.content)
            elif not first:
                first = bytes(found.content) or bytes(found.parts)
                break
    except msgspec.DecodeError:
        return None
    if not first:
        return None
    beginning = system.decode("utf-8", "replace")[:_BEGINNING]
    return hashlib.sha256(f"{beginning}\0".encode() + first).hexdigest()


def _first_of(items: Sequence[msgspec.Raw]) -> bytes:
    for item in items:
        found = _MESSAGE.decode(item)
        if found.role == "user":
            return bytes(found.content)
    return b""


class Affinities:
    """Which credential a conversation is bound to, for each name it asks for.

    Args:
        ttl: Seconds after its last request until it is forgotten.
        most: How many are remembered; the one unused for longest goes first.

    """

    def __init__(self, ttl: float, most: int = _MOST) -> None:
        self.ttl = ttl
        self._most = most
        self._bound: OrderedDict[tuple[str, str], tuple[str, str, float]] = OrderedDict()
        self._changed: set[tuple[str, str]] = set()
        self._is_tracked = False

    def __len__(self) -> int:
        return len(self._bound)

    def find(self, session: str, name: str, now: float) -> tuple[str, str] | None:
        """Identity and upstream model that a conversation is bound to; asking keeps it alive."""
        key = (session, name)
        bound = self._bound.get(key)
        if bound is None:
            return None
        identity, model, until = bound
        if until <= now:
            self._let_go(key)
            return None
        self.bind(session, name, identity, model, now)
        return identity, model

    def bind(self, session: str, name: str, identity: str, model: str, now: float) -> None:
        """Bind it, for `ttl` seconds from now."""
        key = (session, name)
        self._bound[key] = (identity, model, now + self.ttl)
        self._bound.move_to_end(key)
        if self._is_tracked:
            self._changed.add(key)
        # Those whose time is over are at the beginning, unless the ttl has changed.
        while len(self._bound) > self._most or next(iter(self._bound.values()))[2] <= now:
            self._let_go(next(iter(self._bound)))

    def unbind(self, session: str, name: str, identity: str) -> None:
        """Let it go, if it is still bound to `identity`."""
        bound = self._bound.get((session, name))
        if bound is not None and bound[0] == identity:
            self._let_go((session, name))

    def _let_go(self, key: tuple[str, str]) -> None:
        del self._bound[key]
        if self._is_tracked:
            self._changed.add(key)

    def track(self) -> None:
        """From now on, note what changes: somebody is going to call `take_changes` again and again."""
        self._is_tracked = True

    def take_changes(self) -> list[object]:
        """In the shape of `save`, those that changed since the last call; of one that is let go, identity and model are empty."""
        changed, self._changed = self._changed, set()
        return [[*key, *self._bound.get(key, ("", "", 0.0))] for key in changed]

    def save(self) -> list[object]:
        """As plain data."""
        return [[*key, *bound] for key, bound in self._bound.items()]

    def restore(self, data: object, now: float) -> None:
        """From what `save` gave; what is over, or not understood, is left out."""
        for item in data if isinstance(data, (list, tuple)) else ():
            if not isinstance(item, (list, tuple)) or len(item) != 5 or not all(isinstance(t, str) for t in item[:4]):
                continue
            session, name, identity, model, until = item
            if isinstance(until, (int, float)) and now < until <= now + self.ttl and len(self._bound) < self._most:
                self._bound[session, name] = (identity, model, float(until))
