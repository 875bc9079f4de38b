"""Requests of generateContent and streamGenerateContent.

What differs from the hub: the model and whether to stream stand in the path; results of tools are a content of their own right after
their calls, one for each; roles are ``user`` and ``model``; instructions within the conversation do not exist; a call made by
another model is sent with Google's word for that, since Gemini 3 refuses the calls of the current turn without a signature.
"""

import re
from typing import Any

import attrs

from dragoman.core.chat.blocks import Block, Text, ToolCall, ToolResult
from dragoman.core.chat.effort import budget_of, level_of, nearest_level
from dragoman.core.chat.loss import Extras, Loss, Losses, changed, fields_for
from dragoman.core.chat.names import NameRule, fitted
from dragoman.core.chat.request import ChatRequest, Message, OutputFormat, Thinking
from dragoman.core.chat.signature import Signature
from dragoman.core.chat.target import Target
from dragoman.core.chat.turns import as_reminder, merged, paired
from dragoman.core.dialects import reading
from dragoman.core.dialects.gemini.content import NAME, NOT_MINE, PartWriter, in_camel_case, is_old, parse_parts
from dragoman.core.dialects.gemini.schema import to_json_schema
from dragoman.core.dialects.gemini.schema_proto import from_proto, to_proto
from dragoman.core.dialects.gemini.tools import build_choice, build_tools, parse_choice, parse_tools
from dragoman.core.dialects.gemini.turns import with_ids
from dragoman.core.dialects.inner_fields import unread
from dragoman.core.errors import BadRequest, Untranslatable
from dragoman.core.json_text import dumps

TOOL_NAMES = NameRule(re.compile(r"[^A-Za-z0-9_.:-]"), 64, re.compile(r"[^A-Za-z_]"))
CALL_IDS = NameRule(re.compile(r"[\x00-\x1f]"), 256)
# The key under which the fields of Code Assist's envelope travel in the extras; only that dialect writes them.
ENVELOPE = "code_assist"

_KNOWN = frozenset({
    "contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "serviceTier", "store", "model",
})  # fmt: skip
_CONFIG = frozenset({
    "temperature", "topP", "topK", "candidateCount", "maxOutputTokens", "stopSequences", "seed", "presencePenalty",
    "frequencyPenalty", "responseLogprobs", "logprobs", "responseMimeType", "responseSchema", "responseJsonSchema", "thinkingConfig",
})  # fmt: skip
_LEVELS = ("minimal", "low", "medium", "high", "xhigh")
_NO_JSON_SCHEMA = re.compile(r"gemini-(?:1|2\.0|exp)|gemma|learnlm", re.ASCII)

_INLINE = ("mimeType", "data", "displayName")
_FILE = ("fileUri", "mimeType", "displayName")
# Inside of what is read (`dragoman.core.dialects.inner_fields`).
_INNER = {
    "contents.*.parts.*.inlineData": _INLINE,
    "contents.*.parts.*.fileData": _FILE,
    "contents.*.parts.*.functionResponse.parts.*.inlineData": _INLINE,
    "contents.*.parts.*.functionResponse.parts.*.fileData": _FILE,
    "systemInstruction": ("role", "parts"),
    "generationConfig.thinkingConfig": ("includeThoughts", "thinkingBudget", "thinkingLevel"),
}


# ---- in


def request_node(body: bytes) -> dict[str, Any]:
    """Read a body into camelCase.

    Raises:
        BadRequest: It is no JSON object, or one nested too deeply.

    """
    try:
        node: dict[str, Any] = in_camel_case(reading.request_object(body))
    except RecursionError:
        raise BadRequest("the body is nested too deeply") from None
    return node


def parse_request(
    body: bytes, *, model: str | None = None, stream: bool | None = None
) -> tuple[ChatRequest, tuple[Loss, ...]]:
    """Read a request; see `dragoman.core.dialects.dialect.RequestParser`."""
    return parse_node(request_node(body), model=model, stream=stream)


def parse_node(
    node: dict[str, Any], *, model: str | None = None, stream: bool | None = None
) -> tuple[ChatRequest, tuple[Loss, ...]]:
    """Read a request that is JSON in camelCase already."""
    losses: list[Loss] = [*unread(node, _INNER, NAME)]
    config = reading.optional_object(node, "generationConfig") or {}
    choice, tool_rest = parse_choice(reading.optional_object(node, "toolConfig") or {})
    fields = {key: value for key, value in node.items() if key not in _KNOWN}
    config_rest = {key: value for key, value in config.items() if key not in _CONFIG}
    for key, rest in (("generationConfig", config_rest), ("toolConfig", tool_rest)):
        if rest:
            fields[key] = rest
    path = "generationConfig."
    tier = reading.optional_string(node, "serviceTier")
    request = ChatRequest(
        plain_model(model or reading.optional_string(node, "model") or ""),
        tuple(_parse_contents(node)),
        instructions=tuple(_parse_instruction(node.get("systemInstruction"), losses)),
        tools=tuple(parse_tools(node)),
        tool_choice=choice,
        max_tokens=_integer(config, "maxOutputTokens"),
        stop=reading.strings(config, "stopSequences", path),
        temperature=reading.optional_number(config, "temperature", path),
        top_p=reading.optional_number(config, "topP", path),
        top_k=_integer(config, "topK"),
        seed=_integer(config, "seed"),
        presence_penalty=reading.optional_number(config, "presencePenalty", path),
        frequency_penalty=reading.optional_number(config, "frequencyPenalty", path),
        choices=_integer(config, "candidateCount"),
        logprobs=reading.optional_bool(config, "responseLogprobs", path),
        top_logprobs=_integer(config, "logprobs"),
        output=_parse_output(config),
        thinking=_parse_thinking(config, losses),
        stream=bool(stream),
        service_tier={"standard": "default"}.get(tier.lower(), tier.lower()) if tier else None,
        store=reading.optional_bool(node, "store"),
        extras=Extras(NAME, fields) if fields else None,
    )
    return request, tuple(losses)


def plain_model(name: str) -> str:
    """A model's name without the collection it stands in.

    >>> plain_model("models/gemini-3-pro"), plain_model("tunedModels/mine")
    ('gemini-3-pro', 'tunedModels/mine')
    """
    return name.removeprefix("models/")


def _integer(node: dict[str, Any], key: str) -> int | None:
    """A whole number, which proto JSON may write as text."""
    value = node.get(key)
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value):
        return int(value)
    return reading.optional_integer(node, key, "generationConfig.")


def _parse_contents(node: dict[str, Any]) -> list[Message]:
    contents = node.get("contents")
    if contents is None:
        raise BadRequest("contents is missing", param="contents")
    if isinstance(contents, dict):
        node = {"contents": [contents]}
    elif isinstance(contents, str):
        node = {"contents": [{"parts": contents}]}
    out: list[Message] = []
    for item, path in reading.objects(node, "contents"):
        role = reading.optional_string(item, "role", path + ".") or "user"
        if role.lower() not in ("user", "model", "function", "system"):
            raise BadRequest(f"{path}.role: nobody is called {role!r} here", param=f"{path}.role")
        content = parse_parts(item.get("parts"), path + ".parts")
        rest = {key: value for key, value in item.items() if key not in ("role", "parts")}
        known = {"model": "assistant", "system": "system"}.get(role.lower(), "user")
        out.append(Message(known, tuple(content), extras=Extras(NAME, rest) if rest else None))  # type: ignore[arg-type]
    return with_ids(out)


def _parse_instruction(value: object, losses: list[Loss]) -> list[Text]:
    if isinstance(value, dict) and "parts" in value:
        value = value["parts"]
    blocks = parse_parts(value, "systemInstruction.parts")
    out = [block for block in blocks if isinstance(block, Text) and block.text]
    if any(not isinstance(block, Text) for block in blocks):
        losses.append(Loss("instructions", "dropped", "only text is taken as instruction"))
    return out


def _parse_output(config: dict[str, Any]) -> OutputFormat | None:
    mime = reading.optional_string(config, "responseMimeType", "generationConfig.")
    schema = reading.optional_object(config, "responseJsonSchema", "generationConfig.")
    proto = reading.optional_object(config, "responseSchema", "generationConfig.")
    if schema is None and proto is not None:
        schema = from_proto(proto)
    if mime is None and schema is None:
        return None
    own = None if mime in (None, "text/plain", "application/json") else Extras(NAME, {"responseMimeType": mime})
    if schema is not None:
        return OutputFormat("schema", schema, extras=own)
    return OutputFormat("json" if mime == "application/json" else "text", extras=own)


def _parse_thinking(config: dict[str, Any], losses: list[Loss]) -> Thinking | None:
    path = "generationConfig.thinkingConfig."
    node = reading.optional_object(config, "thinkingConfig", "generationConfig.")
    if node is None:
        return None
    shown = reading.optional_bool(node, "includeThoughts", path)
    show = None if shown is None else "auto" if shown else "off"
    level = (reading.optional_string(node, "thinkingLevel", path) or "").lower()
    budget = _integer(node, "thinkingBudget")
    if level and level != "thinking_level_unspecified":
        if budget is not None:
            losses.append(changed("thinking.budget", "a level and a budget do not go together; the level counts"))
        return Thinking("level", level=level, show=show)
    if budget is None:
        return None if show is None else Thinking(show=show)
    if budget <= 0:
        return Thinking("auto", show=show) if budget else Thinking("off", show=show)
    return Thinking("budget", budget=budget, show=show)


# ---- out


def build_request(request: ChatRequest, target: Target) -> tuple[bytes, tuple[Loss, ...]]:
    """Write a request; see `dragoman.core.dialects.dialect.RequestBuilder`."""
    node, losses = build_node(request, target)
    for field in node.pop(ENVELOPE, {}):
        losses.dropped(field, "only code_assist knows this field")
    return dumps(node), tuple(losses.found)


def build_node(request: ChatRequest, target: Target) -> tuple[dict[str, Any], Losses]:
    """Write a request as a JSON value; what belongs to the envelope stands under `ENVELOPE`."""
    if request.previous_response_id is not None:
        raise Untranslatable(
            f"previous_response_id: the earlier conversation is not here, and {NAME} cannot name it; send it along",
            param="previous_response_id",
        )
    request = fitted(request, TOOL_NAMES, CALL_IDS)
    losses = Losses(request.messages)
    model = plain_model(target.model or request.model)
    node: dict[str, Any] = dict(fields_for(NAME, request.extras))
    extra_config, extra_tools = node.pop("generationConfig", {}), node.pop("toolConfig", {})
    instruction, contents = _build_contents(request, target, model, losses)
    node["contents"] = contents
    if instruction:
        node["systemInstruction"] = {"role": "user", "parts": instruction}
    takes_json_schema = target.is_official and not _NO_JSON_SCHEMA.match(model.lower())
    tools = build_tools(request.tools, losses, takes_json_schema=takes_json_schema, mixes_search=not is_old(model))
    _build_tool_fields(request, tools, extra_tools, node, losses)
    config: dict[str, Any] = {**extra_config}
    _build_sampling(request, config, losses)
    _build_output(request.output, config, losses, takes_json_schema=takes_json_schema)
    _build_thinking(request.thinking, target, model, config, losses)
    if config:
        node["generationConfig"] = config
    if request.service_tier is not None:
        tier = {"default": "standard", "flex": "flex", "priority": "priority"}.get(request.service_tier)
        if tier is not None:
            node["serviceTier"] = tier
        elif request.service_tier != "auto":
            losses.dropped("service_tier", f"{NAME} has no tier {request.service_tier}")
    if request.store is not None:
        node["store"] = request.store
    if request.parallel_tool_calls is False:
        losses.dropped("parallel_tool_calls", f"{NAME} cannot be held to one call at a time")
    losses.unsaid(request, ("logit_bias", "verbosity", "user", "metadata"), NAME, hints=("cache_key",))
    _count_marks(request, losses)
    return node, losses


def _count_marks(request: ChatRequest, losses: Losses) -> None:
    places: list[Any] = [request, *request.tools, *request.instructions, *request.messages]
    places += [block for message in request.messages for block in message.content]
    marks = sum(getattr(place, "cache", None) is not None for place in places)
    if marks:
        losses.hint("cache", f"{NAME} caches without marks; {marks} were left out")


def _build_tool_fields(
    request: ChatRequest, tools: list[dict[str, Any]], extra: dict[str, Any], node: dict[str, Any], losses: Losses
) -> None:
    config = dict(extra)
    if tools:
        node["tools"] = tools
    if request.tool_choice is not None:
        if any("functionDeclarations" in tool for tool in tools):
            config["functionCallingConfig"] = build_choice(request.tool_choice)
        elif request.tool_choice.mode not in ("auto", "none"):
            losses.dropped("tool_choice", "there is no tool left to choose")
    if config:
        node["toolConfig"] = config


_SAME = {
    "temperature": "temperature", "top_p": "topP", "top_k": "topK", "choices": "candidateCount", "max_tokens": "maxOutputTokens",
    "seed": "seed", "presence_penalty": "presencePenalty", "frequency_penalty": "frequencyPenalty",
    "logprobs": "responseLogprobs", "top_logprobs": "logprobs",
}  # fmt: skip


def _build_sampling(request: ChatRequest, config: dict[str, Any], losses: Losses) -> None:
    for name, word in _SAME.items():
        value = getattr(request, name)
        if value is not None:
            config[word] = value
    if request.stop:
        config["stopSequences"] = list(request.stop[:5])
        if len(request.stop) > 5:
            losses.dropped("stop", f"{NAME} takes five stop texts at most; the first five were sent")


def _build_output(
    output: OutputFormat | None, config: dict[str, Any], losses: Losses, *, takes_json_schema: bool
) -> None:
    if output is None:
        return
    own = fields_for(NAME, output.extras)
    config["responseMimeType"] = "text/plain" if output.kind == "text" else "application/json"
    config |= own
    if output.kind == "schema" and output.schema is not None:
        convert = to_json_schema if takes_json_schema else to_proto
        schema, lost = convert(output.schema)
        config["responseJsonSchema" if takes_json_schema else "responseSchema"] = schema
        if lost:
            losses.changed("output.schema", f"{NAME} takes a smaller JSON Schema, without: {', '.join(lost)}")
    losses.unsaid(output, ("description",), NAME, "output.", hints=("name",))


def _build_thinking(
    thinking: Thinking | None, target: Target, model: str, config: dict[str, Any], losses: Losses
) -> None:
    """Write how much to think: a budget up to 2.5, a level since 3; never both, which is an error."""
    if thinking is None:
        return
    node: dict[str, Any] = {}
    facts = target.facts
    takes_level = bool(facts.levels) if facts.known else not is_old(model)
    takes_budget = facts.max_budget is not None or not facts.known
    if thinking.show is not None and thinking.mode != "off":
        node["includeThoughts"] = thinking.show != "off"
        if thinking.show in ("concise", "detailed"):
            losses.changed("thinking.show", f"{NAME} has one kind of summary")
    if thinking.mode in ("off", "auto"):
        node["thinkingBudget"] = -1 if thinking.mode == "auto" else 0
    elif thinking.mode == "level" and thinking.level is not None:
        if takes_level:
            level = nearest_level(thinking.level, facts.levels or _LEVELS)
            node["thinkingLevel"] = level.upper()
            if level != thinking.level:
                losses.changed("thinking.level", f"{thinking.level} became {level}")
        else:
            node["thinkingBudget"] = budget_of(thinking.level)
            losses.changed(
                "thinking.level", f"this model takes budgets: {thinking.level} became {budget_of(thinking.level)}"
            )
    elif thinking.mode == "budget" and thinking.budget is not None:
        if takes_budget:
            node["thinkingBudget"] = thinking.budget
        else:
            level = nearest_level(level_of(thinking.budget), facts.levels)
            node["thinkingLevel"] = level.upper()
            losses.changed("thinking.budget", f"this model takes levels: {thinking.budget} became {level}")
    if node:
        config["thinkingConfig"] = node


# ---- the conversation


def _build_contents(
    request: ChatRequest, target: Target, model: str, losses: Losses
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Write the instruction's parts and the conversation in the form the API insists on."""
    messages, repairs = paired(request.messages)
    losses.found += repairs
    for message in messages:
        losses.unsaid(message, ("name",), NAME, "messages.", hints=("phase",))
    leading = 0
    while leading < len(messages) and messages[leading].role in ("system", "developer"):
        leading += 1
    told: list[Block] = [*request.instructions, *(block for message in messages[:leading] for block in message.content)]
    rest = _as_reminders(messages[leading:], losses)
    if not is_old(model):
        rest = _vouched(rest, target.provider or NAME)
    writer = PartWriter(losses, target.provider or NAME, not is_old(model))
    contents: list[dict[str, Any]] = []
    for message in rest:
        _build_message(message, writer, contents)
    if not contents:
        said = next((block for block in reversed(told) if isinstance(block, Text) and block.text), Text("(no message)"))
        told = [block for block in told if block is not said]
        contents = [{"role": "user", "parts": [{"text": said.text}]}]
        losses.changed("messages", f"{NAME} needs a message; the last instruction became one")
    elif contents[0]["role"] == "model" and any("functionCall" in part for part in contents[0]["parts"]):
        contents.insert(0, {"role": "user", "parts": [{"text": "(continued)"}]})
        losses.changed("messages", f"{NAME} lets the user begin; a word of the user was put in")
    for block in told:
        if not isinstance(block, Text):
            losses.dropped(losses.at(block), f"{NAME} takes only text as instruction")
    return writer.build(block for block in told if isinstance(block, Text)), contents


def _as_reminders(messages: list[Message], losses: Losses) -> list[Message]:
    """Instructions in the middle become a reminder in the user's words."""
    out: list[Message] = []
    for message in messages:
        if message.role in ("system", "developer"):
            losses.changed("messages", f"{NAME} takes no instruction here; it became a reminder in the user's turn")
            message = Message("user", tuple(as_reminder(block) for block in message.content))
        out.append(message)
    return merged(out)


def _vouched(messages: list[Message], provider: str) -> list[Message]:
    """Put Google's word for a foreign call on the first call of each step of the current turn that has no signature."""
    current = 0  # the turn begins with the last message in which the user says something
    for n, message in enumerate(messages):
        if message.role == "user" and any(not isinstance(block, ToolResult) for block in message.content):
            current = n
    out = messages[:current]
    for message in messages[current:]:
        first = next((block for block in message.content if isinstance(block, ToolCall)), None)
        if first is not None and (first.signature is None or first.signature.provider != provider):
            signed = attrs.evolve(first, signature=Signature(provider, NOT_MINE))
            content = tuple(signed if block is first else block for block in message.content)
            message = attrs.evolve(message, content=content)
        out.append(message)
    return out


def _build_message(message: Message, writer: PartWriter, contents: list[dict[str, Any]]) -> None:
    extras = fields_for(NAME, message.extras)
    if message.role == "assistant":
        parts = writer.build(message.content)
        if parts:
            contents.append({**extras, "role": "model", "parts": parts})
        return
    results = [block for block in message.content if isinstance(block, ToolResult)]
    if results:
        parts = [part for block in results for part in writer.build_result(block)]
        parts.sort(key=lambda part: "functionResponse" not in part)  # what stands beside them comes after all of them
        contents.append({"role": "user", "parts": parts})
    parts = writer.build(block for block in message.content if not isinstance(block, ToolResult))
    if parts:
        contents.append({**extras, "role": "user", "parts": parts})
