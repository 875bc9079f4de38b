"""One demo provider for all tests of it."""

from collections.abc import Iterator

import pytest

from tests.demo_server import serve_demo


@pytest.fixture(scope="session")
def demo_url() -> Iterator[str]:
    """The demo provider's base URL."""
    with serve_demo() as url:
        yield url
