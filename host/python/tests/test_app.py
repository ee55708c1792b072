"""The example application runs, and its people see what they may."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def test_everybody_sees_their_own() -> None:
    command = [sys.executable, str(HERE.parent / "examples" / "app.py"), "3"]
    # Where the package is not installed, it is the one beside the tests.
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    ran = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=300)
    head, *people = ran.stdout.split("\n\n")
    assert head.startswith("1494 of 2157 chunks are stored for acme")
    seen = {part.split(",")[0]: part.splitlines()[1:] for part in people[1:]}
    assert len(seen["Alice"]) == 4 and len(seen["Bob"]) == 4
    # Nothing of acme's is for globex, and nobody sees a level above their own.
    assert not seen["Carol"] and not seen["Frank"]
    assert all(" level 0," in line or " level 1," in line for line in seen["Bob"])
    # An agent sees what its user may see, and less.
    assert seen["Copilot for Alice"] != seen["Alice"]
