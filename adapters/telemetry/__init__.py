"""Traces and metrics for OpenTelemetry, made from journals: nothing is measured here, and nothing waits for it.

Lives here: the names of the semantic conventions (`names`), a journal as spans (`spans`) and as measurements (`measures`), the thread that makes them
and the SDK that sends them (`exporting`). Needs the extra ``otel``; nobody imports the SDK unless ``telemetry`` asks for it. May not live here:
what a client or a provider said. Neither texts nor keys are sent, nor labels of credentials.
"""

from importlib.util import find_spec


def is_installed() -> bool:
    """Whether the extra is there."""
    try:
        return (
            find_spec("opentelemetry.sdk") is not None
            and find_spec("opentelemetry.exporter.otlp.proto.http") is not None
        )
    except ModuleNotFoundError:
        return False
