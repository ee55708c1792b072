"""LanceDB, in process, against the cases of `engine_cases lancedb`, read from standard input."""

import re
import sys
import tempfile

# This file has the engine's name, and Python would import it instead of the engine.
sys.path.append(sys.path.pop(0))

import lancedb
import pyarrow

import cases

COLUMNS = {"Bool": pyarrow.bool_(), "Long": pyarrow.int64(), "decimal": pyarrow.float64()}


def column(declared):
    """The Arrow type of a column for a declared type."""
    if declared.startswith("Set<"):
        return pyarrow.list_(column(declared[4:-1]))
    return COLUMNS.get(declared, pyarrow.string())


def main():
    given = cases.read()
    columns, structures = cases.layout(given, column, lambda fields: pyarrow.struct(list(fields.items())))
    # No filter may name others.
    columns = {name: kind for name, kind in columns.items() if re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name)}
    texts = pyarrow.list_(pyarrow.string())
    own = {"chunk_id": pyarrow.string(), "chunk_type": pyarrow.string(), "ancestors": texts}
    vector = {"vector": pyarrow.list_(pyarrow.float32(), 2)}
    schema = pyarrow.schema([*own.items(), *columns.items(), *vector.items()])
    rows = []
    for chunk in given["chunks"]:
        row = {"chunk_id": chunk["id"], "chunk_type": chunk["type"], "ancestors": chunk["ancestors"], "vector": [0.0, 1.0]}
        row.update((name, cases.cell(chunk, name, structures)) for name in columns)
        rows.append(row)

    with tempfile.TemporaryDirectory() as folder:
        table = lancedb.connect(folder).create_table("chunks", pyarrow.Table.from_pylist(rows, schema=schema))

        def select(native):
            found = table.search([0.0, 1.0]).where(native, prefilter=True).limit(len(rows))
            return [row["chunk_id"] for row in found.select(["chunk_id", "_distance"]).to_list()]

        cases.check(given, select)


main()
