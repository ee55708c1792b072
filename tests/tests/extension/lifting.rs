//! Protection that is written again, lifted, or left over; policies that are gone.

use tamis_tests::extension::{Database, POLICY, SCHEMA, STRICTER, code, count, load, person, server};

const ALL: &str = "SELECT count(*) FROM docs";

#[test]
fn to_protect_again_mends_what_became_of_the_protection() {
    let database = Database::new(server());
    let mut admin = database.documents();
    let (mut owner, mut app) = (database.owner(), database.app());
    let request = person("acme", 3, &[]);
    admin.batch_execute("ALTER TABLE docs OWNER TO owner").unwrap();
    for change in [
        "ALTER POLICY tamis_select ON docs USING (true)",
        "DROP POLICY tamis_update ON docs; DROP POLICY tamis_delete ON docs; DROP POLICY tamis_insert ON docs",
        "ALTER TABLE docs NO FORCE ROW LEVEL SECURITY; DROP POLICY tamis_permit ON docs",
        "ALTER TABLE docs DISABLE ROW LEVEL SECURITY",
    ] {
        owner.batch_execute(change).unwrap();
        admin.batch_execute("SELECT tamis.protect('docs', 'rag', id => 'id')").unwrap();
        assert_eq!(count(&mut app, &request, ALL), 200, "{change}");
        assert_eq!(owner.query_one(ALL, &[]).unwrap().get::<_, i64>(0), 0, "{change}");
        // A reader.
        let write = "WITH changed AS (DELETE FROM docs RETURNING 1) SELECT count(*) FROM changed";
        assert_eq!(count(&mut app, &request, write), 0, "{change}");
        assert_eq!(code(app.batch_execute("INSERT INTO docs VALUES (5000, 'acme', 0)")), "42501", "{change}");
    }
}

/// Where a table was closed to all, nobody is let in by lifting what was put on top.
#[test]
fn lifting_the_protection_leaves_row_level_security_as_it_was() {
    let database = Database::new(server());
    let mut admin = database.documents();
    admin
        .batch_execute(
            "CREATE TABLE open (tenant text, level bigint); CREATE TABLE closed (LIKE open); CREATE TABLE forced (LIKE open);
             CREATE TABLE own (LIKE open); CREATE POLICY low ON own USING (level = 0);
             ALTER TABLE closed ENABLE ROW LEVEL SECURITY;
             ALTER TABLE forced ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
             ALTER TABLE own ENABLE ROW LEVEL SECURITY; GRANT SELECT ON closed TO app; INSERT INTO closed VALUES ('acme', 0)",
        )
        .unwrap();
    for (table, enabled, forced) in
        [("open", false, false), ("closed", true, false), ("forced", true, true), ("own", true, false)]
    {
        // Again, and by another, is no other protection.
        load(&mut admin, "other", STRICTER).unwrap();
        admin
            .batch_execute(&format!(
                "SELECT tamis.protect('{table}', 'rag'); SELECT tamis.protect('{table}', 'other'); SELECT tamis.unprotect('{table}')"
            ))
            .unwrap();
        let query =
            format!("SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE relname = '{table}'");
        let row = admin.query_one(&query, &[]).unwrap();
        assert_eq!((row.get::<_, bool>(0), row.get::<_, bool>(1)), (enabled, forced), "{table}");
    }
    let mut app = database.app();
    assert_eq!(count(&mut app, &person("acme", 9, &[]), "SELECT count(*) FROM closed"), 0);
    // Policies that came meanwhile are not left without effect.
    admin
        .batch_execute("SELECT tamis.protect('open', 'rag'); CREATE POLICY own ON open USING (level = 0); SELECT tamis.unprotect('open')")
        .unwrap();
    let query = "SELECT relrowsecurity FROM pg_class WHERE relname = 'open'";
    assert!(admin.query_one(query, &[]).unwrap().get::<_, bool>(0));
}

/// A temporary table goes without a statement.
#[test]
fn tables_that_went_unnoticed_are_in_nobodys_way() {
    let database = Database::new(server());
    let mut admin = database.documents();
    let other = "permit(principal, action, resource) when { resource.tenant == principal.tenant };";
    {
        let mut session = database.admin();
        session
            .batch_execute("CREATE TEMPORARY TABLE passing (tenant text, level bigint); SELECT tamis.protect('passing', 'rag')")
            .unwrap();
        // One that is another session's is written anew like the rest.
        load(&mut admin, "rag", other).unwrap();
        session.batch_execute("TABLE passing").unwrap();
    }
    admin
        .batch_execute(
            "CREATE TABLE dropped (tenant text, level bigint); SELECT tamis.protect('dropped', 'rag')",
        )
        .unwrap();
    admin
        .batch_execute(
            "SET session_replication_role = replica; DROP TABLE dropped; RESET session_replication_role",
        )
        .unwrap();
    let left = "SELECT FROM pg_class WHERE relname = 'passing'";
    while !admin.query(left, &[]).unwrap().is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    load(&mut admin, "rag", POLICY).unwrap();
    assert_eq!(admin.query("SELECT FROM tamis.protection", &[]).unwrap().len(), 1);
    assert_eq!(count(&mut database.app(), &person("acme", 3, &[]), ALL), 200);
}

#[test]
fn a_generation_that_was_removed_is_not_gone_back_to() {
    let database = Database::new(server());
    let mut admin = database.documents();
    load(&mut admin, "rag", STRICTER).unwrap();
    admin.batch_execute("DELETE FROM tamis.policy WHERE generation = 1").unwrap();
    assert_eq!(code(admin.batch_execute("SELECT tamis.rollback_policy('rag')")), "42704");
    assert_eq!(count(&mut database.app(), &person("acme", 3, &[]), ALL), 50);
    assert_eq!(load(&mut admin, "rag", POLICY).unwrap(), 3);
    admin.query_one("SELECT tamis.load_policy('rag', $1::text, $2)", &[&STRICTER, &SCHEMA]).unwrap();
    admin.batch_execute("SELECT tamis.rollback_policy('rag')").unwrap();
    assert_eq!(count(&mut database.app(), &person("acme", 3, &[]), ALL), 200);
}
