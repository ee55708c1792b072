//! A watched file: whatever way it changes, the new policy is soon enforced, and what is no good never is.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant, SystemTime};

use tamis_runtime::{Digest, Error, PolicyHandle, Runtime, SelfTest, Watch};
use tamis_tests::example;
use tempfile::TempDir;

use super::{bob, chunks, decider, handle, patient, policy};

/// Generous, since nothing here is about speed; what was measured is printed.
const LIMIT: Duration = Duration::from_secs(10);

/// Waits until `done`, and says how long that took.
#[track_caller]
fn soon(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
        std::thread::sleep(Duration::from_micros(500));
    }
    println!("{what}: {:.1} ms", begun.elapsed().as_secs_f64() * 1e3);
}

fn serving(handle: &PolicyHandle) -> u64 {
    decider(&handle.filter(&bob(), &chunks(1)).unwrap().value)
}

/// A folder with a policy file that is watched.
struct Watched {
    path: PathBuf,
    handle: Arc<PolicyHandle>,
    watch: Watch,
    folder: TempDir,
}

impl Watched {
    /// Policy 1 serves and lies in the file.
    fn new() -> Self {
        Self::laid_out(|folder| {
            fs::write(folder.join("policy.wasm"), policy(1)).unwrap();
            folder.join("policy.wasm")
        })
    }

    /// Policy 1 serves; `lay_out` puts it into a folder and says where to look for it.
    fn laid_out(lay_out: impl FnOnce(&Path) -> PathBuf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = lay_out(folder.path());
        let handle = Arc::new(handle(1));
        // An error of its own shows when the first look, which ends it, is over.
        let before = handle.replace(b"not looked yet").unwrap_err();
        let watch = handle.watch(&path).unwrap();
        soon("first look", || handle.last_error().is_none_or(|error| *error != before));
        Self { path, handle, watch, folder }
    }

    /// A file beside the watched one.
    fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    #[track_caller]
    fn soon_serves(&self, what: &str, number: u64) {
        soon(what, || serving(&self.handle) == number && self.handle.last_error().is_none());
    }

    #[track_caller]
    fn soon_reports(&self, what: &str, kind: &str) {
        soon(what, || self.handle.last_error().is_some_and(|error| error.kind() == kind));
    }

    fn generation(&self) -> u64 {
        self.handle.current().number()
    }
}

#[test]
fn overwritten_in_place() {
    let watched = Watched::new();
    fs::write(&watched.path, policy(2)).unwrap();
    watched.soon_serves("overwritten in place", 2);
    assert_eq!(watched.generation(), 2);
}

#[test]
fn replaced_by_renaming() {
    let watched = Watched::new();
    for number in 2..5 {
        let aside = watched.beside("policy.wasm.new");
        fs::write(&aside, policy(number)).unwrap();
        fs::rename(&aside, &watched.path).unwrap();
        watched.soon_serves("replaced by renaming", number);
        assert_eq!(watched.generation(), number);
    }
}

#[test]
fn written_in_two_steps_with_a_pause() {
    let watched = Watched::new();
    let bytes = policy(2);
    let (begin, end) = bytes.split_at(bytes.len() / 2);
    let mut file = File::create(&watched.path).unwrap();
    file.write_all(begin).unwrap();
    // However long the pause: half a file is refused like any garbage.
    watched.soon_reports("half written", "artifact");
    assert_eq!(serving(&watched.handle), 1);
    file.write_all(end).unwrap();
    drop(file);
    watched.soon_serves("written whole", 2);
    assert_eq!(watched.generation(), 2);
}

/// The other tests use policies of a few lines.
#[test]
fn replaced_by_a_policy_of_a_real_size() {
    let watched = Watched::new();
    for name in ["clearance", "data-source", "company"] {
        let bytes = example(name);
        fs::write(&watched.path, &bytes).unwrap();
        let what = format!("{name}, {} bytes", bytes.len());
        soon(&what, || watched.handle.current().policy().digest() == Digest::of(&bytes));
    }
    assert_eq!((watched.generation(), watched.handle.last_error()), (4, None));
}

#[test]
fn replaced_by_garbage_and_then_by_a_good_one() {
    let watched = Watched::new();
    fs::write(&watched.path, "garbage").unwrap();
    watched.soon_reports("replaced by garbage", "artifact");
    assert_eq!((serving(&watched.handle), watched.generation()), (1, 1));

    fs::write(&watched.path, policy(2)).unwrap();
    watched.soon_serves("replaced by a good one", 2);

    // Going back to what serves is no change, but the complaint is over.
    fs::write(&watched.path, "garbage").unwrap();
    watched.soon_reports("replaced by garbage", "artifact");
    fs::write(&watched.path, policy(2)).unwrap();
    watched.soon_serves("restored", 2);
    assert_eq!(watched.generation(), 2);
}

#[test]
fn deleted_and_created_again() {
    let watched = Watched::new();
    fs::remove_file(&watched.path).unwrap();
    watched.soon_reports("deleted", "host");
    assert_eq!((serving(&watched.handle), watched.generation()), (1, 1));
    let error = watched.handle.last_error().unwrap().to_string();
    assert!(error.contains(&format!("cannot read {}", watched.path.display())), "{error}");

    fs::write(&watched.path, policy(2)).unwrap();
    watched.soon_serves("created again", 2);
}

#[test]
fn absent_at_first() {
    let watched = Watched::laid_out(|folder| folder.join("policy.wasm"));
    assert_eq!(watched.handle.last_error().unwrap().kind(), "host");
    assert_eq!(serving(&watched.handle), 1);
    fs::write(&watched.path, policy(2)).unwrap();
    watched.soon_serves("created", 2);
}

#[test]
fn changed_before_it_was_watched() {
    let watched = Watched::laid_out(|folder| {
        fs::write(folder.join("policy.wasm"), policy(2)).unwrap();
        folder.join("policy.wasm")
    });
    watched.soon_serves("changed before", 2);
}

#[test]
fn touched_without_a_change() {
    let watched = Watched::new();
    // An error whose disappearance shows that the file was read again.
    watched.handle.replace(b"garbage").unwrap_err();
    File::options().append(true).open(&watched.path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    watched.soon_serves("touched", 1);
    assert_eq!(watched.generation(), 1);
}

#[test]
fn changed_many_times_at_once() {
    let watched = Watched::new();
    for number in 2..40 {
        let aside = watched.beside("policy.wasm.new");
        fs::write(&aside, policy(number)).unwrap();
        fs::rename(&aside, &watched.path).unwrap();
    }
    watched.soon_serves("the last of 38 changes", 39);
}

#[test]
fn a_link_whose_target_changes() {
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("target.wasm");
    let watched = Watched::laid_out(|folder| {
        fs::write(&target, policy(1)).unwrap();
        symlink(&target, folder.join("policy.wasm")).unwrap();
        folder.join("policy.wasm")
    });
    fs::write(&target, policy(2)).unwrap();
    watched.soon_serves("target overwritten", 2);

    let aside = elsewhere.path().join("new.wasm");
    fs::write(&aside, policy(3)).unwrap();
    fs::rename(&aside, &target).unwrap();
    watched.soon_serves("target renamed", 3);

    let other = elsewhere.path().join("other.wasm");
    fs::write(&other, policy(4)).unwrap();
    symlink(&other, watched.beside("link.new")).unwrap();
    fs::rename(watched.beside("link.new"), &watched.path).unwrap();
    watched.soon_serves("link to another target", 4);
}

/// As Kubernetes mounts a ConfigMap: the file links through a folder that is a link, and only that one is replaced.
#[test]
fn a_link_through_a_folder_that_is_a_link() {
    let version = |folder: &Path, number| {
        let version = folder.join(format!("version-{number}"));
        fs::create_dir(&version).unwrap();
        fs::write(version.join("policy.wasm"), policy(number)).unwrap();
        symlink(&version, folder.join("data.new")).unwrap();
        fs::rename(folder.join("data.new"), folder.join("data")).unwrap();
    };
    let watched = Watched::laid_out(|folder| {
        version(folder, 1);
        symlink("data/policy.wasm", folder.join("policy.wasm")).unwrap();
        folder.join("policy.wasm")
    });
    version(watched.folder.path(), 2);
    watched.soon_serves("linked folder replaced", 2);
    fs::remove_dir_all(watched.beside("version-1")).unwrap();
    version(watched.folder.path(), 3);
    watched.soon_serves("linked folder replaced again", 3);
}

#[test]
fn a_folder_that_is_replaced() {
    let watched = Watched::laid_out(|folder| {
        fs::create_dir(folder.join("policies")).unwrap();
        fs::write(folder.join("policies/policy.wasm"), policy(1)).unwrap();
        folder.join("policies/policy.wasm")
    });
    for number in 2..4 {
        fs::create_dir(watched.beside("new")).unwrap();
        fs::write(watched.beside("new/policy.wasm"), policy(number)).unwrap();
        fs::rename(watched.beside("policies"), watched.beside(&format!("old-{number}"))).unwrap();
        fs::rename(watched.beside("new"), watched.beside("policies")).unwrap();
        watched.soon_serves("folder replaced", number);
    }
    fs::write(&watched.path, policy(4)).unwrap();
    watched.soon_serves("overwritten in the new folder", 4);
}

#[test]
fn a_file_that_is_far_too_large() {
    let watched = Watched::new();
    // All holes: it occupies no disk, and must not occupy memory either.
    File::create(&watched.path).unwrap().set_len(1 << 34).unwrap();
    watched.soon_reports("too large", "artifact");
    let error = watched.handle.last_error().unwrap().to_string();
    assert!(error.contains("at most 16777216"), "{error}");
    fs::write(&watched.path, policy(2)).unwrap();
    watched.soon_serves("small again", 2);
}

#[test]
fn a_self_test_that_panics_ends_no_watch() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.wasm");
    fs::write(&path, policy(1)).unwrap();
    let test: SelfTest = Arc::new(|candidate| {
        assert_ne!(decider(&candidate.filter(&bob(), &chunks(1)).unwrap()), 2, "2 is no good");
        Ok(())
    });
    let runtime = Runtime::shared().unwrap();
    let handle = PolicyHandle::with_self_test(&runtime, &policy(1), patient(), Some(test)).unwrap();
    let handle = Arc::new(handle);
    let _watch = handle.watch(&path).unwrap();
    fs::write(&path, policy(2)).unwrap();
    soon("refused", || handle.last_error().is_some_and(|error| error.kind() == "self-test"));
    fs::write(&path, policy(3)).unwrap();
    soon("enforced", || serving(&handle) == 3);
}

#[test]
fn a_preparation_that_panics_ends_no_watch() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.wasm");
    fs::write(&path, policy(1)).unwrap();
    let handle = Arc::new(handle(1));
    let prepare = |bytes| {
        assert_ne!(bytes, policy(2), "2 is no good");
        Ok(bytes)
    };
    let _watch = handle.watch_with(&path, prepare).unwrap();
    fs::write(&path, policy(2)).unwrap();
    soon("refused", || handle.last_error().is_some_and(|error| error.to_string().contains("2 is no good")));
    assert_eq!(serving(&handle), 1);
    fs::write(&path, policy(3)).unwrap();
    soon("enforced", || serving(&handle) == 3);
}

/// Half a component is none, but half a text may be a policy of its own.
#[test]
fn a_text_is_read_once_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.txt");
    fs::write(&path, "1").unwrap();
    let handle = Arc::new(handle(1));
    let (sender, read) = channel();
    let prepare = move |bytes: Vec<u8>| {
        let text = String::from_utf8(bytes).unwrap();
        sender.send(text.clone()).unwrap();
        Ok(policy(text.parse().unwrap()))
    };
    let _watch = handle.watch_with(&path, prepare).unwrap();
    assert_eq!(read.recv_timeout(LIMIT).unwrap(), "1");
    let mut file = File::create(&path).unwrap();
    for digit in ["2", "3", "4"] {
        // Longer than a file has to lie still, and no second in all.
        std::thread::sleep(Duration::from_millis(30));
        file.write_all(digit.as_bytes()).unwrap();
    }
    drop(file);
    soon("written whole", || serving(&handle) == 234);
    assert_eq!(read.try_iter().collect::<Vec<_>>(), ["234"]);
}

#[test]
fn a_pipe_in_place_of_the_file() {
    let watched = Watched::new();
    fs::remove_file(&watched.path).unwrap();
    assert!(Command::new("mkfifo").arg(&watched.path).status().unwrap().success());
    soon("a pipe", || {
        watched.handle.last_error().is_some_and(|error| error.to_string().contains("not a file"))
    });
    let aside = watched.beside("policy.wasm.new");
    fs::write(&aside, policy(2)).unwrap();
    fs::rename(&aside, &watched.path).unwrap();
    watched.soon_serves("a file again", 2);
}

#[test]
fn a_file_that_never_lies_still() {
    let watched = Watched::new();
    fs::write(&watched.path, policy(2)).unwrap();
    let file = File::options().append(true).open(&watched.path).unwrap();
    let (begun, mut touched) = (Instant::now(), 0_u32);
    while serving(&watched.handle) != 2 {
        assert!(begun.elapsed() < LIMIT, "touched {touched} times");
        // Twenty times between two looks at what serves.
        for _ in 0..20 {
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(touched.into())).unwrap();
            touched += 1;
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

#[test]
fn a_dropped_watch_reloads_nothing() {
    let watched = Watched::new();
    let observer = Arc::new(handle(1));
    let _observing = observer.watch(&watched.path).unwrap();
    fs::write(&watched.path, policy(2)).unwrap();
    watched.soon_serves("watched", 2);

    let Watched { path, handle, watch, folder: _folder } = watched;
    drop(watch);
    assert_eq!(Arc::strong_count(&handle), 1, "its thread is gone");
    for number in 3..6 {
        fs::write(&path, policy(number)).unwrap();
        // By then the dropped watch would have seen it as well.
        soon("another watch", || serving(&observer) == number);
        assert_eq!(serving(&handle), 2);
    }
    // Watched again, it catches up.
    let _watch = handle.watch(&path).unwrap();
    soon("watched again", || serving(&handle) == 5);
}

#[test]
fn what_cannot_be_watched_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing/policy.wasm");
    let handle = Arc::new(handle(1));
    for (path, reason) in [
        (missing.as_path(), "its folder does not exist"),
        (Path::new("/"), "it is no file"),
        (Path::new("/tmp/.."), "it is no file"),
    ] {
        let error = handle.watch(path).unwrap_err();
        assert!(matches!(&error, Error::Host(_)));
        let wanted = format!("cannot watch {}: {reason}", path.display());
        assert!(error.to_string().contains(&wanted), "{error}");
    }
    assert_eq!(handle.last_error(), None, "nothing was tried");
    assert_eq!(Arc::strong_count(&handle), 1, "no thread is left");
}
