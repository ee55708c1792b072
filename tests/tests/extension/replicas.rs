//! Policies on other servers than the one that they are loaded on: standbys, and databases that subscribe to them.

use std::time::{Duration, Instant};

use postgres::{Client, NoTls};
use tamis_tests::engines::Server;
use tamis_tests::extension::{Database, POLICY, STRICTER, asked, code, count, load, person};

const ALL: &str = "SELECT count(*) FROM docs";

/// Waits until somebody sees so many rows.
fn until(app: &mut Client, request: &str, rows: i64) {
    let until = Instant::now() + Duration::from_secs(20);
    while count(app, request, ALL) != rows {
        assert!(Instant::now() < until, "it does not follow");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Starts the server anew with more options.
fn restart(server: &Server, database: &Database<'_>, more: &str) {
    let folder = server.address();
    let (data, log) = (format!("{folder}/data"), format!("{folder}/log"));
    let options = format!("-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off {more}");
    let restart = ["-D", &data, "-m", "fast", "-w", "-l", &log, "-o", &options, "restart"];
    let output = database.program("pg_ctl", &restart);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_standby_enforces_what_its_primary_does() {
    let server = Server::postgres_with_tamis();
    let database = Database::new(&server);
    let mut admin = database.documents();
    admin.batch_execute("GRANT EXECUTE ON FUNCTION tamis.set_request(jsonb) TO owner").unwrap();
    let standby = format!("{}/standby", server.address());
    let output = database.program("pg_basebackup", &["-D", &standby, "-R", "-X", "stream", "-c", "fast"]);
    assert!(output.status.success(), "{output:?}");
    let options = format!("-p 5433 -c listen_addresses= -c unix_socket_directories={}", server.address());
    let log = format!("{}/standby.log", server.address());
    let output = database.program("pg_ctl", &["-D", &standby, "-w", "-l", &log, "-o", &options, "start"]);
    assert!(output.status.success(), "{}", std::fs::read_to_string(&log).unwrap_or_default());

    let connect = |user: &str| {
        let config = format!("host={} port=5433 user={user} dbname={}", server.address(), database.name());
        Client::connect(&config, NoTls).unwrap()
    };
    let (mut app, mut owner) = (connect("app"), connect("owner"));
    let request = person("acme", 3, &[]);
    let is_standby: bool = app.query_one("SELECT pg_is_in_recovery()", &[]).unwrap().get(0);
    assert!(is_standby);
    assert_eq!((count(&mut app, &request, ALL), count(&mut owner, &request, ALL)), (200, 200));
    // In a transaction that goes on, with a plan that is kept.
    app.batch_execute("SET plan_cache_mode = force_generic_plan").unwrap();
    let kept = app.prepare(ALL).unwrap();
    let mut going = app.transaction().unwrap();
    going.execute("SELECT tamis.set_request($1::text::jsonb)", &[&request]).unwrap();
    assert_eq!(going.query_one(&kept, &[]).unwrap().get::<_, i64>(0), 200);
    load(&mut admin, "rag", STRICTER).unwrap();
    until(&mut owner, &request, 50);
    assert_eq!(going.query_one(&kept, &[]).unwrap().get::<_, i64>(0), 50);
    going.commit().unwrap();
    admin.batch_execute("SELECT tamis.rollback_policy('rag')").unwrap();
    until(&mut app, &request, 200);
    // Nobody asks.
    assert_eq!(app.query_one(ALL, &[]).unwrap().get::<_, i64>(0), 0);
    assert_eq!(owner.query_one(ALL, &[]).unwrap().get::<_, i64>(0), 0);
    assert!(database.program("pg_ctl", &["-D", &standby, "-m", "immediate", "stop"]).status.success());
}

#[test]
fn a_subscriber_is_given_policies_and_protects_tables_of_its_own() {
    let server = Server::postgres_with_tamis();
    let publisher = Database::new(&server);
    let mut admin = publisher.documents();
    drop(admin);
    restart(&server, &publisher, "-c wal_level=logical");
    admin = publisher.admin();
    admin.batch_execute("CREATE PUBLICATION everything FOR TABLE tamis.policy, tamis.serving, docs").unwrap();
    // A subscription would wait for itself to make it, as both are of one server.
    admin.batch_execute("SELECT pg_create_logical_replication_slot('subscriber', 'pgoutput')").unwrap();

    let subscriber = Database::new(&server);
    let mut there = subscriber.admin();
    let vectors = if subscriber.has_pgvector() { ", embedding vector(3)" } else { "" };
    there
        .batch_execute(&format!(
            "CREATE TABLE docs (id bigint PRIMARY KEY, tenant text, level bigint, title text{vectors});
             GRANT ALL ON docs TO app; GRANT EXECUTE ON FUNCTION tamis.set_request(jsonb) TO app"
        ))
        .unwrap();
    there
        .batch_execute(&format!(
            "CREATE SUBSCRIPTION everything CONNECTION 'host={} user=postgres dbname={}' PUBLICATION everything
             WITH (create_slot = false, slot_name = 'subscriber')",
            server.address(),
            publisher.name()
        ))
        .unwrap();
    let ready = "SELECT count(*) FILTER (WHERE srsubstate <> 'r') FROM pg_subscription_rel";
    let deadline = Instant::now() + Duration::from_secs(30);
    while there.query_one(ready, &[]).unwrap().get::<_, i64>(0) != 0 {
        assert!(Instant::now() < deadline, "the subscriber does not come to follow");
        std::thread::sleep(Duration::from_millis(20));
    }
    // Policies come; which tables they protect is said where the tables are.
    let mut app = subscriber.app();
    assert_eq!(app.query_one(ALL, &[]).unwrap().get::<_, i64>(0), 1000);
    there.batch_execute("SELECT tamis.protect('docs', 'rag', id => 'id')").unwrap();
    assert_eq!(app.query_one(ALL, &[]).unwrap().get::<_, i64>(0), 0);
    let request = person("acme", 3, &[]);
    assert_eq!(count(&mut app, &request, ALL), 200);

    load(&mut admin, "rag", STRICTER).unwrap();
    until(&mut app, &request, 50);
    admin.batch_execute("SELECT tamis.rollback_policy('rag')").unwrap();
    until(&mut app, &request, 200);
    // What the publisher's people write comes through, whatever the policy says of who subscribes.
    admin
        .batch_execute("INSERT INTO docs (id, tenant, level) VALUES (5001, 'acme', 0), (5002, 'acme', 9)")
        .unwrap();
    until(&mut app, &request, 201);

    // One that reads other columns lets nothing through until the table is protected again.
    let titles = r#"permit(principal, action, resource) when { resource.title == "title 1" };"#;
    let schema = tamis_tests::extension::SCHEMA
        .replace("level: Long };\n    action", "level: Long, title: String };\n    action");
    admin.execute("SELECT tamis.load_policy('rag', $1::text, $2)", &[&titles, &schema]).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let refused = loop {
        match asked(&mut app, &request, ALL) {
            Ok(rows) => assert_eq!(rows[0].get::<_, i64>(0), 201),
            refused => break refused,
        }
        assert!(Instant::now() < deadline, "the subscriber does not follow");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(code(refused), "42703");
    there.batch_execute("SELECT tamis.protect('docs', 'rag', id => 'id')").unwrap();
    assert_eq!(count(&mut app, &request, ALL), 1);
    load(&mut admin, "rag", POLICY).unwrap();
}
