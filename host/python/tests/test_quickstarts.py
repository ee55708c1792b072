"""The examples for LlamaIndex and MCP run as they are written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.parametrize(
    ("module", "needs", "extra"),
    [("llama_index", "llama_index.core", "llama-index"), ("tokens", "jwt", "tokens"), ("mcp", "mcp.server", "mcp")],
)
def test_what_to_install_is_said(module: str, needs: str, extra: str) -> None:
    code = f"import sys; sys.modules[{needs!r}] = None; import tamis; import tamis.{module}"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={"PYTHONPATH": str(HERE.parent)}
    )
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1].endswith(f'pip install "tamis[{extra}]"')


def test_nothing_of_a_framework_is_imported_unasked() -> None:
    names = ("llama_index", "langchain_core", "mcp", "jwt", "pydantic", "qdrant_client")
    code = f"import sys, tamis; print([name for name in {names!r} if name in sys.modules])"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(HERE.parent)}
    )
    assert ran.stdout.strip() == "[]"
