"""The parts of a configuration that are about credential files: what is not served, where they lead, as whom their tokens are renewed."""

from dragoman.core.config import OAuthClient
from dragoman.core.config_nodes import Node, Section
from dragoman.core.urls import is_loopback, split_url


def read_channel_exclusions(section: Section) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Read ``oauth-excluded-models``: lists of patterns by channel."""
    return tuple(
        (str(node.path[-1]).lower(), tuple(text.lower() for item in node.items() if (text := item.text())))
        for node in section.nodes()
    )


def read_channel_urls(section: Section) -> tuple[tuple[str, str], ...]:
    """Read ``oauth-upstream``: base URLs by channel."""
    return tuple((str(node.path[-1]).lower(), url) for node in section.nodes() if (url := _url(node)))


def read_oauth_clients(section: Section) -> tuple[OAuthClient, ...]:
    """Read ``oauth-clients``: mappings by channel."""
    clients = []
    for node in section.nodes():
        entry = node.section(secret=True)
        entry.check_keys(("token-url", "client-id", "client-secret"), {}, secret=True)
        client_id = entry["client-id"].text(secret=True) or ""
        client_secret = entry["client-secret"].text(secret=True) or ""
        token_url = _url(entry["token-url"])
        if token_url.lower().startswith("http:") and not is_loopback(split_url(token_url).host):
            entry["token-url"].mistake("expected https://, for a secret is sent there")
        clients.append(OAuthClient(str(node.path[-1]).lower(), token_url, client_id, client_secret))
    return tuple(clients)


def _url(node: Node) -> str:
    text = node.text() or ""
    if not text:
        return ""
    try:
        url = split_url(text)
    except ValueError as error:
        node.mistake(str(error))
        return ""
    if url.scheme not in ("http", "https") or url.username is not None:
        node.mistake("expected http:// or https://, without a user name or password")
        return ""
    return text.rstrip("/")
