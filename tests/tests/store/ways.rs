//! The ways in which the store finds what a filter matches: by terms, by a pass over all metadata, or by testing what is near. Whichever it
//! takes, it finds what the reference evaluator matches, in order.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use rusqlite::Connection;
use serde_json::json;
use tamis_compiler::Named;
use tamis_core::filter::{Attribute, Operand, Test};
use tamis_core::{Chunk, Filter, Request, Type, Value, normal};
use tamis_retrieve::{By, Question, Store, VectorSource, search};
use tamis_runtime::{PolicyHandle, Runtime};
use tamis_tests::{generate, patient, rewriting};

use crate::corpus::{Database, ids, log_of, placed, ranked, vectors};

const QUERY: &[f32] = &[1.0, 0.5, -0.5, 0.2];

/// Every `COPIES`-th of a large table is a copy of the same chunk. The terms of one are few enough to be looked up.
const COPIES: usize = 15;

fn serving(policies: &str, schema: Option<&str>) -> PolicyHandle {
    let named = |text| Named { name: "p", text };
    let component = tamis_compiler::compile("p", named(policies), schema.map(named)).unwrap().component;
    PolicyHandle::new(&Runtime::shared().unwrap(), &component, patient()).unwrap()
}

/// Chunks with a vector and a text each, and an id of its own.
fn complete(chunks: impl IntoIterator<Item = Chunk>) -> Vec<Chunk> {
    let mut chunks: Vec<Chunk> = chunks.into_iter().collect();
    let mut seen = BTreeSet::new();
    for ((index, chunk), vector) in chunks.iter_mut().enumerate().zip(vectors(20_000, 4)) {
        if !seen.insert(chunk.uid.id.clone()) {
            chunk.uid.id = format!("{} {index}", chunk.uid.id);
        }
        chunk.vector = Some(vector);
        chunk.text = Some(format!("{} word {index}", if index % 7 == 0 { "rare" } else { "" }));
    }
    chunks
}

fn stored(chunks: &[Chunk]) -> Database {
    let mut database = Database::new();
    put(&mut database.store, chunks);
    database
}

fn put(store: &mut Store, chunks: &[Chunk]) {
    let mut transaction = store.begin().unwrap();
    for chunk in chunks {
        transaction.put(chunk).unwrap();
    }
    transaction.commit().unwrap();
}

/// How often the store took each of its ways meanwhile.
fn ways(action: impl FnOnce()) -> BTreeMap<&'static str, usize> {
    let said = log_of(action);
    let ways = [r#"way="terms""#, r#"way="sample""#, r#"way="metadata""#];
    ways.map(|way| (way, said.matches(way).count())).into()
}

/// Asserts that searches narrowed by `filter` find all that it matches and nothing else, nearest first, and the first ten of these.
fn check(store: &Store, handle: &PolicyHandle, chunks: &[Chunk], filter: &Filter) -> TestCaseResult {
    let request =
        Request::from_json(r#"{"subject":{"type":"User","id":"u"},"action":{"name":"read"}}"#).unwrap();
    let find = |by: By<'_>, k: usize| {
        let question = Question::new(&request, by, u32::try_from(k).unwrap());
        let found = search(store, handle, &Question { filter: Some(filter), ..question }).unwrap();
        assert!(found.complete);
        found
    };
    // What is not spelled as the admit gate has it stored may be missed.
    let must = |index: usize| filter.matches(&chunks[index]);
    let may_miss = |index: usize| !generate::is_normal(&chunks[index], filter);
    let order: Vec<(usize, f64)> = ranked(chunks, QUERY);
    let certain: Vec<&str> = order
        .iter()
        .filter(|(index, _)| must(*index) && !may_miss(*index))
        .map(|(index, _)| chunks[*index].uid.id.as_str())
        .collect();
    let doubtful: BTreeSet<&str> = order
        .iter()
        .filter(|(index, _)| must(*index) && may_miss(*index))
        .map(|(index, _)| chunks[*index].uid.id.as_str())
        .collect();
    let is_certain = |id: &&str| !doubtful.contains(id);
    let found = find(By::Vector(QUERY), chunks.len());
    let found_ids = ids(&found);
    prop_assert_eq!(found_ids.iter().copied().filter(is_certain).collect::<Vec<_>>(), certain.clone());
    let distances: BTreeMap<&str, f64> =
        order.iter().map(|(index, distance)| (chunks[*index].uid.id.as_str(), *distance)).collect();
    for hit in &found.hits {
        prop_assert!((hit.distance - distances[hit.chunk.uid.id.as_str()]).abs() < 1e-5);
    }
    let first = find(By::Vector(QUERY), 10);
    prop_assert_eq!(ids(&first), &found_ids[..found_ids.len().min(10)]);
    for (word, every) in [("word", 1), ("rare", 7)] {
        let found = find(By::Text(word), chunks.len());
        let with_word = |index: &usize| index.is_multiple_of(every) && must(*index) && !may_miss(*index);
        let expected: BTreeSet<&str> =
            (0..chunks.len()).filter(with_word).map(|index| chunks[index].uid.id.as_str()).collect();
        prop_assert_eq!(ids(&found).into_iter().filter(is_certain).collect::<BTreeSet<_>>(), expected);
        prop_assert!(found.hits.is_sorted_by(|a, b| a.distance <= b.distance));
        let first = find(By::Text(word), 10);
        prop_assert_eq!(ids(&first), &ids(&found)[..found.hits.len().min(10)]);
    }
    Ok(())
}

/// Filters of any kind, and more often than these do such as look for something.
fn filter() -> BoxedStrategy<Filter> {
    let test = || {
        generate::attribute_test()
            .prop_map(|(attribute, test)| Filter::Test(Operand::Attribute(attribute.into()), test))
    };
    prop_oneof![
        generate::filter(),
        test(),
        prop::collection::vec(test(), 2..4).prop_map(Filter::And),
        prop::collection::vec(test(), 2..4).prop_map(Filter::Or),
        (test(), generate::filter()).prop_map(|(test, filter)| Filter::And(vec![filter, test])),
    ]
    .boxed()
}

#[test]
fn whatever_the_way_what_matches_is_found() {
    let handle = serving("permit(principal, action, resource);", None);
    let base = generate::chunks(100);
    let large = complete((0..COPIES).flat_map(|_| base.clone()));
    let small = complete(base);
    let (large_store, small_store) = (stored(&large), stored(&small));
    let said = ways(|| {
        generate::hold(300, filter(), |filter| {
            check(&large_store.store, &handle, &large, &filter)?;
            check(&small_store.store, &handle, &small, &filter)
        });
    });
    println!("{said:?}");
    assert!(said.values().all(|count| *count >= 60), "{said:?}");
}

/// What is asked for lies in what was made for it, so that a term that is missing is a hit that is missing.
#[test]
fn what_was_made_for_a_test_is_found_among_many() {
    let handle = serving("permit(principal, action, resource);", None);
    let others = generate::chunks(200);
    let database = RefCell::new(Database::new());
    let [hits, seen] = [const { Cell::new(0_usize) }; 2];
    let said = ways(|| {
        let batch = prop::collection::vec((generate::attribute_test(), generate::aim()), 20);
        generate::hold(20, batch, |batch| {
            let aimed = batch.iter().enumerate().map(|(index, ((attribute, test), aim))| {
                generate::aimed_at(&index.to_string(), attribute, test, *aim)
            });
            let chunks = complete(aimed.chain(others.clone()));
            // Half of these replace what the batch before was made for.
            put(&mut database.borrow_mut().store, &chunks);
            for (index, ((attribute, test), _)) in batch.into_iter().enumerate() {
                let filter = Filter::Test(Operand::Attribute(attribute.into()), test);
                check(&database.borrow().store, &handle, &chunks, &filter)?;
                seen.set(seen.get() + 1);
                hits.set(hits.get() + usize::from(filter.matches(&chunks[index])));
            }
            Ok(())
        });
    });
    let (hits, seen) = (hits.get(), seen.get());
    println!("{hits} of {seen} hit, {said:?}");
    assert!(hits * 5 > seen && said[r#"way="terms""#] > 100, "{hits} of {seen} hit, {said:?}");
}

/// Typed values, as policies compare them and the admit gate spells them.
#[test]
fn what_a_policy_allows_is_found_by_terms() {
    let lines = generate::sample(60, rewriting::chunk());
    let lines = lines.iter().map(|line| Chunk::from_json(&line.to_string()).unwrap());
    let bare = (0..900).map(|index| Chunk::new(format!("bare {index}")));
    let chunks = complete(lines.chain(bare));
    let database = RefCell::new(stored(&chunks));
    let [narrowed, denied] = [const { Cell::new(0_usize) }; 2];
    let said = ways(|| {
        generate::hold(100, (rewriting::policies(), rewriting::request()), |(policies, request)| {
            let handle = serving(&policies, Some(rewriting::SCHEMA));
            let request = Request::from_json(&request.to_string()).unwrap();
            let generation = handle.current();
            let mut chunks = chunks.clone();
            for chunk in &mut chunks {
                normal::normalise(chunk, &generation.policy().manifest().footprint);
            }
            put(&mut database.borrow_mut().store, &chunks[..60]);
            let decisions = generation.policy().session(&request).filter(&chunks).unwrap();
            let allowed: BTreeSet<&str> = chunks
                .iter()
                .zip(&decisions)
                .filter_map(|(chunk, decision)| decision.allow.then_some(chunk.uid.id.as_str()))
                .collect();
            let store = &database.borrow().store;
            let question = Question::new(&request, By::Vector(QUERY), 1_000);
            let found = search(store, &handle, &question).unwrap();
            prop_assert_eq!(ids(&found).into_iter().collect::<BTreeSet<_>>(), allowed.clone());
            let few = search(store, &handle, &Question { k: 5, ..question }).unwrap();
            prop_assert_eq!(ids(&few), &ids(&found)[..allowed.len().min(5)]);
            narrowed.set(narrowed.get() + usize::from(!allowed.is_empty() && allowed.len() < chunks.len()));
            denied.set(denied.get() + found.denied);
            Ok(())
        });
    });
    println!("{} narrow, {} denied, {said:?}", narrowed.get(), denied.get());
    assert!(narrowed.get() >= 30 && said[r#"way="terms""#] >= 60, "{} {said:?}", narrowed.get());
}

fn of_tenant(tenant: &str) -> Filter {
    let attribute = Attribute { path: vec!["tenant".to_owned()], declared: Some(Type::String) };
    Filter::Test(Operand::Attribute(attribute.into()), Test::Equals(Value::String(tenant.to_owned())))
}

#[test]
fn a_replaced_chunk_leaves_no_terms() {
    let terms = |database: &Database| -> BTreeSet<(String, i64)> {
        let connection = Connection::open(database.path()).unwrap();
        let sql = "SELECT chunk_id, term FROM terms LEFT JOIN chunks ON rowid = row";
        let mut query = connection.prepare(sql).unwrap();
        let rows = query.query_map([], |row| Ok((row.get(0).unwrap(), row.get(1).unwrap()))).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    let (mut first, second) = (generate::chunks(100), generate::chunks(200).split_off(100));
    let mut replaced = stored(&first);
    for (chunk, other) in first.iter_mut().zip(second).step_by(2) {
        (chunk.attributes, chunk.ancestors) = (other.attributes, other.ancestors);
    }
    assert_ne!(terms(&replaced), terms(&stored(&first)));
    put(&mut replaced.store, &first);
    assert_eq!(terms(&replaced), terms(&stored(&first)));
    assert!(terms(&replaced).len() > 300);

    // Whatever the file holds of it, if that cannot be read.
    let mut damaged = stored(&first);
    let connection = Connection::open(damaged.path()).unwrap();
    connection.execute_batch(r#"UPDATE chunks SET ancestors = '[7]'"#).unwrap();
    assert!(damaged.store.get(&first[0].uid.id).is_err());
    put(&mut damaged.store, &first);
    assert_eq!(terms(&damaged), terms(&replaced));
}

#[test]
fn what_is_found_by_terms_is_of_one_state() {
    let tenant = |index: usize| if index.is_multiple_of(20) { "few" } else { "many" };
    let chunks: Vec<Chunk> = vectors(400, 4)
        .iter()
        .enumerate()
        .map(|(index, vector)| {
            let mut chunk = placed(&index.to_string(), 0, &[], vector);
            chunk.attributes.insert("tenant".to_owned(), json!(tenant(index)));
            chunk.text = Some("word".to_owned());
            chunk
        })
        .collect();
    for by in [By::Vector(QUERY), By::Text("word")] {
        let database = stored(&chunks);
        let said = ways(|| {
            let find = || database.store.open(by, &of_tenant("few")).unwrap().candidates;
            let mut opened = find();
            let mut found = opened.next_page(3).unwrap();
            // Another connection takes away what is not found yet, and adds to it.
            let mut changed = chunks.clone();
            for (index, chunk) in changed.iter_mut().enumerate() {
                chunk.attributes.insert("tenant".to_owned(), json!(tenant(index + 1)));
            }
            put(&mut Store::open(&database.path()).unwrap(), &changed);
            found.extend(opened.next_page(7).unwrap());
            found.extend(opened.next_page(50).unwrap());
            let before: BTreeSet<usize> =
                found.iter().map(|found| found.chunk.as_ref().unwrap().uid.id.parse().unwrap()).collect();
            assert_eq!(before, (0..400).step_by(20).collect());
            assert_eq!(found.len(), 20);
            assert!(opened.next_page(1).unwrap().is_empty());
            drop(opened);
            let after = find().next_page(50).unwrap();
            let after: BTreeSet<usize> =
                after.iter().map(|found| found.chunk.as_ref().unwrap().uid.id.parse().unwrap()).collect();
            assert_eq!(after, (19..400).step_by(20).collect());
        });
        assert_eq!(said[r#"way="terms""#], 2, "{said:?}");
    }
}
