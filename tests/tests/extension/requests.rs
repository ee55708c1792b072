//! Who asks: set once for a transaction, by whoever may.

use tamis_tests::extension::{Database, asked, code, count, load, person, said, server, token};

const ALL: &str = "SELECT count(*) FROM docs";

#[test]
fn without_a_request_there_are_no_rows() {
    let database = Database::new(server());
    let mut admin = database.documents();
    let (mut app, mut owner) = (database.app(), database.owner());
    for client in [&mut app, &mut owner] {
        assert_eq!(client.query_one(ALL, &[]).unwrap().get::<_, i64>(0), 0);
        assert_eq!(client.execute("UPDATE docs SET title = ''", &[]).unwrap(), 0);
        assert_eq!(client.execute("DELETE FROM docs", &[]).unwrap(), 0);
        assert_eq!(code(client.execute("INSERT INTO docs VALUES (5000, 'acme', 0)", &[])), "42501");
    }
    // They are there.
    assert_eq!(admin.query_one(ALL, &[]).unwrap().get::<_, i64>(0), 1000);
}

#[test]
fn two_people_see_different_rows_from_the_same_statement() {
    let database = Database::new(server());
    database.documents();
    let mut app = database.app();
    // Levels 0 to 9, 50 documents each, in both tenants.
    assert_eq!(count(&mut app, &person("acme", 3, &[]), ALL), 200);
    assert_eq!(count(&mut app, &person("acme", 9, &[]), ALL), 500);
    assert_eq!(count(&mut app, &person("globex", 0, &[]), ALL), 50);
    assert_eq!(count(&mut app, &person("nobody", 9, &[]), ALL), 0);
    assert_eq!(
        count(&mut app, &person("acme", 3, &[]), "SELECT count(*) FROM docs WHERE tenant = 'globex'"),
        0
    );
    // And an agent no more than its user.
    let agent = r#"{"subject": {"type": "User", "id": "u", "properties": {"tenant": "acme", "level": 9, "roles": []}},
        "actor": [{"type": "User", "id": "bot", "properties": {"tenant": "acme", "level": 1, "roles": []}}]}"#;
    assert_eq!(count(&mut app, agent, ALL), 100);
}

#[test]
fn a_request_is_set_once_and_ends_with_its_transaction() {
    let database = Database::new(server());
    database.documents();
    let mut app = database.app();
    let (small, large) = (person("acme", 0, &[]), person("acme", 9, &[]));
    let set = "SELECT tamis.set_request($1::text::jsonb)";

    let mut transaction = app.transaction().unwrap();
    transaction.execute(set, &[&small]).unwrap();
    // The same again is no other.
    transaction.execute(set, &[&small]).unwrap();
    for injected in [
        "SAVEPOINT before; SELECT 1".to_owned(),
        format!("SELECT tamis.set_request('{large}')"),
        "ROLLBACK TO before; SELECT 1".to_owned(),
        "RESET ALL".to_owned(),
        format!("DO $$ BEGIN PERFORM tamis.set_request('{large}'); EXCEPTION WHEN OTHERS THEN NULL; END $$"),
    ] {
        let refused = injected.contains("SELECT tamis.set_request");
        let mut inside = transaction.transaction().unwrap();
        let result = inside.batch_execute(&injected);
        if refused {
            let error = result.unwrap_err();
            assert_eq!(said(&error).code().code(), "55000");
            assert!(said(&error).detail().is_some() && said(&error).hint().is_some());
            inside.rollback().unwrap();
        } else if injected.starts_with("SAVEPOINT") {
            result.unwrap();
            inside.commit().unwrap();
        } else {
            inside.rollback().unwrap();
        }
        assert_eq!(transaction.query_one(ALL, &[]).unwrap().get::<_, i64>(0), 50);
    }
    transaction.commit().unwrap();
    assert_eq!(app.query_one(ALL, &[]).unwrap().get::<_, i64>(0), 0);

    // So it does if it fails, and the next transaction may have another.
    let mut transaction = app.transaction().unwrap();
    transaction.execute(set, &[&small]).unwrap();
    assert!(transaction.batch_execute("SELECT 1 / 0").is_err());
    transaction.rollback().unwrap();
    assert_eq!(app.query_one(ALL, &[]).unwrap().get::<_, i64>(0), 0);
    assert_eq!(count(&mut app, &large, ALL), 500);
}

/// A worker of a parallel query is a process of its own, and a function can claim to be fit for it.
#[test]
fn a_parallel_worker_is_given_no_request() {
    let database = Database::new(server());
    database.documents();
    let mut app = database.app();
    if app.batch_execute("SET debug_parallel_query = on").is_err() {
        app.batch_execute("SET force_parallel_mode = on").unwrap();
    }
    app.batch_execute(&format!(
        "SET parallel_leader_participation = off;
         CREATE FUNCTION pg_temp.others() RETURNS bigint LANGUAGE plpgsql STABLE PARALLEL SAFE AS $f$
             BEGIN PERFORM tamis.set_request('{}'); RETURN (SELECT count(*) FROM docs); END $f$;
         CREATE FUNCTION pg_temp.all() RETURNS bigint LANGUAGE plpgsql STABLE PARALLEL SAFE AS $f$
             BEGIN RETURN (SELECT count(*) FROM docs); END $f$",
        person("globex", 9, &[])
    ))
    .unwrap();
    let small = person("acme", 0, &[]);
    assert_eq!(code(asked(&mut app, &small, "SELECT pg_temp.others()")), "25000");
    assert_eq!(count(&mut app, &small, "SELECT pg_temp.all()"), 0);
    app.batch_execute("RESET ALL").unwrap();
    assert_eq!(count(&mut app, &small, "SELECT pg_temp.all()"), 50);
}

#[test]
fn only_who_may_sets_a_request() {
    let database = Database::new(server());
    let mut admin = database.documents();
    admin.batch_execute("GRANT SELECT ON docs TO other").unwrap();
    let mut other = database.connect("other", database.name());
    assert_eq!(code(asked(&mut other, &person("acme", 9, &[]), ALL)), "42501");
    assert_eq!(other.query_one(ALL, &[]).unwrap().get::<_, i64>(0), 0);
    for statement in [
        "SELECT tamis.set_request_token('x')",
        "SELECT * FROM tamis.key",
        "SELECT * FROM tamis.policy",
        "SELECT tamis.set_key('\\x00')",
        "SELECT tamis.load_policy('rag', 'permit(principal, action, resource);')",
        "SELECT tamis.store_policy('rag', '\\x00', '', '')",
        "SELECT tamis.serve('rag', 1)",
        "SELECT tamis.rollback_policy('rag')",
        "SELECT tamis.drop_policy('rag')",
        "SELECT tamis.register('docs', 'rag', '{}', NULL, NULL, NULL, 'Chunk')",
        "SELECT tamis.unregister('docs')",
        "SELECT tamis.unprotect('docs')",
        "SELECT tamis.lift('docs')",
        "SET tamis.deadline = 1",
        "UPDATE tamis.serving SET generation = 1",
    ] {
        assert_eq!(code(other.batch_execute(statement)), "42501", "{statement}");
    }
}

/// Before the library is loaded a session can give its settings any value. That is undone when it is.
#[test]
fn a_setting_that_is_made_too_early_does_not_count() {
    let database = Database::new(server());
    database.documents();
    let mut app = database.app();
    app.batch_execute("SET tamis.deadline = 1; SET tamis.memory = 1").unwrap();
    assert_eq!(count(&mut app, &person("acme", 3, &[]), ALL), 200);
    for (setting, value) in [("deadline", "500ms"), ("memory", "16")] {
        let shown: String = app.query_one(&format!("SHOW tamis.{setting}"), &[]).unwrap().get(0);
        assert_eq!(shown, value);
    }
    // From then on one that there is not is an error.
    assert_eq!(code(app.batch_execute("SET tamis.deadlin = 1")), "42602");
}

#[test]
fn what_is_no_request_is_an_error_that_says_so() {
    let database = Database::new(server());
    database.documents();
    let mut app = database.app();
    for (request, detail) in [
        ("[]", "sequence"),
        ("{}", "missing field `subject`"),
        (r#"{"subject": {"type": "User"}}"#, "missing field `id`"),
        (r#"{"subject": {"type": "User", "id": 1}}"#, "subject.id"),
        (r#"{"subject": {"type": "User", "id": "a"}, "admin": true}"#, "admin"),
        (r#"{"subject": {"type": "User", "id": "a"}, "resource": {"type": "Chunk", "id": "x"}}"#, "resource"),
        // JSONB takes both.
        (r#"{"subject": {"type": "User", "id": "a", "properties": {"n": 1e400}}}"#, "number out of range"),
        (&format!("{}1{}", "[".repeat(200), "]".repeat(200)), "recursion limit"),
    ] {
        let error = asked(&mut app, request, ALL).unwrap_err();
        assert_eq!(said(&error).code().code(), "22023", "{request}");
        assert!(said(&error).detail().unwrap().contains(detail), "{request}: {:?}", said(&error).detail());
        assert!(said(&error).hint().is_some());
    }
    assert_eq!(code(app.batch_execute("SELECT tamis.set_request('no json')")), "22P02");
    // One that lacks what the policy reads is denied.
    assert_eq!(count(&mut app, r#"{"subject": {"type": "User", "id": "a"}}"#, ALL), 0);
    assert_eq!(count(&mut app, r#"{"subject": {"type": "Robot", "id": "a"}}"#, ALL), 0);
    app.batch_execute("SELECT tamis.set_request(NULL)").unwrap();
}

#[test]
fn a_token_is_a_request_if_it_is_signed_and_in_time() {
    let database = Database::new(server());
    let mut admin = database.documents();
    admin
        .batch_execute(
            "REVOKE EXECUTE ON FUNCTION tamis.set_request(jsonb) FROM app;
             GRANT EXECUTE ON FUNCTION tamis.set_request_token(text) TO app;
             SELECT tamis.set_key('0123456789abcdef0123456789abcdef'::bytea)",
        )
        .unwrap();
    let mut app = database.app();
    let key = "0123456789abcdef0123456789abcdef";
    let (hs256, later) = (r#"{"alg":"HS256","typ":"JWT"}"#, i64::MAX / 4);
    let mut rows = |signed: &str| -> Result<i64, postgres::Error> {
        let mut transaction = app.transaction()?;
        transaction.execute("SELECT tamis.set_request_token($1)", &[&signed])?;
        Ok(transaction.query_one(ALL, &[])?.get(0))
    };
    let whole = format!(r#"{{"exp":{later},"tamis":{}}}"#, person("acme", 3, &[]));
    let claims = format!(r#"{{"exp":{later},"iss":"us","sub":"ann","tenant":"acme","level":1,"roles":[]}}"#);
    let (whole, claims) = (token(hs256, &whole, key), token(hs256, &claims, key));
    assert_eq!(rows(&whole).unwrap(), 200);
    assert_eq!(rows(&claims).unwrap(), 100);
    // Seconds may have a fraction, as those of Python's `time()` do.
    let fraction = format!(r#"{{"exp":{later}.5,"nbf":0.5,"tamis":{}}}"#, person("acme", 3, &[]));
    assert_eq!(rows(&token(hs256, &fraction, key)).unwrap(), 200);

    let admin_claims = format!(r#"{{"exp":{later},"sub":"ann","tenant":"acme","level":9,"roles":[]}}"#);
    let mut swapped: Vec<&str> = claims.split('.').collect();
    let other = token(hs256, &admin_claims, key);
    swapped[1] = other.split('.').nth(1).unwrap();
    for (signed, detail) in [
        (token(hs256, &admin_claims, "another key that is long enough!"), "signature"),
        (swapped.join("."), "signature"),
        (token(r#"{"alg":"none"}"#, &admin_claims, key), "HS256"),
        (token(r#"{"alg":"HS512"}"#, &admin_claims, key), "HS256"),
        (token(r#"{"alg":"HS256","kid":"other"}"#, &admin_claims, key), "key is not known"),
        (token(hs256, r#"{"sub":"ann"}"#, key), "never expires"),
        (token(hs256, r#"{"sub":"ann","exp":1000}"#, key), "has expired"),
        (token(hs256, r#"{"sub":"ann","exp":1000.5}"#, key), "has expired"),
        (token(hs256, r#"{"sub":"ann","exp":"later"}"#, key), "no number"),
        (token(hs256, &format!(r#"{{"sub":"ann","exp":{later},"nbf":{later}}}"#), key), "not valid yet"),
        (token(hs256, &format!(r#"{{"exp":{later}}}"#), key), "subject"),
        (token(hs256, &format!(r#"{{"exp":{later},"sub":"a","sub":"b"}}"#), key), "JSON web token"),
        ("a.b".to_owned(), "JSON web token"),
        (String::new(), "JSON web token"),
        (format!("{claims}x"), "signature"),
        ("x".repeat(2 << 20), "megabyte"),
    ] {
        let error = rows(&signed).unwrap_err();
        assert_eq!(said(&error).code().code(), "28000", "{detail}");
        assert!(said(&error).detail().unwrap().contains(detail), "{detail}: {:?}", said(&error).detail());
    }
    // A key that is gone signs nothing.
    admin.batch_execute("SELECT tamis.drop_key()").unwrap();
    assert_eq!(code(rows(&claims)), "28000");
    load(&mut admin, "rag", tamis_tests::extension::POLICY).unwrap();
}
