//! Many threads and searches that span a replacement: no mixture, no failed call, no way back.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use tamis_core::Filter;
use tamis_retrieve::{By, Candidate, Candidates, Error, Opened, Question, VectorSource, search};
use tamis_runtime::{Admission, Answer, Digest, PolicyHandle};

use super::{allows, bob, chunks, decider, filter_of, handle, name, policy, query};

const READERS: usize = 8;
const SWAPS: u64 = 200;
/// More chunks than one instant decides on, so that swaps fall into batches.
const BATCH: usize = 64;

/// What a reader saw: for each generation, the policy that it said it was and the one that decided.
type Seen = BTreeMap<u64, (Digest, u64)>;

/// Uses all gates until `swapping` is over, and then once more.
fn read_while(swapping: &AtomicBool, handle: &PolicyHandle) -> Seen {
    let (chunks, request, query) = (chunks(BATCH), bob(), query());
    let mut seen = Seen::new();
    let mut newest = 0;
    let mut note = |generation: u64, digest: Digest, decider: u64| {
        assert!(generation >= newest, "generation {generation} answered after generation {newest}");
        newest = generation;
        let before = seen.insert(generation, (digest, decider));
        assert!(before.is_none_or(|before| before == (digest, decider)), "two policies under one number");
    };
    loop {
        let last = !swapping.load(Ordering::SeqCst);

        let Answer { generation, digest, value } = handle.filter(&request, &chunks).unwrap();
        assert_eq!(value.len(), BATCH);
        note(generation, digest, decider(&value));

        let Answer { generation, digest, value } = handle.rewrite(&request, &query).unwrap();
        assert_eq!(*value.filter, filter_of(generation), "policy n is generation n");
        note(generation, digest, generation);

        let Answer { generation, digest, value } = handle.admit(&request, &chunks[..2]).unwrap();
        assert!(value.iter().all(|one| (*one == Admission::Admitted) == allows(generation)), "{value:?}");
        note(generation, digest, generation);

        if last {
            return seen;
        }
    }
}

#[test]
fn every_answer_is_that_of_one_generation() {
    let policies: Vec<Vec<u8>> = (2..=SWAPS + 1).map(policy).collect();
    let handle = handle(1);
    let swapping = AtomicBool::new(true);
    let (swaps, seen) = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS).map(|_| scope.spawn(|| read_while(&swapping, &handle))).collect();
        let swaps: Vec<_> = policies.iter().map(|bytes| handle.replace(bytes)).collect();
        swapping.store(false, Ordering::SeqCst);
        (swaps, readers.into_iter().map(|reader| reader.join().unwrap()).collect::<Vec<_>>())
    });
    for (bytes, swap) in policies.iter().zip(swaps) {
        assert_eq!(swap.unwrap().policy().digest(), Digest::of(bytes));
    }
    let digests: Vec<Digest> =
        std::iter::once(policy(1)).chain(policies).map(|bytes| Digest::of(&bytes)).collect();
    for (generation, (digest, decider)) in seen.iter().flatten() {
        assert_eq!(decider, generation, "policy n is generation n");
        assert_eq!(digests[usize::try_from(*generation).unwrap() - 1], *digest);
    }
    // A call that begins after the last replacement returned uses it.
    assert!(seen.iter().all(|seen| seen.last_key_value().unwrap().0 == &(SWAPS + 1)));
    let generations = seen.iter().map(BTreeMap::len).min().unwrap();
    println!("{READERS} readers, each of which saw {generations} generations or more of {}", SWAPS + 1);
    assert!(generations > 10, "the readers hardly ran while policies were replaced");
}

#[test]
fn replacements_at_once_get_one_number_each() {
    let handle = handle(1);
    let mut replaced: Vec<(u64, Digest, Digest)> = std::thread::scope(|scope| {
        let replacers: Vec<_> = (0..READERS as u64)
            .map(|replacer| {
                let handle = &handle;
                scope.spawn(move || {
                    let bytes = (0..20).map(|turn| policy(2 + replacer * 20 + turn));
                    let replace = |bytes: Vec<u8>| (handle.replace(&bytes).unwrap(), Digest::of(&bytes));
                    let replaced =
                        bytes.map(replace).map(|(it, wanted)| (it.number(), it.policy().digest(), wanted));
                    replaced.collect::<Vec<_>>()
                })
            })
            .collect();
        replacers.into_iter().flat_map(|replacer| replacer.join().unwrap()).collect()
    });
    replaced.sort_unstable();
    let numbers: Vec<u64> = replaced.iter().map(|(number, ..)| *number).collect();
    assert_eq!(numbers, (2..=1 + READERS as u64 * 20).collect::<Vec<_>>());
    assert!(replaced.iter().all(|(_, digest, wanted)| digest == wanted));
    let (number, digest, _) = replaced.last().unwrap();
    assert_eq!((handle.current().number(), handle.current().policy().digest()), (*number, *digest));
}

/// A source that replaces the policy whenever it is asked for something.
struct Restless<'a> {
    handle: &'a PolicyHandle,
    next: Cell<u64>,
    left: Cell<usize>,
    narrowed_by: std::cell::RefCell<Vec<Filter>>,
}

impl Restless<'_> {
    fn swap(&self) {
        self.handle.replace(&policy(self.next.get())).unwrap();
        self.next.set(self.next.get() + 1);
    }
}

impl VectorSource for Restless<'_> {
    fn open<'a>(&'a self, _: By<'a>, filter: &Filter) -> Result<Opened<'a>, Error> {
        self.narrowed_by.borrow_mut().push(filter.clone());
        self.swap();
        // Leaving something out on the wide side makes the search ask for several pages.
        Ok(Opened { candidates: Box::new(self), widened: vec!["everything".to_owned()] })
    }
}

impl Candidates for &Restless<'_> {
    fn next_page(&mut self, wanted: usize) -> Result<Vec<Candidate>, Error> {
        self.swap();
        let wanted = wanted.min(self.left.get()).min(7);
        self.left.set(self.left.get() - wanted);
        Ok(chunks(wanted).into_iter().map(|chunk| Candidate { chunk: Ok(chunk), distance: 1.0 }).collect())
    }
}

#[test]
fn a_search_is_answered_by_the_generation_it_began_with() {
    let handle = handle(1);
    let source =
        Restless { handle: &handle, next: Cell::new(2), left: Cell::new(50), narrowed_by: vec![].into() };
    let request = bob();
    let question = Question::new(&request, By::Text("anything"), 40);

    let found = search(&source, &handle, &question).unwrap();
    assert_eq!(*source.narrowed_by.borrow(), [filter_of(1)]);
    assert_eq!((found.generation, found.digest), (1, Digest::of(&policy(1))));
    assert_eq!((found.hits.len(), found.denied), (40, 0));
    assert!(found.hits.iter().all(|hit| hit.decision.reasons == [name(1)].into()));
    let serving = handle.current().number();
    assert!(serving > 5, "the policy was replaced on every page");

    // The next search begins with what serves now, whatever that is.
    source.left.set(50);
    let found = search(&source, &handle, &question).unwrap();
    assert_eq!(found.generation, serving);
    assert_eq!(found.hits.is_empty(), !allows(serving));
    assert_eq!(source.narrowed_by.borrow()[1], filter_of(serving));
}
