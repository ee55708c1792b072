"""The types that an editor shows are those that there are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PACKAGE = HERE.parent / "tamis"


@pytest.mark.parametrize(
    "command",
    [
        ["mypy.stubtest", "tamis._native", "--ignore-disjoint-bases"],
        ["mypy", str(PACKAGE)],
        ["ruff", "check", str(PACKAGE), str(HERE)],
        ["ruff", "format", "--check", str(PACKAGE), str(HERE)],
    ],
    ids=lambda command: command[0],
)
def test_the_package_passes(command: list[str]) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", *command], cwd=PACKAGE.parent, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
