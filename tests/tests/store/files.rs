//! Files that are not what they should be: each a clear error that names the file, never a panic, and nothing changed.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use proptest::prelude::*;
use rusqlite::Connection;
use tamis_core::{Chunk, Filter};
use tamis_retrieve::{By, Error, Question, Store, VectorSource, index, search};
use tamis_tests::{generate, user};

use crate::corpus::{Database, clearance, ids, loader, placed};

fn sqlite(path: &Path, sql: &str) {
    Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

/// The error, which names the file.
fn named<T>(path: &Path, result: Result<T, Error>) -> String {
    let message = result.map(|_| ()).unwrap_err().to_string();
    let (name, message) = message.split_once(": ").unwrap();
    assert_eq!(Path::new(name), path, "{message}");
    message.to_owned()
}

#[test]
fn what_is_no_store_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let text = "These are words, and many of them, but they are no database at all. ".repeat(100);
    std::fs::write(file("text"), &text).unwrap();
    std::fs::write(file("short"), "words").unwrap();
    sqlite(&file("foreign"), "CREATE TABLE chunks (id TEXT); INSERT INTO chunks VALUES ('theirs')");
    sqlite(&file("marked"), "PRAGMA application_id = 1");
    for (name, change) in
        [("older", "user_version = 2"), ("newer", "user_version = 4"), ("no mark", "application_id = 0")]
    {
        drop(Store::create(&file(name)).unwrap());
        sqlite(&file(name), &format!("PRAGMA {change}"));
    }
    for (name, message) in [
        ("text", "file is not a database"),
        ("short", "file is not a database"),
        ("foreign", "this is a SQLite database, but not one that tamis made"),
        ("marked", "this is a SQLite database, but not one that tamis made"),
        ("no mark", "this is a SQLite database, but not one that tamis made"),
        ("older", "its layout has version 2; this program reads version 3"),
        ("newer", "its layout has version 4; this program reads version 3"),
    ] {
        let before = std::fs::read(file(name)).unwrap();
        assert_eq!(named(&file(name), Store::open(&file(name))), message, "{name}");
        assert_eq!(named(&file(name), Store::create(&file(name))), message, "{name}");
        assert_eq!(std::fs::read(file(name)).unwrap(), before, "{name} has changed");
    }
    let inside = file("no folder/chunks.sqlite");
    assert_eq!(named(&inside, Store::create(&inside)), "there is no such folder");
    let message = "this is a folder; a database is a file";
    assert_eq!(named(folder.path(), Store::create(folder.path())), message);
    assert_eq!(named(folder.path(), Store::open(folder.path())), message);
    named(Path::new(""), Store::create(Path::new("")));
}

#[test]
fn a_missing_file_is_made_only_by_create() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chunks.sqlite");
    let message = named(&path, Store::open(&path));
    assert_eq!(message, "there is no such database; `tamis index` makes one");
    assert!(!path.exists());
    assert!(Store::create(&path).unwrap().is_empty().unwrap());
    assert!(Store::open(&path).unwrap().is_empty().unwrap());
}

#[test]
fn an_empty_file_becomes_a_store_only_by_create() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chunks.sqlite");
    std::fs::write(&path, "").unwrap();
    let message = named(&path, Store::open(&path));
    assert_eq!(message, "the file is empty; `tamis index` makes a database of it");
    assert_eq!(std::fs::read(&path).unwrap(), b"");
    assert!(Store::create(&path).unwrap().is_empty().unwrap());
}

// ---- locks ----

/// Holds `path` exclusively in another thread while `action` runs, at most for `limit`.
fn locked<T>(path: &Path, limit: Duration, action: impl FnOnce() -> T) -> T {
    let (locked, is_locked) = mpsc::channel();
    let (done, is_done) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let connection = Connection::open(path).unwrap();
            connection.execute_batch("BEGIN EXCLUSIVE").unwrap();
            locked.send(()).unwrap();
            // An error is the other end of the channel, gone.
            let _ = is_done.recv_timeout(limit);
            connection.execute_batch("ROLLBACK").unwrap();
        });
        is_locked.recv().unwrap();
        let result = action();
        drop(done);
        result
    })
}

#[test]
fn a_locked_store_can_be_read_and_waits_to_be_written() {
    let bob = user("bob", "acme", 0, &["analyst"]);
    let here = By::Vector(&[1.0, 0.0]);
    let chunk = |id: &str| placed(id, 0, &["analyst"], &[1.0, 0.0]);
    let mut database = Database::of(&[chunk("a")]);
    let path = database.path();
    let handle = clearance();
    locked(&path, Duration::from_secs(60), || {
        let found = search(&database.store, handle, &Question::new(&bob, here, 5)).unwrap();
        assert_eq!(ids(&found), ["a"]);
        assert_eq!(Store::open(&path).unwrap().len().unwrap(), 1);
        let failed = index(&mut database.store, handle, &loader("acme"), vec![chunk("b")], |_| {});
        assert_eq!(named(&path, failed), "database is locked");
    });
    assert_eq!(database.store.get("b").unwrap(), None);
    locked(&path, Duration::from_millis(500), || {
        assert_eq!(
            index(&mut database.store, handle, &loader("acme"), vec![chunk("b")], |_| {}).unwrap().stored,
            1
        );
    });
    assert_eq!(database.store.len().unwrap(), 2);
}

#[test]
fn a_locked_file_cannot_become_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chunks.sqlite");
    locked(&path, Duration::from_secs(60), || {
        assert_eq!(named(&path, Store::create(&path)), "database is locked");
    });
    assert!(Store::create(&path).unwrap().is_empty().unwrap());
}

// ---- damage ----

/// What happens to a file.
#[derive(Clone, Debug)]
enum Damage {
    Cut(usize),
    Zeros(usize),
    Noise(usize, Vec<u8>),
    Bytes(Vec<(usize, u8)>),
}

impl Damage {
    fn apply(&self, file: &mut Vec<u8>) {
        let length = file.len();
        let page = |at: &usize| at % length / 4096 * 4096;
        match self {
            Self::Cut(at) => file.truncate(at % length),
            Self::Zeros(at) => file[page(at)..][..4096].fill(0),
            Self::Noise(at, noise) => file[page(at)..][..4096].copy_from_slice(noise),
            Self::Bytes(bytes) => bytes.iter().for_each(|(at, byte)| file[at % length] = *byte),
        }
    }
}

fn damage() -> BoxedStrategy<Damage> {
    let place = || 0..10_000_000_usize;
    prop_oneof![
        place().prop_map(Damage::Cut),
        place().prop_map(Damage::Zeros),
        (place(), prop::collection::vec(any::<u8>(), 4096)).prop_map(|(at, noise)| Damage::Noise(at, noise)),
        prop::collection::vec((place(), any::<u8>()), 1..40).prop_map(Damage::Bytes),
    ]
    .boxed()
}

#[test]
fn a_damaged_file_gives_errors_and_never_a_panic() {
    let chunk = |n: i32| Chunk {
        text: Some(format!("word{n} and some other words")),
        ..placed(&n.to_string(), 0, &["analyst"], &[1.0, n as f32])
    };
    let chunks: Vec<Chunk> = (0..300).map(chunk).collect();
    let database = Database::of(&chunks);
    let path = database.path();
    let folder = database.folder;
    drop(database.store);
    assert!(!folder.path().join("chunks.sqlite-wal").exists(), "what is written is in one file");
    let whole = std::fs::read(&path).unwrap();
    let handle = clearance();
    let bob = user("bob", "acme", 0, &["analyst"]);
    let (failed, went_well) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    generate::hold(60, damage(), |damage| {
        let mut bytes = whole.clone();
        damage.apply(&mut bytes);
        for leftover in ["chunks.sqlite-wal", "chunks.sqlite-shm"] {
            let _ = std::fs::remove_file(folder.path().join(leftover));
        }
        std::fs::write(&path, bytes).unwrap();
        let check = |error: Option<Error>| match error {
            None => went_well.set(went_well.get() + 1),
            Some(error) => {
                assert!(error.to_string().starts_with(&format!("{}: ", path.display())), "{error}");
                failed.set(failed.get() + 1);
            }
        };
        let mut store = match Store::open(&path) {
            Ok(store) => store,
            Err(error) => {
                check(Some(error));
                return Ok(());
            }
        };
        check(store.len().err());
        check(store.get("7").err());
        for by in [By::Vector(&[1.0, 7.0]), By::Text("word7")] {
            check(search(&store, handle, &Question::new(&bob, by, 10)).err());
            check(
                store.open(by, &Filter::Always).and_then(|mut opened| opened.candidates.next_page(500)).err(),
            );
        }
        check(index(&mut store, handle, &loader("acme"), chunks[..20].to_vec(), |_| {}).err());
        Ok(())
    });
    println!("{} operations failed, {} did not", failed.get(), went_well.get());
    assert!(failed.get() >= 30 && went_well.get() >= 30);
}

// ---- permissions ----

/// Set in the process that runs a test again without the rights of root, for whom no file is read-only.
const WITHOUT_RIGHTS: &str = "TAMIS_TEST_WITHOUT_RIGHTS";

#[test]
fn what_may_only_be_read_is_not_written() {
    if let Some(folder) = std::env::var_os(WITHOUT_RIGHTS) {
        return check_read_only(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let mode = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    for name in ["file", "folder"] {
        let inner = folder.path().join(name);
        std::fs::create_dir(&inner).unwrap();
        let mut store = Store::create(&inner.join("chunks.sqlite")).unwrap();
        let mut transaction = store.begin().unwrap();
        transaction.put(&placed("a", 0, &["analyst"], &[1.0, 0.0])).unwrap();
        transaction.commit().unwrap();
        drop(store);
        mode(&inner.join("chunks.sqlite"), 0o444);
        mode(&inner, if name == "file" { 0o777 } else { 0o555 });
    }
    mode(folder.path(), 0o755);
    if std::fs::write(folder.path().join("folder/probe"), "").is_ok() {
        check_as_nobody(folder.path());
    } else {
        check_read_only(folder.path());
    }
    // So that the folder can be removed.
    mode(&folder.path().join("folder"), 0o755);
}

/// Runs this test again in a process of a user without rights. The build's own folder may be closed to that user, so the
/// process runs a copy of this program.
fn check_as_nobody(folder: &Path) {
    let program = folder.join("test");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let output = Command::new(&program)
        .args(["--exact", "files::what_may_only_be_read_is_not_written", "--nocapture"])
        .env(WITHOUT_RIGHTS, folder)
        .current_dir(folder)
        .uid(65_534)
        .gid(65_534)
        .output()
        .unwrap();
    let printed =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && printed.contains("1 passed"), "{printed}");
}

fn check_read_only(folder: &Path) {
    let path = folder.join("file/chunks.sqlite");
    let mut store = Store::open(&path).unwrap();
    assert_eq!(store.len().unwrap(), 1);
    let page = store.open(By::Vector(&[1.0, 0.0]), &Filter::Always).unwrap().candidates.next_page(5).unwrap();
    assert_eq!(page.len(), 1);
    let written = store.begin().and_then(|mut transaction| transaction.put(page[0].chunk.as_ref().unwrap()));
    assert_eq!(named(&path, written), "attempt to write a readonly database");

    // A store in a folder that cannot be written to is not even opened: readers share memory through a file beside it.
    for (name, message) in [
        ("folder/chunks.sqlite", "its folder cannot be written to"),
        ("folder/other.sqlite", "unable to open database file"),
    ] {
        let path = folder.join(name);
        let error = named(&path, Store::create(&path));
        assert!(error.starts_with(message), "{error}");
    }
}
