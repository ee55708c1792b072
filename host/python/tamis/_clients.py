"""A filter in the types of each database's client, and how it is joined with a filter of the caller's own.

Joining never loosens: the result selects what both select. A text is only taken if it is one condition in every reading, so that nothing in it
can end the parentheses that it is put in; parameters keep to their own names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from tamis._condition import one_condition
from tamis._errors import InputError
from tamis._search import ANYTHING, NOTHING, Asks

OURS = "tamis_"
"""What the names of our parameters begin with. The caller's own may not."""

_SQL = frozenset({"duckdb", "postgres", "postgres-columns", "sqlite"})
_AS_IS = frozenset({"chroma", "elasticsearch", "lancedb", "opensearch", "pinecone"})


class Sql(NamedTuple):
    """A condition with named parameters: `connection.execute(f"SELECT … WHERE {sql.text}", sql.parameters)`.

    Names are marked as the driver wants them: psycopg `%(name)s`, DuckDB `$name`, sqlite3 `:name`.
    """

    text: str
    parameters: dict[str, Any]


class Expression(NamedTuple):
    """A condition of Milvus, with a value for each `{name}` in it: `client.search(…, **expression._asdict())`."""

    filter: str
    filter_params: dict[str, Any]


def native(dialect: str, json: Any) -> Any:
    """What the client of a database takes, of what a filter becomes in its dialect.

    Raises `ImportError` where that needs a client that is not installed.
    """
    match dialect:
        case "qdrant":
            return _models().Filter.model_validate(json)
        case "weaviate":
            return _weaviate(json)
        case "milvus":
            text = re.sub(r"\{p(\d+)\}", rf"{{{OURS}\1}}", json["filter"])
            return Expression(text, {OURS + name[1:]: value for name, value in json["filter_params"].items()})
        case _ if dialect in _SQL:
            return _named(dialect, json["sql"], json["parameters"])
        case _ if dialect in _AS_IS:
            return json
        case _:
            raise InputError(f"there is no dialect `{dialect}`")


def both(dialect: str, ours: Any, theirs: Any) -> Any:
    """A filter that selects what the policy's filter and the caller's own both select. `None` and empty filters of the caller's mean nothing.

    Raises `InputError` for a filter of another type, or a text that could be read as more than one condition.
    """
    if _is_empty(theirs):
        return ours
    match dialect:
        case "qdrant":
            theirs = _qdrant(theirs)
            return _models().Filter(must=[ours, theirs]) if theirs else ours
        case "weaviate":
            from weaviate.collections.classes.filters import _Filters

            if not isinstance(theirs, _Filters):
                raise _wrong("a `weaviate.classes.query.Filter`", theirs)
            return ours & theirs
        case "chroma" | "pinecone":
            return {"$and": [ours, dict(_mapping(theirs))]}
        case "elasticsearch" | "opensearch":
            return {"bool": {"filter": [ours, dict(_mapping(theirs))]}}
        case "lancedb":
            return f"({ours}) AND ({one_condition(dialect, _equalities(theirs))})"
        case "milvus":
            text, values = _with_parameters(dialect, theirs)
            return Expression(f"({ours.filter}) and ({text})", {**ours.filter_params, **values}) if text else ours
        case _ if dialect in _SQL:
            text, values = _with_parameters(dialect, theirs)
            return Sql(f"({ours.text}) AND ({text})", {**ours.parameters, **values}) if text else ours
        case _:
            raise InputError(f"there is no dialect `{dialect}`")


def every(dialect: str, ours: Any, theirs: Sequence[Any]) -> Any:
    """As `both`, for any number of filters of the caller's own. `ours` may be None; so is what comes of it then if theirs are empty."""
    for one in theirs:
        ours = _alone(dialect, one) if ours is None else both(dialect, ours, one)
    return ours


def _alone(dialect: str, theirs: Any) -> Any:
    """A filter of the caller's own, as one to be joined with others."""
    if _is_empty(theirs):
        return None
    match dialect:
        case "qdrant":
            return _qdrant(theirs)
        case "lancedb":
            return one_condition(dialect, _equalities(theirs))
        case "milvus":
            return Expression(*_with_parameters(dialect, theirs))
        case _ if dialect in _SQL:
            return Sql(*_with_parameters(dialect, theirs))
        case "weaviate":
            return theirs
        case _:
            return dict(_mapping(theirs))


def _is_empty(theirs: Any) -> bool:
    return (
        theirs is None
        or (isinstance(theirs, (str, Mapping, list, tuple)) and not theirs)
        or (isinstance(theirs, str) and not theirs.strip())
    )


def asks(dialect: str, theirs: Any, inside: str = "") -> Asks:
    """What a filter of the caller's own asks about, as far as it can be told. `inside` is the field that holds all metadata, if one does."""
    if _is_empty(theirs):
        return NOTHING
    names: set[str] = set()
    match dialect:
        case "chroma" | "pinecone":
            told = _names_of_mapping(theirs, names)
        case "qdrant":
            told = _names_of_qdrant(_qdrant(theirs), f"{inside}." if inside else "", names)
        case _:
            told = False
    return Asks(frozenset(names)) if told else ANYTHING


# How each client's own types are made.


def _models() -> Any:
    try:
        from qdrant_client import models
    except ImportError as error:
        raise ImportError('a filter for Qdrant is one of its client\'s: pip install "qdrant-client"') from error
    return models


_WEAVIATE = {
    "Equal": "equal",
    "NotEqual": "not_equal",
    "LessThan": "less_than",
    "LessThanEqual": "less_or_equal",
    "GreaterThan": "greater_than",
    "GreaterThanEqual": "greater_or_equal",
    "ContainsAny": "contains_any",
    "ContainsAll": "contains_all",
    "IsNull": "is_none",
}
_WEAVIATE_VALUES = ("valueText", "valueInt", "valueNumber", "valueBoolean")


def _weaviate(json: Any) -> Any:
    try:
        from weaviate.classes.query import Filter
    except ImportError as error:
        raise ImportError('a filter for Weaviate is one of its client\'s: pip install "weaviate-client"') from error
    operator = json["operator"]
    if operator in ("And", "Or", "Not"):
        operands = [_weaviate(operand) for operand in json["operands"]]
        if operator == "Not":
            (operand,) = operands
            return Filter.not_(operand)
        return Filter.all_of(operands) if operator == "And" else Filter.any_of(operands)
    (name,) = json["path"]
    (value,) = (json[key] for key in _WEAVIATE_VALUES if key in json)
    target = Filter.by_id() if name == "_id" else Filter.by_property(name)
    return getattr(target, _WEAVIATE[operator])(value)


# Quoted parts are matched first, so that what is in them stays as it is.
_MARKS = {
    "postgres": r"""("(?:[^"]|"")*"|'(?:[^']|'')*')|\$(\d+)|(%)""",
    "duckdb": r"""("(?:[^"]|"")*"|'(?:[^']|'')*')|\$(\d+)""",
    "sqlite": r"""("(?:[^"]|"")*"|'(?:[^']|'')*')|(\?)""",
}
_PLACES: dict[str, Callable[[str], str]] = {
    "postgres": lambda name: f"%({name})s",
    "duckdb": lambda name: f"${name}",
    "sqlite": lambda name: f":{name}",
}


def _named(dialect: str, text: str, values: Sequence[Any]) -> Sql:
    dialect = dialect.removesuffix("-columns")
    count = 0

    def place(found: re.Match[str]) -> str:
        nonlocal count
        if found[1]:
            # psycopg reads percent signs everywhere.
            return found[1].replace("%", "%%") if dialect == "postgres" else found[1]
        if found[0] == "%":
            return "%%"
        count += 1
        return _PLACES[dialect](OURS + (found[2] if found[0] != "?" else str(count)))

    text = re.sub(_MARKS[dialect], place, text)
    return Sql(text, {f"{OURS}{number}": value for number, value in enumerate(values, 1)})


# What is taken of the caller's own.


def _wrong(wanted: str, theirs: object) -> InputError:
    return InputError(f"the filter is a {type(theirs).__name__}, and it must be {wanted}")


def _mapping(theirs: object) -> Mapping[Any, Any]:
    if not isinstance(theirs, Mapping):
        raise _wrong("a dict", theirs)
    return theirs


def _qdrant(theirs: Any) -> Any:
    """A filter of Qdrant's client; None if it is empty."""
    models = _models()
    if isinstance(theirs, Mapping):
        try:
            theirs = models.Filter.model_validate(theirs)
        except ValueError as error:
            raise InputError(f"the filter is none of Qdrant's: {error}") from error
    if not isinstance(theirs, models.Filter):
        raise _wrong("a `qdrant_client.models.Filter`", theirs)
    return theirs if theirs.model_dump(exclude_none=True) else None


def _with_parameters(dialect: str, theirs: Any) -> tuple[str, dict[str, Any]]:
    """The caller's condition and its parameters. No parameter can be one of ours."""
    if isinstance(theirs, str):
        text, values = theirs, {}
    elif (
        isinstance(theirs, tuple) and len(theirs) == 2 and isinstance(theirs[0], str) and isinstance(theirs[1], Mapping)
    ):
        text, values = theirs[0], dict(theirs[1])
    else:
        raise _wrong("a text, or a text and a dict of its parameters", theirs)
    if not all(type(name) is str for name in (text, *values)):
        raise _wrong("a plain text, with plain names of parameters", theirs)
    # There are databases to which names that differ in case are one.
    if OURS in text.casefold() or any(name.casefold().startswith(OURS) for name in values):
        raise InputError(f"the filter names a parameter that begins with `{OURS}`; those are the policy's")
    return one_condition(dialect, text) if text.strip() else "", values


def _equalities(theirs: Any) -> str:
    """The text of a filter for LanceDB. Of a dict it is what every name must equal."""
    if isinstance(theirs, str):
        # A kind of text of its own could read otherwise when it is written.
        return "".join(theirs)
    parts: list[str] = []
    for name, value in _mapping(theirs).items():
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", name, re.ASCII):
            raise InputError(f"`{name}` in the filter is no column")
        if isinstance(value, str) and not re.search(r"[\0\\]", value):
            literal = "'" + value.replace("'", "''") + "'"
        elif isinstance(value, bool):
            literal = str(value).upper()
        elif isinstance(value, int):
            literal = str(value)
        else:
            raise InputError(
                f"the filter compares `{name}` with a {type(value).__name__}; a dict takes texts, whole numbers and truth values"
            )
        parts.append(f"{name} = {literal}")
    return " AND ".join(parts)


def _names_of_mapping(theirs: object, names: set[str]) -> bool:
    if not isinstance(theirs, Mapping):
        return False
    for name, inner in theirs.items():
        if name in ("$and", "$or"):
            if not isinstance(inner, list) or not all(_names_of_mapping(part, names) for part in inner):
                return False
        elif not isinstance(name, str) or not is_plain(name):
            return False
        else:
            names.update((name, *name.split(".")))
    return True


def is_plain(name: str) -> bool:
    """Whether a name in a filter is an attribute's, and nothing that a database could read as more: a place in a document, another spelling."""
    return re.fullmatch(r"[A-Za-z0-9-][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*", name) is not None


def _names_of_qdrant(condition: Any, prefix: str, names: set[str]) -> bool:
    models = _models()
    match condition:
        case None | models.HasIdCondition():
            return True
        case models.Filter(should=should, must=must, must_not=must_not, min_should=min_should):
            parts = [part for some in (should, must, must_not) for part in (some if isinstance(some, list) else [some])]
            parts += min_should.conditions if min_should else []
            return all(_names_of_qdrant(part, prefix, names) for part in parts)
        case models.FieldCondition(key=key):
            pass
        case models.IsEmptyCondition(is_empty=field):
            key = field.key
        case models.IsNullCondition(is_null=field):
            key = field.key
        case _:
            return False
    found = re.match(r"[A-Za-z0-9_-]+", key.removeprefix(prefix)) if key.startswith(prefix) else None
    if found:
        names.add(found[0])
    return found is not None
