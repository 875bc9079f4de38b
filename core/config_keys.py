"""The keys of CLIProxyAPI's ``config.yaml`` that we know and do not act on, so that an existing file works unchanged.

Two kinds: not implemented yet; and deliberately not supported, because they make traffic look as if another client had sent it.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final


def _not_yet(*keys: str) -> Mapping[str, str]:
    return MappingProxyType({key: f"{key!r} is not implemented yet and has no effect" for key in keys})


def _disguise(*keys: str) -> Mapping[str, str]:
    return MappingProxyType(
        {key: f"{key!r} is deliberately not supported: Dragoman does not disguise traffic" for key in keys}
    )


#: Keys at the top of the file.
TOP: Final[Mapping[str, str]] = MappingProxyType({
    **_not_yet(
        # the operator's side
        "pprof", "commercial-mode",
        "usage-statistics-enabled", "redis-usage-queue-retention-seconds", "plugins", "credential-concurrency",
        "credential-in-flight", "incognito-browser",
        "auth-auto-refresh-workers",
        # requests and answers
        "passthrough-headers", "ws-auth", "nonstream-keepalive-interval", "disable-image-generation",
        "gpt-image-2-base-model", "video-result-auth-cache-ttl", "antigravity-signature-cache-enabled",
        "antigravity-signature-bypass-strict", "payload", "responses-websocket-enabled", "responses-compact-enabled",
        # providers
        "codex", "xai", "interactions-api-key", "oauth-request-scoped-errors",
        "kiro", "kiro-preferred-endpoint", "cursor",
    ),
    **_disguise(
        "disable-claude-cloak-mode", "claude-code", "claude-header-defaults", "codex-header-defaults", "antigravity",
        "kiro-fingerprint",
    ),
})  # fmt: skip

#: Keys within blocks that are otherwise not implemented yet, with the text for each.
DISGUISES: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {"codex": _disguise("identity-confuse", "disable-codex-cloaking")}
)

#: Keys of an entry of a section of keys (``claude-api-key``, ``openrouter``, ...).
KEY_ENTRY: Final[Mapping[str, str]] = MappingProxyType({
    **_not_yet("request-scoped-errors", "websockets", "alpha-search", "rebuild-mid-system-message", "token-file"),
    "rate-limit": "'rate-limit' is not implemented and has no effect: 'quotas' counts requests and tokens",
    **_disguise("cloak", "fingerprint-profile", "experimental-cch-signing"),
})  # fmt: skip

#: Keys of ``remote-management``.
MANAGEMENT: Final[Mapping[str, str]] = _not_yet(
    "disable-control-panel", "disable-auto-update-panel", "panel-github-repository"
)

#: Keys of ``streaming``.
STREAMING: Final[Mapping[str, str]] = _not_yet("bootstrap-retries")

#: Keys of an entry of ``openai-compatibility``.
COMPATIBILITY: Final[Mapping[str, str]] = MappingProxyType(
    {
        **_not_yet("request-scoped-errors", "support-prompt-cache-key"),
        **{
            key: f"{key!r} has no effect here: it belongs into an item of 'api-key-entries'"
            for key in ("api-key", "proxy-url")
        },
    }
)

#: Keys of an item of ``models``.
MODEL: Final[Mapping[str, str]] = _not_yet(
    "display-name",
    "max-context-length",
    "force-mapping",
    "is-compat",
    "thinking",
    "image",
    "input-modalities",
    "output-modalities",
)

#: Keys of ``ampcode``.
AMPCODE: Final[Mapping[str, str]] = _not_yet(
    "upstream-url", "upstream-api-key", "upstream-api-keys", "restrict-management-to-localhost", "force-model-mappings"
)
