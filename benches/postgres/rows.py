"""What protection costs: a sequential scan and an indexed search of the same rule, by Tamis, as a native SQL policy and in PL/pgSQL.

    target/postgres-server/bin/python benches/postgres/rows.py target/postgres [ROWS …]
"""

import itertools
import json
import pathlib
import statistics
import sys
import time

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


# As that of the texts that people search, and as small as their models have.
DIMENSIONS = 96
# The vectors of a table, and what is searched for.
VECTOR = "ARRAY(SELECT random() - 0.5 FROM generate_series(1, %d) WHERE n = n)::vector" % DIMENSIONS
SEARCHES = 101


def fill(admin, rows):
    admin.execute(f"""
        DROP TABLE IF EXISTS plain, native, plpgsql, tamis_rows, distinct_rows, distinct_native;
        CREATE TABLE plain (id bigint, tenant text, level bigint, body text);
        INSERT INTO plain SELECT n, 't' || n % 10, n / 10 % 10, repeat('x', 200) FROM generate_series(1, {rows}) AS n;
        CREATE TABLE native (LIKE plain); INSERT INTO native TABLE plain;
        CREATE TABLE plpgsql (LIKE plain); INSERT INTO plpgsql TABLE plain;
        CREATE TABLE tamis_rows (LIKE plain); INSERT INTO tamis_rows TABLE plain;
        CREATE TABLE distinct_rows (LIKE plain); INSERT INTO distinct_rows SELECT id, tenant, -id, body FROM plain;
        CREATE TABLE distinct_native (LIKE plain); INSERT INTO distinct_native TABLE distinct_rows;
        CREATE OR REPLACE FUNCTION may(tenant text, level bigint) RETURNS boolean LANGUAGE plpgsql STABLE AS
            $$ BEGIN RETURN {NATIVE}; END $$;
        ALTER TABLE native ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON native USING ({NATIVE});
        ALTER TABLE distinct_native ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON distinct_native USING ({NATIVE});
        ALTER TABLE plpgsql ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON plpgsql USING (may(tenant, level));
        SELECT tamis.protect('tamis_rows', 'bench'); SELECT tamis.protect('distinct_rows', 'bench');
        GRANT SELECT ON plain, native, plpgsql, tamis_rows, distinct_rows, distinct_native TO app;
    """)
    admin.execute("VACUUM ANALYZE")


def fill_searched(admin, rows):
    """A table with an HNSW index, which is searched under one policy after the other: one graph for all. Says what building took."""
    admin.execute(f"""
        DROP TABLE IF EXISTS searched;
        SELECT setseed(0.5);
        CREATE TABLE searched (id bigint, tenant text, level bigint, embedding vector({DIMENSIONS}));
        INSERT INTO searched SELECT n, 't' || n % 10, n / 10 % 10, {VECTOR} FROM generate_series(1, {rows}) AS n;
        GRANT SELECT ON searched TO app; SET maintenance_work_mem = '3GB'; SET max_parallel_maintenance_workers = 2;
    """)
    began = time.monotonic()
    admin.execute("CREATE INDEX ON searched USING hnsw (embedding vector_cosine_ops); CREATE INDEX ON searched (tenant)")
    print(f"HNSW over {rows} x {DIMENSIONS}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    admin.execute("VACUUM ANALYZE searched")


def searches(admin):
    """What is searched for: other vectors than those of the table."""
    admin.execute("SELECT setseed(0.25)")
    return [[v] for (v,) in admin.execute(f"SELECT {VECTOR}::text FROM generate_series(1, {SEARCHES}) AS n").fetchall()]


def request(person):
    """The request of a person, all of whom may read the same."""
    return json.dumps({"subject": {"type": "User", "id": f"u{person}", "properties": {"tenant": "t1", "level": 5}}})


def measure(app, statement, parameters, settings=(), strangers=False):
    """The time of the median, in milliseconds of the backend's processor, and the last answer. Each run is a transaction of its own, and of
    a person of its own if they are strangers: about them nothing is remembered.
    """
    (backend,) = app.execute("SELECT pg_backend_pid()").fetchone()
    clock = pathlib.Path(f"/proc/{backend}/schedstat")
    taken = []
    for given in parameters:
        app.execute("BEGIN")
        app.execute("SELECT tamis.set_request(%s::jsonb)", [request(next(PEOPLE) if strangers else "")])
        for setting in ("app.tenant = 't1'", "app.level = 5", "max_parallel_workers_per_gather = 0", *settings):
            app.execute(f"SET LOCAL {setting}")
        began = int(clock.read_text().split()[0])
        answer = app.execute(statement, given).fetchall()
        taken.append((int(clock.read_text().split()[0]) - began) / 1e6)
        app.execute("COMMIT")
    return statistics.median(taken), answer


GATE_ONLY = "tamis.narrow = off"


def scans(admin, app, rows):
    """Prints what scans cost."""
    fill(admin, rows)
    no_index = ("enable_indexscan = off", "enable_bitmapscan = off", "enable_indexonlyscan = off")
    base, answers = 0.0, {}
    for name, about, settings, strangers in (
        ("plain", "no policy", (), False),
        ("native", "native SQL policy", (), False),
        ("plpgsql", "PL/pgSQL policy", (), False),
        ("tamis_rows", "Tamis", (), False),
        ("tamis_rows", "Tamis, not narrowed", (GATE_ONLY,), False),
        ("tamis_rows", "Tamis, not narrowed, a stranger", (GATE_ONLY,), True),
        ("distinct_native", "no two rows alike: native SQL policy", (), False),
        ("distinct_rows", "no two rows alike: Tamis", (), True),
        ("distinct_rows", "no two rows alike: Tamis, not narrowed", (GATE_ONLY,), True),
    ):
        took, answer = measure(app, f"SELECT count(*) FROM {name}", [()] * 9, (*no_index, *settings), strangers)
        answers[about] = answer[0][0]
        base = base or took
        each = "–" if took == base else f"{(took - base) * 1e6 / rows:.0f} ns"
        print(f"| {rows} | {about} | {took:.1f} ms | {each} |", flush=True)
    same = {answers[about] for about in ("native SQL policy", "PL/pgSQL policy", "Tamis", "Tamis, not narrowed")}
    if len(same) != 1:
        raise ValueError(f"not the same rule: {answers}")


def nearest(admin, app, rows):
    """Prints what searches cost, and how many of the ten nearest that are allowed they find."""
    fill_searched(admin, rows)
    wanted = searches(admin)
    exact = f"SELECT id FROM searched WHERE {NATIVE} ORDER BY (embedding <=> %s::vector) + 0 LIMIT 10"
    admin.execute("SET app.tenant = 't1'; SET app.level = 5")
    right = {vector: {i for (i,) in admin.execute(exact, [vector]).fetchall()} for (vector,) in wanted[:10]}
    native = f"ALTER TABLE searched ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON searched USING ({NATIVE})"
    plpgsql = "ALTER TABLE searched ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON searched USING (may(tenant, level))"
    protect = "SELECT tamis.protect('searched', 'bench')"
    by_order = "SELECT id FROM searched ORDER BY embedding <=> %s::vector LIMIT 10"
    by_search = "SELECT id FROM tamis.search(NULL::searched, 'embedding', %s, 10)"
    iterative = "hnsw.iterative_scan = relaxed_order"
    for about, put, statement, settings in (
        ("native SQL policy", native, by_order, (iterative,)),
        ("PL/pgSQL policy", plpgsql, by_order, (iterative,)),
        ("Tamis", protect, by_order, (iterative,)),
        ("Tamis, not narrowed", protect, by_order, (iterative, GATE_ONLY)),
        ("`tamis.search`", protect, by_search, ()),
    ):
        admin.execute("DROP POLICY IF EXISTS p ON searched")
        admin.execute(put)
        # Once to warm up.
        measure(app, statement, wanted, settings)
        took, _ = measure(app, statement, wanted, settings)
        found = [len(right[v] & {i for (i,) in measure(app, statement, [[v]], settings)[1]}) for v in right]
        print(f"| {rows} | {about} | {took:.2f} ms | {statistics.mean(found):.1f} |", flush=True)
        if put is protect:
            admin.execute("SELECT tamis.unprotect('searched')")


def main():
    sizes = [int(size) for size in sys.argv[2:]] or [50_000]
    with postgres.server(sys.argv[1]) as admin:
        admin.execute("CREATE EXTENSION IF NOT EXISTS vector; CREATE EXTENSION tamis; CREATE ROLE app LOGIN")
        admin.execute("GRANT EXECUTE ON FUNCTION tamis.set_request(jsonb) TO app")
        admin.execute("SELECT tamis.load_policy('bench', %s::text, %s)", [POLICY, SCHEMA])

        def app():
            return postgres.psycopg.connect(host=admin.info.host, user="app", dbname="postgres", autocommit=True)

        print("| rows | | sequential scan | more for each row |\n|---:|---|---:|---:|")
        for rows in sizes:
            scans(admin, app(), rows)
        print("\n| rows | | ten nearest, HNSW | of the ten right |\n|---:|---|---:|---:|")
        for rows in sizes:
            # What a connection has prepared does not outlive its tables.
            nearest(admin, app(), rows)


if __name__ == "__main__":
    main()
