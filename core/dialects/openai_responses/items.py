"""Items: what the input of a request and the output of an answer are made of.

Each item becomes a message of its own in the hub, so that the place of a message is the place of its item; neighbours of one role
are one turn there anyway. Ids and states of items say nothing that the order does not; only the id of reasoning and of a call is
kept, for encrypted reasoning is bound to it.
"""

from collections.abc import Iterable
from typing import Any

import attrs

from dragoman.core.chat.blocks import (
    Block,
    CallKind,
    Inline,
    Media,
    Opaque,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
)
from dragoman.core.chat.loss import Extras, Losses, extras_of, fields_for
from dragoman.core.chat.request import Message, Role
from dragoman.core.chat.signature import REDACTED, Signature, signature_from, wrap
from dragoman.core.chat.target import Target
from dragoman.core.dialects import reading
from dragoman.core.dialects.openai_responses.content import (
    NAME,
    PART,
    PROVIDER,
    build_input_parts,
    build_output_parts,
    parse_content,
)
from dragoman.core.errors import BadRequest
from dragoman.core.json_text import loads

_MESSAGE = frozenset({"type", "role", "content", "id", "status", "phase"})
_REASONING = frozenset({"type", "id", "status", "summary", "content", "encrypted_content"})
_CALL = frozenset({"type", "id", "status", "call_id", "name", "namespace", "arguments", "input"})
_OUTPUT = frozenset({"type", "id", "status", "call_id", "name", "output"})
_IMAGE = frozenset({"type", "result"})
_ABOUT_IMAGE = frozenset({"id", "status", "output_format"})
_CALLS: dict[str, CallKind] = {"function_call": "function", "custom_tool_call": "custom"}
_OUTPUTS: dict[str, CallKind] = {"function_call_output": "function", "custom_tool_call_output": "custom"}


# ---- in


def parse_input(node: dict[str, Any]) -> list[Message]:
    """Read the input of a request: a string, items, or nothing.

    Raises:
        BadRequest: An item lacks what its type demands.

    """
    value = node.get("input")
    if isinstance(value, str):
        return [Message("user", (Text(value),) if value else ())]
    return sign_calls(parse_item(item, path) for item, path in reading.objects(node, "input"))


def sign_calls(messages: Iterable[Message]) -> list[Message]:
    """Put Gemini's signatures back on the calls they belong to: they travel in an empty reasoning item before each."""
    out: list[Message] = []
    for message in messages:
        last = out[-1].content[-1] if out and out[-1].content else None
        first = message.content[0] if message.content else None
        if isinstance(first, ToolCall) and isinstance(last, Reasoning) and belongs_to_a_call(last):
            call = attrs.evolve(first, signature=last.signature)
            out[-1] = attrs.evolve(message, content=(call, *message.content[1:]))
        else:
            out.append(message)
    return out


def belongs_to_a_call(block: Reasoning) -> bool:
    """Whether reasoning is nothing but the signature of the call that follows."""
    return not block.text and block.signature is not None and block.signature.provider == "gemini"


def parse_item(item: dict[str, Any], path: str) -> Message:
    """Read one item.

    Raises:
        BadRequest: It lacks what its type demands.

    """
    kind = reading.optional_string(item, "type", path + ".")
    if kind is None:
        kind = "message" if "role" in item else "item_reference"
    if kind == "message":
        return _parse_message(item, path)
    if kind == "reasoning":
        return Message("assistant", (_parse_reasoning(item, path),))
    if kind in _CALLS:
        return Message("assistant", (_parse_call(item, path, _CALLS[kind]),))
    if kind in _OUTPUTS and item.get("call_id") is not None:
        return Message("user", (_parse_output(item, path, _OUTPUTS[kind]),))
    if kind == "image_generation_call" and isinstance(item.get("result"), str):
        return Message("assistant", (parse_image(item),))
    role: Role = "user" if kind.endswith(("_output", "_response", "_reference")) else "assistant"
    return Message(role, (Opaque(NAME, kind, item),))


def _parse_message(item: dict[str, Any], path: str) -> Message:
    role = reading.required_string(item, "role", path + ".")
    if role not in ("user", "assistant", "system", "developer"):
        raise BadRequest(f"{path}.role: nobody is called {role!r} here", param=f"{path}.role")
    content = tuple(parse_content(item.get("content"), path + ".content"))
    phase = reading.optional_string(item, "phase", path + ".")
    extras = extras_of(NAME, item, _MESSAGE)
    return Message(role, content, phase=phase, extras=extras)  # type: ignore[arg-type]


def phased(phase: str, extras: Extras | None = None) -> Extras:
    """The extras of a text that begins a message of this phase, a label that has to be sent back."""
    fields = extras.fields if extras is not None else {}
    return Extras(NAME, {**fields, "phase": phase}, frozenset({"phase"}))


def reasoning_text(item: dict[str, Any]) -> tuple[str, bool]:
    """What a reasoning item shows, its parts joined; and whether that is a summary."""
    parts = [reading.text(part, "text") for part in reading.sub_objects(item, "summary")]
    if any(parts):
        return "\n\n".join(part for part in parts if part), True
    parts = [reading.text(part, "text") for part in reading.sub_objects(item, "content")]
    return "\n\n".join(part for part in parts if part), False


def parse_signature(item: dict[str, Any]) -> tuple[Signature | None, bool]:
    """The proof in a reasoning item; and whether it is reasoning encrypted as a whole."""
    found = signature_from(reading.text(item, "encrypted_content"), PROVIDER)
    if found is not None and found.family == REDACTED:
        return attrs.evolve(found, family=""), True
    return found, False


def _parse_reasoning(item: dict[str, Any], path: str) -> Reasoning:
    item_id = reading.optional_string(item, "id", path + ".")
    reading.optional_string(item, "encrypted_content", path + ".")
    sign, redacted = parse_signature(item)
    text, is_summary = reasoning_text(item)
    extras = extras_of(NAME, item, _REASONING)
    if redacted:
        return Reasoning("", sign, redacted=True, extras=extras)
    return Reasoning(text, sign, is_summary=is_summary if text else None, item_id=item_id, extras=extras)


def _parse_call(item: dict[str, Any], path: str, kind: CallKind) -> ToolCall:
    word = "input" if kind == "custom" else "arguments"
    return ToolCall(
        reading.required_string(item, "call_id", path + "."),
        reading.required_string(item, "name", path + "."),
        reading.optional_string(item, word, path + ".") or ("" if kind == "custom" else "{}"),
        kind,
        reading.optional_string(item, "namespace", path + "."),
        item_id=reading.optional_string(item, "id", path + "."),
        extras=extras_of(NAME, item, _CALL),
    )


def _parse_output(item: dict[str, Any], path: str, kind: CallKind) -> ToolResult:
    output = item.get("output")
    if isinstance(output, str) and (found := _parts_in_text(output)) is not None:
        output = found
    content = tuple(parse_content(output, path + ".output"))
    name = reading.optional_string(item, "name", path + ".")
    call_id = reading.required_string(item, "call_id", path + ".")
    return ToolResult(call_id, content, name=name, kind=kind, extras=extras_of(NAME, item, _OUTPUT))


def _parts_in_text(output: str) -> list[Any] | None:
    """Clients whose tools return pictures write the parts as JSON text where only a string was once allowed."""
    if not output.startswith("[") or '"input_image"' not in output:
        return None
    try:
        value = loads(output)
    except ValueError:
        return None
    known = ("input_text", "input_image", "input_file")
    whole = isinstance(value, list) and all(isinstance(part, dict) and part.get("type") in known for part in value)
    return value if whole else None


def parse_image(item: dict[str, Any]) -> Media:
    """Read an image that the provider's own tool made."""
    form = reading.text(item, "output_format") or "png"
    return Media(
        "image",
        Inline(f"image/{form}", reading.text(item, "result")),
        extras=extras_of(NAME, item, _IMAGE, _ABOUT_IMAGE),
    )


# ---- out


def carried(signature: Signature, *, redacted: bool = False) -> str:
    """The text a client keeps for a signature: the native one as it is, any other in its wrapper."""
    if signature.provider == PROVIDER and not redacted and not signature.family:
        return signature.value
    return wrap(attrs.evolve(signature, family=REDACTED) if redacted else signature)


def build_reasoning(text: str, is_summary: bool | None) -> dict[str, Any]:
    """A reasoning item without its id and proof; what is not known to be raw is written as a summary, which clients show."""
    if is_summary is False and text:
        return {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": text}]}
    return {"type": "reasoning", "summary": [{"type": "summary_text", "text": text}] if text else []}


def build_call(call: ToolCall) -> dict[str, Any]:
    """A call item without its own id and state."""
    node: dict[str, Any] = {**fields_for(NAME, call.extras), "call_id": call.id, "name": call.name}
    if call.namespace is not None:
        node["namespace"] = call.namespace
    if call.kind == "custom":
        return {**node, "type": "custom_tool_call", "input": call.arguments}
    return {**node, "type": "function_call", "arguments": call.arguments or "{}"}


def build_image(block: Media, ident: str) -> dict[str, Any]:
    """The item of an image that the provider made; only inline images have a place in one."""
    assert isinstance(block.source, Inline)
    node = {"id": ident, "type": "image_generation_call", "status": "completed", **fields_for(NAME, block.extras)}
    return node | {"type": "image_generation_call", "result": block.source.data}


def build_items(message: Message, target: Target, losses: Losses) -> list[dict[str, Any]]:
    """Write a message as the items it is made of, in its order."""
    items: list[dict[str, Any]] = []
    said: list[Block] = []
    for block in message.content:
        item = _build_item(block, message, target, losses)
        if item is None:
            said.append(block)
            continue
        items += _build_message(said, message, losses)
        said = []
        items += item
    items += _build_message(said, message, losses)
    if not message.content and message.role != "assistant":
        items.append({"type": "message", "role": message.role, "content": ""})
    return items


def _build_message(said: list[Block], message: Message, losses: Losses) -> list[dict[str, Any]]:
    if not said:
        return []
    build = build_output_parts if message.role == "assistant" else build_input_parts
    parts = build(said, losses)
    if not parts:
        return []
    node = {**fields_for(NAME, message.extras), "type": "message", "role": message.role, "content": parts}
    return [node if message.phase is None else {**node, "phase": message.phase}]


def _build_item(block: Block, message: Message, target: Target, losses: Losses) -> list[dict[str, Any]] | None:
    """The item a block is, none when it is lost; None for a block that is a part of a message."""
    match block:
        case ToolCall():
            losses.unsigned(block, target.provider or PROVIDER)
            if block.cache is not None:
                losses.hint(losses.at(block) + ".cache", "OpenAI caches without marks")
            return [_with_id(build_call(block), block.item_id, "ctc_" if block.kind == "custom" else "fc_")]
        case ToolResult():
            return [_build_output(block, losses)]
        case Reasoning():
            return _build_reasoning(block, target, losses)
        case Media(kind="image", source=Inline()) if message.role == "assistant" and fields_for(NAME, block.extras):
            return [build_image(block, "")]
        case Opaque(dialect=dialect, kind=kind) if dialect == NAME and not kind.startswith(PART):
            return [block.value]
        case _:
            return None


def _with_id(node: dict[str, Any], ident: str | None, prefix: str) -> dict[str, Any]:
    # The API refuses an id that another dialect, or another kind of item, made up.
    return {**node, "id": ident} if ident is not None and ident.startswith(prefix) and len(ident) <= 64 else node


def _build_output(result: ToolResult, losses: Losses) -> dict[str, Any]:
    at = losses.at(result)
    if result.is_error:
        losses.dropped(at + ".is_error", f"{NAME} cannot say that a tool failed; its text is unchanged")
    if result.cache is not None:
        losses.hint(at + ".cache", "OpenAI caches without marks")
    parts = build_input_parts(result.content, losses)
    plain = len(parts) == 1 and parts[0].keys() == {"type", "text"}
    kind = "custom_tool_call_output" if result.kind == "custom" else "function_call_output"
    node = {**fields_for(NAME, result.extras), "type": kind, "call_id": result.call_id}
    return {**node, "output": parts[0]["text"] if plain else parts or ""}


def _build_reasoning(block: Reasoning, target: Target, losses: Losses) -> list[dict[str, Any]]:
    sign = block.signature
    node = {**fields_for(NAME, block.extras), **build_reasoning(block.text, block.is_summary)}
    if sign is not None and sign.provider == (target.provider or PROVIDER):
        return [_with_id({**node, "encrypted_content": sign.value}, block.item_id, "rs_")]
    if sign is None and block.item_id is not None:  # the provider has kept it
        return [_with_id(node, block.item_id, "")]
    if sign is None and block.text and target.reads_reasoning:
        return [node]
    losses.dropped(losses.at(block), f"{NAME} takes back only reasoning it signed itself")
    return []
