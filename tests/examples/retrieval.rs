//! Measures what searches find and how long they take, from a group that may read all chunks to one that may read next to none: through
//! Tamis, and by each strategy that one can write by hand for the same database.
//!
//! ```text
//! cargo run --release -p tamis-tests --example retrieval -- --chunks 50000
//! ```

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use rusqlite::{Connection, ToSql, params};
use serde_json::{Value as Json, json};
use tamis_core::{Chunk, Request};
use tamis_retrieve::{By, PostgresSource, PostgresTable, Question, Store, VectorSource, search};
use tamis_runtime::PolicyHandle;
use tamis_tests::engines::{Server, python_with};
use tamis_tests::readability::{self, DIMENSIONS, GROUPS, Group};
use tamis_tests::root;

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
    /// Measures the embedded store alone.
    #[arg(long)]
    store: bool,
}

/// What a strategy does with one question: the ids of what it finds, and how long that took.
type Strategy<'a> = Box<dyn FnMut(&Asked) -> (Vec<String>, Duration) + 'a>;

fn timed(ask: impl FnOnce() -> Vec<String>) -> (Vec<String>, Duration) {
    let start = Instant::now();
    let ids = ask();
    (ids, start.elapsed())
}

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
    let chunks: Vec<Chunk> = (0..options.chunks).map(readability::chunk).collect();
    let handle = readability::handle();
    if !options.store {
        postgres(&options, &chunks, &handle);
    }
    embedded(&options, &chunks, &handle);
}

fn postgres(options: &Options, chunks: &[Chunk], handle: &PolicyHandle) {
    eprintln!("filling PostgreSQL with {} chunks", options.chunks);
    let server = Server::postgres();
    let mut client = readability::connect(&server);
    readability::fill_table(&mut client, chunks);
    readability::index_table(&mut client);
    println!("### Searches: PostgreSQL with pgvector\n");
    println!(
        "Recall of the best ten, and the median time; {} chunks with {DIMENSIONS} dimensions.\n",
        options.chunks
    );
    let source = PostgresSource::new(readability::connect(&server), PostgresTable::default()).unwrap();
    let mut strategies: Vec<(String, Strategy<'_>)> = vec![
        ("**tamis**".to_owned(), through(&source, handle)),
        ("exact over the matches".to_owned(), exact(&server)),
    ];
    for reach in [40, 100, 200, 400] {
        strategies.push((format!("iterative scan, ef_search {reach}"), iterative(&server, reach)));
    }
    strategies.push(("post-filter of 4k".to_owned(), post_filter(&server)));
    strategies.push(("wardowl 2.1 (Python)".to_owned(), wardowl(&server)));
    table(options, &mut strategies, &mut exact(&server));
    println!();
}

fn embedded(options: &Options, chunks: &[Chunk], handle: &PolicyHandle) {
    eprintln!("filling two SQLite databases with {} chunks", options.chunks);
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::create(&folder.path().join("chunks.sqlite")).unwrap();
    readability::fill_store(&mut store, chunks);
    let by_hand = folder.path().join("by-hand.sqlite");
    fill_by_hand(&by_hand, chunks);
    println!("### Searches: the embedded store\n");
    let mut strategies: Vec<(String, Strategy<'_>)> = vec![
        ("**tamis**".to_owned(), through(&store, handle)),
        ("by hand, over JSON".to_owned(), sqlite(&by_hand, OVER_JSON)),
        ("by hand, indexed".to_owned(), sqlite(&by_hand, INDEXED)),
        ("by hand, indexed, each distance".to_owned(), sqlite(&by_hand, EACH_DISTANCE)),
    ];
    table(options, &mut strategies, &mut sqlite(&by_hand, EACH_DISTANCE));
}

fn table(options: &Options, strategies: &mut [(String, Strategy<'_>)], truth: &mut Strategy<'_>) {
    let names: Vec<&str> = strategies.iter().map(|(name, _)| name.as_str()).collect();
    println!("| readable | {} |\n|---|{}", names.join(" | "), "---:|".repeat(names.len()));
    for group in GROUPS {
        let asked: Vec<Asked> = (0..options.questions)
            .map(|number| Asked { group, request: group.request(), vector: readability::question(number) })
            .collect();
        let right: Vec<Vec<String>> = asked.iter().map(|asked| truth(asked).0).collect();
        // In turn, so that whatever else the machine does slows down all of them.
        let mut measured = vec![(0, Vec::new()); strategies.len()];
        for (asked, right) in asked.iter().zip(&right) {
            for ((_, strategy), (found, times)) in strategies.iter_mut().zip(&mut measured) {
                let (ids, time) = strategy(asked);
                times.push(time);
                *found += right.iter().filter(|id| ids.contains(id)).count();
            }
        }
        let wanted = right.iter().map(Vec::len).sum::<usize>().max(1);
        let mut row = format!("| {} |", group.share);
        for (found, mut times) in measured {
            row += &format!(" {:.3}, {} |", found as f64 / wanted as f64, median(&mut times));
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
        timed(|| {
            let found = search(source, handle, &question).unwrap();
            found.hits.into_iter().map(|hit| hit.chunk.uid.id).collect()
        })
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
        timed(|| {
            let rows = client.query(&statement, &[&asked.group.name, &asked.text()]).unwrap();
            rows.iter().map(|row| row.get(0)).collect()
        })
    })
}

/// The package `wardowl`, in a process of its own, which measures itself.
#[allow(clippy::zombie_processes, reason = "it ends when its input does, with this process")]
fn wardowl(server: &Server) -> Strategy<'static> {
    let python = python_with("peers", "benches/peers/requirements.txt");
    let mut process = Command::new(python)
        .arg(root().join("benches/peers/wardowl_pgvector.py"))
        .arg(server.address())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut input, output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
    let mut output = BufReader::new(output);
    Box::new(move |asked| {
        writeln!(input, "{}", json!({"groups": [asked.group.name, "unknown"], "vector": asked.vector}))
            .unwrap();
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let answer: Json = serde_json::from_str(&line).unwrap();
        let ids = answer["ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned());
        (ids.collect(), Duration::from_secs_f64(answer["seconds"].as_f64().unwrap()))
    })
}

/// Chunks in SQLite with sqlite-vec, as a person would keep them for this one filter: the readers also in a table of their own, with an
/// index, and the vectors also in a table of which single rows can be fetched.
fn fill_by_hand(path: &Path, chunks: &[Chunk]) {
    let mut connection = Connection::open(path).unwrap();
    connection
        .execute_batch(&format!(
            "PRAGMA journal_mode = WAL;
             CREATE TABLE chunks (row INTEGER PRIMARY KEY, chunk_id TEXT NOT NULL UNIQUE, attributes BLOB NOT NULL, text TEXT);
             CREATE TABLE readers (reader TEXT, row INTEGER, PRIMARY KEY (reader, row)) WITHOUT ROWID;
             CREATE TABLE embeddings (row INTEGER PRIMARY KEY, embedding BLOB NOT NULL);
             CREATE VIRTUAL TABLE vectors USING vec0(embedding float[{DIMENSIONS}] distance_metric=cosine)"
        ))
        .unwrap();
    let transaction = connection.transaction().unwrap();
    for (row, chunk) in (1_i64..).zip(chunks) {
        let insert = |sql: &str, values: &[&dyn ToSql]| {
            transaction.prepare_cached(sql).unwrap().execute(values).unwrap();
        };
        let attributes = serde_json::to_string(&chunk.attributes).unwrap();
        insert(
            "INSERT INTO chunks VALUES (?, ?, jsonb(?), ?)",
            &[&row, &chunk.uid.id, &attributes, &chunk.text],
        );
        for reader in chunk.attributes["readers"].as_array().unwrap() {
            insert("INSERT INTO readers VALUES (?, ?)", &[&reader.as_str(), &row]);
        }
        let vector = bytes(chunk.vector.as_ref().unwrap());
        insert("INSERT INTO embeddings VALUES (?, ?)", &[&row, &vector]);
        insert("INSERT INTO vectors (rowid, embedding) VALUES (?, ?)", &[&row, &vector]);
    }
    transaction.commit().unwrap();
}

fn bytes(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|number| number.to_ne_bytes()).collect()
}

/// The filter over the metadata as it is.
const OVER_JSON: &str = "
    SELECT chunk_id, json(attributes), text, distance
    FROM (SELECT rowid AS found, distance FROM vectors WHERE embedding MATCH ?1 AND k = 10 AND rowid IN
          (SELECT chunks.row FROM chunks, json_each(attributes, '$.readers') WHERE value = ?2))
    JOIN chunks ON chunks.row = found ORDER BY distance";

/// With the index of readers.
const INDEXED: &str = "
    SELECT chunk_id, json(attributes), text, distance
    FROM (SELECT rowid AS found, distance FROM vectors WHERE embedding MATCH ?1 AND k = 10 AND rowid IN
          (SELECT row FROM readers WHERE reader = ?2))
    JOIN chunks ON chunks.row = found ORDER BY distance";

/// With the index of readers, and no other vectors looked at than theirs.
const EACH_DISTANCE: &str = "
    SELECT chunk_id, json(attributes), text, distance
    FROM (SELECT row AS found, vec_distance_cosine(embedding, ?1) AS distance
          FROM readers JOIN embeddings USING (row) WHERE reader = ?2 ORDER BY distance LIMIT 10)
    JOIN chunks ON chunks.row = found ORDER BY distance";

fn sqlite(path: &Path, sql: &'static str) -> Strategy<'static> {
    let connection = Connection::open(path).unwrap();
    // As much as the store's.
    connection.pragma_update(None, "cache_size", -64 * 1024).unwrap();
    Box::new(move |asked| {
        let vector = bytes(&asked.vector);
        timed(|| {
            let mut statement = connection.prepare_cached(sql).unwrap();
            let rows = statement.query_map(params![vector, asked.group.name], |row| row.get(0)).unwrap();
            rows.collect::<Result<_, _>>().unwrap()
        })
    })
}
