"""Names and ids that fit every dialect: made to fit on the way out, recognised on the way back.

Each dialect allows other characters and lengths for names of tools and ids of calls. What fits is left alone; what does not is
changed the same way everywhere it occurs, and never into a name already taken. The change needs no memory: it is computed from
the request alone, so the answer's way back computes it again.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping

import attrs

from dragoman.core.chat.blocks import ToolCall, ToolResult
from dragoman.core.chat.request import ChatRequest, CustomTool, FunctionTool, Message


@attrs.frozen
class NameRule:
    """What a dialect allows.

    Attributes:
        illegal: Matches one character that may not occur.
        limit: Most characters.
        first: Matches what may not begin a name; None: no further rule.

    """

    illegal: re.Pattern[str]
    limit: int
    first: re.Pattern[str] | None = None

    def fits(self, name: str) -> bool:
        """Whether a name may be written as it is."""
        return (
            0 < len(name) <= self.limit
            and self.illegal.search(name) is None
            and (self.first is None or self.first.match(name) is None)
        )

    def fit(self, name: str) -> str:
        r"""Make a name fit. What fits stays; no two names that occur in practice become one (32 bits of a hash tell them apart).

        >>> rule = NameRule(re.compile(r"[^A-Za-z0-9_-]"), 20)
        >>> rule.fit("call_1"), rule.fit("a.b"), rule.fit("a:b")
        ('call_1', 'a_b_2e7336dc', 'a_b_6783a31e')
        """
        if self.fits(name):
            return name
        base = self.illegal.sub("_", name)
        if self.first is not None and self.first.match(base) is not None:
            base = "_" + base
        return f"{base[: self.limit - 9]}_{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def qualified(namespace: str | None, name: str) -> str:
    """The one name of a nested tool where there are no namespaces.

    >>> qualified("mail", "send"), qualified("mail", "mail__send"), qualified(None, "send")
    ('mail__send', 'mail__send', 'send')
    """
    return name if not namespace or name.startswith(f"{namespace}__") else f"{namespace}__{name}"


@attrs.frozen
class ToolNames:
    """The names of a request's tools in a dialect, both ways.

    Attributes:
        wire: (namespace, name) to the name on the wire.
        tools: The name on the wire to the declared tool, for the way back; only what is not plain: another name, a namespace,
            or free text.

    """

    wire: Mapping[tuple[str | None, str], str]
    tools: Mapping[str, FunctionTool | CustomTool]

    @classmethod
    def of(cls, request: ChatRequest, rule: NameRule, *, keep_namespaces: bool = False) -> "ToolNames":
        """Work out the names `request` has in a dialect with this rule, with or without namespaces."""
        declared = [tool for tool in request.tools if isinstance(tool, FunctionTool | CustomTool)]
        keys = [(tool.namespace, tool.name) for tool in declared]
        keys += [
            (block.namespace, block.name)
            for message in request.messages
            for block in message.content
            if isinstance(block, ToolCall)
        ]
        keys = list(dict.fromkeys(keys))
        keys.sort(key=lambda key: key[0] is not None or not rule.fits(key[1]))  # what is plain keeps its name
        wire: dict[tuple[str | None, str], str] = {}
        taken: set[tuple[str | None, str]] = set()
        for key in keys:
            space = key[0] if keep_namespaces else None
            name = wanted = key[1] if keep_namespaces else qualified(*key)
            attempt = 0
            while (space, rule.fit(name)) in taken:
                attempt += 1
                name = f"{wanted}\0{attempt}"
            wire[key] = rule.fit(name)
            taken.add((space, wire[key]))
        tools = {wire[tool.namespace, tool.name]: tool for tool in declared}
        plain = {
            name
            for name, tool in tools.items()
            if isinstance(tool, FunctionTool) and name == tool.name and (keep_namespaces or tool.namespace is None)
        }
        return cls(wire, {name: tool for name, tool in tools.items() if name not in plain})

    def plain(self, name: str) -> str:
        """The name on the wire of a tool named without its namespace (as `ToolChoice` does)."""
        return next((wire for (_, known), wire in self.wire.items() if known == name), name)


def fitted(request: ChatRequest, names: NameRule, ids: NameRule, *, keep_namespaces: bool = False) -> ChatRequest:
    """A request whose tool names and call ids fit a dialect; `request` itself when they already do.

    Namespaces become part of the names, unless the dialect has them.
    """
    known = ToolNames.of(request, names, keep_namespaces=keep_namespaces)
    renamed = {key for key, wire in known.wire.items() if key != (key[0] if keep_namespaces else None, wire)}
    if not renamed and all(ids.fits(call_id) for call_id in _call_ids(request.messages)):
        return request
    tools = tuple(
        attrs.evolve(tool, name=known.wire[tool.namespace, tool.name], namespace=_kept(tool.namespace, keep_namespaces))
        if isinstance(tool, FunctionTool | CustomTool) and (tool.namespace, tool.name) in renamed
        else tool
        for tool in request.tools
    )
    choice = request.tool_choice
    if choice is not None:
        choice = attrs.evolve(choice, names=tuple(known.plain(name) for name in choice.names))
    messages = tuple(_fit_message(message, known, ids, keep=keep_namespaces) for message in request.messages)
    return attrs.evolve(request, tools=tools, tool_choice=choice, messages=messages)


def _call_ids(messages: Iterable[Message]) -> Iterable[str]:
    for message in messages:
        for block in message.content:
            if isinstance(block, ToolCall):
                yield block.id
            elif isinstance(block, ToolResult):
                yield block.call_id


def _kept(namespace: str | None, keep: bool) -> str | None:
    return namespace if keep else None


def _fit_message(message: Message, names: ToolNames, ids: NameRule, *, keep: bool) -> Message:
    content = []
    for block in message.content:
        if isinstance(block, ToolCall):
            wire = names.wire[block.namespace, block.name]
            block = attrs.evolve(block, id=ids.fit(block.id), name=wire, namespace=_kept(block.namespace, keep))
        elif isinstance(block, ToolResult):
            name = None if block.name is None else names.plain(block.name)
            block = attrs.evolve(block, call_id=ids.fit(block.call_id), name=name)
        content.append(block)
    return attrs.evolve(message, content=tuple(content))


_PREFIX = re.compile(r"(?:chatcmpl-|msg_|resp_)+")
_NOT_ID = re.compile(r"[^A-Za-z0-9_-]")


def foreign_id(ident: str, prefix: str) -> str:
    """The id of another dialect's answer with the prefix a dialect gives its own; the same id always gives the same.

    >>> foreign_id("msg_01K", "chatcmpl-"), foreign_id("", "msg_")
    ('chatcmpl-01K', 'msg_0')
    """
    return prefix + (_NOT_ID.sub("_", _PREFIX.sub("", ident, count=1)) or "0")


def made_up_call_id(answer_id: str, choice: int, ordinal: int, name: str) -> str:
    """An id for a tool call whose dialect gave none: unique within the answer, the same for the same bytes."""
    seed = f"{answer_id}\0{choice}\0{ordinal}\0{name}".encode("utf-8", "surrogatepass")
    return "call_" + hashlib.sha256(seed).hexdigest()[:24]
