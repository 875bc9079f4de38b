"""From what the operator gave to what is going to be served, reading files and nothing else.

Three ways to start, told apart by what there is: a configuration file; none, but provider keys in the environment; neither, and then the
demo provider answers.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from dragoman.adapters.chance import new_client_key
from dragoman.adapters.config_file import (
    ConfigFileError,
    ConfigSource,
    LoadedConfig,
    check_content,
    load_config,
    printable,
)
from dragoman.adapters.credential_files import CredentialFiles
from dragoman.core.config import ClientKey, Config, Credential, Model, Provider, ServerTLS
from dragoman.core.config_nodes import Notice
from dragoman.core.config_parsing import check_exposure
from dragoman.core.credentials.file_providers import unrenewable, with_files
from dragoman.core.errors import Mistake
from dragoman.core.providers import discover
from dragoman.core.urls import parse_host

if TYPE_CHECKING:
    pass

CONFIG_VARIABLE: Final = "DRAGOMAN_CONFIG"
DEFAULT_CONFIG: Final = "config.yaml"
STATE_FILE: Final = "state.sqlite3"
USAGE_FILE: Final = "usage.sqlite3"
TRANSPORTS: Final = ("trio", "asyncio")


@attrs.frozen
class Overrides:
    """What the command line says instead of the configuration; None where it says nothing."""

    host: str | None = None
    port: int | None = None
    log_format: str | None = None
    transport: str = "trio"


@attrs.frozen
class Plan:
    """What is going to be served.

    Attributes:
        config: Complete and allowed to be served: `check_exposure` has nothing against it.
        source: Where it came from: the path of a file, ``environment`` or ``demo``.
        transport: ``trio`` or ``asyncio``.
        notices: What the operator should know, each as one line.
        generated_key: A client key made for this run, to be shown once, or None.
        state_file: Where what is remembered is saved, or None.
        usage_file: Where the usage ledger is, or None.
        reread: Makes the plan again from a file that may have changed; None when there is no file.
        check: Reads and checks what the file could hold instead; None when there is no file.

    """

    config: Config
    source: str
    transport: str = "trio"
    notices: tuple[str, ...] = ()
    generated_key: str | None = attrs.field(default=None, repr=False)
    state_file: Path | None = None
    usage_file: Path | None = None
    reread: "Callable[[], Plan] | None" = attrs.field(default=None, repr=False, eq=False)
    check: Callable[[bytes], LoadedConfig] | None = attrs.field(default=None, repr=False, eq=False)

    @property
    def is_demo(self) -> bool:
        """Whether the demo provider answers, for there is no other."""
        return self.source == "demo"


def find_config(option: Path | None, environment: Mapping[str, str], folder: Path) -> Path | None:
    """Which file to read: the one asked for, the one ``$DRAGOMAN_CONFIG`` names, or ``config.yaml`` in `folder` if there is one."""
    if option is not None:
        return option
    named = environment.get(CONFIG_VARIABLE, "").strip()
    if named:
        return Path(named)
    default = folder / DEFAULT_CONFIG
    return default if default.exists() or default.is_symlink() else None


def plan_serving(
    config_path: Path | None,
    environment: Mapping[str, str],
    overrides: Overrides = Overrides(),
    *,
    new_key: Callable[[], str] = new_client_key,
) -> Plan:
    """Decide what is served.

    Args:
        config_path: The configuration file; None for a start without one.
        environment: Where ``${NAME}`` and provider keys are looked up.
        overrides: What the command line says.
        new_key: Makes a client key, for a start without a file.

    Raises:
        ConfigFileError: With all that has to be mended, one line for each.

    """
    if config_path is None:
        return _plan_without_file(environment, overrides, new_key)
    loaded = _allowed(load_config(config_path, environment), environment, overrides)
    config = loaded.config
    scan = CredentialFiles(Path(config.auth_dir)).scan()
    files = [(file.name, credential) for file, credential in scan.credentials]
    config = with_files(config, files)
    advice = map(loaded.source.render, _advice(config, loaded.source, overrides))
    notices = (*loaded.notices, *advice, *scan.notices, *unrenewable(config, files))
    return Plan(
        config,
        str(config_path),
        overrides.transport,
        notices,
        state_file=state_path(config, environment),
        usage_file=usage_path(config, environment),
        reread=lambda: plan_serving(config_path, environment, overrides),
        check=lambda content: _allowed(check_content(content, str(config_path), environment), environment, overrides),
    )


def _allowed(loaded: LoadedConfig, environment: Mapping[str, str], overrides: Overrides) -> LoadedConfig:
    """What a file says, completed, if it may be served.

    Raises:
        ConfigFileError: It may not.

    """
    config = _managed(_at_home(_override(loaded.config, overrides)), environment)
    refusals = [
        mistake
        for mistake in (check_exposure(config), _missing_extra(config), *_missing_files(config))
        if mistake is not None
    ]
    if refusals:
        raise ConfigFileError(tuple(map(loaded.source.render, refusals)), tuple(refusals))
    return attrs.evolve(loaded, config=config)


def _managed(config: Config, environment: Mapping[str, str]) -> Config:
    """The configuration with the password of the management that is in the environment."""
    password = environment.get("MANAGEMENT_PASSWORD") or environment.get("management_password") or ""
    return attrs.evolve(config, management=attrs.evolve(config.management, password=password.strip()))


def state_path(config: Config, environment: Mapping[str, str]) -> Path | None:
    """Where what is remembered is saved: where the configuration says, or in the user's folder of state (XDG); None for nowhere."""
    if config.state_file:
        return None if config.state_file == "none" else Path(config.state_file)
    named = environment.get("XDG_STATE_HOME", "")
    if os.path.isabs(named):  # any other is to be ignored, says the specification
        return Path(named, "dragoman", STATE_FILE)
    home = os.path.expanduser("~/.local/state")
    return Path(home, "dragoman", STATE_FILE) if os.path.isabs(home) else None


def usage_path(config: Config, environment: Mapping[str, str]) -> Path | None:
    """Where the usage ledger is: where the configuration says, or beside the state file; None for nowhere."""
    if not config.usage.enabled or config.usage.file == "none":
        return None
    if config.usage.file:
        return Path(config.usage.file)
    state_file = state_path(config, environment)
    return None if state_file is None else state_file.with_name(USAGE_FILE)


def with_demo(config: Config, root: str) -> Config:
    """A configuration that leads to the demo provider at `root`: in OpenAI's dialect, and once in each other."""
    from dragoman.adapters.demo_provider.models import MODELS

    native = [("claude", "claude", root), ("gemini", "gemini", root), ("responses", "openai_responses", f"{root}/v1")]
    providers = [("demo", "openai_chat", f"{root}/v1", [Model(name, name) for name in MODELS])]
    providers += [(f"demo-{name}", dialect, url, [Model("demo", f"demo/{name}")]) for name, dialect, url in native]
    found = tuple(
        Provider(
            name=name,
            kind="demo",
            dialect=dialect,
            base_url=url,
            credentials=(Credential("demo"),),
            models=tuple(models),
        )
        for name, dialect, url, models in providers
    )
    # What misbehaves on purpose is to be seen misbehaving each time, not to be left alone for half an hour.
    return attrs.evolve(config, providers=found, disable_cooling=True)


def _plan_without_file(environment: Mapping[str, str], overrides: Overrides, new_key: Callable[[], str]) -> Plan:
    key = new_key()
    config = _managed(_override(Config(api_keys=(ClientKey(key, "generated"),)), overrides), environment)
    found = discover(environment, host=config.host, port=config.port)
    return Plan(
        attrs.evolve(config, providers=found.providers),
        "environment" if found.providers else "demo",
        overrides.transport,
        tuple(printable(f"{notice.dotted()}: {notice.message}") for notice in found.notices),
        key,
        state_path(config, environment) if found.providers else None,
        usage_path(config, environment) if found.providers else None,
    )


def _override(config: Config, overrides: Overrides) -> Config:
    host = config.host
    if overrides.host is not None:
        try:
            host = parse_host(overrides.host) if overrides.host else ""
        except ValueError:
            message = "--host: expected an address or a name to listen on, without scheme and port, like 127.0.0.1"
            raise ConfigFileError((message,)) from None
    return attrs.evolve(
        config,
        host=host,
        port=config.port if overrides.port is None else overrides.port,
        log_format=overrides.log_format or config.log_format,
    )


def _at_home(config: Config) -> Config:
    """Fill in ``~`` where a path may have it."""

    def home(path: str | None) -> str | None:
        return None if path is None else os.path.expanduser(path)

    return attrs.evolve(
        config,
        unix_socket=home(config.unix_socket),
        state_file=os.path.expanduser(config.state_file),
        log_files=attrs.evolve(config.log_files, folder=os.path.expanduser(config.log_files.folder)),
        usage=attrs.evolve(config.usage, file=os.path.expanduser(config.usage.file)),
        auth_dir=os.path.expanduser(config.auth_dir),
        ca_file=home(config.ca_file),
        tls=config.tls and ServerTLS(os.path.expanduser(config.tls.cert), os.path.expanduser(config.tls.key)),
    )


def _missing_extra(config: Config) -> Mistake | None:
    """What a configuration asks for and is not installed."""
    if config.telemetry.exporter == "none":
        return None
    from dragoman.adapters.telemetry import is_installed

    if is_installed():
        return None
    return Mistake(
        ("telemetry", "exporter"),
        "OpenTelemetry's SDK is not installed: pip install 'dragoman[otel]', or set `exporter: none`",
    )


def _missing_files(config: Config) -> list[Mistake]:
    """Files that must be there: a start should fail before the first connection, not at it."""
    named: list[tuple[tuple[str, ...], str | None]] = [(("ca-file",), config.ca_file)]
    if config.tls is not None:
        named += [(("tls", "cert"), config.tls.cert), (("tls", "key"), config.tls.key)]
    return [
        Mistake(
            path, f"there is no file {name!r} (a relative path starts from the folder that dragoman was started in)"
        )
        for path, name in named
        if name is not None and not Path(name).is_file()
    ]


def _advice(config: Config, source: ConfigSource, overrides: Overrides) -> list[Notice]:
    """What is allowed, but probably not meant."""
    advice = []
    if overrides.host is None and isinstance(source.data, dict) and source.data.get("host") is None:
        only = f"'host' is not given, so only this machine can connect ({config.host}); write host: \"\" for all interfaces"
        advice.append(Notice((), only))
    if not any(not provider.disabled for provider in config.providers):
        none = (
            "no provider is configured, so every model is unknown: add a key under 'claude-api-key', 'gemini-api-key', "
            "'codex-api-key', 'openrouter' or the like, a server under 'openai-compatibility', or a credential file in 'auth-dir'"
        )
        advice.append(Notice((), none))
    return advice
