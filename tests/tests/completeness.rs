//! What a search finds of 50 000 chunks, from a group that may read all of them to one that may read one in ten thousand: in the embedded
//! store and in PostgreSQL, compared with distances that are computed here.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failure here is a failure of the test"
)]

use tamis_core::Chunk;
use tamis_retrieve::{By, PostgresSource, PostgresTable, Question, Store, VectorSource, search};
use tamis_runtime::PolicyHandle;
use tamis_tests::engines::Server;
use tamis_tests::readability::{self, GROUPS, Group};

const CHUNKS: u64 = 50_000;
const K: usize = 10;
/// Questions of each group.
const QUESTIONS: u64 = 6;

struct Collection {
    chunks: Vec<Chunk>,
    handle: PolicyHandle,
}

impl Collection {
    /// The nearest chunks that a group may read, best first.
    fn nearest(&self, group: Group, question: &[f32]) -> Vec<&str> {
        let readable = self.chunks.iter().filter(|chunk| {
            let readers = chunk.attributes["readers"].as_array().unwrap();
            readers.iter().any(|reader| reader == group.name)
        });
        let mut ranked: Vec<(f64, &str)> = readable
            .map(|chunk| (distance(chunk.vector.as_ref().unwrap(), question), chunk.uid.id.as_str()))
            .collect();
        ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
        ranked.into_iter().take(K).map(|(_, id)| id).collect()
    }

    /// Asks every group's questions; the recall of all together must be this. Of one group it may be less: an approximate index is built with
    /// chance, and one chunk of sixty is much.
    fn check(&self, source: &impl VectorSource, least: f64) {
        let (mut all_right, mut all_wanted) = (0, 0);
        for group in GROUPS {
            let (mut right, mut wanted) = (0, 0);
            for number in 0..QUESTIONS {
                let (request, vector) = (group.request(), readability::question(number));
                let question = Question::new(&request, By::Vector(&vector), u32::try_from(K).unwrap());
                let found = search(source, &self.handle, &question).unwrap();
                let nearest = self.nearest(group, &vector);
                assert!(found.complete && found.exact, "{group:?}: {:?}", found.widened);
                assert_eq!(found.hits.len(), nearest.len(), "{group:?}");
                assert!(found.hits.is_sorted_by(|a, b| a.distance <= b.distance), "{group:?}");
                wanted += nearest.len();
                right += found.hits.iter().filter(|hit| nearest.contains(&hit.chunk.uid.id.as_str())).count();
            }
            let recall = right as f64 / wanted as f64;
            println!("{}: recall {recall:.3}", group.share);
            assert!(wanted > 0 && recall >= least - 0.04, "{group:?}: {recall}");
            (all_right, all_wanted) = (all_right + right, all_wanted + wanted);
        }
        let recall = all_right as f64 / all_wanted as f64;
        assert!(recall >= least, "{recall}");
    }
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    1.0 - dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn who_may_read_little_finds_it() {
    let chunks: Vec<Chunk> = (0..CHUNKS).map(readability::chunk).collect();
    let collection = Collection { chunks, handle: readability::handle() };

    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::create(&folder.path().join("chunks.sqlite")).unwrap();
    readability::fill_store(&mut store, &collection.chunks);
    collection.check(&store, 1.0);

    let server = Server::postgres();
    let mut client = readability::connect(&server);
    readability::fill_table(&mut client, &collection.chunks);
    readability::index_table(&mut client);
    let source = || PostgresSource::new(readability::connect(&server), PostgresTable::default()).unwrap();
    collection.check(&source(), 0.99);
    // As many lists as pgvector's documentation advises for so many rows.
    let lists = CHUNKS / 1000;
    client
        .batch_execute(&format!(
            "DROP INDEX chunks_embedding_idx;
             CREATE INDEX ON chunks USING ivfflat (embedding vector_cosine_ops) WITH (lists = {lists})",
        ))
        .unwrap();
    collection.check(&source(), 0.99);
}
