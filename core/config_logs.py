"""The part of a configuration that is about log files; its keys are at the top of the file, as in the original."""

from typing import Final

from dragoman.core.config import LogFiles
from dragoman.core.config_nodes import Section

LOG_FILES: Final = ("logging-to-file", "logs-dir", "logs-max-total-size-mb", "error-logs-max-files", "request-log")


def read_log_files(top: Section) -> LogFiles:
    """Read the keys of `LOG_FILES`."""
    default = LogFiles()
    error_files = top["error-logs-max-files"].integer(default.error_files, -1_000_000, 1_000_000)
    return LogFiles(
        enabled=top["logging-to-file"].boolean(default.enabled),
        folder=top["logs-dir"].text() or default.folder,
        total_mb=top["logs-max-total-size-mb"].integer(default.total_mb, 0, 1_000_000),
        error_files=error_files if error_files >= 0 else default.error_files,  # as in the original
        every_request=top["request-log"].boolean(default.every_request),
    )
