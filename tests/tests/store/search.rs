//! What a search answers, and what it says of its answer: budget, the user's own filter, agents, a policy swap.

use std::collections::BTreeSet;

use proptest::prelude::*;
use tamis_compiler::Named;
use tamis_core::filter::{Attribute, Comparison, Operand, Test};
use tamis_core::request::{INDEX, RETRIEVE};
use tamis_core::{Chunk, Filter, Request, Value};
use tamis_retrieve::{By, Error, Found, Question, VectorSource, search};
use tamis_runtime::{PolicyHandle, Runtime};
use tamis_tests::{chunk, example, generate, patient, principal, request, user, user_with_agent};

use crate::corpus::{Database, Wide, clearance, ids, loader, placed, ranked, replaceable, vectors};

const QUERY: By<'static> = By::Vector(&[1.0, 0.5, -0.5, 0.2]);

/// Three hundred chunks on levels 0 to 3, for analysts, for administrators, or for both.
fn chunks() -> Vec<Chunk> {
    let roles: [&[&str]; 3] = [&["analyst"], &["dba"], &["analyst", "dba"]];
    let chunk = |(index, vector): (usize, &Vec<f32>)| {
        placed(&index.to_string(), i64::try_from(index % 4).unwrap(), roles[index % 3], vector)
    };
    vectors(300, 4).iter().enumerate().map(chunk).collect()
}

/// The ids of the chunks that `may_read` picks, nearest to [`QUERY`] first.
fn nearest(chunks: &[Chunk], may_read: impl Fn(&Chunk) -> bool) -> Vec<&str> {
    let By::Vector(query) = QUERY else { unreachable!() };
    let ranked = ranked(chunks, query).into_iter().map(|(index, _)| &chunks[index]);
    ranked.filter(|chunk| may_read(chunk)).map(|chunk| chunk.uid.id.as_str()).collect()
}

/// What `clearance` lets someone of `acme` read.
fn readable(chunk: &Chunk, clearance: i64, role: &str) -> bool {
    let roles = chunk.attributes["user_roles"].as_array().unwrap();
    chunk.attributes["access_level"].as_i64().unwrap() <= clearance
        && roles.iter().any(|r| r.as_str() == Some(role))
}

fn analyst() -> Request {
    user("bob", "acme", 1, &["analyst"])
}

fn find(source: &impl VectorSource, handle: &PolicyHandle, request: &Request, k: u32) -> Found {
    search(source, handle, &Question::new(request, QUERY, k)).unwrap()
}

/// As [`find`], and each hit says why.
fn explained(source: &impl VectorSource, handle: &PolicyHandle, request: &Request, k: u32) -> Found {
    search(source, handle, &Question { explain: true, ..Question::new(request, QUERY, k) }).unwrap()
}

fn compare(name: &str, comparison: Comparison, bound: Value) -> Filter {
    let attribute = Attribute { path: vec![name.to_owned()], declared: None };
    Filter::Test(Operand::Attribute(attribute.into()), Test::Compare(comparison, bound))
}

// ---- the budget ----

#[test]
fn a_budget_ends_a_search_and_the_answer_says_so() {
    let chunks = chunks();
    let database = Database::of(&chunks);
    let (handle, bob) = (clearance(), analyst());
    let may_read = |chunk: &Chunk| readable(chunk, 1, "analyst");
    let all = nearest(&chunks, |_| true);
    let allowed = nearest(&chunks, may_read);
    // How many chunks of any kind there are up to the k-th readable one.
    let reach = |k: usize| all.iter().position(|id| *id == allowed[k - 1]).unwrap() + 1;
    for (k, budget, complete) in [
        (10, 0, false),
        (10, 1, false),
        (10, 20, false),
        (10, reach(10) - 1, false),
        (10, reach(10), true),
        (10, 299, true),
        (101, 299, false),
        (1000, 301, true),
    ] {
        let question = Question { budget, ..Question::new(&bob, QUERY, u32::try_from(k).unwrap()) };
        let found = search(&Wide(&database.store), handle, &question).unwrap();
        let examined = if complete { allowed.get(k - 1).map_or(all.len(), |_| reach(k)) } else { budget };
        let hits: Vec<&str> = all[..examined].iter().filter(|id| allowed.contains(id)).copied().collect();
        assert_eq!(ids(&found), hits, "k {k}, budget {budget}");
        assert_eq!(
            (found.complete, found.examined, found.denied),
            (complete, examined, examined - hits.len()),
            "k {k}, budget {budget}"
        );
    }
    let question = Question { budget: 3, ..Question::new(&bob, QUERY, 10) };
    let found = search(&database.store, handle, &question).unwrap();
    assert_eq!(ids(&found), allowed[..3]);
    assert_eq!((found.complete, found.examined, found.denied, found.exact), (false, 3, 0, true));
}

#[test]
fn fewer_than_k_is_complete_if_there_are_no_more() {
    let chunks = chunks();
    let database = Database::of(&chunks);
    let allowed = nearest(&chunks, |chunk| readable(chunk, 1, "analyst"));
    let found = find(&database.store, clearance(), &analyst(), 10_000);
    assert_eq!(ids(&found), allowed);
    assert_eq!((found.complete, found.examined, found.denied), (true, allowed.len(), 0));

    let found = find(&Database::new().store, clearance(), &analyst(), 10);
    assert_eq!((found.hits.len(), found.complete, found.examined), (0, true, 0));
}

#[test]
fn who_may_read_nothing_is_not_searched_for() {
    struct Untouchable;
    impl VectorSource for Untouchable {
        fn open<'a>(&'a self, _: By<'a>, filter: &Filter) -> Result<tamis_retrieve::Opened<'a>, Error> {
            panic!("searched with {filter:?}")
        }
    }
    let nobody = request(r#"{"subject":{"type":"User","id":"x"},"action":{"name":"retrieve"}}"#);
    let found = find(&Untouchable, clearance(), &nobody, 10);
    assert_eq!((found.hits.len(), found.complete, found.examined, found.denied), (0, true, 0, 0));
    assert_eq!(found.filter, Filter::Never);

    let question = Question { filter: Some(&Filter::Never), ..Question::new(&nobody, QUERY, 10) };
    assert!(search(&Untouchable, clearance(), &question).unwrap().hits.is_empty());
}

// ---- the question ----

#[test]
fn a_question_that_makes_no_sense_is_refused() {
    let database = Database::of(&chunks());
    let (handle, bob) = (clearance(), analyst());
    let ask = |by: By<'_>, k: u32| search(&database.store, handle, &Question::new(&bob, by, k)).unwrap_err();
    for (by, k, message) in [
        (QUERY, 0, "k is 0; it must be from 1 to 10000"),
        (QUERY, 10_001, "k is 10001; it must be from 1 to 10000"),
        (QUERY, u32::MAX, "k is 4294967295; it must be from 1 to 10000"),
        (By::Vector(&[1.0, 2.0, 3.0]), 1, "the vector has 3 numbers; this database has 4"),
        (By::Vector(&[1.0; 5]), 1, "the vector has 5 numbers; this database has 4"),
        (By::Vector(&[0.0; 4]), 1, "the vector is zero, which has no direction to compare"),
        (By::Vector(&[-0.0; 4]), 1, "the vector is zero, which has no direction to compare"),
        (By::Vector(&[]), 1, "the vector: it is empty"),
        (By::Vector(&[1.0, f32::NAN, 0.0, 0.0]), 1, "the vector: number 1 is not finite"),
        (By::Vector(&[1.0, 0.0, f32::NEG_INFINITY, 0.0]), 1, "the vector: number 2 is not finite"),
        (By::Text(""), 1, "the text has no words to search for"),
    ] {
        let error = ask(by, k);
        assert!(matches!(error, Error::Question(_)), "{error:?}");
        assert_eq!(error.to_string(), message);
    }
}

/// Who may store what it may not read.
#[test]
fn the_permission_to_store_is_none_to_read() {
    let chunks = chunks();
    let database = Database::of(&chunks);
    let loader = loader("acme").with_action(INDEX);
    for by in [QUERY, By::Text("words")] {
        let found = search(&database.store, clearance(), &Question::new(&loader, by, 5));
        assert!(matches!(&found, Err(Error::Question(message)) if message.contains("`index`")), "{found:?}");
    }
    assert!(find(&database.store, clearance(), &loader.with_action(RETRIEVE), 5).hits.is_empty());
}

#[test]
fn vectors_of_any_length_compare_by_direction() {
    let place = |id: &str, vector: [f32; 2]| placed(id, 0, &["analyst"], &vector);
    let chunks = [
        place("east", [1.0, 0.0]),
        place("tiny north-east", [1e-40, 1e-40]),
        place("huge north", [0.0, f32::MAX]),
        place("huge west", [f32::MIN, 1e30]),
        place("tiny south", [-1e-44, -1e-38]),
    ];
    let database = Database::of(&chunks);
    for scale in [1.0, 1e-38, 1e38] {
        let query = [2.0 * scale, scale];
        let bob = analyst();
        let found =
            search(&database.store, clearance(), &Question::new(&bob, By::Vector(&query), 5)).unwrap();
        assert_eq!(
            ids(&found),
            ["tiny north-east", "east", "huge north", "tiny south", "huge west"],
            "{scale}"
        );
        assert!(found.hits.iter().all(|hit| (-1e-6..=2.000_001).contains(&hit.distance)));
    }
}

// ---- the user's own filter ----

#[test]
fn a_filter_of_the_users_own_only_narrows() {
    let mut chunks = chunks();
    for (chunk, other) in chunks.iter_mut().zip(generate::chunks(300)) {
        chunk.attributes.extend(other.attributes);
        chunk.ancestors = other.ancestors;
        chunk.uid = other.uid;
    }
    let database = Database::of(&chunks);
    let (handle, bob) = (clearance(), analyst());
    let narrowed = std::cell::Cell::new(0_u32);
    generate::hold(150, generate::filter(), |own| {
        let allowed = nearest(&chunks, |chunk| readable(chunk, 1, "analyst") && own.matches(chunk));
        narrowed.set(narrowed.get() + u32::from(!allowed.is_empty() && allowed.len() < 100));
        let expected: Vec<&str> = allowed.into_iter().take(10).collect();
        for found in [
            search(
                &database.store,
                handle,
                &Question { filter: Some(&own), ..Question::new(&bob, QUERY, 10) },
            ),
            search(
                &Wide(&database.store),
                handle,
                &Question { filter: Some(&own), ..Question::new(&bob, QUERY, 10) },
            ),
        ] {
            let found = found.unwrap();
            prop_assert_eq!(ids(&found), expected.clone());
            prop_assert!(found.complete);
        }
        Ok(())
    });
    assert!(narrowed.get() >= 15, "{} filters narrowed", narrowed.get());
}

#[test]
fn what_is_redacted_cannot_be_asked_for() {
    let text = r#"
        @redact("salary, text") permit(principal, action, resource);
        permit(principal, action, resource) when { resource has open };
    "#;
    let policies = Named { name: "p.cedar", text };
    let component = tamis_compiler::compile("redacts", policies, None).unwrap().component;
    let handle = PolicyHandle::new(&Runtime::shared().unwrap(), &component, patient()).unwrap();
    let with_salaries = |salaries: [i64; 4]| -> Vec<Chunk> {
        let chunk = |(index, salary): (usize, i64)| {
            let open = if index == 0 { r#","open":true"# } else { "" };
            let text = if salary > 5 { "rich" } else { "poor" };
            chunk(&format!(
                r#"{{"id":"{index}","attributes":{{"name":"n","salary":{salary}{open}}},"text":"{text}","vector":[1,0.{index},0,0]}}"#
            ))
        };
        salaries.into_iter().enumerate().map(chunk).collect()
    };
    let bob = analyst();
    // Only what is open differs in what may be seen of it: its own salary.
    let databases = [[9, 1, 9, 3], [9, 8, 2, 7]].map(|salaries| {
        let mut database = Database::new();
        tamis_tests::readability::fill_store(&mut database.store, &with_salaries(salaries));
        database
    });
    let (name, salary) = (
        Filter::from_json(r#"{"op":"equals","attr":["name"],"value":"n"}"#).unwrap(),
        compare("salary", Comparison::Greater, Value::Long(5)),
    );
    let not = |filter: &Filter| Filter::Not(Box::new(filter.clone()));
    for (own, expected) in [
        (name.clone(), vec!["0", "1", "2", "3"]),
        (salary.clone(), vec!["0"]),
        (not(&salary), vec![]),
        (Filter::Or(vec![salary.clone(), name.clone()]), vec!["0", "1", "2", "3"]),
        (Filter::And(vec![salary.clone(), name.clone()]), vec!["0"]),
        (Filter::And(vec![not(&salary), name]), vec![]),
    ] {
        for database in &databases {
            let question = Question { filter: Some(&own), ..Question::new(&bob, QUERY, 10) };
            let found = search(&database.store, &handle, &question).unwrap();
            assert_eq!(
                ids(&found).into_iter().collect::<BTreeSet<_>>(),
                expected.iter().copied().collect(),
                "{own}"
            );
        }
    }
    for (word, expected) in [("rich", vec!["0"]), ("poor", vec![])] {
        for database in &databases {
            let found = search(&database.store, &handle, &Question::new(&bob, By::Text(word), 10)).unwrap();
            assert_eq!(ids(&found), expected, "{word}");
        }
    }
}

#[test]
fn a_filter_of_the_users_own_opens_nothing() {
    let mut chunks = chunks();
    let stranger = |id: &str, tenant: &str| {
        let attributes = format!(r#"{{"tenant":"{tenant}","access_level":0,"user_roles":["analyst"]}}"#);
        chunk(&format!(r#"{{"id":"{id}","attributes":{attributes},"vector":[1,0.5,-0.5,0.2]}}"#))
    };
    let mut database = Database::of(&chunks);
    let foreign = [stranger("foreign", "globex")];
    let loader = crate::corpus::loader("globex");
    let report =
        tamis_retrieve::index(&mut database.store, clearance(), &loader, foreign.to_vec(), |_| {}).unwrap();
    assert_eq!(report.stored, 1);
    chunks.extend(foreign);

    let not = |filter: Filter| Filter::Not(Box::new(filter));
    let high = compare("access_level", Comparison::GreaterOrEqual, Value::Long(0));
    let inexpressible = compare("access_level", Comparison::Less, Value::Decimal(0));
    let bob = analyst();
    for (own, widened) in [
        (Filter::Always, false),
        (high.clone(), false),
        (not(Filter::Never), false),
        (Filter::Or(vec![high.clone(), Filter::Always]), false),
        (not(inexpressible.clone()), true),
        (Filter::Or(vec![inexpressible.clone(), high]), true),
    ] {
        let question = Question { filter: Some(&own), ..Question::new(&bob, QUERY, 300) };
        let found = search(&database.store, clearance(), &question).unwrap();
        let tenant = |chunk: &Chunk| chunk.attributes["tenant"] == "acme";
        assert_eq!(
            ids(&found),
            nearest(&chunks, |chunk| tenant(chunk) && readable(chunk, 1, "analyst")),
            "{own:?}"
        );
        assert_eq!(!found.widened.is_empty(), widened, "{own:?}");
        assert_eq!(found.exact, !widened);
    }
    let question = Question { filter: Some(&inexpressible), ..Question::new(&bob, QUERY, 300) };
    let found = search(&database.store, clearance(), &question).unwrap();
    assert_eq!((found.hits.len(), found.examined, found.denied), (0, 100, 0));
}

// ---- agents ----

#[test]
fn an_agent_finds_what_both_may_read() {
    let chunks = chunks();
    let database = Database::of(&chunks);
    let someone = |kind, clearance, roles: &[&str]| principal(kind, "x", "acme", clearance, roles);
    let both = ["analyst", "dba"];
    for (subject, actor, expected) in [
        (someone("User", 3, &both), someone("Agent", 1, &["analyst"]), Some((1, vec!["analyst"]))),
        (someone("User", 1, &["analyst"]), someone("Agent", 3, &both), Some((1, vec!["analyst"]))),
        (someone("User", 2, &["analyst"]), someone("Agent", 1, &["dba"]), Some((1, both.to_vec()))),
        (someone("User", 3, &both), principal("Agent", "x", "globex", 3, &both), None),
    ] {
        let request = user_with_agent(&subject, &actor);
        // A chunk is for both of them only if each finds a role of theirs.
        let of_both = |chunk: &Chunk| {
            expected
                .as_ref()
                .is_some_and(|(level, roles)| roles.iter().all(|role| readable(chunk, *level, role)))
        };
        for k in [5, 300] {
            let expected: Vec<&str> = nearest(&chunks, of_both).into_iter().take(k as usize).collect();
            let exact = find(&database.store, clearance(), &request, k);
            assert_eq!(ids(&exact), expected);
            assert!(exact.exact && exact.denied == 0 && exact.complete);
            assert_eq!(ids(&find(&Wide(&database.store), clearance(), &request, k)), expected);
        }
    }
}

// ---- another policy ----

#[test]
fn a_policy_swap_between_two_searches_changes_the_answer() {
    let mut chunks = chunks();
    for (index, chunk) in chunks.iter_mut().enumerate() {
        if index % 2 == 0 {
            chunk.attributes.insert("min_age".to_owned(), 18.into());
        }
    }
    let database = Database::of(&chunks);
    let (handle, bob) = (replaceable(), analyst());
    let is_open = |chunk: &Chunk| !chunk.attributes.contains_key("min_age");
    let before = find(&database.store, &handle, &bob, 300);
    assert_eq!(ids(&before), nearest(&chunks, |chunk| readable(chunk, 1, "analyst")));
    assert_eq!((before.generation, before.digest), (1, handle.current().policy().digest()));

    handle.replace(&example("company")).unwrap();
    let after = explained(&database.store, &handle, &bob, 300);
    assert_eq!(ids(&after), nearest(&chunks, |chunk| readable(chunk, 1, "analyst") && is_open(chunk)));
    assert!(after.hits.len() < before.hits.len());
    assert_eq!(after.generation, 2);
    assert_eq!(after.digest, handle.current().policy().digest());
    assert_ne!(after.digest, before.digest);
    let reasons: BTreeSet<&str> =
        after.hits.iter().flat_map(|hit| hit.decision.reasons.iter().map(String::as_str)).collect();
    assert_eq!(reasons, ["age", "role"].into());

    handle.replace(&example("clearance")).unwrap();
    let again = find(&database.store, &handle, &bob, 300);
    assert_eq!((ids(&again), again.generation, again.digest), (ids(&before), 3, before.digest));
}

#[test]
fn a_search_by_an_older_generation_ends_with_it() {
    let database = Database::of(&chunks());
    let handle = replaceable();
    struct Swapping<'a>(&'a Database, &'a PolicyHandle);
    impl VectorSource for Swapping<'_> {
        fn open<'a>(&'a self, by: By<'a>, filter: &Filter) -> Result<tamis_retrieve::Opened<'a>, Error> {
            self.1.replace(&example("company")).unwrap();
            self.0.store.open(by, filter)
        }
    }
    let found = explained(&Swapping(&database, &handle), &handle, &analyst(), 10);
    assert_eq!((found.generation, found.hits.len()), (1, 10));
    assert!(found.hits.iter().all(|hit| hit.decision.reasons == ["role".to_owned()].into()));
    assert_eq!(handle.current().number(), 2);
}
