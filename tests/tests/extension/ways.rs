//! Every way to a table's rows: what it shows of a protected one.

use std::io::{Read, Write};

use tamis_tests::extension::{Database, asked, code, count, person, said, server};

const ALL: &str = "SELECT count(*) FROM docs";

#[test]
fn owners_are_held_to_it_and_who_bypasses_row_level_security_is_not() {
    let database = Database::new(server());
    let mut admin = database.documents();
    let _ = admin.batch_execute("CREATE ROLE bypass LOGIN BYPASSRLS");
    admin
        .batch_execute(
            "GRANT EXECUTE ON FUNCTION tamis.set_request(jsonb) TO owner; GRANT SELECT ON docs TO bypass",
        )
        .unwrap();
    let mut owner = database.owner();
    assert_eq!(count(&mut owner, &person("acme", 3, &[]), ALL), 200);
    // An error instead of fewer rows, where somebody wants all.
    owner.batch_execute("SET row_security = off").unwrap();
    assert_eq!(code(owner.query_one(ALL, &[])), "42501");
    let mut bypass = database.connect("bypass", database.name());
    assert_eq!(bypass.query_one(ALL, &[]).unwrap().get::<_, i64>(0), 1000);
    let mut app = database.app();
    assert_eq!(code(app.batch_execute("ALTER TABLE docs DISABLE ROW LEVEL SECURITY")), "42501");
    assert_eq!(code(app.batch_execute("DROP POLICY tamis_select ON docs")), "42501");
}

/// What a policy of the table's own permits is narrowed, and goes on to narrow.
#[test]
fn other_policies_of_the_table_do_not_widen() {
    let database = Database::new(server());
    let mut admin = database.documents();
    let mut app = database.app();
    admin.batch_execute("CREATE POLICY wide ON docs USING (true)").unwrap();
    assert_eq!(count(&mut app, &person("acme", 3, &[]), ALL), 200);
    admin.batch_execute("SELECT tamis.unprotect('docs'); DROP POLICY wide ON docs").unwrap();
    admin
        .batch_execute(
            "ALTER TABLE docs ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON docs USING (id <= 100);
             SELECT tamis.protect('docs', 'rag', id => 'id')",
        )
        .unwrap();
    assert_eq!(count(&mut app, &person("acme", 3, &[]), ALL), 20);
    // Protection is lifted, and the table's own policy stays.
    admin.batch_execute("SELECT tamis.unprotect('docs')").unwrap();
    assert_eq!(app.query_one(ALL, &[]).unwrap().get::<_, i64>(0), 100);
}

#[test]
fn a_cheap_function_of_the_users_sees_no_row_first() {
    let database = Database::new(server());
    let mut admin = database.documents();
    let mut app = database.app();
    admin
        .batch_execute(
            "GRANT CREATE ON SCHEMA public TO app; CREATE TABLE seen (title text); GRANT ALL ON seen TO app",
        )
        .unwrap();
    app.batch_execute(
        "CREATE FUNCTION leak(title text) RETURNS boolean LANGUAGE plpgsql VOLATILE COST 0.0001
             AS $$ BEGIN INSERT INTO seen VALUES (title); RETURN true; END $$;
         CREATE FUNCTION steal(text, text) RETURNS boolean LANGUAGE plpgsql COST 0.0001
             AS $$ BEGIN INSERT INTO seen VALUES ($1); RETURN true; END $$;
         CREATE OPERATOR <<<< (FUNCTION = steal, LEFTARG = text, RIGHTARG = text)",
    )
    .unwrap();
    let request = person("acme", 3, &[]);
    for query in [
        "SELECT count(*) FROM docs WHERE leak(title)",
        "SELECT count(*) FROM docs WHERE title <<<< 'x'",
        "SELECT count(*) FROM docs WHERE leak(title) AND tenant = 'globex'",
        "SELECT count(*) FROM (SELECT * FROM docs OFFSET 0) AS d WHERE leak(title)",
        "SELECT count(*) FROM docs a JOIN docs b ON a.id = b.id AND leak(b.title)",
        "SELECT count(*) FROM docs WHERE 1 / (level - 5) IS NOT NULL AND leak(title)",
        "WITH d AS (DELETE FROM docs WHERE leak(title) RETURNING *) SELECT count(*) FROM d",
        "SELECT count(*) FROM (SELECT leak(title) AS l FROM docs) AS d WHERE l",
    ] {
        asked(&mut app, &request, query).unwrap();
    }
    assert_eq!(code(app.batch_execute("ALTER FUNCTION leak(text) LEAKPROOF")), "42501");
    let seen = "SELECT count(*), count(*) FILTER (WHERE d.tenant <> 'acme' OR d.level > 3) FROM seen JOIN docs d USING (title)";
    let row = admin.query_one(seen, &[]).unwrap();
    assert!(row.get::<_, i64>(0) > 0 && row.get::<_, i64>(1) == 0, "{row:?}");
    // Nor does an error tell of a row that is not shown.
    let told =
        asked(&mut app, &request, "SELECT count(*) FROM docs WHERE 1 / (level - 9) IS NOT NULL").unwrap();
    assert_eq!(told[0].get::<_, i64>(0), 200);
}

#[test]
fn views_show_what_their_owner_may_see_or_what_asks() {
    let database = Database::new(server());
    let mut admin = database.documents();
    admin
        .batch_execute(
            "CREATE VIEW of_superuser AS SELECT * FROM docs; GRANT SELECT ON of_superuser TO app;
             CREATE VIEW invoker WITH (security_invoker) AS SELECT * FROM docs; GRANT SELECT ON invoker TO app;
             SET ROLE owner; CREATE VIEW of_owner AS SELECT * FROM docs; GRANT SELECT ON of_owner TO app; RESET ROLE",
        )
        .unwrap();
    let mut app = database.app();
    let request = person("acme", 3, &[]);
    assert_eq!(count(&mut app, &request, "SELECT count(*) FROM invoker"), 200);
    assert_eq!(count(&mut app, &request, "SELECT count(*) FROM of_owner"), 200);
    // As with any row-level security: the view of a superuser is a superuser's.
    assert_eq!(count(&mut app, &request, "SELECT count(*) FROM of_superuser"), 1000);
}

#[test]
fn partitions_are_protected_through_their_table_and_by_themselves() {
    let database = Database::new(server());
    let mut admin = database.documents();
    admin
        .batch_execute(
            "CREATE TABLE parts (id bigint, tenant text, level bigint) PARTITION BY LIST (tenant);
             CREATE TABLE parts_acme PARTITION OF parts FOR VALUES IN ('acme');
             CREATE TABLE parts_other PARTITION OF parts DEFAULT;
             INSERT INTO parts SELECT id, tenant, level FROM docs; GRANT ALL ON parts, parts_acme TO app;
             SELECT tamis.protect('parts', 'rag', id => 'id')",
        )
        .unwrap();
    let mut app = database.app();
    let request = person("acme", 3, &[]);
    assert_eq!(count(&mut app, &request, "SELECT count(*) FROM parts"), 200);
    // A partition that somebody may ask for by its own name is a table of its own.
    assert_eq!(count(&mut app, &request, "SELECT count(*) FROM parts_acme"), 500);
    admin.batch_execute("SELECT tamis.protect('parts_acme', 'rag', id => 'id')").unwrap();
    assert_eq!(count(&mut app, &request, "SELECT count(*) FROM parts_acme"), 200);
    assert_eq!(count(&mut app, &request, "SELECT count(*) FROM parts"), 200);
}

#[test]
fn a_prepared_statement_follows_the_request_and_the_policy() {
    let database = Database::new(server());
    let mut admin = database.documents();
    let mut app = database.app();
    for mode in ["force_generic_plan", "force_custom_plan", "auto"] {
        app.batch_execute(&format!("SET plan_cache_mode = {mode}")).unwrap();
        let statement = app.prepare("SELECT count(*) FROM docs WHERE id > $1").unwrap();
        for round in 0..8 {
            let level = round % 4;
            let mut transaction = app.transaction().unwrap();
            transaction
                .execute("SELECT tamis.set_request($1::text::jsonb)", &[&person("acme", level, &[])])
                .unwrap();
            let rows: i64 = transaction.query_one(&statement, &[&0i64]).unwrap().get(0);
            assert_eq!(rows, 50 * (level + 1), "{mode}");
            transaction.commit().unwrap();
            assert_eq!(app.query_one(&statement, &[&0i64]).unwrap().get::<_, i64>(0), 0, "{mode}");
        }
        let mut transaction = app.transaction().unwrap();
        transaction.execute("SELECT tamis.set_request($1::text::jsonb)", &[&person("acme", 9, &[])]).unwrap();
        assert_eq!(transaction.query_one(&statement, &[&0i64]).unwrap().get::<_, i64>(0), 500);
        tamis_tests::extension::load(&mut admin, "rag", tamis_tests::extension::STRICTER).unwrap();
        assert_eq!(transaction.query_one(&statement, &[&0i64]).unwrap().get::<_, i64>(0), 50);
        transaction.rollback().unwrap();
        let mut transaction = app.transaction().unwrap();
        transaction.execute("SELECT tamis.set_request($1::text::jsonb)", &[&person("acme", 9, &[])]).unwrap();
        assert_eq!(transaction.query_one(&statement, &[&0i64]).unwrap().get::<_, i64>(0), 50);
        transaction.commit().unwrap();
        admin.batch_execute("SELECT tamis.rollback_policy('rag')").unwrap();
        let mut transaction = app.transaction().unwrap();
        transaction.execute("SELECT tamis.set_request($1::text::jsonb)", &[&person("acme", 9, &[])]).unwrap();
        assert_eq!(transaction.query_one(&statement, &[&0i64]).unwrap().get::<_, i64>(0), 500);
        transaction.commit().unwrap();
    }
    // A plan that was made while nobody asked is not kept for who does.
    app.batch_execute(
        "SET plan_cache_mode = force_generic_plan; PREPARE early AS SELECT count(*) FROM docs; EXECUTE early",
    )
    .unwrap();
    let explained = asked(&mut app, &person("acme", 9, &[]), "EXPLAIN EXECUTE early").unwrap();
    assert!(explained.iter().any(|row| row.get::<_, String>(0).contains("tenant = 'acme'")));
    // So do statements inside of functions, which are planned once.
    admin
        .batch_execute("CREATE FUNCTION rows_of() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM docs); END'")
        .unwrap();
    for level in [0, 9, 3, 0] {
        assert_eq!(count(&mut app, &person("acme", level, &[]), "SELECT rows_of()"), 50 * (level + 1));
    }
}

#[test]
fn parallel_queries_and_cursors_and_copies_are_sieved() {
    let database = Database::new(server());
    let mut admin = database.documents();
    let mut app = database.app();
    let request = person("acme", 3, &[]);
    app.batch_execute(
        "SET min_parallel_table_scan_size = 0; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0",
    )
    .unwrap();
    // As it was called before PostgreSQL 16.
    if app.batch_execute("SET debug_parallel_query = on").is_err() {
        app.batch_execute("SET force_parallel_mode = on").unwrap();
    }
    assert_eq!(count(&mut app, &request, ALL), 200);
    assert_eq!(
        count(
            &mut app,
            &request,
            "SELECT count(*) FROM docs a JOIN docs b USING (id) JOIN generate_series(1, 2000) AS n ON n = id"
        ),
        200
    );
    app.batch_execute("RESET ALL").unwrap();

    let mut transaction = app.transaction().unwrap();
    transaction.execute("SELECT tamis.set_request($1::text::jsonb)", &[&request]).unwrap();
    transaction
        .batch_execute("DECLARE c SCROLL CURSOR WITH HOLD FOR SELECT tenant, level FROM docs")
        .unwrap();
    let mut copied = String::new();
    transaction.copy_out("COPY docs (id) TO STDOUT").unwrap().read_to_string(&mut copied).unwrap();
    assert_eq!(copied.lines().count(), 200);
    transaction.commit().unwrap();
    // What a cursor holds was read with its request.
    assert_eq!(app.query("FETCH ALL FROM c", &[]).unwrap().len(), 200);
    app.batch_execute("CLOSE c").unwrap();

    // PostgreSQL has no COPY into a table with row-level security.
    let result = app.copy_in("COPY docs (id, tenant, level) FROM STDIN").map(|mut writer| {
        writer.write_all(b"3000\tacme\t0\n").unwrap();
        writer.finish()
    });
    let error = result.and_then(|finished| finished).unwrap_err();
    assert_eq!(said(&error).code().code(), "0A000");
    assert_eq!(admin.query_one(ALL, &[]).unwrap().get::<_, i64>(0), 1000);
}

#[test]
fn nothing_is_kept_for_others_in_a_materialised_view() {
    let database = Database::new(server());
    let mut admin = database.documents();
    admin.batch_execute("GRANT EXECUTE ON FUNCTION tamis.set_request(jsonb) TO owner").unwrap();
    let mut owner = database.owner();
    let request = person("acme", 3, &[]);
    let create = "CREATE MATERIALIZED VIEW kept AS SELECT * FROM docs";
    let mut transaction = owner.transaction().unwrap();
    transaction.execute("SELECT tamis.set_request($1::text::jsonb)", &[&request]).unwrap();
    assert_eq!(code(transaction.batch_execute(create)), "0A000");
    transaction.rollback().unwrap();
    assert_eq!(code(owner.batch_execute(create)), "0A000");
    // One of a superuser's is a superuser's.
    admin.batch_execute("CREATE MATERIALIZED VIEW public.all_docs AS SELECT * FROM docs").unwrap();
    assert_eq!(admin.query_one("SELECT count(*) FROM all_docs", &[]).unwrap().get::<_, i64>(0), 1000);
}

#[test]
fn foreign_keys_see_all_rows() {
    let database = Database::new(server());
    let mut admin = database.documents();
    admin
        .batch_execute(
            "CREATE TABLE notes (doc bigint REFERENCES docs ON DELETE CASCADE); GRANT ALL ON notes TO app; ALTER TABLE notes OWNER TO owner",
        )
        .unwrap();
    let mut app = database.app();
    // As with any row-level security, that a key is there can be found out.
    app.batch_execute("INSERT INTO notes VALUES (2)").unwrap();
    assert_eq!(code(app.batch_execute("INSERT INTO notes VALUES (9999)")), "23503");
    assert_eq!(
        count(&mut app, &person("acme", 9, &[]), "SELECT count(*) FROM notes JOIN docs ON doc = id"),
        0
    );
}

#[test]
fn a_table_that_is_changed_stays_protected() {
    let database = Database::new(server());
    let mut admin = database.documents();
    let mut app = database.app();
    let request = person("acme", 3, &[]);
    admin
        .batch_execute(
            "ALTER TABLE docs RENAME TO papers; ALTER TABLE papers RENAME COLUMN tenant TO company",
        )
        .unwrap();
    assert_eq!(count(&mut app, &request, "SELECT count(*) FROM papers"), 200);
    admin.batch_execute("ALTER TABLE papers SET SCHEMA own; GRANT USAGE ON SCHEMA own TO app").unwrap();
    assert_eq!(count(&mut app, &request, "SELECT count(*) FROM own.papers"), 200);
    assert_eq!(code(admin.batch_execute("ALTER TABLE own.papers DROP COLUMN level")), "2BP01");
    assert_eq!(code(admin.batch_execute("ALTER TABLE own.papers ALTER COLUMN level TYPE text")), "0A000");
    admin.batch_execute("ALTER TABLE own.papers DROP COLUMN level CASCADE").unwrap();
    assert_eq!(count(&mut app, &request, "SELECT count(*) FROM own.papers"), 0);
    admin.batch_execute("DROP TABLE own.papers").unwrap();
    assert_eq!(admin.query("SELECT * FROM tamis.protection", &[]).unwrap().len(), 0);

    // Without the extension there is no protection to be had, and no row.
    admin.batch_execute("CREATE TABLE docs (id bigint, tenant text, level bigint); INSERT INTO docs VALUES (1, 'acme', 0); GRANT SELECT ON docs TO app; SELECT tamis.protect('docs', 'rag')").unwrap();
    assert_eq!(code(admin.batch_execute("DROP EXTENSION tamis")), "2BP01");
    admin.batch_execute("DROP EXTENSION tamis CASCADE").unwrap();
    assert_eq!(app.query_one(ALL, &[]).unwrap().get::<_, i64>(0), 0);
}
