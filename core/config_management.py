"""The part of a configuration that says who may manage the gateway: ``remote-management``."""

import re
from typing import Final

from dragoman.core.config import ClientKey, Management
from dragoman.core.config_keys import MANAGEMENT
from dragoman.core.config_nodes import Section

_BCRYPT: Final = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}")
_MOST_ROUNDS: Final = 15  # as a power of two: two seconds on a machine of 2026
_LONGEST: Final = 1024


def read_management(section: Section, client_keys: tuple[ClientKey, ...]) -> Management:
    """Read ``remote-management``."""
    section.check_keys(("secret-key", "allow-remote"), MANAGEMENT)
    node = section["secret-key"]
    secret = (node.text(secret=True) or "").strip()
    if secret.startswith(("$2a$", "$2b$", "$2y$")):
        found = _BCRYPT.fullmatch(secret)
        if found is None:
            node.mistake("this begins like a bcrypt hash and is none: was it copied whole?")
        elif not 4 <= int(found[1]) <= _MOST_ROUNDS:
            node.mistake(f"a bcrypt hash of cost 4 to {_MOST_ROUNDS} is checked here; others take too long")
    elif any(key.key == secret for key in client_keys if secret):
        node.mistake("this is a client key too: whoever may ask models could manage the gateway; choose another")
    elif len(secret) > _LONGEST:
        node.mistake(f"expected at most {_LONGEST} characters")
    return Management(secret=secret, allow_remote=section["allow-remote"].boolean(False))
