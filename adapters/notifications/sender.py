"""Sending by Apprise (the extra ``notify``): what it can read, and one notice to one URL.

URLs hold tokens and passwords: none is ever in what is returned here, and Apprise's own log, which may quote them, goes nowhere.
"""

import importlib.util
from typing import Any, Final, Literal

import attrs

Kind = Literal["info", "success", "warning", "failure"]

RETRIES: Final = 2  # beside the first time, unless the URL says otherwise (``?retry=``)
WAIT: Final = 1.0  # seconds between (``?wait=``)
MISSING: Final = "the library apprise is not installed: pip install 'dragoman[notify]'"


@attrs.frozen
class Notice:
    """What is sent."""

    title: str
    body: str
    kind: Kind = "info"


def is_installed() -> bool:
    """Whether anything can be sent; does not load the library, which takes a fifth of a second."""
    return importlib.util.find_spec("apprise") is not None


def open_door(url: str) -> Any:
    """Apprise, ready to send to `url`; None when it cannot read that."""
    import logging  # a start without notifiers does without it

    import apprise

    logger = logging.getLogger("apprise")
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())  # without any, warnings would go to stderr
    # Its own limit of time needs a thread that would hold up the end of the process; ours is in `channels`.
    asset = apprise.AppriseAsset(
        async_mode=False, service_timeout=0, default_service_retry=RETRIES, default_service_wait=WAIT
    )
    door = apprise.Apprise(asset=asset)
    return door if door.add(url) and len(door) else None


def check(url: str) -> str:
    """What a URL leads to, in a word or two; empty when Apprise cannot read it. Sends nothing, looks nothing up."""
    door = open_door(url)
    return str(door[0].service_name) if door is not None else ""


def send(url: str, notice: Notice) -> str:
    """Send, and wait for it. Returns what went wrong; empty when nothing did."""
    if not is_installed():
        return MISSING
    try:
        door = open_door(url)
        if door is None:
            return "Apprise cannot read its URL: see dragoman notify --dry-run"
        sent = door.notify(title=notice.title, body=notice.body, notify_type=notice.kind)
    except Exception as error:  # what it says may be a secret
        return f"it failed ({type(error).__name__})"
    return "" if sent else "it was not accepted, or nobody is there"
