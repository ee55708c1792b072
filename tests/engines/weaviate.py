"""What Weaviate's documentation says of its filters, against the cases of `engine_cases weaviate`, read from standard input.

There is no server to be had: this is a model of one, written from the documentation, with the properties that the dialect assumes. The
official client makes each filter one of its own, and that a message to the server, first.
"""

import sys

import cases

sys.path.append(sys.path.pop(0))  # This file has the name of the package, which is to be found first.
from weaviate.classes.query import Filter  # noqa: E402
from weaviate.collections.filters import _FilterToGRPC  # noqa: E402

METHODS = {
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
ORDERS = {
    "LessThan": lambda value, bound: value < bound,
    "LessThanEqual": lambda value, bound: value <= bound,
    "GreaterThan": lambda value, bound: value > bound,
    "GreaterThanEqual": lambda value, bound: value >= bound,
}
TYPES = {"valueText": str, "valueInt": int, "valueNumber": float, "valueBoolean": bool}


class Refused(Exception):
    """A value that is not of the property's type."""


def of_client(filter_):
    operands = [of_client(operand) for operand in filter_.get("operands", [])]
    match filter_["operator"]:
        case "And":
            return Filter.all_of(operands)
        case "Or":
            return Filter.any_of(operands)
        case "Not":
            return Filter.not_(operands[0])
    ((name,), value) = filter_["path"], next(value for key, value in filter_.items() if key in TYPES)
    target = Filter.by_id() if name == "_id" else Filter.by_property(name)
    return getattr(target, METHODS[filter_["operator"]])(value)


def property_type(declared):
    return {"Long": int, "Bool": bool, "decimal": float}.get(declared.removeprefix("Set<").rstrip(">"), str)


def token(value):
    return value.strip() if isinstance(value, str) else value


def stored(chunk, types):
    """The values of each property. What is not of its type is not taken, and empty texts and arrays are null."""
    own = {"chunk_id": chunk["id"], "chunk_type": chunk["type"], "ancestors": chunk["ancestors"]}
    values = {}
    for name, value in {**chunk["attributes"], **own}.items():
        of, every = types.get(name, str), value if isinstance(value, list) else [value]
        if every and all(type(one) is of or of is float and type(one) is int for one in every):
            values[name] = [token(one) for one in every if one != ""]
    return values


def holds(filter_, values, types):
    parts = [holds(operand, values, types) for operand in filter_.get("operands", [])]
    operator = filter_["operator"]
    if operator in ("And", "Or", "Not"):
        return {"And": all(parts), "Or": any(parts), "Not": not parts[0]}[operator]
    (name,) = filter_["path"]
    ((key, wanted),) = [(key, value) for key, value in filter_.items() if key in TYPES]
    if name == "_id":
        return operator == "NotEqual"
    found = values.get(name, [])
    if operator == "IsNull":
        return (not found) is wanted
    if TYPES[key] is not types.get(name, str):
        raise Refused
    if operator in ORDERS:
        return any(ORDERS[operator](value, wanted) for value in found)
    wanted = [token(value) for value in (wanted if isinstance(wanted, list) else [wanted])]
    assert wanted
    return (all if operator == "ContainsAll" else any)(value in found for value in wanted)


def main():
    given = cases.read()
    types = {entry["attr"][0]: property_type(entry["type"]) for entry in given["declared"]}
    # A chunk with a value that its property does not take is not stored at all.
    values = {chunk["id"]: stored(chunk, types) for chunk in given["chunks"]}
    for chunk in given["chunks"]:
        lost = [
            name
            for name, value in chunk["attributes"].items()
            if value not in (None, [], {}) and name in types and name not in values[chunk["id"]]
        ]
        if [name for name in lost if not isinstance(chunk["attributes"][name], dict)]:
            del values[chunk["id"]]
    given["chunks"] = [chunk for chunk in given["chunks"] if chunk["id"] in values]
    asked = []
    for case in given["cases"]:
        case["matches"] = [id_ for id_ in case["matches"] if id_ in values]
        try:
            for found in values.values():
                holds(case["native"], found, types)
            asked.append(case)
        except Refused:
            pass
    refused = len(given["cases"]) - len(asked)
    print(f"{len(values)} chunks; {refused} filters refused for a value of another type", file=sys.stderr)
    given["cases"] = asked

    def select(native):
        assert _FilterToGRPC.convert(of_client(native)) is not None
        return [id_ for id_, found in values.items() if holds(native, found, types)]

    cases.check(given, select)


main()
