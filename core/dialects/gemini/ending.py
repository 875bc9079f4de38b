"""How an answer ends: finish reasons and counted tokens, both ways.

Gemini has no reason for "the client is to run tools": the calls show it. Thoughts are counted beside the visible output, results of
Google's own tools beside the prompt, cached tokens within it.
"""

from collections.abc import Mapping
from typing import Any

from dragoman.core.chat.answer import Finish, FinishKind
from dragoman.core.chat.loss import Losses
from dragoman.core.chat.usage import TokenUsage, count
from dragoman.core.dialects import reading
from dragoman.core.dialects.gemini.content import NAME

_KINDS: Mapping[str, FinishKind] = {
    "STOP": "end", "MAX_TOKENS": "length", "SAFETY": "filter", "RECITATION": "recitation", "LANGUAGE": "filter", "OTHER": "other",
    "BLOCKLIST": "filter", "PROHIBITED_CONTENT": "filter", "SPII": "filter", "MALFORMED_FUNCTION_CALL": "malformed_call",
    "IMAGE_SAFETY": "filter", "IMAGE_PROHIBITED_CONTENT": "filter", "IMAGE_RECITATION": "recitation",
    "UNEXPECTED_TOOL_CALL": "malformed_call", "TOO_MANY_TOOL_CALLS": "malformed_call", "MALFORMED_RESPONSE": "malformed_call",
    "MISSING_THOUGHT_SIGNATURE": "malformed_call", "ESCALATION": "filter", "MODEL_ARMOR": "filter", "PUP_LIMITED_DISABLED": "filter",
}  # fmt: skip
_WORDS: Mapping[FinishKind, str] = {
    "end": "STOP", "stop": "STOP", "length": "MAX_TOKENS", "context": "MAX_TOKENS", "tool": "STOP", "refusal": "SAFETY",
    "filter": "SAFETY", "recitation": "RECITATION", "malformed_call": "MALFORMED_FUNCTION_CALL", "pause": "STOP", "other": "OTHER",
}  # fmt: skip
_EXACT = frozenset({"end", "length", "tool", "filter", "recitation", "malformed_call", "other"})
_BLOCKED = "blocked:"


def parse_finish(reason: str, *, has_calls: bool, detail: str | None = None) -> Finish:
    """Say why a candidate ended. A word we do not know is ``other``."""
    kind = _KINDS.get(reason.upper(), "other")
    return Finish("tool" if has_calls and kind in ("end", "other") else kind, raw=(NAME, reason), detail=detail)


def parse_block(feedback: Mapping[str, Any]) -> Finish | None:
    """Read ``promptFeedback``: a prompt that was blocked got no candidates."""
    reason = reading.text(feedback, "blockReason")
    if not reason:
        return None
    return Finish("filter", raw=(NAME, _BLOCKED + reason), detail=reading.text_or_none(feedback, "blockReasonMessage"))


def build_finish(finish: Finish | None, losses: Losses) -> str:
    """The reason to write: Gemini's own word again, where it was one."""
    if finish is None:
        return "STOP"
    if finish.raw is not None and finish.raw[0] == NAME:
        word = finish.raw[1].upper()
        if _KINDS.get(word) == ("end" if finish.kind == "tool" else finish.kind):
            return word
    if finish.kind not in _EXACT:
        losses.changed("answer.finish", f"{NAME} cannot say {finish.kind}; it reads {_WORDS[finish.kind]}")
    return _WORDS[finish.kind]


def build_block(finish: Finish | None) -> dict[str, Any] | None:
    """Write ``promptFeedback``; None when the prompt was not blocked."""
    if finish is None or finish.raw is None or finish.raw[0] != NAME or not finish.raw[1].startswith(_BLOCKED):
        return None
    node = {"blockReason": finish.raw[1].removeprefix(_BLOCKED)}
    return node if finish.detail is None else {**node, "blockReasonMessage": finish.detail}


def parse_usage(node: Mapping[str, Any]) -> TokenUsage:
    """Read counted tokens."""
    prompt, tools = count(node.get("promptTokenCount")), count(node.get("toolUsePromptTokenCount"))
    said, thought = count(node.get("candidatesTokenCount")), count(node.get("thoughtsTokenCount"))
    # Some gateways and older Vertex count thoughts among the candidates' tokens; their total shows it.
    is_within = 0 < thought <= said and count(node.get("totalTokenCount")) == prompt + tools + said
    heard, seen = _of(node, "promptTokensDetails", "AUDIO"), _of(node, "promptTokensDetails", "IMAGE")
    return TokenUsage(
        input=prompt + tools,
        output=said if is_within else said + thought,
        cached=min(count(node.get("cachedContentTokenCount")), prompt),
        reasoning=thought,
        tool_input=tools,
        audio_input=heard,
        audio_output=_of(node, "candidatesTokensDetails", "AUDIO"),
        image_input=seen,
    )


def _of(node: Mapping[str, Any], key: str, modality: str) -> int:
    details = reading.sub_objects(node, key)
    return sum(count(d.get("tokenCount")) for d in details if reading.text(d, "modality").upper() == modality)


def build_usage(usage: TokenUsage, losses: Losses) -> dict[str, Any]:
    """Write counted tokens."""
    losses.uncounted(usage, ("cache_written", "web_searches"), NAME)
    node: dict[str, Any] = {
        "promptTokenCount": usage.input - usage.tool_input,
        "candidatesTokenCount": usage.output - usage.reasoning,
        "totalTokenCount": usage.total,
    }
    parts = (
        ("cachedContentTokenCount", usage.cached),
        ("thoughtsTokenCount", usage.reasoning),
        ("toolUsePromptTokenCount", usage.tool_input),
    )
    node |= {name: value for name, value in parts if value}
    read = {"AUDIO": usage.audio_input, "IMAGE": usage.image_input}
    for name, details in (("promptTokensDetails", read), ("candidatesTokensDetails", {"AUDIO": usage.audio_output})):
        counted = [{"modality": modality, "tokenCount": value} for modality, value in details.items() if value]
        if counted:
            node[name] = counted
    return node
