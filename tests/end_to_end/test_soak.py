"""Many paced streams at once: each complete and right, memory flat, nothing left over.

``DRAGOMAN_SOAK=500x60 python -m pytest -s tests/end_to_end/test_soak.py`` runs 500 streams of 60 seconds and prints the figures.
"""

import asyncio
import os
from pathlib import Path

import pytest

from tests.end_to_end.processes import serving
from tests.end_to_end.soak import Figures, Soak

KEY = "sk-client-5ecret"
MIB = 2**20
STREAMS, SECONDS = (int(part) for part in os.environ.get("DRAGOMAN_SOAK", "50x2").split("x"))


@pytest.mark.timeout(120 + 2 * SECONDS)
def test_soak(tmp_path: Path, transport: str) -> None:
    """The longer the streams, the more a byte kept of each event would show."""
    figures = asyncio.run(soak(tmp_path, transport))
    print(f"\n{transport}: {figures}")  # noqa: T201 - shown with -s
    assert figures.right == figures.streams == STREAMS
    assert (figures.left_over, figures.files_left_over) == (0, 0)
    # Once all streams have had an event, nothing grows; an interpreter's memory is never quite still.
    settled = figures.samples[len(figures.samples) // 4]
    assert max(figures.samples[len(figures.samples) // 4 :]) - settled <= 2 * MIB
    # 40 KiB for each open stream is what they may take, and a megabyte for warming up.
    assert max(figures.samples) - figures.before <= STREAMS * 40 * 1024 + 6 * MIB


async def soak(folder: Path, transport: str) -> Figures:
    """Run it on a gateway of its own, for a clean slate."""
    load = Soak(pace=0.1)
    server, port = await load.provide()
    async with server:
        path = folder / "config.yaml"
        path.write_text(
            f"host: 127.0.0.1\napi-keys: [{KEY}]\ntimeouts: {{upstream-idle: 200ms, keep-alive: 1s}}\n"
            f"openai-compatibility: [{{name: load, base-url: 'http://127.0.0.1:{port}/v1', models: [{{name: m}}]}}]\n"
        )
        path.chmod(0o600)
        with serving(folder, transport, secrets=[KEY]) as gateway:
            gateway.key = KEY
            await load.run(gateway, "m", 1, 0.2)  # what is loaded or opened once is not what is looked for
            return await load.run(gateway, "m", STREAMS, SECONDS)
