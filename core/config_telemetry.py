"""The parts of a configuration that say who may read ``/metrics``, and where traces and metrics are sent."""

from typing import Final

from dragoman.core.config_nodes import Node, Section
from dragoman.core.config_providers import read_headers
from dragoman.core.telemetry_settings import EXPORTERS, Telemetry
from dragoman.core.urls import split_url

_KEYS: Final = ("exporter", "endpoint", "headers", "service-name", "interval")


def read_metrics_open(section: Section) -> bool:
    """Read ``metrics``: whether ``/metrics`` is for everybody."""
    section.check_keys(("open",), {})
    return section["open"].boolean(False)


def read_telemetry(section: Section) -> Telemetry:
    """Read ``telemetry``."""
    section.check_keys(_KEYS, {})
    default = Telemetry()
    return Telemetry(
        exporter=section["exporter"].choice(default.exporter, EXPORTERS),
        endpoint=_endpoint(section["endpoint"]),
        headers=read_headers(section["headers"]),
        service_name=section["service-name"].text() or default.service_name,
        interval=section["interval"].seconds(default.interval, 1.0),
    )


def _endpoint(node: Node) -> str:
    text = (node.text() or "").rstrip("/")
    if text:
        try:
            url = split_url(text)
        except ValueError as error:
            node.mistake(str(error))
            return ""
        if url.scheme not in ("http", "https"):
            node.mistake(f"expected http:// or https://, got {url.scheme}://")
        elif url.username is not None:
            node.mistake("a user name or password has no place here: use `headers`")
    return text
