//! Rewrites that were made before. A policy imports nothing, so to the same request it has the same answer for as long as it lives.

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::{DefaultHashBuilder, HashTable};
use tamis_core::{Query, Request, Rewrite};

/// So many bytes of requests and filters are kept; when there are more, all are forgotten.
const MAX_KEPT: usize = 8 << 20;
/// One that is larger is not kept.
const MAX_SIZE: usize = 256 << 10;
/// What an entry takes besides its contents.
const ENTRY: usize = 1024;

#[derive(Default)]
pub(crate) struct Rewrites {
    hasher: DefaultHashBuilder,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    rewrites: HashTable<Entry>,
    size: usize,
}

struct Entry {
    hash: u64,
    request: Arc<Request>,
    query: Query,
    rewrite: Rewrite,
}

/// What is looked at of a request only once, however often it is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Digested {
    hash: u64,
    size: usize,
}

impl Rewrites {
    pub(crate) fn digest(&self, request: &Request) -> Digested {
        let mut counted = Counted { hasher: self.hasher.build_hasher(), count: 0 };
        request.hash(&mut counted);
        Digested { hash: counted.finish(), size: counted.count }
    }

    pub(crate) fn get(&self, digested: Digested, request: &Request, query: &Query) -> Option<Rewrite> {
        let hash = self.hasher.hash_one((digested.hash, query));
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.rewrites.find(hash, |entry| entry.is(request, query)).map(|entry| entry.rewrite.clone())
    }

    pub(crate) fn keep(&self, digested: Digested, request: &Arc<Request>, query: &Query, rewrite: &Rewrite) {
        let size =
            ENTRY + (digested.size + size_of_contents(query)) * 2 + size_of_contents(&rewrite.filter) * 4;
        if size > MAX_SIZE {
            return;
        }
        let hash = self.hasher.hash_one((digested.hash, query));
        let entry =
            Entry { hash, request: Arc::clone(request), query: query.clone(), rewrite: rewrite.clone() };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.rewrites.find(hash, |entry| entry.is(request, query)).is_some() {
            return;
        }
        if known.size + size > MAX_KEPT {
            *known = Known::default();
        }
        known.size += size;
        known.rewrites.insert_unique(hash, entry, |entry| entry.hash);
    }
}

impl Entry {
    /// Whether it is the answer to this. Entries whose hashes are alike are told apart by this alone.
    fn is(&self, request: &Request, query: &Query) -> bool {
        (std::ptr::eq(&raw const *self.request, request) || *self.request == *request) && self.query == *query
    }
}

/// Hashes, and counts what was hashed.
struct Counted<H> {
    hasher: H,
    count: usize,
}

impl<H: Hasher> Hasher for Counted<H> {
    fn write(&mut self, bytes: &[u8]) {
        self.count += bytes.len();
        self.hasher.write(bytes);
    }

    fn finish(&self) -> u64 {
        self.hasher.finish()
    }
}

/// How many bytes something holds, roughly: as many as are hashed.
fn size_of_contents(contents: &impl Hash) -> usize {
    struct Nothing;
    impl Hasher for Nothing {
        fn write(&mut self, _: &[u8]) {}

        fn finish(&self) -> u64 {
            0
        }
    }
    let mut counted = Counted { hasher: Nothing, count: 0 };
    contents.hash(&mut counted);
    counted.count
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tamis_core::Filter;

    use super::*;

    fn request(user: &str) -> Arc<Request> {
        let json = format!(r#"{{"subject":{{"type":"User","id":"{user}"}},"action":{{"name":"retrieve"}}}}"#);
        Arc::new(Request::from_json(&json).unwrap())
    }

    fn rewrite(exact: bool) -> Rewrite {
        let (needs, errors, partial) = (Arc::default(), BTreeSet::new(), BTreeSet::new());
        Rewrite { filter: Filter::Always.into(), exact, needs, errors, partial }
    }

    fn keep(rewrites: &Rewrites, request: &Arc<Request>, query: &Query) {
        rewrites.keep(rewrites.digest(request), request, query, &rewrite(true));
    }

    fn get(rewrites: &Rewrites, request: &Request, query: &Query) -> Option<Rewrite> {
        rewrites.get(rewrites.digest(request), request, query)
    }

    #[test]
    fn what_was_asked_before_is_answered_so_and_nothing_else_is() {
        let (rewrites, query) = (Rewrites::default(), Query { collection: "c".to_owned(), k: 5 });
        keep(&rewrites, &request("a"), &query);
        assert_eq!(get(&rewrites, &request("a"), &query), Some(rewrite(true)));
        assert_eq!(get(&rewrites, &request("b"), &query), None);
        assert_eq!(get(&rewrites, &Request::clone(&request("a")).with_action("index"), &query), None);
        assert_eq!(get(&rewrites, &request("a"), &Query { k: 6, ..query.clone() }), None);
        assert_eq!(get(&rewrites, &request("a"), &Query { collection: "d".to_owned(), ..query }), None);
    }

    #[test]
    fn only_the_same_question_is_the_same() {
        let (query, rewrite) = (Query { collection: "c".to_owned(), k: 5 }, rewrite(true));
        let entry = Entry { hash: 0, request: request("a"), query: query.clone(), rewrite };
        assert!(entry.is(&request("a"), &query) && entry.is(&entry.request, &query));
        assert!(!entry.is(&request("b"), &query));
        assert!(!entry.is(&Request::clone(&request("a")).with_action("index"), &query));
        assert!(!entry.is(&entry.request, &Query { k: 6, ..query.clone() }));
        assert!(!entry.is(&entry.request, &Query { collection: "d".to_owned(), ..query }));
    }

    #[test]
    fn little_is_kept() {
        let (rewrites, query) = (Rewrites::default(), Query { collection: String::new(), k: 5 });
        for number in 0..20_000 {
            keep(&rewrites, &request(&number.to_string()), &query);
        }
        let known = rewrites.known.lock().unwrap();
        assert!(known.size <= MAX_KEPT && (1..10_000).contains(&known.rewrites.len()));
        let (size, count) = (known.size, known.rewrites.len());
        drop(known);
        let large = request(&"x".repeat(MAX_SIZE));
        keep(&rewrites, &large, &query);
        assert_eq!(get(&rewrites, &large, &query), None);
        // What is kept already takes no more room.
        keep(&rewrites, &request("19999"), &query);
        let known = rewrites.known.lock().unwrap();
        assert_eq!((known.size, known.rewrites.len()), (size, count));
    }
}
