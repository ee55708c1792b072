//! Indexing: the admit gate, replacing, what cannot be stored and why.

use tamis_core::{Chunk, EntityUid, Request};
use tamis_retrieve::{By, Error, IndexReport, Question, index, search};
use tamis_tests::{chunk, document, example, user};

use crate::corpus::{Database, clearance, ids, loader, placed, replaceable, vectors};

/// What became of `chunks`: the ids of those stored, and the others with their reasons.
fn outcome(database: &mut Database, request: &Request, chunks: &[Chunk]) -> (usize, Vec<(String, String)>) {
    let report = index(&mut database.store, clearance(), request, chunks.to_vec(), |_| {}).unwrap();
    let rejected = report.rejected.into_iter().map(|rejected| (rejected.id, rejected.reasons.join("; ")));
    (report.stored, rejected.collect())
}

fn found(database: &Database, request: &Request, by: By<'_>) -> Vec<String> {
    let found = search(&database.store, clearance(), &Question::new(request, by, 100)).unwrap();
    ids(&found).into_iter().map(str::to_owned).collect()
}

fn written(id: &str, tenant: &str, text: &str, vector: [f32; 2]) -> Chunk {
    let text = Some(text.to_owned());
    Chunk { text, vector: Some(vector.to_vec()), ..document(id, tenant, 0, &["analyst"]) }
}

#[test]
fn the_admit_gate_stores_what_it_lets_pass_and_says_why_it_rejects() {
    let mut database = Database::new();
    let line = |id: &str, attributes: &str| {
        chunk(&format!(r#"{{"id":"{id}","attributes":{attributes},"text":"words"}}"#))
    };
    let good = |id: &str| line(id, r#"{"tenant":"acme","access_level":1,"user_roles":["analyst"]}"#);
    let chunks = [
        good("first"),
        line("bare", "{}"),
        line("null", r#"{"tenant":null,"access_level":1,"user_roles":[]}"#),
        line("fraction", r#"{"tenant":"acme","access_level":1.5,"user_roles":[]}"#),
        line("huge", r#"{"tenant":"acme","access_level":18446744073709551615,"user_roles":[]}"#),
        line("mixed", r#"{"tenant":"acme","access_level":1,"user_roles":["analyst",7]}"#),
        line("alone", r#"{"tenant":["acme"],"access_level":"1","user_roles":"analyst"}"#),
        line("foreign", r#"{"tenant":"globex","access_level":1,"user_roles":[]}"#),
        good("last"),
    ];
    let (stored, rejected) = outcome(&mut database, &loader("acme"), &chunks);
    assert_eq!(stored, 2);
    let expected = [
        (
            "bare",
            "attribute `tenant` is missing; attribute `access_level` is missing; attribute `user_roles` is missing",
        ),
        ("null", "attribute `tenant` is missing"),
        (
            "fraction",
            "attribute `access_level` is ill-typed: a number with a fraction where Long is declared",
        ),
        ("huge", "attribute `access_level` is ill-typed: a number where Long is declared"),
        (
            "mixed",
            "attribute `user_roles` is ill-typed: a set with an unreadable element: a number where String is declared",
        ),
        (
            "alone",
            "attribute `tenant` is ill-typed: an array where String is declared; \
             attribute `access_level` is ill-typed: a string where Long is declared; \
             attribute `user_roles` is ill-typed: a string where Set<String> is declared",
        ),
        ("foreign", "denied by tenant-isolation"),
    ];
    let rejected: Vec<(&str, &str)> = rejected.iter().map(|(id, why)| (id.as_str(), why.as_str())).collect();
    assert_eq!(rejected, expected);
    assert_eq!(database.store.len().unwrap(), 2);
    assert_eq!(database.store.get("first").unwrap(), Some(good("first")));
    for (id, _) in expected {
        assert_eq!(database.store.get(id).unwrap(), None, "{id}");
    }
}

#[test]
fn who_may_not_index_stores_nothing() {
    let mut database = Database::new();
    let chunks =
        [document("a", "acme", 0, &["analyst"])].map(|chunk| Chunk { text: Some("a".into()), ..chunk });
    let reader = user("bob", "acme", 3, &["analyst"]);
    assert_eq!(outcome(&mut database, &reader, &chunks), (0, vec![("a".into(), "denied by index".into())]));
    let nobody = Request::new(EntityUid::new("User", "x"), "index");
    let (stored, rejected) = outcome(&mut database, &nobody, &chunks);
    assert_eq!(stored, 0);
    assert!(rejected[0].1.contains("User::\"x\" has no attribute `tenant`"), "{}", rejected[0].1);
    // An agent indexes only if its user may, whatever action the request names.
    let principal = |kind: &str, roles: &[&str]| tamis_tests::principal(kind, "x", "acme", 0, roles);
    for (subject, agent, stored) in
        [("analyst", "indexer", 0), ("indexer", "analyst", 0), ("indexer", "indexer", 1)]
    {
        let both =
            tamis_tests::user_with_agent(&principal("User", &[subject]), &principal("Agent", &[agent]));
        assert_eq!(outcome(&mut database, &both, &chunks).0, stored, "{subject} {agent}");
    }
}

#[test]
fn large_inputs_are_stored_in_batches_and_keep_their_order() {
    let mut database = Database::new();
    let chunks: Vec<Chunk> = vectors(600, 3)
        .iter()
        .enumerate()
        .map(|(index, vector)| match index % 100 {
            99 => Chunk { vector: Some(vector.clone()), ..Chunk::new(index.to_string()) },
            _ => placed(&index.to_string(), 0, &["analyst"], vector),
        })
        .collect();
    let handle = replaceable();
    let mut done = Vec::new();
    let report: IndexReport = index(&mut database.store, &handle, &loader("acme"), chunks, |count| {
        done.push(count);
        if count == 256 {
            handle.replace(&example("company")).unwrap();
        }
    })
    .unwrap();
    assert_eq!(done, [256, 512, 600]);
    let rejected: Vec<&str> = report.rejected.iter().map(|rejected| rejected.id.as_str()).collect();
    // `company` wants an attribute more, which none of these has.
    let late: Vec<String> = (256..600).map(|index| index.to_string()).collect();
    assert_eq!(rejected[..2], ["99", "199"]);
    assert_eq!(rejected[2..], late);
    assert_eq!((report.stored, database.store.len().unwrap()), (254, 254));
    assert_eq!(report.generations.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(report.generations[1].1, handle.current().policy().digest());
}

#[test]
fn what_cannot_be_stored_or_found_is_rejected_with_its_reason() {
    let mut database = Database::of(&[placed("there", 0, &["analyst"], &[1.0, 2.0, 3.0])]);
    let with =
        |id: &str, vector: Vec<f32>| Chunk { vector: Some(vector), ..document(id, "acme", 0, &["analyst"]) };
    let mut null_name = with("null name", vec![1.0, 2.0, 3.0]);
    null_name.attributes.insert("x".into(), serde_json::json!([{"a\0b": 1}]));
    let mut null_tag = with("null tag", vec![1.0, 2.0, 3.0]);
    null_tag.tags.insert("\0".into(), 1.into());
    let mut null_value = with("null value", vec![3.0, 2.0, 1.0]);
    null_value.attributes.insert("x".into(), "a\0b".into());
    let chunks = [
        with("short", vec![1.0, 2.0]),
        with("long", vec![1.0; 4]),
        with("empty", vec![]),
        with("zero", vec![0.0, -0.0, 0.0]),
        with("nan", vec![1.0, f32::NAN, 0.0]),
        with("infinite", vec![f32::INFINITY, 0.0, 0.0]),
        document("neither", "acme", 0, &["analyst"]),
        null_name,
        null_tag,
        null_value,
        Chunk { text: Some(String::new()), ..document("no words", "acme", 0, &["analyst"]) },
        with("good", vec![f32::MAX, f32::MIN_POSITIVE, 1e-45]),
    ];
    let (stored, rejected) = outcome(&mut database, &loader("acme"), &chunks);
    let rejected: Vec<(&str, &str)> = rejected.iter().map(|(id, why)| (id.as_str(), why.as_str())).collect();
    let expected = [
        ("short", "its vector has 2 numbers; this database has 3"),
        ("long", "its vector has 4 numbers; this database has 3"),
        ("empty", "its vector cannot be stored: it is empty"),
        ("zero", "its vector is zero, which has no direction to compare"),
        ("nan", "its vector cannot be stored: number 1 is not finite"),
        ("infinite", "its vector cannot be stored: number 0 is not finite"),
        ("neither", "it has neither a vector nor a text to be found by"),
        ("null name", "the name of an attribute holds the character U+0000"),
        ("null tag", "the name of an attribute holds the character U+0000"),
    ];
    assert_eq!(rejected, expected);
    assert_eq!((stored, database.store.len().unwrap()), (3, 4));
    assert_eq!(
        found(&database, &user("bob", "acme", 0, &["analyst"]), By::Vector(&[1.0, 2.0, 3.0])),
        ["there", "null value", "good"]
    );
}

#[test]
fn the_first_vector_sets_the_size_within_one_input() {
    let mut database = Database::new();
    let chunks = [
        placed("too long", 0, &["analyst"], &[1.0; 8193]),
        placed("first", 0, &["analyst"], &[1.0; 8192]),
        placed("second", 0, &["analyst"], &[1.0; 8191]),
    ];
    let (stored, rejected) = outcome(&mut database, &loader("acme"), &chunks);
    assert_eq!(stored, 1);
    assert_eq!(
        rejected,
        [
            ("too long".to_owned(), "its vector has 8193 numbers; at most 8192 can be stored".to_owned()),
            ("second".to_owned(), "its vector has 8191 numbers; this database has 8192".to_owned()),
        ]
    );
}

#[test]
fn of_two_chunks_with_one_id_the_first_is_stored() {
    let mut database = Database::new();
    let chunks = [
        written("a", "acme", "original", [1.0, 0.0]),
        written("b", "acme", "other", [1.0, 0.0]),
        written("a", "acme", "impostor", [0.0, 1.0]),
        Chunk { uid: EntityUid::new("Page", "a"), ..written("a", "acme", "impostor", [0.0, 1.0]) },
    ];
    let (stored, rejected) = outcome(&mut database, &loader("acme"), &chunks);
    let twice = ("a".to_owned(), "its id occurs twice in the input".to_owned());
    assert_eq!((stored, rejected), (2, vec![twice.clone(), twice]));
    assert_eq!(database.store.get("a").unwrap().unwrap().text.as_deref(), Some("original"));

    // The same over the border between two batches.
    let mut many: Vec<Chunk> = (0..300).map(|n| written(&n.to_string(), "acme", "x", [1.0, 0.0])).collect();
    many.push(written("0", "acme", "impostor", [1.0, 0.0]));
    let (stored, rejected) = outcome(&mut database, &loader("acme"), &many);
    assert_eq!((stored, rejected.len()), (300, 1));
    assert_eq!(database.store.get("0").unwrap().unwrap().text.as_deref(), Some("x"));
}

#[test]
fn a_chunk_of_another_tenant_cannot_be_replaced() {
    let mut database = Database::new();
    let theirs = written("shared-id", "globex", "their secret", [1.0, 0.0]);
    assert_eq!(outcome(&mut database, &loader("globex"), std::slice::from_ref(&theirs)), (1, vec![]));

    let ours = written("shared-id", "acme", "our text", [0.0, 1.0]);
    let next = written("free-id", "acme", "our text", [0.0, 1.0]);
    let (stored, rejected) = outcome(&mut database, &loader("acme"), &[ours, next]);
    let reason = "its id belongs to a chunk that this request may not replace".to_owned();
    assert_eq!((stored, rejected), (1, vec![("shared-id".to_owned(), reason)]));
    assert_eq!(database.store.get("shared-id").unwrap(), Some(Chunk { vector: None, ..theirs }));

    let them = user("eve", "globex", 0, &["analyst"]);
    assert_eq!(found(&database, &them, By::Text("secret")), ["shared-id"]);
    assert_eq!(found(&database, &them, By::Text("text")), [""; 0]);
    assert_eq!(found(&database, &them, By::Vector(&[0.0, 1.0])), ["shared-id"]);
    let us = user("bob", "acme", 0, &["analyst"]);
    assert_eq!(found(&database, &us, By::Vector(&[0.0, 1.0])), ["free-id"]);
}

#[test]
fn replacing_a_chunk_removes_its_old_text_and_vector() {
    let bob = user("bob", "acme", 0, &["analyst"]);
    let east = By::Vector(&[1.0, 0.0]);
    let mut database = Database::of(&[
        written("a", "acme", "obsolete words", [1.0, 0.0]),
        written("b", "acme", "lasting words", [0.7, 0.7]),
    ]);
    assert_eq!(found(&database, &bob, east), ["a", "b"]);
    assert_eq!(found(&database, &bob, By::Text("obsolete")), ["a"]);

    database.index(&[written("a", "acme", "current words", [0.0, 1.0])]);
    assert_eq!(found(&database, &bob, east), ["b", "a"]);
    assert_eq!(found(&database, &bob, By::Text("obsolete")), [""; 0]);
    assert_eq!(found(&database, &bob, By::Text("current")), ["a"]);

    let silent = Chunk { text: None, ..written("a", "acme", "", [0.0, 1.0]) };
    database.index(&[silent]);
    assert_eq!(found(&database, &bob, By::Text("words")), ["b"]);
    assert_eq!(found(&database, &bob, east), ["b", "a"]);

    let only_text = Chunk { vector: None, ..written("a", "acme", "only words", [0.0, 0.0]) };
    database.index(&[only_text]);
    // Equally good; what replaces a chunk takes its place.
    assert_eq!(found(&database, &bob, By::Text("words")), ["a", "b"]);
    assert_eq!(found(&database, &bob, east), ["b"]);

    // Metadata is replaced as a whole.
    database.index(&[Chunk { text: Some("only words".into()), ..document("a", "acme", 3, &["analyst"]) }]);
    assert_eq!(found(&database, &bob, By::Text("words")), ["b"]);
    assert_eq!(database.store.len().unwrap(), 2);
}

#[test]
fn a_batch_that_fails_leaves_nothing() {
    let mut database = Database::of(&[written("a", "acme", "words", [1.0, 0.0])]);
    let mut transaction = database.store.begin().unwrap();
    transaction.put(&written("b", "acme", "words", [1.0, 0.0])).unwrap();
    let unfit = Chunk { vector: Some(vec![1.0]), ..written("a", "acme", "words", [0.0, 0.0]) };
    let error = transaction.put(&unfit).unwrap_err();
    assert!(matches!(error, Error::Store { .. }), "{error:?}");
    assert!(
        error
            .to_string()
            .ends_with("the chunk `a` cannot be stored: its vector has 1 numbers; this database has 2")
    );
    drop(transaction);
    assert_eq!(database.store.len().unwrap(), 1);

    // What is refused has not touched the chunk that it would have replaced.
    let mut transaction = database.store.begin().unwrap();
    transaction.put(&unfit).unwrap_err();
    transaction.commit().unwrap();
    let bob = user("bob", "acme", 0, &["analyst"]);
    assert_eq!(found(&database, &bob, By::Vector(&[1.0, 0.0])), ["a"]);
    assert_eq!(found(&database, &bob, By::Text("words")), ["a"]);
}

#[test]
fn a_stored_chunk_reads_back_as_it_was() {
    let chunks: Vec<Chunk> = tamis_tests::generate::chunks(300)
        .into_iter()
        .map(|chunk| Chunk { text: Some(format!("\0{:?}", chunk.uid)), ..chunk })
        .collect();
    let mut database = Database::new();
    let mut transaction = database.store.begin().unwrap();
    for chunk in &chunks {
        transaction.put(chunk).unwrap();
        assert_eq!(transaction.get(&chunk.uid.id).unwrap().as_ref(), Some(chunk));
    }
    transaction.commit().unwrap();
    for chunk in &chunks {
        assert_eq!(database.store.get(&chunk.uid.id).unwrap().as_ref(), Some(chunk));
    }
}
