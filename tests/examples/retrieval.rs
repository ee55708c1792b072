//! Measures what searches find and how long they take, from a group that may read all chunks to one that may read next to none: through
//! Tamis, and by each strategy that one can write by hand for the same database.
//!
//! ```text
//! cargo run --release -p tamis-tests --example retrieval -- --chunks 50000
//! ```

use std::time::{Duration, Instant};

use clap::Parser;
use tamis_core::{Chunk, Request};
use tamis_retrieve::{By, PostgresSource, PostgresTable, Question, Store, VectorSource, search};
use tamis_runtime::PolicyHandle;
use tamis_tests::engines::Server;
use tamis_tests::readability::{self, GROUPS, Group};

const K: u32 = 10;

/// Measures searches: recall of the best ten, and median latency.
#[derive(Parser)]
struct Options {
    /// How many chunks there are.
    #[arg(long, default_value_t = 50_000)]
    chunks: u64,
    /// How many questions are asked by each group.
    #[arg(long, default_value_t = 40)]
    questions: u64,
}

/// What a strategy does with one question: the ids of what it finds.
type Strategy<'a> = Box<dyn FnMut(&Asked) -> Vec<String> + 'a>;

struct Asked {
    group: Group,
    request: Request,
    vector: Vec<f32>,
}

impl Asked {
    fn text(&self) -> String {
        serde_json::to_string(&self.vector).unwrap()
    }
}

fn main() {
    let options = Options::parse();
    eprintln!("filling two databases with {} chunks", options.chunks);
    let chunks: Vec<Chunk> = (0..options.chunks).map(readability::chunk).collect();
    let server = Server::postgres();
    let mut client = readability::connect(&server);
    readability::fill_table(&mut client, &chunks);
    client
        .batch_execute(
            "SET maintenance_work_mem = '1GB';
             CREATE INDEX ON chunks USING hnsw (embedding vector_cosine_ops);
             CREATE INDEX ON chunks USING gin (attributes jsonb_path_ops);
             ANALYZE chunks",
        )
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::create(&folder.path().join("chunks.sqlite")).unwrap();
    readability::fill_store(&mut store, &chunks);
    let handle = readability::handle();

    println!("### PostgreSQL with pgvector\n");
    let source = PostgresSource::new(readability::connect(&server), PostgresTable::default()).unwrap();
    let mut strategies: Vec<(String, Strategy<'_>)> = vec![
        ("**tamis**".to_owned(), through(&source, &handle)),
        ("exact over the matches".to_owned(), exact(&server)),
    ];
    for reach in [40, 100, 200, 400] {
        strategies.push((format!("iterative scan, ef_search {reach}"), iterative(&server, reach)));
    }
    strategies.push(("post-filter of 4k".to_owned(), post_filter(&server)));
    table(&options, &mut strategies, &mut exact(&server));

    println!("\n### The embedded store\n");
    let mut strategies: Vec<(String, Strategy<'_>)> =
        vec![("**tamis**".to_owned(), through(&store, &handle))];
    table(&options, &mut strategies, &mut exact(&server));
}

fn table(options: &Options, strategies: &mut [(String, Strategy<'_>)], truth: &mut Strategy<'_>) {
    let names: Vec<&str> = strategies.iter().map(|(name, _)| name.as_str()).collect();
    println!("| readable | {} |\n|---|{}", names.join(" | "), "---:|".repeat(names.len()));
    for group in GROUPS {
        let asked: Vec<Asked> = (0..options.questions)
            .map(|number| Asked { group, request: group.request(), vector: readability::question(number) })
            .collect();
        let right: Vec<Vec<String>> = asked.iter().map(&mut *truth).collect();
        let mut row = format!("| {} |", group.share);
        for (_, strategy) in &mut *strategies {
            let (mut found, mut wanted, mut times) = (0, 0, Vec::new());
            for (asked, right) in asked.iter().zip(&right) {
                let start = Instant::now();
                let ids = strategy(asked);
                times.push(start.elapsed());
                wanted += right.len();
                found += right.iter().filter(|id| ids.contains(id)).count();
            }
            row += &format!(" {:.3}, {} |", found as f64 / wanted.max(1) as f64, median(&mut times));
        }
        println!("{row}");
    }
}

fn median(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let middle = times.get(times.len() / 2).copied().unwrap_or_default();
    format!("{:.2} ms", middle.as_secs_f64() * 1e3)
}

fn through<'a>(source: &'a impl VectorSource, handle: &'a PolicyHandle) -> Strategy<'a> {
    Box::new(move |asked| {
        let question = Question::new(&asked.request, By::Vector(&asked.vector), K);
        let found = search(source, handle, &question).unwrap();
        found.hits.into_iter().map(|hit| hit.chunk.uid.id).collect()
    })
}

/// The condition that a person would write.
const CONDITION: &str = "attributes @> jsonb_build_object('readers', jsonb_build_array($1::text))";

fn exact(server: &Server) -> Strategy<'static> {
    by_hand(
        server,
        "",
        &format!(
            "WITH candidates AS MATERIALIZED
                 (SELECT chunk_id, attributes, text, embedding <=> $2::text::vector AS distance FROM chunks WHERE {CONDITION})
             SELECT chunk_id, attributes::text, text FROM candidates ORDER BY distance LIMIT 10"
        ),
    )
}

fn iterative(server: &Server, reach: u32) -> Strategy<'static> {
    by_hand(
        server,
        &format!("SET hnsw.iterative_scan = relaxed_order; SET hnsw.ef_search = {reach}"),
        &format!(
            "SELECT chunk_id, attributes::text, text FROM chunks WHERE {CONDITION}
             ORDER BY embedding <=> $2::text::vector LIMIT 10"
        ),
    )
}

/// The nearest forty of all, less what may not be read.
fn post_filter(server: &Server) -> Strategy<'static> {
    by_hand(
        server,
        "",
        &format!(
            "WITH candidates AS MATERIALIZED
                 (SELECT chunk_id, attributes, text FROM chunks ORDER BY embedding <=> $2::text::vector LIMIT 40)
             SELECT chunk_id, attributes::text, text FROM candidates WHERE {CONDITION} LIMIT 10"
        ),
    )
}

/// A prepared statement for the group and the vector.
fn by_hand(server: &Server, settings: &str, sql: &str) -> Strategy<'static> {
    let mut client = readability::connect(server);
    client.batch_execute("SET plan_cache_mode = force_custom_plan").unwrap();
    client.batch_execute(settings).unwrap();
    let statement = client.prepare(sql).unwrap();
    Box::new(move |asked| {
        let rows = client.query(&statement, &[&asked.group.name, &asked.text()]).unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    })
}
