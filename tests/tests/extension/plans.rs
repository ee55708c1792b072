//! Plans that are kept, while the policy or the request that they were made for is replaced: never a row more or less, and no error.

use postgres::{Client, Transaction};
use tamis_tests::extension::{Database, POLICY, SCHEMA, STRICTER, code, load, person, server};

const ALL: &str = "SELECT count(*) FROM docs";
/// Nothing for anybody: the filter is constant. It reads what the others read: to write the protection anew would wait for who reads.
const NOBODY: &str = r#"permit(principal, action, resource)
    when { principal.tenant == "none" && resource.tenant == "none" && resource.level == 0 };"#;

fn set(transaction: &mut Transaction<'_>, level: i64) {
    transaction.execute("SELECT tamis.set_request($1::text::jsonb)", &[&person("acme", level, &[])]).unwrap();
}

/// While this goes on, nothing that is replaced is old enough for the server to notice by itself.
fn older(client: &mut Client) -> Transaction<'_> {
    let mut transaction = client.transaction().unwrap();
    transaction.batch_execute("SELECT txid_current(); DECLARE open CURSOR FOR SELECT 1").unwrap();
    transaction
}

/// Runs a statement that is prepared in several ways.
fn each_way(transaction: &mut Transaction<'_>, typed: &postgres::Statement) -> Vec<i64> {
    let mut rows = vec![transaction.query_one(typed, &[&0i64]).unwrap().get(0)];
    for query in ["EXECUTE kept(0)", "SELECT in_function()", "SELECT in_loop()", "EXECUTE by_index(1, 1000)"]
    {
        let answers = transaction.simple_query(query).unwrap();
        rows.extend(answers.iter().filter_map(|answer| match answer {
            postgres::SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap().parse::<i64>().unwrap()),
            _ => None,
        }));
    }
    rows
}

#[test]
fn a_plan_that_is_kept_follows_the_policy_within_a_transaction() {
    let database = Database::new(server());
    let mut admin = database.documents();
    admin
        .batch_execute(
            "CREATE INDEX ON docs (level); CREATE INDEX ON docs (tenant);
             CREATE FUNCTION in_function() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM docs); END';
             CREATE TABLE noted (n bigint); GRANT ALL ON noted TO app;
             CREATE FUNCTION in_loop() RETURNS bigint LANGUAGE plpgsql AS $$
                DECLARE n bigint := 0; d record;
                BEGIN FOR d IN SELECT * FROM docs LOOP INSERT INTO noted VALUES (d.id); n := n + 1; END LOOP; RETURN n; END $$",
        )
        .unwrap();
    let mut old = database.admin();
    let _older = older(&mut old);
    let mut app = database.app();
    app.batch_execute(
        "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off;
         PREPARE kept(bigint) AS SELECT count(*) FROM docs WHERE id > $1;
         PREPARE by_index(bigint, bigint) AS SELECT count(*) FROM docs WHERE id BETWEEN $1 AND $2",
    )
    .unwrap();
    let typed = app.prepare("SELECT count(*) FROM docs WHERE id > $1").unwrap();
    let mut transaction = app.transaction().unwrap();
    set(&mut transaction, 3);
    for (policy, rows) in [
        (POLICY, 200),
        (STRICTER, 50),
        (NOBODY, 0),
        (POLICY, 200),
        (NOBODY, 0),
        (STRICTER, 50),
        (POLICY, 200),
    ] {
        load(&mut admin, "rag", policy).unwrap();
        for _ in 0..2 {
            assert_eq!(each_way(&mut transaction, &typed), [rows; 5], "{policy}");
        }
        // What is planned, and not run.
        transaction.batch_execute("EXPLAIN EXECUTE kept(0)").unwrap();
    }
    transaction.rollback().unwrap();
}

#[test]
fn a_plan_that_is_kept_follows_the_request_within_a_transaction() {
    let database = Database::new(server());
    database.documents();
    let mut app = database.app();
    app.batch_execute("SET plan_cache_mode = force_generic_plan; PREPARE kept AS SELECT count(*) FROM docs")
        .unwrap();
    let typed = app.prepare(ALL).unwrap();
    for level in [0, 9, 3] {
        let mut transaction = app.transaction().unwrap();
        let run = |transaction: &mut Transaction<'_>| -> (i64, i64) {
            let typed = transaction.query_one(&typed, &[]).unwrap().get(0);
            (typed, transaction.query_one("EXECUTE kept", &[]).unwrap().get(0))
        };
        assert_eq!(run(&mut transaction), (0, 0));
        set(&mut transaction, level);
        let rows = 50 * (level + 1);
        assert_eq!(run(&mut transaction), (rows, rows));
        // A savepoint that is undone does not undo the request.
        transaction.transaction().unwrap().rollback().unwrap();
        assert_eq!(run(&mut transaction), (rows, rows));
        transaction.commit().unwrap();
    }
}

#[test]
fn changes_by_a_plan_that_is_kept_follow_the_policy() {
    let database = Database::new(server());
    let mut admin = database.documents();
    let mut old = database.admin();
    let _older = older(&mut old);
    let mut app = database.app();
    app.batch_execute("SET plan_cache_mode = force_generic_plan").unwrap();
    let update = app.prepare("UPDATE docs SET title = title WHERE id > $1").unwrap();
    let mut transaction = app.transaction().unwrap();
    set(&mut transaction, 3);
    for (policy, rows) in [(STRICTER, 50), (NOBODY, 0), (STRICTER, 50)] {
        load(&mut admin, "rag", policy).unwrap();
        assert_eq!(transaction.execute(&update, &[&0i64]).unwrap(), rows);
    }
}

#[test]
fn a_cursor_goes_on_with_the_policy_that_it_was_opened_with() {
    let database = Database::new(server());
    let mut admin = database.documents();
    let mut app = database.app();
    let mut transaction = app.transaction().unwrap();
    set(&mut transaction, 3);
    transaction.batch_execute("DECLARE strict CURSOR FOR SELECT id FROM docs").unwrap();
    load(&mut admin, "rag", STRICTER).unwrap();
    transaction.batch_execute("DECLARE wide CURSOR FOR SELECT id FROM docs").unwrap();
    load(&mut admin, "rag", NOBODY).unwrap();
    assert_eq!(transaction.query_one(ALL, &[]).unwrap().get::<_, i64>(0), 0);
    // No row of either was read before.
    assert_eq!(transaction.query("FETCH ALL FROM wide", &[]).unwrap().len(), 50);
    assert_eq!(transaction.query("FETCH ALL FROM strict", &[]).unwrap().len(), 200);
    assert_eq!(transaction.query_one(ALL, &[]).unwrap().get::<_, i64>(0), 0);
}

/// Nor does one whose filter is more than the planner takes.
#[test]
fn a_cursor_that_is_not_narrowed_goes_on_with_its_policy() {
    let database = Database::new(server());
    let mut admin = database.documents();
    let schema = SCHEMA.replace("level: Long };\n    action", "tags: Set<String> };\n    action");
    let mut load = |policy: &str| {
        admin.execute("SELECT tamis.load_policy('tags', $1::text, $2)", &[&policy, &schema]).unwrap();
    };
    load("permit(principal, action, resource) when { resource.tags.containsAny(principal.roles) };");
    let mut other = database.admin();
    other
        .batch_execute(
            "CREATE TABLE tagged AS SELECT n AS id, ARRAY['role ' || n] AS tags FROM generate_series(1, 200) AS n;
             GRANT SELECT ON tagged TO app; SELECT tamis.protect('tagged', 'tags')",
        )
        .unwrap();
    let roles: Vec<String> = (1..=150).map(|n| format!("role {n}")).collect();
    let roles: Vec<&str> = roles.iter().map(String::as_str).collect();
    let mut app = database.app();
    let mut transaction = app.transaction().unwrap();
    transaction.execute("SELECT tamis.set_request($1::text::jsonb)", &[&person("acme", 0, &roles)]).unwrap();
    transaction.batch_execute("DECLARE c CURSOR FOR SELECT id FROM tagged").unwrap();
    load(r#"permit(principal, action, resource) when { resource.tags.contains("role 7") };"#);
    assert_eq!(transaction.query("SELECT FROM tagged", &[]).unwrap().len(), 1);
    assert_eq!(transaction.query("FETCH ALL FROM c", &[]).unwrap().len(), 150);
}

/// Within one statement of the client's, whose parts see what was done before them.
#[test]
fn what_was_loaded_and_undone_serves_no_more() {
    let database = Database::new(server());
    let mut admin = database.documents();
    admin.batch_execute("CREATE TABLE counts (place int, n bigint); GRANT ALL ON counts TO app").unwrap();
    let mut transaction = admin.transaction().unwrap();
    set(&mut transaction, 3);
    transaction.batch_execute("SET LOCAL ROLE app").unwrap();
    let quoted = |text: &str| format!("$text${text}$text$");
    let block = format!(
        "DO $do$ DECLARE n bigint; loaded bigint; BEGIN
             INSERT INTO counts SELECT 0, count(*) FROM docs;
             BEGIN
                 SET LOCAL ROLE postgres;
                 PERFORM tamis.load_policy('rag', {}, {});
                 SET LOCAL ROLE app;
                 SELECT count(*) INTO loaded FROM docs;
                 RAISE EXCEPTION 'undone';
             EXCEPTION WHEN raise_exception THEN NULL;
             END;
             SELECT count(*) INTO n FROM docs;
             INSERT INTO counts VALUES (1, loaded), (2, n);
         END $do$",
        quoted(STRICTER),
        quoted(SCHEMA),
    );
    transaction.batch_execute(&block).unwrap();
    let counts = transaction.query("SELECT n FROM counts ORDER BY place", &[]).unwrap();
    assert_eq!(counts.iter().map(|row| row.get(0)).collect::<Vec<i64>>(), [200, 50, 200]);
}

#[test]
fn what_a_plan_was_made_for_cannot_be_made_up() {
    let database = Database::new(server());
    let mut admin = database.documents();
    let mut app = database.app();
    let mut transaction = app.transaction().unwrap();
    set(&mut transaction, 9);
    let plan = transaction.query("EXPLAIN SELECT * FROM docs", &[]).unwrap();
    let plan: String = plan.iter().map(|row| row.get::<_, String>(0)).collect();
    let key = plan.split("tamis.decided('").nth(1).unwrap().split('\'').next().unwrap().to_owned();
    load(&mut admin, "rag", STRICTER).unwrap();
    // What is known of an earlier plan widens nothing.
    let mut asked = |key: &str| {
        let mut inside = transaction.transaction().unwrap();
        let layout = r#"{"columns": [["tenant"], ["level"]]}"#;
        let query =
            format!("SELECT count(*) FROM docs WHERE tamis.decided('{key}', '{layout}', tenant, level)");
        let answer = inside.query_one(&query, &[]).map(|row| row.get::<_, i64>(0));
        inside.rollback().unwrap();
        answer
    };
    assert_eq!(code(asked(&key)), "40001");
    let digest = key.split(' ').nth(3).unwrap();
    for forged in [String::new(), "x".to_owned(), key.replacen(' ', "9 ", 1), key.replace(digest, "../../x")]
    {
        assert_eq!(code(asked(&forged)), "40001", "{forged}");
    }
    for other in [format!("{key} "), key.replace(" rag", " none")] {
        assert_eq!(code(asked(&other)), "42704", "{other}");
    }
}

/// PL/pgSQL keeps the place of such a call for the whole transaction.
#[test]
fn a_call_inside_of_a_function_follows_its_arguments_and_the_policy() {
    let database = Database::new(server());
    let mut admin = database.documents();
    load(&mut admin, "nobody", NOBODY).unwrap();
    let layout = r#"{"columns": [["tenant"], ["level"]]}"#;
    admin
        .batch_execute(&format!(
            "CREATE FUNCTION may(policy text, layout text) RETURNS boolean LANGUAGE plpgsql AS
                 $$ BEGIN RETURN tamis.allowed(policy, layout, 'acme'::text, 3::bigint); END $$;
             CREATE FUNCTION may() RETURNS boolean LANGUAGE plpgsql AS
                 $$ BEGIN RETURN tamis.allowed('rag', '{layout}', 'acme'::text, 3::bigint); END $$"
        ))
        .unwrap();
    for narrow in ["on", "off"] {
        load(&mut admin, "rag", POLICY).unwrap();
        let mut app = database.app();
        app.batch_execute(&format!("SET tamis.narrow = {narrow}")).unwrap();
        let mut transaction = app.transaction().unwrap();
        set(&mut transaction, 3);
        let mut may = |policy: &str| -> bool {
            transaction.query_one("SELECT may($1, $2)", &[&policy, &layout]).unwrap().get(0)
        };
        assert_eq!(["rag", "nobody", "rag", "nobody"].map(&mut may), [true, false, true, false]);
        let mut may = || transaction.query_one("SELECT may()", &[]).unwrap().get::<_, bool>(0);
        assert!(may());
        load(&mut admin, "rag", STRICTER).unwrap();
        assert!(!may(), "{narrow}");
    }
}
