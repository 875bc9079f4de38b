"""The management over the wire, as an operator has it: curl and jq against a running gateway, on each transport."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.processes import PATIENCE, Gateway, serving

SECRET = "management-5ecret"
UPSTREAM_KEY = "sk-up5tream-0123456789"
TOKEN = "qwen-5ecret-token"
CONFIG = f"""\
# what the operator wrote
api-keys: [sk-client-5ecret]
remote-management:
  secret-key: {SECRET}  # keep it
openai-compatibility:
  - name: kiro
    base-url: http://127.0.0.1:9/v1
    models: [{{name: m}}]
    api-key-entries:
      - api-key: {UPSTREAM_KEY}
        quotas: [{{window: 1h, requests: 4}}]
      - api-key: {UPSTREAM_KEY}-b
"""


@pytest.fixture(scope="module")
def folder(transport: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("managed")
    path = folder / "config.yaml"
    path.write_text(f"{CONFIG}auth-dir: {folder / 'auth'}\n")
    path.chmod(0o600)
    return folder


@pytest.fixture(scope="module")
def managed(transport: str, folder: Path) -> Iterator[Gateway]:
    with serving(folder, transport, secrets=(SECRET, UPSTREAM_KEY, TOKEN)) as gateway:
        yield gateway


def sh(gateway: Gateway, command: str) -> str:
    """Run a probe of the runbook in bash, its address and its keys filled in."""
    for program in ("bash", "curl", "jq"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    command = command.replace("http://localhost:8317", gateway.url)
    run = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "AUTH_KEY": SECRET, "NO_PROXY": "*"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert run.returncode == 0, run.stderr + run.stdout
    return run.stdout


def test_the_probes_of_the_runbook(managed: Gateway) -> None:
    """Add, list, probe, remove: each as it is written."""
    token = json.dumps({"type": "qwen", "access_token": TOKEN})
    sh(
        managed,
        "curl -fsS -X POST 'http://localhost:8317/v0/management/auth-files?name=Qwen-A.json' "
        f"-H \"Authorization: Bearer $AUTH_KEY\" -H 'Content-Type: application/json' -d '{token}'",
    )
    indices = sh(
        managed,
        'curl -sS http://localhost:8317/v0/management/auth-files -H "Authorization: Bearer $AUTH_KEY" '
        "| jq -r '.[] | .auth_index // .index'",
    ).split()
    assert [len(index) for index in indices] == [16]
    names = sh(
        managed,
        'curl -sS http://localhost:8317/v0/management/auth-files -H "X-Management-Secret: $AUTH_KEY" '
        "| jq '.[].filename' | sort | uniq -c",
    )
    assert names.split() == ["1", '"qwen-a.json"']
    files = sh(
        managed,
        'curl -sS http://localhost:8317/v0/management/auth-files -H "X-Management-Key: $AUTH_KEY" '
        "-H 'Accept: application/json, text/plain, */*' | jq -r '.files[].name'",
    )
    assert files == "qwen-a.json\n"
    sh(
        managed,
        "curl -fsS -X DELETE 'http://localhost:8317/v0/management/auth-files?name=qwen-a.json' -H \"X-Management-Key: $AUTH_KEY\"",
    )


def test_kiro_quota(managed: Gateway) -> None:
    """Of all, and of each by its index; not of an unknown one."""
    every = json.loads(
        sh(
            managed,
            'curl -sS http://localhost:8317/v0/management/kiro-quota \\\n  -H "Authorization: Bearer $AUTH_KEY" | jq',
        )
    )
    assert {"remaining_quota", "usage_percentage", "quota_exhausted"} <= every.keys()
    first, second = (row["auth_index"] for row in every["credentials"])
    told = [
        json.loads(
            sh(
                managed,
                f'curl -sS "http://localhost:8317/v0/management/kiro-quota?auth_index={index}" -H "Authorization: Bearer $AUTH_KEY" | jq',
            )
        )
        for index in (first, second)
    ]
    assert [row["auth_index"] for row in told] == [first, second]
    assert [row["remaining_quota"] for row in told] == [4, None]
    status = sh(
        managed,
        'curl -sS -o /dev/null -w "%{http_code}" "http://localhost:8317/v0/management/kiro-quota?auth_index=0" -H "X-Management-Key: $AUTH_KEY"',
    )
    assert status == "404"


def test_a_request_from_elsewhere_is_refused(managed: Gateway) -> None:
    """A proxy on this machine is elsewhere."""
    status = sh(
        managed,
        "curl -sS -o /dev/null -w '%{http_code}' http://localhost:8317/v0/management/quota "
        "-H \"X-Management-Key: $AUTH_KEY\" -H 'X-Forwarded-For: 192.0.2.1'",
    )
    assert status == "403"


def test_head_and_errors(managed: Gateway) -> None:
    head = sh(managed, 'curl -sSI http://localhost:8317/v0/management/quota -H "X-Management-Key: $AUTH_KEY"')
    assert head.startswith("HTTP/1.1 200")
    error = json.loads(sh(managed, "curl -sS http://localhost:8317/v0/management/quota"))["error"]
    assert error["code"] == "missing_management_key"


def test_a_setting_changes_what_runs_and_the_file(managed: Gateway, folder: Path) -> None:
    """SR-20: as it is written in the runbook's toggles; comments stay."""
    for name in ("switch-project", "switch-preview-model"):
        url = f"http://localhost:8317/v0/management/quota-exceeded/{name}"
        for value in ("false", "true"):
            put = f'curl -sS -X PUT {url} -H "Authorization: Bearer $AUTH_KEY" -d \'{{"value":{value}}}\' | jq -c'
            assert json.loads(sh(managed, put))["status"] == "ok"
            assert sh(managed, f'curl -sS {url} -H "X-Management-Key: $AUTH_KEY" | jq -c') == f'{{"{name}":{value}}}\n'
    text = (folder / "config.yaml").read_text()
    assert text.startswith(CONFIG)
    assert "switch-preview-model: true" in text
    assert (folder / "config.yaml").stat().st_mode & 0o777 == 0o600


def test_the_probe_of_supported_clients(managed: Gateway) -> None:
    said = sh(
        managed,
        'curl -sS http://localhost:8317/v0/management/config -H "Authorization: Bearer $AUTH_KEY" '
        "| jq -c '.providers[] | select(.name==\"kiro\") | .supported_clients'",
    )
    assert said == '["openai_chat","openai_responses","claude","gemini"]\n'


def test_a_bad_configuration_is_refused_with_its_mistakes(managed: Gateway, folder: Path) -> None:
    before = (folder / "config.yaml").read_bytes()
    answer = json.loads(
        sh(
            managed,
            'curl -sS -X PUT http://localhost:8317/v0/management/config.yaml -H "X-Management-Key: $AUTH_KEY" '
            "-H 'Content-Type: application/yaml' --data-binary $'port: x\\ndebug: perhaps\\n'",
        )
    )
    assert {mistake["path"] for mistake in answer["mistakes"]} >= {"port", "debug"}
    assert (folder / "config.yaml").read_bytes() == before
