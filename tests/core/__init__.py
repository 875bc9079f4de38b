"""Tests, mirrored after the folders they test."""
