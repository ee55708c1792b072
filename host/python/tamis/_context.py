"""Who asks, for code that a request does not reach through arguments."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from tamis._errors import NoRequestError
from tamis._native import Request

_request: ContextVar[Request | None] = ContextVar("tamis_request", default=None)


@contextmanager
def acting(request: Request | Mapping[str, Any]) -> Generator[Request]:
    """Everything in this block, tasks that it starts included, asks with `request` unless it is given another.

    Not around a `yield` in a generator: whoever takes its items would ask with it, and generators that take turns would with each
    other's. Pass the request instead.
    """
    known = request if isinstance(request, Request) else Request(request)
    token = _request.set(known)
    try:
        yield known
    finally:
        _request.reset(token)


def current_request() -> Request:
    """The request of the innermost `acting`.

    Raises `NoRequestError` outside of any.
    """
    request = _request.get()
    if request is None:
        raise NoRequestError("no request: pass one, or enter `tamis.acting(request)`")
    return request
