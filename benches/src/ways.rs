//! All ways of taking the same decisions, each ready to be measured.
//!
//! Before anything is measured, [`check`] compares what they say of every chunk.

use std::cell::{LazyCell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value as Json, json};
use tamis_core::{Chunk, Extractor, Request};
use tamis_runtime::{Limits, Policy, Runtime, Verdict};

use crate::bare::{Bare, BareChunk};
use crate::cedar::{CLEARANCE, Cedar, component, many};
use crate::native::{self, Document, Person};
use crate::opa::Opa;
use crate::rego;
use crate::sql::Sqlite;

/// Counts those of the first chunks, as many as it was made for, that may be read.
pub type Decide = Box<dyn FnMut() -> usize>;

/// One way of deciding.
pub struct Way {
    /// What tables call it.
    pub name: &'static str,
    /// More chunks at once than this would take minutes.
    pub most: usize,
    of: Box<dyn Fn(usize) -> Decide>,
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Way").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Way {
    fn new(name: &'static str, most: usize, of: impl Fn(usize) -> Decide + 'static) -> Self {
        Self { name, most, of: Box::new(of) }
    }

    /// Ready to decide on the first `batch` chunks, with everything built that can be built before the request is asked.
    pub fn of(&self, batch: usize) -> Decide {
        (self.of)(batch)
    }
}

/// What all decide on.
#[derive(Clone, Debug)]
pub struct Setting {
    request: Rc<Request>,
    chunks: Rc<Vec<Chunk>>,
}

/// Made when it is first wanted: where one way alone is measured, the others take no memory.
type Lazy<T> = Rc<LazyCell<T, Box<dyn FnOnce() -> T>>>;

fn lazy<T>(make: impl FnOnce() -> T + 'static) -> Lazy<T> {
    Rc::new(LazyCell::new(Box::new(make)))
}

/// Limits of policies that are measured: a machine that is busy is no reason to give up.
pub fn limits() -> Limits {
    Limits { deadline: Duration::from_secs(60), ..Limits::default() }
}

/// A policy from its component.
pub fn policy(component: &[u8]) -> Policy {
    Policy::load(&Runtime::shared().unwrap(), component, &limits()).unwrap()
}

impl Setting {
    /// The request of all benchmarks, and so many chunks.
    pub fn new(chunks: usize) -> Self {
        Self { request: Rc::new(crate::request()), chunks: Rc::new(crate::chunks(chunks)) }
    }

    /// Three policies: native code, Tamis, and Cedar's own authorizer.
    pub fn three(&self) -> Vec<Way> {
        let mut ways = self.native(native::on_struct, native::on_json);
        ways.extend(self.tamis(&component(CLEARANCE)));
        ways.push(self.all_different());
        ways.push(self.cedar(CLEARANCE));
        ways
    }

    /// Ten policies: everything.
    pub fn ten(&self) -> Vec<Way> {
        let (text, mut ways) = (many(10, 10), self.native(native::ten_on_struct, native::ten_on_json));
        let component = component(&text);
        ways.extend(self.tamis(&component));
        ways.extend([self.typed(&component), self.bare(&component), self.cedar(&text)]);
        ways.extend(self.opa());
        ways.extend(self.sqlite());
        ways
    }

    fn native(
        &self,
        on_struct: fn(&Person, &Document) -> bool,
        on_json: fn(&Person, &tamis_core::Attributes) -> Option<bool>,
    ) -> Vec<Way> {
        let person = Rc::new(Person::of(&self.request));
        let chunks = Rc::clone(&self.chunks);
        let documents = lazy(move || chunks.iter().map(Document::of).collect::<Vec<_>>());
        let texts = self.texts();
        let (chunks, who, again) = (Rc::clone(&self.chunks), Rc::clone(&person), Rc::clone(&person));
        vec![
            Way::new("native, struct", usize::MAX, move |batch| {
                let (documents, person) = (Rc::clone(&documents), Rc::clone(&who));
                LazyCell::force(&documents);
                Box::new(move || {
                    documents[..batch].iter().filter(|document| on_struct(&person, document)).count()
                })
            }),
            Way::new("native, JSON map", usize::MAX, move |batch| {
                let (chunks, person) = (Rc::clone(&chunks), Rc::clone(&again));
                let allows = move |chunk: &&Chunk| on_json(&person, &chunk.attributes) == Some(true);
                Box::new(move || chunks[..batch].iter().filter(&allows).count())
            }),
            Way::new("native, JSON text", usize::MAX, move |batch| {
                let (texts, person) = (Rc::clone(&texts), Rc::clone(&person));
                LazyCell::force(&texts);
                let allows = move |text: &&String| {
                    let metadata: Json = serde_json::from_str(text).unwrap();
                    on_json(&person, metadata.as_object().unwrap()) == Some(true)
                };
                Box::new(move || texts[..batch].iter().filter(&allows).count())
            }),
        ]
    }

    /// The metadata of each chunk as a vector database hands it out.
    fn texts(&self) -> Lazy<Vec<String>> {
        let chunks = Rc::clone(&self.chunks);
        lazy(move || chunks.iter().map(|chunk| Json::from(chunk.attributes.clone()).to_string()).collect())
    }

    /// The same decisions on chunks of which no two are alike in what the policies read: [`CLEARANCE`] asks only whether a level is
    /// too high.
    fn all_different(&self) -> Way {
        let Self { request, chunks } = self.clone();
        let clearance = Person::of(&request).clearance();
        let policy = lazy(|| policy(&component(CLEARANCE)));
        let different = lazy(move || {
            let chunk = |(number, chunk): (i64, &Chunk)| {
                let mut chunk = chunk.clone();
                let level = &mut chunk.attributes["access_level"];
                let away = if level.as_i64().unwrap() > clearance { number * 10 } else { number * -10 };
                *level = json!(level.as_i64().unwrap() + away);
                chunk
            };
            (0..).zip(chunks.iter()).map(chunk).collect::<Vec<_>>()
        });
        Way::new("tamis, coded, no two alike", usize::MAX, move |batch| {
            let coded = policy.code(&different[..batch]).unwrap();
            let mut session = policy.session(&request);
            Box::new(move || allowed(&session.filter_coded(&coded).unwrap()))
        })
    }

    fn tamis(&self, component: &[u8]) -> Vec<Way> {
        let component = component.to_vec();
        let policy = lazy(move || policy(&component));
        let (other, third, fourth) = (Rc::clone(&policy), Rc::clone(&policy), Rc::clone(&policy));
        let Self { request, chunks } = self.clone();
        let (coding, reading, anew) = (self.clone(), self.clone(), self.clone());
        let texts = self.texts();
        vec![
            Way::new("tamis, coded", usize::MAX, move |batch| {
                let coded = other.code(&coding.chunks[..batch]).unwrap();
                let mut session = other.session(&coding.request);
                Box::new(move || allowed(&session.filter_coded(&coded).unwrap()))
            }),
            Way::new("tamis, JSON map", usize::MAX, move |batch| {
                let (chunks, mut session) = (Rc::clone(&chunks), policy.session(&request));
                Box::new(move || allowed(&session.verdicts(&chunks[..batch]).unwrap()))
            }),
            Way::new("tamis, JSON text", usize::MAX, move |batch| {
                let (texts, mut session) = (Rc::clone(&texts), third.session(&reading.request));
                LazyCell::force(&texts);
                let extractor = Extractor::new(&third.manifest().footprint);
                Box::new(move || {
                    let rows = texts[..batch].iter().map(|text| extractor.read("", text).unwrap());
                    allowed(&session.verdicts(&rows.collect::<Vec<_>>()).unwrap())
                })
            }),
            Way::new("tamis, JSON map, new request", usize::MAX, move |batch| {
                let (setting, policy) = (anew.clone(), (**fourth).clone());
                Box::new(move || {
                    let mut session = policy.session(&setting.request);
                    allowed(&session.verdicts(&setting.chunks[..batch]).unwrap())
                })
            }),
        ]
    }

    fn typed(&self, component: &[u8]) -> Way {
        let (Self { request, chunks }, component) = (self.clone(), component.to_vec());
        let policy = lazy(move || policy(&component));
        Way::new("tamis, typed, with reasons", 1000, move |batch| {
            let (chunks, mut session) = (Rc::clone(&chunks), policy.session(&request));
            Box::new(move || {
                let decisions = session.explain(&chunks[..batch]).unwrap();
                decisions.iter().filter(|decision| decision.allow).count()
            })
        })
    }

    fn bare(&self, component: &[u8]) -> Way {
        let (Self { request, chunks }, component) = (self.clone(), component.to_vec());
        let bare = lazy(move || {
            let chunks: Vec<BareChunk> = chunks.iter().map(BareChunk::of).collect();
            (RefCell::new(Bare::new(&component, &request)), chunks)
        });
        Way::new("bare wasmtime, typed", 1000, move |batch| {
            let bare = Rc::clone(&bare);
            LazyCell::force(&bare);
            Box::new(move || {
                let (bare, chunks) = &**bare;
                let mut bare = bare.borrow_mut();
                chunks[..batch].iter().filter(|chunk| bare.allows(chunk)).count()
            })
        })
    }

    fn cedar(&self, text: &str) -> Way {
        let (Self { request, chunks }, text) = (self.clone(), text.to_owned());
        let cedar = lazy(move || Cedar::new(&text, &request, &chunks));
        Way::new("cedar-policy", 1000, move |batch| {
            let cedar = Rc::clone(&cedar);
            LazyCell::force(&cedar);
            Box::new(move || (0..batch).filter(|chunk| cedar.allows(*chunk)).count())
        })
    }

    fn opa(&self) -> Vec<Way> {
        let (Self { request, chunks }, setting) = (self.clone(), self.clone());
        let opa = lazy(move || RefCell::new(Opa::new(&request, &chunks)));
        let one = Rc::clone(&opa);
        vec![
            Way::new("OPA, WASM", 1000, move |batch| {
                let opa = Rc::clone(&one);
                LazyCell::force(&opa);
                Box::new(move || {
                    let mut opa = opa.borrow_mut();
                    (0..batch).filter(|chunk| opa.allows(*chunk)).count()
                })
            }),
            Way::new("OPA, WASM, all in one evaluation", 1000, move |batch| {
                let (subject, opa) = (rego::subject(&setting.request), Rc::clone(&opa));
                let input = rego::questions(&subject, &setting.chunks[..batch]).to_string();
                Box::new(move || opa.borrow_mut().count(&input))
            }),
        ]
    }

    fn sqlite(&self) -> Vec<Way> {
        let Self { request, chunks } = self.clone();
        let sqlite = lazy(move || Sqlite::new(&request, &chunks));
        let way = |name, decide: fn(&Sqlite, usize) -> usize| {
            let sqlite = Rc::clone(&sqlite);
            Way::new(name, usize::MAX, move |batch| {
                let sqlite = Rc::clone(&sqlite);
                LazyCell::force(&sqlite);
                Box::new(move || decide(&sqlite, batch))
            })
        };
        vec![way("SQLite, columns", Sqlite::on_columns), way("SQLite, JSON column", Sqlite::on_json)]
    }
}

fn allowed(verdicts: &[Verdict]) -> usize {
    verdicts.iter().filter(|verdict| **verdict == Verdict::Allow).count()
}

/// Panics unless all say the same of each of the first chunks: as they count, a chunk on which two differ is one at which their counts part.
pub fn check(ways: &[Way]) {
    let (first, others) = ways.split_first().unwrap();
    let counts = |way: &Way| -> Vec<usize> { (1..=200.min(way.most)).map(|batch| way.of(batch)()).collect() };
    let expected = counts(first);
    assert!((1..200).contains(expected.last().unwrap()), "some are readable, and some are not");
    for way in others {
        let counts = counts(way);
        assert_eq!(counts, expected[..counts.len()], "{} and {}", way.name, first.name);
    }
}
