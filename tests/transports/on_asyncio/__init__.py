"""Tests of the asyncio transport."""
