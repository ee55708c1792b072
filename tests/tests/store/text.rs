//! Search by words: BM25 over what the policy lets through, and nothing typed is an operator.

use tamis_core::{Chunk, Request};
use tamis_retrieve::{By, Error, Found, Question, VectorSource, search};
use tamis_tests::{document, user};

use crate::corpus::{Database, Wide, clearance, ids};

fn written(id: &str, level: i64, text: &str) -> Chunk {
    Chunk { text: Some(text.to_owned()), ..document(id, "acme", level, &["analyst"]) }
}

fn analyst() -> Request {
    user("bob", "acme", 1, &["analyst"])
}

fn find(source: &impl VectorSource, request: &Request, text: &str, k: u32) -> Result<Found, Error> {
    search(source, clearance(), &Question::new(request, By::Text(text), k))
}

fn library() -> Database {
    Database::of(&[
        written("vacuum", 0, "VACUUM reclaims storage occupied by dead tuples"),
        written("secret", 2, "VACUUM VACUUM VACUUM the secret way to reclaim storage"),
        written("words", 0, "The words AND, OR, NOT and NEAR are operators"),
        written("french", 0, "Un café crème à l'étage"),
        written("hindi", 0, "यह हिन्दी है"),
        written("chinese", 0, "向量数据库 检索"),
        written("code", 0, "SELECT count(*) FROM pg_class WHERE relname = 'x_y'"),
        written("null", 0, "before\0after"),
        written("empty", 0, ""),
    ])
}

#[test]
fn what_is_typed_is_words_and_nothing_else() {
    let library = library();
    for (text, hits) in [
        ("vacuum", vec!["vacuum"]),
        ("VACUUMS reclaimed", vec!["vacuum"]),
        ("unheard-of", vec![]),
        ("secret", vec![]),
        ("text : secret", vec![]),
        ("AND", vec!["words"]),
        ("tuples AND", vec!["vacuum", "words"]),
        ("tuples NOT tuples", vec!["vacuum", "words"]),
        ("NEAR(dead tuples)", vec!["vacuum", "words"]),
        ("vacuum*", vec!["vacuum"]),
        ("vac*", vec![]),
        ("^vacuum", vec!["vacuum"]),
        ("-vacuum", vec!["vacuum"]),
        ("+vacuum + storage", vec!["vacuum"]),
        ("text:vacuum", vec!["vacuum"]),
        ("{text}:vacuum", vec!["vacuum"]),
        ("\"vacuum", vec!["vacuum"]),
        ("\"storage occupied\" \"\"", vec!["vacuum"]),
        ("'vacuum'; DROP TABLE chunks; --", vec!["vacuum"]),
        ("vacuum\0", vec!["vacuum"]),
        ("\0\0vacuum\0zz", vec!["vacuum"]),
        ("😀 vacuum 😀", vec!["vacuum"]),
        ("count(*) pg_class", vec!["code"]),
        ("cafe", vec!["french"]),
        ("CAFÉ", vec!["french"]),
        ("e\u{301}tage", vec!["french"]),
        ("हिन्दी", vec!["hindi"]),
        ("检索", vec!["chinese"]),
        ("² ﬁ Ⅷ", vec![]),
    ] {
        let found =
            find(&library.store, &analyst(), text, 10).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        let mut sorted = ids(&found);
        sorted.sort_unstable();
        assert_eq!(sorted, hits, "{text:?}");
        assert!(found.complete && found.exact && found.denied == 0, "{text:?}");
    }
    for text in ["", " ", "\0", "😀", "\"\"", "*", "()", "- + ^ : { }", "…"] {
        let error = find(&library.store, &analyst(), text, 10).unwrap_err();
        assert!(matches!(error, Error::Question(_)), "{text:?}");
        assert_eq!(error.to_string(), "the text has no words to search for", "{text:?}");
    }
}

#[test]
fn a_long_question_runs() {
    let library = library();
    let many = (0..100_000).map(|n| format!("word{n}")).collect::<Vec<_>>().join(" ");
    assert!(find(&library.store, &analyst(), &many, 10).unwrap().hits.is_empty());
    let found = find(&library.store, &analyst(), &format!("vacuum {many}"), 10).unwrap();
    assert_eq!(ids(&found), ["vacuum"]);
    let found = find(&library.store, &analyst(), &"vacuum".repeat(100_000), 10).unwrap();
    assert_eq!(ids(&found), [""; 0]);
}

#[test]
fn the_best_that_the_policy_allows_comes_first() {
    let library = library();
    let boss = user("eve", "acme", 2, &["analyst"]);
    assert_eq!(ids(&find(&library.store, &boss, "vacuum", 10).unwrap()), ["secret", "vacuum"]);
    assert_eq!(ids(&find(&library.store, &boss, "vacuum", 1).unwrap()), ["secret"]);
    assert_eq!(ids(&find(&library.store, &analyst(), "vacuum", 1).unwrap()), ["vacuum"]);

    let wide = find(&Wide(&library.store), &analyst(), "vacuum", 1).unwrap();
    assert_eq!(ids(&wide), ["vacuum"]);
    assert_eq!((wide.examined, wide.denied, wide.exact), (2, 1, false));
    let hit = &find(&library.store, &boss, "vacuum", 1).unwrap().hits[0];
    assert_eq!(hit.chunk.text.as_deref(), Some("VACUUM VACUUM VACUUM the secret way to reclaim storage"));
}

#[test]
fn k_means_k_by_words_too() {
    // The unreadable ones rank before the readable ones: they are shorter.
    let chunks: Vec<Chunk> = (0..3_000)
        .map(|n| match n % 100 {
            0 => {
                written(&format!("open {n}"), 0, &format!("tuple number {n} with a long tail of other words"))
            }
            _ => written(&format!("closed {n}"), 3, "tuple"),
        })
        .collect();
    let database = Database::of(&chunks);
    for (k, hits) in [(10, 10), (30, 30), (100, 30)] {
        let exact = find(&database.store, &analyst(), "tuple", k).unwrap();
        assert_eq!((exact.hits.len(), exact.examined, exact.denied), (hits, hits, 0));
        let wide = find(&Wide(&database.store), &analyst(), "tuple", k).unwrap();
        let by_id = |found: &Found| {
            ids(found).iter().map(ToString::to_string).collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(wide.hits.len(), hits);
        if hits == 30 {
            assert_eq!(by_id(&wide), by_id(&exact));
        }
        assert!(wide.complete && wide.denied >= 2_900 && wide.examined == wide.denied + hits, "{wide:?}");
    }
}
