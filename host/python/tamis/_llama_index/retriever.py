"""A retriever that hands out what the request may read, and all that it holds behind the same gate."""

from __future__ import annotations

import copy
import inspect
import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.indices.base import BaseIndex
from llama_index.core.indices.vector_store.base import VectorStoreIndex
from llama_index.core.llms import LLM
from llama_index.core.schema import BaseNode, IndexNode, NodeWithScore, QueryBundle, QueryType
from llama_index.core.storage import StorageContext
from llama_index.core.storage.docstore.types import BaseDocumentStore
from llama_index.core.tools import RetrieverTool
from llama_index.core.vector_stores.types import BasePydanticVectorStore
from llama_index_instrumentation.dispatcher import DISPATCHER_SPAN_DECORATED_ATTR

from tamis._below import unheard
from tamis._errors import HostError, InputError
from tamis._layout import Layout
from tamis._llama_index.candidates import Names, same
from tamis._llama_index.documents import GuardedDocuments
from tamis._llama_index.gate import Gate, asking
from tamis._llama_index.store import TamisVectorStore
from tamis._native import Policy, Request
from tamis._search import ANYTHING, BUDGET, NOTHING

_log = logging.getLogger("tamis")


class TamisRetriever(BaseRetriever):
    """Wraps a retriever. Vector stores and retrievers in it are guarded too, whatever it is: an index's, a fusion, a router, a merging one.

    Index nodes expand behind the gate: to what the request may read of a node or a retriever. A query engine that an index node stands for is not
    asked, since its model would read what no gate has seen, and the index node is handed out as it is. For the same reason a retriever that holds a query
    engine, or shows nodes of its index to a model, is refused.

    A retriever that finds nodes by their words tells of a word in a redacted text by finding it. So one without a vector store or a retriever inside
    does not hand out nodes from which anything is redacted, unless `by_words=False` says that it does not look at words.

    One generation of the policy decides on everything in one call. `fields`, `push` and `budget` are those of `TamisVectorStore`.
    """

    def __init__(
        self,
        retriever: BaseRetriever,
        policy: Policy,
        *,
        request: Request | Mapping[str, Any] | None = None,
        fields: Mapping[str, Any] | None = None,
        by_words: bool | None = None,
        push: bool = True,
        budget: int = BUDGET,
    ) -> None:
        super().__init__(
            callback_manager=getattr(retriever, "callback_manager", None),
            object_map=getattr(retriever, "object_map", None),
        )
        self._retriever = retriever
        self._policy = policy
        self._request = request
        self._layout = Layout(fields)
        self._push = push
        self._budget = budget
        self._gate: Gate | None = None
        _look_through(retriever)
        self._asks = ANYTHING if (_by_words(retriever) if by_words is None else by_words) else NOTHING

    # The two calls that LlamaIndex traces and reports, each by one gate from beginning to end.

    def retrieve(self, str_or_query_bundle: QueryType) -> list[NodeWithScore]:
        """The nodes that the request may read."""
        return super(TamisRetriever, self._entered()).retrieve(str_or_query_bundle)

    async def aretrieve(self, str_or_query_bundle: QueryType) -> list[NodeWithScore]:
        """The nodes that the request may read."""
        return await super(TamisRetriever, self._entered()).aretrieve(str_or_query_bundle)

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        gate, inner = self._guarded()
        with unheard():
            found = inner._retrieve(query_bundle)
        return gate.filter_scored(found, self._asks)

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        gate, inner = self._guarded()
        with unheard():
            found = await inner._aretrieve(query_bundle)
        return gate.filter_scored(found, self._asks)

    def _handle_recursive_retrieval(self, query_bundle: QueryBundle, nodes: list[NodeWithScore]) -> list[NodeWithScore]:
        expanded: list[NodeWithScore] = []
        for scored in nodes:
            child = self._child(scored)
            if isinstance(child, BaseRetriever):
                expanded += self._behind(child).retrieve(query_bundle)
            else:
                expanded += self._expanded(scored, child)
        return _distinct(expanded)

    async def _ahandle_recursive_retrieval(
        self, query_bundle: QueryBundle, nodes: list[NodeWithScore]
    ) -> list[NodeWithScore]:
        expanded: list[NodeWithScore] = []
        for scored in nodes:
            child = self._child(scored)
            if isinstance(child, BaseRetriever):
                expanded += await self._behind(child).aretrieve(query_bundle)
            else:
                expanded += self._expanded(scored, child)
        return _distinct(expanded)

    def _entered(self) -> TamisRetriever:
        """This retriever with the gate of one call."""
        entered = copy.copy(self)
        entered._gate = self._gate or Gate(asking(self._policy, self._request), self._layout)
        return entered

    def _guarded(self) -> tuple[Gate, BaseRetriever]:
        entered = self._entered()
        gate = entered._gate
        if gate is None:
            raise HostError("a call has no gate")
        return gate, entered._inside(self._retriever)

    def _child(self, scored: NodeWithScore) -> Any:
        if self._gate is None or not isinstance(scored.node, IndexNode):
            return None
        return self._gate.child(scored.node) or self.object_map.get(scored.node.index_id)

    def _expanded(self, scored: NodeWithScore, child: Any) -> list[NodeWithScore]:
        if child is None or self._gate is None:
            return [scored]
        if isinstance(child, BaseQueryEngine):
            _log.warning("an index node stands for a query engine, which was not asked")
            return [scored]
        if isinstance(child, NodeWithScore):
            return self._gate.filter_scored([child])
        if isinstance(child, BaseNode):
            return self._gate.filter_scored([NodeWithScore(node=child, score=scored.score or 1.0)])
        raise InputError(f"an index node stands for a {type(child).__name__}, which cannot be retrieved")

    # What is in a retriever, guarded by the same gate.

    def _inside(self, retriever: BaseRetriever) -> BaseRetriever:
        """A copy whose parts are guarded."""
        inner = copy.copy(retriever)
        inner.__class__ = _untraced(type(retriever))
        docstore, names = _places(retriever)
        for name, value in _parts(retriever).items():
            setattr(inner, name, self._part(value, docstore, names))
        return inner

    def _part(self, value: Any, docstore: BaseDocumentStore | None, names: Names) -> Any:
        match value:
            case BaseRetriever():
                return self._behind(value)
            case BasePydanticVectorStore():
                return self._store(value, docstore, names, settle=False)
            case BaseDocumentStore():
                return value if self._gate is None else GuardedDocuments(value, self._gate)
            case StorageContext():
                return replace(value, docstore=self._part(value.docstore, None, same))
            case BaseIndex():
                index = copy.copy(value)
                index._docstore = self._part(value.docstore, None, same)
                if isinstance(value, VectorStoreIndex):
                    # What is made of the index expands index nodes by itself.
                    index._vector_store = self._store(value.vector_store, value.docstore, _named_in(value), settle=True)
                return index
            case RetrieverTool():
                tool = copy.copy(value)
                tool._retriever = self._behind(value.retriever)
                return tool
            case list() | tuple():
                parts = [self._part(part, docstore, names) for part in value]
                return value if all(new is old for new, old in zip(parts, value, strict=True)) else type(value)(parts)
            case dict():
                parts_of = {key: self._part(part, docstore, names) for key, part in value.items()}
                return value if all(parts_of[key] is value[key] for key in value) else parts_of
            case _:
                return value

    def _behind(self, retriever: BaseRetriever) -> BaseRetriever:
        if isinstance(retriever, TamisRetriever):
            if not self._agrees(retriever._policy, retriever._request, retriever._layout):
                return retriever
            inner = copy.copy(retriever)
        else:
            inner = TamisRetriever(retriever, self._policy, push=self._push, budget=self._budget)
            inner._layout = self._layout
        inner._gate = self._gate
        return inner

    def _store(
        self, store: BasePydanticVectorStore, docstore: BaseDocumentStore | None, names: Names, *, settle: bool
    ) -> BasePydanticVectorStore:
        if isinstance(store, TamisVectorStore):
            if not self._agrees(store._policy, store._request, store._layout):
                return store
        else:
            store = TamisVectorStore(store, self._policy, push=self._push, budget=self._budget)
            store._layout = self._layout
        return store if self._gate is None else store.within(self._gate, docstore, names, settle=settle)

    def _agrees(self, policy: Policy, request: object, layout: Layout) -> bool:
        """Whether something inside that is guarded already would decide as this does. If not it keeps its own gate, and this one comes after."""
        return policy is self._policy and request in (None, self._request) and layout.fields == self._layout.fields


@cache
def _untraced(kind: type[BaseRetriever]) -> type[BaseRetriever]:
    """The same kind of retriever without traces around its methods, which would hold what the gate has not seen."""
    methods = {name: inspect.getattr_static(kind, name) for name in dir(kind)}
    traced = {
        name: inspect.unwrap(method)
        for name, method in methods.items()
        if not isinstance(method, type)
        and hasattr(method, "__wrapped__")
        and hasattr(method, DISPATCHER_SPAN_DECORATED_ATTR)
    }
    return type(kind.__name__, (kind,), traced)


def _parts(retriever: BaseRetriever) -> dict[str, Any]:
    """What a retriever holds, but for what index nodes stand for: that is expanded by who wraps it."""
    return {name: value for name, value in vars(retriever).items() if name != "object_map"}


def _places(retriever: BaseRetriever) -> tuple[BaseDocumentStore | None, Names]:
    """Where the nodes of a retriever's vector store are, if that keeps none."""
    index = getattr(retriever, "_index", None)
    return (index.docstore, _named_in(index)) if isinstance(index, VectorStoreIndex) else (None, same)


def _named_in(index: VectorStoreIndex) -> Names:
    return index.index_struct.nodes_dict.__getitem__


def _distinct(nodes: list[NodeWithScore]) -> list[NodeWithScore]:
    """The nodes without those that were there before, as LlamaIndex has it. All are allowed, so that none can hide behind another's id."""
    first: dict[str, NodeWithScore] = {}
    for scored in nodes:
        first.setdefault(scored.node.node_id, scored)
    return list(first.values())


def _by_words(retriever: BaseRetriever) -> bool:
    """Whether a retriever may find nodes by their words. One that holds stores or retrievers finds what they do."""
    if type(retriever).__name__ in ("SummaryIndexRetriever", "SummaryIndexEmbeddingRetriever"):
        return False
    finders = (BaseRetriever, BasePydanticVectorStore, VectorStoreIndex, RetrieverTool)
    return not any(isinstance(value, finders) for part in _parts(retriever).values() for value in _inside_of(part))


def _inside_of(part: Any) -> list[Any]:
    if isinstance(part, dict):
        return list(part.values())
    return list(part) if isinstance(part, (list, tuple)) else [part]


def _look_through(retriever: BaseRetriever) -> None:
    """Raises `InputError` for a retriever whose parts a model reads before the gate does."""
    parts = list(_parts(retriever).values())
    for part in parts:
        if any(isinstance(value, BaseQueryEngine) for value in _inside_of(part)):
            raise InputError(
                f"{type(retriever).__name__} holds a query engine, whose model would read what no gate has seen: guard its retriever"
            )
    shown = any(isinstance(part, BaseIndex) and not isinstance(part, VectorStoreIndex) for part in parts)
    if shown and any(isinstance(part, LLM) for part in parts):
        raise InputError(f"{type(retriever).__name__} may show its nodes to a model before they can be guarded")
