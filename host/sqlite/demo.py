#!/usr/bin/python3
"""Two people, one SQL: the demo's corpus in SQLite, behind one policy.

    ./run sqlite
    /usr/bin/python3 host/sqlite/demo.py target/extension/release/tamis.so

With the package `sqlite-vec` it searches by vectors as well.
"""

import json
import os
import sqlite3
import sys
import tempfile

try:
    import sqlite_vec
except ImportError:
    sqlite_vec = None

CORPUS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cli", "demo")
DIMENSIONS = 384
COLUMNS = ("tenant", "access_level", "user_roles", "agent_usable", "min_age", "title")
NEAREST = """SELECT s.distance, d.title, d.tenant, d.access_level, d.min_age
    FROM tamis_search('chunks', ?, 4) AS s JOIN chunks AS d ON d.rowid = s.id ORDER BY s.distance"""


def read(name):
    with open(os.path.join(CORPUS, name), encoding="utf-8") as file:
        return file.read()


def vectors(name):
    with open(os.path.join(CORPUS, name), "rb") as file:
        numbers = memoryview(file.read()).cast("b")
    return [numbers[start : start + DIMENSIONS].tolist() for start in range(0, len(numbers), DIMENSIONS)]


def connect(path):
    connection = sqlite3.connect(path, isolation_level=None)
    connection.enable_load_extension(True)
    if sqlite_vec:
        sqlite_vec.load(connection)
    connection.load_extension(os.path.splitext(sys.argv[1])[0])
    # SQL must not load libraries.
    connection.enable_load_extension(False)
    return connection


def one(connection, sql, *parameters):
    return connection.execute(sql, parameters).fetchone()[0]


def store(admin):
    admin.execute(
        """CREATE TABLE chunks (id TEXT UNIQUE, tenant TEXT, access_level INTEGER, user_roles JSON, agent_usable BOOLEAN,
           min_age INTEGER, title TEXT, text TEXT)"""
    )
    admin.execute("CREATE INDEX by_tenant ON chunks (tenant)")
    if sqlite_vec:
        admin.execute(f"CREATE VIRTUAL TABLE embeddings USING vec0(embedding float[{DIMENSIONS}] distance_metric=cosine)")
    admin.execute("BEGIN")
    rows = map(json.loads, read("corpus.jsonl").splitlines())
    for row, vector in zip(rows, vectors("corpus.i8")):
        attributes = row["attributes"]
        values = [json.dumps(value) if isinstance(value, list) else value for value in map(attributes.get, COLUMNS)]
        values = [row["id"], *values, row["text"]]
        number = admin.execute("INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values).lastrowid
        if sqlite_vec:
            admin.execute("INSERT INTO embeddings (rowid, embedding) VALUES (?, ?)", (number, json.dumps(vector)))
    admin.execute("COMMIT")
    print(f"1. {one(admin, 'SELECT count(*) FROM chunks')} chunks of the PostgreSQL manual in an ordinary table")
    options = {"id": "id", "text": "text", **({"vectors": "embeddings"} if sqlite_vec else {})}
    one(admin, "SELECT tamis_load('rag', ?, ?)", read("clearance.cedar"), read("demo.cedarschema"))
    one(admin, "SELECT tamis_protect('chunks', 'rag', ?)", json.dumps(options))
    print("   SELECT tamis_load('rag', …); SELECT tamis_protect('chunks', 'rag', …)\n")


def show(connection, question):
    print(f"   SELECT count(*) FROM chunks: {one(connection, 'SELECT count(*) FROM chunks')}")
    if sqlite_vec:
        print("   near  title                                             tenant  level  min. age")
        for distance, title, tenant, level, min_age in connection.execute(NEAREST, (json.dumps(question),)):
            print(f"   {1 - distance:.2f}  {title[:48]:48}  {tenant:6}  {level:<5}  {min_age or '-'}")
    print()


def attack(connection):
    for sql in (
        "SELECT count(*) FROM chunks WHERE tenant = 'globex'",
        "SELECT count(*) FROM tamis_protected_chunks",
        "SELECT tamis_unprotect('chunks')",
        "SELECT tamis_load('rag', 'permit(principal, action, resource);')",
        """SELECT tamis_request('{"subject":{"type":"User","id":"root"},"action":{"name":"retrieve"}}')""",
        "CREATE TEMP TRIGGER t AFTER UPDATE ON main.chunks BEGIN SELECT 1; END",
        "ATTACH 'demo.sqlite' AS again",
        "PRAGMA writable_schema = ON",
        "DELETE FROM chunks",
    ):
        try:
            cursor = connection.execute(sql)
            row = cursor.fetchone()
            found = row[0] if row else f"{cursor.rowcount} rows"
        except sqlite3.Error as error:
            found = f"refused: {error}"
        print(f"   {sql[:80]}\n      {found}")
    print()


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "demo.sqlite")
        admin = connect(path)
        store(admin)
        question = vectors("questions.i8")[-1]
        asked = json.loads(read("questions.jsonl").splitlines()[-1])["text"]
        people = {person["name"]: json.dumps(person["request"]) for person in json.loads(read("people.json"))}

        print(f'2. The same SQL for two people: "{asked}"')
        served = connect(path)
        # What a pool does before anything else; from now on only who has the ticket says who asks.
        ticket = one(served, "SELECT tamis_lock()")
        for name in ("Dana", "Carol"):
            ticket = one(served, "SELECT tamis_request(?, ?)", people[name], ticket)
            print(f"   {name}")
            show(served, question)

        print("3. What SQL gets that was slipped into Dana's agent")
        ticket = one(served, "SELECT tamis_request(?, ?)", people["Dana"], ticket)
        attack(served)

        print("4. Another policy is stored, over another connection, which treats minors apart. Dana's next statement")
        generation = one(admin, "SELECT tamis_load('rag', ?, ?)", read("company.cedar"), read("demo.cedarschema"))
        show(served, question)
        one(served, "SELECT tamis_end(?)", ticket)
        print(f"   generation {generation}; {one(admin, 'SELECT digest FROM tamis_policies')}")
        served.close()
        admin.close()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main()
