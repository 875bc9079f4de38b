#!/usr/bin/env python3
"""Write the tables of docs/reference/translation.md from what the translator does.

``python scripts/translation_table.py [--check]``. One probe for each thing a request or an answer can say: every dialect that can say it writes it, it
is translated to every other, and the losses that are reported are the table. Fails when the hub has an attribute that no
probe sets, so a new one cannot be forgotten. ``--check`` writes nothing and fails when the page is not what it should be.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import attrs

ROOT: Final = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from dragoman.core.chat.answer import Answer, Choice, Finish  # noqa: E402
from dragoman.core.chat.blocks import (  # noqa: E402
    CacheMark,
    Citation,
    FileId,
    Inline,
    Link,
    Media,
    Nested,
    Opaque,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from dragoman.core.chat.loss import Extras, Loss  # noqa: E402
from dragoman.core.chat.request import (  # noqa: E402
    ChatRequest,
    CustomTool,
    FunctionTool,
    Message,
    OpaqueTool,
    OutputFormat,
    Thinking,
    ToolChoice,
    WebSearchTool,
)
from dragoman.core.chat.signature import Signature  # noqa: E402
from dragoman.core.chat.target import Target  # noqa: E402
from dragoman.core.chat.usage import TokenUsage  # noqa: E402
from dragoman.core.dialects import DIALECTS, AnswerContext, Dialect  # noqa: E402
from dragoman.core.errors import Untranslatable  # noqa: E402
from dragoman.core.translate import translate_answer, translate_request  # noqa: E402

PAGE: Final = ROOT / "docs" / "reference" / "translation.md"
NAMES: Final = ("openai_chat", "openai_responses", "claude", "gemini")
SHORT: Final = {"openai_chat": "Chat", "openai_responses": "Responses", "claude": "Claude", "gemini": "Gemini"}
MARKS: Final = ("<!-- requests -->", "<!-- answers -->", "<!-- end -->")
SCHEMA: Final = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}
TOOL: Final = FunctionTool("look", "Looks.", SCHEMA)
HI: Final = Text("Hi")
CALL: Final = ToolCall("call_1", "look", '{"a":"b"}')
IMAGE: Final = Inline("image/png", "iVBORw0KGgo=")
PDF: Final = Inline("application/pdf", "JVBERi0=")
# A tool and a block that only their own dialect knows.
OWN_TOOLS: Final[Mapping[str, tuple[str, Any]]] = {
    "openai_chat": ("odd", {"type": "odd"}),
    "openai_responses": ("file_search", {"type": "file_search", "vector_store_ids": ["v"]}),
    "claude": ("bash_20250124", {"type": "bash_20250124", "name": "bash"}),
    "gemini": ("codeExecution", {"codeExecution": {}}),
}
OWN_BLOCKS: Final[Mapping[str, tuple[str, Any]]] = {
    "openai_responses": (
        "file_search_call",
        {"type": "file_search_call", "id": "fs_1", "queries": ["q"], "status": "completed"},
    ),
    "claude": ("server_tool_use", {"type": "server_tool_use", "id": "s", "name": "code_execution", "input": {}}),
    "gemini": ("executableCode", {"executableCode": {"language": "PYTHON", "code": "1"}}),
}

Probe = Callable[[Dialect], Any]


def asked(*blocks: Any, **more: Any) -> ChatRequest:
    """A request whose one message says `blocks`."""
    return attrs.evolve(ChatRequest("m", (Message("user", blocks or (HI,)),)), **more)


def talked(*blocks: Any, result: Any = None, **more: Any) -> ChatRequest:
    """A request in which the model has said `blocks`, and the client answers a call with `result`."""
    answer = Message("user", (result or Text("Go on."),))
    return attrs.evolve(
        asked(), messages=(Message("user", (HI,)), Message("assistant", blocks), answer), tools=(TOOL,), **more
    )


def signed(dialect: Dialect) -> Signature:
    """A signature that is native to a dialect."""
    return Signature(dialect.provider, "RXFRQg==")


def _own_tool(d: Dialect) -> ChatRequest:
    return asked(tools=(OpaqueTool(d.name, *OWN_TOOLS[d.name]),))


def _own_block(d: Dialect) -> ChatRequest | None:
    return talked(Opaque(d.name, *OWN_BLOCKS[d.name])) if d.name in OWN_BLOCKS else None


def _signed_call(d: Dialect) -> tuple[ChatRequest, ChatRequest]:
    return talked(attrs.evolve(CALL, signature=signed(d)), result=RESULT), CALLED


def always(value: Any, base: Any = None) -> Probe:
    """The same probe for every source; `base` is what it would be without the thing that is probed."""
    return lambda _: value if base is None else (value, base)


MARK: Final = CacheMark("5m")
RESULT: Final = ToolResult("call_1", (HI,), name="look")
CALLED: Final = talked(CALL, result=RESULT)
PICTURED: Final = asked(HI, Media("image", IMAGE))
TALK: Final = talked(HI)
SEARCH: Final = asked(tools=(WebSearchTool(),))
THOUGHT: Final = asked(thinking=Thinking("level", "high"))
TOOLED: Final = asked(tools=(TOOL,))
THREE: Final = tuple(FunctionTool(name, "Looks.", SCHEMA) for name in ("look", "see", "spy"))
DOCUMENT: Final = asked(HI, Media("document", PDF))
REQUESTS: Final[Mapping[str, Probe]] = {
    "text": always(asked(Text("Something else"))),
    "instructions above the conversation": always(asked(instructions=(Text("Be kind."),))),
    "system message within the conversation": always(
        attrs.evolve(
            asked(),
            messages=(
                Message("user", (HI,)),
                Message("assistant", (HI,)),
                Message("system", (HI,)),
                Message("user", (HI,)),
            ),
        )
    ),
    "developer message within the conversation": always(
        attrs.evolve(
            asked(),
            messages=(
                Message("user", (HI,)),
                Message("assistant", (HI,)),
                Message("developer", (HI,)),
                Message("user", (HI,)),
            ),
        )
    ),
    "name of a speaker": always(attrs.evolve(asked(), messages=(Message("user", (HI,), name="Ann"),))),
    "phase of an assistant's message": always(
        attrs.evolve(
            asked(),
            messages=(Message("user", (HI,)), Message("assistant", (HI,), phase="commentary"), Message("user", (HI,))),
        )
    ),
    "image, inline": always(asked(HI, Media("image", IMAGE))),
    "image, at an address": always(asked(HI, Media("image", Link("https://example.com/a.png", "image/png")))),
    "image, an uploaded file": lambda d: asked(HI, Media("image", FileId("file-1", d.name))),
    "detail of an image": always(asked(HI, Media("image", IMAGE, detail="low")), PICTURED),
    "document (PDF), inline": always(asked(HI, Media("document", PDF))),
    "name of a file": always(asked(HI, Media("document", PDF, filename="a.pdf"))),
    "document, at an address": always(
        asked(HI, Media("document", Link("https://example.com/a.pdf", "application/pdf")))
    ),
    "document, as plain text": always(asked(HI, Media("document", Inline("text/plain", "SGk=")))),
    "document, made of blocks": always(asked(HI, Media("document", Nested((HI,))))),
    "title, context and citing of a document": always(
        asked(HI, Media("document", PDF, title="T", context="C", cite=True)), DOCUMENT
    ),
    "audio, inline": always(asked(HI, Media("audio", Inline("audio/wav", "UklGRg==")))),
    "video, inline": always(asked(HI, Media("video", Inline("video/mp4", "AAAA")))),
    "function tool": always(asked(tools=(TOOL,))),
    "strict function tool": always(asked(tools=(attrs.evolve(TOOL, strict=True),)), TOOLED),
    "tool in a namespace": always(asked(tools=(attrs.evolve(TOOL, namespace="space"),)), TOOLED),
    "tool of free text": always(asked(tools=(CustomTool("patch", "Patches."),))),
    "tool of free text in a namespace": always(asked(tools=(CustomTool("patch", "Patches.", namespace="space"),))),
    "tool of free text with a grammar": always(asked(tools=(CustomTool("patch", "Patches.", "regex", "a+"),))),
    "web search": always(asked(tools=(WebSearchTool(),))),
    "web search: allowed domains": always(asked(tools=(WebSearchTool(("example.com",)),)), SEARCH),
    "web search: blocked domains": always(asked(tools=(WebSearchTool(blocked_domains=("example.com",)),)), SEARCH),
    "web search: most uses": always(asked(tools=(WebSearchTool(max_uses=2),)), SEARCH),
    "web search: size of context": always(asked(tools=(WebSearchTool(context_size="low"),)), SEARCH),
    "web search: location": always(asked(tools=(WebSearchTool(location={"city": "Oslo", "country": "NO"}),)), SEARCH),
    "web search: version": lambda d: (
        (asked(tools=(WebSearchTool(variant="web_search_20260209"),)), SEARCH) if d.name == "claude" else None
    ),
    "tool of one provider": _own_tool,
    "tool choice: auto": always(asked(tools=(TOOL,), tool_choice=ToolChoice("auto")), TOOLED),
    "tool choice: none": always(asked(tools=(TOOL,), tool_choice=ToolChoice("none")), TOOLED),
    "tool choice: any": always(asked(tools=(TOOL,), tool_choice=ToolChoice("any")), TOOLED),
    "tool choice: one by name": always(asked(tools=(TOOL,), tool_choice=ToolChoice("named", ("look",))), TOOLED),
    "tool choice: some of them": always(asked(tools=(TOOL,), tool_choice=ToolChoice("allowed", ("look",))), TOOLED),
    "tool choice: any of some": always(
        asked(tools=THREE, tool_choice=ToolChoice("allowed_any", ("look", "see"))), asked(tools=THREE)
    ),
    "no parallel calls": always(asked(tools=(TOOL,), parallel_tool_calls=False), TOOLED),
    "call and result": always(CALLED, TALK),
    "result that is an error": always(talked(CALL, result=attrs.evolve(RESULT, is_error=True)), CALLED),
    "result with an image": always(
        talked(CALL, result=attrs.evolve(RESULT, content=(HI, Media("image", IMAGE)))), CALLED
    ),
    "call of a tool of free text": always(
        attrs.evolve(
            talked(
                ToolCall("call_1", "patch", "text", "custom"),
                result=ToolResult("call_1", (HI,), name="patch", kind="custom"),
            ),
            tools=(CustomTool("patch"),),
        )
    ),
    "call in a namespace": always(
        attrs.evolve(
            talked(attrs.evolve(CALL, namespace="space"), result=RESULT),
            tools=(attrs.evolve(TOOL, namespace="space"),),
        ),
        CALLED,
    ),
    "second id of a call": always(talked(attrs.evolve(CALL, item_id="fc_1"), result=RESULT), CALLED),
    "signature of a call": _signed_call,
    "signature of a text": lambda d: (talked(Text("So.", signature=signed(d))), talked(Text("So."))),
    "signature of an image": lambda d: (
        talked(HI, Media("image", IMAGE, signature=signed(d))),
        talked(HI, Media("image", IMAGE)),
    ),
    "reasoning, unsigned": always(talked(Reasoning("Hm."), HI), TALK),
    "reasoning, signed": lambda d: (
        talked(
            Reasoning("Hm.", signed(d), is_summary=True if d.name == "openai_responses" else None, item_id="rs_1"), HI
        ),
        TALK,
    ),
    "reasoning, redacted": lambda d: (talked(Reasoning("", signed(d), redacted=True), HI), TALK),
    "refusal of an earlier turn": always(talked(Refusal("No."))),
    "citation in an earlier turn": always(
        talked(Text("So.", (Citation("https://example.com", "T", 0, 3, "So."),))), talked(Text("So."))
    ),
    "block of one provider": _own_block,
    "max_tokens": always(asked(max_tokens=700)),
    "stop": always(asked(stop=("END",))),
    "temperature": always(asked(temperature=0.5)),
    "top_p": always(asked(top_p=0.5)),
    "top_k": always(asked(top_k=5)),
    "seed": always(asked(seed=5)),
    "presence_penalty": always(asked(presence_penalty=0.5)),
    "frequency_penalty": always(asked(frequency_penalty=0.5)),
    "several answers": always(asked(choices=2)),
    "logit_bias": always(asked(logit_bias={"5": 1})),
    "logprobs": always(asked(logprobs=True, top_logprobs=2)),
    "output: any JSON": always(asked(output=OutputFormat("json"))),
    "output: JSON Schema": always(asked(output=OutputFormat("schema", SCHEMA))),
    "name, description and strictness of the schema": always(
        asked(output=OutputFormat("schema", SCHEMA, "n", "d", strict=True)),
        asked(output=OutputFormat("schema", SCHEMA)),
    ),
    "verbosity": always(asked(verbosity="low")),
    "reasoning off": always(asked(thinking=Thinking("off"))),
    "reasoning as the model likes": always(asked(thinking=Thinking("auto"))),
    "reasoning by level": always(asked(thinking=Thinking("level", "high"))),
    "reasoning by tokens": always(
        asked(thinking=Thinking("budget", budget=4096), max_tokens=9000), asked(max_tokens=9000)
    ),
    "reasoning shown or not": always(asked(thinking=Thinking("level", "high", show="detailed")), THOUGHT),
    "stream": always(asked(stream=True)),
    "user": always(asked(user="u-1")),
    "cache_key": always(asked(cache_key="k")),
    "service_tier": always(asked(service_tier="priority")),
    "metadata": always(asked(metadata={"a": "b"})),
    "store": always(asked(store=True)),
    "previous_response_id": always(asked(previous_response_id="resp_1")),
    "cache mark on a text": always(asked(Text("Hi", cache=MARK))),
    "cache mark on media": always(asked(HI, Media("image", IMAGE, cache=MARK)), PICTURED),
    "cache mark on a tool": always(asked(tools=(attrs.evolve(TOOL, cache=MARK),)), TOOLED),
    "cache mark on a call": always(talked(attrs.evolve(CALL, cache=MARK), result=RESULT), CALLED),
    "cache mark on a result": always(talked(CALL, result=attrs.evolve(RESULT, cache=MARK)), CALLED),
    "cache mark on the request": always(asked(cache=MARK)),
    "a field that only the source knows": lambda d: asked(extras=Extras(d.name, {"x_unknown": 1})),
}


END: Final = Finish("end")


def told(*blocks: Any, finish: Finish = END, logprobs: tuple[Any, ...] | None = None, **more: Any) -> Answer:
    """An answer that says `blocks`."""
    return Answer("a-1", "m", (Choice(blocks or (HI,), finish, logprobs),), **more)


COUNTED: Final = told(usage=TokenUsage(10, 5))
TOKEN: Final = {"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": []}
ANSWERS: Final[Mapping[str, Probe]] = {
    "text": always(told(Text("Something else"))),
    "call": always(told(CALL, finish=Finish("tool"))),
    "parallel calls": always(told(CALL, attrs.evolve(CALL, id="call_2"), finish=Finish("tool"))),
    "reasoning": always(told(Reasoning("Hm."), HI)),
    "reasoning, signed": lambda d: told(Reasoning("Hm.", signed(d)), HI),
    "reasoning, redacted": lambda d: told(Reasoning("", signed(d), redacted=True), HI),
    "signature of a text": lambda d: told(Text("So.", signature=signed(d))),
    "signature of a call": lambda d: told(attrs.evolve(CALL, signature=signed(d)), finish=Finish("tool")),
    "refusal": always(told(Refusal("No."), finish=Finish("refusal"))),
    "citation of a page": always(told(Text("So it is.", (Citation("https://example.com", "T", 0, 9),)))),
    "image": always(told(HI, Media("image", IMAGE))),
    "block of one provider": lambda d: told(Opaque(d.name, *OWN_BLOCKS[d.name]), HI) if d.name in OWN_BLOCKS else None,
    "logprobs": always(told(logprobs=(TOKEN,))),
    "several answers": always(Answer("a-1", "m", (Choice((HI,), Finish("end")), Choice((Text("Ho"),), Finish("end"))))),
    "end: stop text, which one": always(told(finish=Finish("stop", "END"))),
    "end: length": always(told(finish=Finish("length"))),
    "end: context full": always(told(finish=Finish("context"))),
    "end: refusal": always(told(finish=Finish("refusal", detail="because"))),
    "end: filter": always(told(finish=Finish("filter"))),
    "end: recitation": always(told(finish=Finish("recitation"))),
    "end: malformed call": always(told(finish=Finish("malformed_call"))),
    "end: pause": always(told(finish=Finish("pause"))),
    "end: other": always(told(finish=Finish("other"))),
    "usage": always(told(usage=TokenUsage(10, 5))),
    "usage: read from the cache": always(told(usage=TokenUsage(10, 5, cached=3)), COUNTED),
    "usage: written to the cache": always(told(usage=TokenUsage(10, 5, cache_written=3)), COUNTED),
    "usage: written for an hour": always(
        told(usage=TokenUsage(10, 5, cache_written=3, cache_written_1h=3)),
        COUNTED,
    ),
    "usage: reasoning": always(told(usage=TokenUsage(10, 5, reasoning=3)), COUNTED),
    "usage: audio": always(told(usage=TokenUsage(10, 5, audio_input=3, audio_output=2)), COUNTED),
    "usage: images": always(told(usage=TokenUsage(10, 5, image_input=3)), COUNTED),
    "usage: input of the provider's tools": always(told(usage=TokenUsage(10, 5, tool_input=3)), COUNTED),
    "usage: searches of the web": always(told(usage=TokenUsage(10, 5, web_searches=1)), COUNTED),
    "time of creation": always(told(created=1_700_000_000)),
    "a field that only the source knows": lambda d: told(extras=Extras(d.name, {"x_unknown": 1})),
}


def write_request(dialect: Dialect, request: ChatRequest) -> tuple[bytes, tuple[Loss, ...]]:
    """A request as a client of a dialect writes it."""
    return dialect.build_request(request, Target(provider=dialect.provider, reads_reasoning=True))


def write_answer(dialect: Dialect, answer: Answer) -> tuple[bytes, tuple[Loss, ...]]:
    """An answer as a provider of a dialect writes it."""
    return dialect.build_answer(answer, AnswerContext())


@attrs.frozen
class Way:
    """How things of one sort are written and translated."""

    write: Callable[[Dialect, Any], tuple[bytes, tuple[Loss, ...]]]
    translate: Callable[..., Any]
    base: Any

    def says(self, source: Dialect, probe: Probe) -> tuple[bytes, bytes] | None:
        """The probe and what it would be without, both as `source` writes them; None when it cannot say it."""
        wanted = probe(source)
        if wanted is None:
            return None
        value, base = wanted if isinstance(wanted, tuple) else (wanted, self.base)
        try:
            (body, lost), (plain, _), (_, always_lost) = (self.write(source, item) for item in (value, base, self.base))
        except Untranslatable:
            return None
        return None if body == plain or set(lost) - set(always_lost) else (body, plain)

    def outcome(self, said: tuple[bytes, bytes], source: str, target: str) -> tuple[str, tuple[str, ...]]:
        """What becomes of it on the way to another dialect, and why."""
        known = set(self.translate(said[1], source, target).losses)
        try:
            losses = [loss for loss in self.translate(said[0], source, target).losses if loss not in known]
        except Untranslatable as error:
            return "refused", (error.message,)
        kind = next(
            (kind for kind in ("dropped", "changed", "hint") if any(loss.kind == kind for loss in losses)), "exact"
        )
        return kind, tuple(dict.fromkeys(f"`{loss.path}` {loss.kind}: {loss.detail}" for loss in losses))


def row(way: Way, what: str, probe: Probe, notes: dict[str, None]) -> str:
    """One line of a table; what stands behind its words goes to `notes`."""
    said = {name: found for name in NAMES if (found := way.says(DIALECTS[name], probe)) is not None}
    cells = []
    for target in NAMES:
        kinds: dict[str, list[str]] = {}
        for source, pair in said.items():
            if source == target:
                continue
            kind, details = way.outcome(pair, source, target)
            if kind == "exact" and target not in said:
                if what not in UNSAID:
                    sys.exit(f"{what}: {source} says it, {target} cannot, and no loss is reported")
                kind = "unsaid"
                details = (f"unsaid: {UNSAID[what]}",)
            kinds.setdefault(kind, []).append(SHORT[source])
            notes |= dict.fromkeys(f"{what}, to {SHORT[target]}: {detail}" for detail in details)
        uniform = len(kinds) == 1
        cells.append(
            next(iter(kinds)) if uniform else "; ".join(f"{k} from {', '.join(v)}" for k, v in kinds.items()) or "–"
        )
    return f"| {what} | {', '.join(SHORT[name] for name in said) or 'nobody'} | {' | '.join(cells)} |"


def table(probes: Mapping[str, Probe], way: Way) -> Iterator[str]:
    """The lines of a table and of the notes under it."""
    yield ""
    yield "| what | said by | " + " | ".join(f"to {SHORT[name]}" for name in NAMES) + " |"
    yield "|---|---|" + "---|" * len(NAMES)
    notes: dict[str, None] = {}
    for what, probe in probes.items():
        yield row(way, what, probe, notes)
    yield ""
    yield "The losses behind it:"
    yield ""
    yield from (f"- {note}" for note in notes)
    yield ""


# Why nothing is reported, where nothing is and the target has no word for it.
UNSAID: Final[Mapping[str, str]] = {
    "second id of a call": "it names the call in the provider's own store; call and result are joined by the first",
    "reasoning as the model likes": "it is what a Chat model does when nothing is said",
    "stream": "Gemini says it in the path",
    "time of creation": "the header `date` says it",
}

PROBED: Final = (
    ChatRequest, Message, FunctionTool, CustomTool, WebSearchTool, OpaqueTool, ToolChoice, OutputFormat, Thinking, Media, ToolCall,
    ToolResult, Reasoning, Refusal, Opaque, CacheMark, Citation, Answer, Choice, Finish, TokenUsage,
)  # fmt: skip
# The same for every node, so that one probe stands for all; or nothing that a client says by itself.
BESIDE: Final = {"extras", "cache", "raw", "fault", "include_usage"}


def unprobed() -> Iterable[str]:
    """Attributes of the hub that no probe sets."""
    seen: set[str] = set()

    def look(value: Any) -> None:
        if attrs.has(type(value)):
            for field in attrs.fields(type(value)):
                inner = getattr(value, field.name)
                if inner != field.default:
                    seen.add(f"{type(value).__name__}.{field.name}")
                look(inner)
        elif isinstance(value, tuple):
            for item in value:
                look(item)

    for probe in [*REQUESTS.values(), *ANSWERS.values()]:
        for name in NAMES:
            look(probe(DIALECTS[name]))
    for kind in PROBED:
        for field in attrs.fields(kind):
            if field.name not in BESIDE and f"{kind.__name__}.{field.name}" not in seen:
                yield f"{kind.__name__}.{field.name}"


def page(text: str) -> str:
    """The page with its tables written anew."""
    requests, answers, end = (text.index(mark) for mark in MARKS)
    first = table(REQUESTS, Way(write_request, translate_request, asked()))
    second = table(ANSWERS, Way(write_answer, translate_answer, told()))
    middle = text[text.index("\n## ", requests) : answers]
    return "\n".join([text[:requests] + MARKS[0], *first, middle + MARKS[1], *second, text[end:]])


def main() -> None:
    """Write the page, or check it."""
    if missing := list(unprobed()):
        sys.exit(f"no probe sets {', '.join(missing)}")
    before = PAGE.read_text(encoding="utf-8")
    after = page(before)
    if "--check" not in sys.argv:
        PAGE.write_text(after, encoding="utf-8")
    elif before != after:
        sys.exit("docs/reference/translation.md is not what the translator does; run scripts/translation_table.py")


if __name__ == "__main__":
    main()
