"""Tests of pointing tools at the gateway."""
