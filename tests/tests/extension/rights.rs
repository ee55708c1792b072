//! What only its owner may do to what is stored, and what nobody gets round: by roles, settings, schemas, or a column that is not named.

use tamis_tests::extension::{Database, asked, code, count, person, server};
use tamis_tests::hostile::answers::column;
use tamis_tests::hostile::{Batch, Module};

const ALL: &str = "SELECT count(*) FROM docs";

/// A key that one can read signs whatever one likes, and a policy that one can write says it.
#[test]
fn who_may_read_and_write_all_data_reaches_neither_keys_nor_policies() {
    let database = Database::new(server());
    let mut admin = database.documents();
    let _ = admin.batch_execute("CREATE ROLE everything LOGIN");
    admin
        .batch_execute(
            "GRANT pg_read_all_data, pg_write_all_data TO everything; SELECT tamis.set_key('0123456789abcdef0123456789abcdef'::bytea)",
        )
        .unwrap();
    let mut everything = database.connect("everything", database.name());
    for table in ["key", "policy", "serving", "protection"] {
        let stored = format!("SELECT count(*) FROM tamis.{table}");
        assert_eq!(admin.query_one(&stored, &[]).unwrap().get::<_, i64>(0), 1, "{table}");
        assert_eq!(everything.query_one(&stored, &[]).unwrap().get::<_, i64>(0), 0, "{table}");
        assert_eq!(everything.execute(&format!("DELETE FROM tamis.{table}"), &[]).unwrap(), 0, "{table}");
    }
    for insert in [
        "INSERT INTO tamis.key VALUES ('mine', '0123456789abcdef0123456789abcdef')",
        "INSERT INTO tamis.serving VALUES ('mine', 1, 'x')",
        "INSERT INTO tamis.policy VALUES ('rag', 2, 'x', '', '{}')",
        "INSERT INTO tamis.protection VALUES ('pg_class', 'rag', '{}', NULL, NULL, NULL, '', true, true)",
    ] {
        assert_eq!(code(everything.batch_execute(insert)), "42501", "{insert}");
    }
    assert_eq!(everything.query_one(ALL, &[]).unwrap().get::<_, i64>(0), 0);
}

#[test]
fn the_extension_is_not_made_where_others_have_been() {
    let database = Database::new(server());
    let mut admin = database.admin();
    let create = "CREATE EXTENSION tamis";
    admin.batch_execute("DROP EXTENSION tamis").unwrap();
    // What it calls could be another's, of a better matching type.
    for (prepared, expected) in [
        ("CREATE FUNCTION tamis.replan(regclass) RETURNS void LANGUAGE sql AS ''", "55000"),
        ("CREATE TABLE tamis.other ()", "55000"),
        ("GRANT CREATE ON SCHEMA tamis TO app", "42501"),
        ("GRANT CREATE ON SCHEMA tamis TO PUBLIC", "42501"),
        ("ALTER SCHEMA tamis OWNER TO owner", "42501"),
    ] {
        admin.batch_execute(&format!("DROP SCHEMA tamis CASCADE; CREATE SCHEMA tamis; {prepared}")).unwrap();
        assert_eq!(code(admin.batch_execute(create)), expected, "{prepared}");
    }
    admin.batch_execute(&format!("DROP SCHEMA tamis; {create}; DROP EXTENSION tamis; {create}")).unwrap();
}

/// It is to be called by superusers too, who are held to the request.
#[test]
fn a_search_calls_nothing_that_is_not_the_systems() {
    let database = Database::new(server());
    if database.skips_pgvector() {
        return;
    }
    let mut admin = database.documents();
    admin
        .batch_execute(
            "GRANT CREATE ON SCHEMA public TO app; CREATE TABLE seen (who text); GRANT ALL ON seen TO app",
        )
        .unwrap();
    let mut app = database.app();
    app.batch_execute(
        "CREATE FUNCTION public.steal(regclass, integer) RETURNS boolean LANGUAGE plpgsql
             AS $$ BEGIN INSERT INTO public.seen VALUES (current_user); RETURN false; END $$;
         CREATE OPERATOR public.= (FUNCTION = public.steal, LEFTARG = regclass, RIGHTARG = integer);
         CREATE FUNCTION public.steal(numeric, bigint) RETURNS boolean LANGUAGE plpgsql
             AS $$ BEGIN INSERT INTO public.seen VALUES (current_user); RETURN true; END $$;
         CREATE OPERATOR public.> (FUNCTION = public.steal, LEFTARG = numeric, RIGHTARG = bigint)",
    )
    .unwrap();
    let search = "SELECT count(*) FROM tamis.search(NULL::docs, 'embedding', '[1,0.5,0.2]', 10)";
    assert_eq!(count(&mut admin, &person("acme", 3, &[]), search), 10);
    assert_eq!(admin.query("SELECT who FROM seen", &[]).unwrap().len(), 0);
    // Wherever the operators are.
    admin.batch_execute("CREATE SCHEMA elsewhere; ALTER EXTENSION vector SET SCHEMA elsewhere").unwrap();
    assert_eq!(count(&mut admin, &person("acme", 3, &[]), search), 10);
    let nowhere = search.replace("embedding", "nowhere");
    assert_eq!(code(asked(&mut admin, &person("acme", 3, &[]), &nowhere)), "42703");
}

/// What a policy forbids by something that nobody has told it would be allowed.
#[test]
fn a_policy_that_reads_ids_or_ancestors_is_told_where_they_are() {
    let database = Database::new(server());
    let mut admin = database.admin();
    let mut load = |name: &str, policy: &str| {
        let policy = format!("permit(principal, action, resource); {policy}");
        admin.execute("SELECT tamis.load_policy($1, $2::text)", &[&name, &policy]).map(|_| ())
    };
    load("ids", r#"forbid(principal, action, resource == Chunk::"7");"#).unwrap();
    load("folders", r#"forbid(principal, action, resource in Folder::"secret");"#).unwrap();
    load("tags", r#"forbid(principal, action, resource) when { resource.hasTag("secret") };"#).unwrap();
    load("later", "").unwrap();
    let mut other = database.admin();
    other
        .batch_execute(
            r#"CREATE TABLE files (id int, folders text[]); GRANT SELECT ON files TO app;
             INSERT INTO files VALUES (6, NULL), (7, NULL), (8, '{"[\"Folder\",\"secret\"]"}');
             GRANT EXECUTE ON FUNCTION tamis.set_request(jsonb) TO app"#,
        )
        .unwrap();
    for call in [
        "tamis.protect('files', 'ids')",
        "tamis.protect('files', 'folders')",
        "tamis.protect('files', 'folders', id => 'id')",
        "tamis.protect('files', 'folders', ancestors => 'folders')",
        "tamis.protect('files', 'tags', id => 'id', ancestors => 'folders')",
    ] {
        assert_eq!(code(other.batch_execute(&format!("SELECT {call}"))), "42703", "{call}");
    }
    let mut app = database.app();
    let request = person("acme", 0, &[]);
    let mut seen = |call: &str| -> Vec<i32> {
        other.batch_execute(&format!("SELECT {call}")).unwrap();
        asked(&mut app, &request, "SELECT array_agg(id ORDER BY id) FROM files").unwrap()[0].get(0)
    };
    assert_eq!(seen("tamis.protect('files', 'ids', id => 'id')"), [6, 8]);
    assert_eq!(seen("tamis.protect('files', 'folders', id => 'id', ancestors => 'folders')"), [6, 7]);
    // Nor does a policy that is loaded later read what it was not told.
    assert_eq!(seen("tamis.protect('files', 'later')"), [6, 7, 8]);
    assert_eq!(code(load("later", r#"forbid(principal, action, resource == Chunk::"7");"#)), "42703");
    // Nor in a call that somebody wrote, or that a policy of another server's came to.
    let mut ask = |call: &str| asked(&mut app, &request, &format!("SELECT tamis.allowed({call})"));
    assert!(!ask(r#"'ids', '{"columns": ["id"]}', 7"#).unwrap()[0].get::<_, bool>(0));
    assert_eq!(code(ask(r#"'ids', '{"columns": []}'"#)), "42703");
    assert_eq!(code(ask(r#"'ids', '{"columns": ["ancestors"]}', '{}'::text[]"#)), "42703");
    assert_eq!(code(ask(r#"'folders', '{"columns": ["id"]}', 7"#)), "42703");
    assert_eq!(code(ask(r#"'tags', '{"columns": ["id"]}', 7"#)), "42703");
}

/// As one in Rust does, whatever it looks at.
#[test]
fn a_policy_that_wants_all_there_is_does_not_say_that_it_reads_it() {
    const CODES: u8 = 0;
    const TEXTS: u8 = 2;
    let wanted = vec![column(1, 0, CODES), column(2, 0, TEXTS), column(3, 0, CODES), column(4, 0, CODES)];
    let component = Module::batching(Batch { wanted, ..Batch::good() }).component();
    let database = Database::new(server());
    let mut admin = database.documents();
    admin.execute("SELECT tamis.load_policy('rag', $1::bytea)", &[&component]).unwrap();
    admin.batch_execute("SELECT tamis.protect('docs', 'rag')").unwrap();
    assert_eq!(count(&mut database.app(), &person("acme", 0, &[]), ALL), 1000);
}

/// One could have them written so that a policy takes them for others.
#[test]
fn an_id_is_of_a_type_that_settings_do_not_change() {
    let database = Database::new(server());
    let mut admin = database.admin();
    let policy =
        r#"permit(principal, action, resource); forbid(principal, action, resource == Chunk::"2026-02-01");"#;
    admin.execute("SELECT tamis.load_policy('days', $1::text)", &[&policy]).unwrap();
    admin
        .batch_execute(
            "CREATE TABLE days (day date, at timestamptz, bytes bytea, flag boolean, score double precision, small real, span interval,
                 members jsonb, names text[], short varchar(10), padded char(10), number numeric, uid uuid);
             INSERT INTO days (day, short, padded) VALUES ('2026-02-01', '2026-02-01', '2026-02-01'), ('2026-02-02', '2026-02-02', '2026-02-02');
             GRANT SELECT ON days TO app; GRANT EXECUTE ON FUNCTION tamis.set_request(jsonb) TO app",
        )
        .unwrap();
    let protect = |id: &str| format!("SELECT tamis.protect('days', 'days', id => '{id}')");
    for id in ["day", "at", "bytes", "flag", "score", "small", "span", "members", "names"] {
        assert_eq!(code(admin.batch_execute(&protect(id))), "42804", "{id}");
    }
    let mut app = database.app();
    let request = person("acme", 0, &[]);
    app.batch_execute("SET DateStyle = 'German'").unwrap();
    let call = r#"SELECT tamis.allowed('days', '{"columns": ["id"]}', DATE '2026-02-01')"#;
    assert_eq!(code(asked(&mut app, &request, call)), "22023");
    for (id, rows) in [("short", 1), ("padded", 1), ("number", 0), ("uid", 0)] {
        admin.batch_execute(&protect(id)).unwrap();
        assert_eq!(count(&mut app, &request, "SELECT count(*) FROM days"), rows, "{id}");
    }
}
