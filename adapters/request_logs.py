"""A file for each exchange that failed, and for every one where the configuration says so: what was said, without secrets.

Lives here: from an exchange's journal and evidence to a text, and the thread that writes it. May not live here: what a secret is
(`dragoman.core.redaction`). The files of failed ones are counted, those of others measured; the oldest go first.
"""

import os
import queue
import re
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from dragoman.adapters.logs import fields_of, timestamp
from dragoman.core.config import Config, LogFiles
from dragoman.core.evidence import KEPT, Evidence
from dragoman.core.journal import Journal
from dragoman.core.redaction import redact_fields, redact_query, redact_text

PATIENCE: Final = 2.0  # seconds that closing waits for a stuck disk
_MOST: Final = 64  # exchanges that wait for the thread; each at most three quarters of a megabyte
_OFTEN: Final = 16  # files between looks at how large all are
_MIB: Final = 1024 * 1024

Item = tuple[Journal, Evidence]


class RequestLogs:
    """Writes files from a thread of its own, which starts with the first.

    Args:
        config: What is served now: where, how many, and which secrets there are.
        warn: Told what the operator should know, from the thread.

    """

    def __init__(self, config: Callable[[], Config], warn: Callable[[str], None]) -> None:
        self._config = config
        self._warn = warn
        self._items: queue.Queue[Item | None] = queue.Queue(_MOST)
        self._is_failing = False
        self._until_look = 0
        self._thread: threading.Thread | None = None

    def show(self, journal: Journal, evidence: Evidence) -> None:
        """Take an exchange; returns at once. When too many wait, it is left out: its line in the log is there all the same."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="dragoman-requests", daemon=True)
            self._thread.start()
        try:
            self._items.put_nowait((journal, evidence))
        except queue.Full:
            return

    def close(self, patience: float = PATIENCE) -> None:
        """Write what waits, for no longer than `patience` seconds."""
        if self._thread is None:
            return
        try:
            self._items.put(None, timeout=patience)
        except queue.Full:
            return
        self._thread.join(patience)

    def _run(self) -> None:
        while (item := self._items.get()) is not None:
            try:
                self._write(*item)
            except OSError as error:
                if not self._is_failing:
                    self._warn(f"files of exchanges cannot be written ({error.strerror or type(error).__name__})")
                self._is_failing = True
            except Exception as error:  # a bug of ours must not end this thread
                self._warn(f"the file of an exchange cannot be made ({type(error).__name__})")

    def _write(self, journal: Journal, evidence: Evidence) -> None:
        config = self._config()
        folder = Path(config.log_files.folder)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / name_of(journal)
        text = text_of(journal, evidence, secrets_of(config))
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_CLOEXEC", 0), 0o600)
        with os.fdopen(file, "w", encoding="utf-8", errors="replace", newline="\n") as out:
            out.write(text)
        if self._is_failing:
            self._is_failing = False
            self._warn("files of exchanges can be written again")
        self._until_look -= 1
        if self._until_look < 0 or is_failed(journal):
            self._until_look = _OFTEN
            prune(folder, config.log_files)


def is_failed(journal: Journal) -> bool:
    """Whether an exchange counts as failed here."""
    return bool(journal.fault) or journal.status >= 400


def name_of(journal: Journal) -> str:
    """Of the file: what was asked for, when, and the id that is in the log.

    >>> name_of(Journal("r-1", "POST", "/v1/messages", "claude", "", "m", 500, "gateway", "", False, (), None, 0, 0, 0.0, None, 0.0))
    'error-v1-messages-1970-01-01T000000-r-1.log'
    """
    path = re.sub(r"[^A-Za-z0-9]+", "-", journal.path).strip("-")[:60]
    at = time.strftime("%Y-%m-%dT%H%M%S", time.gmtime(journal.ended_at))
    return f"{'error-' if is_failed(journal) else ''}{path}-{at}-{journal.request_id}.log"


def secrets_of(config: Config) -> list[str]:
    """Every secret that the configuration has, the longest first."""
    found = {key.key for key in config.api_keys}
    for provider in config.providers:
        found |= {credential.api_key or "" for credential in provider.credentials}
        found |= {value for _, value in provider.headers}
    return sorted(filter(None, found), key=lambda secret: (-len(secret), secret))


def text_of(journal: Journal, evidence: Evidence, secrets: Sequence[str]) -> str:
    """What was said, in sections, without secrets."""
    asked_of = f"{journal.path}?{evidence.query}" if evidence.query else journal.path
    parts = [
        "=== EXCHANGE ===",
        f"time: {timestamp(journal.ended_at)}",
        *(f"{name}: {_line(str(value), secrets)}" for name, value in fields_of(journal).items() if value is not None),
        "\n=== ATTEMPTS ===",
        *(
            _line(f"{a.number}. {a.provider}/{a.credential} as {a.upstream_model}: {a.status or a.outcome} {a.detail}", secrets)
            for a in journal.attempts
        ),
        "\n=== REQUEST ===",
        _line(f"{journal.method} {_place(asked_of, secrets)}", secrets),
        *_head([*evidence.fields.items()], secrets),
        _body(evidence.body, secrets),
    ]  # fmt: skip
    if evidence.asked_path:
        asked = _place(evidence.asked_path.decode("latin-1"), secrets)
        parts += [
            "\n=== REQUEST TO THE PROVIDER ===",
            _line(f"POST {asked}", secrets),
            "",
            _body(evidence.asked, secrets),
        ]
    parts += ["\n=== ANSWER ===", str(journal.status), *_head(evidence.answer_fields, secrets)]
    parts.append(
        "(a stream that was not kept: `request-log: true` keeps it)"
        if evidence.answer is None
        else _body(evidence.answer, secrets)
    )
    return "\n".join(parts) + "\n"


def _head(fields: Sequence[tuple[bytes, bytes]], secrets: Sequence[str]) -> list[str]:
    return [*(_line(f"{name}: {value}", ()) for name, value in redact_fields(fields, secrets)), ""]


def _place(place: str, secrets: Sequence[str]) -> str:
    """A path and its query."""
    path, mark, query = place.partition("?")
    return f"{redact_text(path, secrets)}{mark}{redact_query(query, secrets)}"


def _line(text: str, secrets: Sequence[str]) -> str:
    """One line, whatever is in it."""
    return (
        redact_text(text, secrets).encode("unicode_escape").decode()
        if not text.isprintable()
        else redact_text(text, secrets)
    )


def _body(body: bytes, secrets: Sequence[str]) -> str:
    text = redact_text(body.decode("utf-8", "replace"), secrets)
    return f"{text}\n(cut after {KEPT:,} bytes)" if len(body) >= KEPT else text


def prune(folder: Path, settings: LogFiles) -> None:
    """Delete the oldest: of failed exchanges all but `error_files`, of others until they are no more than `total_mb`."""
    files = sorted(
        (
            (entry.stat().st_mtime_ns, entry.stat().st_size, Path(entry.path))
            for entry in os.scandir(folder)
            if is_file_of_exchange(entry.name)
        ),
        reverse=True,
    )
    failed = [path for _, _, path in files if path.name.startswith("error-")]
    gone = failed[settings.error_files :] if settings.error_files else []
    size = 0
    for _, bytes_of, path in files:
        if not path.name.startswith("error-"):
            size += bytes_of
            if settings.total_mb and size > settings.total_mb * _MIB:
                gone.append(path)
    for path in gone:
        path.unlink(missing_ok=True)


def is_file_of_exchange(name: str) -> bool:
    """Whether a file of that name in the folder of logs is one of an exchange."""
    return re.search(r"-\d{4}-\d\d-\d\dT\d{6}-.+\.log$", name) is not None
