"""What is answered outside the core: ``/v0/management/``, ``/metrics``, ``/openapi.json``.

Here is the table of routes; a handler takes the `Desk` and a `Call` and gives a step to an answer (`dragoman.core.effects.Step`). Handlers look at the
gateway on the loop's thread and at the disk in worker threads, and say no secret. May not be here: anything that decides who answers a model, or
how; nothing below `dragoman.adapters` imports this.
"""

from typing import Final

from dragoman.adapters.management.alerts import ROUTES as ALERTS
from dragoman.adapters.management.auth_files import ROUTES as AUTH_FILES
from dragoman.adapters.management.canaries import ROUTES as CANARIES
from dragoman.adapters.management.config_view import ROUTES as CONFIG
from dragoman.adapters.management.logs import ROUTES as LOGS
from dragoman.adapters.management.metrics import ROUTES as METRICS
from dragoman.adapters.management.openapi import ROUTES as OPENAPI
from dragoman.adapters.management.quotas import ROUTES as QUOTAS
from dragoman.adapters.management.routes import Route
from dragoman.adapters.management.sections import ROUTES as SECTIONS
from dragoman.adapters.management.serving import Outside
from dragoman.adapters.management.settings import ROUTES as SETTINGS
from dragoman.adapters.management.usage import ROUTES as USAGE

__all__ = ["ROUTES", "Outside", "Route"]

ROUTES: Final[tuple[Route, ...]] = (
    *AUTH_FILES,
    *QUOTAS,
    *CONFIG,
    *SETTINGS,
    *SECTIONS,
    *USAGE,
    *METRICS,
    *OPENAPI,
    *LOGS,
    *ALERTS,
    *CANARIES,
)
