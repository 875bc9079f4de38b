"""What a configuration says of log files."""

import pytest

from dragoman.core.config import Config, LogFiles
from dragoman.core.config_parsing import parse_config
from dragoman.core.errors import ConfigError


def read(**data: object) -> LogFiles:
    config, notices = parse_config({key.replace("_", "-"): value for key, value in data.items()}, environment={})
    assert not notices
    return config.log_files


def test_absent_and_whole() -> None:
    assert read() == LogFiles() == Config().log_files
    found = read(
        logging_to_file=True, logs_dir="x", logs_max_total_size_mb=0, error_logs_max_files=0, request_log="yes"
    )
    assert found == LogFiles(True, "x", 0, 0, True)


def test_a_negative_number_is_the_default() -> None:
    """As in the original."""
    assert read(error_logs_max_files=-1).error_files == 10


def test_mistakes_with_their_place() -> None:
    with pytest.raises(ConfigError) as caught:
        read(logging_to_file="often", logs_max_total_size_mb=-1)
    assert {mistake.dotted() for mistake in caught.value.mistakes} == {"logging-to-file", "logs-max-total-size-mb"}
