//! What row-level security does not keep, with this policy as with any: the README says so.

use tamis_tests::extension::{Database, asked, count, person, server};

const ALL: &str = "SELECT count(*) FROM docs";

#[test]
fn what_the_table_does_as_a_whole_is_done_to_all_rows() {
    let database = Database::new(server());
    let mut admin = database.documents();
    admin
        .batch_execute(
            "CREATE TABLE folders (id bigint PRIMARY KEY); INSERT INTO folders VALUES (1), (2); GRANT ALL ON folders TO app;
             ALTER TABLE docs ADD folder bigint REFERENCES folders ON DELETE CASCADE; UPDATE docs SET folder = 1 + id % 2",
        )
        .unwrap();
    let mut app = database.app();
    app.batch_execute("DELETE FROM folders WHERE id = 1").unwrap();
    assert_eq!(admin.query_one(ALL, &[]).unwrap().get::<_, i64>(0), 500);
    app.batch_execute("TRUNCATE docs").unwrap();
    assert_eq!(admin.query_one(ALL, &[]).unwrap().get::<_, i64>(0), 0);
}

#[test]
fn explain_tells_how_many_rows_there_are() {
    let database = Database::new(server());
    database.documents();
    let explain = "EXPLAIN (ANALYZE, TIMING OFF) SELECT * FROM docs WHERE title = 'title 2'";
    let lines = asked(&mut database.app(), &person("acme", 9, &[]), explain).unwrap();
    let plan: String = lines.iter().map(|line| line.get::<_, String>(0) + "\n").collect();
    assert!(plan.contains("Rows Removed by Filter: 1000"), "{plan}");
}

#[test]
fn tables_that_inherit_are_protected_through_their_table() {
    let database = Database::new(server());
    let mut admin = database.documents();
    admin
        .batch_execute(
            "CREATE TABLE more () INHERITS (docs); GRANT SELECT ON more TO app;
             INSERT INTO more (id, tenant, level) VALUES (5001, 'acme', 0), (5002, 'globex', 0)",
        )
        .unwrap();
    let mut app = database.app();
    assert_eq!(count(&mut app, &person("acme", 3, &[]), ALL), 201);
    assert_eq!(count(&mut app, &person("acme", 3, &[]), "SELECT count(*) FROM more"), 2);
    // And open through one that is not protected.
    admin
        .batch_execute(
            "CREATE TABLE above (LIKE docs); ALTER TABLE docs INHERIT above; GRANT SELECT ON above TO app",
        )
        .unwrap();
    assert_eq!(count(&mut app, &person("acme", 3, &[]), "SELECT count(*) FROM above"), 1002);
}

#[test]
fn policies_of_the_tables_own_are_left_when_the_extension_goes() {
    let database = Database::new(server());
    let mut admin = database.documents();
    let mut app = database.app();
    admin.batch_execute("CREATE POLICY own ON docs USING (id <= 100)").unwrap();
    // Until the table is protected again all is permitted that Tamis allows.
    assert_eq!(count(&mut app, &person("acme", 3, &[]), ALL), 200);
    admin.batch_execute("SELECT tamis.protect('docs', 'rag', id => 'id')").unwrap();
    assert_eq!(count(&mut app, &person("acme", 3, &[]), ALL), 20);
    admin.batch_execute("DROP EXTENSION tamis CASCADE").unwrap();
    assert_eq!(app.query_one(ALL, &[]).unwrap().get::<_, i64>(0), 100);
}
