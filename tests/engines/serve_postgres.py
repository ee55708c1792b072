"""Runs a PostgreSQL server until standard input ends. Prints the folder of its socket.

An argument is a folder with the files of an extension, which is installed before the server starts, or the pg_config of a server to
run in place of the package's.
"""

import os
import sys

import postgres

argument = sys.argv[1] if len(sys.argv) > 1 else None
chosen = {"pg_config": argument} if argument and os.path.isfile(argument) else {"extension": argument}
with postgres.server(**chosen) as connection:
    if connection.execute("SELECT FROM pg_available_extensions WHERE name = 'vector'").rowcount:
        connection.execute("CREATE EXTENSION vector")
    print(connection.info.host, flush=True)
    sys.stdin.read()
