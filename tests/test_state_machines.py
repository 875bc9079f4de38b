"""The page of state machines says what the code says."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_page_is_made_from_the_tables() -> None:
    """Run ``python scripts/state_machines.py`` after a change of a table."""
    script = ROOT / "scripts" / "state_machines.py"
    run = subprocess.run([sys.executable, script, "--check"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
