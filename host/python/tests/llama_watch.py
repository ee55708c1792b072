"""What LlamaIndex reports of what it does, and a model that remembers what it was shown."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from llama_index.core import instrumentation
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.callbacks import CBEventType
from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.llms import CompletionResponse, CustomLLM, LLMMetadata
from llama_index.core.schema import BaseNode, NodeWithScore
from llama_index.core.vector_stores import SimpleVectorStore
from llama_index.core.vector_stores.types import VectorStoreQueryResult

from conftest import BOB, SECRET, allowed

QUERY = f"{SECRET} vacuum"
"""Stands in no document in this order, so that it can be told from what is found."""


class Model(CustomLLM):
    """A model that says what it is told to, and remembers what it was shown."""

    answer: str = "an answer"
    shown: list[str]

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata()

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        self.shown.append(prompt)
        return CompletionResponse(text=self.answer)

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        raise NotImplementedError


def model(answer: str = "an answer") -> Model:
    return Model(answer=answer, shown=[])


class Events(BaseEventHandler):
    seen: list[str]
    kinds: set[str]

    def handle(self, event: Any, **kwargs: Any) -> None:
        self.kinds.add(event.class_name())
        self.seen.append(written(event.__dict__))


class Spans(SimpleSpanHandler):
    _seen: list[str] = PrivateAttr(default_factory=list)

    @property
    def seen(self) -> list[str]:
        return self._seen

    def new_span(self, id_: str, bound_args: Any, instance: Any = None, **kwargs: Any) -> Any:
        self.seen.append(written(bound_args.arguments))
        return super().new_span(id_, bound_args, instance, **kwargs)

    def prepare_to_exit_span(
        self, id_: str, bound_args: Any, instance: Any = None, result: Any = None, **kwargs: Any
    ) -> Any:
        self.seen.append(written(result))
        return super().prepare_to_exit_span(id_, bound_args, instance, result, **kwargs)

    def prepare_to_drop_span(
        self, id_: str, bound_args: Any, instance: Any = None, err: Any = None, **kwargs: Any
    ) -> Any:
        self.seen.append(written(err))
        return super().prepare_to_drop_span(id_, bound_args, instance, err, **kwargs)


class Callbacks(BaseCallbackHandler):
    def __init__(self) -> None:
        super().__init__([], [])
        self.seen: list[str] = []

    def on_event_start(self, event_type: CBEventType, payload: Any = None, **kwargs: Any) -> str:
        self.seen.append(written(payload))
        return ""

    def on_event_end(self, event_type: CBEventType, payload: Any = None, **kwargs: Any) -> None:
        self.seen.append(written(payload))

    def start_trace(self, trace_id: str | None = None) -> None: ...

    def end_trace(self, trace_id: str | None = None, trace_map: Any = None) -> None: ...


def written(value: Any, depth: int = 0) -> str:
    """All that is in a value, as a text: the nodes in it with all their parts."""
    if isinstance(value, BaseNode):
        return repr(value.__dict__) + written(getattr(value, "obj", None))
    if isinstance(value, NodeWithScore):
        return written(value.node)
    if isinstance(value, VectorStoreQueryResult):
        return written(list(value.nodes or []))
    if isinstance(value, dict):
        return " ".join(f"{key}={written(part)}" for key, part in value.items())
    if isinstance(value, (list, tuple, set)) or type(value).__name__ == "dict_values":
        return " ".join(written(part) for part in value)
    return "" if isinstance(value, (BaseRetriever, SimpleVectorStore)) else repr(value)


class Watched:
    """Everything that LlamaIndex reports of what it does."""

    def __init__(self) -> None:
        self.events = Events(seen=[], kinds=set())
        self.spans = Spans()
        self.callbacks = Callbacks()

    def seen(self) -> str:
        return "\n".join([*self.events.seen, *self.spans.seen, *self.callbacks.seen]).replace(QUERY, "")


@contextmanager
def watching(caplog: pytest.LogCaptureFixture) -> Iterator[Watched]:
    watched = Watched()
    root = instrumentation.get_dispatcher()
    before = root.event_handlers, root.span_handlers
    root.event_handlers, root.span_handlers = [*before[0], watched.events], [*before[1], watched.spans]
    caplog.clear()
    try:
        with caplog.at_level(logging.DEBUG):
            yield watched
    finally:
        root.event_handlers, root.span_handlers = before


def texts(found: list[NodeWithScore] | list[BaseNode]) -> list[str]:
    return [scored.get_content() for scored in found]


def check(found: list[NodeWithScore]) -> None:
    """What Bob gets: something, and nothing that he may not read."""
    assert found
    for scored in found:
        assert allowed(BOB, scored.node.metadata)
        assert SECRET not in written(scored)
