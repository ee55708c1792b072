//! The functions by themselves: policies that are loaded, asked, swapped and refused.

use rusqlite::types::Value;
use rusqlite::{Connection, params};
use tamis_tests::hostile::{self, Batch, FOREVER, Module, TRAP};
use tempfile::TempDir;

use super::*;

fn allowed(connection: &Connection, policy: &str, metadata: &str) -> rusqlite::Result<i64> {
    connection.query_row("SELECT tamis_allowed(?, ?)", [policy, metadata], |row| row.get(0))
}

fn load_bytes(connection: &Connection, bytes: &[u8]) -> rusqlite::Result<i64> {
    connection.query_row("SELECT tamis_load('bad', ?)", [bytes], |row| row.get(0))
}

#[test]
fn a_policy_decides_on_metadata() {
    let connection = memory();
    assert_eq!(load(&connection, "rag", POLICY), 1);
    ask_as(&connection, &user("bob", "acme", 1));
    for (metadata, expected) in [
        // Something is to be withheld, which a yes would not say.
        (r#"{"tenant":"acme","level":1}"#, 0),
        (r#"{"tenant":"acme","level":2}"#, 0),
        (r#"{"tenant":"globex","level":1}"#, 0),
        ("{}", 0),
        (r#"{"tenant":null,"level":1}"#, 0),
    ] {
        assert_eq!(allowed(&connection, "rag", metadata).unwrap(), expected, "{metadata}");
    }
    let connection = memory();
    load(&connection, "rag", POLICY);
    ask_as(&connection, &user("mary", "acme", 3));
    for (sql, expected) in [
        (r#"SELECT tamis_allowed('rag', '{"tenant":"acme","level":9}')"#, 1),
        ("SELECT tamis_allowed('rag', 'tenant', 'acme', 'level', 9)", 1),
        ("SELECT tamis_allowed('rag', 'tenant', 'globex', 'level', 9)", 0),
        ("SELECT tamis_allowed('rag', 'tenant', NULL, 'level', 9)", 0),
        ("SELECT tamis_allowed('rag', 'tenant', x'61636d65', 'level', 9)", 0),
        ("SELECT tamis_allowed('rag', 'tenant', 'acme', 'level', 9, 'tags', json_array('x'))", 1),
        ("SELECT tamis_allowed('rag')", 0),
    ] {
        assert_eq!(column(&connection, sql), integers(&[expected]), "{sql}");
    }
}

#[test]
fn what_cannot_be_said_of_a_chunk_is_not_decided_on() {
    let connection = memory();
    for (name, forbidden) in [
        ("ids", r#"forbid(principal, action, resource == Chunk::"secret")"#),
        ("folders", r#"forbid(principal, action, resource in Folder::"secret")"#),
        ("tags", r#"forbid(principal, action, resource) when { resource.hasTag("secret") }"#),
    ] {
        let policy = format!("permit(principal, action, resource); {forbidden};");
        connection.query_row("SELECT tamis_load(?, ?)", [name, &policy], |_| Ok(())).unwrap();
    }
    ask_as(&connection, &user("bob", "acme", 1));
    for name in ["ids", "folders", "tags"] {
        let error = allowed(&connection, name, "{}").unwrap_err().to_string();
        assert!(error.contains("which `tamis_allowed` is not told"), "{error}");
    }
}

#[test]
fn without_a_request_or_a_policy_nothing_is_allowed() {
    let connection = memory();
    refused(&connection, "SELECT tamis_allowed('rag', '{}')", "no request is set");
    refused(&connection, "SELECT tamis_rewrite('rag')", "no request is set");
    ask_as(&connection, &user("bob", "acme", 1));
    refused(&connection, "SELECT tamis_allowed('rag', '{}')", "there is no policy `rag`");
}

#[test]
fn what_cannot_be_read_is_refused() {
    let connection = memory();
    load(&connection, "rag", POLICY);
    for json in ["", "x", "[]", "{}", r#"{"action":{"name":"retrieve"}}"#, r#"{"subject":{"type":"User"}}"#] {
        let sql = format!("SELECT tamis_request('{json}')");
        refused(&connection, &sql, "tamis: the request: ");
    }
    refused(&connection, "SELECT tamis_request(NULL)", "is NULL");
    refused(&connection, "SELECT tamis_request(5)", "is NULL");
    ask_as(&connection, &user("bob", "acme", 1));
    for (arguments, message) in [
        ("'rag', '[]'", "not a JSON object"),
        ("'rag', '{'", "line 1 column 1"),
        ("'rag', '{\"a\":1,\"a\":2}'", "twice"),
        ("'rag', NULL", "not a JSON object"),
        ("'rag', 1", "not a JSON object"),
        ("'rag', 'a', 1, 'b'", "in pairs"),
        ("'rag', 'a', 1, 'a', 1", "`a` is given twice"),
        ("'rag', NULL, 1", "argument 2 is NULL"),
        ("NULL, '{}'", "argument 1 is NULL"),
        ("5, '{}'", "argument 1 is not a text"),
    ] {
        refused(&connection, &format!("SELECT tamis_allowed({arguments})"), message);
    }
}

#[test]
fn a_decision_is_never_taken_from_another_request_or_row() {
    let connection = memory();
    load(&connection, "rag", POLICY);
    connection
        .execute_batch("CREATE TABLE t(tenant); INSERT INTO t VALUES ('acme'), ('globex'), ('acme')")
        .unwrap();
    let ticket = ask_as(&connection, &user("mary", "acme", 3));
    let mut rows =
        connection.prepare("SELECT tamis_allowed('rag', 'tenant', tenant, 'level', 1) FROM t").unwrap();
    let mut constant =
        connection.prepare("SELECT tamis_allowed('rag', 'tenant', 'acme', 'level', 1) FROM t").unwrap();
    let mut both = || {
        let mut all = Vec::new();
        for statement in [&mut rows, &mut constant] {
            all.push(
                statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect::<Vec<i64>>(),
            );
        }
        all
    };
    assert_eq!(both(), [vec![1, 0, 1], vec![1, 1, 1]]);
    go_on_as(&connection, &user("gus", "globex", 3), &ticket);
    assert_eq!(both(), [vec![0, 1, 0], vec![0, 0, 0]]);
}

#[test]
fn each_row_may_name_its_policy() {
    let connection = memory();
    load(&connection, "all", EVERYBODY);
    load(&connection, "none", NOBODY);
    ask_as(&connection, &user("bob", "acme", 0));
    let sql =
        "WITH t(p) AS (VALUES ('all'), ('none'), ('all'), ('none')) SELECT tamis_allowed(p, '{}') FROM t";
    assert_eq!(column(&connection, sql), integers(&[1, 0, 1, 0]));
}

#[test]
fn a_request_that_changes_ends_statements_that_run() {
    for sql in [
        "SELECT tamis_allowed('rag', 'tenant', 'acme', 'level', n) FROM t",
        "SELECT docs.id FROM t JOIN docs ON docs.id = t.n",
        // Rows that were decided on before are not for who asks next.
        "SELECT id FROM docs",
        "SELECT body FROM docs WHERE level >= 0",
        "SELECT rowid, * FROM docs",
    ] {
        let connection = protected();
        connection.execute_batch("CREATE TABLE t(n); INSERT INTO t VALUES (1), (2), (7)").unwrap();
        let ticket = ask_as(&connection, &user("mary", "acme", 3));
        let mut statement = connection.prepare(sql).unwrap();
        let mut rows = statement.query([]).unwrap();
        assert!(rows.next().unwrap().is_some(), "{sql}");
        go_on_as(&connection, &user("gus", "globex", 3), &ticket);
        let error = rows.next().unwrap_err().to_string();
        assert!(error.contains("the request was changed"), "{sql}: {error}");
    }
}

#[test]
fn only_the_ticket_changes_the_request() {
    let connection = protected();
    let alice = user("alice", "acme", 3);
    let first = ask_as(&connection, &alice);
    let other = user("gus", "globex", 3);
    for ticket in ["", "0", &"0".repeat(64)] {
        let sql = format!("SELECT tamis_request('{other}', '{ticket}')");
        refused(&connection, &sql, "only the ticket");
        refused(&connection, &format!("SELECT tamis_end('{ticket}')"), "only the ticket");
    }
    refused(&connection, &format!("SELECT tamis_request('{other}')"), "only the ticket");
    refused(&connection, &format!("SELECT tamis_request('{other}', NULL)"), "only the ticket");
    refused(&connection, "SELECT tamis_end(NULL)", "only the ticket");
    refused(&connection, "SELECT tamis_lock()", "only the ticket");
    assert_eq!(column(&connection, "SELECT id FROM docs"), integers(&[1, 2, 7]));
    let second = go_on_as(&connection, &other, &first);
    assert_ne!(first, second);
    assert_eq!(column(&connection, "SELECT id FROM docs"), integers(&[3, 4]));
    refused(&connection, &format!("SELECT tamis_request('{alice}', '{first}')"), "only the ticket");
    // A request that cannot be read leaves none, and the ticket as it was.
    refused(&connection, &format!("SELECT tamis_request('{{}}', '{second}')"), "the request");
    refused(&connection, "SELECT id FROM docs", "no request is set");
    let third = go_on_as(&connection, &alice, &second);
    connection.query_row("SELECT tamis_end(?)", [third], |_| Ok(())).unwrap();
    refused(&connection, "SELECT id FROM docs", "no request is set");
}

#[test]
fn a_swap_is_in_effect_at_the_next_statement_everywhere() {
    let folder = TempDir::new().unwrap();
    let (admin, reader) = (file(&folder), file(&folder));
    load(&admin, "rag", EVERYBODY);
    ask_as(&reader, &user("bob", "acme", 1));
    let mut asked = reader.prepare("SELECT tamis_allowed('rag', '{}')").unwrap();
    let mut ask = || asked.query_row([], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(ask(), 1);
    assert_eq!(load(&admin, "rag", NOBODY), 2);
    assert_eq!(ask(), 0);
    assert_eq!(load(&admin, "rag", NOBODY), 2, "the same bytes are no new generation");
    assert_eq!(load(&admin, "rag", EVERYBODY), 3);
    assert_eq!(ask(), 1);
    // What is rolled back was never in effect elsewhere, and is not here.
    admin.execute_batch("BEGIN").unwrap();
    assert_eq!(load(&admin, "rag", NOBODY), 4);
    assert_eq!(ask(), 1);
    admin.execute_batch("ROLLBACK").unwrap();
    assert_eq!(ask(), 1);
    let listed = "SELECT generation FROM tamis_policies WHERE name = 'rag'";
    assert_eq!(column(&admin, listed), integers(&[3]));
    admin.execute_batch("SELECT tamis_drop('rag')").unwrap();
    assert!(asked.query_row([], |_| Ok(())).unwrap_err().to_string().contains("there is no policy"));
    refused(&admin, "SELECT tamis_drop('rag')", "there is no policy");
}

#[test]
fn a_policy_that_is_not_good_changes_nothing() {
    let connection = memory();
    load(&connection, "bad", EVERYBODY);
    let import = wat::parse_str(r#"(component (import "wasi:clocks/now" (func)))"#).unwrap();
    let good = Module::good();
    let contract = include_str!("../../../wit/policy.wit");
    let other = contract.replace("frame: list<u8>) -> list<u8>", "frame: list<s8>) -> list<u8>");
    for (bytes, message) in [
        (b"".to_vec(), "not WebAssembly"),
        (b"hello".to_vec(), "not WebAssembly"),
        (wat::parse_str("(module)").unwrap(), "core module"),
        (import, "a policy imports nothing"),
        (Module::batching(Batch::good()).component_of(&other), "type mismatch"),
        (hostile::padded(&good.component(), (16 << 20) + 1), "at most 16777216 are allowed"),
        (Module::filtering(TRAP).component(), "the policy failed"),
        (Module::filtering(FOREVER).component(), "it took longer than 500 ms"),
        (Module { describe: TRAP, ..good }.component(), "the policy failed"),
    ] {
        let error = load_bytes(&connection, &bytes).unwrap_err().to_string();
        assert!(error.contains(message), "{message}: {error}");
        let listed = "SELECT generation, error FROM tamis_policies";
        let (generation, known) = connection
            .query_row(listed, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))
            .unwrap();
        assert_eq!(generation, 1);
        assert!(error.contains(&known), "{error}: {known}");
    }
    for (policy, schema, message) in [
        ("permit(", "NULL", "does not compile"),
        ("permit(principal, action, resource) when { resource.tenent == 1 };", "?", "tenent"),
        ("", "'entity'", "does not compile"),
        ("policies/rag.cedar", "NULL", "this is the name of a file"),
        ("rag.wasm", "NULL", "this is the name of a file"),
    ] {
        let schema =
            if schema == "?" { format!("'{}'", SCHEMA.replace('\'', "''")) } else { schema.to_owned() };
        refused(&connection, &format!("SELECT tamis_load('bad', '{policy}', {schema})"), message);
    }
    refused(&connection, "SELECT tamis_load('bad', CAST('permit' AS BLOB))", "Cedar is text");
    refused(&connection, "SELECT tamis_load('bad', 5)", "a component (BLOB) or Cedar text");
    refused(&connection, "SELECT tamis_load('bad', NULL)", "a component (BLOB) or Cedar text");
    refused(&connection, "SELECT tamis_load('bad', x'00', 'entity User;')", "with Cedar text only");
    for name in ["''", "NULL", "5", "char(10)"] {
        assert!(try_column(&connection, &format!("SELECT tamis_load({name}, '{EVERYBODY}')"), []).is_err());
    }
    ask_as(&connection, &user("bob", "acme", 1));
    assert_eq!(allowed(&connection, "bad", "{}").unwrap(), 1);
}

#[test]
fn what_was_wrong_with_a_policy_is_for_administrators() {
    let folder = TempDir::new().unwrap();
    let (admin, reader) = (file(&folder), file(&folder));
    load(&admin, "rag", EVERYBODY);
    for name in ["rag", "new"] {
        let sql =
            format!("SELECT tamis_load('{name}', 'permit(principal, action, resource) when {{ secret }};')");
        refused(&admin, &sql, "secret");
    }
    let listed = "SELECT name || ': ' || coalesce(error, '-') FROM tamis_policies";
    assert!(column(&admin, listed).iter().all(|line| format!("{line:?}").contains("secret")));
    ask_as(&reader, &user("bob", "acme", 1));
    assert_eq!(column(&reader, listed), [Value::Text("rag: -".to_owned())]);
}

#[test]
fn a_policy_that_fails_later_denies_with_an_error_and_the_connection_goes_on() {
    // Good to the stranger of the self-test, and stuck with everyone else.
    let stuck = "(if (i32.ge_u (global.get $calls) (i32.const 2)) (then (loop $forever (br $forever))))
        (global.set $calls (i32.add (global.get $calls) (i32.const 1))) (global.get $allow)";
    let connection = memory();
    let component = Module::filtering(stuck).component();
    connection.query_row("SELECT tamis_load('stuck', ?)", [component], |_| Ok(())).unwrap();
    load(&connection, "rag", EVERYBODY);
    connection.execute_batch("CREATE TABLE t(n); INSERT INTO t VALUES (1), (2), (3), (4)").unwrap();
    ask_as(&connection, &user("bob", "acme", 1));
    refused(&connection, "SELECT tamis_allowed('stuck', 'n', n) FROM t", "it took longer than 500 ms");
    assert_eq!(column(&connection, "SELECT tamis_allowed('rag', 'n', n) FROM t"), integers(&[1, 1, 1, 1]));
}

#[test]
fn names_are_data() {
    let connection = memory();
    for name in ["a'b", "a\"b", "select", "x;DROP TABLE t", "größe", "a b"] {
        load(&connection, name, EVERYBODY);
    }
    assert_eq!(column(&connection, "SELECT count(*) FROM tamis_policies"), integers(&[6]));
    ask_as(&connection, &user("bob", "acme", 1));
    assert_eq!(allowed(&connection, "a'b", "{}").unwrap(), 1);
    assert_eq!(allowed(&connection, "x;DROP TABLE t", "{}").unwrap(), 1);
}

#[test]
fn a_policy_whose_bytes_were_changed_does_not_serve() {
    let folder = TempDir::new().unwrap();
    load(&file(&folder), "rag", EVERYBODY);
    let other = Connection::open(folder.path().join("db.sqlite")).unwrap();
    other
        .execute(
            "UPDATE tamis_internal_policies SET digest = replace(digest, 'sha256:', 'sha256:0'), component = x'00'",
            params![],
        )
        .unwrap();
    let connection = file(&folder);
    ask_as(&connection, &user("bob", "acme", 1));
    let error = allowed(&connection, "rag", "{}").unwrap_err().to_string();
    assert!(error.contains("its bytes are not those that were loaded"), "{error}");
}

#[test]
fn a_rewrite_is_shown() {
    let connection = memory();
    load(&connection, "rag", POLICY);
    ask_as(&connection, &user("bob", "acme", 1));
    let [Value::Text(json)] = &column(&connection, "SELECT tamis_rewrite('rag')")[..] else { panic!() };
    let json: serde_json::Value = serde_json::from_str(json).unwrap();
    assert!(json["sql"].as_str().unwrap().contains("json_extract"), "{json}");
    assert!(json["parameters"].as_array().unwrap().iter().any(|value| value == "acme"), "{json}");
    assert_eq!(json["exact"], true);
}

#[test]
fn administration_ends_with_the_first_request() {
    for lock in
        [format!("SELECT tamis_request('{}')", user("bob", "acme", 1)), "SELECT tamis_lock()".to_owned()]
    {
        let connection = protected();
        column(&connection, &lock);
        for sql in [
            format!("SELECT tamis_load('rag', '{EVERYBODY}')"),
            "SELECT tamis_drop('rag')".to_owned(),
            "SELECT tamis_protect('t', 'rag')".to_owned(),
            "SELECT tamis_unprotect('docs')".to_owned(),
        ] {
            refused(&connection, &sql, "is refused on a connection that serves requests");
        }
    }
}

#[test]
fn registering_again_keeps_the_request() {
    let connection = protected();
    ask_as(&connection, &user("bob", "acme", 1));
    tamis_sqlite::register(&connection).unwrap();
    assert_eq!(column(&connection, "SELECT id FROM docs"), integers(&[1]));
    refused(&connection, "SELECT tamis_lock()", "only the ticket");
}
