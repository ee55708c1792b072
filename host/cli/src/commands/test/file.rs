//! Reading a file of tests, with errors that name the place.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use tamis_core::decision::path_text;
use tamis_core::{Chunk, Decision, Request};

/// What stands for the chunk's text among redacted attributes.
const TEXT: &str = "text";

/// A file of tests.
pub(super) struct TestFile {
    pub(super) policy: Option<PathBuf>,
    pub(super) schema: Option<PathBuf>,
    pub(super) tests: Vec<Test>,
}

/// One request and what is expected for each of several chunks.
pub(super) struct Test {
    pub(super) name: String,
    pub(super) request: Request,
    pub(super) expected: Vec<(Chunk, Expected)>,
}

/// What is expected of a decision; what is `None` may be anything.
pub(super) struct Expected {
    pub(super) allow: bool,
    pub(super) reasons: Option<BTreeSet<String>>,
    pub(super) errors: Option<BTreeSet<String>>,
    pub(super) redact: Option<BTreeSet<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    policy: Option<PathBuf>,
    schema: Option<PathBuf>,
    #[serde(default)]
    entities: Vec<Json>,
    #[serde(default)]
    requests: BTreeMap<String, Json>,
    #[serde(default)]
    chunks: BTreeMap<String, Map<String, Json>>,
    tests: Vec<RawTest>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTest {
    name: Option<String>,
    /// The name of a request, or one.
    request: Json,
    expect: BTreeMap<String, RawExpected>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Allow,
    Deny,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "`allow`, `deny`, or a mapping with `decision`, `reasons`, `errors`, `redact`")]
enum RawExpected {
    Word(Word),
    Whole(Whole),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    decision: Word,
    reasons: Option<BTreeSet<String>>,
    errors: Option<BTreeSet<String>>,
    redact: Option<BTreeSet<String>>,
}

impl TestFile {
    /// Reads the text of the file at `path`; the files that it names lie beside it.
    pub(super) fn read(path: &Path, text: &str) -> Result<Self> {
        let raw: Raw = serde_saphyr::from_str(text)?;
        let beside = |name: PathBuf| path.parent().map_or(name.clone(), |folder| folder.join(&name));
        if raw.tests.is_empty() {
            bail!("tests: there are none");
        }
        let mut chunks = BTreeMap::new();
        for (name, chunk) in raw.chunks {
            chunks.insert(name.clone(), read_chunk(&name, chunk).with_context(|| format!("chunks.{name}"))?);
        }
        let mut tests = Vec::new();
        for (index, test) in raw.tests.into_iter().enumerate() {
            let name = test.name.clone().unwrap_or_else(|| format!("test {}", index + 1));
            let read = read_test(&name, test, &raw.requests, &raw.entities, &chunks);
            tests.push(read.with_context(|| format!("tests[{index}], `{name}`"))?);
        }
        Ok(Self { policy: raw.policy.map(beside), schema: raw.schema.map(beside), tests })
    }
}

fn read_chunk(name: &str, mut chunk: Map<String, Json>) -> Result<Chunk> {
    chunk.entry("id").or_insert_with(|| json!(name));
    Ok(Chunk::from_json(&Json::Object(chunk).to_string())?)
}

fn read_test(
    name: &str,
    test: RawTest,
    requests: &BTreeMap<String, Json>,
    entities: &[Json],
    chunks: &BTreeMap<String, Chunk>,
) -> Result<Test> {
    let mut request = match test.request {
        Json::String(name) => {
            requests.get(&name).with_context(|| format!("request: there is no request `{name}`"))?.clone()
        }
        request => request,
    };
    if let Some(object) = request.as_object_mut().filter(|_| !entities.is_empty()) {
        let place = object.entry("entities").or_insert_with(|| json!([]));
        if let Some(place) = place.as_array_mut() {
            place.extend(entities.iter().cloned());
        }
    }
    let request = Request::from_json(&request.to_string()).context("request")?;
    let mut expected = Vec::new();
    for (chunk, raw) in test.expect {
        let known = chunks.get(&chunk).with_context(|| format!("expect: there is no chunk `{chunk}`"))?;
        expected.push((known.clone(), raw.into()));
    }
    if expected.is_empty() {
        bail!("expect: names no chunk");
    }
    Ok(Test { name: name.to_owned(), request, expected })
}

impl From<RawExpected> for Expected {
    fn from(raw: RawExpected) -> Self {
        let whole = match raw {
            RawExpected::Word(decision) => Whole { decision, reasons: None, errors: None, redact: None },
            RawExpected::Whole(whole) => whole,
        };
        let Whole { decision, reasons, errors, redact } = whole;
        Self { allow: matches!(decision, Word::Allow), reasons, errors, redact }
    }
}

impl Expected {
    /// What was decided, in the form of what is expected.
    pub(super) fn of(decision: &Decision) -> Self {
        let paths = decision.redaction.attributes.iter().map(|path| path_text(path));
        let text = decision.redaction.text.then(|| TEXT.to_owned());
        Self {
            allow: decision.allow,
            reasons: Some(decision.reasons.clone()),
            errors: Some(decision.errors.iter().map(|error| error.policy.clone()).collect()),
            redact: Some(paths.chain(text).collect()),
        }
    }
}
