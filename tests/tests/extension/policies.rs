//! Policies are loaded in transactions, serve from the next statement on, and can be taken back.

use postgres::Client;
use tamis_tests::extension::{Database, POLICY, SCHEMA, STRICTER, code, count, load, person, server};

const ALL: &str = "SELECT count(*) FROM docs";

#[test]
fn a_policy_serves_from_the_next_statement_after_the_commit() {
    let database = Database::new(server());
    let mut admin = database.documents();
    let (mut app, mut idle) = (database.app(), database.app());
    let someone = person("acme", 3, &[]);
    // A backend that has the policy compiled, in a transaction that goes on.
    let mut running = idle.transaction().unwrap();
    running.execute("SELECT tamis.set_request($1::text::jsonb)", &[&someone]).unwrap();
    let mut rows = || running.query_one(ALL, &[]).unwrap().get::<_, i64>(0);
    assert_eq!(rows(), 200);

    let mut loading = admin.transaction().unwrap();
    let generation: i64 = loading
        .query_one("SELECT tamis.load_policy('rag', $1::text, $2)", &[&STRICTER, &SCHEMA])
        .unwrap()
        .get(0);
    assert_eq!(generation, 2);
    assert_eq!(count(&mut app, &someone, ALL), 200, "not committed");
    loading.rollback().unwrap();
    assert_eq!((count(&mut app, &someone, ALL), rows()), (200, 200));

    assert_eq!(load(&mut admin, "rag", STRICTER).unwrap(), 2);
    assert_eq!((count(&mut app, &someone, ALL), rows()), (50, 50));
    let back: i64 = admin.query_one("SELECT tamis.rollback_policy('rag')", &[]).unwrap().get(0);
    assert_eq!(back, 1);
    assert_eq!((count(&mut app, &someone, ALL), rows()), (200, 200));
    assert_eq!(code(admin.query_one("SELECT tamis.rollback_policy('rag')", &[])), "55000");
    // Numbers are not given twice.
    assert_eq!(load(&mut admin, "rag", STRICTER).unwrap(), 3);
    assert_eq!(rows(), 50);
}

#[test]
fn what_a_transaction_loads_serves_its_own_next_statement() {
    let database = Database::new(server());
    let mut admin = database.documents();
    let mut transaction = admin.transaction().unwrap();
    let someone = person("acme", 3, &[]);
    transaction.execute("SELECT tamis.set_request($1::text::jsonb)", &[&someone]).unwrap();
    transaction.batch_execute("SET LOCAL ROLE app").unwrap();
    assert_eq!(transaction.query_one(ALL, &[]).unwrap().get::<_, i64>(0), 200);
    transaction.batch_execute("RESET ROLE").unwrap();
    transaction.query_one("SELECT tamis.load_policy('rag', $1::text, $2)", &[&STRICTER, &SCHEMA]).unwrap();
    transaction.batch_execute("SET LOCAL ROLE app").unwrap();
    assert_eq!(transaction.query_one(ALL, &[]).unwrap().get::<_, i64>(0), 50);
}

#[test]
fn a_statement_ends_on_the_policy_that_it_began_with() {
    let database = Database::new(server());
    let mut admin = database.documents();
    let mut app = database.app();
    let mut transaction = app.transaction().unwrap();
    transaction.execute("SELECT tamis.set_request($1::text::jsonb)", &[&person("acme", 9, &[])]).unwrap();
    transaction.batch_execute("DECLARE c CURSOR FOR SELECT id FROM docs").unwrap();
    let mut rows = transaction.query("FETCH 100 FROM c", &[]).unwrap().len();
    load(&mut admin, "rag", STRICTER).unwrap();
    rows += transaction.query("FETCH ALL FROM c", &[]).unwrap().len();
    assert_eq!(rows, 500);
    assert_eq!(transaction.query_one(ALL, &[]).unwrap().get::<_, i64>(0), 50);
}

#[test]
fn all_that_a_statement_calls_is_answered_by_one_policy() {
    let database = Database::new(server());
    let mut admin = database.documents();
    admin.batch_execute("CREATE TABLE counts (place int, n bigint); GRANT ALL ON counts TO app").unwrap();
    let mut app = database.app();
    let mut watching = database.admin();
    watching.batch_execute("SELECT pg_advisory_lock(7)").unwrap();
    let running = std::thread::spawn(move || {
        let mut transaction = app.transaction().unwrap();
        transaction.execute("SELECT tamis.set_request($1::text::jsonb)", &[&person("acme", 3, &[])]).unwrap();
        // Writes in between, so that each sees the one before.
        transaction
            .batch_execute(
                "DO $$ BEGIN INSERT INTO counts SELECT 1, count(*) FROM docs; PERFORM pg_advisory_xact_lock(7);
                 INSERT INTO counts SELECT 2, count(*) FROM docs; INSERT INTO counts SELECT 3, count(*) FROM docs WHERE id > 0; END $$",
            )
            .unwrap();
        transaction.batch_execute("INSERT INTO counts SELECT 4, count(*) FROM docs").unwrap();
        transaction.commit().unwrap();
    });
    let waits = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    while watching.query(waits, &[]).unwrap().is_empty() {
        assert!(!running.is_finished());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    load(&mut admin, "rag", STRICTER).unwrap();
    watching.batch_execute("SELECT pg_advisory_unlock(7)").unwrap();
    running.join().unwrap();
    let counts = admin.query("SELECT n FROM counts ORDER BY place", &[]).unwrap();
    assert_eq!(counts.iter().map(|row| row.get(0)).collect::<Vec<i64>>(), [200, 200, 200, 50]);
}

#[test]
fn views_tell_what_serves() {
    let database = Database::new(server());
    let mut admin = database.documents();
    let row =
        admin.query_one("SELECT name, generation, digest, footprint::text FROM tamis.policies", &[]).unwrap();
    assert_eq!((row.get::<_, String>(0), row.get::<_, i64>(1)), ("rag".to_owned(), 1));
    assert_eq!(row.get::<_, String>(2).len(), 64);
    let footprint: String = row.get(3);
    assert!(
        footprint.contains(r#""attr": ["level"]"#) && footprint.contains(r#""type": "Long""#),
        "{footprint}"
    );
    let mut app = database.app();
    assert_eq!(app.query("SELECT * FROM tamis.policies", &[]).unwrap().len(), 1);
}

#[test]
fn names_may_need_quotes() {
    let database = Database::new(server());
    let mut admin = database.documents();
    let mut app = database.app();
    for name in ["it's \"quoted\"", "π'; DROP TABLE docs; --", "a\\b", " ", &"long".repeat(100)] {
        load(&mut admin, name, POLICY).unwrap();
        admin.execute("SELECT tamis.protect('docs', $1, id => 'id')", &[&name]).unwrap();
        assert_eq!(count(&mut app, &person("acme", 3, &[]), ALL), 200, "{name}");
    }
    assert_eq!(code(load(&mut admin, "", POLICY)), "22023");
    // And so may those of tables and columns.
    admin
        .batch_execute(
            r#"CREATE TABLE "od""d t'able" ("i d" int, "Te""nant'" varchar(20), level int);
               INSERT INTO "od""d t'able" VALUES (1, 'acme', 0), (2, 'globex', 0);
               GRANT SELECT ON "od""d t'able" TO app;
               SELECT tamis.protect('"od""d t''able"', 'rag', '{"tenant": "Te\"nant''"}', id => 'i d')"#,
        )
        .unwrap();
    assert_eq!(count(&mut app, &person("acme", 3, &[]), r#"SELECT count(*) FROM "od""d t'able""#), 1);
}

#[test]
fn a_policy_that_reads_other_columns_has_the_protection_written_anew() {
    let database = Database::new(server());
    let mut admin = database.documents();
    let mut app = database.app();
    let by_title = r#"permit(principal, action, resource) when { resource.title like "title 1*" };"#;
    let schema = SCHEMA.replace("level: Long };\n    action", "level: Long, title: String };\n    action");
    admin.execute("SELECT tamis.load_policy('rag', $1::text, $2)", &[&by_title, &schema]).unwrap();
    assert_eq!(count(&mut app, &person("acme", 0, &[]), ALL), 112);
    // One that reads what is not there is refused, and the one before goes on.
    let unknown = r#"permit(principal, action, resource) when { resource.nowhere };"#;
    assert_eq!(code(admin.execute("SELECT tamis.load_policy('rag', $1::text)", &[&unknown])), "42703");
    assert_eq!(count(&mut app, &person("acme", 0, &[]), ALL), 112);
}

#[test]
fn a_policy_that_protects_is_not_dropped() {
    let database = Database::new(server());
    let mut admin = database.documents();
    assert_eq!(code(admin.batch_execute("SELECT tamis.drop_policy('rag')")), "2BP01");
    assert_eq!(code(admin.batch_execute("SELECT tamis.drop_policy('other')")), "42704");
    admin.batch_execute("SELECT tamis.unprotect('docs'); SELECT tamis.drop_policy('rag')").unwrap();
    assert_eq!(admin.query("SELECT * FROM tamis.policies", &[]).unwrap().len(), 0);
    // As it was.
    let mut app = database.app();
    assert_eq!(app.query_one(ALL, &[]).unwrap().get::<_, i64>(0), 1000);

    // One that is gone all the same lets nothing through.
    load(&mut admin, "rag", POLICY).unwrap();
    admin.batch_execute("SELECT tamis.protect('docs', 'rag'); DELETE FROM tamis.serving").unwrap();
    let result = tamis_tests::extension::asked(&mut app, &person("acme", 3, &[]), ALL);
    assert_eq!(code(result), "42704");
}

/// What somebody waits for that another transaction goes on to hold, until it commits.
fn while_it_waits<T: Send + 'static>(
    database: &Database<'_>,
    open: postgres::Transaction<'_>,
    work: impl FnOnce(&mut Client) -> T + Send + 'static,
) -> T {
    let mut other = database.admin();
    let backend: i32 = other.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
    let working = std::thread::spawn(move || work(&mut other));
    let mut watching = database.admin();
    while watching
        .query("SELECT FROM pg_locks WHERE NOT granted AND pid = $1", &[&backend])
        .unwrap()
        .is_empty()
    {
        assert!(!working.is_finished(), "it does not wait");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    open.commit().unwrap();
    working.join().unwrap()
}

const BY_TITLE: &str = r#"permit(principal, action, resource) when { resource.title like "title 1*" };"#;

#[test]
fn a_table_is_protected_by_what_is_being_loaded_meanwhile() {
    let database = Database::new(server());
    let mut admin = database.documents();
    admin.batch_execute("CREATE TABLE papers AS TABLE docs; GRANT SELECT ON papers TO app").unwrap();
    let mut loading = admin.transaction().unwrap();
    loading.query_one("SELECT tamis.load_policy('rag', $1::text)", &[&BY_TITLE]).unwrap();
    let protect =
        |client: &mut Client| client.batch_execute("SELECT tamis.protect('papers', 'rag', id => 'id')");
    while_it_waits(&database, loading, protect).unwrap();
    assert_eq!(count(&mut database.app(), &person("acme", 0, &[]), "SELECT count(*) FROM papers"), 112);
}

#[test]
fn a_policy_is_loaded_while_a_protection_is_lifted() {
    let database = Database::new(server());
    let mut admin = database.documents();
    let mut lifting = admin.transaction().unwrap();
    lifting.batch_execute("SELECT tamis.unprotect('docs')").unwrap();
    let load =
        |client: &mut Client| client.execute("SELECT tamis.load_policy('rag', $1::text)", &[&BY_TITLE]);
    while_it_waits(&database, lifting, load).unwrap();
    assert_eq!(admin.query("SELECT FROM pg_policy", &[]).unwrap().len(), 0);
}
