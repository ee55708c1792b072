//! A policy that does not come to an end ends its statement, and nothing else.

use std::time::{Duration, Instant};

use postgres::Client;
use tamis_tests::extension::{Database, asked, code, count, person, said, server};
use tamis_tests::hostile::{FOREVER, Module, TRAP};

const ALL: &str = "SELECT count(*) FROM docs";
/// Longer than any test waits.
const PATIENT: &str = "SET tamis.deadline = '10min'";

/// Puts a policy in the place of another, past what loading checks.
fn smuggle(admin: &mut Client, module: &Module) {
    let component = module.component();
    let statement = "UPDATE tamis.policy SET component = $1, digest = encode(sha256($1), 'hex')";
    admin.execute(statement, &[&component]).unwrap();
    admin.batch_execute("UPDATE tamis.serving s SET digest = p.digest FROM tamis.policy p").unwrap();
}

/// A connection of the application whose policies may take as long as they like.
fn patient(database: &Database<'_>) -> Client {
    let mut client = database.admin();
    client.batch_execute(PATIENT).unwrap();
    client.batch_execute("SET ROLE app").unwrap();
    client
}

#[test]
fn a_policy_that_loops_is_ended_by_its_deadline() {
    let database = Database::new(server());
    let mut admin = database.documents();
    smuggle(&mut admin, &Module::filtering(FOREVER));
    let mut app = database.app();
    let began = Instant::now();
    let error = asked(&mut app, &person("acme", 3, &[]), ALL).unwrap_err();
    assert!((400..3000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    assert_eq!(said(&error).code().code(), "54000");
    assert!(said(&error).detail().unwrap().contains("limit") && said(&error).hint().is_some());
    // The reason is for who operates it.
    let reason = "SELECT last_error FROM tamis.policies";
    let told: Option<String> = admin.query_one(reason, &[]).unwrap().get(0);
    assert!(told.unwrap().contains("longer than 500 ms"));
    assert_eq!(app.query_one(reason, &[]).unwrap().get::<_, Option<String>>(0), None);
    // The backend is well.
    assert_eq!(app.query_one("SELECT 1", &[]).unwrap().get::<_, i32>(0), 1);
    smuggle(&mut admin, &Module::good());
    assert_eq!(count(&mut app, &person("acme", 3, &[]), ALL), 1000);
}

#[test]
fn a_policy_that_loops_is_ended_by_the_statement_timeout() {
    let database = Database::new(server());
    let mut admin = database.documents();
    smuggle(&mut admin, &Module::filtering(FOREVER));
    let mut app = patient(&database);
    app.batch_execute("SET statement_timeout = 200").unwrap();
    for _ in 0..3 {
        let began = Instant::now();
        let error = asked(&mut app, &person("acme", 3, &[]), ALL).unwrap_err();
        assert!((150..3000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
        assert_eq!(said(&error).code().code(), "57014");
        assert!(said(&error).message().contains("statement timeout"), "{error}");
    }
    smuggle(&mut admin, &Module::good());
    assert_eq!(count(&mut app, &person("acme", 3, &[]), ALL), 1000);
}

#[test]
fn a_policy_that_loops_is_cancelled_and_its_backend_can_be_ended() {
    let database = Database::new(server());
    let mut admin = database.documents();
    smuggle(&mut admin, &Module::filtering(FOREVER));
    for (call, expected) in [("pg_cancel_backend", Some("57014")), ("pg_terminate_backend", None)] {
        let mut app = patient(&database);
        let backend: i32 = app.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
        let running = std::thread::spawn(move || {
            let result = asked(&mut app, &person("acme", 3, &[]), ALL);
            let error = result.unwrap_err();
            (error.as_db_error().map(|said| said.code().code().to_owned()), app)
        });
        std::thread::sleep(Duration::from_millis(300));
        assert!(!running.is_finished());
        let began = Instant::now();
        admin.execute(&format!("SELECT {call}($1)"), &[&backend]).unwrap();
        let (said, mut app) = running.join().unwrap();
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        // One that is ended may not come to say so.
        assert!(said.as_deref() == expected || said.as_deref() == Some("57P01"), "{said:?}");
        assert_eq!(app.query_one("SELECT 1", &[]).is_ok(), call == "pg_cancel_backend");
    }
}

#[test]
fn a_policy_that_gives_up_or_wants_too_much_ends_its_statement() {
    let database = Database::new(server());
    let mut admin = database.documents();
    let mut app = database.app();
    for (module, expected) in [
        (Module::filtering(TRAP), "38000"),
        (Module::filtering("(drop (memory.grow (i32.const 60000))) (unreachable)"), "54000"),
        (Module::filtering("(call $deep) (unreachable)"), "54000"),
        (Module::filtering("(i32.const -8)"), "39000"),
    ] {
        let more = "(func $deep (call $deep))";
        smuggle(&mut admin, &Module { more, ..module });
        let error = asked(&mut app, &person("acme", 3, &[]), ALL).unwrap_err();
        assert_eq!(said(&error).code().code(), expected, "{error:?}");
        // Nothing of what the policy said.
        assert!(said(&error).message().contains("could not decide"), "{error}");
        assert_eq!(app.query_one("SELECT 1", &[]).unwrap().get::<_, i32>(0), 1);
    }
    // An error that is caught goes on to let nothing through.
    admin
        .batch_execute(
            "CREATE FUNCTION caught() RETURNS bigint LANGUAGE plpgsql AS
                'BEGIN RETURN (SELECT count(*) FROM docs); EXCEPTION WHEN OTHERS THEN RETURN -1; END'",
        )
        .unwrap();
    for _ in 0..3 {
        assert_eq!(count(&mut app, &person("acme", 3, &[]), "SELECT caught()"), -1);
    }
}

/// Where it came past what loading checks: a subscriber takes what its publisher has.
#[test]
fn a_policy_that_loops_before_it_is_asked_is_ended_too() {
    let database = Database::new(server());
    let mut admin = database.documents();
    for module in [
        Module { start: FOREVER, ..Module::good() },
        Module { describe: FOREVER, ..Module::good() },
        Module { rewrite_query: FOREVER, ..Module::good() },
    ] {
        smuggle(&mut admin, &module);
        let mut app = database.app();
        let running = std::thread::spawn(move || code(asked(&mut app, &person("acme", 3, &[]), ALL)));
        let until = Instant::now() + Duration::from_secs(10);
        while !running.is_finished() {
            assert!(Instant::now() < until, "nothing ends it");
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(running.join().unwrap(), "54000");
    }
}

/// An error of any statement stops all of the server's timers, and a cursor that was opened before goes on.
#[test]
fn a_policy_that_loops_after_an_error_is_ended_too() {
    let database = Database::new(server());
    let mut admin = database.documents();
    let first_only = "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (if (i32.gt_u (global.get $calls) (i32.const 1)) (then (loop $forever (br $forever)))) (global.get $allow)";
    smuggle(&mut admin, &Module::filtering(first_only));
    let mut app = database.app();
    let running = std::thread::spawn(move || {
        let mut transaction = app.transaction().unwrap();
        transaction.execute("SELECT tamis.set_request($1::text::jsonb)", &[&person("acme", 3, &[])]).unwrap();
        transaction.batch_execute("DECLARE c CURSOR FOR SELECT id FROM docs").unwrap();
        assert_eq!(transaction.query("FETCH 1 FROM c", &[]).unwrap().len(), 1);
        let mut inside = transaction.transaction().unwrap();
        assert!(inside.batch_execute("SELECT 1 / 0").is_err());
        inside.rollback().unwrap();
        code(transaction.query("FETCH 1 FROM c", &[]))
    });
    let until = Instant::now() + Duration::from_secs(10);
    while !running.is_finished() {
        assert!(Instant::now() < until, "nothing ends it");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(running.join().unwrap(), "54000");
}

#[test]
fn a_clock_that_runs_is_stopped() {
    let database = Database::new(server());
    database.documents();
    let mut app = database.app();
    for _ in 0..20 {
        count(&mut app, &person("acme", 3, &[]), ALL);
    }
    // A sleep is woken by signals, and goes on; an idle backend takes no time.
    let backend: i32 = app.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
    let ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{backend}/status")).unwrap();
        let line = stat.lines().find(|line| line.starts_with("voluntary_ctxt_switches")).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let before = ticks();
    std::thread::sleep(Duration::from_millis(500));
    assert!(ticks() - before < 5, "the timer of an idle backend goes on");
    // No thread was started.
    let threads = std::fs::read_dir(format!("/proc/{backend}/task")).unwrap().count();
    assert_eq!(threads, 1);
}
