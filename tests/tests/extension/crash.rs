//! What is committed survives: backends that are killed, servers that are, dumps.

use std::time::Duration;

use tamis_tests::engines::Server;
use tamis_tests::extension::{Database, POLICY, STRICTER, count, load, person};

const ALL: &str = "SELECT count(*) FROM docs";

/// Waits until the server takes connections again.
fn until_up(database: &Database<'_>) {
    for _ in 0..200 {
        if database.program("pg_isready", &[]).status.success() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("the server does not come up again");
}

#[test]
fn a_killed_backend_and_a_killed_server_lose_no_policy() {
    let server = Server::postgres_with_tamis();
    let database = Database::new(&server);
    let mut admin = database.documents();
    load(&mut admin, "rag", STRICTER).unwrap();
    let request = person("acme", 3, &[]);
    assert_eq!(count(&mut database.app(), &request, ALL), 50);

    let mut loading = database.admin();
    let backend: i32 = loading.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
    let mut open = loading.transaction().unwrap();
    open.query_one(
        "SELECT tamis.load_policy('rag', $1::text, $2)",
        &[&POLICY, &tamis_tests::extension::SCHEMA],
    )
    .unwrap();
    // The server ends all backends then, and recovers.
    assert!(
        std::process::Command::new("kill").args(["-9", &backend.to_string()]).status().unwrap().success()
    );
    assert!(open.query_one("SELECT 1", &[]).is_err());
    drop(open);
    // Until it knows, it goes on to take connections.
    while admin.query_one("SELECT 1", &[]).is_ok() {
        std::thread::sleep(Duration::from_millis(10));
    }
    until_up(&database);
    assert_eq!(count(&mut database.app(), &request, ALL), 50);

    let data = format!("{}/data", server.address());
    let options =
        format!("-c listen_addresses= -c unix_socket_directories={} -c fsync=off", server.address());
    let log = format!("{}/log", server.address());
    let output = database
        .program("pg_ctl", &["-D", &data, "-m", "immediate", "-w", "-l", &log, "-o", &options, "restart"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(count(&mut database.app(), &request, ALL), 50);
    database.admin().batch_execute("SELECT tamis.rollback_policy('rag')").unwrap();
    assert_eq!(count(&mut database.app(), &request, ALL), 200);
}

#[test]
fn a_dump_restores_policies_and_protection() {
    let database = Database::new(tamis_tests::extension::server());
    let mut admin = database.documents();
    load(&mut admin, "rag", STRICTER).unwrap();
    admin.batch_execute("SELECT tamis.set_key('0123456789abcdef0123456789abcdef'::bytea)").unwrap();
    let restored = format!("{}_restored", database.name());
    admin.batch_execute(&format!("CREATE DATABASE {restored}")).unwrap();
    for format in ["plain", "custom"] {
        let file = format!("{}/{}.{format}", tamis_tests::extension::server().address(), database.name());
        let output = database.program("pg_dump", &["-d", database.name(), "-F", format, "-f", &file]);
        assert!(output.status.success(), "{output:?}");
        let output = match format {
            "plain" => {
                database.program("psql", &["-d", &restored, "-v", "ON_ERROR_STOP=1", "-q", "-f", &file])
            }
            _ => {
                admin.batch_execute(&format!("DROP DATABASE {restored}")).unwrap();
                admin.batch_execute(&format!("CREATE DATABASE {restored}")).unwrap();
                database.program("pg_restore", &["-d", &restored, "--exit-on-error", &file])
            }
        };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut app = database.connect("app", &restored);
        assert_eq!(app.query_one(ALL, &[]).unwrap().get::<_, i64>(0), 0, "{format}");
        assert_eq!(count(&mut app, &person("acme", 3, &[]), ALL), 50, "{format}");
        let mut admin = database.connect("postgres", &restored);
        assert_eq!(admin.query("SELECT * FROM tamis.key", &[]).unwrap().len(), 0);
        admin.batch_execute("SELECT tamis.rollback_policy('rag')").unwrap();
        assert_eq!(count(&mut app, &person("acme", 3, &[]), ALL), 200, "{format}");
        drop((app, admin));
    }
}
