"""Content blocks: the typed pieces of a message or an answer.

Each block may carry a cache mark and `Extras`, the fields of its own dialect that have no place here. Binary data is kept as
base64 text (standard alphabet, padded), for that is what all dialects but one write.
"""

from typing import Any, Literal

import attrs

from dragoman.core.chat.loss import Extras
from dragoman.core.chat.signature import Signature

CallKind = Literal["function", "custom"]
MediaKind = Literal["image", "document", "audio", "video"]


@attrs.frozen
class CacheMark:
    """Up to here, the provider may cache the prompt. `ttl`: ``5m``, ``30m``, ``1h``, ``12h``; None: the provider's default."""

    ttl: str | None = None


@attrs.frozen
class Citation:
    """Where a piece of answer text comes from.

    Attributes:
        url: The source's address; None for kinds that only their own dialect has (a page of a document the client sent).
        title: The source's title.
        start: First character of the cited stretch in the text of its block; None when unknown.
        end: One past its last character.
        quote: The words of the source.
        extras: The citation as its dialect wrote it.

    """

    url: str | None = None
    title: str | None = None
    start: int | None = None
    end: int | None = None
    quote: str | None = None
    extras: Extras | None = None


@attrs.frozen
class Text:
    """Words. `signature`: Gemini signs text parts, too."""

    text: str
    citations: tuple[Citation, ...] = ()
    signature: Signature | None = None
    cache: CacheMark | None = None
    extras: Extras | None = None


@attrs.frozen
class Inline:
    """Data sent along: `mime` type (may be empty when the client did not say) and base64 `data`."""

    mime: str
    data: str = attrs.field(repr=False)


@attrs.frozen
class Link:
    """Data at an address; `mime` when the client said it."""

    url: str
    mime: str | None = None


@attrs.frozen
class FileId:
    """A file uploaded to a provider before; means nothing in any dialect but its own."""

    id: str
    dialect: str


@attrs.frozen
class Nested:
    """A document given as content blocks (text and images)."""

    blocks: tuple["Block", ...]


Source = Inline | Link | FileId | Nested


@attrs.frozen
class Media:
    """An image, document, sound or film.

    Attributes:
        kind: Which.
        source: Where its bytes are.
        detail: ``low``, ``high``, ``auto``, ``original``: how closely to look at an image.
        filename: As the client named it.
        title: A document's title.
        context: What the client says about a document, not to be cited.
        cite: Whether the answer is to cite the document; None: not said.
        signature: Gemini signs media it made.
        cache: See `CacheMark`.
        extras: See `Extras`.

    """

    kind: MediaKind
    source: Source
    detail: str | None = None
    filename: str | None = None
    title: str | None = None
    context: str | None = None
    cite: bool | None = None
    signature: Signature | None = None
    cache: CacheMark | None = None
    extras: Extras | None = None


@attrs.frozen
class ToolCall:
    """The model asks the client to run a tool.

    Attributes:
        id: Joins the call to its result.
        name: The tool's name as the client declared it, without its namespace.
        arguments: ``function``: JSON text as it came (see `dragoman.core.chat.arguments`); ``custom``: free text.
        kind: ``function`` or ``custom``.
        namespace: The namespace of a nested tool (only the Responses dialect has them).
        signature: Gemini signs calls.
        item_id: The Responses dialect's second id, which names the item and not the call.
        cache: See `CacheMark`.
        extras: See `Extras`.

    """

    id: str
    name: str
    arguments: str
    kind: CallKind = "function"
    namespace: str | None = None
    signature: Signature | None = None
    item_id: str | None = None
    cache: CacheMark | None = None
    extras: Extras | None = None


@attrs.frozen
class ToolResult:
    """What a tool came to; stands in a user's message.

    Attributes:
        call_id: The id of its `ToolCall`.
        content: Text and media (what else a dialect allows there is `Opaque`).
        is_error: Whether the tool failed.
        name: The tool's name, when the dialect says it here.
        kind: Which kind of call it answers.
        cache: See `CacheMark`.
        extras: See `Extras`.

    """

    call_id: str
    content: tuple["Block", ...] = ()
    is_error: bool = False
    name: str | None = None
    kind: CallKind = "function"
    cache: CacheMark | None = None
    extras: Extras | None = None


@attrs.frozen
class Reasoning:
    """What the model thought, as far as it is shown.

    Attributes:
        text: The reasoning or its summary; empty when it is not shown. Several summary parts are joined by a blank line.
        signature: The proof to send back; for redacted reasoning the encrypted text itself.
        redacted: Encrypted as a whole for reasons of safety (Claude's ``redacted_thinking``); `text` is empty.
        is_summary: Whether `text` is a summary by a second model; None: not said.
        item_id: The Responses dialect's name of the item.
        cache: See `CacheMark`.
        extras: See `Extras`.

    """

    text: str = ""
    signature: Signature | None = None
    redacted: bool = False
    is_summary: bool | None = None
    item_id: str | None = None
    cache: CacheMark | None = None
    extras: Extras | None = None


@attrs.frozen
class Refusal:
    """The model's own words for why it does not answer."""

    text: str
    cache: CacheMark | None = None
    extras: Extras | None = None


@attrs.frozen
class Opaque:
    """A block only its own dialect understands, as it came: server tools and their results, compaction marks ...

    Attributes:
        dialect: Whose it is.
        kind: What that dialect calls it.
        value: The JSON value.

    """

    dialect: str
    kind: str
    value: Any


Block = Text | Media | ToolCall | ToolResult | Reasoning | Refusal | Opaque
