"""Running what has not passed the gate yet where no callback and no tracer hears of it.

Handlers that the inner retriever or tool was itself made with still do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any, TypeVar

from langchain_core.callbacks import BaseCallbackHandler, StdOutCallbackHandler
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config, var_child_runnable_config
from langchain_core.tracers.context import _configure_hooks, tracing_v2_callback_var
from langchain_core.tracers.stdout import ConsoleCallbackHandler
from langsmith.run_helpers import tracing_context

from tamis._below import unheard

Result = TypeVar("Result")


def quietly(config: RunnableConfig, call: Callable[[RunnableConfig], Result]) -> Result:
    """What the call returns. It is given the config without callbacks."""

    def inside() -> Result:
        silent = _silence(config)
        with unheard(), tracing_context(enabled=False, parent=False):
            return call(silent)

    return copy_context().run(inside)


async def aquietly(config: RunnableConfig, call: Callable[[RunnableConfig], Coroutine[Any, Any, Result]]) -> Result:
    """As `quietly`."""

    async def inside() -> Result:
        silent = _silence(config)
        with unheard(), tracing_context(enabled=False, parent=False):
            return await call(silent)

    # A task has a context of its own. Whoever cancels the caller cancels it.
    return await asyncio.create_task(inside())


def _silence(config: RunnableConfig) -> RunnableConfig:
    """Takes the handlers out of this context, and out of a copy of the config."""
    # LangChain adds a handler of each of these kinds if it is told to by a setting, unless there is one already.
    kinds: set[type[BaseCallbackHandler]] = {ConsoleCallbackHandler, StdOutCallbackHandler}
    for variable, _, kind, _ in _configure_hooks:
        variable.set(None)
        if kind is not None:
            kinds.add(kind)
    silent = ensure_config(config)
    silent["callbacks"] = [_deaf(kind)() for kind in kinds]
    silent.pop("run_id", None)
    var_child_runnable_config.set(silent)
    tracing_v2_callback_var.set(None)
    return silent


def _deaf(kind: type[BaseCallbackHandler]) -> Callable[[], BaseCallbackHandler]:
    """A handler that passes for one of this kind, and is told nothing."""
    if kind not in _made:
        told = {name: _nothing for name in dir(kind) if name.startswith("on_")}
        ignored = {name: True for name in dir(kind) if name.startswith("ignore_")}
        _made[kind] = type(kind.__name__, (kind,), {**told, **ignored, "__init__": _nothing})
    return _made[kind]


def _nothing(*_: Any, **__: Any) -> None:
    return None


_made: dict[type[BaseCallbackHandler], Callable[[], BaseCallbackHandler]] = {}
