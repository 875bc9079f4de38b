"""A configuration is read whole, or refused with all its mistakes."""

import hashlib
import re
from collections.abc import Mapping

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core import config_keys, config_parsing, config_providers, config_routing, config_sections
from dragoman.core.access import ClientKeys
from dragoman.core.config import (
    ChannelAlias,
    ClientKey,
    Config,
    Cooldowns,
    Credential,
    Limits,
    Mapped,
    MitigationRule,
    Model,
    Provider,
    QuotaRule,
    Routing,
    ServerTLS,
    Timeouts,
)
from dragoman.core.config_nodes import Notice
from dragoman.core.config_parsing import check_exposure, parse_config
from dragoman.core.errors import AccessDenied, ConfigError

OURS = config_parsing._TOP
COMPATIBILITY = {"name": "lab", "base-url": "https://lab.example/v1"}

KEYS = st.sampled_from(
    sorted(
        {
            *OURS,
            *config_keys.TOP,
            *config_keys.COMPATIBILITY,
            *config_keys.MODEL,
            *config_keys.KEY_ENTRY,
            *config_providers._PROVIDER,
            *config_sections._ENTRY,
            *config_parsing._TIMEOUTS,
            *config_parsing._LIMITS,
            *config_providers._API_KEY_ENTRY,
            *config_parsing._CLIENT_KEY,
            *config_routing.COOLDOWNS,
            *config_routing.QUOTA_EXCEEDED,
            "window", "kind", "requests", "model", "fallback", "from", "to", "regex", "model-mappings", "alias", "strategy", "expires",
            "enable", "cert", "key", "origins", "api-key", "cloak", "identity-confuse",
        }
    )
)  # fmt: skip
WORDS = st.sampled_from(
    [
        "${HOME}",
        "${NONE}",
        "${",
        "$$",
        "os.environ/X",
        "true",
        "8317",
        "1h",
        "64KiB",
        "https://a/v1",
        "*",
        "none",
        "",
        "$A",
        "9" * 5000,
    ]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | WORDS | st.just(10**400)
VALUES: st.SearchStrategy[object] = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            KEYS | st.text(max_size=4) | st.integers() | st.none() | st.tuples(st.integers()), inner, max_size=4
        )
    ),
    max_leaves=20,
)
TREES = st.dictionaries(KEYS, VALUES, max_size=6) | VALUES


def read(data: object, **environment: str) -> tuple[Config, list[str]]:
    """Parse; notices as text."""
    config, notices = parse_config(data, environment=environment)
    return config, [f"{notice.dotted()}: {notice.message}" for notice in notices]


def mistakes(data: object, **environment: str) -> list[str]:
    """Parse what cannot be parsed; mistakes as text."""
    with pytest.raises(ConfigError) as refused:
        parse_config(data, environment=environment)
    return [f"{mistake.dotted()}: {mistake.message}" for mistake in refused.value.mistakes]


def exists(data: object, path: tuple[str | int, ...]) -> bool:
    """Whether `path` leads to something in `data`."""
    for step in path:
        if isinstance(data, Mapping):
            if step not in data:
                return False
            data = data[step]
        elif isinstance(data, list) and isinstance(step, int) and step < len(data):
            data = data[step]
        else:
            return False
    return True


@given(TREES)
def test_nothing_but_config_error(data: object) -> None:
    """Whatever is read, a configuration comes out or a ConfigError, and every path in it is one of the input."""
    try:
        _, found = parse_config(data, environment={"HOME": "/home/me", "X": "x"})
    except ConfigError as error:
        found = error.mistakes  # type: ignore[assignment]
    for finding in found:
        assert finding.message
        assert exists(data, finding.path)


@given(
    st.integers(0, 65535),
    st.booleans(),
    st.lists(
        # What refers to the environment does not arrive as it is written.
        st.text(
            st.characters(codec="ascii", min_codepoint=33, max_codepoint=126, exclude_characters="$"), min_size=1
        ).filter(lambda key: not key.startswith("os.environ/")),
        unique=True,
    ),
    st.sampled_from(["text", "json"]),
    st.floats(0.001, 1e6),
    st.integers(1024, 2**40),
)
def test_valid_values_arrive(
    port: int, debug: bool, keys: list[str], log_format: str, seconds: float, size: int
) -> None:
    """As numbers or as the text of a YAML file."""
    data = {
        "host": "", "port": port, "debug": debug, "api-keys": keys, "log-format": log_format,
        "timeouts": {"exchange": seconds}, "limits": {"body": size},
    }  # fmt: skip
    as_text = {**data, "port": str(port), "debug": str(debug), "limits": {"body": f"{size}"}}
    config, notices = read(data)
    assert notices == []
    assert (config.host, config.port, config.debug, config.log_format) == ("", port, debug, log_format)
    assert [key.key for key in config.api_keys] == keys
    assert config.timeouts == Timeouts(exchange=seconds)
    assert config.limits == Limits(body=size)
    assert read(as_text) == (config, [])


def test_nothing_is_the_default() -> None:
    """An empty file is an empty configuration; null is the same as absent."""
    assert read(None) == (Config(), [])
    assert read({}) == (Config(), [])
    data = dict.fromkeys(OURS)
    assert read(data) == (Config(), [])


def test_not_a_mapping() -> None:
    """A file that holds a list is no configuration."""
    assert mistakes(["port"]) == [": expected keys and values, got a list"]


def test_everything_at_once() -> None:
    """One of each kind."""
    data = {
        "host": "[::1]",
        "port": "${PORT}",
        "unix-socket": "/run/dragoman.sock",
        "tls": {"enable": "yes", "cert": "c.pem", "key": "k.pem"},
        "auth-dir": "/var/lib/keys",
        "api-keys": ["${SECRET}", {"name": "anna", "key": "os.environ/OTHER"}, {"key": 12345}],
        "allow-open": "off",
        "debug": "on",
        "proxy-url": "none",
        "ca-file": "ca.pem",
        "request-retry": 2,
        "openai-compatibility": [
            {
                **COMPATIBILITY,
                "prefix": "/lab/",
                "base-url": "HTTPS://lab.example/v1//",
                "dialect": "chat",
                "api-key-entries": [
                    {"api-key": "k1"},
                    {"api-key": "k2", "proxy-url": "DIRECT"},
                    {"proxy-url": "http://p"},
                ],
                "models": [{"name": "m", "alias": "n"}, {"name": "o"}],
                "headers": {"X-Cost": "$$1", "X-Who": "${SECRET}"},
                "disabled": "true",
            }
        ],
        "cors": {"origins": ["https://App.example/", "*", "tauri://localhost", "https://app.example"]},
        "timeouts": {"drain": 0, "connect": "250ms", "exchange": "1h30m", "first-byte": 1.5},
        "limits": {"head": "64KB", "body": "1.5MiB", "upstream-idle": 0, "client-connections": "7"},
        "log-format": "json",
        "strict-translation": "yes",
        "streaming": {"keepalive-seconds": "2.5", "bootstrap-retries": None},
    }
    config, notices = read(data, PORT="8080", SECRET="s3cret", OTHER=" other ")
    assert notices == []
    provider = Provider(
        name="lab",
        kind="openai-compatibility",
        dialect="openai_chat",
        base_url="HTTPS://lab.example/v1",
        prefix="lab",
        credentials=(
            Credential("key-1", "k1"),
            Credential("key-2", "k2", "direct"),
            Credential("keyless-3", None, "http://p"),
        ),
        models=(Model("m", "n"), Model("o", "o")),
        headers=(("X-Cost", "$1"), ("X-Who", "s3cret")),
        disabled=True,
    )
    assert config == Config(
        host="::1",
        port=8080,
        unix_socket="/run/dragoman.sock",
        tls=ServerTLS("c.pem", "k.pem"),
        auth_dir="/var/lib/keys",
        api_keys=(ClientKey("s3cret", "key-1"), ClientKey("other", "anna"), ClientKey("12345", "key-3")),
        debug=True,
        ca_file="ca.pem",
        request_retry=2,
        providers=(provider,),
        cors_origins=("https://app.example", "*", "tauri://localhost"),
        timeouts=Timeouts(drain=0, connect=0.25, exchange=5400, first_byte=1.5),
        limits=Limits(head=64000, body=1572864, upstream_idle=0, client_connections=7),
        log_format="json",
        strict_translation=True,
        keepalive_seconds=2.5,
    )


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"portt": 1}, r"portt: unknown key 'portt'; did you mean 'port'\?"),
        ({"auth_dir": 1}, r"auth_dir: unknown key 'auth_dir'; did you mean 'auth-dir'\?"),
        ({"claude-api-keys": 1}, r"claude-api-keys: unknown key .*; did you mean 'claude-api-key'\?"),
        ({"zzzzzz": 1}, r"zzzzzz: unknown key 'zzzzzz'; remove it"),
        ({5: 1}, r": expected only the keys host, .* here"),
        ({"port": "http"}, r"port: expected a whole number from 0 to 65535, got 'http'"),
        ({"port": 65536}, r"port: expected a whole number from 0 to 65535, got 65536"),
        ({"port": True}, r"port: expected .*, got true"),
        ({"port": 1.5}, r"port: expected .*, got 1.5"),
        ({"port": [1]}, r"port: expected .*, got a list"),
        ({"port": 10**400}, r"port: expected .*, got a huge number"),
        ({"port": object()}, r"port: expected .*, got a value of type object"),
        ({"port": "x" * 50}, r"port: expected .*, got 'x{40}\.\.\.'"),
        ({"host": "127.0.0.1:8317"}, r"host: expected an address or a name to listen on"),
        ({"host": "http://localhost"}, r"host: expected an address or a name to listen on"),
        ({"debug": "maybe"}, r"debug: expected true or false, got 'maybe'"),
        ({"debug": 1}, r"debug: expected true or false, got 1"),
        ({"auth-dir": ["a"]}, r"auth-dir: expected text, got a list; put quotes around it"),
        ({"auth-dir": True}, r"auth-dir: expected text, got true; put quotes around it"),
        ({"auth-dir": "${NOWHERE}/x"}, r"auth-dir: refers to the environment variable 'NOWHERE', which is not set; "),
        ({"auth-dir": "${EMPTY}/x"}, r"auth-dir: refers to the environment variable 'EMPTY', which is set but empty; "),
        ({"auth-dir": "${a b}"}, r"auth-dir: '\$\{' begins a reference like \$\{NAME\}; write '\$\$\{' where"),
        ({"log-format": "jsn"}, r"log-format: expected one of text, json; got 'jsn'; did you mean 'json'\?"),
        ({"timeouts": {"drain": "1 s"}}, r"timeouts\.drain: expected seconds, or .*, at least 0 and .*; got '1 s'"),
        ({"timeouts": {"connect": 0}}, r"timeouts\.connect: expected seconds, .* at least 0\.001 and .*; got 0"),
        ({"timeouts": {"connect": float("nan")}}, r"timeouts\.connect: expected .*; got nan"),
        ({"timeouts": {"connect": []}}, r"timeouts\.connect: expected .*; got a list"),
        ({"timeouts": {"conect": 1}}, r"timeouts\.conect: unknown key 'conect'; did you mean 'connect'\?"),
        ({"timeouts": 5}, r"timeouts: expected keys and values, got 5"),
        ({"limits": {"body": "lots"}}, r"limits\.body: expected bytes, or a size like .*; got 'lots'"),
        ({"limits": {"head": 12}}, r"limits\.head: expected bytes, .* at least 1024 and .*; got 12"),
        ({"limits": {"client-connections": 0}}, r"limits\.client-connections: expected a whole number from 1"),
        ({"tls": {"enable": True, "cert": "c"}}, r"tls: `enable` is true, but `key` is missing"),
        ({"tls": {"enabled": True}}, r"tls\.enabled: unknown key 'enabled'; did you mean 'enable'\?"),
        ({"cors": {"origins": ["app.example"]}}, r"cors\.origins\[0\]: expected an origin as browsers send it"),
        ({"cors": {"origins": "https://a"}}, r"cors\.origins: expected a list .*, got 'https://a'"),
        ({"api-keys": "abc"}, r"api-keys: expected a list"),
        ({"api-keys": [""]}, r"api-keys\[0\]: expected a client key as text, .*; got an empty one"),
        ({"api-keys": [{"name": "anna"}]}, r"api-keys\[0\]: expected a client key .*; got an empty one"),
        ({"api-keys": [["a"]]}, r"api-keys\[0\]: expected text, got a list"),
        ({"api-keys": ["your-api-key-1"]}, r"api-keys\[0\]: this is the placeholder of the template"),
        ({"api-keys": ["Your-API-Key"]}, r"api-keys\[0\]: this is the placeholder of the template"),
        ({"api-keys": ["a b"]}, r"api-keys\[0\]: a client key has only visible ASCII characters"),
        ({"api-keys": ["ключ"]}, r"api-keys\[0\]: a client key has only visible ASCII characters"),
        ({"api-keys": ["a", "b", "a"]}, r"api-keys\[2\]: the same key as item 0: remove one of them"),
        ({"api-keys": ["a", {"name": "key-1", "key": "b"}]}, r"api-keys\[1\]: the name 'key-1' is taken"),
        ({"api-keys": [{"key-hash": "abc"}]}, r"api-keys\[0\]\.key-hash: expected the SHA-256 of the key"),
        ({"api-keys": [{"key": "a", "key-hash": "0" * 64}]}, r"api-keys\[0\]: give `key` or `key-hash`, not both"),
        ({"proxy-url": "proxy:8080"}, r"proxy-url: expected a URL with a scheme in front.*; a proxy is given as http://"),
        ({"proxy-url": "ftp://proxy"}, r"proxy-url: unknown scheme 'ftp'.*; a proxy is given as"),
        ({"streaming": {"keepalive": 1}}, r"streaming\.keepalive: unknown key .*; did you mean 'keepalive-seconds'\?"),
        ({"streaming": {"keepalive-seconds": -1}}, r"streaming\.keepalive-seconds: expected seconds"),
        ({"request-retry": -1}, r"request-retry: expected a whole number from 0 to 1000, got -1"),
        ({"openai-compatibility": COMPATIBILITY}, r"openai-compatibility: expected a list .*, got keys and values"),
        ({"openai-compatibility": ["lab"]}, r"openai-compatibility\[0\]: expected keys and values, got 'lab'"),
    ],
)  # fmt: skip
def test_mistakes(data: dict[str, object], expected: str) -> None:
    """What was expected, what came, what to do."""
    found = mistakes(data, EMPTY=" ")
    assert re.match(expected, found[0])


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"name": None}, r": `name` is missing"),
        ({"name": "a/b"}, r"\.name: a name has no slash"),
        ({"name": "a\nb"}, r"\.name: a name has no slash and no control characters"),
        ({"name": ["a"]}, r"\.name: expected text, got a list"),
        ({"base-url": ""}, r": `base-url` is missing"),
        ({"base-url": ["a"]}, r"\.base-url: expected text"),
        ({"base-url": "lab.example/v1"}, r"\.base-url: expected a URL with a scheme in front"),
        ({"base-url": "socks5://lab.example/v1"}, r"\.base-url: expected http:// or https://, got socks5://"),
        ({"base-url": "https://me:pass@lab.example/v1"}, r"\.base-url: a user name or password has no place"),
        ({"base_url": "https://a"}, r"\.base_url: unknown key 'base_url'; did you mean 'base-url'\?"),
        ({"dialect": "cloude"}, r"\.dialect: expected one of chat, responses, .*; got 'cloude'; did you mean 'claude'\?"),
        ({"disabled": "perhaps"}, r"\.disabled: expected true or false"),
        ({"models": [{"alias": "m"}]}, r"\.models\[0\]: `name` is missing"),
        ({"models": [{"name": []}]}, r"\.models\[0\]\.name: expected text"),
        ({"models": ["m"]}, r"\.models\[0\]: expected keys and values, got 'm'"),
        ({"models": [{"name": "m", "alais": "n"}]}, r"\.models\[0\]\.alais: unknown key 'alais'; did you mean 'alias'\?"),
        ({"api-key-entries": [{"api-key": "a b"}]}, r"\.api-key-entries\[0\]\.api-key: an API key has only visible"),
        ({"api-key-entries": [{"proxy-url": "a b"}]}, r"\.api-key-entries\[0\]\.proxy-url: a URL has no spaces"),
        ({"api-key-entries": [{"sk-123": None}]}, r"\.api-key-entries\[0\]: expected only the keys api-key, proxy-url, .* here"),
        ({"api-key-entries": [{"weight": 2_000_000}]}, r"\.api-key-entries\[0\]\.weight: expected a whole number"),
        ({"api-key-entries": [{"api-key": "a"}, {"api-key": "b", "name": "key-1"}]}, r"\.api-key-entries\[1\]: the name 'key-1' is"),
        ({"headers": {"X Y": "1"}}, r"\.headers\.X Y: a header name has only letters"),
        ({"headers": {"": "1"}}, r"\.headers\.: a header name has only letters"),
        ({"headers": {7: "1"}}, r"\.headers: expected names as keys, got 7"),
        ({"headers": {"X": "1\r\nY: 2"}}, r"\.headers\.X: a header value has no line breaks"),
        ({"headers": {"X": "\N{SNOWMAN}"}}, r"\.headers\.X: a header value has no line breaks"),
        ({"headers": {"X": ["1"]}}, r"\.headers\.X: expected text"),
        ({"headers": {"Content-Length": "1"}}, r"\.headers\.Content-Length: 'Content-Length' belongs to the connection"),
        ({"headers": {"HOST": "a"}}, r"\.headers\.HOST: 'HOST' belongs to the connection"),
        ({"headers": {"x": "a", "X": "b"}}, r"\.headers\.X: the header 'X' is given twice"),
    ],
)  # fmt: skip
def test_mistakes_in_a_provider(entry: dict[str, object], expected: str) -> None:
    """Each with the place within the entry."""
    found = mistakes({"openai-compatibility": [COMPATIBILITY | entry]})
    assert re.match(r"openai-compatibility\[0\]" + expected, found[0])


def test_all_mistakes_at_once() -> None:
    """Nobody should have to try again for each."""
    found = mistakes({"port": "x", "debug": "y", "openai-compatibility": [{"name": "a/b"}, {"base-url": "z"}]})
    assert len(found) == 6


def test_names_are_unique() -> None:
    """Case does not tell providers apart."""
    found = mistakes({"openai-compatibility": [COMPATIBILITY, COMPATIBILITY | {"name": "LAB"}]})
    assert found == ["openai-compatibility[1]: another provider is named 'LAB' already: give each a name of its own"]


@pytest.mark.parametrize("key", sorted(config_keys.TOP))
def test_keys_of_the_original_are_accepted(key: str) -> None:
    """With one notice, which tells what is not done yet from what will not be done."""
    config, notices = read({"host": "", key: {"anything": 1}})
    assert config == Config(host="")
    assert len(notices) == 1
    assert "is not implemented yet and has no effect" in notices[0] or "does not disguise traffic" in notices[0]
    assert read({"host": "", key: None}) == (config, [])


def test_disguises_within_blocks() -> None:
    """They are named besides the block that they are in."""
    _, notices = read({"host": "", "codex": [{"identity-confuse": True}, "?"]})
    assert [notice for notice in notices if "disguise" in notice] == [
        "codex[0].identity-confuse: in 'codex', 'identity-confuse' is deliberately not supported: "
        "Dragoman does not disguise traffic",
    ]


def provider(**entry: object) -> tuple[Provider, list[str]]:
    """Parse one entry, its keys with underscores."""
    data = {"host": "", "openai-compatibility": [COMPATIBILITY | {k.replace("_", "-"): v for k, v in entry.items()}]}
    config, notices = read(data)
    return config.providers[0], notices


def test_one_notice_for_a_key_in_many_items() -> None:
    """A hundred models with a context length do not make a hundred lines."""
    found, notices = provider(models=[{"name": f"m{i}", "max-context-length": 1} for i in range(9)])
    assert len(found.models) == 9
    assert notices == [
        "openai-compatibility[0].models[0].max-context-length: 'max-context-length' is not implemented yet and has no effect"
    ]


@pytest.mark.parametrize(
    ("entry", "notice"),
    [
        ({"prefix": "a/b"}, "has a slash within and is ignored"),
        ({"api_key": "k"}, "it belongs into an item of 'api-key-entries'"),
        ({"dialect": "claude"}, "the version is part of the paths"),
        ({"support_prompt_cache_key": True}, "'support-prompt-cache-key' is not implemented yet"),
        ({"headers": {"A": "$B"}}, "copying a client's header ('$Name') is not implemented yet"),
    ],
)
def test_leniencies(entry: dict[str, object], notice: str) -> None:
    """What the original tolerates, with a word about it; the provider is as without it."""
    found, notices = provider(**entry)
    plain = Provider("lab", "openai-compatibility", "openai_chat", "https://lab.example/v1")
    credentials = found.credentials
    assert len(credentials) == 1
    assert credentials[0].api_key is None
    assert attrs.evolve(found, credentials=(), dialect="openai_chat") == plain
    assert len(notices) == 1
    assert notice in notices[0]


def test_repetitions_count_once() -> None:
    """The same key twice would be asked twice about one limit."""
    found, notices = provider(
        api_key_entries=[{"api-key": "a"}, {"api-key": "a"}, {"api-key": "a", "proxy-url": "direct"}],
        models=[{"name": "m"}, {"name": "m", "alias": "m"}, {"name": "m", "alias": "n"}, {"name": "o", "alias": "n"}],
    )
    assert [c.label for c in found.credentials] == ["key-1", "key-3"]
    assert found.models == (Model("m", "m"), Model("m", "n"), Model("o", "n"))
    assert len(notices) == 2


@pytest.mark.parametrize(
    ("patterns", "left"),
    [
        ([], "abc"),
        (["A"], "bc"),
        (["*"], ""),
        (["provider-*"], ""),
        (["*-B", "c"], "a"),
        (["*.*", "["], "abc"),
        (["", "p*r-a"], "bc"),
    ],
)
def test_excluded_models(patterns: list[str], left: str) -> None:
    """By upstream name or alias; a provider with nothing left is off, for no models would mean any."""
    found, notices = provider(models=[{"name": f"provider-{c}", "alias": c} for c in "abc"], excluded_models=patterns)
    assert "".join(model.alias for model in found.models) == left
    assert found.disabled == (not left)
    assert len(notices) == (not left)


@pytest.mark.parametrize("secret", ["sk-hunter2", "sk hunter2", "ключ-hunter2"])
def test_no_secret_in_messages(secret: str) -> None:
    """Whatever is wrong with it."""
    data = {
        "port": "${SECRET}",
        "proxy-url": f"{secret}@proxy",
        "api-keys": [secret, secret, {secret: None}, {"key": secret, "name": "x"}],
        "openai-compatibility": [
            {
                "name": "a",
                "base-url": f"https://u:{secret}@lab",
                "api-key-entries": [{"api-key": secret}, {secret: None}, {"api-key": secret, "proxy-url": secret}],
                "headers": {"Authorization": secret + "\n", "X\n": secret},
            }
        ],
    }
    found = mistakes(data, SECRET=secret)
    assert len(found) > 5
    assert "hunter2" not in "".join(found)


def test_no_secret_in_repr() -> None:
    """A configuration may be printed."""
    config, _ = read({
        "api-keys": ["hunter2"],
        "proxy-url": "http://u:hunter2@p",
        "openai-compatibility": [
            COMPATIBILITY | {"api-key-entries": [{"api-key": "hunter2"}], "headers": {"X": "hunter2"}}
        ],
    })  # fmt: skip
    assert "hunter2" not in repr(config)


KEY = (ClientKey("k", "key-1"),)


@pytest.mark.parametrize(
    ("config", "refusal"),
    [
        (Config(api_keys=KEY, host=""), None),
        (Config(api_keys=KEY, host="", allow_open=True), None),
        (Config(host="localhost", allow_open=True), None),
        (Config(host="::1", allow_open=True), None),
        (Config(), "no client keys are configured"),
        (Config(host=""), "no client keys are configured"),
        (Config(host="", allow_open=True), "on a loopback address only, and host is all interfaces"),
        (Config(host="192.168.1.5", allow_open=True), "on a loopback address only, and host is '192.168.1.5'"),
    ],
)
def test_exposure(config: Config, refusal: str | None) -> None:
    """Open only when said so, and only to this machine."""
    mistake = check_exposure(config)
    if refusal is None:
        assert mistake is None
    else:
        assert mistake is not None
        assert refusal in mistake.message
        assert "`api-keys`" in mistake.message  # what to do


def test_notices_are_mistakes_that_stop_nobody() -> None:
    """They have a path, too."""
    assert Notice(("a", 0, "b"), "").dotted() == "a[0].b"


ROUTING = {
    "routing": {"strategy": "least-busy", "session-affinity": "yes", "session-affinity-ttl": "30m"},
    "force-model-prefix": True,
    "max-retry-credentials": 3,
    "max-retry-interval": "30",
    "disable-cooling": True,
    "save-cooldown-status": True,
    "transient-error-cooldown-seconds": -1,
    "cooldowns": {"unauthorized": "10m", "longest-told": "2h"},
    "quota-exceeded": {"switch-project": False, "switch-preview-model": True, "preview-models": {"a": "b", "c": None}},
    "fallbacks": {"m": ["n", "o"], "p": None},
    "mitigations": [{"model": "spark", "fallback": "codex", "error-ratio": "5%", "window": "10m", "minimum-sample": 5}],
    "oauth-model-alias": {"codex": [{"name": "g", "alias": "five", "fork": True}, {"name": "same", "alias": "same"}]},
    "ampcode": {"model-mappings": [{"from": "x", "to": "y"}, {"from": "(a)b", "to": r"\1", "regex": True}]},
}


def test_routing_arrives() -> None:
    """Every key that says who is chosen."""
    config, notices = read(ROUTING)
    assert notices == []
    assert config == Config(
        routing=Routing("least-busy", True, 1800.0),
        force_model_prefix=True,
        max_retry_credentials=3,
        max_retry_interval=30.0,
        disable_cooling=True,
        save_cooldown_status=True,
        cooldowns=Cooldowns(unauthorized=600.0, longest_told=7200.0, transient=-1.0),
        switch_project=False,
        switch_preview_model=True,
        preview_models=(("a", "b"),),
        fallbacks=(("m", ("n", "o")), ("p", ())),
        mitigations=(MitigationRule("spark", "codex", 0.05, 600.0, 5),),
        channel_aliases=(ChannelAlias("codex", "g", "five", True),),
        model_mappings=(Mapped("x", "y"), Mapped("(a)b", r"\1", True)),
    )
    assert read({"transient-error-cooldown-seconds": 0})[0].cooldowns == Cooldowns()
    assert read({"max-retry-interval": -1})[0].max_retry_interval == 0.0


def test_a_provider_and_its_credentials() -> None:
    """Each may say its own."""
    quotas = [{"window": "5h", "requests": 100}, {"window": "7d", "kind": "sliding", "tokens": "5000"}]
    found, notices = provider(
        priority=5, weight=0, max_concurrency=9, disable_cooling=True, request_retry=2, quotas=quotas, excluded_models=["*-OLD"],
        api_key_entries=[
            {"api-key": "a", "name": "anna", "priority": -1, "weight": 3, "max-concurrency": 2, "disable-cooling": False,
             "request-retry": 0, "quotas": quotas[:1], "disabled": True},
            {"api-key": "b", "request-retry": -1},
        ],
    )  # fmt: skip
    five, seven = QuotaRule(18_000.0, "fixed", 100), QuotaRule(604_800.0, "sliding", None, 5000)
    assert notices == []
    assert found == Provider(
        "lab", "openai-compatibility", "openai_chat", "https://lab.example/v1",
        credentials=(
            Credential("anna", "a", None, -1, 3, 2, False, 0, (five,), True),
            Credential("key-2", "b"),
        ),
        priority=5, weight=0, max_concurrency=9, disable_cooling=True, request_retry=2, quotas=(five, seven), excluded_models=("*-old",),
    )  # fmt: skip


def test_client_keys_with_limits() -> None:
    """A plain list keeps working; a hash will do in place of the key."""
    digest = hashlib.sha256(b"secret").hexdigest()
    entry = {
        "name": "ci", "key-hash": digest.upper(), "models": ["*-mini"], "prefixes": ["lab/"], "requests-per-minute": 60,
        "tokens-per-minute": "1000", "tokens-per-day": 5, "expires": "1970-01-02",
    }  # fmt: skip
    config, _ = read({"api-keys": ["plain", entry, {"key": "k", "expires": "1970-01-01T01:00:00+01:00"}]})
    assert config.api_keys == (
        ClientKey("plain", "key-1"),
        ClientKey("", "ci", digest, ("*-mini",), ("lab",), 60, 1000, 5, 172_800.0),
        ClientKey("k", "key-3", expires=0.0),
    )
    keys = ClientKeys(config.api_keys)
    assert keys.check({b"x-api-key": b"secret"}, "").label == "ci"
    with pytest.raises(AccessDenied):
        keys.check({b"x-api-key": digest.encode()}, "")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"routing": {"strategy": "fastest"}}, r"routing\.strategy: expected one of round-robin"),
        ({"routing": {"startegy": 1}}, r"routing\.startegy: unknown key 'startegy'; did you mean 'strategy'"),
        ({"cooldowns": {"unauthorized": 0}}, r"cooldowns\.unauthorized: expected seconds"),
        ({"mitigations": [{"model": "m"}]}, r"mitigations\[0\]: a mitigation needs `model`"),
        ({"mitigations": [{"model": "m", "fallback": "n"}] * 2}, r"mitigations\[1\]: another item is about 'm' already"),
        ({"mitigations": [{"model": "m", "fallback": "n", "error-ratio": 5}]}, r"mitigations\[0\]\.error-ratio: expected a share like"),
        ({"mitigations": [{"model": "m", "fallback": "n", "error-ratio": "x%"}]}, r"mitigations\[0\]\.error-ratio: expected a share"),
        ({"ampcode": {"model-mappings": [{"from": "a"}]}}, r"ampcode\.model-mappings\[0\]: a mapping needs `from`"),
        ({"amp-code": {"model-mappings": [{"from": "(", "to": "a", "regex": True}]}}, r".*from: not a usable regular expression"),
        ({"ampcode": {"model-mappings": [{"from": "a", "to": "\\1", "regex": True}]}}, r".*from: not a usable .*invalid group"),
        ({"oauth-model-alias": {"codex": [{"name": "a"}]}}, r"oauth-model-alias\.codex\[0\]: an alias needs `name`"),
        ({"oauth-model-alias": {"codex": [{"name": "a", "alias": "x"}, {"name": "b", "alias": "X"}]}}, r".*\[1\]: the alias 'X' is taken"),
        ({"api-keys": [{"key-hash": "abc"}]}, r"api-keys\[0\]\.key-hash: expected the SHA-256 of the key"),
        ({"api-keys": [{"key": "a", "key-hash": "0" * 64}]}, r"api-keys\[0\]: give `key` or `key-hash`, not both"),
        ({"api-keys": [{"key": "a", "expires": "soon"}]}, r"api-keys\[0\]\.expires: expected a date like"),
        ({"api-keys": [{"key": "a", "requests-per-minute": 0}]}, r"api-keys\[0\]\.requests-per-minute: expected a whole number from 1"),
        ({"api-keys": ["a", {"name": "b", "key-hash": hashlib.sha256(b"a").hexdigest()}]}, r"api-keys\[1\]: the same key as item 0"),
        ({"openai-compatibility": [{**COMPATIBILITY, "quotas": [{"requests": 5}]}]}, r".*quotas\[0\]: `window` is missing"),
        ({"openai-compatibility": [{**COMPATIBILITY, "quotas": [{"window": "5h"}]}]}, r".*quotas\[0\]: an allowance without `requests`"),
        ({"openai-compatibility": [{**COMPATIBILITY, "api-key-entries": [{"api-key": "a", "name": "x"}, {"api-key": "b", "name": "x"}]}]},
         r".*api-key-entries\[1\]: the name 'x' is taken by another item"),
    ],
)  # fmt: skip
def test_mistakes_in_routing(data: dict[str, object], expected: str) -> None:
    """Each with its place."""
    assert re.match(expected, mistakes(data)[0])


def test_notices_in_routing() -> None:
    """What is known and not done."""
    _, notices = read({"quota-exceeded": {"antigravity-credits": True}, "ampcode": {"upstream-url": "https://x"}})
    assert len(notices) == 2
    assert all("is not implemented yet" in notice for notice in notices)
