//! Searches give k rows where there are k, through an index or not.

use postgres::Client;
use tamis_tests::extension::{Database, asked, count, person, server};

/// So many documents, few of which are of the tenant `rare`.
fn many(admin: &mut Client) {
    admin
        .batch_execute(
            "TRUNCATE docs;
             INSERT INTO docs SELECT n, CASE WHEN n % 1000 = 0 THEN 'rare' WHEN n % 10 = 1 THEN 'tenth' ELSE 'most' END, 0, 'title ' || n,
                 ARRAY[sin(n), cos(n * 1.7), sin(n * 0.7)]::vector FROM generate_series(1, 20000) AS n;
             CREATE INDEX ON docs USING hnsw (embedding vector_cosine_ops); CREATE INDEX ON docs (tenant); ANALYZE docs",
        )
        .unwrap();
}

/// The ids of the nearest, by comparing all.
fn nearest(admin: &mut Client, tenant: &str, k: i64) -> Vec<i64> {
    let query = "SELECT id FROM docs WHERE tenant = $1 ORDER BY (embedding <=> '[1,0.5,0.2]') + 0 LIMIT $2";
    admin.query(query, &[&tenant, &k]).unwrap().iter().map(|row| row.get(0)).collect()
}

#[test]
fn k_is_k_however_few_may_be_read() {
    let database = Database::new(server());
    if database.skips_pgvector() {
        return;
    }
    let mut admin = database.documents();
    many(&mut admin);
    let mut app = database.app();
    for (tenant, rows) in [("most", 17_980), ("tenth", 2_000), ("rare", 20), ("none", 0)] {
        for k in [1, 10, 40] {
            let query = format!("SELECT id FROM tamis.search(NULL::docs, 'embedding', '[1,0.5,0.2]', {k})");
            let found = asked(&mut app, &person(tenant, 0, &[]), &query).unwrap();
            let found: Vec<i64> = found.iter().map(|row| row.get(0)).collect();
            let expected = nearest(&mut admin, tenant, k);
            assert_eq!(found.len() as i64, k.min(rows), "{tenant}");
            let right = found.iter().filter(|id| expected.contains(id)).count();
            assert!(right * 10 >= expected.len() * 8, "{tenant}, {k}: {right} of {}", expected.len());
        }
    }
    // A superuser is held to it too, and without a request there is nothing.
    let query = "SELECT count(*) FROM tamis.search(NULL::docs, 'embedding', '[1,0.5,0.2]', 10) WHERE tenant <> 'rare'";
    assert_eq!(count(&mut admin, &person("rare", 0, &[]), query), 0);
    let all = "SELECT count(*) FROM tamis.search(NULL::docs, 'embedding', '[1,0.5,0.2]', 10)";
    assert_eq!(admin.query_one(all, &[]).unwrap().get::<_, i64>(0), 0);
}

#[test]
fn an_index_serves_what_the_request_can_be_allowed() {
    let database = Database::new(server());
    if database.skips_pgvector() {
        return;
    }
    let mut admin = database.documents();
    many(&mut admin);
    let mut app = database.app();
    let explain = |client: &mut Client, request: &str| -> String {
        let rows = asked(client, request, "EXPLAIN (COSTS OFF) SELECT * FROM docs").unwrap();
        rows.iter().map(|row| row.get::<_, String>(0) + "\n").collect()
    };
    let plan = explain(&mut app, &person("rare", 5, &[]));
    assert!(plan.contains("docs_tenant_idx") && plan.contains("tenant = 'rare'::text"), "{plan}");
    assert!(plan.contains("level <= '5'::bigint") && plan.contains("tamis.decided"), "{plan}");
    // A request can name nothing but values.
    let plan = explain(&mut app, &person("x' OR 'a' = 'a", 5, &[]));
    assert!(plan.contains("tenant = 'x'' OR ''a'' = ''a'::text"), "{plan}");

    // The k nearest by SQL alone: with an iterative scan as many as there are, or as pgvector looks at.
    let query =
        "SELECT count(*) FROM (SELECT FROM docs ORDER BY embedding <=> '[1,0.5,0.2]' LIMIT 10) AS nearest";
    app.batch_execute("SET hnsw.iterative_scan = relaxed_order").unwrap();
    for (tenant, rows) in [("most", 10), ("tenth", 10), ("rare", 10), ("none", 0)] {
        assert_eq!(count(&mut app, &person(tenant, 0, &[]), query), rows, "{tenant}");
    }
    app.batch_execute("SET tamis.narrow = off").unwrap();
    assert!(!explain(&mut app, &person("rare", 5, &[])).contains("rare"));
    assert_eq!(count(&mut app, &person("rare", 0, &[]), "SELECT count(*) FROM docs"), 20);
}

/// What is planned for a request is planned by the system's operators: another's would see rows before the policy.
#[test]
fn an_operator_of_the_users_does_not_take_part_in_the_condition() {
    let database = Database::new(server());
    let mut admin = database.documents();
    admin
        .batch_execute(
            "GRANT CREATE ON SCHEMA public TO app; CREATE TABLE seen (tenant text); GRANT ALL ON seen TO app",
        )
        .unwrap();
    let mut app = database.app();
    app.batch_execute(
        "CREATE FUNCTION steal(text, text) RETURNS boolean LANGUAGE plpgsql COST 0.0001
             AS $$ BEGIN INSERT INTO public.seen VALUES ($1); RETURN true; END $$;
         CREATE OPERATOR public.= (FUNCTION = steal, LEFTARG = text, RIGHTARG = text);
         CREATE FUNCTION low(bigint, bigint) RETURNS boolean LANGUAGE plpgsql COST 0.0001
             AS $$ BEGIN INSERT INTO public.seen VALUES ($1::text); RETURN true; END $$;
         CREATE OPERATOR public.<= (FUNCTION = low, LEFTARG = bigint, RIGHTARG = bigint);
         SET search_path = public, pg_catalog",
    )
    .unwrap();
    assert_eq!(count(&mut app, &person("acme", 3, &[]), "SELECT count(*) FROM docs"), 200);
    assert_eq!(admin.query_one("SELECT count(*) FROM seen", &[]).unwrap().get::<_, i64>(0), 0);
}

#[test]
fn a_condition_is_what_the_request_can_be_allowed() {
    let database = Database::new(server());
    let mut admin = database.documents();
    let mut app = database.app();
    let condition = |client: &mut Client, request: &str| -> String {
        asked(client, request, "SELECT tamis.condition('docs')").unwrap()[0].get(0)
    };
    let text = condition(&mut app, &person("a'c$1me\"", 3, &[]));
    assert!(text.contains(r#""tenant" = 'a''c$1me"'::text"#), "{text}");
    // What it selects of all rows is what is allowed of all rows.
    for (tenant, level) in [("acme", 3), ("globex", 0), ("a'c$1\\me\"", 9)] {
        let request = person(tenant, level, &[]);
        let text = condition(&mut app, &request);
        let selected: i64 =
            admin.query_one(&format!("SELECT count(*) FROM docs WHERE {text}"), &[]).unwrap().get(0);
        assert_eq!(selected, count(&mut app, &request, "SELECT count(*) FROM docs"), "{text}");
    }
    let nobody: String = admin.query_one("SELECT tamis.condition('docs')", &[]).unwrap().get(0);
    assert_eq!(nobody, "FALSE");
}
