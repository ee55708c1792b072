"""What every engine's test shares: reading the cases, and judging what the engine selected."""

import json
import sys


def read():
    """The object that `engine_cases` printed, from standard input."""
    return json.load(sys.stdin)


def stored(chunk, path):
    """What a chunk has at a path; None if nothing."""
    value = chunk["attributes"]
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def layout(given, kind_of, structure_of):
    """The columns of a table with one for each declared attribute, and the fields of those that are structures."""
    columns, structures = {}, {}
    for entry in given["declared"]:
        path, kind = entry["attr"], kind_of(entry["type"])
        if len(path) == 1:
            columns[path[0]] = kind
        else:
            structures.setdefault(path[0], {})[path[1]] = kind
    columns.update((name, structure_of(fields)) for name, fields in structures.items())
    return columns, structures


def cell(chunk, name, structures):
    """What a chunk has in a column of such a table."""
    if name in structures:
        return {field: stored(chunk, [name, field]) for field in structures[name]}
    return stored(chunk, [name])


def check(given, select):
    """Runs `select(native)`, which returns ids, for every case, and leaves with 1 if one of them selects too little, or too
    much where it is said to be exact."""
    everything = len(given["chunks"])
    failures, exact, selective = [], 0, 0
    for number, case in enumerate(given["cases"]):
        matches = set(case["matches"])
        try:
            selected = set(select(case["native"]))
            wrong = {"missed": sorted(matches - selected)}
            if case["exact"]:
                wrong["extra"] = sorted(selected - matches)
        except Exception as error:  # Whatever an engine throws is a failure of this case.
            selected, wrong = set(), {"error": f"{type(error).__name__}: {error}"[:500]}
        if any(wrong.values()):
            failures.append({"case": number, **wrong, **case})
        exact += case["exact"]
        selective += case["exact"] and 0 < len(selected) < everything
    for failure in failures[:10]:
        print(json.dumps(failure), file=sys.stderr)
    counts = {"cases": len(given["cases"]), "exact": exact, "selective": selective}
    print(json.dumps(counts if not failures else {**counts, "failed": len(failures)}))
    sys.exit(1 if failures else 0)
