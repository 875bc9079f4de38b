"""Tools and tool choice."""

from typing import Any

import pytest

from dragoman.core.chat.loss import Extras, Losses
from dragoman.core.chat.request import CustomTool, FunctionTool, OpaqueTool, ToolChoice, WebSearchTool
from dragoman.core.dialects.gemini.tools import build_choice, build_tools, parse_choice, parse_tools


def build(*tools: Any, mixes_search: bool = True, takes_json_schema: bool = True) -> tuple[Any, list[str]]:
    losses = Losses()
    built = build_tools(tools, losses, takes_json_schema=takes_json_schema, mixes_search=mixes_search)
    return built, [loss.path for loss in losses.found]


def test_one_tool_of_many_kinds() -> None:
    node = {
        "tools": [
            {
                "functionDeclarations": [{"name": "f"}],
                "googleSearchRetrieval": {"dynamicRetrievalConfig": {}},
                "googleSearch": None,
            },
            {"functionDeclarations": [{"name": "g", "parameters": {"type": "OBJECT"}, "description": "d"}]},
        ]
    }
    tools = parse_tools(node)
    assert tools == [
        FunctionTool("f"),
        WebSearchTool(variant="googleSearchRetrieval", extras=Extras("gemini", {"dynamicRetrievalConfig": {}})),
        FunctionTool("g", "d", {"type": "object"}),
    ]
    assert build(*tools)[0][1] == {"googleSearchRetrieval": {"dynamicRetrievalConfig": {}}}


def test_searching_beside_functions() -> None:
    search = WebSearchTool(("a.example",), variant="web_search_20250305")
    assert build(search) == ([{"googleSearch": {}}], ["tools[0].allowed_domains", "tools[0].variant"])
    assert build(FunctionTool("f"), search, mixes_search=False) == (
        [{"functionDeclarations": [{"name": "f"}]}],
        ["tools[1]"],
    )


def test_tools_of_others() -> None:
    assert build(OpaqueTool("claude", "bash", {}), OpaqueTool("gemini", "urlContext", {"urlContext": {}})) == (
        [{"urlContext": {}}],
        ["tools[0]"],
    )


def test_free_text_becomes_one_argument() -> None:
    built, lost = build(CustomTool("c", "d", "lark", "start: x"), CustomTool("e", grammar="y"), CustomTool("g"))
    first, second, third = built[0]["functionDeclarations"]
    assert first["description"] == "d\n\nThe input must match this lark grammar:\nstart: x"
    assert first["parametersJsonSchema"]["required"] == ["input"]
    assert second["description"].endswith("\ny")
    assert "description" not in third
    assert lost == ["tools[0]", "tools[1]", "tools[2]"]


def test_schemas_in_both_forms() -> None:
    tool = FunctionTool("f", schema={"$schema": "x", "properties": {"a": {"type": "string"}}}, strict=True)
    built, lost = build(tool)
    assert built[0]["functionDeclarations"][0]["parametersJsonSchema"] == {
        "type": "object",
        "properties": {"a": {"type": "string"}},
    }
    assert lost == ["tools[0].strict", "tools[0].schema"]
    built, _ = build(tool, FunctionTool("g", schema={"type": "object"}), takes_json_schema=False)
    assert built[0]["functionDeclarations"][0]["parameters"]["type"] == "OBJECT"
    assert built[0]["functionDeclarations"][1] == {"name": "g"}  # an object of nothing is refused


@pytest.mark.parametrize(
    ("config", "choice"),
    [
        ({"mode": "AUTO"}, ToolChoice("auto")),
        ({"mode": "none"}, ToolChoice("none")),
        ({"mode": "ANY"}, ToolChoice("any")),
        ({"mode": "ANY", "allowedFunctionNames": ["f"]}, ToolChoice("named", ("f",))),
        ({"mode": "ANY", "allowedFunctionNames": ["f", "g"]}, ToolChoice("allowed_any", ("f", "g"))),
        ({"mode": "VALIDATED", "allowedFunctionNames": ["f"]}, ToolChoice("allowed", ("f",))),
        ({"mode": "VALIDATED", "x": 1}, ToolChoice("auto", extras=Extras("gemini", {"mode": "VALIDATED", "x": 1}))),
    ],
)
def test_choices_come_back(config: Any, choice: ToolChoice) -> None:
    assert parse_choice({"functionCallingConfig": config, "retrievalConfig": {}}) == (choice, {"retrievalConfig": {}})
    built = build_choice(choice)
    assert {**config, "mode": config["mode"].upper()} == built


def test_no_choice() -> None:
    assert parse_choice({}) == (None, {})
    assert parse_choice({"functionCallingConfig": {}})[0] == ToolChoice("auto")
