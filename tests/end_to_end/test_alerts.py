"""A provider turns to 429: the alert fires, a real webhook hears of it by Apprise, and again when it is over; one that hangs is felt by nobody."""

import time
from pathlib import Path

from tests.adapters.notifications.webhook import SECRET, webhook
from tests.end_to_end.processes import PATIENCE, Gateway, serving
from tests.end_to_end.wire import chat, request, send
from tests.scripted_upstream import ScriptedUpstream

KEY = "sk-client-5ecret"
MANAGER = "manage-5ecret"


def configured(folder: Path, url: str, notifiers: str) -> None:
    path = folder / "config.yaml"
    path.write_text(
        f"host: 127.0.0.1\napi-keys: [{KEY}]\ndisable-cooling: true\nremote-management: {{secret-key: {MANAGER}}}\n"
        f"openai-compatibility: [{{name: lab, base-url: {url}/v1, models: [{{name: plain}}, {{name: limited}}]}}]\n"
        f"alerts: [{{name: '*', enabled: false}},\n"
        f"  {{name: limits, signal: rate-limited-ratio, threshold: 50%, hold: 0, settle: 0, minimum-sample: 5, severity: critical}}]\n"
        f"notifications: {notifiers}\n"
    )
    path.chmod(0o600)


def ask(gateway: Gateway, model: str, times: int) -> list[int]:
    return [send(gateway, request(chat(model), key=KEY)).status for _ in range(times)]


def managed(gateway: Gateway) -> dict[str, object]:
    answer = send(gateway, request(key=MANAGER, method="GET", path="/v0/management/alerts"), "GET")
    assert answer.status == 200, answer.text
    assert SECRET not in answer.text
    found = answer.json
    assert isinstance(found, dict)
    return found


def test_it_fires_and_is_resolved(tmp_path: Path, transport: str, upstream: ScriptedUpstream) -> None:
    with webhook() as hook:
        configured(tmp_path, upstream.url, f"[{{name: ops, url: '{hook.url}'}}]")
        with serving(tmp_path, transport, secrets=(SECRET, KEY, MANAGER)) as gateway:
            assert set(ask(gateway, "limited", 6)) == {429}
            told = hook.told.get(timeout=PATIENCE)
            assert (told["type"], "limits firing (critical)" in told["title"]) == ("failure", True)
            assert told["message"].startswith("provider lab: rate-limited-ratio 100.0 % of 6 attempts in 10 minutes")
            found = managed(gateway)
            assert found["firing"] == 1
            assert set(ask(gateway, "plain", 12)) == {200}
            told = hook.told.get(timeout=PATIENCE)
            assert (told["type"], "limits resolved" in told["title"]) == ("success", True)
            assert managed(gateway)["firing"] == 0
            gateway.stderr.wait_for(lambda line: "event=alert" in line and "state=resolved" in line)
        assert hook.told.empty()


def test_one_that_hangs_is_felt_by_nobody(tmp_path: Path, transport: str, upstream: ScriptedUpstream) -> None:
    with webhook(hangs=True) as dead, webhook() as alive:
        configured(tmp_path, upstream.url, f"['{dead.url}', {{name: alive, url: '{alive.url}'}}]")
        with serving(tmp_path, transport, secrets=(SECRET, KEY, MANAGER)) as gateway:
            ask(gateway, "limited", 6)
            assert dead.asked.wait(PATIENCE)
            took = []
            for _ in range(50):
                began = time.monotonic()
                assert ask(gateway, "plain", 1) == [200]
                took.append(time.monotonic() - began)
            assert sorted(took)[45] < 0.5
            assert [alive.told.get(timeout=PATIENCE)["type"] for _ in range(2)] == ["failure", "success"]
            assert not dead.let_go.is_set()
