//! Peers that are programs of their own: OPA's Go library, if there is Go, and regorus, whose dependencies would change how everything else is
//! built. They decide on the same chunks, and what decides otherwise is an error.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value as Json, json};
use tamis_benches::figures::{Figures, Unit, built};
use tamis_benches::native::{Document, Person, ten_on_struct};
use tamis_benches::{chunks, rego, request};

const BATCHES: [usize; 4] = [1, 10, 100, 1000];
const MILLISECONDS: u32 = 1000;

fn main() {
    let path = built().join("peers.json");
    std::fs::write(&path, input().to_string()).unwrap();
    let mut figures = Figures::default();
    for answer in [opa(), regorus()].into_iter().flatten().map(|program| ask(&program, &path)) {
        println!("{}", answer["version"].as_str().unwrap());
        for figure in answer["figures"].as_array().unwrap() {
            let (row, value) = (figure["row"].as_str().unwrap(), figure["nanoseconds"].as_f64().unwrap());
            match figure["batch"].as_u64().unwrap() {
                0 => figures.put("rewrite, ten policies", row, "", value, Unit::Time),
                batch => figures.put("decide, ten policies", row, batch, value, Unit::Time),
            }
        }
    }
    figures.save("peers");
}

/// What both are asked.
fn input() -> Json {
    let (request, chunks) = (request(), chunks(*BATCHES.last().unwrap()));
    let person = Person::of(&request);
    let decisions: Vec<bool> =
        chunks.iter().map(|chunk| ten_on_struct(&person, &Document::of(chunk))).collect();
    json!({
        "rules": rego::POLICY,
        "filters": rego::FILTERS,
        "action": "retrieve",
        "subject": rego::subject(&request),
        "chunks": chunks.iter().map(rego::read).collect::<Vec<_>>(),
        "decisions": decisions,
        "batches": BATCHES,
        "milliseconds": MILLISECONDS,
    })
}

/// OPA's library; `None` if it cannot be built here.
fn opa() -> Option<PathBuf> {
    let program = built().join("opa-peer");
    let go =
        Command::new("go").args(["build", "-o"]).arg(&program).arg(".").current_dir(source("opa")).status();
    if go.is_ok_and(|status| status.success()) {
        return Some(program);
    }
    println!("OPA's library is not measured: `go build` did not work");
    None
}

/// Regorus; `None` if it cannot be built here.
fn regorus() -> Option<PathBuf> {
    let folder = built().join("peers");
    let cargo = Command::new("cargo")
        .args(["build", "--release", "--locked", "--target-dir"])
        .arg(&folder)
        .current_dir(source("regorus"))
        .status();
    if cargo.is_ok_and(|status| status.success()) {
        return Some(folder.join("release/regorus-peer"));
    }
    println!("regorus is not measured: `cargo build` did not work");
    None
}

fn source(peer: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(peer)
}

fn ask(program: &Path, input: &Path) -> Json {
    let output = Command::new(program).arg(input).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}
