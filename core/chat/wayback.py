"""The way back: an answer's tool calls under the names and in the kinds that the client declared."""

from collections.abc import Iterable, Mapping

import attrs
import msgspec

from dragoman.core.chat.answer import Answer, Choice
from dragoman.core.chat.arguments import unwrap_free_text
from dragoman.core.chat.blocks import ToolCall
from dragoman.core.chat.names import NameRule, ToolNames
from dragoman.core.chat.request import ChatRequest, CustomTool, FunctionTool
from dragoman.core.chat.stream import BlockEnded, Delta, ToolCallDelta, ToolCallStarted


class WayBack:
    """Gives tools the names and kinds back that the client declared, which the provider's dialect could not say.

    Args:
        request: What the client asked; None: names stay as they are.
        rule: What the provider's dialect allows as a name.
        keep_namespaces: Whether that dialect has namespaces.
        unwraps_free_text: Whether that dialect has no tools that take free text.

    """

    def __init__(
        self, request: ChatRequest | None, rule: NameRule, *, keep_namespaces: bool, unwraps_free_text: bool
    ) -> None:
        self._tools: Mapping[str, FunctionTool | CustomTool] = {}
        if request is not None and request.tools:
            self._tools = ToolNames.of(request, rule, keep_namespaces=keep_namespaces).tools
        self._unwraps = unwraps_free_text
        self._held: dict[int, list[str]] = {}  # arguments of a call that was free text, by choice

    def __bool__(self) -> bool:
        return bool(self._tools)

    def restore(self, answer: Answer) -> Answer:
        """Restore a whole answer."""
        if not self._tools:
            return answer
        return attrs.evolve(answer, choices=tuple(self._restore_choice(choice) for choice in answer.choices))

    def _restore_choice(self, choice: Choice) -> Choice:
        return attrs.evolve(
            choice, blocks=tuple(self._restore_call(b) if isinstance(b, ToolCall) else b for b in choice.blocks)
        )

    def _restore_call(self, call: ToolCall) -> ToolCall:
        tool = self._tools.get(call.name)
        if tool is None or call.namespace not in (None, tool.namespace):
            return call
        call = attrs.evolve(call, name=tool.name, namespace=tool.namespace)
        if isinstance(tool, CustomTool) and self._unwraps:
            call = attrs.evolve(call, kind="custom", arguments=unwrap_free_text(call.arguments))
        return call

    def restore_deltas(self, deltas: Iterable[Delta]) -> list[Delta]:
        """Restore a piece of a stream. Free text comes when its call is complete, for it has to be unwrapped."""
        out: list[Delta] = []
        for delta in deltas:
            if isinstance(delta, ToolCallStarted):
                call = self._restore_call(ToolCall(delta.id, delta.name, "", delta.kind, delta.namespace))
                if call.kind != delta.kind:
                    self._held[delta.choice] = []
                delta = msgspec.structs.replace(delta, name=call.name, kind=call.kind, namespace=call.namespace)
            elif isinstance(delta, ToolCallDelta) and delta.choice in self._held:
                self._held[delta.choice].append(delta.arguments)
                continue
            elif isinstance(delta, BlockEnded) and delta.choice in self._held:
                text = unwrap_free_text("".join(self._held.pop(delta.choice)))
                if text:
                    out.append(ToolCallDelta(text, delta.choice))
            out.append(delta)
        return out
