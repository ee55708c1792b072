"""What a caller's own filters, ids and modes ask about, and those that are refused for being code."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
)

from tamis import _clients
from tamis._errors import InputError
from tamis._layout import Layout
from tamis._search import ANYTHING, Asks

_TUNING = frozenset(
    {
        "hnsw_ef_search",
        "ivfflat_probes",
        "mmr_prefetch_factor",
        "mmr_prefetch_k",
        "mmr_threshold",
        "search_params",
        "shard_identifier",
    }
)
"""What a caller may give a store beside the query without it asking anything about a chunk."""
_STRUCTURED = frozenset(
    {"ChromaVectorStore", "PineconeVectorStore", "QdrantVectorStore", "SimpleVectorStore", "WeaviateVectorStore"}
)
"""Stores that keep the values of a filter apart from its language. The others write them into an expression, most without any quoting."""
_CODE = re.compile(r"['\"`\\;\0]|--|/\*")
_TEXT = frozenset({"text", "content", "document", "page_content"})
_MATCHES_TEXT = frozenset({FilterOperator.TEXT_MATCH, FilterOperator.TEXT_MATCH_INSENSITIVE})
_WORDS = frozenset(
    {
        VectorStoreQueryMode.SPARSE,
        VectorStoreQueryMode.HYBRID,
        VectorStoreQueryMode.TEXT_SEARCH,
        VectorStoreQueryMode.SEMANTIC_HYBRID,
    }
)
"""Modes that search for words, which nodes have of their metadata too."""


def kind(store: BasePydanticVectorStore) -> str:
    """The name of the class of LlamaIndex's that a store is of. What it calls itself may be anything."""
    classes = [base.__name__ for base in type(store).__mro__ if base.__module__.startswith("llama_index.")]
    return classes[0] if classes else type(store).__name__


def asked_of_query(
    store: BasePydanticVectorStore, query: VectorStoreQuery, kwargs: Mapping[str, Any], layout: Layout
) -> Asks:
    """What a query asks about, and what is given to the store beside it, but for filters of its client's."""
    name = kind(store)
    refuse_code_in_ids(name, [*(query.node_ids or []), *(query.doc_ids or [])])
    if _for_words(store, query) or not set(kwargs) <= _TUNING:
        # Refused all the same if it is code.
        asked(name, query.filters, layout)
        return ANYTHING
    return asked(name, query.filters, layout)


def asked_of_nodes(
    store: BasePydanticVectorStore,
    node_ids: list[str] | None,
    filters: MetadataFilters | None,
    kwargs: Mapping[str, Any],
    layout: Layout,
) -> Asks:
    """The same for nodes that are named or filtered, not searched for."""
    name = kind(store)
    refuse_code_in_ids(name, node_ids or [])
    asks = asked(name, filters, layout)
    return asks if set(kwargs) <= {"limit", "shard_identifier"} else ANYTHING


def asked(store: str, filters: MetadataFilters | None, layout: Layout) -> Asks:
    """What the caller's filters ask about.

    Raises `InputError` where a filter would end up as a part of an expression, and could say more there than it seems to.
    """
    names: set[str] = set()
    text = False
    for test in _tests(filters):
        if store not in _STRUCTURED:
            _refuse_code(store, test)
        names.update((test.key, *test.key.split(".")))
        text = text or test.operator in _MATCHES_TEXT
    return _told(names, text, layout)


def asked_natively(dialect: str, filter: Any, layout: Layout) -> Asks:
    asks = _clients.asks(dialect, filter)
    return asks if asks.attributes is None else _told(asks.attributes, asks.text, layout)


def _told(names: set[str] | frozenset[str], text: bool, layout: Layout) -> Asks:
    # LlamaIndex keeps a whole node, as JSON, in a field that begins with `_`; databases have fields, and spellings, of their own.
    if not all(_clients.is_plain(name) for name in names):
        return ANYTHING
    return Asks(layout.places(frozenset(names)), text or not _TEXT.isdisjoint(names))


def union(one: Asks, other: Asks) -> Asks:
    known = one.attributes is not None and other.attributes is not None
    return Asks(
        (one.attributes or frozenset()) | (other.attributes or frozenset()) if known else None, one.text or other.text
    )


def _tests(filters: MetadataFilters | None) -> Iterator[MetadataFilter]:
    for part in filters.filters if filters is not None else []:
        if isinstance(part, MetadataFilters):
            yield from _tests(part)
        else:
            yield part


def _for_words(store: BasePydanticVectorStore, query: VectorStoreQuery) -> bool:
    # LanceDB's is told once for all queries.
    return query.mode in _WORDS or getattr(store, "query_type", "vector") != "vector"


def refuse_code_in_ids(store: str, ids: list[str]) -> None:
    if store not in _STRUCTURED and any(_CODE.search(name) for name in ids):
        raise InputError(f"an id has a character that {store} would read as a part of its expression")


def _refuse_code(store: str, test: MetadataFilter) -> None:
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", test.key):
        raise InputError(f"the filter asks about {test.key!r}, which {store} would read as a part of its expression")
    for value in test.value if isinstance(test.value, list) else [test.value]:
        if isinstance(value, str) and _CODE.search(value):
            raise InputError(
                f"the filter compares `{test.key}` with a text that {store} would read as a part of its expression"
            )
