//! A table for each group of figures.

use std::fmt::Write;

use super::{Data, distinct};
use crate::figures::{Figure, show};

/// Tables that readers want first; the others follow by name.
const FIRST: [&str; 6] = [
    "decide, ten policies",
    "decide, three policies",
    "decide, a policy in Rust",
    "latency of one call about 1 chunk",
    "latency of one call about 100 chunks",
    "memory, batches of 100",
];
/// Rows stand in the order of this column, if there is one: the fastest first.
const ORDER: &str = "100";
/// What one run may lack, and the table where it would stand.
const OPTIONAL: [(&str, &str); 4] = [
    ("decide, ten policies", "regorus, virtual machine"),
    ("decide, ten policies", "OPA, library"),
    ("rewrite, ten policies", "OPA, partial evaluation"),
    ("rewrite, ten policies", "OPA, data filter in SQL"),
];

/// All tables as Markdown.
pub fn all(data: &Data) -> String {
    let mut groups = data.groups();
    groups
        .sort_by_key(|group| (FIRST.iter().position(|first| first == group).unwrap_or(FIRST.len()), *group));
    groups.into_iter().map(|group| table(group, &data.group(group))).collect()
}

/// A row for each function, a column for each parameter.
fn table(group: &str, figures: &[&Figure]) -> String {
    let mut columns = distinct(figures.iter().map(|figure| figure.column.as_str()));
    if columns.iter().all(|column| column.parse::<u64>().is_ok()) {
        columns.sort_by_key(|column| column.parse::<u64>().unwrap_or_default());
    }
    let mut rows = distinct(figures.iter().map(|figure| figure.row.as_str()));
    let cell =
        |row: &str, column: &str| figures.iter().find(|figure| figure.row == row && figure.column == column);
    if columns.contains(&ORDER) && group.starts_with("decide") {
        let key = |row: &str| {
            let ordered = cell(row, ORDER).or_else(|| figures.iter().rfind(|figure| figure.row == row));
            ordered.map_or(f64::INFINITY, |figure| figure.value)
        };
        rows.sort_by(|a, b| key(a).total_cmp(&key(b)));
    }
    let mut text = String::new();
    let _ = writeln!(
        text,
        "### {group}\n\n| | {} |\n|---|{}",
        columns.join(" | "),
        "---:|".repeat(columns.len())
    );
    for row in &rows {
        let cells = columns
            .iter()
            .map(|column| cell(row, column).map_or(String::new(), |figure| show(figure.value, figure.unit)));
        let _ = writeln!(text, "| {row} | {} |", cells.collect::<Vec<_>>().join(" | "));
    }
    for (of, row) in OPTIONAL {
        if of == group && !rows.contains(&row) {
            let _ = writeln!(text, "| {row} |{}", " not measured |".repeat(columns.len()));
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Unit;

    #[test]
    fn the_fastest_comes_first_and_what_was_not_measured_is_said() {
        let figure = |row: &str, column: &str, value| Figure {
            group: "decide, ten policies".to_owned(),
            row: row.to_owned(),
            column: column.to_owned(),
            value,
            unit: Unit::Time,
        };
        let data =
            Data::of(vec![figure("slow", "100", 5e3), figure("slow", "10", 6e3), figure("fast", "100", 5.0)]);
        assert_eq!(
            all(&data),
            "### decide, ten policies\n\n| | 10 | 100 |\n|---|---:|---:|\n| fast |  | 5 ns |\n\
             | slow | 6.00 µs | 5.00 µs |\n| regorus, virtual machine | not measured | not measured |\n\
             | OPA, library | not measured | not measured |\n\n"
        );
    }
}
