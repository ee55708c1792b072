//! `tamis_search` over sqlite-vec: k is k, and nothing else is found.

use std::sync::Once;

use tamis_retrieve::Store;
use tempfile::TempDir;

use super::*;

const ROWS: usize = 6000;

/// Has sqlite-vec in every connection from now on, as the embedded store does.
fn with_vectors() {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        let folder = TempDir::new().unwrap();
        Store::create(&folder.path().join("any.sqlite")).unwrap();
    });
}

fn vector(number: usize) -> String {
    let numbers: Vec<f64> =
        (1..=4).map(|axis| ((number * 37 + 11) as f64 * axis as f64 * 0.618_034).sin()).collect();
    json!(numbers).to_string()
}

/// One row in 300 is of the tenant `few`; half are beyond everybody.
fn filled(metric: &str) -> Connection {
    with_vectors();
    let connection = memory();
    connection
        .execute_batch(&format!(
            "CREATE TABLE docs (id INTEGER PRIMARY KEY, tenant TEXT, level INTEGER, body TEXT);
             CREATE VIRTUAL TABLE docs_vec USING vec0(embedding float[4]{metric});
             BEGIN"
        ))
        .unwrap();
    for number in 0..ROWS {
        let tenant = if number % 300 == 7 { "few" } else { "many" };
        let level = if number % 2 == 0 { 0 } else { 1 };
        let id = number as i64 + 1;
        let sql = "INSERT INTO docs VALUES (?, ?, ?, 'text')";
        connection.execute(sql, (id, tenant, level)).unwrap();
        connection
            .execute("INSERT INTO docs_vec (rowid, embedding) VALUES (?, ?)", (id, vector(number)))
            .unwrap();
    }
    connection.execute_batch("COMMIT").unwrap();
    connection
}

const NEAREST: &str = "SELECT id FROM tamis_search('docs', ?, ?) ORDER BY distance";

fn found(connection: &Connection, near: usize, k: i64) -> Vec<Value> {
    try_column(connection, NEAREST, (vector(near), k)).unwrap()
}

/// The same by computing every distance.
fn expected(
    connection: &Connection,
    metric: &str,
    near: usize,
    tenant: &str,
    level: i64,
    k: i64,
) -> Vec<Value> {
    let sql = format!(
        "SELECT docs.id FROM docs JOIN docs_vec ON docs_vec.rowid = docs.id WHERE tenant = ? AND level <= ?
         ORDER BY vec_distance_{metric}(embedding, ?), docs.id LIMIT ?"
    );
    try_column(connection, &sql, (tenant, level, vector(near), k)).unwrap()
}

#[test]
fn k_is_k_however_few_may_be_read() {
    for (metric, name) in [("", "l2"), (" distance_metric=cosine", "cosine"), (" distance_metric=L1", "l1")] {
        let connection = filled(metric);
        let near = 4242;
        let few = expected(&connection, name, near, "few", 9, 10);
        let many = expected(&connection, name, near, "many", 0, 100);
        let all_of_few = expected(&connection, name, near, "few", 9, 1000);
        load(&connection, "rag", POLICY);
        protect(&connection, "docs", "rag", r#"{"vectors":"docs_vec"}"#);
        let ticket = ask_as(&connection, &user("f", "few", 3));
        assert_eq!(few.len(), 10);
        assert_eq!(found(&connection, near, 10), few);
        assert_eq!(all_of_few.len(), ROWS / 300);
        assert_eq!(found(&connection, near, 1000), all_of_few);
        go_on_as(&connection, &user("m", "many", 0), &ticket);
        assert_eq!(found(&connection, near, 100), many);
    }
}

/// A policy whose filter says nothing, so that all depends on looking further.
#[test]
fn k_is_k_where_the_policy_cannot_narrow() {
    let connection = filled("");
    let policy = r#"permit(principal, action, resource) when { resource.tenant like "f*w" };"#;
    let few = expected(&connection, "l2", 99, "few", 9, 1000);
    load(&connection, "rag", policy);
    protect(&connection, "docs", "rag", r#"{"vectors":"docs_vec"}"#);
    ask_as(&connection, &user("f", "few", 3));
    assert_eq!(found(&connection, 99, 5), few[..5]);
    assert_eq!(found(&connection, 99, 1000), few);
}

#[test]
fn hits_join_with_the_table_and_vectors_come_and_go_with_rows() {
    let connection = filled("");
    load(&connection, "rag", POLICY);
    protect(&connection, "docs", "rag", r#"{"vectors":"docs_vec"}"#);
    let ticket = ask_as(&connection, &user("f", "few", 3));
    let sql = "INSERT INTO docs (id, tenant, level, body, tamis_vector) VALUES (9000, 'few', 1, 'new', '[9, 9, 9, 9]')";
    connection.execute(sql, []).unwrap();
    let nearest = "SELECT body FROM tamis_search('docs', '[9, 9, 9, 9]', 1) AS s JOIN docs ON docs.id = s.id";
    assert_eq!(column(&connection, nearest), [Value::Text("new".to_owned())]);
    let other = go_on_as(&connection, &user("m", "many", 3), &ticket);
    assert_eq!(column(&connection, nearest), [Value::Text("text".to_owned())]);
    go_on_as(&connection, &user("f", "few", 3), &other);
    connection.execute("UPDATE docs SET tamis_vector = '[-9, -9, -9, -9]' WHERE id = 9000", []).unwrap();
    assert_eq!(column(&connection, nearest), [Value::Text("text".to_owned())]);
    connection.execute("DELETE FROM docs WHERE id = 9000", []).unwrap();
    let gone = "SELECT count(*) FROM tamis_search('docs', '[-9, -9, -9, -9]', 10000) WHERE id = 9000";
    assert_eq!(column(&connection, gone), integers(&[0]));
    for (vector, message) in [
        ("'[1, 2, 3]'", "it has 3 numbers; the table has 4"),
        ("'[1, 2, 3, 1e99]'", "not finite"),
        ("'x'", "expected value"),
        ("x'00'", "neither a BLOB of 32-bit floats"),
        ("5", "neither a BLOB of 32-bit floats"),
    ] {
        let insert =
            format!("INSERT INTO docs (id, tenant, level, tamis_vector) VALUES (9001, 'few', 1, {vector})");
        refused(&connection, &insert, message);
        refused(&connection, &format!("SELECT id FROM tamis_search('docs', {vector}, 5)"), message);
    }
    assert_eq!(column(&connection, "SELECT count(*) FROM docs WHERE id = 9001"), integers(&[0]));
}

#[test]
fn a_vector_that_is_left_over_is_not_the_next_rows() {
    with_vectors();
    let folder = TempDir::new().unwrap();
    let connection = file(&folder);
    connection
        .execute_batch(
            "CREATE TABLE docs (id INTEGER PRIMARY KEY, tenant TEXT, level INTEGER);
             CREATE VIRTUAL TABLE docs_vec USING vec0(embedding float[2]);",
        )
        .unwrap();
    load(&connection, "rag", POLICY);
    protect(&connection, "docs", "rag", r#"{"vectors":"docs_vec"}"#);
    // As a program without the extension leaves it behind.
    let plain = Connection::open(folder.path().join("db.sqlite")).unwrap();
    plain
        .execute_batch(
            "INSERT INTO tamis_protected_docs_vec (rowid, embedding) VALUES (1, '[1, 1]'), (2, '[1, 1]')",
        )
        .unwrap();
    ask_as(&connection, &user("alice", "acme", 2));
    let found = "SELECT id FROM tamis_search('docs', '[1, 1]', 5)";
    assert_eq!(column(&connection, found), []);
    connection.execute("INSERT INTO docs (id, tenant, level) VALUES (1, 'acme', 0)", []).unwrap();
    assert_eq!(column(&connection, found), []);
    connection
        .execute("INSERT INTO docs (id, tenant, level, tamis_vector) VALUES (2, 'acme', 0, '[0, 1]')", [])
        .unwrap();
    assert_eq!(column(&connection, found), integers(&[2]));
}

#[test]
fn vectors_are_out_of_reach_and_come_back() {
    let connection = filled("");
    load(&connection, "rag", POLICY);
    protect(&connection, "docs", "rag", r#"{"vectors":"docs_vec"}"#);
    for sql in [
        "SELECT * FROM docs_vec",
        "SELECT * FROM tamis_protected_docs_vec",
        "SELECT * FROM tamis_protected_docs_vec_rowids",
        "SELECT vectors FROM tamis_protected_docs_vec_vector_chunks00",
        "DELETE FROM tamis_protected_docs_vec",
    ] {
        assert!(try_column(&connection, sql, []).is_err(), "{sql}");
    }
    connection.execute_batch("SELECT tamis_unprotect('docs')").unwrap();
    assert_eq!(column(&connection, "SELECT count(*) FROM docs_vec"), integers(&[ROWS as i64]));
    assert_eq!(
        column(&connection, "SELECT count(*) FROM sqlite_master WHERE name LIKE 'tamis_protected%'"),
        integers(&[0])
    );
}

#[test]
fn searches_that_make_no_sense_are_refused() {
    let connection = filled("");
    connection
        .execute_batch("CREATE TABLE plain (id INTEGER PRIMARY KEY, tenant TEXT, level INTEGER)")
        .unwrap();
    load(&connection, "rag", POLICY);
    protect(&connection, "plain", "rag", "{}");
    refused(&connection, "SELECT * FROM tamis_search('plain', '[1,2,3,4]', 5)", "no request is set");
    ask_as(&connection, &user("f", "few", 3));
    for (arguments, message) in [
        ("'plain', '[1,2,3,4]', 5", "protected without vectors"),
        ("'docs', '[1,2,3,4]', 5", "is not protected"),
        ("'plain', '[1,2,3,4]', 0", "k must be from 1"),
        ("'plain', '[1,2,3,4]', 10001", "k must be from 1"),
        ("'plain', '[1,2,3,4]', 'x'", "wants the name"),
        ("NULL, '[1,2,3,4]', 1", "wants the name"),
        ("'plain', '[1,2,3,4]'", ""),
    ] {
        refused(&connection, &format!("SELECT id FROM tamis_search({arguments})"), message);
    }
}
