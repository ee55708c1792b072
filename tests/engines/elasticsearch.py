"""What Elasticsearch's documentation says of its queries, against the cases of `engine_cases elasticsearch` (or `opensearch`).

There is no server to be had: this is a model of one, written from the documentation, with the mappings that the dialect assumes. The
official client reads every query first.
"""

import sys

import cases

sys.path.append(sys.path.pop(0))  # This file has the name of the package, which is to be found first.
from elasticsearch.dsl import Q  # noqa: E402

OPERATORS = {
    "lt": lambda value, bound: value < bound,
    "lte": lambda value, bound: value <= bound,
    "gt": lambda value, bound: value > bound,
    "gte": lambda value, bound: value >= bound,
}


class Refused(Exception):
    """A document, or a query, that the index does not take."""


def keyword(value):
    return str(value).lower().encode() if isinstance(value, bool) else str(value).encode()


def long(value):
    try:
        number = int(float(value)) if isinstance(value, (str, float)) else value
    except (ValueError, OverflowError):
        raise Refused from None
    if isinstance(value, bool) or not -(2**63) <= number < 2**63:
        raise Refused
    return number


def double(value):
    try:
        if not isinstance(value, bool):
            return float(value)
    except ValueError:
        pass
    raise Refused


def boolean(value):
    if value in (True, "true") and value != 1.0 or value is True:
        return True
    if value is False or value in ("false", ""):
        return False
    raise Refused


def mapped(declared):
    element = declared.removeprefix("Set<")
    return {"Long": long, "Bool": boolean, "decimal": double}.get(element.rstrip(">"), keyword)


def flatten(name, value, into):
    """All values of a field, of whatever depth of arrays and objects."""
    if isinstance(value, list):
        for element in value:
            flatten(name, element, into)
    elif isinstance(value, dict):
        for part, inner in value.items():
            flatten(f"{name}.{part}" if name else part, inner, into)
    elif value is not None:
        into.setdefault(name, []).append(value)


def index(chunk, mappings):
    found = {}
    own = {"chunk_id": chunk["id"], "chunk_type": chunk["type"], "ancestors": chunk["ancestors"]}
    flatten("", {**chunk["attributes"], **own}, found)
    for name in found:
        if any(name.startswith(f"{mapping}.") for mapping in mappings):
            raise Refused
        if name == "org":
            raise Refused
    return {name: [mappings.get(name, keyword)(value) for value in values] for name, values in found.items()}


def holds(query, document, mappings):
    ((kind, body),) = query.items()
    if kind in ("match_all", "match_none"):
        return kind == "match_all"
    if kind == "exists":
        return bool(document.get(body["field"]))
    if kind == "bool":
        every = [holds(part, document, mappings) for part in body.get("filter", [])]
        none = [holds(part, document, mappings) for part in body.get("must_not", [])]
        some = [holds(part, document, mappings) for part in body.get("should", [])]
        assert "should" not in body or body["minimum_should_match"] == 1
        return all(every) and not any(none) and ("should" not in body or any(some))
    ((name, wanted),) = body.items()
    read, values = mappings.get(name, keyword), document.get(name, [])
    if kind == "terms":
        wanted = [read(value) for value in wanted]
        return any(value in wanted for value in values)
    if kind == "range":
        ((operator, bound),) = wanted.items()
        return any(OPERATORS[operator](value, read(bound)) for value in values)
    assert kind == "prefix", kind
    if read is not keyword:
        raise Refused
    return any(value.startswith(keyword(wanted["value"])) for value in values)


def main():
    given = cases.read()
    mappings = {".".join(entry["attr"]): mapped(entry["type"]) for entry in given["declared"]}
    documents = {}
    for chunk in given["chunks"]:
        try:
            documents[chunk["id"]] = index(chunk, mappings)
        except Refused:
            pass
    given["chunks"] = [chunk for chunk in given["chunks"] if chunk["id"] in documents]
    asked = []
    for case in given["cases"]:
        case["matches"] = [id_ for id_ in case["matches"] if id_ in documents]
        try:
            for document in documents.values():
                holds(case["native"], document, mappings)
            asked.append(case)
        except Refused:
            pass
    refused = len(given["cases"]) - len(asked)
    print(f"{len(documents)} chunks; {refused} queries refused for a value of another type", file=sys.stderr)
    given["cases"] = asked

    def select(native):
        Q(native)
        return [id_ for id_, document in documents.items() if holds(native, document, mappings)]

    cases.check(given, select)


main()
