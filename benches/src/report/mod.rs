//! What `benches/RESULTS.md`, `benches/COSTS.md` and the plots say, from the figures of the last run.

pub mod costs;
pub mod goals;
pub mod plots;
pub mod tables;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use crate::figures::{Figure, Unit, built};

/// All figures of the last run.
#[derive(Debug, Default)]
pub struct Data {
    figures: Vec<Figure>,
}

impl Data {
    /// Those that criterion left, and those of the programs.
    pub fn read() -> Self {
        let mut figures = criterion(&built().join("criterion"));
        let Ok(entries) = fs::read_dir(built().join("figures")) else { return Self { figures } };
        let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.sort();
        for path in paths {
            let own: Vec<Figure> = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
            figures.extend(own);
        }
        Self { figures }
    }

    /// From figures.
    pub fn of(figures: Vec<Figure>) -> Self {
        Self { figures }
    }

    /// How many figures there are.
    pub fn len(&self) -> usize {
        self.figures.len()
    }

    /// Whether nothing was measured.
    pub fn is_empty(&self) -> bool {
        self.figures.is_empty()
    }

    /// One number, if it was measured.
    pub fn get(&self, group: &str, row: &str, column: impl ToString) -> Option<f64> {
        let column = column.to_string();
        let of = |figure: &&Figure| figure.group == group && figure.row == row && figure.column == column;
        self.figures.iter().find(of).map(|figure| figure.value)
    }

    /// Names of tables, each once.
    pub fn groups(&self) -> Vec<&str> {
        distinct(self.figures.iter().map(|figure| figure.group.as_str()))
    }

    /// The figures of a table.
    pub fn group(&self, name: &str) -> Vec<&Figure> {
        self.figures.iter().filter(|figure| figure.group == name).collect()
    }

    /// A row as numbers over numbers, in the order of the columns.
    pub fn line(&self, group: &str, row: &str) -> Vec<(f64, f64)> {
        let of_row = self.figures.iter().filter(|figure| figure.group == group && figure.row == row);
        let mut points: Vec<(f64, f64)> =
            of_row.filter_map(|figure| Some((figure.column.parse().ok()?, figure.value))).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        points
    }
}

/// Each once, in the order of their first.
pub fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut found = Vec::new();
    for name in names {
        if !found.contains(&name) {
            found.push(name);
        }
    }
    found
}

/// Puts `text` between two marks of the file at `path`: what people wrote around them stays.
pub fn replace(path: &Path, mark: &str, text: &str) {
    let file = fs::read_to_string(path).unwrap();
    let (begin, end) = (
        format!("<!-- {mark}: written by `./run bench`, not by hand -->\n"),
        format!("<!-- end of {mark} -->"),
    );
    let (before, rest) =
        file.split_once(&begin).unwrap_or_else(|| panic!("{} has no {begin}", path.display()));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("{} has no {end}", path.display()));
    fs::write(path, format!("{before}{begin}\n{}\n\n{end}{after}", text.trim())).unwrap();
}

/// Medians, for each element where elements are counted.
fn criterion(folder: &Path) -> Vec<Figure> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        let below = entries.filter_map(|entry| Some(entry.ok()?.path()));
        folders.extend(below.filter(|path| path.is_dir()));
        if folder.file_name().is_some_and(|name| name == "new") {
            found.extend(criterion_figure(&folder));
        }
    }
    found.sort_by(|a, b| (&a.group, &a.row).cmp(&(&b.group, &b.row)));
    found
}

fn criterion_figure(folder: &Path) -> Option<Figure> {
    let json =
        |name: &str| -> Option<Json> { serde_json::from_slice(&fs::read(folder.join(name)).ok()?).ok() };
    let (about, estimates) = (json("benchmark.json")?, json("estimates.json")?);
    let median = estimates["median"]["point_estimate"].as_f64()?;
    let elements = about["throughput"]["Elements"].as_f64().unwrap_or(1.0);
    let text = |name: &str| about[name].as_str().unwrap_or_default().to_owned();
    Some(Figure {
        group: text("group_id"),
        row: text("function_id"),
        column: text("value_str"),
        value: median / elements,
        unit: Unit::Time,
    })
}
