//! What a policy goes by that is no attribute: it must be said which column that is.

use tamis_tests::hostile::Module;
use tamis_tests::hostile::abi::Abi;
use tamis_tests::hostile::answers::Decision;

use super::*;

#[test]
fn a_text_that_is_to_be_withheld_must_be_known() {
    let connection = memory();
    connection.execute_batch(TABLE).unwrap();
    let policy = r#"@redact("salary, text") permit(principal, action, resource);"#;
    load(&connection, "rag", policy);
    let message = "the policy `rag` redacts the text, and no column is named for it";
    refused(&connection, "SELECT tamis_protect('docs', 'rag')", message);
    protect(&connection, "docs", "rag", r#"{"text":"body"}"#);
    for table in ["other", "third", "fourth"] {
        connection.execute_batch(&format!("CREATE TABLE {table} AS SELECT 1 AS id, 'text' AS body")).unwrap();
    }
    load(&connection, "other", EVERYBODY);
    protect(&connection, "other", "other", "{}");
    let sql = format!("SELECT tamis_load('other', '{policy}')");
    refused(&connection, &sql, "the policy `other` redacts the text, and no column is named for it");
    // A policy need not say beforehand what it withholds: then it shows no row.
    let decision = Decision { redact_text: Abi::U8(1), ..Decision::allow() };
    let component = Module { decision, ..Module::good() }.component();
    connection.query_row("SELECT tamis_load('silent', ?)", [component], |_| Ok(())).unwrap();
    protect(&connection, "third", "silent", "{}");
    protect(&connection, "fourth", "silent", r#"{"text":"body"}"#);
    ask_as(&connection, &user("bob", "acme", 1));
    assert_eq!(column(&connection, "SELECT count(body) + count(salary) FROM docs"), integers(&[0]));
    assert_eq!(column(&connection, "SELECT count(*) FROM docs"), integers(&[7]));
    assert_eq!(column(&connection, "SELECT body FROM other"), [Value::Text("text".to_owned())]);
    assert_eq!(column(&connection, "SELECT body FROM third"), []);
    assert_eq!(column(&connection, "SELECT body FROM fourth"), [Value::Null]);
}

#[test]
fn rows_are_found_by_their_folders() {
    for attributes in ["", r#""attributes":"meta","#] {
        let connection = memory();
        connection
            .execute_batch(
                r#"CREATE TABLE docs (id INTEGER PRIMARY KEY, meta TEXT, folders TEXT);
                 INSERT INTO docs VALUES (1, '{}', '[{"type":"Folder","id":"x"}]'), (2, '{}', NULL),
                    (3, '{}', '[{"type":"Folder","id":"y"},{"type":"Folder","id":"x"}]'), (4, '{}', '[{"type":"Folder","id":"y"}]')"#,
            )
            .unwrap();
        let policy = r#"permit(principal, action, resource in Folder::"x"); forbid(principal, action, resource in Folder::"z");"#;
        connection.query_row("SELECT tamis_load('rag', ?)", [policy], |_| Ok(())).unwrap();
        protect(&connection, "docs", "rag", &format!(r#"{{{attributes}"parents":"folders"}}"#));
        ask_as(&connection, &user("bob", "acme", 1));
        assert_eq!(column(&connection, "SELECT id FROM docs"), integers(&[1, 3]), "{attributes}");
    }
}

#[test]
fn folders_that_a_policy_reads_must_be_known() {
    let connection = memory();
    let create = r#"CREATE TABLE docs AS SELECT 1 AS id, '[{"type":"Folder","id":"secret"}]' AS folders"#;
    connection.execute_batch(create).unwrap();
    let load = |name: &str, policy: &str| {
        try_column(&connection, "SELECT tamis_load(?, ?)", [name, policy])
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    let permit = "permit(principal, action, resource); ";
    load("rag", &format!("{permit} forbid(principal, action, resource in Folder::\"secret\");")).unwrap();
    load(
        "tags",
        &format!("{permit} forbid(principal, action, resource) when {{ resource.hasTag(\"secret\") }};"),
    )
    .unwrap();
    // Else it would forbid nothing.
    refused(&connection, "SELECT tamis_protect('docs', 'rag')", "reads the ancestors of a chunk");
    refused(&connection, "SELECT tamis_protect('docs', 'tags')", "reads the tags of a chunk");
    load("swapped", permit).unwrap();
    connection.execute_batch("CREATE TABLE other AS SELECT 1 AS id").unwrap();
    protect(&connection, "other", "swapped", "{}");
    let error = load("swapped", "permit(principal, action, resource in Folder::\"open\");").unwrap_err();
    assert!(error.contains("table `other`: the policy `swapped` reads the ancestors"), "{error}");
    protect(&connection, "docs", "rag", r#"{"parents":"folders"}"#);
    ask_as(&connection, &user("bob", "acme", 1));
    assert_eq!(column(&connection, "SELECT id FROM docs"), []);
    assert_eq!(column(&connection, "SELECT id FROM other"), integers(&[1]));
}
