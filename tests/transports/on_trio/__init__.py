"""Tests of the trio transport."""
