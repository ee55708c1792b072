//! A case: policies, entities and requests as texts, the way a user hands them over.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Policies, entities and the requests to decide, in the formats of Cedar.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Case {
    /// A schema in Cedar's own syntax; both sides get it.
    pub schema: Option<String>,
    /// The text of a policy set, whose policies are `policy0`, `policy1` and so on.
    pub policies: String,
    /// A JSON array of Cedar entities.
    pub entities: serde_json::Value,
    /// Requests as `tamis eval` reads them: `principal`, `action` and `resource` as `{"type", "id"}`, and `context`.
    pub requests: Vec<serde_json::Value>,
}

impl Case {
    /// The same case with one of its requests.
    pub fn only(&self, request: usize) -> Self {
        Self { requests: vec![self.requests[request].clone()], ..self.clone() }
    }

    /// Writes the case as a kept one, to be run by the tests from now on, and returns the path.
    pub fn keep(&self, name: &str) -> std::io::Result<PathBuf> {
        let folder = corpus();
        std::fs::create_dir_all(&folder)?;
        let path = folder.join(name).with_extension("json");
        let json = serde_json::to_string_pretty(self).expect("a case is plain JSON");
        std::fs::write(&path, json + "\n")?;
        Ok(path)
    }
}

/// The kept cases with their names, in the order of their names.
pub fn kept() -> Vec<(String, Case)> {
    let mut cases: Vec<_> = std::fs::read_dir(corpus())
        .expect("the kept cases lie in a folder")
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| {
            let name = path.file_stem().expect("a file").to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path).expect("a readable case");
            (name, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
        })
        .collect();
    cases.sort_by(|(left, _), (right, _)| left.cmp(right));
    cases
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/cedar")
}
