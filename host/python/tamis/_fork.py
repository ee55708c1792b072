"""Forked processes, such as workers of a server that loaded the application before: they have none of their parent's threads."""

from __future__ import annotations

import os
from weakref import WeakSet

from tamis._native import Watch, restart_clock

watches: WeakSet[Watch] = WeakSet()
"""Those of this process."""


def _in_child() -> None:
    restart_clock()
    for watch in list(watches):
        watch._restart()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
