"""What protection costs: a sequential scan and an indexed search of the same rule, by Tamis, as a native SQL policy and in PL/pgSQL.

    target/postgres-server/bin/python benches/postgres/rows.py target/postgres [ROWS …]
"""

import itertools
import json
import pathlib
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "tests/engines"))
import postgres  # noqa: E402  (the server that the tests run)

POLICY = """
permit(principal, action == Action::"retrieve", resource)
when { resource.tenant == principal.tenant && resource.level <= principal.level };
permit(principal, action == Action::"index", resource);
"""
SCHEMA = """
entity User { tenant: String, level: Long };
entity Chunk { tenant: String, level: Long };
action "retrieve", "index" appliesTo { principal: User, resource: Chunk };
"""
PEOPLE = itertools.count()
NATIVE = "tenant = current_setting('app.tenant') AND level <= current_setting('app.level')::bigint"


# An approximate index of more takes many minutes to build.
MAX_INDEXED = 100_000


def fill(admin, rows):
    admin.execute(f"""
        DROP TABLE IF EXISTS plain, native, plpgsql, tamis_rows, distinct_rows, distinct_native;
        CREATE TABLE plain (id bigint, tenant text, level bigint, body text, embedding vector(8));
        INSERT INTO plain SELECT n, 't' || n % 10, n / 10 % 10, repeat('x', 200),
            ARRAY(SELECT sin(n * 7.13 + i * 1.7 + n % 97) FROM generate_series(1, 8) AS i)::vector FROM generate_series(1, {rows}) AS n;
        CREATE TABLE native (LIKE plain); INSERT INTO native TABLE plain;
        CREATE TABLE plpgsql (LIKE plain); INSERT INTO plpgsql TABLE plain;
        CREATE TABLE tamis_rows (LIKE plain); INSERT INTO tamis_rows TABLE plain;
        CREATE TABLE distinct_rows (LIKE plain); INSERT INTO distinct_rows SELECT id, tenant, -id, body, embedding FROM plain;
        CREATE TABLE distinct_native (LIKE plain); INSERT INTO distinct_native TABLE distinct_rows;
        CREATE OR REPLACE FUNCTION may(tenant text, level bigint) RETURNS boolean LANGUAGE plpgsql STABLE AS
            $$ BEGIN RETURN {NATIVE}; END $$;
        ALTER TABLE native ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON native USING ({NATIVE});
        ALTER TABLE distinct_native ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON distinct_native USING ({NATIVE});
        ALTER TABLE plpgsql ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON plpgsql USING (may(tenant, level));
        SELECT tamis.protect('tamis_rows', 'bench'); SELECT tamis.protect('distinct_rows', 'bench');
        GRANT SELECT ON plain, native, plpgsql, tamis_rows, distinct_rows, distinct_native TO app;
        SET maintenance_work_mem = '1GB';
    """)
    for name in ("native", "plpgsql", "tamis_rows") if rows <= MAX_INDEXED else ():
        admin.execute(f"CREATE INDEX ON {name} USING hnsw (embedding vector_cosine_ops); CREATE INDEX ON {name} (tenant)")
    admin.execute("VACUUM ANALYZE")


def request(person):
    """The request of a person, all of whom may read the same."""
    return json.dumps({"subject": {"type": "User", "id": f"u{person}", "properties": {"tenant": "t1", "level": 5}}})


def measure(app, statement, times, settings=(), strangers=False):
    """The time of the median, in milliseconds of the backend's processor, and what it answers. Each run is a transaction of its own, and of
    a person of its own if they are strangers: about them nothing is remembered.
    """
    (backend,) = app.execute("SELECT pg_backend_pid()").fetchone()
    clock = pathlib.Path(f"/proc/{backend}/schedstat")
    taken = []
    for _ in range(times):
        app.execute("BEGIN")
        app.execute("SELECT tamis.set_request(%s::jsonb)", [request(next(PEOPLE) if strangers else "")])
        for setting in ("app.tenant = 't1'", "app.level = 5", "max_parallel_workers_per_gather = 0", *settings):
            app.execute(f"SET LOCAL {setting}")
        began = int(clock.read_text().split()[0])
        answer = app.execute(statement).fetchall()
        taken.append((int(clock.read_text().split()[0]) - began) / 1e6)
        app.execute("COMMIT")
    return statistics.median(taken), answer


def main():
    sizes = [int(size) for size in sys.argv[2:]] or [50_000]
    with postgres.server(sys.argv[1]) as admin:
        admin.execute("CREATE EXTENSION IF NOT EXISTS vector; CREATE EXTENSION tamis; CREATE ROLE app LOGIN")
        admin.execute("GRANT EXECUTE ON FUNCTION tamis.set_request(jsonb) TO app")
        admin.execute("SELECT tamis.load_policy('bench', %s::text, %s)", [POLICY, SCHEMA])
        app = postgres.psycopg.connect(host=admin.info.host, user="app", dbname="postgres", autocommit=True)
        print("| rows | | sequential scan | more for each row | ten nearest |\n|---:|---|---:|---:|---:|")
        for rows in sizes:
            fill(admin, rows)
            scan, gate_only = "enable_indexscan = off", "tamis.narrow = off"
            no_index = (scan, "enable_bitmapscan = off", "enable_indexonlyscan = off")
            base = 0.0
            nearest = "SELECT id FROM {} ORDER BY embedding <=> '[1,0.5,0.2,0.1,0,0.3,0.2,0.9]' LIMIT 10"
            searches = "hnsw.iterative_scan = relaxed_order"
            answers = {}
            for name, about, settings, strangers in (
                ("plain", "no policy", (), False),
                ("native", "native SQL policy", (), False),
                ("plpgsql", "PL/pgSQL policy", (), False),
                ("tamis_rows", "Tamis", (), False),
                ("tamis_rows", "Tamis, not narrowed", (gate_only,), False),
                ("tamis_rows", "Tamis, not narrowed, a stranger", (gate_only,), True),
                ("distinct_native", "no two rows alike: native SQL policy", (), False),
                ("distinct_rows", "no two rows alike: Tamis", (), True),
                ("distinct_rows", "no two rows alike: Tamis, not narrowed", (gate_only,), True),
            ):
                took, answer = measure(app, f"SELECT count(*) FROM {name}", 9, (*no_index, *settings), strangers)
                answers[about] = answer[0][0]
                base = base or took
                each = "–" if took == base else f"{(took - base) * 1e6 / rows:.0f} ns"
                if name not in ("native", "plpgsql", "tamis_rows") or strangers or rows > MAX_INDEXED:
                    found = "–"
                else:
                    took_nearest, hits = measure(app, nearest.format(name), 101, (searches, *settings))
                    found = f"{took_nearest:.2f} ms ({len(hits)} found)"
                print(f"| {rows} | {about} | {took:.1f} ms | {each} | {found} |", flush=True)
            same = {answers[about] for about in ("native SQL policy", "PL/pgSQL policy", "Tamis", "Tamis, not narrowed")}
            if len(same) != 1:
                raise ValueError(f"not the same rule: {answers}")
            if rows > MAX_INDEXED:
                continue
            took, hits = measure(app, "SELECT id FROM tamis.search(NULL::tamis_rows, 'embedding', '[1,0.5,0.2,0.1,0,0.3,0.2,0.9]', 10)", 101)
            print(f"| {rows} | tamis.search | – | – | {took:.2f} ms ({len(hits)} found) |", flush=True)


if __name__ == "__main__":
    main()
