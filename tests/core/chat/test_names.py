"""Names and ids that fit."""

import re

from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.chat.blocks import Text, ToolCall, ToolResult
from dragoman.core.chat.names import NameRule, ToolNames, fitted, foreign_id, made_up_call_id
from dragoman.core.chat.request import ChatRequest, CustomTool, FunctionTool, Message, ToolChoice, WebSearchTool
from tests.strategies_chat import ODD_NAMES

RULE = NameRule(re.compile(r"[^A-Za-z0-9_-]"), 64)
FIRST = NameRule(re.compile(r"[^A-Za-z0-9_.:-]"), 64, re.compile(r"[^A-Za-z_]"))


@given(st.lists(st.text(max_size=80), unique=True, max_size=6), st.sampled_from([RULE, FIRST]))
def test_names_fit_and_stay_apart(names: list[str], rule: NameRule) -> None:
    fit = [rule.fit(name) for name in names]
    assert all(rule.fits(name) for name in fit)
    assert len(set(fit)) == len(names)
    assert [rule.fit(name) for name in fit] == fit


@given(st.lists(ODD_NAMES, unique=True, max_size=4), st.booleans())
def test_a_request_fits_and_knows_the_way_back(names: list[str], keep: bool) -> None:
    tools = tuple(FunctionTool(name, namespace="mail" if n % 2 else None) for n, name in enumerate(names))
    request = ChatRequest("m", (), tools=tools)
    fit = fitted(request, RULE, RULE, keep_namespaces=keep)
    known = ToolNames.of(request, RULE, keep_namespaces=keep)
    assert all(RULE.fits(tool.name) for tool in fit.tools if isinstance(tool, FunctionTool))
    assert len({(t.namespace, t.name) for t in fit.tools if isinstance(t, FunctionTool)}) == len(names)
    for tool, wire in zip(tools, fit.tools, strict=True):
        assert isinstance(wire, FunctionTool)
        assert known.tools.get(wire.name, tool) == tool or keep
        assert keep or wire.namespace is None


def test_collisions_are_told_apart() -> None:
    declared = (
        FunctionTool("send", namespace="mail"),
        FunctionTool("mail__send"),
        FunctionTool("mail__send", namespace="mail"),
    )
    known = ToolNames.of(ChatRequest("m", (), tools=declared), RULE)
    assert known.wire[None, "mail__send"] == "mail__send"
    assert len(set(known.wire.values())) == 3
    assert known.plain("send") == known.wire["mail", "send"]
    assert known.plain("nobody") == "nobody"


def test_the_whole_request_is_renamed_alike() -> None:
    messages = (
        Message("assistant", (Text("x"), ToolCall("a.b", "f.g", "{}"))),
        Message("user", (ToolResult("a.b", (), name="f.g"), ToolResult("c"))),
    )
    request = ChatRequest(
        "m", messages, tools=(CustomTool("f.g"), WebSearchTool()), tool_choice=ToolChoice("named", ("f.g",))
    )
    fit = fitted(request, RULE, RULE)
    name = RULE.fit("f.g")
    call, result = fit.messages[0].content[1], fit.messages[1].content[0]
    assert isinstance(call, ToolCall)
    assert isinstance(result, ToolResult)
    assert (call.name, call.id, result.call_id, result.name) == (name, RULE.fit("a.b"), RULE.fit("a.b"), name)
    assert fit.tool_choice == ToolChoice("named", (name,))
    assert fit.tools == (CustomTool(name), WebSearchTool())


def test_what_fits_is_left_alone() -> None:
    request = ChatRequest("m", (Message("assistant", (ToolCall("a", "f", "{}"),)),), tools=(FunctionTool("f"),))
    assert fitted(request, RULE, RULE) is request


def test_ids_of_others() -> None:
    assert foreign_id("resp_a.b", "msg_") == "msg_a_b"
    assert made_up_call_id("a", 0, 0, "f") != made_up_call_id("a", 0, 1, "f")
