"""The gateway's own things: its configuration, who may read its files, its port, and how its credentials stand."""

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from dragoman import __version__
from dragoman.adapters.asking import ask
from dragoman.adapters.config_file import ConfigFileError, printable
from dragoman.adapters.doctor.findings import Finding, Level
from dragoman.adapters.planning import Plan, plan_serving
from dragoman.core.urls import split_url


def check_configuration(path: Path | None, environment: Mapping[str, str]) -> tuple[list[Finding], Plan | None]:
    """Whether there is something that can be served."""
    try:
        plan = plan_serving(path, environment)
    except ConfigFileError as error:
        advice = "mend it, then `dragoman check`"
        return [Finding("configuration", str(path), Level.PROBLEM, line, advice) for line in error.lines], None
    if path is None:
        found = "the built-in demo provider" if plan.is_demo else ", ".join(p.name for p in plan.config.providers)
        detail = f"no file; served from the environment: {found}"
        findings = [
            Finding("configuration", plan.source, Level.NOTE, detail, "`dragoman init` writes a file to start from")
        ]
    else:
        detail = f"valid; providers: {len(plan.config.providers)}, client keys: {len(plan.config.api_keys)}"
        findings = [Finding("configuration", str(path), Level.OK, detail)]
    return findings + [Finding("configuration", plan.source, Level.NOTE, notice) for notice in plan.notices], plan


def check_permissions(path: Path | None, plan: Plan) -> Iterator[Finding]:
    """Whether others on this machine may read what holds secrets."""
    if os.name != "posix":
        yield Finding("permissions", "files", Level.NOTE, "not looked at on this system")
        return
    places = [] if path is None else [path]
    folder = Path(plan.config.auth_dir)
    if folder.is_dir():
        places += [folder, *sorted(folder.glob("*.json"))]
    if plan.state_file is not None:
        places.append(plan.state_file)
    for place in places:
        try:
            found = place.stat()
        except FileNotFoundError:
            continue
        except OSError as error:
            yield Finding("permissions", str(place), Level.UNKNOWN, error.strerror or "cannot be looked at")
            continue
        mode, wanted = stat.S_IMODE(found.st_mode), "700" if stat.S_ISDIR(found.st_mode) else "600"
        if mode & 0o077:
            detail = f"others on this machine may read or change it (mode {mode:04o})"
            yield Finding("permissions", str(place), Level.PROBLEM, detail, f"chmod {wanted} {place}")
        elif not os.access(place, os.R_OK):
            yield Finding("permissions", str(place), Level.PROBLEM, "this user cannot read it", "run as its owner")
        else:
            yield Finding("permissions", str(place), Level.OK, f"for its owner only (mode {mode:04o})")


def check_port(url: str, trust: str | None) -> Finding:
    """Who answers where the gateway is to be."""
    subject = split_url(url).authority
    asked = ask(url, "/health", trust=trust)
    found = asked.json
    if asked.fault == "Connection refused":
        return Finding("port", subject, Level.NOTE, "free: the gateway does not run", "`dragoman serve` starts it")
    if asked.fault:
        return Finding("port", subject, Level.PROBLEM, f"something is there and does not answer: {asked.fault}")
    if asked.status != 200 or not isinstance(found, dict) or found.get("status") != "ok":
        detail = f"something else answers here: /health gave {asked.status}"
        return Finding("port", subject, Level.PROBLEM, detail, "stop it, or choose another `port`")
    version = printable(str(found.get("version")))
    detail = f"the gateway answers: version {version}, up for {round(found.get('uptime_seconds') or 0)} s"
    if version != __version__:
        detail += f" (this command is of version {__version__})"
        return Finding("port", subject, Level.NOTE, detail, "restart the gateway after an update")
    return Finding("port", subject, Level.OK, detail)


#: How bad it is for a credential to be in a state; what is not here is well.
_STATES: Mapping[str, tuple[Level, str]] = {
    "cooling": (Level.NOTE, ""),
    "exhausted": (Level.NOTE, "wait, or add another credential"),
    "rejected": (Level.PROBLEM, "look whether the key or login is still good"),
    "disabled": (Level.NOTE, ""),
}


def check_credentials(rows: list[Mapping[str, object]]) -> Iterator[Finding]:
    """How each credential stands, from rows as the management's quota page has them."""
    for row in rows:
        state, renewal = str(row.get("state")), str(row.get("refresh_state"))
        level, advice = _STATES.get(state, (Level.OK, ""))
        if renewal == "failed":
            level, advice = Level.PROBLEM, "its token cannot be renewed: log in again"
        detail = ", ".join(filter(None, (state, str(row.get("reason") or ""), _waits(row))))
        subject = f"{row.get('provider_key')}/{row.get('name')}"
        yield Finding("credential", printable(subject), level, printable(detail), advice)


def _waits(row: Mapping[str, object]) -> str:
    seconds = row.get("quota_reset_seconds")
    return f"more in {round(seconds)} s" if isinstance(seconds, int | float) else ""
