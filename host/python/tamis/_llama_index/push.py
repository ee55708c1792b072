"""How the policy's filter reaches a store, beside the caller's own, and what the caller's own asks about."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
)

from tamis import _clients
from tamis._dialect import Dialect
from tamis._errors import InputError
from tamis._layout import Layout
from tamis._native import Rewrite
from tamis._search import ANYTHING, NOTHING, Asks

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


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked of the store."""

    query: VectorStoreQuery
    kwargs: dict[str, Any]
    exact: bool
    asks: Asks


def plan(
    store: BasePydanticVectorStore,
    query: VectorStoreQuery,
    kwargs: Mapping[str, Any],
    rewrite: Rewrite,
    layout: Layout,
    push: bool,
) -> Plan:
    """Joins the policy's filter with the caller's: neither ever replaces the other."""
    name = store.class_name()
    asks = union(asked(name, query.filters, layout), ANYTHING if _for_words(store, query) else NOTHING)
    _refuse_code_in_ids(name, [*(query.node_ids or []), *(query.doc_ids or [])])
    given = dict(kwargs)
    native, theirs = None, None
    keyword, dialect = _NATIVE.get(name, (None, None))
    if keyword is None or dialect is None:
        ours = metadata_filters(rewrite.filter, layout) if push and name == "PGVectorStore" else None
        query = replace(query, filters=conjoined(ours, query.filters))
        exact = rewrite.always
    else:
        native = given.pop(keyword, None)
        asks = union(asks, _asked_natively(dialect, native, layout))
        if name == "QdrantVectorStore":
            # The store would take the native filter in place of the query's.
            theirs = store._build_query_filter(query)  # type: ignore[attr-defined]
        else:
            # The store refuses a native filter beside the query's.
            theirs = _chroma(query.filters)
            query = replace(query, filters=None)
        joined, exact = _joined(dialect, rewrite, layout, push, [theirs, native])
        if joined is not None:
            given[keyword] = joined
    if not set(given) - {keyword} <= _TUNING:
        asks = ANYTHING
    return Plan(query, given, exact, asks)


def plan_for_nodes(
    store: BasePydanticVectorStore,
    node_ids: list[str] | None,
    filters: MetadataFilters | None,
    kwargs: Mapping[str, Any],
    rewrite: Rewrite,
    layout: Layout,
    push: bool,
) -> tuple[MetadataFilters | None, Asks]:
    """The same for nodes that are named or filtered, not searched for: the filters, and what the caller asks."""
    name = store.class_name()
    _refuse_code_in_ids(name, node_ids or [])
    asks = asked(name, filters, layout) if set(kwargs) <= {"limit", "shard_identifier"} else ANYTHING
    ours = metadata_filters(rewrite.filter, layout) if push and name in _LISTED else None
    return conjoined(ours, filters), asks


_NATIVE: dict[str, tuple[str, Dialect]] = {
    "ChromaVectorStore": ("where", "chroma"),
    "QdrantVectorStore": ("qdrant_filters", "qdrant"),
}
"""The keyword of a query in which a store takes a filter of its client's."""
_LISTED = frozenset({"PGVectorStore", "QdrantVectorStore"})
"""Stores that select what `metadata_filters` makes, and more at most."""


def _joined(dialect: Dialect, rewrite: Rewrite, layout: Layout, push: bool, theirs: list[Any]) -> tuple[Any, bool]:
    translation = rewrite.translate(dialect, layout.fields) if push and not rewrite.always else None
    joined = _clients.native(dialect, translation.native) if translation else None
    for filter in theirs:
        joined = (filter or None) if joined is None else _clients.both(dialect, joined, filter)
    return joined, rewrite.always or (translation is not None and translation.exact)


def _chroma(filters: MetadataFilters | None) -> Any:
    if filters is None:
        return None
    from llama_index.vector_stores.chroma.base import _to_chroma_filter  # type: ignore[import-untyped]

    return _to_chroma_filter(filters)


def conjoined(ours: MetadataFilters | None, theirs: MetadataFilters | None) -> MetadataFilters | None:
    """Both, or the one that there is. The caller's without any condition means nothing."""
    if theirs is None or not theirs.filters:
        return ours
    return theirs if ours is None else MetadataFilters(filters=[ours, theirs], condition=FilterCondition.AND)


def metadata_filters(filter: Mapping[str, Any], layout: Layout) -> MetadataFilters | None:
    """As much of a filter as `MetadataFilters` says alike in stores that write values into SQL. None if that is nothing. Never narrower."""
    match filter:
        case {"op": "and", "args": args}:
            parts = [part for arg in args if (part := metadata_filters(arg, layout)) is not None]
            return MetadataFilters(filters=[*parts], condition=FilterCondition.AND) if parts else None
        case {"op": "or", "args": args}:
            every = [metadata_filters(arg, layout) for arg in args]
            parts = [part for part in every if part is not None]
            # One that says nothing makes all of it say nothing.
            return (
                MetadataFilters(filters=[*parts], condition=FilterCondition.OR)
                if parts and len(parts) == len(every)
                else None
            )
        case {"op": "equals", "attr": path, "value": str(value)}:
            return _test(path, FilterOperator.EQ, [value], layout)
        case {"op": "one-of", "attr": path, "values": list(values)}:
            return _test(path, FilterOperator.IN, values, layout)
        case {"op": "contains-any", "attr": path, "values": list(values)}:
            return _test(path, FilterOperator.ANY, values, layout)
        case _:
            return None


def _test(path: list[str], operator: FilterOperator, values: list[Any], layout: Layout) -> MetadataFilters | None:
    mapped = {tuple(entry["attr"]): entry["field"] for entry in layout.fields["attributes"]}
    field = mapped.get(tuple(path), path)
    if len(field) != 1 or not re.fullmatch(r"[A-Za-z_]\w*", field[0], re.ASCII):
        return None
    if not values or not all(isinstance(value, str) and _plain(value) for value in values):
        return None
    test = MetadataFilter(key=field[0], value=values[0] if operator is FilterOperator.EQ else values, operator=operator)
    return MetadataFilters(filters=[test], condition=FilterCondition.AND)


def _plain(value: str) -> bool:
    """Whether a text stays one, wherever it is written: no quotes, nothing like a parameter, no number."""
    if not re.fullmatch(r"[\w .@/+-]+", value):
        return False
    try:
        float(value)
    except ValueError:
        return True
    return False


# What the caller's own asks about.


def asked(store: str, filters: MetadataFilters | None, layout: Layout) -> Asks:
    """What the caller's filters ask about.

    Raises `InputError` where a filter would end up as a part of an expression, and could say more there than it seems to.
    """
    names: set[str] = set()
    text = False
    for test in _tests(filters):
        if store not in _STRUCTURED:
            _refuse_code(store, test)
        names.update((test.key, test.key.split(".")[0]))
        text = text or test.operator in _MATCHES_TEXT
    return _told(names, text, layout)


def _asked_natively(dialect: str, filter: Any, layout: Layout) -> Asks:
    asks = _clients.asks(dialect, filter)
    return asks if asks.attributes is None else _told(asks.attributes, asks.text, layout)


def _told(names: set[str] | frozenset[str], text: bool, layout: Layout) -> Asks:
    # LlamaIndex keeps a whole node, as JSON, in a field that begins so.
    if any(name.startswith("_") for name in names):
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


def _refuse_code_in_ids(store: str, ids: list[str]) -> None:
    if store not in _STRUCTURED and any(_CODE.search(name) for name in ids):
        raise InputError(f"an id has a character that {store} would read as a part of its expression")


def _refuse_code(store: str, test: MetadataFilter) -> None:
    if not re.fullmatch(r"[A-Za-z_][\w. -]*", test.key):
        raise InputError(f"the filter asks about {test.key!r}, which {store} would read as a part of its expression")
    for value in test.value if isinstance(test.value, list) else [test.value]:
        if isinstance(value, str) and _CODE.search(value):
            raise InputError(
                f"the filter compares `{test.key}` with a text that {store} would read as a part of its expression"
            )
