//! Policies are swapped while many read: no statement fails, and each is answered by one policy.

use std::sync::atomic::{AtomicBool, Ordering};

use postgres::Transaction;
use tamis_tests::extension::{Database, POLICY, STRICTER, asked, load, person, server};

/// Two policies that allow nothing in common.
const LOW: &str =
    "permit(principal, action, resource) when { resource.tenant == principal.tenant && resource.level < 3 };";
const HIGH: &str =
    "permit(principal, action, resource) when { resource.tenant == principal.tenant && resource.level > 4 };";

#[test]
fn every_statement_is_answered_by_one_policy() {
    let database = Database::new(server());
    let mut admin = database.documents();
    let done = AtomicBool::new(false);
    let counts = std::thread::scope(|scope| {
        let read = || {
            let mut app = database.app();
            let mut counts = Vec::new();
            while !done.load(Ordering::Relaxed) {
                // Twice in one statement.
                let query = "SELECT (SELECT count(*) FROM docs), (SELECT count(*) FROM docs WHERE pg_sleep(0.0001) IS NOT NULL)";
                let rows = asked(&mut app, &person("acme", 3, &[]), query).unwrap();
                counts.push((rows[0].get::<_, i64>(0), rows[0].get::<_, i64>(1)));
            }
            counts
        };
        let readers: Vec<_> = (0..6).map(|_| scope.spawn(read)).collect();
        for round in 0..40 {
            load(&mut admin, "rag", if round % 2 == 0 { STRICTER } else { POLICY }).unwrap();
            // What was committed serves whoever asks next.
            let rows =
                asked(&mut database.app(), &person("acme", 3, &[]), "SELECT count(*) FROM docs").unwrap();
            assert_eq!(rows[0].get::<_, i64>(0), if round % 2 == 0 { 50 } else { 200 });
        }
        done.store(true, Ordering::Relaxed);
        readers.into_iter().flat_map(|reader| reader.join().unwrap()).collect::<Vec<_>>()
    });
    let (some, all) = ((50, 50), (200, 200));
    assert!(counts.iter().all(|count| [some, all].contains(count)), "{counts:?}");
    assert!(counts.contains(&some) && counts.contains(&all));
}

/// How many rows a statement has seen or changed, and of which levels: of one policy's, and of all that it allows.
type Seen = (i64, Option<i64>, Option<i64>);

fn seen(transaction: &mut Transaction<'_>, query: &str) -> Seen {
    let row = transaction.query_one(query, &[]).unwrap();
    (row.get(0), row.get(1), row.get(2))
}

/// Short transactions of several connections, each of its own person, that read and write what they find.
#[test]
fn transactions_under_load_are_each_answered_by_one_policy_at_a_time() {
    let database = Database::new(server());
    let mut admin = database.documents();
    admin
        .batch_execute(
            "CREATE INDEX ON docs (level); CREATE INDEX ON docs (tenant, level);
             CREATE FUNCTION seen(OUT n bigint, OUT low bigint, OUT high bigint) LANGUAGE plpgsql AS
                 'BEGIN SELECT count(*), min(level), max(level) INTO n, low, high FROM docs; END'",
        )
        .unwrap();
    load(&mut admin, "rag", LOW).unwrap();
    let done = AtomicBool::new(false);
    let work = |tenant: &str, generic: bool, updates: bool| {
        let mut app = database.app();
        if generic {
            app.batch_execute("SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off").unwrap();
        }
        app.batch_execute("PREPARE kept AS SELECT count(*), min(level), max(level) FROM docs").unwrap();
        let request = person(tenant, 9, &["editor"]);
        let update = "WITH changed AS (UPDATE docs SET title = title WHERE id > 0 RETURNING level)
            SELECT count(*), min(level), max(level) FROM changed";
        let mut all = Vec::new();
        while !done.load(Ordering::Relaxed) {
            let mut transaction = app.transaction().unwrap();
            transaction.execute("SELECT tamis.set_request($1::text::jsonb)", &[&request]).unwrap();
            for query in ["EXECUTE kept", "SELECT * FROM seen()", "EXECUTE kept"] {
                all.push(seen(&mut transaction, query));
            }
            if updates {
                all.push(seen(&mut transaction, update));
            }
            transaction.commit().unwrap();
        }
        all
    };
    let all = std::thread::scope(|scope| {
        let workers: Vec<_> =
            [("acme", false, true), ("acme", true, false), ("globex", true, true), ("globex", false, false)]
                .map(|(tenant, generic, updates)| scope.spawn(move || work(tenant, generic, updates)))
                .into();
        for round in 0..60 {
            match round % 3 {
                0 => load(&mut admin, "rag", HIGH).unwrap(),
                1 => load(&mut admin, "rag", LOW).unwrap(),
                _ => admin.query_one("SELECT tamis.rollback_policy('rag')", &[]).unwrap().get(0),
            };
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        done.store(true, Ordering::Relaxed);
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect::<Vec<_>>()
    });
    let (low, high) = ((150, Some(0), Some(2)), (250, Some(5), Some(9)));
    let odd: Vec<_> = all.iter().filter(|seen| **seen != low && **seen != high).collect();
    assert!(odd.is_empty(), "{odd:?} of {}", all.len());
    assert!(all.contains(&low) && all.contains(&high));
}
