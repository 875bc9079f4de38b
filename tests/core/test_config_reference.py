"""The reference lists what is read: every key of every mapping, with the defaults that the code has."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path

import attrs
import pytest

from dragoman.core.alert_rules import AlertRule
from dragoman.core.canary_specs import CanarySpec
from dragoman.core.config import Config, Cooldowns, Ledger, Limits, MitigationRule, Routing, Timeouts
from dragoman.core.config_nodes import Section, parse_seconds, parse_size
from dragoman.core.config_parsing import parse_config
from dragoman.core.config_sections import SECTIONS
from dragoman.core.telemetry_settings import Telemetry

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "configuration.md").read_text(encoding="utf-8")
ITEM = {"models": [{"name": "m"}], "quotas": [{"window": "5h", "requests": 1}]}

# One of every mapping there can be.
EVERYTHING: Mapping[str, object] = {
    "api-keys": [{"key": "k"}],
    **{name: [{"api-key": "k"}] for name in SECTIONS},
    "claude-api-key": [{"api-key": "k", **ITEM}],
    "openai-compatibility": [{"name": "n", "base-url": "http://h", "api-key-entries": [{"quotas": ITEM["quotas"]}], **ITEM}],
    "alerts": [{"name": "rate-limited"}],
    "notifications": [{"url": "json://host"}],
    "canaries": [{"name": "c", "model": "m"}],
    "mitigations": [{"model": "m", "fallback": "n"}],
    "oauth-model-alias": {"codex": [{"name": "m", "alias": "n"}]},
    "oauth-clients": {"codex": {"client-id": "c"}},
    "usage": {"prices": {"m": {"input": 1}}},
    "ampcode": {"model-mappings": [{"from": "m", "to": "n"}]},
}  # fmt: skip


def tables() -> dict[str, dict[str, str]]:
    """The page: by path, its keys with their defaults."""
    found: dict[str, dict[str, str]] = {}
    for part in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]:
        heading, _, text = part.partition("\n")
        text = text.partition("| key | type | default | meaning |\n")[2]
        rows = re.findall(r"^\| `([^`]+)` \| [^|]+ \|([^|]*)\| [^|]+ \|$", text, flags=re.MULTILINE)
        assert len(rows) == len(dict(rows)) == text.count("\n| `") + text.startswith("| `"), heading
        for path in [""] if heading == "The file" else re.findall("`([^`]+)`", heading):
            found[path] = {key: default.strip().strip("`") for key, default in rows}
    return found


def test_every_key_is_in_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the reference has no others."""
    read: dict[str, set[str]] = {}
    check_keys = Section.check_keys

    def note(self: Section, known: Collection[str], others: Mapping[str, str], *, secret: bool = False) -> None:
        path = "".join("[]" if isinstance(step, int) else f".{step}" for step in self.node.path).lstrip(".")
        read.setdefault(path, set()).update(known)
        check_keys(self, known, others, secret=secret)

    monkeypatch.setattr(Section, "check_keys", note)
    parse_config(EVERYTHING, environment={})
    assert read == {path: set(keys) for path, keys in tables().items()}


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("timeouts", Timeouts()),
        ("limits", Limits()),
        ("cooldowns", Cooldowns()),
        ("mitigations[]", MitigationRule("", "")),
        ("alerts[]", AlertRule("", "", "")),
        ("canaries[]", CanarySpec("", "")),
        ("routing", Routing()),
        ("telemetry", Telemetry()),
        ("usage", Ledger()),
        ("", Config()),
    ],
)
def test_defaults(path: str, values: attrs.AttrsInstance) -> None:
    """Where there is one value, it is the code's."""
    parse = parse_size if path == "limits" else parse_seconds
    checked = 0
    for key, text in tables()[path].items():
        value: object = getattr(values, key.replace("-", "_"), None)
        if isinstance(value, bool):
            said: object = {"true": True, "false": False}[text]
        elif isinstance(value, (int, float)):
            said = float(text[:-1]) / 100 if text.endswith("%") else parse(text)
        elif isinstance(value, str) and value:
            said = text
        else:
            continue
        assert said == value, key
        checked += 1
    assert checked >= 2


def test_sections_are_told_as_they_are() -> None:
    """Provider, dialect, and where they lead."""
    rows = dict(re.findall(r"^\| `([^`]+)` \| (`[^`]+` \| `[^`]+` \| `https://[^`]+`) \|", PAGE, flags=re.MULTILINE))
    assert rows == {name: f"`{s.provider}` | `{s.dialect}` | `{s.base_url}`" for name, s in SECTIONS.items()}
