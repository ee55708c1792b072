//! What cannot be used is refused with a code, a detail and a hint, and changes nothing.

use postgres::Client;
use tamis_tests::extension::{Database, POLICY, SCHEMA, code, count, load, person, said, server};
use tamis_tests::hostile::{FOREVER, Module, TRAP, good_of_another_contract, padded};

const ALL: &str = "SELECT count(*) FROM docs";

fn refused(client: &mut Client, component: &[u8], expected: &str, detail: &str) {
    let error = client.execute("SELECT tamis.load_policy('rag', $1::bytea)", &[&component]).unwrap_err();
    let said = said(&error);
    assert_eq!(said.code().code(), expected, "{said:?}");
    assert!(said.detail().is_some_and(|text| text.contains(detail)), "{detail}: {said:?}");
    assert!(said.hint().is_some(), "{said:?}");
}

#[test]
fn a_component_that_is_no_policy_is_refused_and_the_last_good_one_goes_on() {
    let database = Database::new(server());
    let mut admin = database.documents();
    let mut app = database.app();
    let good = Module::good().component();
    let importing =
        wat::parse_str(r#"(component (import "wasi:cli/environment@0.2.0" (instance)))"#).unwrap();
    refused(&mut admin, b"", "22P03", "not WebAssembly");
    refused(&mut admin, b"not WebAssembly at all", "22P03", "not WebAssembly");
    refused(&mut admin, b"\0asm\x01\0\0\0", "22P03", "core module");
    refused(&mut admin, &good[..good.len() / 2], "22P03", "");
    refused(&mut admin, &importing, "22P03", "imports `wasi:cli/environment@0.2.0`");
    refused(&mut admin, &wat::parse_str("(component)").unwrap(), "22P03", "does not export");
    refused(&mut admin, &padded(&good, (16 << 20) + 1), "22P03", "at most 16777216");
    refused(&mut admin, &Module { describe: TRAP, ..Module::good() }.component(), "38000", "unreachable");
    refused(
        &mut admin,
        &Module { describe: FOREVER, ..Module::good() }.component(),
        "54000",
        "longer than 500 ms",
    );
    refused(
        &mut admin,
        &Module { start: FOREVER, ..Module::good() }.component(),
        "54000",
        "longer than 500 ms",
    );
    refused(
        &mut admin,
        &Module { filter_chunk: FOREVER, ..Module::good() }.component(),
        "54000",
        "longer than 500 ms",
    );
    refused(
        &mut admin,
        &Module { rewrite_query: TRAP, ..Module::good() }.component(),
        "38000",
        "unreachable",
    );
    refused(&mut admin, &Module { pages: 1000, ..Module::good() }.component(), "54000", "memory");
    refused(&mut admin, &Module { describe: "(i32.const -8)", ..Module::good() }.component(), "39000", "");
    let newer = good_of_another_contract(&good);
    refused(&mut admin, &newer, "22P03", "does not export");
    assert_eq!(code(admin.execute("SELECT tamis.load_policy('rag', NULL::bytea)", &[])), "22004");
    assert_eq!(code(admin.execute("SELECT tamis.load_policy(NULL, $1::bytea)", &[&good])), "22023");
    assert_eq!(code(admin.batch_execute("SELECT tamis.load_policy('rag', NULL::text)")), "22004");
    assert_eq!(code(admin.execute("SELECT tamis.load_policy(NULL, $1::text)", &[&POLICY])), "22023");
    assert_eq!(count(&mut app, &person("acme", 3, &[]), ALL), 200);
    let left: i64 = admin.query_one("SELECT count(*) FROM tamis.policy", &[]).unwrap().get(0);
    assert_eq!(left, 1);
    // The backend that was asked all this is well.
    admin.execute("SELECT tamis.load_policy('other', $1::bytea)", &[&good]).unwrap();
}

#[test]
fn a_policy_that_does_not_compile_is_refused_with_its_place() {
    let database = Database::new(server());
    let mut admin = database.documents();
    for (policy, detail) in [
        ("permit(principal, action, resource) when {", ""),
        ("permit(principal, action, resource) when { resource.nowhere };", "nowhere"),
        ("permit(principal, action, resource) when { resource.level == \"x\" };", ""),
    ] {
        let error = load(&mut admin, "rag", policy).unwrap_err();
        assert_eq!(said(&error).code().code(), "42601");
        assert!(said(&error).detail().unwrap().contains(detail), "{:?}", said(&error).detail());
        assert!(said(&error).hint().is_some());
    }
    let deep = format!(
        "permit(principal, action, resource) when {{ {}true{} }};",
        "(".repeat(100_000),
        ")".repeat(100_000)
    );
    assert_eq!(code(load(&mut admin, "rag", &deep)), "42601");
    let error =
        admin.execute("SELECT tamis.load_policy('rag', $1::text, 'entity User {')", &[&POLICY]).unwrap_err();
    assert_eq!(said(&error).code().code(), "42601");
}

#[test]
fn what_cannot_be_protected_is_refused() {
    let database = Database::new(server());
    let mut admin = database.documents();
    admin
        .batch_execute(
            "CREATE TABLE lacking (tenant text); CREATE TABLE typed (tenant text, level text); CREATE VIEW v AS SELECT 1 AS tenant;
             CREATE TABLE narrow (tenant text, level bigint, above text);
             CREATE TABLE nullable (attributes jsonb)",
        )
        .unwrap();
    for (call, expected) in [
        ("tamis.protect('lacking', 'rag')", "42703"),
        ("tamis.protect('typed', 'rag')", "42804"),
        ("tamis.protect('narrow', 'none')", "42704"),
        ("tamis.protect('narrow', 'rag', id => 'number')", "42703"),
        ("tamis.protect('narrow', 'rag', ancestors => 'above')", "42804"),
        ("tamis.protect('narrow', 'rag', attributes => 'above')", "42804"),
        ("tamis.protect('narrow', 'rag', '{\"tenant\": \"none\"}')", "42703"),
        ("tamis.protect('narrow', 'rag', '{\"tenants\": \"tenant\"}')", "22023"),
        ("tamis.protect('narrow', 'rag', '[]')", "22023"),
        ("tamis.protect('narrow', NULL)", "22004"),
        ("tamis.protect('nullable', 'rag')", "23502"),
        ("tamis.protect('v', 'rag')", "42809"),
        ("tamis.protect('nowhere', 'rag')", "42P01"),
        ("tamis.unprotect('narrow')", "55000"),
        ("tamis.condition('narrow')", "55000"),
    ] {
        assert_eq!(code(admin.batch_execute(&format!("SELECT {call}"))), expected, "{call}");
    }
    // One that an attribute is said never to be in.
    admin.batch_execute("SELECT tamis.protect('lacking', 'rag', '{\"level\": null}'); INSERT INTO lacking VALUES ('acme'); GRANT SELECT ON lacking TO app").unwrap();
    let mut app = database.app();
    assert_eq!(count(&mut app, &person("acme", 9, &[]), "SELECT count(*) FROM lacking"), 0);
    // Only the owner.
    admin.batch_execute("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA tamis TO app").unwrap();
    assert_eq!(code(app.batch_execute("SELECT tamis.protect('narrow', 'rag')")), "42501");
    assert_eq!(code(app.batch_execute("SELECT tamis.unprotect('docs')")), "42501");
}

#[test]
fn calls_that_protect_has_not_written_decide_nothing_or_no_more() {
    let database = Database::new(server());
    database.documents();
    let mut app = database.app();
    let layout = r#"{"columns": [["tenant"], ["level"]]}"#;
    let mut ask = |call: &str| -> Result<bool, postgres::Error> {
        let rows =
            tamis_tests::extension::asked(&mut app, &person("acme", 3, &[]), &format!("SELECT {call}"))?;
        Ok(rows[0].get(0))
    };
    assert!(ask(&format!("tamis.allowed('rag', '{layout}', 'acme'::text, 3::bigint)")).unwrap());
    assert!(!ask(&format!("tamis.allowed('rag', '{layout}', 'acme'::text, 4::bigint)")).unwrap());
    assert!(!ask(&format!("tamis.allowed('rag', '{layout}', NULL::text, NULL::bigint)")).unwrap());
    // A layout that differs from row to row.
    let differing = "bool_or(tamis.allowed('rag', l, 'acme'::text, 'globex'::text, 0::bigint)) AND NOT bool_and(tamis.allowed('rag', l, 'acme'::text, 'globex'::text, 0::bigint))
        FROM (VALUES ('{\"columns\": [[\"tenant\"], [\"x\"], [\"level\"]]}'), ('{\"columns\": [[\"x\"], [\"tenant\"], [\"level\"]]}')) AS v (l)";
    assert!(ask(differing).unwrap());
    for (call, expected) in [
        ("tamis.allowed('none', '{\"columns\": []}', 1)".to_owned(), "42704"),
        (format!("tamis.allowed(NULL, '{layout}', 'acme'::text, 3::bigint)"), "22023"),
        ("tamis.allowed('rag', NULL, 'acme'::text, 3::bigint)".to_owned(), "22023"),
        ("tamis.allowed('rag', 'x', 'acme'::text, 3::bigint)".to_owned(), "22023"),
        ("tamis.allowed('rag', '{\"columns\": [[]]}', 'acme'::text)".to_owned(), "22023"),
        (format!("tamis.allowed('rag', '{layout}', 'acme'::text)"), "22023"),
        (format!("tamis.allowed('rag', '{layout}', 'acme'::text, 3::bigint, 4)"), "22023"),
        (format!("tamis.allowed('rag', '{layout}', 'acme'::text, now())"), "22023"),
        (format!("tamis.allowed('rag', '{layout}', VARIADIC ARRAY['acme', '3'])"), "22023"),
        ("tamis.allowed('rag', '{\"columns\": [[\"tenant\"]]}', 'acme'::text)".to_owned(), "42703"),
        (format!("tamis.condition_of('rag', '{layout}', '{{a,NULL}}', '{{25,20}}') = ''"), "22023"),
        (format!("tamis.condition_of('rag', '{layout}', '{{a,b}}', '{{25,NULL}}') = ''"), "22023"),
    ] {
        assert_eq!(code(ask(&call)), expected, "{call}");
    }
}

#[test]
fn a_stored_policy_that_was_tampered_with_lets_nothing_through() {
    let database = Database::new(server());
    let mut admin = database.documents();
    let other = Module::good().component();
    admin.execute("UPDATE tamis.policy SET component = $1", &[&other]).unwrap();
    // In a backend and a folder that do not know it.
    admin
        .batch_execute(
            "UPDATE tamis.policy SET digest = md5('x'); UPDATE tamis.serving SET digest = md5('x')",
        )
        .unwrap();
    let mut app = database.app();
    assert_eq!(code(tamis_tests::extension::asked(&mut app, &person("acme", 3, &[]), ALL)), "XX001");
    admin.batch_execute("DELETE FROM tamis.policy").unwrap();
    assert_eq!(code(tamis_tests::extension::asked(&mut app, &person("acme", 3, &[]), ALL)), "XX001");
}

/// Whoever it is about: what is asked is nothing of the row's.
#[test]
fn a_policy_that_reads_nothing_of_a_row_protects() {
    let database = Database::new(server());
    let mut admin = database.documents();
    load(&mut admin, "all", "permit(principal, action, resource) when { principal.level == 9 };").unwrap();
    admin.batch_execute("SELECT tamis.protect('docs', 'all')").unwrap();
    let mut app = database.app();
    for narrow in ["on", "off"] {
        app.batch_execute(&format!("SET tamis.narrow = {narrow}")).unwrap();
        for (level, rows) in [(9, 1000), (3, 0)] {
            let someone = person("acme", level, &[]);
            assert_eq!(count(&mut app, &someone, ALL), rows);
            let update =
                "WITH changed AS (UPDATE docs SET title = '' RETURNING 1) SELECT count(*) FROM changed";
            assert_eq!(count(&mut app, &someone, update), rows);
        }
    }
}

/// Who asks and what is stored are UTF-8; what a database of another encoding has besides is nobody's.
#[test]
fn texts_of_another_encoding_are_nobodys() {
    let database = Database::new(server());
    let mut postgres = database.connect("postgres", "postgres");
    let policy = r#"permit(principal, action, resource) when { resource.tenant == "acme" && resource.tags.contains("a") };"#;
    let schema = SCHEMA.replace("level: Long };\n    action", "tags: Set<String> };\n    action");
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let other = format!("{}_{}", database.name(), encoding.to_lowercase());
        let create = format!("CREATE DATABASE {other} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0");
        postgres.batch_execute(&create).unwrap();
        let mut admin = database.connect("postgres", &other);
        admin.batch_execute("CREATE EXTENSION tamis").unwrap();
        admin.execute("SELECT tamis.load_policy('rag', $1::text, $2)", &[&policy, &schema]).unwrap();
        admin
            .batch_execute(
                "CREATE TABLE docs (id bigint, tenant text, tags text[]); GRANT SELECT ON docs TO app;
                 GRANT EXECUTE ON FUNCTION tamis.set_request(jsonb) TO app; SELECT tamis.protect('docs', 'rag');
                 INSERT INTO docs VALUES (1, 'acme', '{a}'), (2, chr(233), '{a}'), (3, 'acme', ARRAY['a', chr(233)])",
            )
            .unwrap();
        let mut app = database.connect("app", &other);
        for narrow in ["on", "off"] {
            app.batch_execute(&format!("SET tamis.narrow = {narrow}")).unwrap();
            assert_eq!(
                count(&mut app, &person("acme", 0, &[]), "SELECT sum(id)::bigint FROM docs"),
                1,
                "{encoding}"
            );
        }
        if encoding == "LATIN1" {
            let someone = r#"SELECT tamis.set_request('{"subject": {"type": "User", "id": "\u00e9"}}')"#;
            assert_eq!(code(app.batch_execute(someone)), "22023");
        }
    }
}
