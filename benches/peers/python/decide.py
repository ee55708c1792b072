"""Decides on the same chunks by the same rule in every way that a Python program has, and writes the times for `results`.

Its arguments are the folder of the package `tamis`, or "" if it is installed, and the file for the figures. A way that decides otherwise than
the check by hand is an error.
"""

import json
import sys
import time
from statistics import median

if sys.argv[1]:
    sys.path.insert(0, sys.argv[1])

import cedarpy
import pyarrow as pa
import tamis
from wardowl.filters import And, In, Or, matches

BATCHES = [1, 10, 100, 1000]
SECONDS = 1.0
TABLE = "decide in Python"

POLICY = """
permit(principal, action, resource)
when { resource.tenant == principal.tenant && (resource.readers.containsAny(principal.groups) || resource.owner == principal.name) };
"""
GROUPS = ["g3", "g7", "g11"]
REQUEST = {
    "subject": {"type": "User", "id": "alice", "properties": {"tenant": "t1", "name": "alice", "groups": GROUPS}},
    "action": {"name": "retrieve"},
}


def metadata(number):
    return {
        "tenant": f"t{number % 3}",
        "readers": [f"g{number % 17}", f"g{number % 5 + 20}"],
        "owner": "alice" if number % 10 == 0 else f"u{number}",
        "title": f"Chunk {number}",
        "page": number,
    }


def by_hand():
    tenant, name, groups = "t1", "alice", frozenset(GROUPS)

    def check(chunk):
        attributes = chunk["attributes"]
        if attributes.get("tenant") != tenant:
            return False
        return not groups.isdisjoint(attributes.get("readers", ())) or attributes.get("owner") == name

    return lambda chunks: [chunk for chunk in chunks if check(chunk)]


def with_wardowl():
    rule = And(In("tenant", ["t1"]), Or(In("readers", GROUPS), In("owner", ["alice"])))
    return lambda chunks: [chunk for chunk in chunks if matches(rule, chunk["attributes"])]


def with_cedarpy(chunks):
    policies = cedarpy.PolicySet.from_str(POLICY)
    entities = [
        {"uid": {"type": "Chunk", "id": chunk["id"]}, "attrs": {name: chunk["attributes"][name] for name in ("tenant", "readers", "owner")}, "parents": []}
        for chunk in chunks
    ]
    entities.append({"uid": {"type": "User", "id": "alice"}, "attrs": REQUEST["subject"]["properties"], "parents": []})
    known = cedarpy.Entities.from_json_str(json.dumps(entities))
    requests = [
        {"principal": 'User::"alice"', "action": 'Action::"retrieve"', "resource": f'Chunk::"{chunk["id"]}"', "context": {}}
        for chunk in chunks
    ]

    def run(some):
        answers = cedarpy.is_authorized_batch(requests[: len(some)], policies, known)
        return [chunk for chunk, answer in zip(some, answers) if answer.allowed]

    return run


def time_of(call, chunks):
    """The median time of a call for each chunk, in nanoseconds."""
    call(chunks)
    times, begun = [], time.perf_counter()
    while time.perf_counter() - begun < SECONDS or len(times) < 5:
        start = time.perf_counter_ns()
        call(chunks)
        times.append(time.perf_counter_ns() - start)
    return median(times) / len(chunks)


def main():
    chunks = [{"id": str(number), "attributes": metadata(number)} for number in range(max(BATCHES))]
    policy = tamis.Policy.compile(POLICY)
    request = tamis.Request(REQUEST)
    session = policy.session(request)
    ways = {
        "Python, by hand": by_hand(),
        "wardowl, matches": with_wardowl(),
        "cedarpy": with_cedarpy(chunks),
        "tamis, Session.filter": session.filter,
        "tamis, Policy.filter, new request": lambda some: policy.filter(request, some),
    }
    expected = [chunk["id"] for chunk in ways["Python, by hand"](chunks)]
    assert 0 < len(expected) < len(chunks)
    figures = []

    def put(row, batch, nanoseconds):
        print(f"{TABLE} / {row} / {batch}: {nanoseconds:.0f} ns", file=sys.stderr)
        figures.append({"group": TABLE, "row": row, "column": str(batch), "value": nanoseconds, "unit": "time"})

    for row, way in ways.items():
        found = [chunk["id"] for chunk in way(chunks)]
        assert found == expected, f"{row} decides otherwise"
        for batch in BATCHES:
            put(row, batch, time_of(way, chunks[:batch]))
    table = pa.table({"id": [c["id"] for c in chunks], **{name: [c["attributes"][name] for c in chunks] for name in chunks[0]["attributes"]}})
    decided = [id for id, decision in zip(table["id"].to_pylist(), session.decide(table)) if decision]
    assert decided == expected, "columns are decided otherwise"
    for batch in BATCHES:
        columns = table.slice(0, batch).combine_chunks()
        put("tamis, Session.decide, Arrow", batch, time_of(lambda _, columns=columns: session.decide(columns), chunks[:batch]))
    with open(sys.argv[2], "w") as file:
        json.dump(figures, file, indent=2)


main()
