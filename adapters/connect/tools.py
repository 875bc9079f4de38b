"""The table of tools: for each what it must be told, as templates with ``{url}``, ``{key}`` and ``{model}``.

What has ``{model}`` is left out when no model was chosen. What has ``{key}`` holds the client key itself and is used only when that was
asked for; else what stands under ``by_reference`` takes its place, where the tool can be told in which variable the key is.
"""

from types import MappingProxyType
from typing import Final

import attrs

#: The variable in which the commands look for the client key, and to which written files refer.
KEY_VARIABLE: Final = "DRAGOMAN_CLIENT_KEY"
#: Where the gateway is, for those who have no configuration of it.
URL_VARIABLE: Final = "DRAGOMAN_URL"

Steps = tuple[str, ...]
Settings = tuple[tuple[Steps, str], ...]


@attrs.frozen
class ToolFile:
    """A file of a tool.

    Attributes:
        path: Where it is, ``~`` being the user's home.
        form: ``json`` (comments allowed), ``toml``, ``yaml`` or ``dotenv``.
        settings: What is put into it, by path.
        by_reference: What is put into it besides when the key may not be.
        by_value: What is put into it besides when the key may be.
        moved_by: Variables that move its folder.
        rivals: Names that are taken instead, if they are there.

    """

    path: str
    form: str
    settings: Settings
    by_reference: Settings = ()
    by_value: Settings = ()
    moved_by: str = ""
    rivals: tuple[str, ...] = ()


@attrs.frozen
class Tool:
    """A client tool.

    Attributes:
        name: What commands call it.
        title: What people call it.
        program: What starts it; empty for a library.
        variables: What it reads from the environment.
        clears: Variables that would lead it elsewhere.
        files: What it reads from files.
        arguments: What it is started with, for what the environment cannot say.
        needs_model: Whether it has to be told the models' names.
        probe: A path that must be answered, else the tool cannot work with the gateway.
        without_probe: What to say then.
        note: What a person should know, one line.

    """

    name: str
    title: str
    program: str = ""
    variables: tuple[tuple[str, str], ...] = ()
    clears: tuple[str, ...] = ()
    files: tuple[ToolFile, ...] = ()
    arguments: tuple[str, ...] = ()
    needs_model: bool = False
    probe: str = ""
    without_probe: str = ""
    note: str = ""


_CODEX: Final[Settings] = (
    (("model_provider",), "dragoman"),
    (("model",), "{model}"),
    (("model_providers", "dragoman", "name"), "Dragoman"),
    (("model_providers", "dragoman", "base_url"), "{url}/v1"),
    (("model_providers", "dragoman", "wire_api"), "responses"),
)
_CODEX_KEY: Final = (("model_providers", "dragoman", "env_key"), KEY_VARIABLE)

_OPENCODE: Final[Settings] = (
    (("$schema",), "https://opencode.ai/config.json"),
    (("provider", "dragoman", "npm"), "@ai-sdk/openai-compatible"),
    (("provider", "dragoman", "name"), "Dragoman"),
    (("provider", "dragoman", "options", "baseURL"), "{url}/v1"),
    (("model",), "dragoman/{model}"),
)
_OPENCODE_KEY: Final = (("provider", "dragoman", "options", "apiKey"), f"{{env:{KEY_VARIABLE}}}")

_TOOLS: Final = (
    Tool(
        "claude-code",
        "Claude Code",
        "claude",
        variables=(
            ("ANTHROPIC_BASE_URL", "{url}"),
            ("ANTHROPIC_AUTH_TOKEN", "{key}"),
            ("ANTHROPIC_MODEL", "{model}"),
            ("ANTHROPIC_DEFAULT_HAIKU_MODEL", "{model}"),  # for small things on the side
            ("CLAUDE_CODE_SUBAGENT_MODEL", "{model}"),
        ),
        clears=("ANTHROPIC_API_KEY", "CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_USE_FOUNDRY"),
        files=(
            ToolFile(
                "~/.claude/settings.json",
                "json",
                settings=(
                    (("env", "ANTHROPIC_BASE_URL"), "{url}"),
                    (("env", "ANTHROPIC_MODEL"), "{model}"),
                    (("env", "ANTHROPIC_DEFAULT_HAIKU_MODEL"), "{model}"),
                    (("env", "CLAUDE_CODE_SUBAGENT_MODEL"), "{model}"),
                ),
                by_reference=((("apiKeyHelper",), f'printf %s "${KEY_VARIABLE}"'),),
                by_value=((("env", "ANTHROPIC_AUTH_TOKEN"), "{key}"),),
                moved_by="CLAUDE_CONFIG_DIR",
            ),
        ),
        note="ANTHROPIC_API_KEY must not be set at the same time: Claude Code warns of two keys.",
    ),
    Tool(
        "codex",
        "Codex CLI",
        "codex",
        variables=((KEY_VARIABLE, "{key}"),),
        files=(
            ToolFile(
                "~/.codex/config.toml",
                "toml",
                settings=_CODEX,
                by_reference=(_CODEX_KEY,),
                by_value=((("model_providers", "dragoman", "experimental_bearer_token"), "{key}"),),
                moved_by="CODEX_HOME",
            ),
        ),
        arguments=tuple(
            part for steps, value in (*_CODEX, _CODEX_KEY) for part in ("-c", f'{".".join(steps)}="{value}"')
        ),
        note="Codex reads no base URL from the environment: it needs the file, or `dragoman run codex`.",
    ),
    Tool(
        "gemini",
        "Gemini CLI",
        "gemini",
        variables=(("GOOGLE_GEMINI_BASE_URL", "{url}"), ("GEMINI_API_KEY", "{key}"), ("GEMINI_MODEL", "{model}")),
        clears=("GOOGLE_API_KEY", "GOOGLE_GENAI_USE_VERTEXAI", "GOOGLE_GENAI_USE_GCA"),
        files=(
            ToolFile(
                "~/.gemini/.env",
                "dotenv",
                settings=((("GOOGLE_GEMINI_BASE_URL",), "{url}"), (("GEMINI_MODEL",), "{model}")),
                by_value=((("GEMINI_API_KEY",), "{key}"),),
                moved_by="GEMINI_CLI_HOME",
            ),
            ToolFile(
                "~/.gemini/settings.json",
                "json",
                settings=((("security", "auth", "selectedType"), "gemini-api-key"),),
                moved_by="GEMINI_CLI_HOME",
            ),
        ),
        note="With a base URL and no setting security.auth.selectedType, Gemini CLI refuses to run without a terminal.",
    ),
    Tool(
        "opencode",
        "OpenCode",
        "opencode",
        variables=((KEY_VARIABLE, "{key}"),),
        files=(
            ToolFile(
                "~/.config/opencode/opencode.json",
                "json",
                settings=_OPENCODE,
                by_reference=(_OPENCODE_KEY,),
                by_value=((("provider", "dragoman", "options", "apiKey"), "{key}"),),
                moved_by="XDG_CONFIG_HOME",
                rivals=("opencode.jsonc",),
            ),
        ),
        needs_model=True,
    ),
    Tool(
        "aider",
        "Aider",
        "aider",
        variables=(("OPENAI_API_BASE", "{url}/v1"), ("OPENAI_API_KEY", "{key}"), ("AIDER_MODEL", "openai/{model}")),
        clears=("OPENAI_BASE_URL", "AIDER_OPENAI_API_BASE", "AIDER_OPENAI_API_KEY"),
        files=(
            ToolFile(
                "~/.aider.conf.yml",
                "yaml",
                settings=((("openai-api-base",), "{url}/v1"), (("model",), "openai/{model}")),
                by_value=((("openai-api-key",), "{key}"),),
            ),
        ),
        note="Aider asks for models as openai/NAME, whoever answers; without a model it chooses one by itself.",
    ),
    Tool(
        "amp",
        "Amp",
        "amp",
        variables=(
            ("AMP_URL", "{url}"),
            ("AMP_API_KEY", "{key}"),
            ("OPENAI_API_BASE", "{url}/v1"),
            ("OPENAI_API_KEY", "{key}"),
        ),
        probe="/api/internal",
        without_probe="Amp's CLI asks the server at AMP_URL for its account first (/api/internal), and this gateway does not answer that",
        note="Amp's own CLI needs a gateway that forwards its account calls; what speaks OpenAI's dialect needs OPENAI_API_BASE alone.",
    ),
    Tool(
        "openai",
        "OpenAI's SDKs",
        variables=(("OPENAI_BASE_URL", "{url}/v1"), ("OPENAI_API_BASE", "{url}/v1"), ("OPENAI_API_KEY", "{key}")),
        note="OPENAI_API_BASE is the older name: LiteLLM, Aider and others read it.",
    ),
    Tool(
        "anthropic",
        "Anthropic's SDKs",
        variables=(("ANTHROPIC_BASE_URL", "{url}"), ("ANTHROPIC_AUTH_TOKEN", "{key}")),
        note="Without /v1: the SDK adds it.",
    ),
    Tool(
        "google-genai",
        "Google's SDKs (google-genai)",
        variables=(("GOOGLE_GEMINI_BASE_URL", "{url}"), ("GEMINI_API_KEY", "{key}")),
    ),
)

#: By name.
TOOLS: Final = MappingProxyType({tool.name: tool for tool in _TOOLS})
#: By what people type instead.
ALIASES: Final = MappingProxyType({"claude": "claude-code", "codex-cli": "codex", "gemini-cli": "gemini"})


def find_tool(name: str) -> Tool | None:
    """The tool of a name or an alias."""
    return TOOLS.get(ALIASES.get(name, name))
