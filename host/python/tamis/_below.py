"""What fails below the gate."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager

from tamis._errors import Error, HostError

_log = logging.getLogger("tamis")


@contextmanager
def unheard() -> Generator[None]:
    """An error in this block may quote what nobody has decided on yet: the log has it, and whoever is told of it has not."""
    try:
        yield
    except (Error, Warning, NotImplementedError):
        raise
    except Exception as error:  # noqa: BLE001 (whatever it is, it is not handed on)
        _log.error("a search failed below the gate", exc_info=error)
        kind = type(error).__name__
        raise HostError(f"the search failed below the gate with a {kind}; the log of `tamis` has more") from None
