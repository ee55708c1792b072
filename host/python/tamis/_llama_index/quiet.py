"""Keeps what a store logs of its answers, below the gate, out of the log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from tamis._below import unheard

_below: ContextVar[bool] = ContextVar("tamis_below_the_gate", default=False)


class _Quiet(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING or not _below.get()


_QUIET = _Quiet("tamis")


def quieten(kind: type) -> None:
    """Has the loggers of a class's modules say nothing but warnings below a gate. LlamaIndex's stores log the texts that they return."""
    for module in {base.__module__ for base in kind.__mro__}:
        if module.split(".")[0] != "builtins":
            # A logger takes the same filter once.
            logging.getLogger(module).addFilter(_QUIET)


@contextmanager
def below_the_gate() -> Iterator[None]:
    """What is done in this block has been decided on by nobody yet. A store that raises a warning where it finds nothing (LanceDB) finds nothing."""
    token = _below.set(True)
    try:
        with unheard():
            yield
    except Warning as warning:
        if "empty" not in str(warning):
            raise
    finally:
        _below.reset(token)
