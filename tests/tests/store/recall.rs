//! k means k: whatever share of the chunks is readable, wherever it lies, and however little the source can express.

use std::collections::BTreeSet;
use std::time::Instant;

use tamis_core::{Chunk, Filter, Request};
use tamis_retrieve::{By, Found, Question, Store, VectorSource, search};
use tamis_runtime::PolicyHandle;
use tamis_tests::user;

use crate::corpus::{Database, Wide, clearance, ids, log_of, placed, ranked, vectors};

/// More than the 4096 that sqlite-vec ranks at once, so that widening has to go on by other means.
const CHUNKS: usize = 6_000;
const DIMENSIONS: usize = 16;

/// Who asks, and the native answer to what they may read.
struct Reader {
    name: &'static str,
    clearance: i64,
    role: &'static str,
    readable: usize,
}

const READERS: &[Reader] = &[
    Reader { name: "100 %", clearance: 3, role: "staff", readable: 6_000 },
    Reader { name: "10 %", clearance: 2, role: "staff", readable: 600 },
    Reader { name: "1 %", clearance: 1, role: "staff", readable: 60 },
    Reader { name: "0.1 %", clearance: 0, role: "staff", readable: 6 },
    Reader { name: "the farthest 1 %", clearance: 3, role: "far", readable: 60 },
    Reader { name: "the farthest three", clearance: 3, role: "farthest", readable: 3 },
    Reader { name: "nothing", clearance: 3, role: "visitor", readable: 0 },
];

impl Reader {
    fn request(&self) -> Request {
        user("reader", "acme", self.clearance, &[self.role])
    }

    fn may_read(&self, chunk: &Chunk) -> bool {
        let roles = chunk.attributes["user_roles"].as_array().unwrap();
        chunk.attributes["access_level"].as_i64().unwrap() <= self.clearance
            && roles.iter().any(|role| role.as_str() == Some(self.role))
    }
}

/// Chunks of which one in ten, hundred and thousand has a lower level, and those far from `query` have roles of their own.
fn chunks(query: &[f32]) -> Vec<Chunk> {
    let mut chunks: Vec<Chunk> = vectors(CHUNKS, DIMENSIONS)
        .iter()
        .enumerate()
        .map(|(index, vector)| {
            let level = [1000, 100, 10].iter().position(|share| index % share == 0).unwrap_or(3);
            placed(&index.to_string(), i64::try_from(level).unwrap(), &["staff"], vector)
        })
        .collect();
    for (from_the_end, (index, _)) in ranked(&chunks, query).into_iter().rev().take(60).enumerate() {
        let vector = chunks[index].vector.clone().unwrap();
        let roles: &[&str] = if from_the_end < 3 { &["staff", "far", "farthest"] } else { &["staff", "far"] };
        let level = chunks[index].attributes["access_level"].as_i64().unwrap();
        chunks[index] = placed(&index.to_string(), level, roles, &vector);
    }
    chunks
}

#[test]
fn k_means_k_and_recall_is_one() {
    let query = &vectors(CHUNKS + 1, DIMENSIONS)[CHUNKS];
    let chunks = chunks(query);
    let database = Database::of(&chunks);
    let order = ranked(&chunks, query);
    let ask = Ask { handle: clearance(), chunks: &chunks, order: &order, query };
    let begun = Instant::now();
    for reader in READERS {
        assert_eq!(chunks.iter().filter(|chunk| reader.may_read(chunk)).count(), reader.readable);
        for k in [5, 50] {
            let hits = reader.readable.min(k);
            let exact = ask.check(&database.store, reader, k);
            assert!(exact.exact && exact.widened.is_empty());
            assert_eq!((exact.examined, exact.denied), (hits, 0), "{}, k {k}", reader.name);

            let wide = ask.check(&Wide(&database.store), reader, k);
            assert!(!wide.exact);
            assert_eq!(wide.widened, ["everything"]);
            assert_eq!(wide.examined, ask.reach(reader, k), "{}, k {k}", reader.name);
            assert_eq!(wide.denied, wide.examined - hits);
        }
    }
    println!("{} searches in {:?}", READERS.len() * 4, begun.elapsed());
}

struct Ask<'a> {
    handle: &'a PolicyHandle,
    chunks: &'a [Chunk],
    order: &'a [(usize, f64)],
    query: &'a [f32],
}

impl Ask<'_> {
    /// Searches, and asserts that the hits are the nearest chunks that `reader` may read, in order.
    fn check(&self, source: &impl VectorSource, reader: &Reader, k: usize) -> Found {
        let request = reader.request();
        let question = Question::new(&request, By::Vector(self.query), u32::try_from(k).unwrap());
        let found = search(source, self.handle, &question).unwrap();
        assert!(found.complete, "{}, k {k}", reader.name);
        let expected: Vec<(usize, f64)> = self
            .order
            .iter()
            .copied()
            .filter(|(index, _)| reader.may_read(&self.chunks[*index]))
            .take(k)
            .collect();
        let nearest: BTreeSet<&str> =
            expected.iter().map(|(index, _)| self.chunks[*index].uid.id.as_str()).collect();
        assert_eq!(ids(&found).into_iter().collect::<BTreeSet<_>>(), nearest, "{}, k {k}", reader.name);
        assert_eq!(found.hits.len(), reader.readable.min(k));
        for (hit, (_, distance)) in found.hits.iter().zip(expected) {
            assert!((hit.distance - distance).abs() < 1e-5, "{} is not {distance}", hit.distance);
            assert!(hit.decision.allow);
        }
        assert!(found.hits.is_sorted_by(|a, b| a.distance <= b.distance));
        found
    }

    /// How many chunks must be looked at, nearest first, to see `k` readable ones: all, if there are not so many.
    fn reach(&self, reader: &Reader, k: usize) -> usize {
        let readable =
            self.order.iter().enumerate().filter(|(_, (index, _))| reader.may_read(&self.chunks[*index]));
        readable.map(|(place, _)| place + 1).nth(k - 1).unwrap_or(self.order.len())
    }
}

#[test]
fn beyond_what_sqlite_vec_ranks_at_once() {
    let vectors = vectors(5_000, 4);
    let chunks: Vec<Chunk> = (0..)
        .zip(&vectors)
        .map(|(index, vector): (i32, _)| placed(&index.to_string(), 0, &["staff"], vector))
        .collect();
    let database = Database::of(&chunks);
    let everyone = user("reader", "acme", 0, &["staff"]);
    let check = |source: &dyn Fn(&Question<'_>) -> Found| {
        let found = source(&Question::new(&everyone, By::Vector(&vectors[0]), 4_500));
        assert_eq!((found.hits.len(), found.examined, found.denied, found.complete), (4_500, 4_500, 0, true));
        assert_eq!(ids(&found).into_iter().collect::<BTreeSet<_>>().len(), 4_500);
        for (hit, (_, distance)) in found.hits.iter().zip(ranked(&chunks, &vectors[0])) {
            assert!((hit.distance - distance).abs() < 1e-5);
        }
    };
    let handle = clearance();
    let store: &Store = &database.store;
    check(&|question| search(store, handle, question).unwrap());
    check(&|question| search(&Wide(store), handle, question).unwrap());
}

#[test]
fn pages_rank_little_more_than_the_whole() {
    let mut database = Database::new();
    let mut transaction = database.store.begin().unwrap();
    for (index, vector) in vectors(20_000, 4).into_iter().enumerate() {
        let text = Some(format!("word {}", index % 100));
        transaction.put(&Chunk { vector: Some(vector), text, ..Chunk::new(index.to_string()) }).unwrap();
    }
    transaction.commit().unwrap();
    for by in [By::Vector(&[1.0, 2.0, 3.0, 4.0]), By::Text("word")] {
        let log = log_of(|| {
            let mut candidates = database.store.open(by, &Filter::Always).unwrap().candidates;
            let pages = std::iter::from_fn(|| Some(candidates.next_page(1_024).unwrap().len()));
            assert_eq!(pages.take_while(|length| *length > 0).sum::<usize>(), 20_000);
        });
        let ranked = log
            .split("ranked=")
            .skip(1)
            .map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse::<usize>().unwrap());
        // To rank all of them again for each of the twenty pages would be 400 000.
        let ranked: usize = ranked.sum();
        assert!((20_000..=40_000).contains(&ranked), "{by:?}: {ranked}");
    }
}
