"""A live gateway for the runbook: scripted providers under the names that it speaks of, a kiro login, management, logs on disk."""

import contextlib
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from tests.demo_server import serve_demo
from tests.end_to_end.processes import ROOT, Gateway, clean_environment, serving
from tests.scripted_upstream import ScriptedUpstream, scripted_upstream

CLIENT_KEY: Final = "sk-runbook-client"
MANAGEMENT: Final = "runbook-management-s3cret"
UPSTREAM_KEY: Final = "sk-runbook-upstream"
TOKEN: Final = "runbook-kiro-token"

_CONFIG: Final = """\
host: 127.0.0.1
debug: true
logging-to-file: true
auth-dir: {folder}/auth
api-keys: [{client}]
remote-management: {{secret-key: {management}}}
notifications: ["{notifier}"]
codex-api-key:
  - api-key: {key}
    base-url: {demo}/v1
    models:
      - {{name: demo, alias: gpt-5.1-codex}}
      - {{name: demo, alias: gpt-5.3-codex}}
      - {{name: demo, alias: gpt-5.3-codex-spark}}
openai-compatibility:
  - name: iflow
    prefix: iflow
    base-url: {scripted}/v1
    api-key-entries: [{{api-key: {key}}}]
    models: [{{name: plain, alias: qwen3-max}}, {{name: limited, alias: busy}}]
  - name: antigravity
    prefix: antigravity
    base-url: {scripted}/v1
    api-key-entries: [{{api-key: {key}}}]
    models: [{{name: plain, alias: claude-sonnet}}]
"""


@attrs.frozen
class Stage:
    """Everything that a page of the runbook may need.

    Attributes:
        gateway: The gateway, in a process of its own.
        folder: Where it was started: ``logs/`` is there.
        upstream: What ``iflow`` and ``antigravity`` are.

    """

    gateway: Gateway
    folder: Path
    upstream: ScriptedUpstream

    def ask(self, model: str, **more: Any) -> int:
        """A chat request; returns the status of the answer."""
        body = {"model": model, "messages": [{"role": "user", "content": "ping"}], **more}
        return self._send("POST", "/v1/chat/completions", CLIENT_KEY, body)[0]

    def manage(self, path: str, method: str = "GET", body: object = None) -> Any:
        """A management request; returns the JSON of the answer."""
        status, answer = self._send(method, f"/v0/management{path}", MANAGEMENT, body)
        assert status == 200, (status, answer)
        return json.loads(answer)

    def metrics(self, provider: str) -> Any:
        """What the metrics say of a provider."""
        return json.loads(self._send("GET", "/v1/metrics/providers", "", None)[1])[provider]

    def _send(self, method: str, path: str, key: str, body: object) -> tuple[int, bytes]:
        data = json.dumps(body).encode() if body is not None else None
        headers = {"accept": "*/*", "content-type": "application/json"}  # as curl does
        headers |= {"authorization": f"Bearer {key}"} if key else {}
        request = urllib.request.Request(self.gateway.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def placeholders(self) -> Mapping[str, str]:
        """What stands in the runbook -> what is typed here."""
        return {
            "http://localhost:8317": self.gateway.url,
            "http://127.0.0.1:8317": self.gateway.url,
            "<api-key>": CLIENT_KEY,
            "<client-key>": CLIENT_KEY,
            "replace-with-management-secret": MANAGEMENT,
            "<management-secret>": MANAGEMENT,
            "<secret>": MANAGEMENT,
            "$AUTH_KEY": MANAGEMENT,
            "/tmp/": f"{self.folder}/",
        }


def until(found: Callable[[], bool], patience: float = 10.0) -> bool:
    """Whether `found` comes true within `patience` seconds."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if found():
            return True
        time.sleep(0.05)
    return found()


@contextlib.contextmanager
def staged(folder: Path, transport: str, notifier: str) -> Iterator[Stage]:
    """Run it until the block ends; alerts are told to `notifier`, an Apprise URL."""
    auth = folder / "auth"
    auth.mkdir(mode=0o700)
    for name in ("anna", "bert"):
        kiro = auth / f"kiro-{name}.json"
        kiro.write_text(json.dumps({"type": "kiro", "email": f"{name}@example.com", "access_token": TOKEN}))
        kiro.chmod(0o600)
    command = folder / "bin" / "dragoman"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m dragoman "$@"\n')
    command.chmod(0o755)
    with scripted_upstream() as upstream, serve_demo() as demo:
        config = folder / "config.yaml"
        config.write_text(
            _CONFIG.format(
                folder=folder,
                client=CLIENT_KEY,
                management=MANAGEMENT,
                key=UPSTREAM_KEY,
                demo=demo,
                scripted=upstream.url,
                notifier=notifier,
            )
        )
        config.chmod(0o600)
        secrets = (CLIENT_KEY, MANAGEMENT, UPSTREAM_KEY, TOKEN)
        with serving(folder, transport, environment=clean_environment(HOME=str(folder)), secrets=secrets) as gateway:
            yield Stage(gateway, folder, upstream)
