"""The filter gate over LangChain documents, wherever they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun, Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config
from pydantic import ConfigDict, Field

from tamis._context import current_request
from tamis._errors import InputError
from tamis._langchain_quiet import aquietly, quietly
from tamis._layout import Layout
from tamis._native import Decision, Policy, Request
from tamis._search import decide

CONFIGURABLE = "tamis_request"
"""What a request is called in `configurable`."""


def request_of(config: RunnableConfig, *given: Request | None) -> Request:
    """Who asks. Whoever is named in more than one place has to be the same, or nothing is searched."""
    configured = (config.get("configurable") or {}).get(CONFIGURABLE)
    if configured is not None and not isinstance(configured, Request):
        raise InputError(
            f"`{CONFIGURABLE}` in the config is a {type(configured).__name__}, and it must be a `tamis.Request` that your own code has made"
        )
    named = [request for request in (*given, configured) if request is not None]
    if not named:
        return current_request()
    if any(request != named[0] for request in named):
        raise InputError("two requests: the retriever was made for another than the one that this call names")
    return named[0]


def redacted(document: Document, decision: Decision, layout: Layout) -> Document:
    """An allowed document without what the decision withholds."""
    if not decision.redacted and not decision.redacts_text:
        return document
    text = "" if decision.redacts_text else document.page_content
    return Document(id=document.id, page_content=text, metadata=layout.visible(document.metadata, decision))


def filter_documents(
    policy: Policy,
    documents: Sequence[Document],
    request: Request | Mapping[str, Any] | None = None,
    *,
    fields: Mapping[str, Any] | None = None,
) -> list[Document]:
    """The documents that the person may read, redacted, in their order.

    Without a `request` it is that of the config of the runnable that this runs in, or of `tamis.acting`.
    """
    layout = Layout(fields)
    known = request if isinstance(request, Request | None) else Request(request)
    session = policy.session(request_of(ensure_config(), known))
    for document in documents:
        if not isinstance(document, Document):
            raise InputError(f"a {type(document).__name__} is no document")
    decisions = decide(session, [layout.chunk(document.metadata, document.id) for document in documents])
    pairs = zip(documents, decisions, strict=True)
    return [
        redacted(document, decision, layout) for document, decision in pairs if decision is not None and decision.allow
    ]


class TamisGate(BaseRetriever):
    """What the person may read of what another retriever finds, such as one that fetches the parents of what was searched.

    It finds fewer than the other one, since it cannot ask it for more. The other one runs without callbacks, which would see what is denied;
    so whatever else runs in it, such as a model that writes queries, is not traced either.
    """

    retriever: BaseRetriever
    policy: Policy
    request: Request | None = Field(default=None, repr=False)
    """Who asks, always. Leave it out for a retriever that serves more than one person."""
    fields: Mapping[str, Any] | None = None
    """Where the metadata keeps what the policy reads: see `Rewrite.to`."""
    k: int | None = None
    """At most so many are handed out."""

    def invoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> list[Document]:
        config = ensure_config(config)
        request = request_of(config, self.request, kwargs.pop("request", None))
        return super().invoke(input, config, request=request, config_=config, **kwargs)

    async def ainvoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> list[Document]:
        config = ensure_config(config)
        request = request_of(config, self.request, kwargs.pop("request", None))
        return await super().ainvoke(input, config, request=request, config_=config, **kwargs)

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        request: Request | None = None,
        k: int | None = None,
        config_: RunnableConfig | None = None,
    ) -> list[Document]:
        request = request_of(ensure_config(config_), self.request, request)
        found = quietly(ensure_config(config_), lambda silent: self.retriever.invoke(query, silent))
        return self._gated(found, request, k)

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,
        request: Request | None = None,
        k: int | None = None,
        config_: RunnableConfig | None = None,
    ) -> list[Document]:
        request = request_of(ensure_config(config_), self.request, request)

        async def find(silent: RunnableConfig) -> list[Document]:
            return await self.retriever.ainvoke(query, silent)

        return self._gated(await aquietly(ensure_config(config_), find), request, k)

    def _gated(self, found: Sequence[Document], request: Request, k: int | None) -> list[Document]:
        k = self.k if k is None else k
        if k is not None and k < 1:
            raise InputError(f"k is {k}; it must be at least 1")
        return filter_documents(self.policy, found, request, fields=self.fields)[:k]


class TamisCompressor(BaseDocumentCompressor):
    """What the person may read of documents that are already there, for pipelines that take a compressor.

    LangChain hands no config to a compressor: unless it runs within a runnable that has one, name the request here or with `tamis.acting`.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    policy: Policy
    request: Request | None = Field(default=None, repr=False)
    """Who asks, always. Leave it out for a compressor that serves more than one person."""
    fields: Mapping[str, Any] | None = None
    """Where the metadata keeps what the policy reads: see `Rewrite.to`."""

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks = None
    ) -> list[Document]:
        """The allowed documents, redacted, in their order."""
        return filter_documents(self.policy, documents, self._who(), fields=self.fields)

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks = None
    ) -> list[Document]:
        """As `compress_documents`."""
        return self.compress_documents(documents, query, callbacks)

    def _who(self) -> Request:
        return request_of(ensure_config(), self.request)
