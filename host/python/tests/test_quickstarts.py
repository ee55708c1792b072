"""The examples for LlamaIndex and MCP run as they are written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def run(name: str) -> list[str]:
    # Where the package is not installed, it is the one beside the tests.
    ran = subprocess.run(
        [sys.executable, str(HERE.parent / "examples" / name)],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(HERE.parent)},
        timeout=120,
    )
    return [line for line in ran.stdout.splitlines() if not line.startswith("INFO")]


def test_llama_index() -> None:
    assert sorted(run("llama_index_quickstart.py")) == ["The address.", "The menu."]


def test_mcp() -> None:
    assert run("mcp_client.py") == [
        "bob: address, menu",
        "helen, of hr: address, menu, rota, salaries",
        "an agent for helen: address, menu, rota",
        "a token for another server: 401",
    ]
