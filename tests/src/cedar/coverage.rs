//! Counts what random cases contain and what becomes of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Formatter};

use super::draft::{Draft, Request};
use super::features::{self, features};
use super::oracle::{Explained, Failure, Failures, Verdict};
use super::value::{Escapes, Uid};

/// What can become of a request, or is special about it; a run that is long enough meets each.
const OUTCOMES: &[&str] = &[
    "allow",
    "deny by a forbid",
    "deny by default",
    "several reasons",
    "allow despite an error",
    "a permit and a forbid fail",
    "fails: operand type",
    "fails: entity attribute",
    "fails: tag",
    "fails: record field",
    "fails: missing entity",
    "fails: overflow",
    "fails: extension",
    "fails: argument count",
    "principal absent",
    "resource absent",
    "principal is the resource",
    "with a schema",
    "without a schema",
    "entities without escapes",
];

/// Figures of a run.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Cases with a verdict on each request.
    pub cases: u64,
    /// Cases that Cedar refuses to read.
    pub refused: u64,
    /// Requests, and so decisions that were compared.
    pub requests: u64,
    /// Requests that are allowed.
    pub allowed: u64,
    /// Requests on which a policy fails.
    pub erring: u64,
    /// In how many cases each feature occurs, and for how many requests each outcome.
    pub counts: BTreeMap<String, u64>,
}

impl Tally {
    /// Counts a case; without verdicts it is one that Cedar refuses.
    pub fn add(&mut self, draft: &Draft, verdicts: &[Explained]) {
        if verdicts.is_empty() {
            self.refused += 1;
            return;
        }
        self.cases += 1;
        let schema = if draft.schema.is_some() { "with a schema" } else { "without a schema" };
        let mut found: BTreeSet<String> = features(&draft.policies);
        found.insert(schema.to_owned());
        if draft.entities.iter().any(|entity| entity.escapes == Escapes::Implicit) {
            found.insert("entities without escapes".to_owned());
        }
        let stored: BTreeSet<_> = draft.entities.iter().map(|entity| &entity.uid).collect();
        for (request, (verdict, failures)) in draft.requests.iter().zip(verdicts) {
            self.requests += 1;
            self.allowed += u64::from(verdict.allow);
            self.erring += u64::from(!verdict.errors.is_empty());
            found.extend(of_request(request, &stored).into_iter().map(str::to_owned));
            found.extend(outcomes(draft, verdict, failures).into_iter().map(str::to_owned));
        }
        for feature in found {
            *self.counts.entry(feature).or_default() += 1;
        }
    }

    /// Adds the figures of another run.
    pub fn merge(&mut self, other: Self) {
        self.cases += other.cases;
        self.refused += other.refused;
        self.requests += other.requests;
        self.allowed += other.allowed;
        self.erring += other.erring;
        for (feature, count) in other.counts {
            *self.counts.entry(feature).or_default() += count;
        }
    }

    /// What should occur and does not.
    pub fn missing(&self) -> Vec<String> {
        let expected = features::all().into_iter().chain(OUTCOMES.iter().map(ToString::to_string));
        expected.filter(|feature| !self.counts.contains_key(feature)).collect()
    }
}

impl Display for Tally {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let share = |part: u64, of: u64| 100.0 * part as f64 / of.max(1) as f64;
        writeln!(f, "cases      {:>10}   {} more refused by Cedar", self.cases, self.refused)?;
        writeln!(f, "decisions  {:>10}", self.requests)?;
        writeln!(f, "allowed    {:>10.1} %", share(self.allowed, self.requests))?;
        writeln!(f, "with error {:>10.1} %", share(self.erring, self.requests))?;
        let expected = features::all().len() + OUTCOMES.len();
        write!(f, "features   {:>10}   of {expected}", expected - self.missing().len())
    }
}

fn of_request(request: &Request, stored: &BTreeSet<&Uid>) -> Vec<&'static str> {
    let facts = [
        (!stored.contains(&request.principal), "principal absent"),
        (!stored.contains(&request.resource), "resource absent"),
        (request.principal == request.resource, "principal is the resource"),
    ];
    facts.into_iter().filter(|(holds, _)| *holds).map(|(_, fact)| fact).collect()
}

fn outcomes(draft: &Draft, verdict: &Verdict, failures: &Failures) -> Vec<&'static str> {
    let mut outcomes: Vec<_> = failures.values().copied().map(failure).collect();
    outcomes.push(match (verdict.allow, verdict.reasons.is_empty()) {
        (true, _) => "allow",
        (false, false) => "deny by a forbid",
        (false, true) => "deny by default",
    });
    if verdict.reasons.len() > 1 {
        outcomes.push("several reasons");
    }
    if verdict.allow && !failures.is_empty() {
        outcomes.push("allow despite an error");
    }
    let fails = |permits: bool| {
        let mut policies = draft.policies.iter().enumerate();
        policies.any(|(index, policy)| {
            policy.permits == permits && failures.contains_key(&format!("policy{index}"))
        })
    };
    if fails(true) && fails(false) {
        outcomes.push("a permit and a forbid fail");
    }
    outcomes
}

fn failure(failure: Failure) -> &'static str {
    match failure {
        Failure::Type => "fails: operand type",
        Failure::EntityAttribute => "fails: entity attribute",
        Failure::Tag => "fails: tag",
        Failure::RecordField => "fails: record field",
        Failure::MissingEntity => "fails: missing entity",
        Failure::Overflow => "fails: overflow",
        Failure::Extension => "fails: extension",
        Failure::ArgumentCount => "fails: argument count",
        Failure::Other => "fails: otherwise",
    }
}
