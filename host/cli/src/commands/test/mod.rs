//! `tamis test`: policies against what a file of tests expects of them.

mod coverage;
mod file;
mod report;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tamis_core::{Chunk, Decision, Request};
use tamis_runtime::{Limits, Policy, Runtime};

use crate::args::{TestArgs, TestFormat};
use crate::exit::Outcome;
use crate::output::progress;
use crate::source::{self, Sources, Validation};
use coverage::Coverage;
use file::{Expected, TestFile};

/// One test that was run.
pub(super) struct Ran {
    name: String,
    /// Decisions that were looked at.
    decisions: usize,
    /// What was not as expected, one line each.
    failures: Vec<String>,
}

/// One file that was run.
pub(super) struct FileRan {
    path: PathBuf,
    tests: Vec<Ran>,
    /// What the tests reached; `None` for a policy that was compiled elsewhere.
    coverage: Option<Coverage>,
}

pub(crate) fn run(args: &TestArgs) -> Result<Outcome> {
    let runtime = crate::input::runtime(&args.host)?;
    let limits = crate::input::limits(&args.host);
    let bar = progress("testing", args.files.len());
    let mut files = Vec::new();
    for path in &args.files {
        files.push(run_file(args, path, &runtime, &limits)?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    match args.format {
        TestFormat::Text => report::text(&files)?,
        TestFormat::Json => report::json(&files)?,
        TestFormat::Junit => report::junit(&files)?,
    }
    let failed = files.iter().flat_map(|file| &file.tests).any(|test| !test.failures.is_empty());
    let unreached =
        files.iter().filter_map(|file| file.coverage.as_ref()).any(|coverage| !coverage.is_complete());
    Ok(if failed || (args.require_coverage && unreached) { Outcome::TestFailed } else { Outcome::Done })
}

fn run_file(args: &TestArgs, path: &Path, runtime: &Runtime, limits: &Limits) -> Result<FileRan> {
    let place = || path.display().to_string();
    let tests = TestFile::read(path, &crate::input::text(path)?).with_context(place)?;
    let policy = args.policy.clone().or_else(|| tests.policy.clone());
    let policy = policy.context("policy: is missing, and --policy was not given").with_context(place)?;
    let schema = args.schema.clone().or_else(|| tests.schema.clone());
    let (bytes, mut coverage) = if source::is_source(&policy) {
        let sources = Sources::read(&policy, schema.as_ref())?;
        let branches = tamis_compiler::branches(sources.policies(), sources.schema())?;
        let bytes = sources.compile(Validation::Required)?.component;
        (bytes, Some(Coverage::new(runtime, limits, branches)?))
    } else if args.require_coverage {
        bail!("what the tests reach is only known of Cedar source, and {} is a component", policy.display());
    } else {
        (source::component(&policy, schema.as_ref(), Validation::Required)?, None)
    };
    let policy = Policy::load(runtime, &bytes, limits).with_context(|| policy.display().to_string())?;
    let mut ran = Vec::new();
    for test in &tests.tests {
        let chunks: Vec<Chunk> = test.expected.iter().map(|(chunk, _)| chunk.clone()).collect();
        if let Some(coverage) = &mut coverage {
            coverage.add(&test.request, &chunks).with_context(place)?;
        }
        ran.push(Ran {
            name: test.name.clone(),
            decisions: chunks.len(),
            failures: compare(
                &policy,
                &test.request,
                &chunks,
                test.expected.iter().map(|(_, expected)| expected),
            ),
        });
    }
    Ok(FileRan { path: path.to_owned(), tests: ran, coverage })
}

fn compare<'a>(
    policy: &Policy,
    request: &Request,
    chunks: &[Chunk],
    expected: impl Iterator<Item = &'a Expected>,
) -> Vec<String> {
    let decisions = match policy.explain(request, chunks) {
        Ok(decisions) => decisions,
        Err(error) => return vec![error.to_string()],
    };
    let pairs = chunks.iter().zip(decisions).zip(expected);
    pairs.filter_map(|((chunk, decision), expected)| difference(chunk, &decision, expected)).collect()
}

fn difference(chunk: &Chunk, decision: &Decision, expected: &Expected) -> Option<String> {
    let found = Expected::of(decision);
    let mut differences = Vec::new();
    if found.allow != expected.allow {
        let word = |allow| if allow { "allow" } else { "deny" };
        let by = found.reasons.iter().flatten().cloned().collect::<Vec<_>>().join(", ");
        let by = if by.is_empty() { "no policy".to_owned() } else { by };
        differences.push(format!("expected {}, was {} by {by}", word(expected.allow), word(found.allow)));
    }
    for (what, expected, found) in [
        ("reasons", &expected.reasons, &found.reasons),
        ("errors", &expected.errors, &found.errors),
        ("redact", &expected.redact, &found.redact),
    ] {
        if expected.is_some() && expected != found {
            let list = |names: &Option<std::collections::BTreeSet<String>>| {
                format!("{:?}", names.iter().flatten().collect::<Vec<_>>())
            };
            differences.push(format!("expected {what} {}, were {}", list(expected), list(found)));
        }
    }
    if differences.is_empty() {
        return None;
    }
    differences
        .extend(decision.errors.iter().map(|error| format!("{} failed: {}", error.policy, error.message)));
    Some(format!("{}: {}", chunk.uid.id, differences.join("; ")))
}
