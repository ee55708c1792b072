"""DuckDB, in process, against the cases of `engine_cases duckdb`, read from standard input."""

import sys

# This file has the engine's name, and Python would import it instead of the engine.
sys.path.append(sys.path.pop(0))

import duckdb

import cases

COLUMNS = {"Bool": "BOOLEAN", "Long": "BIGINT", "decimal": "DOUBLE"}


def column(declared):
    """The SQL type of a column for a declared type."""
    if declared.startswith("Set<"):
        return column(declared[4:-1]) + "[]"
    return COLUMNS.get(declared, "VARCHAR")


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


def structure(fields):
    """The type of a column with these fields."""
    return "STRUCT(" + ", ".join(f"{quoted(field)} {kind}" for field, kind in fields.items()) + ")"


def main():
    given = cases.read()
    database = duckdb.connect()
    columns, structures = cases.layout(given, column, structure)
    declared = "".join(f", {quoted(name)} {kind}" for name, kind in columns.items())
    database.execute(f"CREATE TABLE chunks (chunk_id VARCHAR, chunk_type VARCHAR, ancestors VARCHAR[]{declared})")
    marks = ", ".join(["?", "?", "?"] + [f"?::{kind}" for kind in columns.values()])
    for chunk in given["chunks"]:
        row = [chunk["id"], chunk["type"], chunk["ancestors"]]
        row.extend(cases.cell(chunk, name, structures) for name in columns)
        database.execute(f"INSERT INTO chunks VALUES ({marks})", row)

    def select(native):
        # A negated condition must select the rest: it is never NULL.
        text = f"SELECT chunk_id, {native['sql']} FROM chunks"
        rows = database.execute(text, native["parameters"]).fetchall()
        if any(holds is None for _, holds in rows):
            raise ValueError("NULL for a row")
        return [identifier for identifier, holds in rows if holds]

    cases.check(given, select)


main()
