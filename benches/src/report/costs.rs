//! The cost model in numbers, derived from the figures: what one decision costs, what grows with what, and what that makes of a deployment.

use std::fmt::Write;

use super::Data;
use crate::figures::{Unit, show};

const TEN: &str = "decide, ten policies";
const POLICIES: &str = "scaling with policies, ten live";
const GROUPS: &str = "scaling with the subject's groups";
const ATTRIBUTES: &str = "scaling with attributes read";
const CHUNKS: &str = "scaling with chunks, each";

/// A deployment: a million chunks of ten thousand tenants.
const DEPLOYED_CHUNKS: f64 = 1e6;
const DEPLOYED_TENANTS: f64 = 1e4;
/// Candidates of one search for ten chunks.
const CANDIDATES: f64 = 100.0;

/// Two tables: the model, and the deployment.
pub fn text(data: &Data) -> String {
    let mut text = "### The model\n\n| what | costs | from |\n|---|---:|---|\n".to_owned();
    for (what, value, from) in model(data) {
        let said = value.map_or_else(|| "not measured".to_owned(), time);
        let _ = writeln!(text, "| {what} | {said} | {from} |");
    }
    text += "\n### A million chunks, ten thousand tenants\n\n| what | costs | how |\n|---|---:|---|\n";
    for (what, said, how) in deployment(data) {
        let _ = writeln!(text, "| {what} | {} | {how} |", said.unwrap_or_else(|| "not measured".to_owned()));
    }
    text
}

fn model(data: &Data) -> Vec<(&'static str, Option<f64>, &'static str)> {
    let call = |row: &str| {
        let each = |batch: usize| data.get(TEN, row, batch);
        let line = Line::through((1.0, each(1)?), (1000.0, each(1000)? * 1000.0));
        Some((line.at_zero, line.slope))
    };
    let slope = |group: &str, row: &str, from: usize, to: usize| {
        let value = |column: usize| data.get(group, row, column);
        Some(Line::through((from as f64, value(from)?), (to as f64, value(to)?)).slope.max(0.0))
    };
    let (coded, map) = (call("tamis, coded"), call("tamis, JSON map"));
    let text = || Some(data.get(TEN, "tamis, JSON text", 1000)? - data.get(TEN, "tamis, JSON map", 1000)?);
    vec![
        ("a call", coded.map(|call| call.0), "a batch of 1 against 1000, coded"),
        ("each chunk, coded beforehand", coded.map(|call| call.1), "the same"),
        ("each chunk, from a JSON map", map.map(|call| call.1), "a batch of 1 against 1000"),
        ("each chunk, reading its JSON text first: more by", text(), "batches of 1000"),
        (
            "each attribute that the policy reads, of a JSON map",
            slope(ATTRIBUTES, "each chunk, JSON map", 1, 64),
            "1 against 64 attributes",
        ),
        (
            "each attribute that the policy reads, coded",
            slope(ATTRIBUTES, "each chunk, coded", 1, 64),
            "the same",
        ),
        (
            "a new request, ten policies",
            data.get(POLICIES, "preparing a request", 10),
            "an instance, prepared, and one chunk",
        ),
        (
            "a new request: each policy that does not apply",
            slope(POLICIES, "preparing a request", 10, 10_000),
            "10 against 10 000 policies",
        ),
        (
            "a new request: each group of the subject",
            slope(GROUPS, "preparing a request", 1, 10_000),
            "1 against 10 000 groups",
        ),
        (
            "each chunk: each policy that does not apply",
            slope(POLICIES, "each chunk, JSON map", 10, 10_000),
            "10 against 10 000 policies",
        ),
        (
            "a rewrite for a new request, ten policies",
            data.get(POLICIES, "rewrite, new request", 10),
            "what was asked before is remembered",
        ),
        (
            "a rewrite: each group of the subject",
            slope(GROUPS, "rewrite, new request", 1, 10_000),
            "1 against 10 000 groups",
        ),
        (
            "a rewrite for a new request, 10 000 policies of which ten apply",
            data.get(POLICIES, "rewrite, new request", 10_000),
            "no slope: it is no straight line",
        ),
    ]
}

fn deployment(data: &Data) -> Vec<(&'static str, Option<String>, &'static str)> {
    let get = |group: &str, row: &str, column: usize| data.get(group, row, column);
    // One instance serves the rewrite and the decisions.
    let rewrite = get(POLICIES, "rewrite, new request", 10);
    let map = get(TEN, "tamis, JSON map", 100);
    let query = || Some(rewrite? + CANDIDATES * map?);
    let many = || {
        Some(
            get(POLICIES, "rewrite, new request", 10_000)?
                + CANDIDATES * get(POLICIES, "each chunk, JSON map", 10_000)?,
        )
    };
    let everything = get(CHUNKS, "coded", 1_000_000).map(|each| each * DEPLOYED_CHUNKS);
    let everything_map = get(CHUNKS, "JSON map", 1_000_000).map(|each| each * DEPLOYED_CHUNKS);
    let cedar = get(TEN, "cedar-policy", 100);
    let loaded = data.get("a loaded policy, as one of 200 that differ", "memory", "each");
    let warm = data.get("a warm instance, ten policies, asked about 100 chunks", "memory", "each");
    let rate = |nanoseconds: f64| format!("{:.0} queries a second", 1e9 / nanoseconds);
    vec![
        (
            "a search, one policy set for all tenants",
            query().map(time),
            "a new request, its rewrite, and 100 candidates from JSON maps",
        ),
        ("searches that one core gates", query().map(rate), "the same, and nothing else on the core"),
        (
            "a search, 10 000 policies of which ten apply",
            many().map(time),
            "the same at 10 000 policies: a policy for each tenant, in one set",
        ),
        ("searches that one core gates then", many().map(rate), ""),
        (
            "100 candidates by `cedar-policy`",
            cedar.map(|each| time(each * CANDIDATES)),
            "entities built beforehand, ten policies",
        ),
        (
            "deciding on every chunk for one request",
            everything.map(time),
            "a million, coded beforehand: what a search without a rewrite would need at worst",
        ),
        ("the same from JSON maps", everything_map.map(time), "a million"),
        (
            "a policy of its own for each tenant, all loaded",
            loaded.map(|each| bytes(each * DEPLOYED_TENANTS)),
            "10 000 times what one of 200 takes",
        ),
        ("a thousand requests at once", warm.map(|each| bytes(each * 1000.0)), "their warm instances"),
    ]
}

/// A line through two points.
struct Line {
    at_zero: f64,
    slope: f64,
}

impl Line {
    fn through(a: (f64, f64), b: (f64, f64)) -> Self {
        let slope = (b.1 - a.1) / (b.0 - a.0);
        Self { at_zero: a.1 - slope * a.0, slope }
    }
}

fn time(nanoseconds: f64) -> String {
    show(nanoseconds, Unit::Time)
}

fn bytes(bytes: f64) -> String {
    show(bytes, Unit::Bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Figure;

    #[test]
    fn a_call_and_each_chunk_are_told_apart() {
        // 500 ns for a call and 20 ns for each chunk.
        let figure = |batch: usize, total: f64| Figure {
            group: TEN.to_owned(),
            row: "tamis, coded".to_owned(),
            column: batch.to_string(),
            value: total / batch as f64,
            unit: Unit::Time,
        };
        let data = Data::of(vec![figure(1, 520.0), figure(1000, 20_500.0)]);
        let said = text(&data);
        assert!(said.contains("| a call | 500.0 ns |"), "{said}");
        assert!(said.contains("| each chunk, coded beforehand | 20.0 ns |"), "{said}");
        assert!(said.contains("| each chunk, from a JSON map | not measured |"), "{said}");
    }
}
