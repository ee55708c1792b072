"""The SQLite that Python has, mostly an older one, against the cases of `engine_cases sqlite`, read from standard input."""

import json
import sqlite3

import cases


def main():
    given = cases.read()
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE chunks (chunk_id TEXT, chunk_type TEXT, attributes TEXT, ancestors TEXT)")
    for chunk in given["chunks"]:
        # Names as they are: older versions compare what is written.
        attributes = json.dumps(chunk["attributes"], ensure_ascii=False)
        row = (chunk["id"], chunk["type"], attributes, json.dumps(chunk["ancestors"]))
        database.execute("INSERT INTO chunks VALUES (?, ?, ?, ?)", row)

    def select(native):
        text = f"SELECT chunk_id FROM chunks WHERE {native['sql']}"
        return [row[0] for row in database.execute(text, native["parameters"])]

    cases.check(given, select)


main()
