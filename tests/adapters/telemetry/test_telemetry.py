"""Whether the extra is there, and what is said when it is not."""

from pathlib import Path

import pytest

from dragoman.adapters import telemetry
from dragoman.adapters.config_file import ConfigFileError
from dragoman.adapters.planning import plan_serving


def written(folder: Path, exporter: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(f"api-keys: [sk-client]\nauth-dir: {folder}\ntelemetry: {{exporter: {exporter}}}\n")
    path.chmod(0o600)
    return path


def test_it_is_installed_here(tmp_path: Path) -> None:
    assert telemetry.is_installed()
    assert plan_serving(written(tmp_path, "otlp"), {}).config.telemetry.exporter == "otlp"


@pytest.mark.parametrize("missing", [True, False])
def test_without_the_extra_a_start_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: bool
) -> None:
    """Whether the namespace is missing as a whole, or only the SDK in it."""

    def find(name: str) -> None:
        if missing:
            raise ModuleNotFoundError(name)

    monkeypatch.setattr(telemetry, "find_spec", find)
    with pytest.raises(ConfigFileError) as error:
        plan_serving(written(tmp_path, "otlp"), {})
    assert "pip install 'dragoman[otel]'" in str(error.value)
    assert ":3:" in str(error.value)
    plan_serving(written(tmp_path, "none"), {})
