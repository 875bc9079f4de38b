"""Tests of Gemini."""
