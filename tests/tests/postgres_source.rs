//! Searches over a real PostgreSQL with pgvector: k is k where an index scan alone finds nothing, and the hits are those that the
//! embedded store finds.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failure here is a failure of the test"
)]

use postgres::Client;
use serde_json::json;
use tamis_compiler::Named;
use tamis_core::{Chunk, Filter, Request};
use tamis_retrieve::{
    By, Error, Found, PostgresSource, PostgresTable, Question, Store, VectorSource, search,
};
use tamis_runtime::{PolicyHandle, Runtime};
use tamis_tests::engines::Server;
use tamis_tests::patient;
use tamis_tests::readability::{connect, fill_store, fill_table};

const CHUNKS: usize = 6_000;
const POLICY: &str = r#"
    @id("own") permit(principal, action, resource) when { resource.owner == principal };
    @id("tenant") forbid(principal, action, resource) unless { resource.tenant == principal.tenant };
"#;
const SCHEMA: &str = r#"
    entity User { tenant: String };
    entity Chunk { owner: User, tenant: String };
    action "retrieve" appliesTo { principal: User, resource: Chunk };
"#;

/// One in 300 chunks is u1's.
fn chunk(number: usize) -> Chunk {
    let line = json!({
        "id": number.to_string(),
        "attributes": {"owner": format!("u{}", number % 300), "tenant": if number.is_multiple_of(7) { "globex" } else { "acme" }},
        "text": format!("text {number}"),
        "parents": [{"type": "Folder", "id": (number % 5).to_string()}],
        "vector": vector(number),
    });
    Chunk::from_json(&line.to_string()).unwrap()
}

/// Directions spread over the sphere, the same at every run.
fn vector(number: usize) -> [f64; 8] {
    std::array::from_fn(|axis| ((number * 37 + 11) as f64 * (axis + 1) as f64 * 0.618_034).sin())
}

fn handle() -> PolicyHandle {
    let (policies, schema) = (Named { name: "p", text: POLICY }, Named { name: "s", text: SCHEMA });
    let compiled = tamis_compiler::compile("owners", policies, Some(schema)).unwrap();
    PolicyHandle::new(&Runtime::shared().unwrap(), &compiled.component, patient()).unwrap()
}

fn user(id: &str) -> Request {
    let json = json!({
        "subject": {"type": "User", "id": id, "properties": {"tenant": "acme"}},
        "action": {"name": "retrieve"},
    });
    Request::from_json(&json.to_string()).unwrap()
}

#[test]
fn k_is_k_however_few_may_be_read() {
    let server = Server::postgres();
    let mut client = connect(&server);
    let chunks: Vec<Chunk> = (0..CHUNKS).map(chunk).collect();
    fill_table(&mut client, &chunks);
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::create(&folder.path().join("chunks.sqlite")).unwrap();
    fill_store(&mut store, &chunks);

    let handle = handle();
    let asked = vector(3).map(|number| number as f32);
    for index in ["", "CREATE INDEX ON chunks USING hnsw (embedding vector_cosine_ops)"] {
        client.batch_execute(index).unwrap();
        client.batch_execute("ANALYZE chunks").unwrap();
        let source = PostgresSource::new(connect(&server), PostgresTable::default()).unwrap();
        for (id, readable) in [("u1", 17), ("u2", 17), ("nobody", 0)] {
            let request = user(id);
            for k in [1, 5, 17, 40] {
                let question = Question::new(&request, By::Vector(&asked), k);
                let found = search(&source, &handle, &question).unwrap();
                let expected = search(&store, &handle, &question).unwrap();
                assert_eq!(found.hits.len(), readable.min(k as usize), "{id}, {k}, {index}");
                assert!(found.complete && found.exact && found.denied == 0, "{found:?}");
                let near = |found: &tamis_retrieve::Found| -> Vec<i64> {
                    found.hits.iter().map(|hit| (hit.distance * 1e4).round() as i64).collect()
                };
                // An approximate index may miss a near one; without it the hits are the same.
                if index.is_empty() {
                    assert_eq!(near(&found), near(&expected), "{id}, {k}");
                }
                for hit in &found.hits {
                    let number: usize = hit.chunk.uid.id.parse().unwrap();
                    assert_eq!(Chunk { vector: None, ..chunks[number].clone() }, hit.chunk);
                }
            }
        }
    }
}

/// One row that nobody can read keeps nobody from the others.
#[test]
fn what_cannot_be_read_is_denied_by_itself() {
    let server = Server::postgres();
    let mut client = connect(&server);
    fill_table(&mut client, &(0..1200).map(chunk).collect::<Vec<_>>());
    let source = PostgresSource::new(connect(&server), PostgresTable::default()).unwrap();
    let handle = handle();
    let (request, asked) = (user("u1"), vector(3).map(|number| number as f32));
    let found = || search(&source, &handle, &Question::new(&request, By::Vector(&asked), 5));
    let before = found().unwrap();
    let ids = |found: &Found| found.hits.iter().map(|hit| hit.chunk.uid.id.clone()).collect::<Vec<_>>();
    assert_eq!((ids(&before).len(), before.denied), (3, 0));

    let put = |client: &mut Client, id: &str, attributes: &str| {
        let nearest = serde_json::to_string(&asked).unwrap();
        let sql =
            format!("INSERT INTO chunks VALUES ('{id}', 'Chunk', '{{}}', $1::text::jsonb, 'x', '{nearest}')");
        client.execute(&sql, &[&attributes]).unwrap();
    };
    let own = |rest: &str| format!(r#"{{"owner": "u1", "tenant": "acme", "other": {rest}}}"#);
    put(&mut client, "large", &own("1e400"));
    put(&mut client, "deep", &own(&("[".repeat(200) + &"]".repeat(200))));
    let after = found().unwrap();
    assert_eq!(ids(&after), ids(&before));
    assert_eq!((after.examined, after.denied, after.exact), (5, 2, before.exact));

    // Nothing else: this is no table of chunks.
    client.batch_execute("DELETE FROM chunks WHERE chunk_id NOT IN ('large', 'deep')").unwrap();
    let error = found().unwrap_err();
    assert!(matches!(&error, Error::Chunk { id, .. } if id == "deep"), "{error}");
}

#[test]
fn what_cannot_be_searched_is_an_error_that_says_so() {
    let server = Server::postgres();
    let mut client = connect(&server);
    let error = PostgresSource::new(connect(&server), PostgresTable::default()).unwrap_err().to_string();
    assert!(error.contains("chunks") && error.contains("does not exist"), "{error}");
    fill_table(&mut client, &[chunk(1)]);
    let source = PostgresSource::new(connect(&server), PostgresTable::default()).unwrap();
    let wrong = source.open(By::Vector(&[1.0, 0.0]), &Filter::Always).unwrap();
    let error = { wrong }.candidates.next_page(1).unwrap_err().to_string();
    assert!(error.contains("different vector dimensions"), "{error}");
    assert!(matches!(source.open(By::Text("x"), &Filter::Always), Err(Error::Question(_))));

    // One search at a time on a connection; the next may begin when the first has ended.
    let vector = vector(1).map(|number| number as f32);
    let first = source.open(By::Vector(&vector), &Filter::Always).unwrap();
    assert!(matches!(source.open(By::Vector(&vector), &Filter::Always), Err(Error::Question(_))));
    drop(first);
    let mut second = source.open(By::Vector(&vector), &Filter::Always).unwrap();
    assert_eq!(second.candidates.next_page(10).unwrap().len(), 1);
}
