//! Rewrites that were made before. A policy imports nothing, so to the same request it has the same answer for as long as it lives.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::{Equivalent, HashMap};
use tamis_core::{Query, Request, Rewrite};

/// So many bytes of requests and filters are kept; when there are more, all are forgotten.
const MAX_KEPT: usize = 8 << 20;
/// One that is larger is not kept.
const MAX_SIZE: usize = 256 << 10;
/// What an entry takes besides its contents.
const ENTRY: usize = 1024;

#[derive(Default)]
pub(crate) struct Rewrites {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    rewrites: HashMap<Asked, Rewrite>,
    size: usize,
}

#[derive(PartialEq, Eq, Hash)]
struct Asked {
    request: Arc<Request>,
    query: Query,
}

/// As [`Asked`], which hashes to the same.
#[derive(Hash)]
struct Ask<'a> {
    request: &'a Request,
    query: &'a Query,
}

impl Equivalent<Asked> for Ask<'_> {
    fn equivalent(&self, asked: &Asked) -> bool {
        *self.request == *asked.request && *self.query == asked.query
    }
}

impl Rewrites {
    pub(crate) fn get(&self, request: &Request, query: &Query) -> Option<Rewrite> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.rewrites.get(&Ask { request, query }).cloned()
    }

    pub(crate) fn keep(&self, request: &Arc<Request>, query: &Query, rewrite: &Rewrite) {
        let size =
            ENTRY + size_of_contents(&Ask { request, query }) * 2 + size_of_contents(&rewrite.filter) * 4;
        if size > MAX_SIZE {
            return;
        }
        let asked = Asked { request: Arc::clone(request), query: query.clone() };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.size + size > MAX_KEPT {
            *known = Known::default();
        }
        known.size += size;
        known.rewrites.insert(asked, rewrite.clone());
    }
}

/// How many bytes something holds, roughly: as many as are hashed.
fn size_of_contents(contents: &impl Hash) -> usize {
    struct Count(usize);
    impl Hasher for Count {
        fn write(&mut self, bytes: &[u8]) {
            self.0 += bytes.len();
        }

        fn finish(&self) -> u64 {
            0
        }
    }
    let mut count = Count(0);
    contents.hash(&mut count);
    count.0
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
        let (needs, errors, partial) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        Rewrite { filter: Filter::Always, exact, needs, errors, partial }
    }

    #[test]
    fn what_was_asked_before_is_answered_so_and_nothing_else_is() {
        let (rewrites, query) = (Rewrites::default(), Query { collection: "c".to_owned(), k: 5 });
        rewrites.keep(&request("a"), &query, &rewrite(true));
        assert_eq!(rewrites.get(&request("a"), &query), Some(rewrite(true)));
        assert_eq!(rewrites.get(&request("b"), &query), None);
        assert_eq!(rewrites.get(&Request::clone(&request("a")).with_action("index"), &query), None);
        assert_eq!(rewrites.get(&request("a"), &Query { k: 6, ..query.clone() }), None);
        assert_eq!(rewrites.get(&request("a"), &Query { collection: "d".to_owned(), ..query }), None);
    }

    /// Entries whose hashes are alike are told apart by this alone.
    #[test]
    fn only_the_same_question_is_the_same() {
        let query = Query { collection: "c".to_owned(), k: 5 };
        let asked = Asked { request: request("a"), query: query.clone() };
        let same = |request: &Request, query: &Query| Ask { request, query }.equivalent(&asked);
        assert!(same(&request("a"), &query));
        assert!(!same(&request("b"), &query));
        assert!(!same(&Request::clone(&request("a")).with_action("index"), &query));
        assert!(!same(&request("a"), &Query { k: 6, ..query.clone() }));
        assert!(!same(&request("a"), &Query { collection: "d".to_owned(), ..query }));
    }

    #[test]
    fn little_is_kept() {
        let (rewrites, query) = (Rewrites::default(), Query { collection: String::new(), k: 5 });
        for number in 0..20_000 {
            rewrites.keep(&request(&number.to_string()), &query, &rewrite(true));
        }
        let known = rewrites.known.lock().unwrap();
        assert!(known.size <= MAX_KEPT && (1..10_000).contains(&known.rewrites.len()));
        drop(known);
        let large = request(&"x".repeat(MAX_SIZE));
        rewrites.keep(&large, &query, &rewrite(true));
        assert_eq!(rewrites.get(&large, &query), None);
    }
}
