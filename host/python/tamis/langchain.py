"""LangChain: `pip install "tamis[langchain]"`.

`TamisRetriever` searches a vector store and hands out what the person may read. `TamisGate` does so with what another retriever finds,
`TamisCompressor` and `filter_documents` with documents that are already there, `guard_tool` with what a tool finds, and `search_tool` is a tool for agents.

Who asks comes from the constructor, or from `config={"configurable": {"tamis_request": request}}`, or else from the `tamis.acting` around the call. In
`configurable` it must be a `tamis.Request`: a config can reach a server from its clients as JSON, and JSON is no proof of who they are.
Without a request there is a `NoRequestError`.

    retriever = TamisRetriever(store=store, policy=policy, k=4)
    retriever.invoke("vacuum", {"configurable": {"tamis_request": tamis.Request(…)}})

Callbacks and tracers see what the retrievers and tools here return, and nothing that the gate denies or redacts. That is not so of a retriever
that another wraps: in LangChain's `ContextualCompressionRetriever` the callbacks of the inner retriever have already seen all that it found.
LangChain hands a request in `configurable` to what runs in a chain, an agent or a tool; a retriever that calls others without its config does not, and
there it takes `tamis.acting`, or the constructor.

What to know of the stores:

- A filter of your own can ask about an attribute that the policy redacts. A document from which it redacts what the filter asks about is no hit; where
  that cannot be told, as of a function or an SQL text, none is from which anything is redacted. The same goes for stores that search for words.
- A policy that asks which chunk it is, or which folders it is in, denies a document without an id. LanceDB's stores return none: keep one in the metadata,
  and say where in `fields`.
- Where a store's own index gives up early, as that of pgvector does without `hnsw.iterative_scan`, `complete` says that it has no more to give.
- FAISS, `langchain_lancedb` and stores that are not known are not given the policy's filter. Milvus Lite, which is not Milvus, and a Milvus before 2.5 take
  no parameters in one: set `push_down=False`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeAlias

try:
    from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
    from langchain_core.documents import Document
    from langchain_core.retrievers import BaseRetriever
    from langchain_core.runnables import RunnableConfig
    from langchain_core.runnables.config import ensure_config
    from langchain_core.vectorstores import VectorStore
except ImportError as error:
    raise ImportError('tamis.langchain needs LangChain: pip install "tamis[langchain]"') from error

from pydantic import Field, PrivateAttr

from tamis._errors import InputError
from tamis._langchain_gate import TamisCompressor, TamisGate, filter_documents, redacted, request_of
from tamis._langchain_narrow import Narrowed, Wanted
from tamis._langchain_stores import narrowed
from tamis._langchain_tools import guard_tool, search_tool
from tamis._layout import Layout
from tamis._narrow import NarrowFilters, key_of
from tamis._native import Policy, Request
from tamis._search import ANYTHING, BUDGET, Found, Hit, arun, check_k, run, wide_page, widen

__all__ = [
    "Found",
    "Hit",
    "TamisCompressor",
    "TamisGate",
    "TamisRetriever",
    "filter_documents",
    "guard_tool",
    "search_tool",
]

_OURS = frozenset(
    {"k", "fetch_k", "filter", "filters", "expr", "filter_params", "where", "pre_filter", "prefilter", "query_filter"}
)
_HARMLESS = frozenset({"consistency", "namespace", "param", "score_threshold", "search_params", "tenant", "timeout"})
"""What asks nothing about a document. Whatever else a store is told might."""


class _Ask(NamedTuple):
    """So many candidates of a store, searched in one way."""

    plan: Narrowed
    wanted: int


_Steps: TypeAlias = Generator[_Ask, Sequence[Document], Found[Document]]


def _on(plan: Narrowed, steps: Generator[int, Sequence[Document], Found[Document]]) -> _Steps:
    """The steps of a search in one way, as part of one that has several."""
    try:
        wanted = next(steps)
        while True:
            wanted = steps.send((yield _Ask(plan, wanted)))
    except StopIteration as end:
        found: Found[Document] = end.value
        return found


class TamisRetriever(BaseRetriever):
    """The best k documents of a vector store that the person may read.

    Stores that it knows (in memory, Qdrant, Chroma, PGVector, PGVectorStore, Milvus, Pinecone, Weaviate, FAISS, LanceDB) are given the policy's filter in their
    own language. Whatever the store returns is gated, and more is fetched until k documents are found, the store has no more, or the budget is spent.
    """

    store: VectorStore
    policy: Policy
    k: int = 4
    request: Request | None = Field(default=None, repr=False)
    """Who asks, always. Leave it out for a retriever that serves more than one person."""
    filter: Any = Field(default=None, repr=False)
    """A filter of your own in the store's language, that narrows every search. One that is given to `invoke` narrows it further."""
    fields: Mapping[str, Any] | None = None
    """Where the metadata keeps what the policy reads: see `Rewrite.to`. Attributes are in the fields of their names, ancestors in `ancestors`."""
    search_kwargs: dict[str, Any] = Field(default_factory=dict)
    """What else the store's `similarity_search` is given."""
    budget: int = BUDGET
    """How many candidates a search may ask the store for."""
    push_down: bool = True
    """Whether the store is given the policy's filter. Set it to False for one that refuses the filter."""
    wide_first: bool = True
    """Whether a filter that is not known to let little through is first done without, and given to the store only if k documents are not found so.
    Some stores take far longer with a filter that nearly everything passes than with none. Set it to False if what the person may not read should
    not leave the store where that can be helped. A search with a filter of your own always has both. What is examined and denied counts in either."""
    report: Callable[[Found[Document]], None] | None = Field(default=None, repr=False, exclude=True)
    """Is called with the outcome of each search: how many candidates were examined and denied, and whether the hits are complete."""

    _narrow: NarrowFilters = PrivateAttr(default_factory=NarrowFilters)

    def search(
        self,
        query: str,
        *,
        request: Request | None = None,
        k: int | None = None,
        filter: Any = None,
        config: RunnableConfig | None = None,
    ) -> Found[Document]:
        """What a search finds, and how it went. The documents in it are redacted."""

        def fetch(ask: _Ask) -> Sequence[Document]:
            return ask.plan.store.similarity_search(query, k=ask.wanted, **ask.plan.arguments)

        return run(self._steps(ensure_config(config), request, k, filter), fetch)

    async def asearch(
        self,
        query: str,
        *,
        request: Request | None = None,
        k: int | None = None,
        filter: Any = None,
        config: RunnableConfig | None = None,
    ) -> Found[Document]:
        """As `search`."""

        async def fetch(ask: _Ask) -> Sequence[Document]:
            return await ask.plan.store.asimilarity_search(query, k=ask.wanted, **ask.plan.arguments)

        return await arun(self._steps(ensure_config(config), request, k, filter), fetch)

    def _steps(self, config: RunnableConfig, request: Request | None, k: int | None, filter: Any) -> _Steps:
        """The whole search, less what the store does."""
        taken = sorted(_OURS & self.search_kwargs.keys())
        if taken:
            raise InputError(f"search_kwargs has `{taken[0]}`: k and the filter are arguments of the retriever")
        who = request_of(config, self.request, request)
        k = self.k if k is None else k
        check_k(k)
        session = self.policy.session(who)
        rewrite = session.rewrite(k)
        layout = Layout(self.fields)
        filters = [own for own in (self.filter, filter) if own is not None]
        wanted = Wanted(self.policy, rewrite, layout, filters, self.push_down)
        plan = narrowed(self.store, wanted)

        def widened(plan: Narrowed, budget: int) -> _Steps:
            harmless = self.search_kwargs.keys() <= _HARMLESS
            plan = replace(plan, arguments={**self.search_kwargs, **plan.arguments})

            def chunk(document: Document) -> object:
                return layout.chunk(document.metadata, plan.id_of(document))

            steps = widen(
                session,
                rewrite,
                k,
                chunk,
                exact=plan.exact,
                asks=plan.asks if harmless else ANYTHING,
                budget=budget,
                drops=plan.drops,
                capped=plan.capped,
            )
            return _on(plan, steps)

        found: Found[Document] | None = None
        if self.wide_first and not filters and not rewrite.never and wanted.pushes():
            found = yield from self._without(wanted, plan, k, widened)
        if found is None or not found.complete:
            before, found = found, (yield from widened(plan, self.budget))
            if before is not None:
                found = replace(found, examined=found.examined + before.examined, denied=found.denied + before.denied)
        hits = [Hit(redacted(hit.item, hit.decision, layout), hit.decision) for hit in found.hits]
        found = replace(found, hits=hits)
        if self.report is not None:
            self.report(found)
        return found

    def _without(
        self, wanted: Wanted, plan: Narrowed, k: int, widened: Callable[[Narrowed, int], _Steps]
    ) -> Generator[_Ask, Sequence[Document], Found[Document] | None]:
        """What one fetch finds that the store is not given the policy's filter for; None if it is better given it, or takes none."""
        plain = narrowed(self.store, replace(wanted, push_down=False))
        key = key_of(wanted.rewrite)
        if plan.arguments.keys() == plain.arguments.keys() or self._narrow.has(key):
            return None
        found = yield from widened(plain, min(wide_page(k), self.budget))
        if not found.complete:
            self._narrow.add(key)
        return found

    # `invoke` is where the config is known. What is found in it is handed on, as `_get_relevant_documents` may run elsewhere.

    def invoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> list[Document]:
        request = request_of(ensure_config(config), self.request, kwargs.pop("request", None))
        return super().invoke(input, config, request=request, **kwargs)

    async def ainvoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> list[Document]:
        request = request_of(ensure_config(config), self.request, kwargs.pop("request", None))
        return await super().ainvoke(input, config, request=request, **kwargs)

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        request: Request | None = None,
        k: int | None = None,
        filter: Any = None,
    ) -> list[Document]:
        return [hit.item for hit in self.search(query, request=request, k=k, filter=filter).hits]

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,
        request: Request | None = None,
        k: int | None = None,
        filter: Any = None,
    ) -> list[Document]:
        found = await self.asearch(query, request=request, k=k, filter=filter)
        return [hit.item for hit in found.hits]
