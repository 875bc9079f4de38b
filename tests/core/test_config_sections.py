"""Sections of keys: an entry is a key, and what is not said is known."""

import re
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.config import Config, Credential, Model, Provider, QuotaRule
from dragoman.core.config_parsing import parse_config
from dragoman.core.config_sections import SECTIONS
from dragoman.core.errors import ConfigError
from dragoman.core.providers.known_models import known_models
from tests.core.conversation import Conversation, config, post, reply


def read(data: Mapping[str, object], **environment: str) -> tuple[tuple[Provider, ...], list[str]]:
    """Parse; notices as text."""
    config, notices = parse_config({"host": "", **data}, environment=environment)
    return config.providers, [f"{notice.dotted()}: {notice.message}" for notice in notices]


def mistakes(data: dict[str, object]) -> list[str]:
    """Parse what cannot be parsed; mistakes as text."""
    with pytest.raises(ConfigError) as refused:
        parse_config(data, environment={})
    return [f"{mistake.dotted()}: {mistake.message}" for mistake in refused.value.mistakes]


@pytest.mark.parametrize("name", SECTIONS)
def test_a_key_is_enough(name: str) -> None:
    """Everything else is known; the provider serves its models, and any other under its name."""
    section = SECTIONS[name]
    (provider,), notices = read({name: [{"api-key": "k"}]})
    assert notices == []
    assert provider == Provider(
        name=section.provider,
        kind=name,
        dialect=section.dialect,
        base_url=section.base_url,
        credentials=(Credential("key-1", "k"),),
        models=known_models(section.provider),
        takes_any=True,
        model_root=section.model_root,
    )


def test_everything_at_once() -> None:
    """One of each key."""
    entry = {
        "api-key": "os.environ/KEY", "name": "main", "priority": 5, "weight": "2", "prefix": "/team/",
        "base-url": "https://claude.example/", "proxy-url": "none", "headers": {"X-Team": "a"},
        "models": [{"name": "claude-opus-5", "alias": "opus"}, {"name": "old-one"}], "excluded-models": ["OLD-*"],
        "disable-cooling": True, "request-retry": 1, "max-concurrency": 3, "quotas": [{"window": "5h", "requests": 9}],
        "disabled": "yes",
    }  # fmt: skip
    (provider,), notices = read({"claude-api-key": [entry]}, KEY="k")
    assert notices == []
    assert provider == Provider(
        name="claude",
        kind="claude-api-key",
        dialect="claude",
        base_url="https://claude.example",
        prefix="team",
        credentials=(
            Credential("main", "k", "direct", 5, 2, 3, True, 1, (QuotaRule(18000.0, requests=9),), disabled=True),
        ),
        models=(Model("claude-opus-5", "opus"),),
        headers=(("X-Team", "a"),),
        excluded_models=("old-*",),
        takes_any=False,
    )


DOORS: list[dict[str, object]] = [
    {},
    {"base-url": "https://other.example"},
    {"prefix": "p"},
    {"headers": {"X": "1"}},
    {"models": [{"name": "m"}]},
    {"excluded-models": ["*-mini"]},
]


@given(st.lists(st.integers(0, len(DOORS) - 1), max_size=12), st.sampled_from(sorted(SECTIONS)))
def test_equal_doors_are_one_provider(chosen: list[int], section: str) -> None:
    """Nobody is lost, labels are by place, and a provider is one door."""
    entries = [{"api-key": f"k{i}", "priority": i} | DOORS[door] for i, door in enumerate(chosen)]
    providers, notices = read({section: entries})
    assert notices == []
    assert len(providers) == len(set(chosen))
    assert {provider.name for provider in providers} <= {SECTIONS[section].provider}
    found = {c.label: c.api_key for provider in providers for c in provider.credentials}
    assert found == {f"key-{i + 1}": f"k{i}" for i in range(len(chosen))}
    for provider, door in zip(providers, dict.fromkeys(chosen), strict=True):
        assert [c.label for c in provider.credentials] == [f"key-{i + 1}" for i, d in enumerate(chosen) if d == door]


def test_order_is_the_files() -> None:
    """What is written first is tried first."""
    lab = ("openai-compatibility", [{"name": "lab", "base-url": "http://lab/v1"}])
    groq, claude = ("groq", [{"api-key": "g"}]), ("claude-api-key", [{"api-key": "c"}])
    assert [p.name for p in read(dict([groq, lab, claude]))[0]] == ["groq", "lab", "claude"]
    assert [p.name for p in read(dict([claude, groq, lab]))[0]] == ["claude", "groq", "lab"]


def test_names_of_sections_may_be_taken() -> None:
    """Two providers of one name, whose credentials can be told apart all the same."""
    entries = [{"api-key": "a"}, {"api-key": "b", "name": "key-1-2"}]
    providers, notices = read({
        "groq": [{"api-key": "g"}],
        "openai-compatibility": [{"name": "groq", "base-url": "http://lab/v1", "api-key-entries": entries}],
    })  # fmt: skip
    assert notices == []
    assert [(p.name, [c.label for c in p.credentials]) for p in providers] == [
        ("groq", ["key-1"]),
        ("groq", ["key-1-2", "key-1-2-2"]),
    ]


def test_kilo_has_a_key_for_everybody() -> None:
    """Its free models want none of one's own."""
    providers, notices = read({"kilo": [{}, {"api-key": "k"}, {"name": "free", "proxy-url": "direct"}]})
    assert notices == []
    assert [(c.label, c.api_key) for c in providers[0].credentials] == [
        ("key-1", "anonymous"), ("key-2", "k"), ("free", "anonymous"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("entries", "notice"),
    [
        ([{}], r"groq\[0\]: there is no `api-key` here, so this entry is left out"),
        ([None], r"groq\[0\]: there is no `api-key` here"),
        ([{"api-key": ""}], r"groq\[0\]: there is no `api-key` here"),
        ([{"api-key": "k"}, {"api-key": "k"}], r"groq\[1\]: the same key as in an item before"),
        ([{"api-key": "k", "excluded-models": ["*"]}], r"groq\[0\].excluded-models: every model is excluded"),
        ([{"api-key": "k", "rate-limit": {"rpm": 1}}], r"groq\[0\].rate-limit: .* 'quotas' counts requests"),
        ([{"api-key": "k", "token-file": "t"}], r"groq\[0\].token-file: 'token-file' is not implemented yet"),
        ([{"api-key": "k", "cloak": {"mode": "auto"}}], r"groq\[0\].cloak: 'cloak' is deliberately not supported"),
        ([{"api-key": "k", "request-scoped-errors": [1]}], r"groq\[0\].request-scoped-errors: .* is not implemented yet"),
    ],
)  # fmt: skip
def test_leniencies(entries: list[object], notice: str) -> None:
    """What the original tolerates, with a word about it."""
    _, notices = read({"groq": entries})
    assert len(notices) == 1
    assert re.match(notice, notices[0])


def test_the_same_key_may_have_several_doors() -> None:
    """Under a prefix and without, for example; it is one credential to those who count (`identity_of`)."""
    providers, notices = read({"groq": [{"api-key": "k"}, {"api-key": "k", "prefix": "p"}]})
    assert (len(providers), notices) == (2, [])


def test_exclusions() -> None:
    """From the models we know; who takes any model still does, but for those."""
    (provider,), _ = read({"gemini-api-key": [{"api-key": "k", "excluded-models": ["*-Preview", "gemini-2*"]}]})
    assert provider.takes_any
    assert not provider.disabled
    assert [m.alias for m in provider.models] == [
        m.alias for m in known_models("gemini") if not m.alias.endswith("preview") and "-2" not in m.alias
    ]
    (provider,), _ = read({"gemini-api-key": [{"api-key": "k", "excluded-models": ["gemini-*"]}]})
    assert (provider.models, provider.takes_any, provider.disabled) == ((), True, False)
    (provider,), _ = read({"gemini-api-key": [{"api-key": "k", "excluded-models": ["*"]}]})
    assert provider.disabled


@pytest.mark.parametrize(
    ("section", "mistake"),
    [
        ([{"api-key": "k"}, {"api-key": "l", "name": "key-1"}], r"groq\[1\]: the name 'key-1' is taken by another item"),
        ([{"api-key": "a b"}], r"groq\[0\].api-key: an API key has only visible ASCII"),
        ([{"api-key": "k", "base-url": "lab"}], r"groq\[0\].base-url: expected a URL"),
        ([{"api-key": "k", "base-url": "socks5://lab"}], r"groq\[0\].base-url: expected http:// or https://"),
        ([{"api-key": "k", "base_url": "u"}], r"groq\[0\]: expected only the keys .* here; did you mean 'base-url'\?"),
        ([{"sk-hunter2": None}], r"groq\[0\]: expected only the keys [a-z, -]* here$"),
        ([{7: None}], r"groq\[0\]: expected only the keys [a-z, -]* here$"),
        (["sk-hunter2"], r"groq\[0\]: expected keys and values, got something else"),
        ("sk-hunter2", r"groq: expected a list \(one line with a dash for each item\), got something else"),
    ],
)  # fmt: skip
def test_mistakes(section: object, mistake: str) -> None:
    """Each with its place; a slip of a key is never quoted."""
    found = mistakes({"groq": section})
    assert re.match(mistake, found[0])
    assert "hunter2" not in "".join(found)


@pytest.mark.parametrize(
    ("section", "url", "warned"),
    [
        ("claude-api-key", "https://h/v1", True),
        ("gemini-api-key", "https://h/v1beta/", True),
        ("gemini-api-key", "https://h/v2", False),
        ("codex-api-key", "https://h/v1", False),
    ],
)
def test_a_version_at_the_end_is_probably_a_slip(section: str, url: str, warned: bool) -> None:
    """Where paths begin with one."""
    _, notices = read({section: [{"api-key": "k", "base-url": url}]})
    assert len(notices) == warned


@pytest.mark.parametrize(
    ("word", "dialect"),
    [
        ("chat", "openai_chat"), ("responses", "openai_responses"), ("claude", "claude"), ("gemini", "gemini"),
        ("openai_chat", "openai_chat"), ("openai_responses", "openai_responses"), (None, "openai_chat"),
    ],
)  # fmt: skip
def test_dialects(word: str | None, dialect: str) -> None:
    """Of ``openai-compatibility``, by either name."""
    (provider,), _ = read({"openai-compatibility": [{"name": "n", "base-url": "http://h", "dialect": word}]})
    assert (provider.dialect, provider.takes_any) == (dialect, True)


def test_no_secret_in_repr() -> None:
    """A configuration may be printed."""
    entry = {"api-key": "hunter2", "headers": {"X": "hunter2"}, "proxy-url": "http://u:hunter2@p"}
    config, _ = parse_config({"claude-api-key": [entry]}, environment={})
    assert "hunter2" not in repr(config)
    assert config != Config()


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
@pytest.mark.parametrize("model", ["claude-haiku-4-5-20251001", "claude/claude-new", "team/claude-new"])
def test_a_key_serves_clients(path: str, model: str) -> None:
    """From the file to what the provider is sent and the client gets, whatever the client speaks."""
    providers, _ = read({"claude-api-key": [{"api-key": "sk-ant", "prefix": "team"}]})
    talk = Conversation(config(*providers))
    talk.client(post({"model": model, "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}, path=path))
    assert (talk.opened[0].origin.host, talk.opened[0].origin.port) == ("api.anthropic.com", 443)
    target, headers, body = talk.open().request_at()
    assert (target, headers["x-api-key"], body["model"]) == ("/v1/messages", "sk-ant", model.rpartition("/")[2])
    assert "authorization" not in headers
    answer = {
        "type": "message", "id": "msg_1", "role": "assistant", "model": "m", "content": [{"type": "text", "text": "hello"}],
        "stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1},
    }  # fmt: skip
    status, _, said = talk.upstream(reply(answer)).answer()
    assert (status, b"hello" in said) == (200, True)
    assert (b"chat.completion" in said) == (path == "/v1/chat/completions")
    assert talk.journals[0].attempts[-1].provider == "claude"
