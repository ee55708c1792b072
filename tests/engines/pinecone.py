"""What Pinecone's documentation says of its filters, against the cases of `engine_cases pinecone`, read from standard input.

There is no server to be had, and the client passes filters on unread: this is a model of them, written from the documentation. Where that
says nothing, or other things at other times, a case has to hold either way: whether a missing field meets `$ne` and `$nin`.
"""

import cases


def stored(chunk):
    """Metadata as Pinecone takes it: flat, without null, with double-precision numbers, and arrays of texts only."""
    own = {"chunk_id": chunk["id"], "chunk_type": chunk["type"], "ancestors": chunk["ancestors"]}
    metadata = {}
    for name, value in {**chunk["attributes"], **own}.items():
        if isinstance(value, list) and all(isinstance(element, str) for element in value):
            metadata[name] = value
        elif isinstance(value, (bool, str)):
            metadata[name] = value
        elif isinstance(value, (int, float)):
            metadata[name] = float(value)
    return metadata


def equal(left, right):
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    return type(left) is type(right) and left == right


def compared(operator, value, bound):
    if isinstance(value, bool) or not isinstance(value, float):
        return False
    return {"$lt": value < bound, "$lte": value <= bound, "$gt": value > bound, "$gte": value >= bound}[operator]


def number(value):
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def holds(filter_, metadata, missing_differs):
    ((name, body),) = filter_.items()
    if name in ("$and", "$or"):
        assert len(body) > 1
        return (all if name == "$and" else any)(holds(part, metadata, missing_differs) for part in body)
    assert name and not name.startswith("$"), name
    ((operator, wanted),) = body.items()
    if operator == "$exists":
        return (name in metadata) is wanted
    wanted = [number(value) for value in (wanted if isinstance(wanted, list) else [wanted])]
    assert 0 < len(wanted) <= 10_000
    if name not in metadata:
        return missing_differs and operator in ("$ne", "$nin")
    values = metadata[name] if isinstance(metadata[name], list) else [metadata[name]]
    if operator in ("$lt", "$lte", "$gt", "$gte"):
        assert all(isinstance(bound, float) for bound in wanted)
        return any(compared(operator, value, wanted[0]) for value in values)
    if operator in ("$in", "$nin"):
        assert not any(isinstance(value, bool) for value in wanted)
    among = any(equal(value, one) for value in values for one in wanted)
    return among if operator in ("$eq", "$in") else {"$ne": not among, "$nin": not among}[operator]


def main():
    given = cases.read()
    # An array of texts and others is not taken, so what a filter makes of it is nothing to compare with.
    kept = [
        chunk
        for chunk in given["chunks"]
        if not any(
            isinstance(value, list) and name not in stored(chunk) and any(isinstance(e, str) for e in value)
            for name, value in chunk["attributes"].items()
        )
    ]
    ids = {chunk["id"] for chunk in kept}
    given["chunks"] = kept
    for case in given["cases"]:
        case["matches"] = [id_ for id_ in case["matches"] if id_ in ids]
    metadata = {chunk["id"]: stored(chunk) for chunk in kept}

    def select(native):
        either = [
            [id_ for id_, found in metadata.items() if holds(native, found, missing_differs)]
            for missing_differs in (False, True)
        ]
        assert either[0] == either[1]
        return either[0]

    cases.check(given, select)


main()
