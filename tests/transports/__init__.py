"""Tests, mirrored after the folders they test."""

import pytest

# Modules of assertions that are no test modules: pytest is told to explain theirs, too.
pytest.register_assert_rewrite("tests.transports.conformance", "tests.transports.peers", "tests.transports.line_proxy")
