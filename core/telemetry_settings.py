"""Who may read ``/metrics``, and where traces and metrics are sent."""

from typing import Final

import attrs

EXPORTERS: Final = ("none", "otlp", "console")


@attrs.frozen
class Telemetry:
    """What goes to OpenTelemetry.

    Attributes:
        exporter: ``none``, ``otlp`` (over HTTP) or ``console``.
        endpoint: The base URL of an OTLP receiver; empty: where the variables of OpenTelemetry say.
        headers: Sent to it.
        service_name: What the gateway is called there.
        interval: Seconds between two exports of metrics.

    """

    exporter: str = "none"
    endpoint: str = ""
    headers: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=False)
    service_name: str = "dragoman"
    interval: float = 60.0


NO_TELEMETRY: Final = Telemetry()
