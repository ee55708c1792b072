"""How LangChain's stores in PostgreSQL take a filter: as SQL, in place of what they make of a filter of their own language."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tamis._clients import Sql
from tamis._errors import InputError
from tamis._langchain_narrow import Narrowed, Wanted, given
from tamis._search import ANYTHING, Asks


def pgvector(store: Any, wanted: Wanted) -> Narrowed:
    """The older one, whose metadata is JSON."""
    asked = wanted.asks("chroma")
    ours, exact = wanted.native("postgres", wanted.layout.attributes_only())
    make = getattr(store, "_create_filter_clause", None)
    if make is None or not store.use_jsonb:
        return Narrowed(store, given("filter", wanted.only() or None), exact and ours is None, asked, drops=False)
    import sqlalchemy

    clauses = [make(own) for own in wanted.filters if own]
    if ours is not None:
        text, values = _of_sqlalchemy(ours, f'"{store.EmbeddingStore.__tablename__}"."cmetadata"')
        clauses.insert(0, sqlalchemy.text(text).bindparams(**values))
    if not clauses:
        return Narrowed(store, {}, exact, asked, drops=False)
    joined = sqlalchemy.and_(*clauses)
    # The store makes a clause of every filter that it is given. This copy makes this one.
    narrow = copy.copy(store)
    narrow._create_filter_clause = lambda _: joined
    return Narrowed(narrow, {"filter": {"tamis": True}}, exact, asked, drops=False)


def pgvectorstore(store: Any, wanted: Wanted) -> Narrowed:
    """The newer one, whose metadata is in columns, and for the rest in one of JSON."""
    if not all(isinstance(own, Mapping) for own in wanted.filters):
        raise InputError("the filter of a PGVectorStore must be a dict: it ignores all others")
    inner: Any = getattr(store, "_PGVectorStore__vs", None)
    make = getattr(inner, "_create_filter_clause", None)
    ours, exact = wanted.native("postgres", wanted.layout.attributes_only())
    if make is None:
        return Narrowed(store, given("filter", wanted.only() or None), exact and ours is None)
    # A search for words too, which fetches as many as it is configured to.
    is_hybrid = inner.hybrid_search_config is not None
    asked = replace(_asked(inner, wanted), text=is_hybrid)
    clauses = [make(own) for own in wanted.filters if own]
    column = _metadata_of(inner)
    if ours is not None and column is not None:
        clauses.insert(0, _of_sqlalchemy(ours, column))
    else:
        exact = exact and ours is None
    if not clauses:
        return Narrowed(store, {}, exact, asked, capped=is_hybrid)
    joined = (
        " AND ".join(f"({text})" for text, _ in clauses),
        {name: value for _, values in clauses for name, value in values.items()},
    )
    if len(joined[1]) < sum(len(values) for _, values in clauses):
        raise InputError("two filters have a parameter of the same name")
    # The store makes a clause of every filter that it is given. This copy makes this one.
    narrow, narrow_inner = copy.copy(store), copy.copy(inner)
    narrow_inner._create_filter_clause = lambda _: joined
    narrow._PGVectorStore__vs = narrow_inner
    return Narrowed(narrow, {"filter": {"tamis": True}}, exact, asked, capped=is_hybrid)


def _asked(inner: Any, wanted: Wanted) -> Asks:
    """What the caller's filters ask about. A name is a column's before it is one in the JSON, and columns have no case."""
    asked = wanted.asks("chroma")
    own = {inner.content_column, inner.id_column, inner.embedding_column, inner.metadata_json_column}
    known = {name.casefold() for name in own if name}
    for name in asked.attributes or ():
        is_raw = not inner.metadata_json_column and name not in inner.metadata_columns
        if is_raw or name.casefold() in known:
            return ANYTHING
    return asked


def _metadata_of(inner: Any) -> str | None:
    """An expression for the metadata of a row, as the store returns it; None if one of its columns has an odd name."""
    names = [*inner.metadata_columns, *([inner.metadata_json_column] if inner.metadata_json_column else [])]
    if not all(re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) for name in names):
        return None
    columns = ", ".join(f"'{name}', \"{name}\"" for name in inner.metadata_columns)
    json = f"coalesce(\"{inner.metadata_json_column}\"::jsonb, '{{}}')" if inner.metadata_json_column else "'{}'::jsonb"
    return f"({json} || jsonb_build_object({columns}))"


def _of_sqlalchemy(sql: Sql, attributes: str) -> tuple[str, dict[str, str]]:
    """The condition as SQLAlchemy's `text` reads it, over this expression for the attributes. All values are texts, which are cast to what they are:
    the types that a driver takes for them could be too small."""
    text = re.sub(r"%\((\w+)\)s", r"(:\1)::text", sql.text).replace("%%", "%")
    return text.replace('"attributes"', attributes), {name: str(value) for name, value in sql.parameters.items()}
