//! What an attacker tries who can run any SQL on a connection that serves a request.

use std::sync::{Arc, Mutex};

use rusqlite::functions::FunctionFlags;
use tempfile::TempDir;

use super::*;

/// A connection on which bob asks, who may read one row of seven.
fn bobs() -> Connection {
    let connection = protected();
    connection.execute_batch("CREATE TABLE notes (text); CREATE TABLE more (a)").unwrap();
    ask_as(&connection, &user("bob", "acme", 0));
    connection
}

#[test]
fn the_table_under_a_protected_one_is_out_of_reach() {
    let connection = bobs();
    for sql in [
        "SELECT * FROM tamis_protected_docs",
        "SELECT * FROM TAMIS_PROTECTED_DOCS",
        "SELECT * FROM main.\"tamis_protected_docs\"",
        "SELECT count(*) FROM tamis_protected_docs",
        "SELECT 1 FROM tamis_protected_docs",
        "SELECT rowid FROM tamis_protected_docs",
        "SELECT EXISTS (SELECT 1 FROM tamis_protected_docs WHERE tenant = 'globex')",
        "WITH x AS (SELECT * FROM tamis_protected_docs) SELECT * FROM x",
        "SELECT * FROM docs JOIN tamis_protected_docs AS p USING (id)",
        "EXPLAIN SELECT * FROM tamis_protected_docs",
        "EXPLAIN QUERY PLAN SELECT * FROM tamis_protected_docs",
        "INSERT INTO notes SELECT body FROM tamis_protected_docs",
        "CREATE TABLE copy AS SELECT * FROM tamis_protected_docs",
        "UPDATE tamis_protected_docs SET tenant = 'acme', level = 0",
        "UPDATE notes SET text = (SELECT body FROM tamis_protected_docs)",
        "UPDATE notes SET text = p.body FROM tamis_protected_docs AS p",
        "DELETE FROM tamis_protected_docs",
        "DELETE FROM tamis_protected_docs RETURNING *",
        "INSERT INTO tamis_protected_docs (id) VALUES (100)",
        "INSERT INTO tamis_protected_docs (id) VALUES (1) ON CONFLICT DO UPDATE SET tenant = 'acme' RETURNING *",
        "REPLACE INTO tamis_protected_docs (id) VALUES (1)",
        "ALTER TABLE tamis_protected_docs RENAME TO mine",
        "ALTER TABLE tamis_protected_docs ADD COLUMN x",
        "DROP TABLE tamis_protected_docs",
        "CREATE INDEX i ON tamis_protected_docs (body)",
        "CREATE INDEX i ON tamis_protected_docs (abs(body))",
        "ANALYZE tamis_protected_docs",
        "ANALYZE",
        "SELECT * FROM tamis_internal_policies",
        "UPDATE tamis_internal_policies SET generation = 9",
        "DELETE FROM tamis_internal_tables",
        "INSERT INTO tamis_internal_tables VALUES ('x', 'y', '{}')",
        "CREATE TABLE tamis_internal_x (a)",
        "CREATE TABLE tamis_search (id, distance)",
        "CREATE TABLE Tamis_Policies (name)",
        "CREATE VIRTUAL TABLE mine USING tamis",
        "CREATE VIRTUAL TABLE mine USING fts5(body, content = 'tamis_protected_docs')",
        "DROP TABLE docs",
        "ALTER TABLE docs RENAME TO other",
        "SELECT tamis_internal_admit('docs', 3, 'AFTER INSERT')",
    ] {
        assert!(try_column(&connection, sql, []).is_err(), "{sql}");
    }
    assert_eq!(column(&connection, "SELECT id FROM docs"), integers(&[1]));
    assert_eq!(column(&connection, "SELECT count(*) FROM notes"), integers(&[0]));
}

#[test]
fn no_other_way_leads_to_the_rows() {
    let folder = TempDir::new().unwrap();
    let connection = file(&folder);
    connection.execute_batch(TABLE).unwrap();
    connection.execute_batch("CREATE TABLE notes (text); CREATE INDEX b ON docs (body); ANALYZE").unwrap();
    load(&connection, "rag", POLICY);
    protect(&connection, "docs", "rag", "{}");
    ask_as(&connection, &user("bob", "acme", 0));
    let path = folder.path().join("db.sqlite").display().to_string();
    for sql in [
        &format!("ATTACH '{path}' AS again"),
        "ATTACH ':memory:' AS other",
        &format!("VACUUM INTO '{path}.copy'"),
        "VACUUM",
        "DETACH main",
        "PRAGMA writable_schema = ON",
        "PRAGMA writable_schema = 1",
        "PRAGMA writable_schema = RESET",
        "PRAGMA schema_version = 5",
        "PRAGMA legacy_alter_table = ON",
        "PRAGMA trusted_schema = ON",
        "PRAGMA journal_mode = OFF",
        "PRAGMA temp_store_directory = '/tmp'",
        "PRAGMA foreign_key_check",
        "PRAGMA integrity_check",
        "PRAGMA optimize",
        "SELECT * FROM pragma_integrity_check",
        "SELECT * FROM sqlite_stat1",
        "SELECT * FROM sqlite_stat4",
        "SELECT * FROM dbstat",
        "SELECT * FROM sqlite_dbpage",
        "UPDATE sqlite_dbpage SET data = data",
        "SELECT * FROM sqlite_sequence",
        "SELECT * FROM sqlite_stmt",
        "SELECT load_extension('/tmp/evil.so')",
        "UPDATE sqlite_master SET sql = NULL",
        "DELETE FROM sqlite_master",
        "INSERT INTO sqlite_master VALUES ('table', 'x', 'x', 1, 'CREATE TABLE x(a)')",
    ] {
        assert!(try_column(&connection, sql, []).is_err(), "{sql}");
    }
    assert!(!folder.path().join("db.sqlite.copy").exists());
}

#[test]
fn a_foreign_key_of_ones_own_tells_nothing_of_rows() {
    let folder = TempDir::new().unwrap();
    let (admin, spy, owner) = (file(&folder), file(&folder), file(&folder));
    admin
        .execute_batch(
            "CREATE TABLE docs (id INTEGER PRIMARY KEY, tenant TEXT, level INTEGER, name TEXT UNIQUE);
             INSERT INTO docs VALUES (1, 'acme', 0, 'ours'), (2, 'globex', 0, 'guessed')",
        )
        .unwrap();
    load(&admin, "rag", POLICY);
    protect(&admin, "docs", "rag", "{}");
    ask_as(&spy, &user("bob", "acme", 2));
    owner.execute_batch("PRAGMA foreign_keys = ON").unwrap();
    ask_as(&owner, &user("gus", "globex", 2));
    // The key would follow what becomes of the row, in a table that anyone reads.
    let _ = spy.execute_batch("PRAGMA foreign_keys = OFF");
    let _ = spy
        .execute_batch("CREATE TABLE mine (name REFERENCES tamis_protected_docs (name) ON UPDATE CASCADE)");
    let _ = spy.execute_batch("INSERT INTO mine VALUES ('guessed')");
    owner.execute_batch("UPDATE docs SET name = 'secret' WHERE id = 2").unwrap();
    let found = try_column(&spy, "SELECT name FROM mine", []).unwrap_or_default();
    assert!(!found.contains(&Value::Text("secret".to_owned())), "{found:?}");
    refused(&spy, "CREATE TABLE mine (id REFERENCES tamis_protected_docs)", "not authorized");
}

#[test]
fn settings_and_counters_of_others_stay() {
    let connection = memory();
    connection
        .execute_batch(
            "CREATE TABLE docs (id INTEGER PRIMARY KEY AUTOINCREMENT, tenant TEXT, level INTEGER);
             CREATE INDEX tenants ON docs (tenant);
             INSERT INTO docs VALUES (1, 'acme', 0), (2, 'globex', 0);
             ANALYZE; PRAGMA foreign_keys = ON;",
        )
        .unwrap();
    load(&connection, "rag", POLICY);
    protect(&connection, "docs", "rag", "{}");
    ask_as(&connection, &user("alice", "acme", 2));
    for sql in [
        "UPDATE sqlite_sequence SET seq = 9223372036854775807",
        "DELETE FROM sqlite_sequence",
        "INSERT INTO sqlite_sequence VALUES ('tamis_protected_docs', 9223372036854775807)",
        "UPDATE sqlite_stat1 SET stat = '1 1'",
        "DELETE FROM sqlite_stat1",
        "PRAGMA foreign_keys = OFF",
        "PRAGMA foreign_keys = 0",
        "PRAGMA foreign_keys = nonsense",
    ] {
        assert!(try_column(&connection, sql, []).is_err(), "{sql}");
    }
    assert_eq!(column(&connection, "PRAGMA foreign_keys"), integers(&[1]));
    let sql = "INSERT INTO docs (tenant, level) VALUES ('acme', 0) RETURNING id";
    assert_eq!(column(&connection, sql).len(), 1);
    assert_eq!(connection.last_insert_rowid(), 3);
}

#[test]
fn nothing_outlives_a_request_to_catch_the_next() {
    let connection = bobs();
    for sql in [
        "CREATE TABLE loot AS SELECT * FROM docs",
        "CREATE TEMP TABLE docs (id, tenant, level, salary, body)",
        "CREATE TEMP TABLE loot AS SELECT * FROM docs",
        "CREATE TEMP VIEW docs AS SELECT 1 AS id",
        "CREATE VIEW v AS SELECT * FROM docs",
        "CREATE TEMP TRIGGER t AFTER INSERT ON notes BEGIN SELECT 1; END",
        "CREATE TRIGGER t AFTER INSERT ON notes BEGIN INSERT INTO notes SELECT body FROM docs; END",
        "CREATE TRIGGER t INSTEAD OF INSERT ON docs BEGIN SELECT 1; END",
        "CREATE TEMP TRIGGER t AFTER UPDATE ON main.tamis_protected_docs BEGIN SELECT 1; END",
    ] {
        assert!(try_column(&connection, sql, []).is_err(), "{sql}");
    }
}

#[test]
fn no_expression_sees_a_row_before_the_policy() {
    let connection = bobs();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sees = Arc::clone(&seen);
    connection
        .create_scalar_function(
            "spy",
            1,
            FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC,
            move |context| {
                sees.lock().unwrap().push(context.get::<Value>(0)?);
                Ok(1)
            },
        )
        .unwrap();
    for sql in [
        "SELECT id FROM docs WHERE spy(body)",
        "SELECT id FROM docs WHERE body = spy(body) OR spy(id)",
        "SELECT count(spy(body)) FROM docs",
        "SELECT count(*) FROM docs GROUP BY spy(body) HAVING spy(max(body))",
        "SELECT id FROM docs ORDER BY spy(body)",
        "SELECT docs.id FROM notes RIGHT JOIN docs ON spy(docs.body)",
        "SELECT d.id FROM docs AS d, (SELECT * FROM docs WHERE spy(body) LIMIT -1 OFFSET 0) AS e",
        "SELECT sum(spy(body)) OVER (ORDER BY id) FROM docs",
        "SELECT id FROM docs WHERE id = (SELECT max(id) FROM docs WHERE spy(body))",
        // What fails on other rows only tells nothing.
        "SELECT id FROM docs WHERE abs(CASE WHEN body LIKE 'globex%' THEN -9223372036854775808 ELSE 1 END)",
        "SELECT id FROM docs WHERE json_extract(CASE WHEN tenant = 'globex' THEN 'not json' ELSE '{}' END, '$') IS NOT 1",
        "SELECT id FROM docs WHERE CASE WHEN id > 1 THEN load_it(id) ELSE 1 END",
    ] {
        let rows = try_column(&connection, sql, []);
        assert!(sql.contains("load_it") || rows.is_ok(), "{sql}: {rows:?}");
    }
    let seen = seen.lock().unwrap();
    assert!(seen.len() >= 8);
    let own = [Value::Text("acme public".to_owned()), Value::Integer(1)];
    assert!(seen.iter().all(|value| own.contains(value)), "{seen:?}");
}

#[test]
fn counts_and_errors_tell_nothing_of_other_rows() {
    let connection = bobs();
    for (sql, expected) in [
        ("SELECT count(*) FROM docs", 1),
        ("SELECT max(rowid) FROM docs", 1),
        ("SELECT count(*) FROM docs WHERE tenant = 'globex'", 0),
        ("SELECT count(*) FROM docs WHERE tenant IS NULL", 0),
        ("SELECT count(*) FROM docs WHERE NOT tenant = 'acme'", 0),
        ("SELECT count(*) FROM docs WHERE body LIKE '%secret%'", 0),
        ("SELECT EXISTS (SELECT 1 FROM docs WHERE id = 2)", 0),
        ("SELECT total(salary) IS 0.0 FROM docs", 1),
        ("SELECT count(*) FROM (SELECT 1 FROM docs UNION ALL SELECT 1 FROM docs)", 2),
        ("SELECT count(*) FROM docs AS a LEFT JOIN docs AS b ON b.id = a.id + 1", 1),
    ] {
        assert_eq!(column(&connection, sql), integers(&[expected]), "{sql}");
    }
}

#[test]
fn a_connection_without_a_request_reaches_no_more() {
    let connection = protected();
    for sql in [
        "SELECT * FROM docs",
        "SELECT count(*) FROM docs",
        "SELECT * FROM tamis_protected_docs",
        "SELECT * FROM tamis_internal_policies",
        "INSERT INTO docs (tenant, level) VALUES ('acme', 0)",
        "UPDATE docs SET level = 0",
        "DELETE FROM docs",
        "PRAGMA writable_schema = ON",
        "CREATE TRIGGER t AFTER INSERT ON tamis_protected_docs BEGIN SELECT 1; END",
        "CREATE TEMP TRIGGER t AFTER UPDATE ON main.tamis_protected_docs BEGIN SELECT 1; END",
        "DROP TRIGGER tamis_protected_docs_update",
        "DROP TABLE docs",
    ] {
        assert!(try_column(&connection, sql, []).is_err(), "{sql}");
    }
    // A view of one's own leads no further.
    connection.execute_batch("CREATE VIEW v AS SELECT * FROM tamis_protected_docs").unwrap();
    assert!(try_column(&connection, "SELECT * FROM v", []).is_err());
    connection.execute_batch("CREATE VIEW docs2 AS SELECT id FROM docs").unwrap();
    refused(&connection, "SELECT * FROM docs2", "no request is set");
}

#[test]
fn a_view_or_trigger_of_the_schema_cannot_change_who_asks() {
    let connection = memory();
    connection
        .execute_batch(&format!("CREATE VIEW v AS SELECT tamis_request('{}') AS x", user("mary", "acme", 9)))
        .unwrap();
    refused(&connection, "SELECT x FROM v", "unsafe use of tamis_request");
}

#[test]
fn an_untrusted_schema_makes_no_difference() {
    let connection = protected();
    connection.execute_batch("CREATE VIEW v AS SELECT id FROM docs; PRAGMA trusted_schema = OFF").unwrap();
    ask_as(&connection, &user("alice", "acme", 2));
    assert_eq!(column(&connection, "SELECT id FROM v"), integers(&[1, 2]));
    connection.execute("INSERT INTO docs (tenant, level) VALUES ('acme', 1)", []).unwrap();
}

#[test]
fn a_library_that_replaces_the_authorizer_gets_nothing() {
    let mut connection = bobs();
    connection
        .authorizer(None::<fn(rusqlite::hooks::AuthContext<'_>) -> rusqlite::hooks::Authorization>)
        .unwrap();
    refused(&connection, "SELECT id FROM docs", "another authorizer replaced");
    refused(&connection, "SELECT tamis_allowed('rag', '{}')", "another authorizer replaced");
}

#[test]
fn what_programs_do_every_day_goes_on() {
    let connection = bobs();
    for sql in [
        "PRAGMA table_info(docs)",
        "SELECT name FROM pragma_table_info('docs')",
        "PRAGMA foreign_keys = ON",
        "PRAGMA busy_timeout = 5000",
        "PRAGMA journal_mode",
        "PRAGMA database_list",
        "SELECT sql FROM sqlite_master",
        "CREATE INDEX more_a ON more (a)",
        "INSERT INTO more VALUES (1)",
        "DROP TABLE more",
        "BEGIN",
        "SAVEPOINT s",
        "RELEASE s",
        "COMMIT",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT i FROM n",
        "SELECT json_group_array(body) FROM docs",
    ] {
        let result = try_column(&connection, sql, []);
        assert!(result.is_ok(), "{sql}: {result:?}");
    }
}
