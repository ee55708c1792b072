"""A vector store that hands out what the request may read."""

from __future__ import annotations

import logging
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.schema import BaseNode
from llama_index.core.storage.docstore.types import BaseDocumentStore
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)

from tamis._errors import Error, HostError, InputError
from tamis._layout import Layout
from tamis._llama_index.candidates import Candidate, Names, candidates, same, with_nodes
from tamis._llama_index.gate import Gate, asking, settled
from tamis._llama_index.push import Plan, plan, plan_for_nodes
from tamis._llama_index.quiet import below_the_gate, quieten
from tamis._native import Policy, Request, Rewrite
from tamis._search import BUDGET, Found, arun, run, widen

_log = logging.getLogger("tamis")


class TamisVectorStore(BasePydanticVectorStore):
    """Wraps a vector store, and guards `query`, `get_nodes` and their async forms. Writing goes straight to the store.

    The policy's filter is pushed down where the store takes it (Qdrant, Chroma, LanceDB, PostgreSQL); `fields` says where its attributes are if not under
    their own names, as in `Rewrite.to`, and `push=False` leaves it out. Every store's candidates are decided on afterwards, and more are fetched
    until there are `similarity_top_k`, or no more, or `budget` have been looked at, which is logged.

    A store that keeps no nodes, such as the simple one, answers with ids; `docstore` is where their nodes are.
    """

    stores_text: bool = True

    _store: BasePydanticVectorStore = PrivateAttr()
    _policy: Policy = PrivateAttr()
    _request: Request | Mapping[str, Any] | None = PrivateAttr()
    _docstore: BaseDocumentStore | None = PrivateAttr()
    _names: Names = PrivateAttr()
    _layout: Layout = PrivateAttr()
    _push: bool = PrivateAttr()
    _budget: int = PrivateAttr()
    _gate: Gate | None = PrivateAttr()
    _settle: bool = PrivateAttr()

    def __init__(
        self,
        store: BasePydanticVectorStore,
        policy: Policy,
        *,
        request: Request | Mapping[str, Any] | None = None,
        docstore: BaseDocumentStore | None = None,
        fields: Mapping[str, Any] | None = None,
        push: bool = True,
        budget: int = BUDGET,
    ) -> None:
        super().__init__(stores_text=store.stores_text, is_embedding_query=store.is_embedding_query)
        quieten(type(store))
        self._store = store
        self._policy = policy
        self._request = request
        self._docstore = docstore
        self._names = same
        self._layout = Layout(fields)
        self._push = push
        self._budget = budget
        self._gate = None
        self._settle = True

    @classmethod
    def class_name(cls) -> str:
        return "TamisVectorStore"

    @property
    def client(self) -> Any:
        """Not handed out: what is asked of it passes no gate."""
        raise Error("a guarded vector store hands out no client; ask the store that it wraps")

    def within(self, gate: Gate, docstore: BaseDocumentStore | None, names: Names, *, settle: bool) -> TamisVectorStore:
        """The same by the gate of one call of a retriever. Without `settle` what it returns may be expanded, which that retriever does."""
        inner = self.model_copy()
        inner._gate = gate
        inner._settle = settle
        if inner._docstore is None:
            inner._docstore = docstore
            inner._names = names
        return inner

    # Reading

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """The best nodes that the request may read."""
        gate, rewrite, ours = self._planned(query, kwargs)

        def fetch(wanted: int) -> list[Candidate]:
            found: list[Candidate] = []
            with below_the_gate():
                found = candidates(self._store.query(_scaled(ours.query, wanted), **ours.kwargs))
            names = self._unseen(found)
            return with_nodes(found, names, self._kept_in.get_nodes(names, raise_error=False)) if names else found

        return self._result(gate, run(self._search(gate, rewrite, ours), fetch))

    async def aquery(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """The best nodes that the request may read."""
        gate, rewrite, ours = self._planned(query, kwargs)

        async def fetch(wanted: int) -> list[Candidate]:
            found: list[Candidate] = []
            with below_the_gate():
                found = candidates(await self._store.aquery(_scaled(ours.query, wanted), **ours.kwargs))
            names = self._unseen(found)
            return (
                with_nodes(found, names, await self._kept_in.aget_nodes(names, raise_error=False)) if names else found
            )

        return self._result(gate, await arun(self._search(gate, rewrite, ours), fetch))

    def get_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **kwargs: Any
    ) -> list[BaseNode]:
        """The nodes of these that the request may read."""
        gate, rewrite = self._asking(1)
        ours, asks = plan_for_nodes(self._store, node_ids, filters, kwargs, rewrite, self._layout, self._push)
        nodes: list[BaseNode] = []
        with below_the_gate():
            nodes = [] if rewrite.never else self._store.get_nodes(node_ids, ours, **kwargs) or []
        return [self._handed(gate, node) for node in gate.filter(nodes, asks) if node is not None]

    async def aget_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **kwargs: Any
    ) -> list[BaseNode]:
        """The nodes of these that the request may read."""
        gate, rewrite = self._asking(1)
        ours, asks = plan_for_nodes(self._store, node_ids, filters, kwargs, rewrite, self._layout, self._push)
        nodes: list[BaseNode] = []
        with below_the_gate():
            nodes = [] if rewrite.never else await self._store.aget_nodes(node_ids, ours, **kwargs) or []
        return [self._handed(gate, node) for node in gate.filter(nodes, asks) if node is not None]

    def _asking(self, k: int) -> tuple[Gate, Rewrite]:
        gate = self._gate or Gate(asking(self._policy, self._request), self._layout)
        return gate, gate.session.rewrite(k)

    def _planned(self, query: VectorStoreQuery, kwargs: Mapping[str, Any]) -> tuple[Gate, Rewrite, Plan]:
        gate, rewrite = self._asking(_k(query))
        return gate, rewrite, plan(self._store, query, kwargs, rewrite, self._layout, self._push)

    def _search(
        self, gate: Gate, rewrite: Rewrite, ours: Plan
    ) -> Generator[int, Sequence[Candidate], Found[Candidate]]:
        def chunk(candidate: Candidate) -> object | None:
            return None if candidate.node is None else gate.chunk(candidate.node)

        return widen(
            gate.session,
            rewrite,
            _k(ours.query),
            chunk,
            exact=ours.exact,
            asks=ours.asks,
            budget=self._budget,
            # Two rankings that are merged have fewer than what each was asked for.
            drops=ours.query.mode not in (VectorStoreQueryMode.DEFAULT, VectorStoreQueryMode.MMR),
        )

    def _unseen(self, found: Sequence[Candidate]) -> list[str]:
        """The names of all nodes, if the store keeps none itself."""
        if not found or found[0].node is not None:
            return []
        try:
            return [self._names(candidate.id or "") for candidate in found]
        except KeyError as error:
            raise HostError(f"the store returned the id {error}, which its index does not know") from error

    @property
    def _kept_in(self) -> BaseDocumentStore:
        if self._docstore is None:
            raise InputError(f"{self._store.class_name()} keeps no nodes: say where they are with `docstore=`")
        return self._docstore

    def _result(self, gate: Gate, found: Found[Candidate]) -> VectorStoreQueryResult:
        if not found.complete:
            _log.warning("a search ended after %d candidates, of which %d were denied", found.examined, found.denied)
        nodes: list[BaseNode] = []
        for hit in found.hits:
            if hit.item.node is None:
                raise HostError("a node was allowed that is not there")
            nodes.append(self._handed(gate, gate.release(hit.item.node, hit.decision)))
        # How near a redacted one is would tell what its embedding was made of.
        similarities = [None if hit.decision.redacted else hit.item.similarity for hit in found.hits]
        return VectorStoreQueryResult(
            nodes=nodes,
            similarities=None if None in similarities else [value for value in similarities if value is not None],
            ids=[node.node_id for node in nodes],
        )

    def _handed(self, gate: Gate, released: BaseNode) -> BaseNode:
        return gate.remember(settled(released)) if self._settle else released

    # Writing

    def add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """As the store does."""
        return self._store.add(nodes, **kwargs)

    async def async_add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """As the store does."""
        return await self._store.async_add(nodes, **kwargs)

    def delete(self, ref_doc_id: str, **kwargs: Any) -> None:
        """As the store does."""
        self._store.delete(ref_doc_id, **kwargs)

    async def adelete(self, ref_doc_id: str, **kwargs: Any) -> None:
        """As the store does."""
        await self._store.adelete(ref_doc_id, **kwargs)

    def delete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **kwargs: Any
    ) -> None:
        """As the store does."""
        self._store.delete_nodes(node_ids, filters, **kwargs)

    async def adelete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **kwargs: Any
    ) -> None:
        """As the store does."""
        await self._store.adelete_nodes(node_ids, filters, **kwargs)

    def clear(self) -> None:
        """As the store does."""
        self._store.clear()

    async def aclear(self) -> None:
        """As the store does."""
        await self._store.aclear()

    def persist(self, persist_path: str, fs: Any = None) -> None:
        """As the store does."""
        self._store.persist(persist_path, fs)

    def __getstate__(self) -> dict[str, Any]:
        raise TypeError("a guarded vector store stays in its process: it holds a policy")


def _k(query: VectorStoreQuery) -> int:
    """How many hits the store would return."""
    if query.mode is VectorStoreQueryMode.HYBRID and query.hybrid_top_k is not None:
        return query.hybrid_top_k
    if query.mode is VectorStoreQueryMode.SPARSE and query.sparse_top_k is not None:
        return query.sparse_top_k
    return query.similarity_top_k


def _scaled(query: VectorStoreQuery, wanted: int) -> VectorStoreQuery:
    """The same query for this many."""
    return replace(
        query,
        similarity_top_k=wanted,
        sparse_top_k=None if query.sparse_top_k is None else max(wanted, query.sparse_top_k),
        hybrid_top_k=None if query.hybrid_top_k is None else wanted,
    )
