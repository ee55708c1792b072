//! Protected tables: who sees and writes what, and what becomes of the table.

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;

#[test]
fn the_same_sql_shows_different_people_different_rows() {
    let connection = protected();
    refused(&connection, "SELECT id FROM docs", "no request is set");
    let mut ticket: Option<String> = None;
    for (who, ids) in [
        (user("bob", "acme", 0), vec![1]),
        (user("alice", "acme", 2), vec![1, 2]),
        (user("mary", "acme", 3), vec![1, 2, 7]),
        (user("gus", "globex", 2), vec![3, 4]),
        (user("eve", "other", 9), vec![]),
    ] {
        ticket = Some(match ticket {
            None => ask_as(&connection, &who),
            Some(ticket) => go_on_as(&connection, &who, &ticket),
        });
        for (sql, expected) in [
            ("SELECT id FROM docs", ids.clone()),
            ("SELECT rowid FROM docs", ids.clone()),
            ("SELECT d.id FROM docs AS d ORDER BY d.level DESC, d.id", {
                let mut by_level = ids.clone();
                by_level.reverse();
                by_level
            }),
            ("SELECT count(*) FROM docs", vec![ids.len() as i64]),
            ("SELECT count(*) FROM docs WHERE 1", vec![ids.len() as i64]),
            ("SELECT id FROM docs WHERE id IN (1, 2, 3, 4, 5, 6, 7)", ids.clone()),
            ("SELECT a.id FROM docs AS a JOIN docs AS b ON a.rowid = b.rowid", ids.clone()),
            ("SELECT id FROM docs LIMIT 1", ids.iter().take(1).copied().collect()),
            ("WITH x AS (SELECT * FROM docs) SELECT id FROM x", ids.clone()),
        ] {
            assert_eq!(column(&connection, sql), integers(&expected), "{sql} for {who}");
        }
    }
}

#[test]
fn rows_that_cannot_be_read_are_nobodys() {
    let connection = protected();
    ask_as(&connection, &user("mary", "acme", 9));
    // 5 has no tenant, 6 a level that is no number.
    assert_eq!(column(&connection, "SELECT id FROM docs WHERE id IN (5, 6)"), integers(&[]));
}

#[test]
fn what_is_withheld_is_withheld_wherever_it_is_asked_for() {
    let connection = protected();
    ask_as(&connection, &user("alice", "acme", 2));
    for sql in [
        "SELECT id FROM docs WHERE salary = 100",
        "SELECT id FROM docs WHERE salary > 0",
        "SELECT id FROM docs WHERE salary IN (100, 200)",
        "SELECT id FROM docs WHERE salary IN (SELECT 100 UNION SELECT 200)",
        "SELECT d.id FROM (SELECT 100 AS s) AS x JOIN docs AS d ON d.salary = x.s",
        "SELECT id FROM docs WHERE half = 50",
        "SELECT salary FROM docs WHERE salary IS NOT NULL",
        "SELECT half FROM docs WHERE half IS NOT NULL",
    ] {
        assert_eq!(column(&connection, sql), [], "{sql}");
    }
    assert_eq!(
        column(&connection, "SELECT count(*) FROM docs WHERE salary IS NULL AND half IS NULL"),
        integers(&[2])
    );
    // Who may not see it changes something else, and it stays.
    connection.execute("UPDATE docs SET body = 'new' WHERE id = 1", []).unwrap();
    assert_eq!(unprotected_rows(connection, "SELECT salary FROM docs WHERE id = 1"), integers(&[100]));
}

/// What a database in memory holds, whoever may read it.
fn unprotected_rows(mut connection: Connection, sql: &str) -> Vec<Value> {
    let bytes = connection.serialize("main").unwrap();
    let mut copy = Connection::open_in_memory().unwrap();
    copy.deserialize_read_exact("main", &bytes[..], bytes.len(), false).unwrap();
    column(&copy, &sql.replace("docs", "tamis_protected_docs"))
}

#[test]
fn only_what_is_admitted_is_written() {
    let connection = protected();
    connection.execute_batch("CREATE TABLE log(id); BEGIN").unwrap();
    let ticket = ask_as(&connection, &user("bob", "acme", 1));
    for sql in [
        "INSERT INTO docs (id, tenant, level) VALUES (10, 'acme', 1)",
        "UPDATE docs SET level = 1 WHERE id = 1",
        "DELETE FROM docs WHERE id = 1",
        "UPDATE docs SET body = body WHERE id = 1",
    ] {
        refused(&connection, sql, "does not let this request write the row");
    }
    let ticket = go_on_as(&connection, &user("alice", "acme", 2), &ticket);
    for (sql, message) in [
        // Into, out of and over another tenant's rows.
        ("INSERT INTO docs (id, tenant, level) VALUES (10, 'globex', 1)", "does not let this request write"),
        ("UPDATE docs SET tenant = 'globex' WHERE id = 1", "does not let this request write"),
        ("INSERT OR REPLACE INTO docs (id, tenant, level) VALUES (3, 'acme', 1)", "UNIQUE constraint failed"),
        ("UPDATE OR REPLACE docs SET id = 3 WHERE id = 1", "UNIQUE constraint failed"),
        // What the policy reads later must be there.
        ("INSERT INTO docs (id, level) VALUES (10, 1)", "attribute `tenant` is missing"),
        (
            "INSERT INTO docs (id, tenant, level) VALUES (10, 'acme', 'high')",
            "attribute `level` is ill-typed",
        ),
        ("INSERT INTO docs (id, tenant, level, half) VALUES (10, 'acme', 1, 5)", "computed"),
        // All or nothing.
        ("INSERT INTO docs (id, tenant, level) VALUES (10, 'acme', 1), (11, 'globex', 1)", "does not let"),
    ] {
        refused(&connection, sql, message);
    }
    // Rows that cannot be seen cannot be found to be changed.
    assert_eq!(connection.execute("UPDATE docs SET level = 0 WHERE id IN (3, 4, 7)", []).unwrap(), 0);
    assert_eq!(connection.execute("DELETE FROM docs WHERE tenant = 'globex'", []).unwrap(), 0);
    assert_eq!(connection.execute("INSERT INTO docs (tenant, level) VALUES ('acme', '1')", []).unwrap(), 1);
    assert_eq!(connection.last_insert_rowid(), 8);
    assert_eq!(connection.execute("UPDATE docs SET level = 2, id = 9 WHERE id = 8", []).unwrap(), 1);
    assert_eq!(
        column(&connection, "INSERT INTO docs (id, tenant, level) VALUES (12, 'acme', 0) RETURNING id"),
        integers(&[12])
    );
    assert_eq!(connection.execute("DELETE FROM docs WHERE id = 2", []).unwrap(), 1);
    assert_eq!(column(&connection, "SELECT id FROM docs"), integers(&[1, 9, 12]));
    go_on_as(&connection, &user("gus", "globex", 2), &ticket);
    assert_eq!(column(&connection, "SELECT id FROM docs"), integers(&[3, 4]));
    connection.execute_batch("COMMIT").unwrap();
    assert_eq!(
        unprotected_rows(connection, "SELECT id FROM docs ORDER BY id"),
        integers(&[1, 3, 4, 5, 6, 7, 9, 12])
    );
}

#[test]
fn defaults_and_triggers_of_the_table_go_on() {
    let connection = memory();
    connection
        .execute_batch(
            "CREATE TABLE docs (id INTEGER PRIMARY KEY, tenant TEXT DEFAULT 'acme' NOT NULL, level INTEGER DEFAULT 0);
             CREATE TABLE log (id, tenant);
             CREATE TRIGGER logged AFTER INSERT ON docs BEGIN INSERT INTO log VALUES (NEW.id, NEW.tenant); END;
             CREATE VIEW levels AS SELECT level FROM docs;
             INSERT INTO docs (level) VALUES (0), (3);",
        )
        .unwrap();
    load(&connection, "rag", POLICY);
    protect(&connection, "docs", "rag", "{}");
    ask_as(&connection, &user("alice", "acme", 2));
    connection.execute_batch("BEGIN").unwrap();
    connection.execute("INSERT INTO docs (level) VALUES (1)", []).unwrap();
    refused(&connection, "INSERT INTO docs (tenant) VALUES ('globex')", "does not let this request write");
    // What was refused left nothing, in the transaction that goes on.
    connection.execute_batch("COMMIT").unwrap();
    assert_eq!(column(&connection, "SELECT id FROM log"), integers(&[1, 2, 3]));
    // A view of before shows what the policy lets one see.
    assert_eq!(column(&connection, "SELECT level FROM levels"), integers(&[0, 1]));
}

#[test]
fn a_swap_reaches_prepared_statements() {
    let folder = TempDir::new().unwrap();
    let (admin, reader) = (file(&folder), file(&folder));
    admin.execute_batch(TABLE).unwrap();
    load(&admin, "rag", POLICY);
    protect(&admin, "docs", "rag", "{}");
    ask_as(&reader, &user("bob", "acme", 0));
    let mut statement = reader.prepare("SELECT id FROM docs").unwrap();
    let mut ids =
        || statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect::<Vec<i64>>();
    assert_eq!(ids(), [1]);
    load(&admin, "rag", EVERYBODY);
    assert_eq!(ids(), [1, 2, 3, 4, 5, 6, 7]);
    load(&admin, "rag", NOBODY);
    assert!(ids().is_empty());
    load(&admin, "rag", POLICY);
    assert_eq!(ids(), [1]);
    refused(&admin, "SELECT tamis_drop('rag')", "the policy `rag` protects it");
}

#[test]
fn protection_is_undone_by_a_rollback_and_by_unprotect() {
    let connection = memory();
    connection.execute_batch(TABLE).unwrap();
    load(&connection, "rag", POLICY);
    let schema = "SELECT name || ': ' || coalesce(sql, '') FROM sqlite_master WHERE name NOT LIKE 'tamis_internal%' ORDER BY name";
    let before = column(&connection, schema);
    connection.execute_batch("BEGIN").unwrap();
    protect(&connection, "docs", "rag", "{}");
    refused(&connection, "SELECT id FROM docs", "no request is set");
    connection.execute_batch("ROLLBACK").unwrap();
    assert_eq!(column(&connection, schema), before);
    assert_eq!(column(&connection, "SELECT count(*) FROM docs"), integers(&[7]));
    protect(&connection, "DOCS", "rag", "{}");
    refused(&connection, "SELECT tamis_protect('docs', 'rag')", "it is protected already");
    connection.execute_batch("SELECT tamis_unprotect('docs')").unwrap();
    assert_eq!(column(&connection, "SELECT count(*) FROM docs"), integers(&[7]));
    refused(&connection, "SELECT tamis_unprotect('docs')", "is not protected");
    assert_eq!(
        column(&connection, "SELECT count(*) FROM sqlite_master WHERE type = 'trigger'"),
        integers(&[0])
    );
    assert_eq!(column(&connection, "PRAGMA legacy_alter_table"), integers(&[0]));
}

#[test]
fn what_cannot_be_protected_is_refused_and_stays() {
    let connection = memory();
    connection
        .execute_batch(
            "CREATE TABLE docs (id INTEGER PRIMARY KEY, level INTEGER, meta TEXT);
             CREATE TABLE pairs (a, b, PRIMARY KEY (a, b)) WITHOUT ROWID;
             CREATE TABLE names (rowid, _rowid_, oid, tenant, level);
             CREATE VIEW v AS SELECT 1 AS tenant, 2 AS level;
             INSERT INTO docs VALUES (1, 0, '{}'), (2, 0, '[]'), (3, 0, 'x'), (4, 0, NULL);",
        )
        .unwrap();
    load(&connection, "rag", POLICY);
    let before = column(&connection, "SELECT sql FROM sqlite_master");
    for (arguments, message) in [
        ("'none', 'rag'", "there is no such table"),
        ("'docs', 'none'", "there is no policy `none`"),
        ("'docs', 'rag'", "the policy `rag` reads `tenant`, of which it has no column"),
        ("'docs', 'rag', '{\"attributes\":{\"tenant\":\"owner\"}}'", "it has no column `owner`"),
        ("'docs', 'rag', '{\"attributes\":\"meta\"}'", "`meta` of the row with rowid 2 is not a JSON object"),
        ("'docs', 'rag', '{\"atributes\":\"meta\"}'", "the options: atributes: unknown field"),
        (
            "'docs', 'rag', '{\"vectors\":\"none\",\"attributes\":{\"tenant\":\"meta\"}}'",
            "`none` does not exist",
        ),
        ("'docs', 'rag', '['", "the options"),
        ("'pairs', 'rag'", "WITHOUT ROWID"),
        ("'names', 'rag'", "take all names of the rowid"),
        ("'v', 'rag'", "no views"),
        ("'tamis_policies', 'rag'", "there is no such table"),
        ("'tamis_internal_policies', 'rag'", "belongs to the protection itself"),
        ("NULL, 'rag'", "argument 1 is NULL"),
    ] {
        refused(&connection, &format!("SELECT tamis_protect({arguments})"), message);
    }
    assert_eq!(column(&connection, "SELECT sql FROM sqlite_master"), before);
    assert_eq!(column(&connection, "SELECT count(*) FROM docs"), integers(&[4]));
}

#[test]
fn a_swap_that_the_table_does_not_fit_is_refused() {
    let connection = protected();
    let schema = "entity User; entity Chunk { tenant: String, owner: String };
        action retrieve appliesTo { principal: User, resource: Chunk };";
    let policy = "permit(principal, action, resource) when { resource.owner == \"x\" };";
    let sql = format!("SELECT tamis_load('rag', '{policy}', '{schema}')");
    refused(&connection, &sql, "the policy `rag` reads `owner`, of which it has no column");
    ask_as(&connection, &user("bob", "acme", 0));
    assert_eq!(column(&connection, "SELECT id FROM docs"), integers(&[1]));
}

#[test]
fn attributes_may_be_in_json_or_under_other_names() {
    let connection = memory();
    connection
        .execute_batch(
            r#"CREATE TABLE "odd ""name""" (key TEXT, meta TEXT, body TEXT, folders TEXT, salary INTEGER);
             INSERT INTO "odd ""name""" VALUES
                ('a', '{"tenant":"acme","level":0,"salary":5}', 'one', '[{"type":"Folder","id":"x"}]', 1),
                ('b', '{"tenant":"acme","level":2}', 'two', NULL, 2),
                ('c', '{"tenant":"globex","level":0}', 'three', '[]', 3),
                ('d', NULL, 'four', NULL, 4), ('e', '{"tenant":"acme","level":0}', 'five', 'x', 5),
                (x'00', '{"tenant":"acme","level":0}', 'six', NULL, 6);
             CREATE TABLE renamed (id INTEGER PRIMARY KEY, company TEXT, "class" INT, labels JSON, pay INT);
             INSERT INTO renamed VALUES (1, 'acme', 0, '["x"]', 7), (2, 'acme', 2, NULL, 8), (3, 'acme', 0, 'no json', 9);"#,
        )
        .unwrap();
    load(&connection, "rag", POLICY);
    protect(
        &connection,
        r#"odd "name""#,
        "rag",
        r#"{"attributes":"meta","id":"key","type":"Chunk","text":"body","parents":"folders"}"#,
    );
    protect(
        &connection,
        "renamed",
        "rag",
        r#"{"attributes":{"tenant":"company","level":"class","tags":"labels","salary":"pay"}}"#,
    );
    ask_as(&connection, &user("bob", "acme", 1));
    let text = |text: &str| Value::Text(text.to_owned());
    // What is redacted goes from the JSON.
    assert_eq!(
        column(
            &connection,
            r#"SELECT key || (meta ->> 'tenant') || (meta -> 'salary' IS NULL) FROM "odd ""name""""#
        ),
        [text("aacme1")]
    );
    assert_eq!(column(&connection, "SELECT id FROM renamed"), integers(&[1, 3]));
    assert_eq!(column(&connection, "SELECT pay FROM renamed WHERE pay IS NOT NULL"), []);
}

#[test]
fn a_file_without_the_extension_serves_nothing_under_the_name() {
    let folder = TempDir::new().unwrap();
    let connection = file(&folder);
    connection.execute_batch(TABLE).unwrap();
    load(&connection, "rag", POLICY);
    protect(&connection, "docs", "rag", "{}");
    drop(connection);
    let plain = Connection::open(folder.path().join("db.sqlite")).unwrap();
    refused(&plain, "SELECT id FROM docs", "no such module: tamis");
    let write = "INSERT INTO tamis_protected_docs (tenant, level) VALUES ('acme', 0)";
    refused(&plain, write, "no such function: tamis_internal_admit");
    // The file itself is not protected: whoever may open it may read it.
    assert_eq!(column(&plain, "SELECT count(*) FROM tamis_protected_docs"), integers(&[7]));
    plain.execute_batch("DROP TABLE tamis_protected_docs").unwrap();
    let connection = file(&folder);
    ask_as(&connection, &user("bob", "acme", 0));
    refused(&connection, "SELECT id FROM docs", "is gone");
}

#[test]
fn an_empty_policy_store_serves_nothing() {
    let folder = TempDir::new().unwrap();
    let connection = file(&folder);
    connection.execute_batch(TABLE).unwrap();
    load(&connection, "rag", POLICY);
    protect(&connection, "docs", "rag", "{}");
    let plain = Connection::open(folder.path().join("db.sqlite")).unwrap();
    plain.execute_batch("DELETE FROM tamis_internal_policies").unwrap();
    ask_as(&connection, &user("bob", "acme", 0));
    refused(&connection, "SELECT id FROM docs", "there is no policy `rag`");
    plain.execute_batch("DROP TABLE tamis_internal_policies").unwrap();
    refused(&connection, "SELECT id FROM docs", "there is no policy `rag`");
    plain.execute_batch("DROP TABLE tamis_internal_tables").unwrap();
    refused(&connection, "SELECT id FROM docs", "is not protected");
}

#[test]
fn equality_finds_what_it_finds_in_the_table() {
    let connection = memory();
    connection
        .execute_batch(
            "CREATE TABLE plain (id INTEGER PRIMARY KEY, tenant TEXT, level INT, code TEXT, number REAL, any, name TEXT COLLATE NOCASE);
             INSERT INTO plain VALUES (1, 'acme', 0, '5', 5, 5, 'Bob'), (2, 'acme', 0, '5.0', 5.5, '5', 'bob'), (3, 'acme', 0, 'x', 'x', x'35', 'x'),
                (4, 'acme', 0, NULL, NULL, NULL, NULL);
             CREATE TABLE docs AS SELECT * FROM plain WHERE 0;
             CREATE TABLE other (whole INT, words TEXT, any);
             INSERT INTO other VALUES (5, '5', 5), (1, '1', '1'), (NULL, NULL, NULL), (7, 'x', 'x'), (5, 'bob', '5.0');
             DROP TABLE docs;
             CREATE TABLE docs (id INTEGER PRIMARY KEY, tenant TEXT, level INT, code TEXT, number REAL, any, name TEXT);
             INSERT INTO docs SELECT * FROM plain;
             CREATE INDEX codes ON docs (code);
             CREATE TABLE compare AS SELECT * FROM docs WHERE 0;
             DROP TABLE compare;
             CREATE TABLE compare (id INTEGER PRIMARY KEY, tenant TEXT, level INT, code TEXT, number REAL, any, name TEXT);
             INSERT INTO compare SELECT * FROM docs;",
        )
        .unwrap();
    load(&connection, "rag", EVERYBODY);
    protect(&connection, "docs", "rag", "{}");
    ask_as(&connection, &user("bob", "acme", 0));
    let columns = ["id", "rowid", "code", "number", "any", "name"];
    for column_name in columns {
        for with in [
            "5",
            "'5'",
            "'5.0'",
            "5.0",
            "x'35'",
            "NULL",
            "'bob'",
            "'1'",
            "1",
            "other.whole",
            "other.words",
            "other.any",
        ] {
            for operator in ["=", "IS", "<", ">="] {
                let sql = |table: &str| {
                    format!(
                        "SELECT t.id || '/' || other.rowid FROM other CROSS JOIN {table} AS t
                         WHERE t.{column_name} {operator} {with} ORDER BY 1"
                    )
                };
                assert_eq!(
                    column(&connection, &sql("docs")),
                    column(&connection, &sql("compare")),
                    "{}",
                    sql("docs")
                );
            }
        }
    }
}

#[test]
fn a_table_that_is_altered_under_protection_serves_nothing_it_should_not() {
    let folder = TempDir::new().unwrap();
    let connection = file(&folder);
    connection.execute_batch(TABLE).unwrap();
    load(&connection, "rag", POLICY);
    protect(&connection, "docs", "rag", "{}");
    ask_as(&connection, &user("bob", "acme", 0));
    assert_eq!(column(&connection, "SELECT id FROM docs"), integers(&[1]));
    let plain = Connection::open(folder.path().join("db.sqlite")).unwrap();
    plain
        .execute_batch(
            "PRAGMA legacy_alter_table = ON; ALTER TABLE tamis_protected_docs ADD COLUMN more DEFAULT 5",
        )
        .unwrap();
    assert_eq!(column(&connection, "SELECT more FROM docs"), integers(&[5]));
    plain.execute_batch("ALTER TABLE tamis_protected_docs RENAME COLUMN tenant TO company").unwrap();
    refused(&connection, "SELECT id FROM docs", "the policy `rag` reads `tenant`, of which it has no column");
    plain.execute_batch("ALTER TABLE tamis_protected_docs RENAME COLUMN company TO tenant").unwrap();
    assert_eq!(column(&connection, "SELECT id FROM docs"), integers(&[1]));
    plain.execute_batch("ALTER TABLE tamis_protected_docs RENAME TO elsewhere").unwrap();
    refused(&connection, "SELECT id FROM docs", "is gone");
    let admin = file(&folder);
    admin.execute_batch("SELECT tamis_unprotect('docs')").unwrap();
    refused(&admin, "SELECT id FROM docs", "no such table");
    assert_eq!(column(&plain, "SELECT sql FROM sqlite_master WHERE type = 'trigger'"), []);
    plain.execute_batch("DELETE FROM elsewhere").unwrap();
}

#[test]
fn odd_values_are_nobodys_or_come_back_whole() {
    let connection = memory();
    connection.execute_batch("CREATE TABLE docs (id INTEGER PRIMARY KEY, tenant, level, body)").unwrap();
    let huge = "x".repeat(20 << 20);
    connection.execute("INSERT INTO docs VALUES (1, 'acme', 0, ?)", [&huge]).unwrap();
    connection.execute("INSERT INTO docs VALUES (2, ?, 0, 'huge tenant')", [&huge]).unwrap();
    connection
        .execute_batch(
            "INSERT INTO docs VALUES (3, CAST(x'ff61' AS TEXT), 0, 'no UTF-8'), (4, 'acme', 0, CAST(x'ff61' AS TEXT)),
                (5, 'acme' || char(0), 0, 'null'), (6, 'acme', 0.0, 'real'), (7, 'acme', 9e999, 'infinite'), (8, x'61636d65', 0, 'blob'),
                (9, 'ACME', 0, 'upper'), (10, 'acme ', 0, 'space'), (11, 'acme', x'00', 'blob'), (12, 'acme', -9223372036854775808, 'least');",
        )
        .unwrap();
    load(&connection, "rag", POLICY);
    protect(&connection, "docs", "rag", "{}");
    ask_as(&connection, &user("bob", "acme", 1));
    assert_eq!(column(&connection, "SELECT id FROM docs"), integers(&[1, 4, 12]));
    assert_eq!(column(&connection, "SELECT length(body) FROM docs WHERE id = 1"), integers(&[20 << 20]));
    assert_eq!(
        column(&connection, "SELECT CAST(body AS BLOB) = x'ff61' FROM docs WHERE id = 4"),
        integers(&[1])
    );
}

#[test]
fn rows_of_an_attached_database_are_decided_on_there() {
    let folder = TempDir::new().unwrap();
    let other = file(&folder);
    other.execute_batch("CREATE TABLE docs (id INTEGER PRIMARY KEY, tenant TEXT, level INTEGER)").unwrap();
    other.execute_batch("INSERT INTO docs VALUES (1, 'globex', 0), (2, 'acme', 0)").unwrap();
    load(&other, "rag", POLICY);
    protect(&other, "docs", "rag", "{}");
    drop(other);
    let connection = protected();
    let path = folder.path().join("db.sqlite").display().to_string();
    connection.execute("ATTACH ? AS other", [path]).unwrap();
    ask_as(&connection, &user("alice", "acme", 2));
    assert_eq!(column(&connection, "SELECT id FROM other.docs"), integers(&[2]));
    assert_eq!(column(&connection, "SELECT id FROM main.docs"), integers(&[1, 2]));
    // In `main` the row with this rowid may be written.
    refused(&connection, "INSERT INTO other.docs VALUES (7, 'globex', 0)", "does not let this request write");
    refused(&connection, "UPDATE other.docs SET tenant = 'globex'", "does not let this request write");
    connection.execute("INSERT INTO other.docs VALUES (3, 'acme', 0)", []).unwrap();
    refused(&connection, "SELECT * FROM other.tamis_protected_docs", "prohibited");
}

#[test]
fn foreign_keys_lead_to_no_row() {
    let connection = memory();
    connection
        .execute_batch(
            "PRAGMA foreign_keys = ON;
             CREATE TABLE owners (id INTEGER PRIMARY KEY);
             CREATE TABLE docs (id INTEGER PRIMARY KEY, tenant TEXT, level INTEGER, owner REFERENCES owners ON DELETE CASCADE);
             INSERT INTO owners VALUES (1), (2);
             INSERT INTO docs VALUES (1, 'globex', 0, 1), (2, 'acme', 0, 2);",
        )
        .unwrap();
    load(&connection, "rag", POLICY);
    protect(&connection, "docs", "rag", "{}");
    ask_as(&connection, &user("alice", "acme", 2));
    assert!(try_column(&connection, "DELETE FROM owners WHERE id = 1", []).is_err());
    refused(&connection, "INSERT INTO docs VALUES (3, 'acme', 0, 99)", "FOREIGN KEY constraint failed");
    assert_eq!(column(&connection, "SELECT count(*) FROM owners"), integers(&[2]));
    assert_eq!(column(&connection, "SELECT id FROM docs"), integers(&[2]));
}

#[test]
fn a_transaction_sees_the_policy_that_it_began_with() {
    let folder = TempDir::new().unwrap();
    let (admin, reader) = (file(&folder), file(&folder));
    admin.execute_batch("PRAGMA journal_mode = WAL").unwrap();
    admin.execute_batch(TABLE).unwrap();
    load(&admin, "rag", POLICY);
    protect(&admin, "docs", "rag", "{}");
    ask_as(&reader, &user("bob", "acme", 0));
    reader.execute_batch("BEGIN").unwrap();
    assert_eq!(column(&reader, "SELECT id FROM docs"), integers(&[1]));
    load(&admin, "rag", NOBODY);
    assert_eq!(column(&reader, "SELECT id FROM docs"), integers(&[1]));
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!(column(&reader, "SELECT id FROM docs"), []);
}
