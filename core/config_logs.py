"""The part of a configuration that is about log files; its keys are at the top of the file, as in the original."""

from typing import Final

from dragoman.core.config import LogFiles
from dragoman.core.config_nodes import Section

LOG_FILES: Final = ("logging-to-file", "logs-dir", "logs-max-total-size-mb")


def read_log_files(top: Section) -> LogFiles:
    """Read the keys of `LOG_FILES`."""
    default = LogFiles()
    return LogFiles(
        enabled=top["logging-to-file"].boolean(default.enabled),
        folder=top["logs-dir"].text() or default.folder,
        total_mb=top["logs-max-total-size-mb"].integer(default.total_mb, 0, 1_000_000),
    )
