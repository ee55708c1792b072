//! Several threads on one file: searches see one state of it, whatever is written meanwhile.

use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rusqlite::Connection;
use tamis_core::{Chunk, Filter};
use tamis_retrieve::{By, Candidate, Question, Store, VectorSource, index, search};
use tamis_tests::user;

use crate::corpus::{Database, Wide, clearance, ids, loader, placed};

/// The chunks of one version, all of them equal but for their ids.
fn version(number: i64) -> Vec<Chunk> {
    let chunk = |id: i64| {
        let mut chunk = placed(&id.to_string(), 0, &["analyst"], &[1.0, number as f32]);
        chunk.attributes.insert("version".to_owned(), number.into());
        chunk.text = Some(format!("words of version {number}"));
        chunk
    };
    (0..20).map(chunk).collect()
}

#[test]
fn readers_see_whole_versions_while_one_writes() {
    const VERSIONS: i64 = 40;
    let database = Database::of(&version(0));
    let path = database.path();
    let handle = clearance();
    let written = AtomicBool::new(false);
    let searches = AtomicUsize::new(0);
    let write = || {
        let mut store = Store::open(&path).unwrap();
        for number in 1..=VERSIONS {
            let report = index(&mut store, handle, &loader("acme"), version(number), |_| {}).unwrap();
            assert_eq!(report.stored, 20);
        }
        written.store(true, Ordering::Release);
    };
    let read = |by: By<'_>| {
        let store = Store::open(&path).unwrap();
        let bob = user("bob", "acme", 0, &["analyst"]);
        let mut newest = 0;
        while newest < VERSIONS {
            let last = written.load(Ordering::Acquire);
            for found in [
                search(&store, handle, &Question::new(&bob, by, 25)).unwrap(),
                search(&Wide(&store), handle, &Question::new(&bob, by, 20)).unwrap(),
            ] {
                let version = |chunk: &Chunk| chunk.attributes["version"].as_i64().unwrap();
                let versions: Vec<i64> = found.hits.iter().map(|hit| version(&hit.chunk)).collect();
                assert_eq!(versions, [versions[0]; 20]);
                assert!(versions[0] >= newest, "{} after {newest}", versions[0]);
                newest = versions[0];
                searches.fetch_add(1, Ordering::Relaxed);
            }
            assert!(!last || newest == VERSIONS, "{newest} is the last version");
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(write);
        scope.spawn(|| read(By::Vector(&[1.0, 0.0])));
        scope.spawn(|| read(By::Text("words")));
    });
    assert!(searches.load(Ordering::Relaxed) >= 8);
}

#[test]
fn a_search_sees_one_state_from_beginning_to_end() {
    for by in [By::Vector(&[1.0, 0.0]), By::Text("words")] {
        let chunk = |id: &str, number: f32, text: &str| Chunk {
            text: Some(text.to_owned()),
            ..placed(id, 0, &["analyst"], &[1.0, number])
        };
        let database = Database::of(&[
            chunk("a", 0.1, "words"),
            chunk("b", 0.2, "words more"),
            chunk("c", 0.3, "words more more"),
        ]);
        let mut opened = database.store.open(by, &Filter::Always).unwrap().candidates;
        let mut page = |wanted| -> Vec<(String, String)> {
            let seen = |candidate: Candidate| {
                let chunk = candidate.chunk.unwrap();
                (chunk.uid.id, chunk.text.unwrap())
            };
            opened.next_page(wanted).unwrap().into_iter().map(seen).collect()
        };
        let pair = |id: &str, text: &str| (id.to_owned(), text.to_owned());
        assert_eq!(page(1), [pair("a", "words")]);

        let mut writer = Store::open(&database.path()).unwrap();
        let changes = vec![chunk("b", 9.0, "changed"), chunk("c", 0.15, "words"), chunk("d", 0.12, "words")];
        assert_eq!(index(&mut writer, clearance(), &loader("acme"), changes, |_| {}).unwrap().stored, 3);

        assert_eq!(page(1), [pair("b", "words more")]);
        assert_eq!(page(5), [pair("c", "words more more")]);
        assert_eq!(page(5), []);
        assert_eq!(page(5), []);
        drop(opened);

        let bob = user("bob", "acme", 0, &["analyst"]);
        let found = search(&database.store, clearance(), &Question::new(&bob, by, 3)).unwrap();
        let mut now = ids(&found);
        now.sort_unstable();
        assert_eq!(now, ["a", "c", "d"]);
    }
}

#[test]
fn many_may_create_and_write_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chunks.sqlite");
    let handle = clearance();
    let barrier = Barrier::new(8);
    let write = |path: &Path, number: i32| {
        barrier.wait();
        let mut store = Store::create(path).unwrap();
        let chunk = placed(&number.to_string(), 0, &["analyst"], &[1.0, 2.0]);
        assert_eq!(index(&mut store, handle, &loader("acme"), vec![chunk], |_| {}).unwrap().stored, 1);
    };
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (write, path) = (&write, &path);
            scope.spawn(move || write(path, number));
        }
    });
    assert_eq!(Store::open(&path).unwrap().len().unwrap(), 8);
}

/// Where SQLite itself does not wait, and says at once that the database is locked.
#[test]
fn a_file_that_another_process_lays_out_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chunks.sqlite");
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    std::thread::scope(|scope| {
        let created = scope.spawn(|| Store::create(&path).unwrap().len().unwrap());
        std::thread::sleep(Duration::from_millis(300));
        assert!(!created.is_finished());
        other.execute_batch("ROLLBACK").unwrap();
        assert_eq!(created.join().unwrap(), 0);
    });
}
