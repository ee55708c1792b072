"""Starts a PostgreSQL server with the extension, loads the demo's documents, and lets several people ask for the same.

`./run postgres demo` runs this with what it needs.
"""

import json
import pathlib
import struct
import sys

ROOT = pathlib.Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "tests/engines"))
import postgres  # noqa: E402  (the server that the tests run)

DEMO = ROOT / "host/cli/demo"
DIMENSIONS = 384


def vectors(file):
    """Vectors as pgvector reads them, out of bytes."""
    data = (DEMO / file).read_bytes()
    for start in range(0, len(data), DIMENSIONS):
        yield str([number / 127 for number in struct.unpack(f"{DIMENSIONS}b", data[start : start + DIMENSIONS])])


def say(text):
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}")


def table(rows, names):
    widths = [max(len(str(row[place])) for row in [names, *rows]) for place in range(len(names))]
    for row in [names, *rows]:
        print("   " + "  ".join(str(value).ljust(width) for value, width in zip(row, widths)).rstrip())


def fill(admin):
    """The documents of two companies, protected by one policy."""
    admin.execute("CREATE EXTENSION IF NOT EXISTS vector; CREATE EXTENSION tamis")
    admin.execute(
        "CREATE TABLE docs (id text PRIMARY KEY, title text NOT NULL, attributes jsonb NOT NULL, body text, embedding vector(384))"
    )
    lines = (DEMO / "corpus.jsonl").read_text().splitlines()
    with admin.cursor().copy("COPY docs FROM STDIN") as copy:
        for line, vector in zip(map(json.loads, lines), vectors("corpus.i8")):
            attributes = line["attributes"]
            copy.write_row((line["id"], attributes["title"], json.dumps(attributes), line.get("text"), vector))
    admin.execute("CREATE INDEX ON docs USING gin (attributes jsonb_path_ops)")
    admin.execute("CREATE INDEX ON docs USING hnsw (embedding vector_cosine_ops)")
    admin.execute("ANALYZE docs")
    load(admin, "clearance.cedar")
    admin.execute("SELECT tamis.protect('docs', 'rag', id => 'id')")
    admin.execute("CREATE ROLE app LOGIN; GRANT SELECT, INSERT, UPDATE, DELETE ON docs TO app; GRANT EXECUTE ON FUNCTION tamis.set_request_token(text) TO app")
    return len(lines)


def load(admin, file):
    texts = [(DEMO / name).read_text() for name in (file, "demo.cedarschema")]
    return admin.execute("SELECT tamis.load_policy('rag', %s::text, %s)", texts).fetchone()[0]


def main():
    extension = sys.argv[1]
    with postgres.server(extension) as admin:
        say("1. A table of documents, protected where it lies")
        rows = fill(admin)
        key = b"a key that the application and the database share, and nobody else"
        admin.execute("SELECT tamis.set_key(%s)", [key])
        policy = admin.execute("SELECT generation, digest FROM tamis.policies").fetchone()
        print(f"   {rows} documents; policy rag, generation {policy[0]}, sha256:{policy[1][:16]}…")

        people = {person["name"]: person for person in json.loads((DEMO / "people.json").read_text())}
        question, vector = json.loads((DEMO / "questions.jsonl").read_text().splitlines()[0])["text"], next(vectors("questions.i8"))
        app = postgres.psycopg.connect(host=admin.info.host, user="app", dbname="postgres")

        def ask(name, *statements):
            """What one transaction of a pooled connection answers, with the request that the application signs."""
            with app.transaction():
                app.execute("SELECT tamis.set_request_token(%s)", [token(people[name]["request"], key)])
                return [app.execute(statement).fetchall() for statement in statements][-1]

        search = f"SELECT title, attributes->>'tenant', attributes->>'access_level' FROM tamis.search(NULL::docs, 'embedding', '{vector}', 3)"
        say(f'2. The same SQL for everybody: "{question}"')
        for name in ("Alice", "Carol", "Dana", "Copilot for Alice"):
            print(f"   {name}, {people[name]['about']}: {ask(name, 'SELECT count(*) FROM docs')[0][0]} documents")
            table(ask(name, search), ("title", "tenant", "level"))
        print(f"   Nobody: {app.execute('SELECT count(*) FROM docs').fetchone()[0]} documents")
        app.commit()

        say("3. What the planner makes of `SELECT * FROM docs` for Carol")
        for (line,) in ask("Carol", "EXPLAIN (COSTS OFF) SELECT * FROM docs"):
            print(f"   {line[:150]}")

        say("4. An agent whose SQL somebody else wrote")
        admin_request = json.dumps(people["Carol"]["request"])
        for injected in (
            "SELECT count(*) FROM docs WHERE attributes->>'tenant' = 'globex'",
            "SELECT count(*) FROM docs WHERE true OR true",
            f"SELECT tamis.set_request('{admin_request}')",
            f"SELECT tamis.set_request_token('{token(people['Carol']['request'], b'a key that somebody has guessed......')}')",
            "COPY docs TO STDOUT",
            "ALTER TABLE docs DISABLE ROW LEVEL SECURITY",
            "UPDATE docs SET attributes = attributes || '{\"tenant\": \"acme\"}'",
        ):
            print(f"   {injected[:96]}")
            try:
                with app.transaction(force_rollback=True):
                    app.execute("SELECT tamis.set_request_token(%s)", [token(people["Copilot for Alice"]["request"], key)])
                    if injected.startswith("COPY"):
                        with app.cursor().copy(injected) as copy:
                            answer = f"{sum(1 for _ in copy.rows())} rows, all that the agent may read"
                    else:
                        cursor = app.execute(injected)
                        answer = cursor.fetchall() if cursor.description else f"{cursor.rowcount} rows"
            except postgres.psycopg.Error as error:
                answer = str(error).splitlines()[0]
            print(f"      {answer}")

        say("5. A policy is swapped; the connection goes on")
        before = ask("Dana", "SELECT count(*) FROM docs")[0][0]
        generation = load(admin, "company.cedar")
        after = ask("Dana", "SELECT count(*) FROM docs")[0][0]
        admin.execute("SELECT tamis.rollback_policy('rag')")
        print(f"   Dana, who is 17, reads {before}; from generation {generation} on {after}; rolled back: "
              f"{ask('Dana', 'SELECT count(*) FROM docs')[0][0]}")
        app.close()


def token(request, key):
    """A JSON web token, as any web framework makes one."""
    import base64
    import hashlib
    import hmac
    import time

    def part(value):
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    claims = {"exp": int(time.time()) + 60, "tamis": request}
    signed = part(b'{"alg":"HS256"}') + "." + part(json.dumps(claims).encode())
    return signed + "." + part(hmac.digest(key, signed.encode(), hashlib.sha256))


if __name__ == "__main__":
    main()
