"""A file is read with the place of everything in it; what is wrong is told by line and column, without a secret."""

import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dragoman.adapters.config_file import (
    MAX_BYTES,
    ConfigFileError,
    LoadedConfig,
    load_config,
    printable,
    read_source,
)
from dragoman.core.config import Credential, Model

BIG = Path(__file__).parent.parent / "data" / "config" / "cliproxyapi.yaml"
ENVIRONMENT = {"LAB_KEY": "lab-1", "LAB_KEY_2": "lab-2"}


def load(tmp_path: Path, text: str, mode: int = 0o600) -> LoadedConfig:
    """Load a file with this text."""
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return load_config(path, {})


def refused(tmp_path: Path, text: str) -> list[str]:
    """Load a file that cannot be used; its lines without the folder."""
    with pytest.raises(ConfigFileError) as error:
        load(tmp_path, text)
    assert str(error.value) == "\n".join(error.value.lines)
    return [line.replace(f"{tmp_path}{os.sep}", "") for line in error.value.lines]


def test_a_file_of_the_original() -> None:
    """It loads with notices only, one for each key that has no effect."""
    loaded = load_config(BIG, ENVIRONMENT)
    config = loaded.config
    assert (config.host, config.port, config.request_retry) == ("", 8317, 3)
    assert [key.key for key in config.api_keys] == ["sk-team-laptops-91f1c0", "sk-team-ci-77ab2e", "20261124"]
    assert [(provider.name, [c.label for c in provider.credentials]) for provider in config.providers[:8]] == [
        ("gemini", ["key-1"]),
        ("gemini", ["key-2"]),
        ("codex", ["key-1"]),
        ("xai", ["key-1"]),
        ("claude", ["key-1", "key-3"]),
        ("claude", ["key-2"]),
        ("vertex", ["key-1"]),
        ("openrouter", ["key-1", "key-2"]),
    ]
    router, ollama, lab, groq, kilo = config.providers[7:]
    assert (groq.kind, groq.base_url, kilo.credentials[0].api_key) == (
        "groq",
        "https://api.groq.com/openai/v1",
        "anonymous",
    )
    assert config.keepalive_seconds == 15.0
    assert router.base_url == "https://openrouter.ai/api/v1"
    assert router.prefix == "router"
    assert router.headers == (("HTTP-Referer", "https://example.com"),)
    assert router.credentials[1] == Credential("key-2", "sk-or-v1-not-real-2", "direct")
    assert router.models[1:] == (Model("z-ai/glm-5", "big"), Model("deepseek/deepseek-v4", "big"))
    assert ollama.credentials == (Credential("keyless"),)
    assert ollama.models == (Model("qwen3:0.6b", "qwen"),)
    assert [credential.api_key for credential in lab.credentials] == ["lab-1", "lab-2"]
    top = yaml.safe_load(BIG.read_text(encoding="utf-8"))
    for key in ("pprof", "payload", "kiro-fingerprint"):
        assert sum(f": {key}: " in notice for notice in loaded.notices) == 1
    for key in ("cloak", "websockets", "request-scoped-errors", "rate-limit", "token-file", "bootstrap-retries"):
        assert sum(f"{key!r} is" in notice for notice in loaded.notices) == 1
    assert sum("there is no `api-key` here" in notice for notice in loaded.notices) == 1
    assert len(loaded.notices) < len(top) + 15
    assert "not-real" not in "".join(loaded.notices)


def test_mistakes_have_places(tmp_path: Path) -> None:
    """All of them, in the order of the file."""
    text = "port: x\nopenai-compatibility:\n  - name: lab\n    base-url: lab/v1\n    models:\n      - {alias: n}\nhots: ''\n"
    lines = refused(tmp_path, text)
    assert [line.split(": ")[:2] for line in lines] == [
        ["config.yaml:1:1", "port"],
        ["config.yaml:4:5", "openai-compatibility[0].base-url"],
        ["config.yaml:6:9", "openai-compatibility[0].models[0]"],
        ["config.yaml:7:1", "hots"],
    ]
    assert lines[3].endswith("did you mean 'host'?")


def test_duplicate_keys(tmp_path: Path) -> None:
    """YAML libraries take the last one in silence; also in a file that is right otherwise."""
    assert refused(tmp_path, "port: 1\ndebug: true\nport: 2\n") == [
        "config.yaml:3:1: port: given twice, in lines 1 and 3: only one could count, so merge them"
    ]


def test_scalars_stay_as_written() -> None:
    """YAML 1.1 would make them False, 83, 100000.0 and a date."""
    source = read_source(b"[no, 0123, 1e5, 2026-11-24, 4.10, ~, null, '', 'null', 1_0]", "c")
    assert source.data == ["no", "0123", "1e5", "2026-11-24", "4.10", None, None, "", "null", "1_0"]


def test_yaml_words_for_keys(tmp_path: Path) -> None:
    """A client key may be any word."""
    config = load(tmp_path, "host: ''\napi-keys: [no, off, 0123, 1e5]\ndebug: yes\n").config
    assert [key.key for key in config.api_keys] == ["no", "off", "0123", "1e5"]
    assert config.debug


def test_merge_keys_and_aliases() -> None:
    """What is written wins over what is merged, and is no duplicate of it, however often the anchor is used."""
    source = read_source(b"a: &a {x: 1, y: 2}\nb: &b\n  <<: *a\n  x: 3\nc: *b\nd: {<<: [*b, *a], z: 4}\n", "c")
    assert source.mistakes == ()
    assert source.data == {
        "a": {"x": "1", "y": "2"},
        "b": {"x": "3", "y": "2"},
        "c": {"x": "3", "y": "2"},
        "d": {"x": "3", "y": "2", "z": "4"},
    }
    assert source.locate(("b", "y")) == (1, 14)


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "null\n"])
def test_empty(tmp_path: Path, text: str) -> None:
    """An empty file is an empty configuration."""
    assert load(tmp_path, text).config.providers == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"a: [", "c:2:1: not valid YAML"),
        (b"a: b: c", "c:1:5: not valid YAML"),
        (b"- &a [*a]", "nested too deeply"),
        (b"[" * 20_000, "not valid YAML"),
        (b"? [a]\n: b\n", "c: line 1: expected a plain text as key"),
        (b"--- a\n--- b\n", "but found another document"),
        (b"a: *b", "undefined alias"),
        (b"<<: 3", "to merge in"),
        (b"a: &a {<<: *a}", "nested too deeply"),
        (b"\xff\xff", "c:1:1: not a text file in UTF-8"),
        (b"a: \x00", "c:1:1: not a text file in UTF-8"),
        (b"a: !!python/object/apply:os.system [x]", None),
        (b"a: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\n"
         b"d: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e]", "too large"),
    ],
)  # fmt: skip
def test_what_is_no_configuration(text: bytes, expected: str | None) -> None:
    """A line each; a tag is only text, nothing is run."""
    try:
        source = read_source(text, "c")
        lines = list(map(source.render, source.mistakes))
    except ConfigFileError as error:
        lines = list(error.lines)
    assert len(lines) == (expected is not None)
    assert (expected or "") in "".join(lines)


@given(st.binary(max_size=60) | st.text("[]{}:-&*<!?\n ab'\"#|>%@`\t", max_size=40).map(str.encode))
def test_any_bytes(content: bytes) -> None:
    """Whatever a file holds, it is read or refused with lines that can be printed."""
    try:
        source = read_source(content, "c")
    except ConfigFileError as error:
        assert all(line.isprintable() for line in error.lines)  # noqa: PT017  nothing to be expected in particular
    else:
        assert all(source.locate(path) == place for path, place in source.places.items())


def test_a_place_for_every_path() -> None:
    """What is not there has the place of what is around it."""
    source = read_source(b"a:\n  - b: 1\n", "c")
    assert source.locate(("a", 0, "b")) == (2, 5)
    assert source.locate(("a", 0, "z", 4)) == (2, 5)
    assert source.locate(("z",)) == (1, 1)
    assert read_source(b"", "c").locate(("z",)) == (1, 1)


def test_no_secret_is_printed(tmp_path: Path) -> None:
    """Neither by a mistake of meaning nor by one of form."""
    text = "api-keys: [hunter2, hunter2]\nproxy-url: http://u:hunter2@\nopenai-compatibility:\n  - {name: a, base-url: 'https://u:hunter2@b'}\n"
    for broken in (text, text + "a: b: hunter2\n", text + "hunter2\n", text + "b: 'hunter2\n"):
        lines = refused(tmp_path, broken)
        assert lines
        assert "hunter2" not in "".join(lines)


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
@pytest.mark.parametrize(
    ("text", "mode", "warned"),
    [
        ("api-keys: [abc]", 0o600, False),
        ("api-keys: [abc]", 0o640, True),
        ("api-keys: [{name: a, key: abc}]", 0o604, True),
        ("api-keys: ['${HOME}']", 0o644, False),
        ("openai-compatibility: [{name: a, base-url: http://a, api-key-entries: [{api-key: abc}]}]", 0o644, True),
        ("openai-compatibility: [{name: a, base-url: http://a, headers: {X: abc}}]", 0o644, True),
        ("openai-compatibility: [{name: a, base-url: http://a}]", 0o644, False),
        ("remote-management: {secret-key: abc}", 0o644, True),
    ],
)
def test_readable_secrets(tmp_path: Path, text: str, mode: int, warned: bool) -> None:
    """Others should not read them; there is nothing to hide in a file without."""
    path = tmp_path / "config.yaml"
    path.write_text(text)
    path.chmod(mode)
    notices = load_config(path, {"HOME": "x"}).notices
    assert any("chmod 600" in notice for notice in notices) == warned


def test_no_file(tmp_path: Path) -> None:
    """The system's word, and a limit."""
    for path, why in ((tmp_path / "none.yaml", "No such file"), (tmp_path, "cannot be read")):
        with pytest.raises(ConfigFileError) as error:
            load_config(path, {})
        assert why in str(error.value)
    huge = tmp_path / "huge.yaml"
    huge.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(ConfigFileError) as error:
        load_config(huge, {})
    assert "is it a configuration at all" in str(error.value)


@given(st.text())
def test_printable(text: str) -> None:
    """Nothing is left that moves a cursor; what was harmless is left alone."""
    assert printable(text).isprintable()
    if text.isprintable():
        assert printable(text) == text
