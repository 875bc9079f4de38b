"""The page of commands says what the commands say."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_page_is_made_from_the_commands() -> None:
    """Run ``python scripts/command_reference.py`` after a change of a command."""
    script = ROOT / "scripts" / "command_reference.py"
    run = subprocess.run([sys.executable, script, "--check"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
