"""A gateway made from a file, and its management without a socket: steps are taken as a transport takes them."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from dragoman.adapters.config_file import ConfigFileError
from dragoman.adapters.line_writer import LineWriter
from dragoman.adapters.logs import Logs
from dragoman.adapters.management import ROUTES, Outside
from dragoman.adapters.management.desk import Desk
from dragoman.adapters.planning import plan_serving
from dragoman.adapters.reloading import Reloading
from dragoman.adapters.watching import Watch
from dragoman.core.config import Config
from dragoman.core.effects import LocalAnswer, LocalRequest
from dragoman.core.gateway import Gateway

SECRET = "management-5ecret"
CONFIG = f"""\
# what the operator wrote
api-keys: [sk-client-5ecret-abcdef]
remote-management:
  secret-key: {SECRET}  # keep it
openai-compatibility:
  - name: kiro
    base-url: http://127.0.0.1:1/v1
    models: [{{name: m}}]
    api-key-entries:
      - api-key: sk-up5tream-one-0000
        quotas: [{{window: 1h, requests: 4}}]
      - api-key: sk-up5tream-two-0000
"""
NOW = 1_800_000_000.0


@attrs.frozen
class Answered:
    """What came back."""

    status: int
    body: bytes
    fields: dict[str, str]
    error: str
    code: str | None

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


class Office:
    """A gateway and its management.

    Attributes:
        now: The clock; may be set.
        reloads: How often a configuration was taken over.
        watch: Looks after the gateway, when it is told to.

    """

    def __init__(
        self, folder: Path, text: str | None = CONFIG, *, environment: Mapping[str, str] | None = None
    ) -> None:
        self.now = NOW
        self.reloads = 0
        self.path: Path | None = None
        self.auth_dir = folder / "auth"
        environment = environment or {}
        if text is not None:
            self.path = folder / "config.yaml"
            self.path.write_text(f"{text}auth-dir: {self.auth_dir}\n" if "auth-dir" not in text else text)
            self.path.chmod(0o600)
        plan = self.plan = plan_serving(self.path, environment)
        self._log = io.BytesIO()
        self._writer = LineWriter(self._log.write)
        self.gateway = Gateway(
            plan.config, version="1.2.3", transport="none", now=self.now, new_id=str, draw=lambda: 0.0, record=print
        )
        self._read: Config | None = None
        logs = Logs(self._writer, lambda: self.now)
        self.watch = Watch(self.gateway, logs)
        self.desk = Desk(
            self.gateway,
            lambda: self.now,
            logs,
            "1.2.3",
            self.path,
            plan.check,
            environment,
            Reloading(self._reread, self._take_over) if plan.reread is not None else None,
            watch=self.watch,
        )
        self.outside = Outside(self.desk, ROUTES)

    def _reread(self, seconds: float) -> bool:
        assert self.plan.reread is not None
        try:
            self._read = self.plan.reread().config
        except ConfigFileError:
            self._read = None
        return True

    def _take_over(self) -> None:
        if self._read is not None:
            self.gateway.reload(self._read, self.now)
            self.reloads += 1

    def ask(
        self,
        method: str,
        path: str,
        body: object = b"",
        *,
        key: str | None = SECRET,
        peer: str = "127.0.0.1",
        **headers: str,
    ) -> Answered:
        """Ask, and take all steps."""
        path, _, query = path.partition("?")
        fields = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
        if key is not None:
            fields[b"authorization"] = f"Bearer {key}".encode()
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        if not path.startswith("/"):
            path = f"/v0/management/{path}"
        step = self.outside.serve(LocalRequest(method, path, query, fields, data, peer))
        while not isinstance(step, LocalAnswer):
            step = step()
        told = {name.decode(): value.decode() for name, value in step.fields}
        return Answered(step.status, step.body, told, step.error, step.code)

    def logged(self) -> str:
        """What the log says."""
        self._writer.close()
        return self._log.getvalue().decode()
