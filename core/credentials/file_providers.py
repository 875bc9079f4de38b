"""From credential files to providers: files of one type that agree in everything but their secret are one provider with several credentials.

What a file leaves open the configuration says by channel (``oauth-model-alias``, ``oauth-excluded-models``, ``oauth-upstream``, ``oauth-clients``), and
after it the tables (`dragoman.core.providers`).
"""

from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from dragoman.core.config import MODEL_ROOT, Config, Credential, Model, OAuthClient, Provider, Renewal
from dragoman.core.config_sections import told_apart
from dragoman.core.credentials.file_names import auth_index
from dragoman.core.credentials.files import FileCredential
from dragoman.core.providers.known_models import known_models
from dragoman.core.wildcards import compile_wildcards

KIND: Final = "auth-dir"  # the `kind` of these providers

Named = tuple[str, FileCredential]


def with_files(config: Config, files: Sequence[Named]) -> Config:
    """The configuration with the credentials of files beside those it has; `files` are pairs of normal name and content."""
    if not files:
        return config
    return attrs.evolve(config, providers=told_apart([*config.providers, *providers_of(config, files)]))


def providers_of(config: Config, files: Sequence[Named]) -> list[Provider]:
    """The providers of credential files, in the order of the files."""
    rules = _Rules(config)
    doors: dict[Provider, list[Credential]] = {}
    for name, file in files:
        doors.setdefault(rules.door(file), []).append(rules.credential(name, file))
    return [attrs.evolve(door, credentials=tuple(credentials)) for door, credentials in doors.items()]


def unrenewable(config: Config, files: Sequence[Named]) -> list[str]:
    """What the operator should know of tokens that will end and not be renewed, one line for each channel."""
    rules = _Rules(config)
    found: dict[str, str] = {}
    for name, file in files:
        renewal = rules.renewal(name, file)
        channel = file.login.channel
        if not file.refresh_token or not file.is_renewable or file.disabled or channel in found:
            continue
        if renewal is None:
            found[channel] = (
                f"the tokens of {channel!r} files will not be renewed when they end, for nobody says where: give `token-url` and "
                f"`client-id` (as whom the login was made) under `oauth-clients: {channel}`"
            )
        elif not renewal.client_id and not renewal.issuer:
            found[channel] = (
                f"the tokens of {channel!r} files are renewed as nobody, which most providers refuse: give `client-id` (as whom the "
                f"login was made) under `oauth-clients: {channel}`"
            )
    return list(found.values())


class _Rules:
    """What a configuration says by channel."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._excluded = dict(config.channel_exclusions)
        self._urls: Mapping[str, str] = dict(config.channel_urls)
        self._clients = {client.channel: client for client in config.oauth_clients}

    def door(self, file: FileCredential) -> Provider:
        """Where a file leads and what is behind, without its credential."""
        login = file.login
        excluded = tuple(dict.fromkeys((*self._excluded.get(login.channel, ()), *file.excluded_models)))
        models = self.models(file)
        pattern = compile_wildcards(excluded)
        left = models
        if pattern is not None:
            left = tuple(m for m in models if not pattern.fullmatch(m.name) and not pattern.fullmatch(m.alias))
        takes_any = not models
        return Provider(
            name=login.channel,
            kind=KIND,
            dialect=login.dialect,
            base_url=self._urls.get(login.channel) or file.base_url,
            prefix=file.prefix,
            models=left,
            headers=file.headers,
            disabled="*" in excluded or not (left or takes_any),
            disable_cooling=file.disable_cooling,
            excluded_models=excluded,
            takes_any=takes_any,
            takes_bearer=True,
            model_root=file.model_root or MODEL_ROOT,
        )

    def models(self, file: FileCredential) -> tuple[Model, ...]:
        """The models of a file: its own, or those known of its type; and what ``oauth-model-alias`` makes of them.

        An alias stands in the place of the name, with ``fork`` beside it; a name that is not known yet is added.
        """
        channel = file.login.channel
        models = [Model(name, alias) for name, alias in file.models] or list(known_models(channel))
        aliases = [alias for alias in self._config.channel_aliases if alias.channel.lower() == channel]
        replaced = {alias.name for alias in aliases if not alias.fork}
        found: dict[Model, None] = {}
        for model in models:
            if model.name not in replaced or model.alias != model.name:
                found[model] = None
            found |= {Model(alias.name, alias.alias): None for alias in aliases if alias.name == model.name}
        found |= {Model(alias.name, alias.alias): None for alias in aliases}
        return tuple(found)

    def credential(self, name: str, file: FileCredential) -> Credential:
        """The credential of a file; its name in saved data is the file's, for its secret changes."""
        renewal = self.renewal(name, file)
        return Credential(
            label=name,
            api_key=file.secret,
            proxy_url=file.proxy_url,
            priority=file.priority,
            weight=file.weight,
            request_retry=file.request_retry,
            disabled=file.disabled,
            is_refreshable=renewal is not None,
            identity=auth_index(name),
            renewal=renewal,
            headers=file.own_headers,
            project=file.project,
        )

    def renewal(self, name: str, file: FileCredential) -> Renewal | None:
        """How a file's token is renewed, where it is known what with and where; what the configuration says goes first."""
        client = self._clients.get(file.login.channel) or OAuthClient(file.login.channel)
        token_url = client.token_url or file.token_url
        if not file.refresh_token or not token_url or not file.is_renewable:
            return None
        # An id and its secret belong together: one of each place would be nobody's.
        client_id, client_secret = file.client_id, file.client_secret
        if client.client_id and not file.issuer:
            client_id, client_secret = client.client_id, client.client_secret
        return Renewal(
            file=name,
            token_url=token_url,
            refresh_token=file.refresh_token,
            client_id=client_id,
            client_secret=client_secret,
            expires_at=0.0 if file.issuer else file.expires_at,  # the first is made at once
            lead=file.login.lead,
            sends_json=file.login.sends_json,
            issued_at=file.last_refresh,
            issuer=file.issuer,
        )
