//! Writes the figures of the last benchmark run into `benches/RESULTS.md`: those that criterion left in `target/criterion`, and the searches of
//! `target/retrieval.md`.
//!
//! What people wrote there stays: the tables stand between two marks.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

const BEGIN: &str = "<!-- tables: written by `./run bench`, not by hand -->\n";
const END: &str = "<!-- end of tables -->";

/// One figure: nanoseconds for each element, or for each call if nothing is counted.
struct Figure {
    group: String,
    function: String,
    parameter: String,
    nanoseconds: f64,
}

fn main() {
    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the benches lie in a folder of the root");
    let figures = figures(&root.join("target/criterion"));
    assert!(!figures.is_empty(), "there are no figures: run `./run bench` first");
    let path = root.join("benches/RESULTS.md");
    let text = fs::read_to_string(&path).expect("RESULTS.md can be read");
    let (before, rest) = text.split_once(BEGIN).expect("RESULTS.md has a mark where the tables begin");
    let (_, after) = rest.split_once(END).expect("RESULTS.md has a mark where the tables end");
    let searches = fs::read_to_string(root.join("target/retrieval.md")).unwrap_or_default();
    let text = format!("{before}{BEGIN}\n{}\n\n{}{searches}\n{END}{after}", machine(), tables(&figures));
    fs::write(&path, text).expect("RESULTS.md can be written");
    println!("{} figures in {}", figures.len(), path.display());
}

fn figures(folder: &Path) -> Vec<Figure> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        let mut below: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        below.sort();
        folders.extend(below.into_iter().filter(|path| path.is_dir()));
        if folder.file_name().is_some_and(|name| name == "new") {
            found.extend(figure(&folder));
        }
    }
    found.sort_by(|a, b| (&a.group, &a.function).cmp(&(&b.group, &b.function)));
    found
}

fn figure(folder: &Path) -> Option<Figure> {
    let json = |name: &str| -> Option<Json> {
        serde_json::from_str(&fs::read_to_string(folder.join(name)).ok()?).ok()
    };
    let (about, estimates) = (json("benchmark.json")?, json("estimates.json")?);
    let median = estimates["median"]["point_estimate"].as_f64()?;
    let elements = about["throughput"]["Elements"].as_f64().unwrap_or(1.0);
    let text = |name: &str| about[name].as_str().unwrap_or_default().to_owned();
    Some(Figure {
        group: text("group_id"),
        function: text("function_id"),
        parameter: text("value_str"),
        nanoseconds: median / elements,
    })
}

/// A table for each group: a row for each function, a column for each parameter.
fn tables(figures: &[Figure]) -> String {
    let mut groups: BTreeMap<&str, Vec<&Figure>> = BTreeMap::new();
    for figure in figures {
        groups.entry(&figure.group).or_default().push(figure);
    }
    let mut text = String::new();
    for (group, figures) in groups {
        let mut parameters: Vec<&str> = figures.iter().map(|figure| figure.parameter.as_str()).collect();
        parameters.sort_by_key(|parameter| (parameter.parse::<u64>().unwrap_or(0), parameter.len()));
        parameters.dedup();
        let mut functions: Vec<&str> = figures.iter().map(|figure| figure.function.as_str()).collect();
        functions.dedup();
        let _ = writeln!(
            text,
            "### {group}\n\n| | {} |\n|---|{}",
            parameters.join(" | "),
            "---:|".repeat(parameters.len())
        );
        for function in functions {
            let cells = parameters.iter().map(|parameter| {
                let of = |figure: &&&Figure| figure.function == function && figure.parameter == *parameter;
                figures.iter().find(of).map_or(String::new(), |figure| time(figure.nanoseconds))
            });
            let _ = writeln!(text, "| {function} | {} |", cells.collect::<Vec<_>>().join(" | "));
        }
        text.push('\n');
    }
    text
}

fn time(nanoseconds: f64) -> String {
    let (number, unit) = match nanoseconds {
        n if n < 1e3 => (n, "ns"),
        n if n < 1e6 => (n / 1e3, "µs"),
        n if n < 1e9 => (n / 1e6, "ms"),
        n => (n / 1e9, "s"),
    };
    if number < 10.0 { format!("{number:.2} {unit}") } else { format!("{number:.1} {unit}") }
}

fn machine() -> String {
    let line = |path: &str, name: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let found = text.lines().find_map(|line| line.strip_prefix(name)?.split_once(':'));
        found.map(|(_, value)| value.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let processor = line("/proc/cpuinfo", "model name").unwrap_or_else(|| "an unknown processor".to_owned());
    let memory = line("/proc/meminfo", "MemTotal").unwrap_or_else(|| "unknown".to_owned());
    let rustc = std::process::Command::new("rustc").arg("--version").output();
    let rustc = rustc
        .map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    format!("Machine: {processor}, {cores} cores, {memory} of memory, {}. {rustc}.", std::env::consts::OS)
}
