"""Runs a PostgreSQL server until standard input ends. Prints the folder of its socket."""

import sys

import postgres

with postgres.server() as connection:
    connection.execute("CREATE EXTENSION vector")
    print(connection.info.host, flush=True)
    sys.stdin.read()
