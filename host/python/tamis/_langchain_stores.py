"""How LangChain's vector stores take a filter. What a store does not take, or is not known to, is left to the gate."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStore

from tamis._errors import InputError
from tamis._langchain_narrow import Narrowed, Wanted, given
from tamis._langchain_postgres import pgvector, pgvectorstore
from tamis._search import ANYTHING, NOTHING, Asks


def narrowed(store: VectorStore, wanted: Wanted) -> Narrowed:
    """The narrowest search of a store that still finds all that the policy allows and the caller's filter selects."""
    for parent in type(store).__mro__:
        known = _KNOWN.get(f"{parent.__module__.partition('.')[0]}.{parent.__name__}")
        if known is not None:
            return known(store, wanted)
    own = wanted.only()
    # It may search for words.
    return Narrowed(store, given("filter", own), asks=Asks(text=True) if own is None else ANYTHING)


def _in_memory(store: Any, wanted: Wanted) -> Narrowed:
    tests = list(wanted.filters)
    if not all(callable(own) for own in tests):
        raise InputError("the filter of an InMemoryVectorStore must be a function of a document")
    asked = ANYTHING if tests else NOTHING
    if wanted.pushes():
        tests.insert(0, _matches(wanted))

    def holds(document: Document) -> bool:
        return all(test(document) for test in tests)

    return Narrowed(store, {"filter": holds} if tests else {}, wanted.push_down, asked, drops=False)


def _matches(wanted: Wanted) -> Callable[[Document], bool]:
    def matches(document: Document) -> bool:
        chunk = wanted.layout.chunk(document.metadata, document.id or "")
        # What cannot be read is the gate's to deny.
        try:
            return chunk is not None and wanted.rewrite.matches(chunk)
        except InputError:
            return True

    return matches


def _faiss(store: Any, wanted: Wanted) -> Narrowed:
    # It filters what it has found, which the gate does as well. So all that a caller's filter is to find has to be fetched.
    own = wanted.only()
    if own is None:
        return Narrowed(store, {}, asks=NOTHING, drops=False)
    return Narrowed(store, {"filter": own, "fetch_k": max(1, store.index.ntotal)}, drops=False)


def _qdrant(store: Any, wanted: Wanted) -> Narrowed:
    metadata = store.metadata_payload_key
    ours, exact = wanted.native("qdrant")
    if ours is not None and re.fullmatch(r"[A-Za-z0-9_-]+", metadata, re.ASCII):
        ours = _nested(ours, metadata)
    else:
        ours, exact = None, exact and ours is None
    asked = wanted.asks("qdrant", metadata)
    if getattr(store.retrieval_mode, "value", None) != "dense":
        asked = replace(asked, text=True)
    return Narrowed(store, given("filter", wanted.joined("qdrant", ours)), exact, asked, drops=False, id_field="_id")


def _nested(condition: Any, name: str) -> Any:
    """A condition of Qdrant's client, with every field inside the one with this name."""
    from qdrant_client import models

    match condition:
        case list():
            return [_nested(part, name) for part in condition]
        case models.Filter(min_should=None):
            parts = {part: getattr(condition, part) for part in ("should", "must", "must_not")}
            return models.Filter(**{part: _nested(inner, name) for part, inner in parts.items() if inner is not None})
        case models.FieldCondition(key=key):
            return condition.model_copy(update={"key": f"{name}.{key}"})
        case models.IsEmptyCondition(is_empty=field):
            return models.IsEmptyCondition(is_empty=models.PayloadField(key=f"{name}.{field.key}"))
        case models.HasIdCondition():
            return condition
        case _:
            raise InputError(f"a {type(condition).__name__} in a filter for Qdrant")


def _chroma(store: Any, wanted: Wanted) -> Narrowed:
    ours, exact = wanted.native("chroma")
    return Narrowed(store, given("filter", wanted.joined("chroma", ours)), exact, wanted.asks("chroma"))


def _pinecone(store: Any, wanted: Wanted) -> Narrowed:
    ours, exact = wanted.native("pinecone")
    return Narrowed(store, given("filter", wanted.joined("pinecone", ours)), exact, wanted.asks("pinecone"))


def _weaviate(store: Any, wanted: Wanted) -> Narrowed:
    ours, exact = wanted.native("weaviate")
    # A hybrid search, for words too.
    asked = replace(wanted.asks("weaviate"), text=True)
    arguments = {"return_uuids": True, **given("filters", wanted.joined("weaviate", ours))}
    return Narrowed(store, arguments, exact, asked, id_field="uuid")


def _milvus(store: Any, wanted: Wanted) -> Narrowed:
    asked = wanted.asks("milvus")
    if store._is_multi_vector or store._is_sparse:
        asked = replace(asked, text=True)
    column = "$meta" if store.enable_dynamic_field else store._metadata_field
    ours, exact = wanted.native("milvus", wanted.layout.attributes_only())
    if ours is not None and column is not None and not store._is_multi_vector:
        # No name in an expression has a quotation mark, so this is nothing but the column.
        ours = ours._replace(filter=ours.filter.replace('attributes["', f'{column}["'))
    else:
        ours, exact = None, exact and ours is None
    joined = wanted.joined("milvus", ours)
    arguments = (
        {} if joined is None else {"expr": joined.filter, **given("filter_params", joined.filter_params or None)}
    )
    if "filter_params" in arguments and store._is_multi_vector:
        raise InputError("a search for several vectors takes no parameters in its filter")
    # Of each of several vectors it fetches as many as it is told to, or 4.
    return Narrowed(store, arguments, exact, asked, capped=store._is_multi_vector, id_field=store._primary_field)


def _lancedb_of_community(store: Any, wanted: Wanted) -> Narrowed:
    attributes = sorted({*wanted.policy.footprint, *wanted.rewrite.needs})
    ours, exact = wanted.native("lancedb", wanted.layout.inside("metadata", attributes))
    asked = ANYTHING if wanted.filters else NOTHING
    table = store.get_table()
    if (
        ours is None
        or table is None
        or not all(_has(table.schema, field) for field in re.findall(r"`metadata`(?:\.`\w+`)*", ours))
    ):
        ours, exact = None, exact and ours is None
    filter = wanted.joined("lancedb", ours)
    return Narrowed(store, {} if filter is None else {"filter": filter, "prefilter": True}, exact, asked)


def _has(schema: Any, field: str) -> bool:
    """Whether a table has this column, or field of a structure. LanceDB refuses a filter that names another."""
    inside: Any = schema
    for name in re.findall(r"`(\w+)`", field):
        # A schema has names, and so has the type of a structure, but no other.
        if name not in getattr(inside, "names", ()):
            return False
        inside = inside.field(name).type
    return True


def _lancedb(store: Any, wanted: Wanted) -> Narrowed:
    if wanted.filters:
        raise InputError("langchain_lancedb ignores filters, so a search with one would find more than was asked for")
    return Narrowed(store, {}, asks=NOTHING)


_KNOWN: dict[str, Callable[[Any, Wanted], Narrowed]] = {
    "langchain_core.InMemoryVectorStore": _in_memory,
    "langchain_chroma.Chroma": _chroma,
    "langchain_community.FAISS": _faiss,
    "langchain_community.LanceDB": _lancedb_of_community,
    "langchain_lancedb.LanceDB": _lancedb,
    "langchain_milvus.Milvus": _milvus,
    "langchain_pinecone.PineconeVectorStore": _pinecone,
    "langchain_postgres.PGVector": pgvector,
    "langchain_postgres.PGVectorStore": pgvectorstore,
    "langchain_qdrant.QdrantVectorStore": _qdrant,
    "langchain_weaviate.WeaviateVectorStore": _weaviate,
}
