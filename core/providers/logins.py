"""What is known of each type of credential file, as values: whose it is, where its token is shown, and how.

Lives here: the literal table `LOGINS`, by the ``type`` that stands in the file. A type without a dialect is known but not spoken: its files are
listed with the reason and serve nothing. No identity of another client stands here, neither a client id nor a name of software: who renews a
token uses what the user's own file or configuration says.
Sources: the providers' public documentation and SDKs, and the files that CLIProxyAPI writes, seen 2026-11.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import attrs

_ACCESS: Final = ("access_token", "accessToken")
_KEYS: Final = ("api_key", "access_token", "accessToken", "token")
_HOUR: Final = 3600.0


@attrs.frozen
class Login:
    """A type of credential file.

    Attributes:
        channel: What logs, model names (``channel/model``) and ``oauth-*`` sections call it.
        base_url: Where its requests go; paths are appended. Empty where nothing is sent.
        dialect: What is spoken there; empty: nothing that we speak.
        fields: Where the secret is in the file, the first that is there.
        lead: Seconds before its end at which a token is renewed.
        headers: Sent with every request.
        copied: Headers whose value is in the file: pairs of header and field.
        project: The field that says on whose account, for a dialect that says it in the body; empty: none does.
        sends_json: The token endpoint wants JSON where RFC 6749 has a form.
        is_service: Its file has the key of a service's account, with which tokens are made.
        why_not: Why it serves nothing; empty when it does.
        caution: What the operator should know of the provider's terms; empty when nothing is known.

    """

    channel: str
    base_url: str = ""
    dialect: str = ""
    fields: tuple[str, ...] = _ACCESS
    lead: float = 300.0
    headers: tuple[tuple[str, str], ...] = ()
    copied: tuple[tuple[str, str], ...] = ()
    sends_json: bool = False
    why_not: str = ""
    project: str = ""
    is_service: bool = False
    caution: str = ""


def _chat(
    channel: str,
    base_url: str,
    fields: tuple[str, ...] = _KEYS,
    lead: float = 300.0,
    copied: tuple[tuple[str, str], ...] = (),
) -> Login:
    return Login(channel, base_url, "openai_chat", fields, lead, copied=copied)


def _unspoken(channel: str, why_not: str) -> Login:
    return Login(channel, why_not=why_not)


_CODE_ASSIST: Final = Login("gemini-cli", "https://cloudcode-pa.googleapis.com", "code_assist", project="project_id", caution=(
    "Google's terms keep these logins to its own software, and it may close accounts for it; 'gemini-api-key' and 'vertex-api-key' are for others"
))  # fmt: skip

#: By the ``type`` of the file.
LOGINS: Final[Mapping[str, Login]] = MappingProxyType({
    # Anthropic's API takes a login's token as a bearer, with the beta that its own SDKs name for it (`OAUTH_API_BETA_HEADER`).
    "claude": Login(
        "claude", "https://api.anthropic.com", "claude",
        lead=4 * _HOUR, headers=(("anthropic-beta", "oauth-2025-04-20"),), sends_json=True, caution=(
            "Anthropic's terms keep logins of Free, Pro and Max plans to its own software, and it refuses many of their requests from others; "
            "'claude-api-key' is for those"
        ),
    ),
    "codex": Login(
        "codex", "https://chatgpt.com/backend-api/codex", "openai_responses",
        lead=120 * _HOUR, copied=(("chatgpt-account-id", "account_id"),),
    ),
    "gemini": _CODE_ASSIST,
    "gemini-cli": _CODE_ASSIST,
    "vertex": Login("vertex", "https://aiplatform.googleapis.com", "gemini", is_service=True),
    "qwen": _chat("qwen", "https://portal.qwen.ai/v1", fields=_ACCESS, lead=1200.0),
    "iflow": _chat("iflow", "https://apis.iflow.cn/v1", fields=("api_key", "apiKey"), lead=24 * _HOUR),
    "kimi": _chat("kimi", "https://api.kimi.com/coding/v1", fields=_ACCESS),
    "xai": Login("xai", "https://api.x.ai/v1", "openai_responses"),
    "minimax": _chat("minimax", "https://api.minimax.io/v1"),
    "roo": _chat("roo", "https://api.roocode.com/v1"),
    "kilo": _chat(
        "kilo", "https://api.kilo.ai/api/gateway",
        fields=("kilocodeToken", *_KEYS), copied=(("x-kilocode-organizationid", "kilocodeOrganizationId"),),
    ),
    "deepseek": _chat("deepseek", "https://api.deepseek.com"),
    "groq": _chat("groq", "https://api.groq.com/openai/v1"),
    "mistral": _chat("mistral", "https://api.mistral.ai/v1"),
    "siliconflow": _chat("siliconflow", "https://api.siliconflow.cn/v1"),
    "openrouter": _chat("openrouter", "https://openrouter.ai/api/v1"),
    "together": _chat("together", "https://api.together.xyz/v1"),
    "fireworks": _chat("fireworks", "https://api.fireworks.ai/inference/v1"),
    "novita": _chat("novita", "https://api.novita.ai/openai/v1"),
    "antigravity": _unspoken(
        "antigravity", "its provider answers its own editor only, and Dragoman does not pretend to be another client"
    ),
    "github-copilot": _unspoken(
        "github-copilot", "its provider answers its own editors only, and Dragoman does not pretend to be another client"
    ),
    "kiro": _unspoken("kiro", "its protocol (frames of AWS's event streams) is not spoken yet"),
    "cursor": _unspoken("cursor", "its protocol is not public; a local bridge can be listed under 'openai-compatibility'"),
    "gitlab": _unspoken("gitlab", "its protocol is not spoken yet"),
    "codebuddy": _unspoken("codebuddy", "its protocol is not spoken yet"),
    "aistudio": _unspoken("aistudio", "it lives in a browser's session, which is not supported"),
})  # fmt: skip
