"""What is served follows from a file, the environment and the command line; strangers are never served by accident."""

from pathlib import Path

import pytest

from dragoman.adapters.config_file import ConfigFileError
from dragoman.adapters.planning import Overrides, Plan, find_config, plan_serving
from dragoman.core.config import ClientKey
from dragoman.core.config_parsing import check_exposure

KEYS = "api-keys: [abc]\n"
PROVIDER = "openai-compatibility: [{name: lab, base-url: 'http://lab/v1'}]\n"


def plan(tmp_path: Path, text: str, overrides: Overrides = Overrides()) -> Plan:  # noqa: B008
    """Plan with a file of this text."""
    path = tmp_path / "config.yaml"
    path.write_text(text)
    path.chmod(0o600)
    return plan_serving(path, {}, overrides)


def refusal(tmp_path: Path, text: str, overrides: Overrides = Overrides()) -> str:  # noqa: B008
    """Plan what cannot be served."""
    with pytest.raises(ConfigFileError) as error:
        plan(tmp_path, text, overrides)
    return str(error.value)


def without_file(environment: dict[str, str], overrides: Overrides = Overrides()) -> Plan:  # noqa: B008
    """Plan without a file, with a known key."""
    return plan_serving(None, environment, overrides, new_key=lambda: "sk-fresh")


def test_which_file(tmp_path: Path) -> None:
    """The option, then the variable, then the one that is there."""
    default = tmp_path / "config.yaml"
    assert find_config(None, {}, tmp_path) is None
    default.symlink_to(tmp_path / "nowhere")
    assert find_config(None, {}, tmp_path) == default  # a dangling link is a mistake to be told, not a demo
    assert find_config(None, {"DRAGOMAN_CONFIG": "other.yaml"}, tmp_path) == Path("other.yaml")
    assert find_config(None, {"DRAGOMAN_CONFIG": " "}, tmp_path) == default
    assert find_config(Path("asked.yaml"), {"DRAGOMAN_CONFIG": "other.yaml"}, tmp_path) == Path("asked.yaml")


def test_demo() -> None:
    """With nothing at all, behind a fresh key."""
    made = without_file({"PATH": "/bin"})
    assert made.is_demo
    assert made.config.api_keys == (ClientKey("sk-fresh", "generated"),)
    assert made.generated_key == "sk-fresh"
    assert made.config.host == "127.0.0.1"
    assert "sk-fresh" not in repr(made)
    assert plan_serving(None, {}).generated_key != plan_serving(None, {}).generated_key


def test_providers_of_the_environment() -> None:
    """They are served behind a fresh key."""
    made = without_file({"GROQ_API_KEY": "g", "OPENAI_API_KEY": "o", "OPENAI_BASE_URL": "http://localhost:9000/v1"})
    assert (made.source, made.is_demo) == ("environment", False)
    assert [provider.name for provider in made.config.providers] == ["openai", "groq"]
    assert made.config.api_keys[0].key == "sk-fresh"


def test_a_base_url_that_is_ours() -> None:
    """The port of the command line counts; if nothing else is left, it is a demo."""
    environment = {"OPENAI_API_KEY": "o", "OPENAI_BASE_URL": "http://localhost:9000/v1"}
    made = without_file(environment, Overrides(port=9000))
    assert made.is_demo
    assert len(made.notices) == 1
    assert made.notices[0].startswith("OPENAI_BASE_URL: leads to this gateway itself")


def test_a_file_is_all(tmp_path: Path) -> None:
    """Keys in the environment add nothing to it."""
    path = tmp_path / "config.yaml"
    path.write_text("host: ''\n" + KEYS + PROVIDER)
    path.chmod(0o600)
    made = plan_serving(path, {"OPENAI_API_KEY": "o"})
    assert (made.source, made.is_demo, made.generated_key, made.notices) == (str(path), False, None, ())
    assert [provider.name for provider in made.config.providers] == ["lab"]


def test_the_command_line_wins(tmp_path: Path) -> None:
    """Over the file and over the defaults."""
    overrides = Overrides(host="[::1]", port=0, log_format="json", transport="asyncio")
    for made in (plan(tmp_path, "host: ''\nport: 1\n" + KEYS, overrides), without_file({}, overrides)):
        assert (made.config.host, made.config.port, made.config.log_format) == ("::1", 0, "json")
        assert made.transport == "asyncio"
    assert without_file({}, Overrides(host="")).config.host == ""
    assert "--host: expected an address" in refusal(tmp_path, KEYS, Overrides(host="http://x"))


@pytest.mark.parametrize("host", ["0.0.0.0", "", "192.168.0.7"])
def test_a_fresh_key_may_face_the_world(host: str) -> None:
    """Nobody knows it but the operator."""
    assert check_exposure(without_file({}, Overrides(host=host)).config) is None


def test_open_to_strangers(tmp_path: Path) -> None:
    """Refused, also when it is the command line that opens it."""
    assert "no client keys are configured" in refusal(tmp_path, "")
    assert "no client keys are configured" in refusal(tmp_path, PROVIDER)
    assert "config.yaml:2:1: allow-open: serving without client keys" in refusal(
        tmp_path, "host: ''\nallow-open: true\n"
    )
    assert "allow-open" in refusal(tmp_path, "host: 127.0.0.1\nallow-open: true\n", Overrides(host="0.0.0.0"))
    assert plan(tmp_path, "host: 127.0.0.1\nallow-open: true\n").config.api_keys == ()


def test_files_must_be_there(tmp_path: Path) -> None:
    """At the start, not at the first connection; ``~`` is somebody's home."""
    text = KEYS + "ca-file: nowhere.pem\ntls: {enable: true, cert: nowhere.pem, key: /nowhere/key.pem}\n"
    lines = refusal(tmp_path, text).splitlines()
    assert [line.split(": ")[1] for line in lines] == ["ca-file", "tls.cert", "tls.key"]
    there = tmp_path / "there.pem"
    there.write_text("")
    made = plan(tmp_path, KEYS + f"ca-file: {there}\ntls: {{enable: true, cert: {there}, key: {there}}}\n")
    assert made.config.tls is not None
    assert "~" not in made.config.auth_dir


def test_advice(tmp_path: Path) -> None:
    """What is allowed but hardly meant."""
    notices = plan(tmp_path, KEYS).notices
    assert len(notices) == 2
    assert "only this machine can connect" in notices[0]
    assert "every model is unknown" in notices[1]
    assert len(plan(tmp_path, KEYS + PROVIDER, Overrides(host="")).notices) == 0
    assert (
        "every model is unknown"
        in plan(tmp_path, "host: ''\n" + KEYS + PROVIDER.replace("}", ", disabled: true}")).notices[0]
    )
