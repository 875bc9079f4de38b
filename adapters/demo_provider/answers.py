"""What the demo provider says: one deterministic answer per question, whatever the dialect.

A dialect reads its request into a `Question`; `decide` makes the `Answer`; the dialect writes that, whole or piece by piece.
In order: a text with "please refuse" is refused; results of tools are described; tools are called; a schema is filled in;
the user's words are said back. A limit of tokens and stop sequences cut text, never the arguments of a call.

A token here is a word with the space before it, at most 16 characters of it: easy to check by hand, the same in a stream.
"""

import hashlib
import re
from typing import Any, Final

import attrs
import orjson

from dragoman.adapters.demo_provider.examples import example
from dragoman.adapters.demo_provider.media import Media, describe
from dragoman.adapters.demo_provider.reading import mapping, string

# 2026-01-01. A provider without a clock gives the same bytes for the same request, always.
CREATED: Final = 1_767_225_600
MEDIA_TOKENS: Final = 85
MAX_EVENTS: Final = 400

_TOKEN = re.compile(r"\s*\S{1,16}|\s+")
_BLOBS: Final = frozenset({"data", "file_data", "image_url", "url", "fileUri", "file_uri"})
_UNCOUNTED: Final = frozenset(
    {"type", "role", "id", "call_id", "tool_call_id", "tool_use_id", "signature", "encrypted_content", "status"}
    | {"thoughtSignature", "thought_signature", "mime_type", "mimeType", "media_type", "detail", "cache_control"}
)


@attrs.frozen
class ToolResult:
    """What a tool gave back."""

    text: str
    media: tuple[Media, ...] = ()
    is_error: bool = False


@attrs.frozen
class Turn:
    """One message of the conversation; `role` is ``user``, ``assistant`` or ``system``."""

    role: str
    text: str = ""
    media: tuple[Media, ...] = ()
    results: tuple[ToolResult, ...] = ()


@attrs.frozen
class Tool:
    """A tool that may be called.

    Attributes:
        name: Its name.
        schema: Of its arguments; None for a tool that takes free text.
        namespace: The namespace it is in (OpenAI Responses), or empty.

    """

    name: str
    schema: dict[str, Any] | None
    namespace: str = ""


@attrs.frozen(kw_only=True)
class Question:
    """What was asked, in no dialect.

    Attributes:
        model: As the client wrote it.
        seed: Makes the ids of the answer; the same for a stream and its whole twin.
        turns: The conversation.
        input_tokens: What the request weighs.
        tools: Those that may be called now: none if the choice forbids, one if it names one.
        parallel: Whether several may be called at once.
        thinks: Whether reasoning was asked for.
        schema: What the answer has to fit, or None. An empty one: any JSON object.
        max_tokens: Limit of the output, or None.
        stops: Stop sequences.

    """

    model: str
    seed: str
    turns: tuple[Turn, ...]
    input_tokens: int
    tools: tuple[Tool, ...] = ()
    parallel: bool = True
    thinks: bool = False
    schema: dict[str, Any] | None = None
    max_tokens: int | None = None
    stops: tuple[str, ...] = ()


@attrs.frozen
class Call:
    """A call of a tool: `arguments` is JSON text, or free text when the tool has no schema."""

    id: str
    tool: Tool
    arguments: str


@attrs.frozen(kw_only=True)
class Answer:
    """What is answered, in no dialect.

    Attributes:
        thought: The reasoning, or empty.
        text: What is said; empty when tools are called.
        calls: Of tools.
        refused: Whether `text` is a refusal.
        finish: ``end``, ``length``, ``stop`` (a stop sequence) or ``calls``.
        stop: The stop sequence that was met, or None.
        thought_tokens: Of the reasoning.
        output_tokens: Of everything, the reasoning too.

    """

    thought: str
    text: str
    calls: tuple[Call, ...]
    refused: bool
    finish: str
    stop: str | None
    thought_tokens: int
    output_tokens: int


def decide(question: Question, *, salt: int = 0) -> Answer:
    """Answer; another `salt` gives another answer to the same question (Chat's ``n``)."""
    said = _said(question.turns)
    refused = "please refuse" in said.lower()
    results = tuple(result for turn in _since_assistant(question.turns) for result in turn.results)
    calls = () if refused or results else _calls(question, said, salt)
    thought = f"The user said {said[:60]!r}. I know what to answer." if question.thinks else ""
    text = "I must refuse: the demo provider was asked to." if refused else ""
    if not refused and not calls:
        text = _structured(question, salt) if question.schema is not None else _echo(question.turns, said, results)
        text += f" (choice {salt + 1})" if salt and question.schema is None else ""
    finish, stop = "calls" if calls else "end", None
    for sequence in question.stops:
        before, met, _ = text.partition(sequence) if sequence else (text, "", "")
        if met:
            text, finish, stop = before, "stop", sequence
    thought_words, text_words = words(thought), words(text)
    if question.max_tokens is not None and not calls and len(thought_words) + len(text_words) > question.max_tokens:
        thought_words = thought_words[: max(question.max_tokens, 0)]
        text_words = text_words[: max(question.max_tokens - len(thought_words), 0)]
        finish, stop = "length", None
    return Answer(
        thought="".join(thought_words),
        text="".join(text_words),
        calls=calls,
        refused=refused,
        finish=finish,
        stop=stop,
        thought_tokens=len(thought_words),
        output_tokens=len(thought_words) + len(text_words) + sum(1 + len(words(c.arguments)) for c in calls),
    )


def words(text: str) -> list[str]:
    """Cut text into tokens; joined they are the text again.

    >>> words("You said: hi ")
    ['You', ' said:', ' hi', ' ']
    """
    return _TOKEN.findall(text)


def fragments(text: str) -> list[str]:
    """Cut text into the pieces of a stream: a word each, or several when there are very many."""
    found = words(text)
    step = 1 + len(found) // MAX_EVENTS
    return ["".join(found[at : at + step]) for at in range(0, len(found), step)]


def count_tokens(*values: object) -> int:
    """Weigh parts of a request: words of every text in them; media weigh 85 each, ids and signatures nothing."""
    total = 0
    left: list[tuple[str, object]] = [("", value) for value in values]
    while left:
        key, value = left.pop()
        if isinstance(value, dict):
            left.extend((k, v) for k, v in value.items() if k not in _UNCOUNTED)
        elif isinstance(value, list):
            left.extend((key, v) for v in value)
        elif isinstance(value, str):
            total += MEDIA_TOKENS if key in _BLOBS else len(words(value))
    return total


def seed_of(body: dict[str, Any]) -> str:
    """A name for a request: 24 hexadecimal digits, the same whether it asks for a stream or not."""
    asked = {k: v for k, v in body.items() if k not in ("stream", "stream_options")}
    return hashlib.sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).hexdigest()[:24]


def named(model: str) -> str:
    """The model without ``models/`` and ``demo/``: what it is known by here."""
    return model.removeprefix("models/").removeprefix("demo/")


def _since_assistant(turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
    at = max((i for i, turn in enumerate(turns) if turn.role == "assistant"), default=-1)
    return turns[at + 1 :]


def _said(turns: tuple[Turn, ...]) -> str:
    return next((turn.text for turn in reversed(turns) if turn.role == "user" and turn.text), "")


def _echo(turns: tuple[Turn, ...], said: str, results: tuple[ToolResult, ...]) -> str:
    lines = []
    for number, result in enumerate(results, 1):
        label = f"Tool result {number}" + (" (an error)" if result.is_error else "")
        found = [result.text] if result.text else []
        found += [f"with {describe(result.media)}"] if result.media else []
        lines.append(f"{label}: {' '.join(found) or 'nothing'}")
    if not results and said:
        lines.append(f"You said: {said}")
    if media := [one for turn in _since_assistant(turns) for one in turn.media]:
        lines.append(f"I was sent {describe(media)}")
    return "\n".join(lines) or "You said nothing."


def _structured(question: Question, salt: int) -> str:
    schema = mapping(question.schema)
    value = example(schema, salt=salt) if schema else {"answer": f"You said: {_said(question.turns)}"}
    return orjson.dumps(value).decode()


def _calls(question: Question, said: str, salt: int) -> tuple[Call, ...]:
    tools = list(question.tools)
    if not tools or named(question.model) == "talk":
        return ()
    if named(question.model) == "tools" and question.parallel:
        chosen = tools
    elif question.parallel and "parallel" in said.lower():
        chosen = (tools * 2)[:2]
    else:
        chosen = tools[:1]
    calls = []
    for number, tool in enumerate(chosen):
        value = example(tool.schema, salt=salt + number) if tool.schema is not None else said
        arguments = value if isinstance(value, str) and tool.schema is None else orjson.dumps(mapping(value)).decode()
        digest = hashlib.sha256(f"{question.seed} {salt} {number}".encode()).hexdigest()[:24]
        calls.append(Call(digest, tool, string(arguments)))
    return tuple(calls)
