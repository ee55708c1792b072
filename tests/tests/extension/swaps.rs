//! Policies are swapped while many read: no statement fails, and each is answered by one policy.

use std::sync::atomic::{AtomicBool, Ordering};

use tamis_tests::extension::{Database, POLICY, STRICTER, asked, load, person, server};

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
