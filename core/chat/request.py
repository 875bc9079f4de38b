"""A chat request in no provider's words.

None means "the client did not say": no dialect writes a value for it unless its format demands one. Fields and blocks a dialect
has and the hub has not are kept as `Extras` and `Opaque`, so that they come back when the target is the same dialect.
"""

from collections.abc import Mapping
from typing import Any, Literal

import attrs

from dragoman.core.chat.blocks import Block, CacheMark, Text
from dragoman.core.chat.loss import Extras

Role = Literal["system", "developer", "user", "assistant"]


@attrs.frozen
class Message:
    """One turn, or a piece of one: neighbours of the same role are the same turn (see `dragoman.core.chat.turns`).

    Attributes:
        role: ``system`` and ``developer`` instruct from within the conversation; results of tools are blocks of ``user``.
        content: The blocks, in order.
        name: Who speaks, where the dialect can say it.
        phase: ``commentary`` or ``final_answer`` (Responses).
        cache: A mark on the whole message.
        extras: See `Extras`.

    """

    role: Role
    content: tuple[Block, ...]
    name: str | None = None
    phase: str | None = None
    cache: CacheMark | None = None
    extras: Extras | None = None


@attrs.frozen
class FunctionTool:
    """A function the client can run.

    Attributes:
        name: As declared, without its namespace.
        description: For the model.
        schema: JSON Schema of its arguments (2020-12, or as near as the client came); None: it takes none.
        strict: Whether arguments must fit the schema exactly; None: not said.
        namespace: The namespace it is nested in.
        cache: See `CacheMark`.
        extras: See `Extras`.

    """

    name: str
    description: str | None = None
    schema: Mapping[str, Any] | None = None
    strict: bool | None = None
    namespace: str | None = None
    cache: CacheMark | None = None
    extras: Extras | None = None


@attrs.frozen
class CustomTool:
    """A tool that takes free text. `syntax` (``lark``, ``regex``) and `grammar` bound that text; None: anything."""

    name: str
    description: str | None = None
    syntax: str | None = None
    grammar: str | None = None
    namespace: str | None = None
    cache: CacheMark | None = None
    extras: Extras | None = None


@attrs.frozen
class WebSearchTool:
    """Searching the web, run by the provider: the one server tool that every dialect has in some form.

    Attributes:
        allowed_domains: Only these; empty: any.
        blocked_domains: Never these.
        max_uses: How often at most; None: not said.
        context_size: ``low``, ``medium``, ``high``; None: not said.
        location: Where the user is: any of ``city``, ``region``, ``country``, ``timezone``.
        variant: What the source dialect calls this version of the tool; written back only there.
        cache: See `CacheMark`.
        extras: See `Extras`.

    """

    allowed_domains: tuple[str, ...] = ()
    blocked_domains: tuple[str, ...] = ()
    max_uses: int | None = None
    context_size: str | None = None
    location: Mapping[str, str] | None = None
    variant: str | None = None
    cache: CacheMark | None = None
    extras: Extras | None = None


@attrs.frozen
class OpaqueTool:
    """A tool only its own dialect has, as it came."""

    dialect: str
    kind: str
    value: Any


Tool = FunctionTool | CustomTool | WebSearchTool | OpaqueTool


@attrs.frozen
class ToolChoice:
    """Which tools the model may or must call.

    Attributes:
        mode: ``auto``: it decides; ``none``: it must not; ``any``: it must, whichever; ``named``: it must call `names[0]`;
            ``allowed``: it decides among `names`; ``allowed_any``: it must call one of `names`.
        names: Names of tools, without namespaces; empty unless the mode needs them.
        extras: See `Extras`.

    """

    mode: Literal["auto", "none", "any", "named", "allowed", "allowed_any"]
    names: tuple[str, ...] = ()
    extras: Extras | None = None


@attrs.frozen
class OutputFormat:
    """The form of the answer's text.

    Attributes:
        kind: ``text``, ``json`` (any JSON object) or ``schema``.
        schema: JSON Schema, with kind ``schema``.
        name: The schema's name.
        description: For the model.
        strict: Whether the answer must fit exactly; None: not said.
        extras: See `Extras`.

    """

    kind: Literal["text", "json", "schema"]
    schema: Mapping[str, Any] | None = None
    name: str | None = None
    description: str | None = None
    strict: bool | None = None
    extras: Extras | None = None


@attrs.frozen
class Thinking:
    """How much to reason, and whether to show it.

    Attributes:
        mode: ``off``; ``auto``: the model decides; ``level``: see `level`; ``budget``: see `budget`; None: only `show` was said.
        level: ``minimal``, ``low``, ``medium``, ``high``, ``xhigh``, ``max``, with mode ``level``.
        budget: Tokens, with mode ``budget``.
        show: ``off``, ``auto``, ``concise``, ``detailed``; None: not said.

    """

    mode: Literal["off", "auto", "level", "budget"] | None = None
    level: str | None = None
    budget: int | None = None
    show: str | None = None


@attrs.frozen
class ChatRequest:
    """What a client asks.

    Attributes:
        model: As the client wrote it; empty when the path or the gateway says it.
        messages: The conversation, in order.
        instructions: What stands above the conversation (Claude ``system``, Responses ``instructions``, Gemini
            ``systemInstruction``); dialects without such a place open the conversation with it.
        tools: Declared tools, in order.
        tool_choice: See `ToolChoice`; None: not said.
        parallel_tool_calls: Whether several calls may come at once.
        max_tokens: Most tokens of output, reasoning included.
        stop: Texts that end the answer.
        temperature: 0 to 2.
        top_p: 0 to 1.
        top_k: Most likely tokens to choose from.
        seed: For repeatable sampling.
        presence_penalty: -2 to 2.
        frequency_penalty: -2 to 2.
        choices: How many answers; None: one.
        logit_bias: Token id to -100..100.
        logprobs: Whether to give probabilities of the tokens.
        top_logprobs: Of how many alternatives.
        output: See `OutputFormat`.
        verbosity: ``low``, ``medium``, ``high``.
        thinking: See `Thinking`.
        stream: Whether the client wants a stream.
        include_usage: Whether a stream is to count tokens; None: the dialect's default.
        user: An opaque id of the end user.
        cache_key: Requests with the same key share a prompt cache.
        service_tier: ``auto``, ``default``, ``flex``, ``priority``.
        metadata: The client's labels.
        store: Whether the provider may keep the answer for later use.
        previous_response_id: The conversation's earlier part, kept by the provider.
        cache: A mark on the whole request.
        extras: See `Extras`.

    """

    model: str
    messages: tuple[Message, ...]
    instructions: tuple[Text, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    choices: int | None = None
    logit_bias: Mapping[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    output: OutputFormat | None = None
    verbosity: str | None = None
    thinking: Thinking | None = None
    stream: bool = False
    include_usage: bool | None = None
    user: str | None = None
    cache_key: str | None = None
    service_tier: str | None = None
    metadata: Mapping[str, str] | None = None
    store: bool | None = None
    previous_response_id: str | None = None
    cache: CacheMark | None = None
    extras: Extras | None = None
