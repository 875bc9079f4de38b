"""What each tool is told."""

from pathlib import Path

import attrs
import pytest

from dragoman.adapters.connect.telling import (
    Told,
    arguments,
    locate,
    settings,
    shell_lines,
    snippet,
    unset_lines,
    variables,
)
from dragoman.adapters.connect.tools import ALIASES, KEY_VARIABLE, TOOLS, Tool, find_tool

TOLD = Told("http://127.0.0.1:8317", "sk-5ecret", "m/x", ("m/x", "other"))
REFERRED = attrs.evolve(TOLD, key=None)


@pytest.mark.parametrize("tool", TOOLS.values(), ids=lambda tool: tool.name)
def test_without_the_key_it_is_nowhere(tool: Tool) -> None:
    told = [
        *shell_lines(tool, REFERRED),
        *variables(tool, REFERRED).values(),
        *(snippet(f, REFERRED) for f in tool.files),
    ]
    assert "sk-5ecret" not in "\n".join(told)
    assert "{" not in "".join(shell_lines(tool, REFERRED)).replace(f"${{{KEY_VARIABLE}}}", "")
    with_key = [*shell_lines(tool, TOLD), *(snippet(file, TOLD) for file in tool.files)]
    assert "sk-5ecret" in "\n".join(with_key)


@pytest.mark.parametrize("tool", TOOLS.values(), ids=lambda tool: tool.name)
def test_without_a_model_none_is_named(tool: Tool) -> None:
    told = attrs.evolve(TOLD, model="", models=())
    everything = [*shell_lines(tool, told), *arguments(tool, told), *(snippet(file, told) for file in tool.files)]
    assert not any("m/x" in text or "{model}" in text or "{url}" in text or "{key}" in text for text in everything)


def test_the_ends_of_urls() -> None:
    """OpenAI's clients want /v1, Anthropic's and Google's do not."""
    assert variables(TOOLS["openai"], TOLD)["OPENAI_BASE_URL"] == "http://127.0.0.1:8317/v1"
    assert variables(TOOLS["anthropic"], TOLD)["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:8317"
    assert variables(TOOLS["google-genai"], TOLD)["GOOGLE_GEMINI_BASE_URL"] == "http://127.0.0.1:8317"


def test_opencode_knows_every_name() -> None:
    found = settings(TOOLS["opencode"].files[0], attrs.evolve(TOLD, models=("a.b", "m/x")))
    assert [steps[-1] for steps in found if "models" in steps] == ["m/x", "a.b"]


def test_codex_is_told_by_arguments() -> None:
    found = arguments(TOOLS["codex"], TOLD)
    assert found[:4] == ["-c", 'model_provider="dragoman"', "-c", 'model="m/x"']
    assert 'model_providers.dragoman.env_key="DRAGOMAN_CLIENT_KEY"' in found
    assert "sk-5ecret" not in " ".join(found)  # everybody on the machine can read arguments


@pytest.mark.parametrize(
    ("name", "number", "environment", "path"),
    [
        ("claude-code", 0, {}, "/home/u/.claude/settings.json"),
        ("claude-code", 0, {"CLAUDE_CONFIG_DIR": "/c"}, "/c/settings.json"),
        ("codex", 0, {"CODEX_HOME": "/c"}, "/c/config.toml"),
        ("gemini", 0, {}, "/home/u/.gemini/.env"),
        ("gemini", 1, {"GEMINI_CLI_HOME": "/g"}, "/g/.gemini/settings.json"),
        ("opencode", 0, {"XDG_CONFIG_HOME": "/x"}, "/x/opencode/opencode.json"),
        ("aider", 0, {}, "/home/u/.aider.conf.yml"),
    ],
)
def test_where_files_are(name: str, number: int, environment: dict[str, str], path: str) -> None:
    assert locate(TOOLS[name].files[number], {"HOME": "/home/u", **environment}) == Path(path)


def test_a_rival_that_is_there_is_taken(tmp_path: Path) -> None:
    folder = tmp_path / ".config" / "opencode"
    folder.mkdir(parents=True)
    (folder / "opencode.jsonc").touch()
    assert locate(TOOLS["opencode"].files[0], {"HOME": str(tmp_path)}) == folder / "opencode.jsonc"


def test_only_what_is_set_is_unset() -> None:
    assert unset_lines(TOOLS["claude-code"], {"ANTHROPIC_API_KEY": "x", "OTHER": "y"}) == ["unset ANTHROPIC_API_KEY"]


def test_names() -> None:
    assert all(find_tool(alias) is TOOLS[name] for alias, name in ALIASES.items())
    assert find_tool("nobody") is None
