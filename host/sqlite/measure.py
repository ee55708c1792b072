#!/usr/bin/python3
"""What a protected table costs, against the same rule as SQL over the same rows.

    /usr/bin/python3 host/sqlite/measure.py target/extension/release/tamis.so
"""

import json
import os
import sqlite3
import sys
import time

ROWS = 100_000
SCHEMA = """entity User { tenant: String, clearance: Long }; entity Chunk { tenant: String, level: Long };
    action retrieve appliesTo { principal: User, resource: Chunk };"""
# One in ten rows, by an index; and all of them, which the policy decides on one by one.
RULES = {
    "1 in 10": ("resource.tenant == principal.tenant && resource.level <= principal.clearance", "tenant = 't3' AND level <= 9"),
    "all": ('resource.tenant like "t*" && resource.level <= principal.clearance', "tenant LIKE 't%' AND level <= 9"),
}
QUERIES = (
    "SELECT count(*) FROM {}",
    "SELECT id, tenant, level, body FROM {}",
    "SELECT body FROM {} WHERE id = 50003",
)


def best(connection, sql):
    times = []
    for _ in range(7):
        began = time.perf_counter()
        connection.execute(sql).fetchall()
        times.append(time.perf_counter() - began)
    return min(times) * 1e3


def main(extension):
    print("| readable | statement | SQL | protected |\n|---|---|---:|---:|")
    for name, (rule, condition) in RULES.items():
        connection = sqlite3.connect(":memory:", isolation_level=None)
        connection.enable_load_extension(True)
        connection.load_extension(os.path.splitext(extension)[0])
        for table in ("docs", "plain"):
            connection.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, tenant TEXT, level INTEGER, body TEXT)")
            connection.execute(f"CREATE INDEX {table}_tenant ON {table} (tenant)")
            rows = ((number, f"t{number % 10}", number % 4, f"text {number}") for number in range(ROWS))
            connection.execute("BEGIN")
            connection.executemany(f"INSERT INTO {table} VALUES (?, ?, ?, ?)", rows)
            connection.execute("COMMIT")
        policy = "permit(principal, action, resource) when { %s };" % rule
        connection.execute("SELECT tamis_load('rag', ?, ?)", (policy, SCHEMA)).fetchall()
        connection.execute("SELECT tamis_protect('docs', 'rag')").fetchall()
        properties = {"tenant": "t3", "clearance": 9}
        request = {"subject": {"type": "User", "id": "a", "properties": properties}, "action": {"name": "retrieve"}}
        connection.execute("SELECT tamis_request(?)", (json.dumps(request),)).fetchall()
        for query in QUERIES:
            native = best(connection, query.format(f"(SELECT * FROM plain WHERE {condition})"))
            protected = best(connection, query.format("docs"))
            print(f"| {name} | `{query.format('docs')}` | {native:.2f} ms | {protected:.2f} ms |")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
