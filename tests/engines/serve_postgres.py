"""Runs a PostgreSQL server until standard input ends. Prints the folder of its socket.

An argument is a folder with the files of an extension, which is installed before the server starts.
"""

import sys

import postgres

with postgres.server(*sys.argv[1:2]) as connection:
    connection.execute("CREATE EXTENSION vector")
    print(connection.info.host, flush=True)
    sys.stdin.read()
