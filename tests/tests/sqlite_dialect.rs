//! The SQLite dialect against the reference evaluator: a real SQLite, written by the store, selects every chunk that a
//! filter matches, and no other where the translation says that it is exact.
//!
//! Seed and number of cases are fixed; `PROPTEST_RNG_SEED` and `PROPTEST_CASES` change them for one run.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failure here is a failure of the test"
)]

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use rusqlite::Connection;
use rusqlite::types::Value as SqlValue;
use tamis_core::filter::{Attribute, Filter, MAX_DEPTH, Operand, Test};
use tamis_core::{Chunk, EntityUid, Type, Value};
use tamis_dialect::{Dialect, Parameter, Sql, Sqlite, Translation};
use tamis_retrieve::{By, Store, VectorSource};
use tamis_tests::generate::{self, MARKER, hold};
use tempfile::TempDir;

/// Filters per run, each over all of the chunks: some seconds.
const FILTERS: u32 = 4_000;
/// Chunks that each filter meets.
const CHUNKS: usize = 100;
/// Batches of [`AIMED`] tests, each over a chunk made for it.
const BATCHES: u32 = 60;
/// Tests in a batch: enough to make a transaction worth its cost.
const AIMED: usize = 60;

#[test]
fn sqlite_selects_what_a_filter_matches() {
    let table = Table::of(generate::chunks(CHUNKS));
    let (exact, selective, bound) = (Cell::new(0_u32), Cell::new(0_u32), Cell::new(0_u32));
    let seen = Cell::new(0_u32);
    hold(FILTERS, generate::filter(), |filter| {
        let translation = Sqlite::default().translate(&filter);
        nothing_is_spelled_out(&translation.native)?;
        let matched = table.check(&filter, &translation)?;
        seen.set(seen.get() + 1);
        if translation.is_exact() {
            exact.set(exact.get() + 1);
            selective.set(selective.get() + u32::from(matched > 0 && matched < table.chunks.len()));
        }
        let marked =
            |parameter: &Parameter| matches!(parameter, Parameter::Text(text) if text.contains(MARKER));
        bound.set(bound.get() + u32::from(translation.native.parameters.iter().any(marked)));
        Ok(())
    });
    let percent = |count: &Cell<u32>| count.get() * 100 / seen.get();
    let (exact, selective, bound) = (percent(&exact), percent(&selective), percent(&bound));
    println!(
        "{} filters: {exact} % exact, {selective} % exact and selective, {bound} % bind a marker",
        seen.get()
    );
    assert!((40..=95).contains(&exact), "{exact} % exact: the filters do not test both sides");
    assert!(selective >= 10, "{selective} % exact and selective: the filters hardly meet the chunks");
    assert!(bound >= 10, "{bound} % bind a marker: it cannot be missed in the text");
}

#[test]
fn sqlite_finds_what_was_made_for_a_test() {
    let store = RefCell::new(ReusedStore::new());
    let (exact, hit, seen) = (Cell::new(0_u32), Cell::new(0_u32), Cell::new(0_u32));
    let batch = prop::collection::vec((generate::attribute_test(), generate::aim()), 1..=AIMED);
    hold(BATCHES, batch, |batch| {
        let aim = |(index, ((attribute, test), aim)): (usize, &((Attribute, Test), generate::Aim))| {
            generate::aimed_at(&index.to_string(), attribute, test, *aim)
        };
        let mut store = store.borrow_mut();
        let bare = (batch.len()..AIMED).map(|index| Chunk::new(index.to_string()));
        let table = store.replace(batch.iter().enumerate().map(aim).chain(bare).collect());
        for (index, ((attribute, test), _)) in batch.into_iter().enumerate() {
            let filter = Filter::Test(Operand::Attribute(attribute.into()), test);
            let translation = Sqlite::default().translate(&filter);
            nothing_is_spelled_out(&translation.native)?;
            table.check(&filter, &translation)?;
            seen.set(seen.get() + 1);
            exact.set(exact.get() + u32::from(translation.is_exact()));
            hit.set(hit.get() + u32::from(filter.matches(&table.chunks[index])));
        }
        Ok(())
    });
    let (exact, hit) = (exact.get() * 100 / seen.get(), hit.get() * 100 / seen.get());
    println!("{} tests: {exact} % exact, {hit} % hit their own chunk", seen.get());
    assert!((50..=95).contains(&exact), "{exact} % exact");
    assert!((20..=80).contains(&hit), "{hit} % hit");
}

#[test]
fn constants_are_constants() {
    let table = Table::of(generate::chunks(20));
    let exists = attribute_filter("a", None, Test::Exists);
    for (filter, text) in [
        (Filter::Always, "1"),
        (Filter::Never, "0"),
        (Filter::And(vec![]), "1"),
        (Filter::Or(vec![]), "0"),
        (Filter::And(vec![exists.clone(), Filter::Never]), "0"),
        (Filter::Or(vec![exists, Filter::Always]), "1"),
        (Filter::Not(Box::new(Filter::Never)), "1"),
        (attribute_filter("a", None, Test::OneOf(vec![].into())), "0"),
    ] {
        let translation = Sqlite::default().translate(&filter);
        assert_eq!(translation.native, Sql { text: text.to_owned(), parameters: vec![] }, "{filter:?}");
        assert!(translation.is_exact());
        let everything = if text == "1" { table.chunks.len() } else { 0 };
        assert_eq!(table.select(&translation.native).len(), everything, "{filter:?}");
    }
}

#[test]
fn long_lists_are_one_parameter() {
    let count = 100_000_i64;
    let texts: Vec<Value> = (0..count).map(|n| Value::String(format!("group-{n}"))).collect();
    let longs: Vec<Value> = (0..count).map(Value::Long).collect();
    let uids: Vec<Value> =
        (0..count).map(|n| Value::Entity(EntityUid::new("Folder", n.to_string()))).collect();
    let set = |element: Type| Some(Type::Set(Box::new(element)));
    let table = Table::of(
        [
            r#"{"id":"hit","type":"Folder","attributes":{"t":"group-99999","n":99999,"ts":["x","group-99999"],"ns":[-1,99999]},
                "parents":[{"type":"Folder","id":"99999"}]}"#,
            r#"{"id":"99999","type":"Folder","attributes":{"t":"group-100000","n":100000,"ts":["group"],"ns":[]},
                "parents":[{"type":"Folder","id":"100000"}]}"#,
            r#"{"id":"bare"}"#,
        ]
        .map(tamis_tests::chunk)
        .into(),
    );
    for filter in [
        attribute_filter("t", None, Test::OneOf(texts.clone().into())),
        attribute_filter("n", None, Test::OneOf(longs.clone().into())),
        attribute_filter("ts", set(Type::String), Test::ContainsAny(texts.clone().into())),
        attribute_filter("ts", set(Type::String), Test::ContainsAll(texts.into())),
        attribute_filter("ns", set(Type::Long), Test::ContainsAny(longs.into())),
        Filter::Test(Operand::Id, Test::OneOf(uids.clone().into())),
        Filter::Test(Operand::Ancestors, Test::ContainsAny(uids.clone().into())),
        Filter::Test(Operand::Ancestors, Test::ContainsAll(uids.into())),
    ] {
        let translation = quick(|| Sqlite::default().translate(&filter));
        assert!(translation.is_exact());
        assert!(translation.native.parameters.len() < 10 && translation.native.text.len() < 1000);
        quick(|| table.check(&filter, &translation)).unwrap();
    }
}

#[test]
fn wide_and_deep_filters_run() {
    let chunks =
        (0..20).map(|n| tamis_tests::chunk(&format!(r#"{{"id":"{n}","attributes":{{"n":{n},"t":"{n}"}}}}"#)));
    let table = Table::of(chunks.collect());
    let number = |n: i64| attribute_filter("n", Some(Type::Long), Test::Equals(Value::Long(n)));
    let text = |n: i64| attribute_filter("t", None, Test::StartsWith(n.to_string()));
    let not = |filter: Filter| Filter::Not(Box::new(filter));
    let parts = 3_000_i64;
    let alternating = (0..MAX_DEPTH as i64).fold(number(3), |inner, level| match level % 3 {
        0 => Filter::Or(vec![inner, number(level), text(100 + level)]),
        1 => not(inner),
        _ => Filter::And(vec![inner, not(text(level)), not(number(level))]),
    });
    for (filter, matched) in [
        (Filter::Or((5..parts).map(number).collect()), 15),
        (Filter::And((5..parts).map(|n| not(number(n))).collect()), 5),
        (not(any_of((5..parts).map(text).collect())), 5),
        (any_of((5..parts).map(|n| Filter::And(vec![number(n), text(n)])).collect()), 15),
        (
            Filter::And(vec![
                any_of((0..parts).map(number).collect()),
                not(any_of((7..parts).map(number).collect())),
            ]),
            7,
        ),
        (alternating.clone(), table.chunks.iter().filter(|chunk| alternating.matches(chunk)).count()),
    ] {
        let translation = quick(|| Sqlite::default().translate(&filter));
        assert!(translation.is_exact());
        assert_eq!(quick(|| table.check(&filter, &translation)).unwrap(), matched);
    }
}

#[test]
fn what_is_too_large_for_sqlite_is_left_out() {
    let chunks = (0..20).map(|n| tamis_tests::chunk(&format!(r#"{{"id":"{n}","attributes":{{"n":{n}}}}}"#)));
    let table = Table::of(chunks.collect());
    let number = |n: i64| attribute_filter("n", None, Test::Equals(Value::Long(n)));
    let exists = |name: String| attribute_filter(&name, None, Test::Exists);
    // Four values each: either of these fits, both together do not.
    let low = any_of((0..4_100).map(number).collect());
    let high = any_of((10..4_110).map(number).collect());
    // A hundred levels, each of nine connectives and a negation.
    let deep = (0..MAX_DEPTH).fold(exists("n".to_owned()), |inner, level| {
        let names = (0..300).map(|index| exists(format!("{level}.{index}")));
        let parts = std::iter::once(inner).chain(names).collect();
        Filter::Not(Box::new(if level % 2 == 0 { Filter::Or(parts) } else { Filter::And(parts) }))
    });
    for (filter, selected) in [
        (Filter::And(vec![low.clone(), high.clone()]), 20),
        (Filter::And(vec![high.clone(), low.clone()]), 10),
        (Filter::And(vec![number(3), deep.clone()]), 1),
        (any_of(vec![low, high]), 20),
        (deep, 20),
    ] {
        let translation = Sqlite::default().translate(&filter);
        assert_eq!(translation.widened, ["a part that is too large for SQLite"]);
        assert_eq!(table.select(&translation.native).len(), selected);
        table.check(&filter, &translation).unwrap();
    }
}

// ---- SQLite ----

/// Chunks in a database that the store wrote.
struct Table {
    chunks: Vec<Chunk>,
    store: Store,
    connection: Connection,
    _folder: TempDir,
}

impl Table {
    fn of(chunks: Vec<Chunk>) -> Self {
        let mut reused = ReusedStore::new();
        reused.replace(chunks);
        reused.0
    }

    /// Asserts that SQLite selects what `filter` matches, or more if the translation says so, and that the store does
    /// the same when it searches. Returns how many chunks the filter matches.
    fn check(&self, filter: &Filter, translation: &Translation<Sql>) -> Result<usize, TestCaseError> {
        let matched: BTreeSet<&str> = self
            .chunks
            .iter()
            .filter(|chunk| filter.matches(chunk))
            .map(|chunk| chunk.uid.id.as_str())
            .collect();
        let selected = self.select(&translation.native);
        let selected: BTreeSet<&str> = selected.iter().map(String::as_str).collect();
        for id in matched.symmetric_difference(&selected) {
            let missed = matched.contains(id);
            let chunk = self.chunks.iter().find(|chunk| chunk.uid.id == *id).unwrap();
            if !generate::is_normal(chunk, filter) {
                continue;
            }
            let what = if missed { "matches but is not selected" } else { "is selected but does not match" };
            prop_assert!(!missed && !translation.is_exact(), "{chunk:?} {what} by {:?}", translation.native);
        }
        let opened = self.store.open(By::Vector(&[1.0, 0.0]), filter).unwrap();
        prop_assert_eq!(&opened.widened, &translation.widened);
        let mut candidates = opened.candidates;
        let found = candidates.next_page(self.chunks.len() + 1).unwrap();
        let found: Vec<Chunk> = found.into_iter().map(|candidate| candidate.chunk.unwrap()).collect();
        let found: BTreeSet<&str> = found.iter().map(|chunk| chunk.uid.id.as_str()).collect();
        prop_assert_eq!(found, selected);
        Ok(matched.len())
    }

    fn select(&self, sql: &Sql) -> BTreeSet<String> {
        let parameters = sql.parameters.iter().map(|parameter| match parameter {
            Parameter::Text(text) => SqlValue::Text(text.clone()),
            Parameter::Integer(number) => SqlValue::Integer(*number),
            Parameter::Real(number) => SqlValue::Real(*number),
        });
        let text = format!("SELECT chunk_id FROM chunks WHERE {}", sql.text);
        let mut query = self.connection.prepare(&text).unwrap();
        let rows = query.query_map(rusqlite::params_from_iter(parameters), |row| row.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }
}

/// A database whose chunks are replaced again and again.
struct ReusedStore(Table);

impl ReusedStore {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chunks.sqlite");
        let store = Store::create(&path).unwrap();
        let connection = Connection::open(&path).unwrap();
        Self(Table { chunks: Vec::new(), store, connection, _folder: folder })
    }

    /// Stores `chunks`, which have at least the ids of those before, each with a vector, and reads them back.
    fn replace(&mut self, chunks: Vec<Chunk>) -> &Table {
        let mut transaction = self.0.store.begin().unwrap();
        for chunk in &chunks {
            transaction.put(&Chunk { vector: Some(vec![0.5, 0.5]), ..chunk.clone() }).unwrap();
        }
        transaction.commit().unwrap();
        for chunk in &chunks {
            assert_eq!(self.0.store.get(&chunk.uid.id).unwrap().as_ref(), Some(chunk));
        }
        self.0.chunks = chunks;
        &self.0
    }
}

/// The text holds question marks for values and only the dialect's own words.
fn nothing_is_spelled_out(sql: &Sql) -> TestCaseResult {
    prop_assert_eq!(sql.text.matches('?').count(), sql.parameters.len());
    prop_assert!(!sql.text.contains(MARKER), "{}", sql.text);
    let literals: BTreeSet<&str> = sql.text.split('\'').skip(1).step_by(2).collect();
    let own = ["", "array", "false", "integer", "null", "real", "text", "true"].into();
    prop_assert!(literals.is_subset(&own), "{:?}", literals);
    let numbers: BTreeSet<&str> =
        sql.text.split(|c: char| !c.is_alphanumeric()).filter(|word| word.parse::<i64>().is_ok()).collect();
    prop_assert!(numbers.is_subset(&["0", "1"].into()), "{:?}", numbers);
    Ok(())
}

fn attribute_filter(name: &str, declared: Option<Type>, test: Test) -> Filter {
    Filter::Test(Operand::Attribute(Attribute { path: vec![name.to_owned()], declared }.into()), test)
}

/// A disjunction in groups of a hundred, which the dialect opens. Folding a flat one costs the square of its length.
fn any_of(parts: Vec<Filter>) -> Filter {
    Filter::Or(parts.chunks(100).map(|group| Filter::Or(group.to_vec())).collect())
}

/// Runs something that would take minutes if its cost grew with the square of what it is given.
fn quick<T>(action: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let result = action();
    let taken = begun.elapsed();
    assert!(taken < Duration::from_secs(10), "it took {taken:?}");
    result
}
