//! The compile cache: what it holds is used without compiling, and only if this user stored it and nobody touched it.

mod privacy;
mod tampering;
mod writers;

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tamis_core::{Chunk, EntityUid, Request};
use tamis_runtime::{Cache, Digest, Limits, Policy, Runtime, RuntimeConfig};
use tamis_tests::hostile::Module;
use tamis_tests::hostile::abi::texts;
use tamis_tests::hostile::answers::Decision;
use tempfile::TempDir;
use tracing_subscriber::util::SubscriberInitExt;

/// A policy that names itself in every decision.
fn policy(name: &str) -> Vec<u8> {
    Module { decision: Decision { reasons: texts(&[name]), ..Decision::allow() }, ..Module::good() }
        .component()
}

/// A runtime that keeps compiled policies in `folder`.
fn runtime(folder: &Path) -> Runtime {
    Runtime::new(RuntimeConfig { cache: Some(Cache::open(folder).unwrap()), ..RuntimeConfig::default() })
        .unwrap()
}

/// Loads a policy. Which one it is, by its own account, and what was logged of it.
fn load(runtime: &Runtime, bytes: &[u8]) -> (String, String) {
    load_within(runtime, bytes, &Limits { deadline: Duration::from_secs(60), ..Limits::default() })
}

fn load_within(runtime: &Runtime, bytes: &[u8], limits: &Limits) -> (String, String) {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let name = {
        let _subscribed = subscriber.set_default();
        let policy = Policy::load(runtime, bytes, limits).unwrap();
        assert_eq!(policy.digest(), Digest::of(bytes));
        let anyone = Request::new(EntityUid::new("User", "anyone"), "retrieve");
        let decisions = policy.filter(&anyone, &[Chunk::new("c")]).unwrap();
        decisions[0].reasons.first().unwrap().clone()
    };
    (name, log.text())
}

/// As [`load`], by an engine whose code counts instructions.
fn with_fuel(folder: &Path) -> impl Fn(&[u8]) -> (String, String) {
    let cache = Some(Cache::open(folder).unwrap());
    let runtime = Runtime::new(RuntimeConfig { fuel: true, cache }).unwrap();
    let limits = Limits { deadline: Duration::from_secs(60), fuel: Some(1 << 30), ..Limits::default() };
    move |bytes| load_within(&runtime, bytes, &limits)
}

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// A folder of compiled policies, and a runtime that uses it.
struct Folder {
    runtime: Runtime,
    path: PathBuf,
    base: TempDir,
}

impl Folder {
    fn new() -> Self {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("cache");
        Self { runtime: runtime(&path), path, base }
    }

    /// Loads a policy into the cache and says in which file it is.
    fn store(&self, bytes: &[u8]) -> PathBuf {
        load(&self.runtime, bytes);
        let digest = Digest::of(bytes).to_string();
        let digest = digest.strip_prefix("sha256:").unwrap();
        let of_this = |file: &PathBuf| file.file_name().unwrap().to_str().unwrap().starts_with(digest);
        files(&self.path).into_iter().find(of_this).unwrap()
    }

    /// A file that this cache could have written, and with which it takes the policy `into` for `from`.
    ///
    /// Whoever can put it in place decides what runs. It shows whether a file is used at all.
    fn forge(&self, from: &[u8], into: &[u8]) -> Vec<u8> {
        let (from, into) = (fs::read(self.store(from)).unwrap(), fs::read(self.store(into)).unwrap());
        [&into[..tampering::CODE_HASH], &from[tampering::CODE_HASH..]].concat()
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Whether a file is still the one that it was.
fn identity(file: &Path) -> (u64, i64, i64) {
    let metadata = fs::symlink_metadata(file).unwrap();
    (metadata.ino(), metadata.mtime(), metadata.mtime_nsec())
}

fn as_loaded(name: &str) -> (String, String) {
    (name.to_owned(), String::new())
}

#[test]
fn a_policy_is_compiled_once() {
    let folder = Folder::new();
    let bytes = policy("once");
    assert_eq!(load(&folder.runtime, &bytes), as_loaded("once"));
    let [file] = &files(&folder.path)[..] else { unreachable!("{:?}", files(&folder.path)) };
    assert_eq!(fs::metadata(file).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(fs::metadata(&folder.path).unwrap().mode() & 0o7777, 0o700);

    // Whatever is compiled is stored, as another file. So nothing is compiled again, not even by another engine.
    let stored = identity(file);
    for runtime in [folder.runtime.clone(), runtime(&folder.path)] {
        assert_eq!(load(&runtime, &bytes), as_loaded("once"));
        assert_eq!(files(&folder.path), std::slice::from_ref(file));
        assert_eq!(identity(file), stored);
    }
}

#[test]
fn what_is_cached_is_what_runs() {
    let folder = Folder::new();
    let [good, other] = [policy("good"), policy("other")];
    let forged = folder.forge(&other, &good);
    fs::write(folder.store(&good), forged).unwrap();
    // Nothing but the folder and the file being private keeps this from happening: see the tests of that.
    assert_eq!(load(&folder.runtime, &good), as_loaded("other"));
}

#[test]
fn each_policy_has_its_file() {
    let folder = Folder::new();
    let names: Vec<String> = (0..5).map(|number| format!("policy-{number}")).collect();
    for _ in 0..2 {
        for name in &names {
            assert_eq!(load(&folder.runtime, &policy(name)), as_loaded(name));
        }
        assert_eq!(files(&folder.path).len(), names.len());
    }
}

#[test]
fn each_kind_of_engine_has_its_file() {
    let folder = Folder::new();
    let bytes = policy("both");
    let with_fuel = with_fuel(&folder.path);
    let first = folder.store(&bytes);
    assert_eq!(with_fuel(&bytes), as_loaded("both"));
    let both = files(&folder.path);
    assert!(both.len() == 2 && both.contains(&first), "{both:?}");

    let stored: Vec<_> = both.iter().map(|file| identity(file)).collect();
    assert_eq!(load(&folder.runtime, &bytes), as_loaded("both"));
    assert_eq!(with_fuel(&bytes), as_loaded("both"));
    assert_eq!(files(&folder.path).iter().map(|file| identity(file)).collect::<Vec<_>>(), stored);
}
