//! Rows are read by the action `retrieve` and written by `index`.

use serde_json::json;
use tamis_tests::extension::{Database, asked, code, count, load, person, server};
use tamis_tests::hostile::answers::{Entry, Manifest, column, footprint};
use tamis_tests::hostile::{Batch, Module};

const ALL: &str = "SELECT count(*) FROM docs";

/// Runs a statement with a request, in a transaction that is undone if it fails. How many rows it changed.
fn change(client: &mut postgres::Client, request: &str, statement: &str) -> Result<u64, postgres::Error> {
    let mut transaction = client.transaction()?;
    transaction.execute("SELECT tamis.set_request($1::text::jsonb)", &[&request])?;
    let changed = transaction.execute(statement, &[])?;
    transaction.commit()?;
    Ok(changed)
}

#[test]
fn nobody_writes_what_the_policy_does_not_let_them_store() {
    let database = Database::new(server());
    database.documents();
    let mut app = database.app();
    let (editor, reader) = (person("acme", 3, &["editor"]), person("acme", 9, &[]));
    let denied = "42501";

    assert_eq!(change(&mut app, &editor, "INSERT INTO docs VALUES (2001, 'acme', 1)").unwrap(), 1);
    assert_eq!(code(change(&mut app, &editor, "INSERT INTO docs VALUES (2002, 'globex', 1)")), denied);
    assert_eq!(code(change(&mut app, &reader, "INSERT INTO docs VALUES (2003, 'acme', 1)")), denied);
    // What the policy could not decide on later is not stored.
    assert_eq!(code(change(&mut app, &editor, "INSERT INTO docs VALUES (2004, 'acme', NULL)")), denied);
    assert_eq!(code(change(&mut app, &editor, "INSERT INTO docs (id) VALUES (2005)")), denied);

    assert_eq!(change(&mut app, &editor, "UPDATE docs SET title = 'x' WHERE level = 3").unwrap(), 50);
    // Neither is a row of another tenant taken, nor one given away, nor one that its writer cannot read changed.
    assert_eq!(
        change(&mut app, &editor, "UPDATE docs SET tenant = 'acme' WHERE tenant = 'globex'").unwrap(),
        0
    );
    assert_eq!(change(&mut app, &editor, "UPDATE docs SET level = 0 WHERE level > 3").unwrap(), 0);
    assert_eq!(code(change(&mut app, &editor, "UPDATE docs SET tenant = 'globex'")), denied);
    assert_eq!(change(&mut app, &editor, "UPDATE docs SET title = 'y'").unwrap(), 201);
    assert_eq!(change(&mut app, &reader, "UPDATE docs SET title = 'z'").unwrap(), 0);
    assert_eq!(change(&mut app, &reader, "DELETE FROM docs").unwrap(), 0);
    let upsert = "INSERT INTO docs VALUES (2, 'acme', 1) ON CONFLICT (id) DO UPDATE SET tenant = 'acme'";
    assert_eq!(code(change(&mut app, &editor, upsert)), denied);
    let merge = "MERGE INTO docs USING (VALUES (2)) AS v (id) ON docs.id = v.id
        WHEN MATCHED THEN UPDATE SET tenant = 'acme' WHEN NOT MATCHED THEN INSERT VALUES (v.id, 'globex', 1)";
    assert!(change(&mut app, &editor, merge).is_err());
    assert_eq!(change(&mut app, &editor, "DELETE FROM docs").unwrap(), 201);

    let mut admin = database.admin();
    let left: i64 = admin.query_one(ALL, &[]).unwrap().get(0);
    let globex: i64 =
        admin.query_one("SELECT count(*) FROM docs WHERE tenant = 'globex'", &[]).unwrap().get(0);
    assert_eq!((left, globex), (800, 500));
}

#[test]
fn attributes_are_read_from_a_json_column_as_from_columns() {
    let database = Database::new(server());
    let mut admin = database.documents();
    admin
        .batch_execute(
            "CREATE TABLE json (id text PRIMARY KEY, attributes jsonb NOT NULL, ancestors text[]);
             INSERT INTO json SELECT id::text, jsonb_build_object('tenant', tenant, 'level', level, 'more', repeat('x', id::int)) FROM docs;
             GRANT ALL ON json TO app; SELECT tamis.protect('json', 'rag', id => 'id', ancestors => 'ancestors')",
        )
        .unwrap();
    let mut app = database.app();
    for narrow in ["on", "off"] {
        app.batch_execute(&format!("SET tamis.narrow = {narrow}")).unwrap();
        for (tenant, level, rows) in [("acme", 3, 200), ("globex", 0, 50), ("acme", 9, 500), ("nobody", 9, 0)]
        {
            let request = person(tenant, level, &[]);
            for table in ["json", "docs"] {
                let query = format!("SELECT count(*) FROM {table}");
                assert_eq!(count(&mut app, &request, &query), rows, "{table}, {narrow}");
            }
        }
    }
    // What is odd is nobody's.
    let rows = [
        json!({"tenant": "acme"}),
        json!({"tenant": "acme", "level": null}),
        json!({"tenant": "acme", "level": "0"}),
        json!({"tenant": "acme", "level": 0.5}),
        json!({"tenant": "acme", "level": [0]}),
        json!({"tenant": ["acme"], "level": 0}),
        json!({"tenant": {"acme": 1}, "level": 0}),
        json!({"tenant": "acme", "level": 9_223_372_036_854_775_808u64}),
        json!({"level": 0}),
        json!([{"tenant": "acme", "level": 0}]),
        json!("acme"),
        json!(null),
    ];
    admin.batch_execute("TRUNCATE json").unwrap();
    for (number, row) in rows.iter().enumerate() {
        admin
            .execute(
                "INSERT INTO json VALUES ($1, $2::text::jsonb)",
                &[&format!("odd{number}"), &row.to_string()],
            )
            .unwrap();
        let statement = format!("INSERT INTO json VALUES ('new{number}', '{row}')");
        assert_eq!(code(change(&mut app, &person("acme", 9, &["editor"]), &statement)), "42501", "{row}");
    }
    let deep = format!("{}1{}", "[".repeat(1000), "]".repeat(1000));
    let statements = [
        format!("INSERT INTO json VALUES ('deep', '{{\"tenant\": \"acme\", \"level\": {deep}}}')"),
        "INSERT INTO json VALUES ('ancestors', '{\"tenant\": \"acme\", \"level\": 0}', '{odd}')".to_owned(),
        "INSERT INTO json VALUES ('hole', '{\"tenant\": \"acme\", \"level\": 0}', '{NULL}')".to_owned(),
    ];
    for statement in statements {
        admin.batch_execute(&statement).unwrap();
    }
    assert_eq!(count(&mut app, &person("acme", 9, &[]), "SELECT count(*) FROM json"), 0);
    // What the policy does not read is nobody's concern.
    let unread = format!(
        "INSERT INTO json VALUES ('unread', '{{\"tenant\": \"acme\", \"level\": 0, \"x\": {deep}}}')"
    );
    admin.batch_execute(&unread).unwrap();
    assert_eq!(count(&mut app, &person("acme", 9, &[]), "SELECT count(*) FROM json"), 1);
    // And what is large is decided on like the rest.
    admin
        .batch_execute("INSERT INTO json SELECT 'large', jsonb_build_object('tenant', 'acme', 'level', 0, 'x', repeat(md5('x'), 1000000))")
        .unwrap();
    assert_eq!(count(&mut app, &person("acme", 9, &[]), "SELECT count(*) FROM json"), 2);
}

#[test]
fn ids_and_ancestors_are_read() {
    let database = Database::new(server());
    let mut admin = database.admin();
    let policy = r#"permit(principal, action, resource == Chunk::"7"); permit(principal, action, resource in Folder::"f");"#;
    admin.execute("SELECT tamis.load_policy('ids', $1::text)", &[&policy]).unwrap();
    admin
        .batch_execute(
            "CREATE TABLE ids (id uuid DEFAULT gen_random_uuid(), number int PRIMARY KEY, above text[]);
             INSERT INTO ids (number, above) SELECT n, CASE WHEN n > 90 THEN ARRAY['[\"Folder\",\"f\"]'] END FROM generate_series(1, 100) AS n;
             GRANT SELECT ON ids TO app; GRANT EXECUTE ON FUNCTION tamis.set_request(jsonb) TO app;
             SELECT tamis.protect('ids', 'ids', id => 'number', ancestors => 'above')",
        )
        .unwrap();
    let mut app = database.app();
    let query = "SELECT array_agg(number ORDER BY number) FROM ids";
    let numbers: Vec<i32> = asked(&mut app, &person("acme", 0, &[]), query).unwrap()[0].get(0);
    assert_eq!(numbers, [&[7][..], &(91..=100).collect::<Vec<_>>()].concat());
    // A type that is written as text: here none is 7.
    admin.batch_execute("SELECT tamis.protect('ids', 'ids', id => 'id', ancestors => 'above')").unwrap();
    assert_eq!(count(&mut app, &person("acme", 0, &[]), "SELECT count(*) FROM ids"), 10);
}

#[test]
fn every_type_of_column_is_read_as_declared() {
    let database = Database::new(server());
    let mut admin = database.admin();
    let policy = r#"permit(principal, action, resource) when {
        resource.flag && resource.small == 1 && resource.whole == -2 && resource.score.lessThan(decimal("1.5"))
        && resource.tags.contains("a") && resource.numbers.contains(3) && resource.place.room == 4
        && resource.at < datetime("2026-01-01") && resource.owner == User::"ann" && resource has more && !(resource has gone) };"#;
    let schema = r#"entity User; entity Chunk { flag: Bool, small: Long, whole: Long, score: decimal, tags: Set<String>, numbers: Set<Long>,
        place: { room: Long }, at: datetime, owner: User, more?: String, gone?: String };
        action "retrieve", "index" appliesTo { principal: User, resource: Chunk };"#;
    admin.execute("SELECT tamis.load_policy('types', $1::text, $2)", &[&policy, &schema]).unwrap();
    admin
        .batch_execute(
            "CREATE TABLE types (flag bool, small smallint, whole int, score double precision, tags text[], numbers bigint[], place jsonb,
                 at text, owner varchar(10), more text, gone text);
             GRANT ALL ON types TO app; GRANT EXECUTE ON FUNCTION tamis.set_request(jsonb) TO app;
             SELECT tamis.protect('types', 'types')",
        )
        .unwrap();
    let good = [
        "true",
        "1",
        "-2",
        "1.25",
        "'{a,b}'",
        "'{3}'",
        "'{\"room\": 4}'",
        "'2025-01-01'",
        "'ann'",
        "'x'",
        "NULL",
    ];
    let mut app = database.app();
    let request = r#"{"subject": {"type": "User", "id": "ann"}}"#;
    let insert = |values: &[&str]| format!("INSERT INTO types VALUES ({})", values.join(", "));
    assert_eq!(change(&mut app, request, &insert(&good)).unwrap(), 1);
    assert_eq!(count(&mut app, request, "SELECT count(*) FROM types"), 1);
    for (column, odd) in [
        (0, "false"),
        (0, "NULL"),
        (1, "2"),
        (2, "2"),
        (3, "'NaN'"),
        (3, "'Infinity'"),
        (3, "1.5"),
        (4, "'{}'"),
        (4, "'{a,NULL}'"),
        (4, "'{{a},{b}}'"),
        (5, "'{4}'"),
        (6, "'[]'"),
        (6, "'{\"room\": 5}'"),
        (7, "'2026-01-01'"),
        (7, "'yesterday'"),
        (8, "'bob'"),
        (9, "NULL"),
        (10, "''"),
    ] {
        let mut row = good;
        row[column] = odd;
        admin.batch_execute(&insert(&row)).unwrap();
        assert_eq!(code(change(&mut app, request, &insert(&row))), "42501", "{odd}");
        assert_eq!(count(&mut app, request, "SELECT count(*) FROM types"), 1, "{odd}");
    }
}

#[test]
fn tables_of_one_policy_and_request_do_not_share_what_was_decided() {
    let database = Database::new(server());
    let mut admin = database.documents();
    admin
        .batch_execute(
            "CREATE TABLE swapped (id bigint, a text, b text, level bigint); GRANT SELECT ON swapped TO app;
             INSERT INTO swapped VALUES (1, 'acme', 'globex', 0);
             CREATE TABLE swapped2 (LIKE swapped); GRANT SELECT ON swapped2 TO app; INSERT INTO swapped2 TABLE swapped;
             SELECT tamis.protect('swapped', 'rag', '{\"tenant\": \"a\"}', id => 'id');
             SELECT tamis.protect('swapped2', 'rag', '{\"tenant\": \"b\"}', id => 'id')",
        )
        .unwrap();
    let mut app = database.app();
    let both = "SELECT 10 * (SELECT count(*) FROM swapped) + (SELECT count(*) FROM swapped2)";
    for narrow in ["on", "off"] {
        app.batch_execute(&format!("SET tamis.narrow = {narrow}")).unwrap();
        assert_eq!(count(&mut app, &person("acme", 0, &[]), both), 10);
        assert_eq!(count(&mut app, &person("globex", 0, &[]), both), 1);
    }
}

#[test]
fn a_row_of_which_something_must_be_removed_is_not_shown() {
    let database = Database::new(server());
    let mut admin = database.documents();
    let policy = r#"@redact("title") permit(principal, action, resource) when { resource.tenant == "acme" };
        permit(principal, action, resource) when { resource.tenant == "globex" };"#;
    admin.execute("SELECT tamis.load_policy('rag', $1::text)", &[&policy]).unwrap();
    let mut app = database.app();
    assert_eq!(
        count(&mut app, &person("acme", 9, &[]), "SELECT count(*) FROM docs WHERE tenant = 'acme'"),
        0
    );
    assert_eq!(count(&mut app, &person("acme", 9, &[]), ALL), 500);
    load(&mut admin, "rag", tamis_tests::extension::POLICY).unwrap();
}

/// A policy that allows a row whose first attribute here is the number 7. Only policies that no compiler of ours makes read paths.
fn seven(entries: &[Entry<'_>]) -> Vec<u8> {
    const LONGS: u8 = 1;
    // A frame of one row: how many, a state, a number.
    let filter_chunks = "(call $codes (i32.load (local.get $frame)) (i32.and
        (i32.eq (i32.load8_u offset=4 (local.get $frame)) (i32.const 1))
        (i64.eq (i64.load offset=5 (local.get $frame)) (i64.const 7))))";
    let batch = Batch { filter_chunks, wanted: vec![column(0, 0, LONGS)], ..Batch::good() };
    let manifest = Manifest { footprint: footprint(entries), ..Manifest::good() };
    // By itself it is asked about an empty chunk alone.
    Module { manifest, filter_chunk: "(global.get $deny)", ..Module::batching(batch) }.component()
}

#[test]
fn attributes_inside_of_others_are_read_wherever_they_are() {
    let database = Database::new(server());
    let mut admin = database.admin();
    let component = seven(&[(&["owner", "level"], Some("Long"))]);
    admin.execute("SELECT tamis.load_policy('seven', $1::bytea)", &[&component]).unwrap();
    admin
        .batch_execute(
            r#"CREATE TABLE inside (n int, owner jsonb);
             INSERT INTO inside VALUES (1, '{"level": 7}'), (2, '{"level": 8}'), (3, '{"level": "7"}'), (4, '{"level": 7.0}'), (5, '{"x": 7}'),
                 (6, NULL), (7, '[7]'), (8, '{"level": [7]}'), (9, '{"level": {"level": 7}}'), (10, '7'), (11, '{"level": 7, "x": 1}'),
                 (12, '{"level": null}'), (13, '{"level": true}'), (14, '{"level": 70000000000000000000}');
             CREATE TABLE whole (n int, attributes jsonb NOT NULL);
             INSERT INTO whole SELECT n, jsonb_build_object('owner', owner, 'level', 7) FROM inside;
             CREATE TABLE apart (n int, owner jsonb, high bigint);
             INSERT INTO apart SELECT n, owner, CASE n WHEN 2 THEN 7 WHEN 3 THEN 8 END FROM inside;
             GRANT SELECT ON inside, whole, apart TO app; GRANT EXECUTE ON FUNCTION tamis.set_request(jsonb) TO app;
             SELECT tamis.protect('inside', 'seven'), tamis.protect('whole', 'seven'),
                 tamis.protect('apart', 'seven', '{"[\"owner\", \"level\"]": "high"}')"#,
        )
        .unwrap();
    let mut app = database.app();
    let request = person("acme", 0, &[]);
    for (table, expected) in [("inside", vec![1, 11]), ("whole", vec![1, 11]), ("apart", vec![2])] {
        let query = format!("SELECT array_agg(n ORDER BY n) FROM {table}");
        // What was decided before, and what was not.
        for _ in 0..2 {
            let found: Vec<i32> = asked(&mut app, &request, &query).unwrap()[0].get(0);
            assert_eq!(found, expected, "{table}");
        }
    }
    // What is read as a whole cannot have a part elsewhere: by a policy that another server has loaded, or a call that somebody wrote.
    admin
        .execute("SELECT tamis.load_policy('all', $1::bytea)", &[&seven(&[(&["owner"], Some("Long"))])])
        .unwrap();
    let call = |layout: &str| {
        format!(r#"SELECT tamis.allowed('all', '{{"columns": {layout}}}', 7::bigint, 7::bigint)"#)
    };
    assert_eq!(code(asked(&mut app, &request, &call(r#"[["owner"], ["owner", "level"]]"#))), "22023");
    assert!(asked(&mut app, &request, &call(r#"[["owner"], ["other"]]"#)).unwrap()[0].get::<_, bool>(0));
}
