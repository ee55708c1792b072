//! Searches over Qdrant's engine behind its REST interface: the hits are those of the embedded store.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failure here is a failure of the test"
)]

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};
use tamis_core::{Chunk, Filter, Request};
use tamis_dialect::{Fields, Place, Qdrant};
use tamis_retrieve::{
    By, Error, Found, QdrantCollection, QdrantSource, Question, Store, VectorSource, search,
};
use tamis_runtime::{PolicyHandle, Runtime};
use tamis_tests::engines::Server;
use tamis_tests::patient;
use tamis_tests::readability::{self, GROUPS};

const KEY: &str = "a key";
const CHUNKS: u64 = 2_000;

fn put(server: &Server, path: &str, body: &Json) {
    let url = format!("{}/collections/{path}", server.address());
    let answer =
        ureq::put(&url).header("api-key", KEY).content_type("application/json").send(body.to_string());
    assert!(answer.unwrap().status().is_success());
}

/// A collection that holds the chunks as [`QdrantCollection::new`] expects them.
fn fill(server: &Server, name: &str, metric: &str, chunks: &[Chunk]) {
    let size = chunks[0].vector.as_ref().unwrap().len();
    put(server, name, &json!({"vectors": {"size": size, "distance": metric}}));
    let point = |(number, chunk): (usize, &Chunk)| {
        let ancestors: Vec<String> = chunk.ancestors.iter().map(tamis_dialect::ancestor_key).collect();
        let mut payload = chunk.attributes.clone();
        let own = json!({"chunk_id": chunk.uid.id, "chunk_type": chunk.uid.entity_type, "ancestors": ancestors, "text": chunk.text});
        payload.extend(own.as_object().unwrap().clone());
        json!({"id": number, "vector": chunk.vector, "payload": payload})
    };
    let points: Vec<Json> = chunks.iter().enumerate().map(point).collect();
    put(server, &format!("{name}/points"), &json!({"points": points}));
}

fn collection(server: &Server, name: &str) -> QdrantCollection {
    QdrantCollection { api_key: Some(KEY.to_owned()), ..QdrantCollection::new(server.address(), name) }
}

fn ids(found: &Found) -> Vec<&str> {
    found.hits.iter().map(|hit| hit.chunk.uid.id.as_str()).collect()
}

#[test]
fn hits_are_those_of_the_embedded_store() {
    let server = Server::qdrant();
    let chunks: Vec<Chunk> = (0..CHUNKS).map(readability::chunk).collect();
    fill(&server, "chunks", "Cosine", &chunks);
    let source = QdrantSource::new(collection(&server, "chunks")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::create(&folder.path().join("chunks.sqlite")).unwrap();
    readability::fill_store(&mut store, &chunks);
    let handle = readability::handle();
    for group in GROUPS {
        let request = group.request();
        for k in [1, 10, 300] {
            let vector = readability::question(u64::from(k));
            let question = Question::new(&request, By::Vector(&vector), k);
            let found = search(&source, &handle, &question).unwrap();
            let expected = search(&store, &handle, &question).unwrap();
            assert_eq!(ids(&found), ids(&expected), "{group:?}, {k}");
            assert!(found.complete, "{group:?}, {k}");
            for (hit, right) in found.hits.iter().zip(&expected.hits) {
                assert_eq!(hit.chunk, Chunk { vector: None, ..right.chunk.clone() });
                assert!(
                    (hit.distance - right.distance).abs() < 1e-4,
                    "{} is not {}",
                    hit.distance,
                    right.distance
                );
            }
        }
    }
}

#[test]
fn less_is_nearer_in_every_metric() {
    let server = Server::qdrant();
    let chunks: Vec<Chunk> = (0..200).map(readability::chunk).collect();
    let (handle, request) = (readability::handle(), GROUPS[0].request());
    let vector = readability::question(1);
    for metric in ["Cosine", "Dot", "Euclid", "Manhattan"] {
        fill(&server, metric, metric, &chunks);
        let source = QdrantSource::new(collection(&server, metric)).unwrap();
        let found = search(&source, &handle, &Question::new(&request, By::Vector(&vector), 200)).unwrap();
        assert_eq!(found.hits.len(), 200, "{metric}");
        assert!(found.hits.is_sorted_by(|a, b| a.distance <= b.distance), "{metric}");
        // The nearest first: of the cluster that the question is of.
        let nearest = found.hits[0].chunk.uid.id.parse::<u64>().unwrap();
        assert_eq!(nearest % 100, 7, "{metric}");
    }
}

/// Which of several points in one place come first is another matter in each answer; none is left out between two pages.
#[test]
fn points_in_one_place_are_all_found() {
    let server = Server::qdrant();
    let chunk = |number| Chunk { vector: Some(vec![0.5, 0.5]), ..readability::chunk(number) };
    let chunks: Vec<Chunk> = (0..300).map(chunk).collect();
    fill(&server, "tied", "Cosine", &chunks);
    let source = QdrantSource::new(collection(&server, "tied")).unwrap();
    let mut pages = source.open(By::Vector(&[1.0, 0.5]), &Filter::Always).unwrap().candidates;
    let mut found = BTreeSet::new();
    for wanted in (32..).step_by(7) {
        let page = pages.next_page(wanted).unwrap();
        if page.is_empty() {
            break;
        }
        for candidate in page {
            assert!(found.insert(candidate.chunk.unwrap().uid.id), "a point came twice");
        }
    }
    assert_eq!(found.len(), chunks.len());
}

#[test]
fn attributes_are_where_the_collection_has_them() {
    let server = Server::qdrant();
    put(&server, "nested", &json!({"vectors": {"size": 2, "distance": "Cosine"}}));
    let points = [
        json!({"id": 1, "vector": [1.0, 0.0], "payload": {"metadata": {"readers": ["all"]}, "readers": ["few"], "page_content": "one"}}),
        json!({"id": 2, "vector": [1.0, 0.1], "payload": {"readers": ["all"], "page_content": "two"}}),
        json!({"id": 3, "vector": [1.0, 0.2], "payload": {"metadata": {"readers": ["few"]}, "page_content": "three"}}),
    ];
    put(&server, "nested/points", &json!({"points": points}));
    let source = in_metadata(&server, "nested", &["readers"]);
    let handle = readability::handle();
    let question = |request: &Request| {
        search(&source, &handle, &Question::new(request, By::Vector(&[1.0, 0.0]), 5)).unwrap()
    };
    let found = question(&GROUPS[0].request());
    assert_eq!(ids(&found), ["1"]);
    assert_eq!(found.hits[0].chunk.text.as_deref(), Some("one"));
    assert_eq!(ids(&question(&GROUPS[4].request())), ["3"]);
}

/// A collection that keeps these attributes in `metadata`, as LangChain's do.
fn in_metadata(server: &Server, name: &str, attributes: &[&str]) -> QdrantSource {
    let place = |name: &&str| (vec![(*name).to_owned()], vec!["metadata".to_owned(), (*name).to_owned()]);
    let fields = Fields {
        attributes: attributes.iter().map(place).collect(),
        entity_type: Place::Constant("Chunk".to_owned()),
        id: Place::Absent,
        ancestors: Place::Absent,
        ..Fields::default()
    };
    QdrantSource::new(QdrantCollection {
        text: Some("page_content".to_owned()),
        language: Qdrant { fields },
        ..collection(server, name)
    })
    .unwrap()
}

#[test]
fn what_is_redacted_is_gone_from_where_the_collection_has_it() {
    let server = Server::qdrant();
    put(&server, "paid", &json!({"vectors": {"size": 2, "distance": "Cosine"}}));
    let payload = json!({"metadata": {"salary": 5, "name": "n"}, "page_content": "one"});
    let points = json!({"points": [{"id": 1, "vector": [1.0, 0.0], "payload": payload}]});
    put(&server, "paid/points", &points);
    let source = in_metadata(&server, "paid", &["salary", "name"]);
    let text = r#"@redact("salary") permit(principal, action, resource);"#;
    let policies = tamis_compiler::Named { name: "p.cedar", text };
    let component = tamis_compiler::compile("redacts", policies, None).unwrap().component;
    let handle = PolicyHandle::new(&Runtime::shared().unwrap(), &component, patient()).unwrap();
    let request = GROUPS[0].request();
    let asked = |filter: Option<&Filter>| {
        let question = Question { filter, ..Question::new(&request, By::Vector(&[1.0, 0.0]), 5) };
        search(&source, &handle, &question).unwrap().hits
    };
    let hits = asked(None);
    assert_eq!(
        Json::Object(hits[0].chunk.attributes.clone()),
        json!({"metadata": {"name": "n"}, "name": "n"})
    );
    for path in [r#"["salary"]"#, r#"["metadata","salary"]"#, r#"["metadata"]"#] {
        for not in [false, true] {
            let filter = Filter::from_json(&format!(r#"{{"op":"equals","attr":{path},"value":5}}"#)).unwrap();
            let filter = if not { Filter::negate(filter) } else { filter };
            assert!(asked(Some(&filter)).is_empty(), "{filter}");
        }
    }
}

#[test]
fn what_cannot_be_searched_is_an_error_that_says_so() {
    let server = Server::qdrant();
    let refused = |collection: QdrantCollection| QdrantSource::new(collection).unwrap_err().to_string();
    let error = refused(collection(&server, "none"));
    assert!(error.contains("404") && error.contains("doesn't exist"), "{error}");
    let error = refused(QdrantCollection::new(server.address(), "none"));
    assert!(error.contains("401") && error.contains("API key"), "{error}");
    for name in ["", "a/b", "..?", "a b", "é"] {
        assert!(refused(collection(&server, name)).contains("name"), "{name}");
    }
    let nobody = QdrantCollection::new("http://127.0.0.1:1", "chunks");
    assert!(refused(nobody).contains("127.0.0.1:1/collections/chunks"));

    fill(&server, "chunks", "Cosine", &[readability::chunk(1)]);
    let named = QdrantCollection { vector: Some("image".to_owned()), ..collection(&server, "chunks") };
    assert!(refused(named).contains("no such vectors"));
    let source = QdrantSource::new(collection(&server, "chunks")).unwrap();
    assert!(matches!(source.open(By::Text("x"), &Filter::Always), Err(Error::Question(_))));
    let mut wrong = source.open(By::Vector(&[1.0, 0.0]), &Filter::Always).unwrap();
    let error = wrong.candidates.next_page(1).unwrap_err().to_string();
    assert!(error.contains("400") && error.contains("dimension"), "{error}");

    // A payload that is no chunk is denied by itself, and its point is named.
    put(
        &server,
        "chunks/points",
        &json!({"points": [{"id": 9, "vector": vec![0.5; readability::DIMENSIONS], "payload": {"chunk_id": 9}}]}),
    );
    let vector = readability::question(1);
    let mut opened = source.open(By::Vector(&vector), &Filter::Always).unwrap();
    let page = opened.candidates.next_page(10).unwrap();
    assert_eq!(page.len(), 2);
    let unreadable: Vec<Error> = page.into_iter().filter_map(|candidate| candidate.chunk.err()).collect();
    let error = unreadable[0].to_string();
    assert!(unreadable.len() == 1 && error.contains("`9`") && error.contains("is not a text"), "{error}");
}
