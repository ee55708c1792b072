"""The examples for LangChain run as they are written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def test_the_quickstart() -> None:
    command = [sys.executable, str(HERE.parent / "examples" / "langchain_quickstart.py")]
    # Where the package is not installed, it is the one beside the tests.
    ran = subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(HERE.parent)})
    assert sorted(ran.stdout.splitlines()) == ["The address.", "The menu."]
