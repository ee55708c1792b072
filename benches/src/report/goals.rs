//! What was wanted, and what was measured: every line is computed, so that none is met on paper alone.

use std::fmt::Write;

use super::Data;
use crate::figures::{Unit, show};

const TEN: &str = "decide, ten policies";
const THREE: &str = "decide, three policies";
const SWAP: &str = "swap, as a thread that decides on ten chunks a call sees it";
const RELOAD: &str = "reload, from the change of a Cedar file to the new policy serving";
const POLICIES: &str = "scaling with policies, ten live";
const CHUNKS: &str = "scaling with chunks, each";
const REWRITE: &str = "rewrite, ten policies";

/// One goal with its outcome.
struct Line {
    goal: &'static str,
    /// What was measured, and whether it is enough.
    measured: Option<(String, bool)>,
}

/// A table with all goals.
pub fn table(data: &Data) -> String {
    let mut text = "| goal | measured | |\n|---|---|---|\n".to_owned();
    for Line { goal, measured } in lines(data) {
        let (said, outcome) = match measured {
            Some((said, true)) => (said, "met"),
            Some((said, false)) => (said, "**missed**"),
            None => ("not measured".to_owned(), ""),
        };
        let _ = writeln!(text, "| {goal} | {said} | {outcome} |");
    }
    text
}

fn lines(data: &Data) -> Vec<Line> {
    let mut lines = deciding(data);
    lines.extend(scaling(data));
    lines.extend(serving(data));
    lines
}

fn deciding(data: &Data) -> Vec<Line> {
    let three = |row: &str, batch: usize| data.get(THREE, row, batch);
    let over = |row: &str, other: &str, batch: usize| Some(three(row, batch)? / three(other, batch)?);
    let coded = |batch| over("tamis, coded", "native, struct", batch);
    let faster = |peer: &str, way: &str| Some(data.get(TEN, peer, 100)? / data.get(TEN, way, 100)?);
    let peer = |peer: &str, judged: &str, goal: &'static str| {
        let measured = || {
            let said = |way: &str| {
                let ratio = faster(peer, way)?;
                Some(if ratio < 10.0 { format!("{ratio:.1}×") } else { format!("{ratio:.0}×") })
            };
            let (coded, map, text) =
                (said("tamis, coded")?, said("tamis, JSON map")?, said("tamis, JSON text")?);
            Some((
                format!("coded {coded}, from a JSON map {map}, from JSON text {text}"),
                faster(peer, judged)? >= 100.0,
            ))
        };
        Line { goal, measured: measured() }
    };
    let text = || {
        let (map, parsed) = (three("native, JSON map", 100)?, three("native, JSON text", 100)?);
        let more = (three("tamis, JSON text", 100)? - map) / (parsed - map);
        Some((format!("{more:.2} of it"), more < 0.5))
    };
    let single = || {
        let (map, coded) = (three("tamis, JSON map", 1)?, three("tamis, coded", 1)?);
        Some((format!("{} from a JSON map, {} coded", time(map), time(coded)), map <= 400.0))
    };
    let batches = || {
        let ratios = [coded(100)?, coded(1000)?, coded(10_000)?];
        let said = ratios.map(|ratio| format!("{ratio:.1}×"));
        Some((
            format!("{} at 100, 1000 and 10 000", said.join(", ")),
            ratios.iter().all(|ratio| *ratio <= 1.5),
        ))
    };
    let allocations = || {
        let of = |way: &str| data.get("memory, batches of 100", way, "allocations for each chunk");
        let (coded, map) = (of("tamis, coded")?, of("tamis, JSON map")?);
        // A call makes some, a chunk none: at a hundred chunks a call there is next to nothing for each.
        Some((
            format!("{coded:.2} for each chunk of 100 coded, {map:.2} from JSON maps"),
            coded.max(map) <= 0.1,
        ))
    };
    let map = over("tamis, JSON map", "native, JSON map", 100);
    vec![
        Line {
            goal: "from a JSON map, at most 2.5 times the native predicate on the same map, batches of 100",
            measured: map.map(|ratio| (format!("{ratio:.1}×"), ratio <= 2.5)),
        },
        Line {
            goal: "from JSON text, less than half of what parsing it costs above the native predicate on the parsed map",
            measured: text(),
        },
        Line {
            goal: "coded, at most 1.5 times the native predicate on a struct, batches of 100 and more",
            measured: batches(),
        },
        Line { goal: "one chunk in one call within 400 ns", measured: single() },
        Line { goal: "nothing allocated for a chunk, once a request is warm", measured: allocations() },
        peer(
            "cedar-policy",
            "tamis, coded",
            "100 times faster than `cedar-policy`, whose entities are built beforehand as chunks are coded",
        ),
        peer(
            "OPA, WASM",
            "tamis, JSON map",
            "100 times faster than OPA's WASM, which gets JSON; from a JSON map",
        ),
        peer(
            "OPA, WASM, all in one evaluation",
            "tamis, JSON map",
            "the same if OPA's WASM is asked about all 100 chunks in one evaluation",
        ),
    ]
}

fn scaling(data: &Data) -> Vec<Line> {
    let growth = |group: &str, row: &str, from: usize, to: usize| {
        Some(data.get(group, row, to)? / data.get(group, row, from)?)
    };
    let chunks = || {
        let (map, coded) =
            (growth(CHUNKS, "JSON map", 1000, 1_000_000)?, growth(CHUNKS, "coded", 1000, 1_000_000)?);
        // Caches are smaller than a million chunks, so that each takes somewhat longer for everyone.
        Some((
            format!("each of a million takes {map:.2} times what each of 1000 takes, {coded:.2} coded"),
            map.max(coded) <= 1.5,
        ))
    };
    let policies = || {
        let (map, coded) = (
            growth(POLICIES, "each chunk, JSON map", 10, 10_000)?,
            growth(POLICIES, "each chunk, coded", 10, 10_000)?,
        );
        let prepare = data.get(POLICIES, "preparing a request", 10_000)?;
        let rewrite = data.get(POLICIES, "rewrite, new request", 10_000)?;
        let said = format!(
            "each chunk {map:.2} times ten, {coded:.2} coded. But preparing a request takes {}, a rewrite {}",
            time(prepare),
            time(rewrite)
        );
        Some((said, map.max(coded) <= 2.0))
    };
    let threads = || {
        let rows =
            ["JSON map, a new request for each batch of 100", "coded, a new request for ten batches of 100"];
        let growth = rows.map(|row| growth("scaling with threads, chunks decided", row, 1, 2));
        let [map, coded] = [growth[0]?, growth[1]?];
        Some((format!("{map:.2} times one, {coded:.2} coded"), map.min(coded) >= 1.8))
    };
    vec![
        Line { goal: "linear or better in chunks", measured: chunks() },
        Line { goal: "10 000 policies, ten of them live, at most twice ten", measured: policies() },
        Line { goal: "two threads that share a handle, 1.8 times one", measured: threads() },
    ]
}

fn serving(data: &Data) -> Vec<Line> {
    let pause = || {
        let get = |row: &str| data.get(SWAP, row, "p99");
        let got = get("getting the policy that serves, while others are swapped in")?;
        let just = get("getting a policy that was just swapped in")?;
        let (first, rest) = (get("the first call on a new policy")?, get("a call, at rest")?);
        let said = format!(
            "p99 {}, {} right after a swap; the first call on a new policy p99 {}, at rest {}",
            time(got),
            time(just),
            time(first),
            time(rest)
        );
        Some((said, just <= 10_000.0))
    };
    let reload = || {
        let (median, tail) = (
            data.get(RELOAD, "a policy that was never seen", "p50")?,
            data.get(RELOAD, "a policy that was never seen", "p99")?,
        );
        Some((format!("median {}, p99 {}", time(median), time(tail)), tail <= 50e6))
    };
    let memory = data.get("a warm instance, ten policies, asked about 100 chunks", "memory", "each");
    let compile = data.get("compile, Cedar policies", "", 100);
    let size = data.get(POLICIES, "component", 10);
    let rewrite = || {
        let row = |row: &str| data.get(REWRITE, row, "");
        let (anew, before) = (row("tamis, new request")?, row("tamis, asked before")?);
        let said = format!(
            "{} if this was asked before; else {}, {} with a new instance",
            time(before),
            time(row("tamis, prepared request")?),
            time(anew)
        );
        Some((said, anew <= 5_000.0))
    };
    vec![
        Line { goal: "a swap holds no thread up for more than 10 µs, p99", measured: pause() },
        Line {
            goal: "from the change of a Cedar file to the new policy serving within 50 ms, p99",
            measured: reload(),
        },
        Line {
            goal: "a warm instance of 1 MiB at most",
            measured: memory.map(|bytes| (show(bytes, Unit::Bytes), bytes <= 1_048_576.0)),
        },
        Line {
            goal: "a query rewritten for ten policies and a subject in 20 groups within 5 µs",
            measured: rewrite(),
        },
        Line {
            goal: "100 policies compiled within 50 ms",
            measured: compile.map(|ns| (time(ns), ns <= 50e6)),
        },
        Line {
            goal: "a component of ten policies under 50 KB",
            measured: size.map(|bytes| (show(bytes, Unit::Bytes), bytes < 50_000.0)),
        },
    ]
}

fn time(nanoseconds: f64) -> String {
    show(nanoseconds, Unit::Time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Figure;

    #[test]
    fn a_goal_is_met_missed_or_not_measured() {
        let figure = |row: &str, value| Figure {
            group: THREE.to_owned(),
            row: row.to_owned(),
            column: "100".to_owned(),
            value,
            unit: Unit::Time,
        };
        let outcome = |tamis: f64| {
            let data = Data::of(vec![figure("native, JSON map", 100.0), figure("tamis, JSON map", tamis)]);
            table(&data).lines().nth(2).unwrap().to_owned()
        };
        assert!(outcome(250.0).ends_with("| 2.5× | met |"));
        assert!(outcome(251.0).ends_with("| **missed** |"));
        let nothing = table(&Data::default());
        assert!(nothing.lines().skip(2).all(|line| line.ends_with("| not measured |  |")), "{nothing}");
    }
}
