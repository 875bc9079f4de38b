"""The command line, one file per command.

Lives here: reading options, showing results. May not live here: anything another program would want to call.
"""

from typing import NoReturn


def main() -> NoReturn:
    """Run the command ``dragoman``."""
    raise SystemExit("no commands yet")
