//! What these tests share: stores, chunks with vectors, and exact answers computed apart from the code under test.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use tamis_core::{Chunk, Filter, Request};
use tamis_retrieve::{By, Error, Found, IndexReport, Opened, Store, VectorSource};
use tamis_runtime::{PolicyHandle, Runtime};
use tamis_tests::{document, example, patient, user};
use tempfile::TempDir;
use tracing_subscriber::util::SubscriberInitExt;

/// What the store logs about how it finds things, while something is done.
pub(crate) fn log_of(action: impl FnOnce()) -> String {
    let (mut logged, writer) = std::io::pipe().unwrap();
    let reading = std::thread::spawn(move || std::io::read_to_string(&mut logged).unwrap());
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG)
        .with_ansi(false)
        .with_writer(Arc::new(writer));
    let guard = subscriber.set_default();
    // While there is just one subscriber, a thread that has none and is the first to log something turns that off for all threads.
    drop(tracing_subscriber::registry().set_default());
    action();
    drop(guard);
    reading.join().unwrap()
}

/// A store in a folder of its own.
pub(crate) struct Database {
    pub(crate) store: Store,
    pub(crate) folder: TempDir,
}

impl Database {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::create(&folder.path().join("chunks.sqlite")).unwrap();
        Self { store, folder }
    }

    /// A store of `chunks`, all of which the admit gate lets pass.
    pub(crate) fn of(chunks: &[Chunk]) -> Self {
        let mut database = Self::new();
        let report = database.index(chunks);
        assert_eq!((report.stored, report.rejected), (chunks.len(), vec![]));
        database
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("chunks.sqlite")
    }

    /// Indexes `chunks` as the loader of the tenant `acme`.
    pub(crate) fn index(&mut self, chunks: &[Chunk]) -> IndexReport {
        tamis_retrieve::index(&mut self.store, clearance(), &loader("acme"), chunks.to_vec(), |_| {}).unwrap()
    }
}

/// The policy `clearance`, serving.
pub(crate) fn clearance() -> &'static PolicyHandle {
    static SERVING: LazyLock<PolicyHandle> = LazyLock::new(replaceable);
    &SERVING
}

/// The policy `clearance`, for a test that replaces it.
pub(crate) fn replaceable() -> PolicyHandle {
    // These tests are not about time, and share the machine with others.
    let limits = patient();
    PolicyHandle::new(&Runtime::shared().unwrap(), &example("clearance"), limits).unwrap()
}

/// Who may index for a tenant, and read nothing.
pub(crate) fn loader(tenant: &str) -> Request {
    user("loader", tenant, -1, &["indexer"])
}

/// A store that can express no filter at all: every chunk is a candidate, and the filter gate has all the work.
pub(crate) struct Wide<'a>(pub(crate) &'a Store);

impl VectorSource for Wide<'_> {
    fn open<'a>(&'a self, by: By<'a>, _: &Filter) -> Result<Opened<'a>, Error> {
        let opened = self.0.open(by, &Filter::Always)?;
        Ok(Opened { widened: vec!["everything".to_owned()], ..opened })
    }
}

/// `count` vectors of `dimensions` numbers, the same at every run.
pub(crate) fn vectors(count: usize, dimensions: usize) -> Vec<Vec<f32>> {
    tamis_tests::generate::sample(count, prop::collection::vec(-1.0..1.0_f32, dimensions))
}

/// A chunk of the tenant `acme` with a vector, as the policy `clearance` reads it.
pub(crate) fn placed(id: &str, level: i64, roles: &[&str], vector: &[f32]) -> Chunk {
    Chunk { vector: Some(vector.to_vec()), ..document(id, "acme", level, roles) }
}

/// The index of every chunk with its cosine distance from `vector`, nearest first, computed in 64 bits.
pub(crate) fn ranked(chunks: &[Chunk], vector: &[f32]) -> Vec<(usize, f64)> {
    let dot =
        |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum() };
    let distance = |stored: &[f32]| {
        1.0 - dot(stored, vector) / (dot(stored, stored).sqrt() * dot(vector, vector).sqrt())
    };
    let with_vector =
        chunks.iter().enumerate().filter_map(|(index, chunk)| Some((index, chunk.vector.as_ref()?)));
    let mut ranked: Vec<(usize, f64)> =
        with_vector.map(|(index, stored)| (index, distance(stored))).collect();
    ranked.sort_by(|a, b| a.1.total_cmp(&b.1));
    ranked
}

pub(crate) fn ids(found: &Found) -> Vec<&str> {
    found.hits.iter().map(|hit| hit.chunk.uid.id.as_str()).collect()
}
