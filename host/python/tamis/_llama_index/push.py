"""How the policy's filter reaches a store, beside the caller's own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
)

from tamis import _clients
from tamis._dialect import Dialect
from tamis._layout import Layout
from tamis._llama_index.asked import asked_natively, asked_of_nodes, asked_of_query, kind, union
from tamis._native import Rewrite
from tamis._search import Asks


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
    name = kind(store)
    given = dict(kwargs)
    way = _NATIVE.get(name)
    if way is None:
        asks = asked_of_query(store, query, given, layout)
        ours = metadata_filters(rewrite.filter, layout) if push and name == "PGVectorStore" else None
        return Plan(replace(query, filters=conjoined(ours, query.filters)), given, rewrite.always, asks)
    native = given.pop(way.keyword, None)
    asks = asked_of_query(store, query, given, layout)
    asks = union(asks, asked_natively(way.dialect, native, layout))
    theirs = way.theirs(store, query)
    fields = way.fields(store, rewrite, layout) if push and not rewrite.always else None
    translation = None if fields is None else rewrite.translate(way.dialect, fields)
    joined = None if translation is None else _clients.native(way.dialect, translation.native)
    for filter in (theirs, native):
        joined = (filter or None) if joined is None else _clients.both(way.dialect, joined, filter)
    if joined is not None:
        given[way.keyword] = joined
    exact = rewrite.always or (translation is not None and translation.exact)
    # What the query filters by is in the joined filter now; some stores refuse both, others forget one.
    return Plan(replace(query, filters=None), given, exact, asks)


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
    asks = asked_of_nodes(store, node_ids, filters, kwargs, layout)
    any_of = _LISTED.get(kind(store))
    ours = metadata_filters(rewrite.filter, layout, any_of) if push and any_of is not None else None
    return conjoined(ours, filters), asks


# Filters in the types of a store's client.


@dataclass(frozen=True, slots=True)
class _Native:
    """How a store takes one."""

    keyword: str
    dialect: Dialect
    theirs: Callable[[Any, VectorStoreQuery], Any]
    """What the store makes of the query's own filters, since it would take a native one in their place, or refuse it."""
    fields: Callable[[Any, Rewrite, Layout], Mapping[str, Any] | None]
    """Where the attributes are. None if the store could not take the filter."""


def _of_qdrant(store: Any, query: VectorStoreQuery) -> Any:
    return store._build_query_filter(query)


def _of_chroma(store: Any, query: VectorStoreQuery) -> Any:
    from llama_index.vector_stores.chroma.base import _to_chroma_filter  # type: ignore[import-untyped]

    return None if query.filters is None else _to_chroma_filter(query.filters)


def _of_lancedb(store: Any, query: VectorStoreQuery) -> Any:
    from llama_index.vector_stores.lancedb.base import _to_lance_filter  # type: ignore[import-untyped]

    if query.filters is None or not query.filters.filters:
        return None
    return _to_lance_filter(query.filters, store._metadata_keys)


def _as_they_are(store: Any, rewrite: Rewrite, layout: Layout) -> Mapping[str, Any]:
    return layout.fields


def _in_columns(store: Any, rewrite: Rewrite, layout: Layout) -> Mapping[str, Any] | None:
    """LanceDB refuses a filter that names a column, or a field of one, that is not there."""
    attributes = sorted({tuple(path) for path in _attributes(rewrite.filter)})
    fields = layout.inside("metadata", attributes)
    there = all(_has(store.table.schema, entry["field"]) for entry in fields["attributes"])
    return fields if there else None


def _has(schema: Any, field: list[str]) -> bool:
    inside = schema
    for name in field:
        # A schema has names, and so has the type of a structure, but no other.
        if name not in getattr(inside, "names", ()):
            return False
        inside = inside.field(name).type
    return True


def _attributes(filter: Mapping[str, Any]) -> Iterator[list[str]]:
    if "attr" in filter:
        yield filter["attr"]
    for part in [*filter.get("args", []), *([filter["arg"]] if "arg" in filter else [])]:
        yield from _attributes(part)


_NATIVE = {
    "ChromaVectorStore": _Native("where", "chroma", _of_chroma, _as_they_are),
    "LanceDBVectorStore": _Native("where", "lancedb", _of_lancedb, _in_columns),
    "QdrantVectorStore": _Native("qdrant_filters", "qdrant", _of_qdrant, _as_they_are),
}


# Filters in LlamaIndex's own types.

_LISTED = {"PGVectorStore": FilterOperator.ANY, "QdrantVectorStore": FilterOperator.IN}
"""Stores that select what `metadata_filters` makes and more at most, with how they ask for a list that has one of several."""


def conjoined(ours: MetadataFilters | None, theirs: MetadataFilters | None) -> MetadataFilters | None:
    """Both, or the one that there is. The caller's without any condition means nothing."""
    if theirs is None or not theirs.filters:
        return ours
    return theirs if ours is None else MetadataFilters(filters=[ours, theirs], condition=FilterCondition.AND)


def metadata_filters(
    filter: Mapping[str, Any], layout: Layout, any_of: FilterOperator = FilterOperator.ANY
) -> MetadataFilters | None:
    """As much of a filter as `MetadataFilters` says alike in stores that write values into SQL. None if that is nothing. Never narrower."""
    match filter:
        case {"op": "and", "args": args}:
            parts = [part for arg in args if (part := metadata_filters(arg, layout, any_of)) is not None]
            return MetadataFilters(filters=[*parts], condition=FilterCondition.AND) if parts else None
        case {"op": "or", "args": args}:
            every = [metadata_filters(arg, layout, any_of) for arg in args]
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
            return _test(path, any_of, values, layout)
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
