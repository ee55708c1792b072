"""What narrows a search of a LangChain vector store, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStore

from tamis._clients import asks, every, native
from tamis._dialect import Dialect
from tamis._errors import InputError
from tamis._layout import Layout
from tamis._native import Policy, Rewrite
from tamis._search import ANYTHING, Asks


@dataclass(frozen=True, slots=True)
class Narrowed:
    """A store, and what to give to its `similarity_search` besides the query and k."""

    store: VectorStore
    arguments: dict[str, Any]
    exact: bool = False
    """Whether the store then leaves out all that the policy's filter does not match."""
    asks: Asks = ANYTHING
    """What the caller's filter, and words that the store searches for, ask about."""
    drops: bool = True
    """Whether the store may leave out some of what it finds."""
    capped: bool = False
    """Whether it gives no more than so many, however many are asked for."""
    id_field: str | None = None
    """Where in the metadata the store returns the id, if it is not a document's own."""

    def id_of(self, document: Document) -> str | None:
        """The id of a document. A policy that asks which chunk it is, or what it is in, denies one without."""
        found = document.id if self.id_field is None else document.metadata.get(self.id_field)
        return None if found is None else str(found)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a search is narrowed by."""

    policy: Policy
    rewrite: Rewrite
    layout: Layout
    filters: Sequence[Any]
    """The caller's own, in the store's language."""
    push_down: bool

    def pushes(self) -> bool:
        """Whether there is something of the policy's to give to the store."""
        return self.push_down and not self.rewrite.always

    def native(self, dialect: Dialect, fields: Mapping[str, Any] | None = None) -> tuple[Any, bool]:
        """The policy's filter for a store, and whether it is exact there; None if there is nothing to give to it."""
        if not self.pushes():
            return None, self.rewrite.always
        translation = self.rewrite.translate(dialect, self.layout.fields if fields is None else fields)
        return native(dialect, translation.native), translation.exact

    def joined(self, dialect: Dialect, ours: Any) -> Any:
        """The policy's filter and the caller's own."""
        return every(dialect, ours, self.filters)

    def asks(self, dialect: Dialect, inside: str = "") -> Asks:
        """What the caller's own ask about."""
        names: frozenset[str] | None = frozenset()
        for own in self.filters:
            told = self.layout.places(asks(dialect, own, inside).attributes)
            names = None if names is None or told is None else names | told
        return Asks(names, text=names is None)

    def only(self) -> Any:
        """The caller's own filter, for a store that is not known to take more than one; None if there is none."""
        if len(self.filters) > 1:
            raise InputError("both the retriever and the call have a filter, and how the store joins them is not known")
        return self.filters[0] if self.filters else None


def given(name: str, value: Any) -> dict[str, Any]:
    """An argument, unless there is none."""
    return {} if value is None else {name: value}
