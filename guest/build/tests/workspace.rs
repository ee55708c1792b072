//! Policies that live in one workspace.

#![allow(clippy::unwrap_used, reason = "a test that meets something unexpected fails")]

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use tamis_build::build_crate;

/// A policy that names the file of a crate beside its workspace.
const POLICY: &str = "
    use tamis_sdk::{Chunk, Decision, Error, Filter, Manifest, Policy, Query, Request, Rewrite};

    struct Nobody;

    impl Policy for Nobody {
        fn manifest() -> Manifest {
            Manifest::of(beside::FILE)
        }

        fn filter_chunk(_: &Request, _: &Chunk) -> Result<Decision, Error> {
            Ok(Decision::deny())
        }

        fn rewrite_query(_: &Request, _: &Query) -> Result<Rewrite, Error> {
            Ok(Rewrite::exact(Filter::never()))
        }
    }

    tamis_sdk::export_policy!(Nobody);";

fn package(folder: &Path, manifest: &str, source: &str) {
    let name = folder.file_name().unwrap().to_str().unwrap();
    fs::create_dir_all(folder.join("src")).unwrap();
    fs::write(folder.join("Cargo.toml"), format!("[package]\nname = '{name}'\nedition = '2024'\n{manifest}"))
        .unwrap();
    fs::write(folder.join("src/lib.rs"), source).unwrap();
}

/// When the SDK was built that lies in this folder.
fn built(target: &Path) -> Vec<(String, SystemTime)> {
    let files = fs::read_dir(target.join("wasm32-unknown-unknown/release/deps")).unwrap().map(Result::unwrap);
    let mut files: Vec<_> = files
        .map(|file| (file.file_name().into_string().unwrap(), file.metadata().unwrap().modified().unwrap()))
        .filter(|(name, _)| name.starts_with("libtamis_sdk") && name.ends_with(".rlib"))
        .collect();
    files.sort();
    files
}

#[test]
fn what_they_share_is_built_once_and_no_path_is_in_them() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let workspace = folder.join("workspace");
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("sdk");
    let manifest = format!(
        "[lib]\ncrate-type = ['cdylib']\n[dependencies]\nbeside.path = '../../beside'\ntamis-sdk.path = '{}'",
        sdk.display()
    );
    package(&folder.join("beside"), "", "pub const FILE: &str = file!();");
    package(&workspace.join("one"), &manifest, POLICY);
    package(&workspace.join("two"), &manifest, POLICY);
    let root = "[workspace]\nmembers = ['one', 'two']\nresolver = '3'\n[profile.release]\npanic = 'abort'\nstrip = true";
    fs::write(workspace.join("Cargo.toml"), root).unwrap();
    fs::copy(sdk.parent().unwrap().join("examples/Cargo.lock"), workspace.join("Cargo.lock")).unwrap();

    let one = build_crate(&workspace.join("one")).unwrap();
    let before = built(&workspace.join("target"));
    assert_eq!(before.len(), 1);
    let two = build_crate(&workspace.join("two")).unwrap();
    assert_eq!(built(&workspace.join("target")), before);

    for component in [one, two] {
        let holds = |text: &str| component.windows(text.len()).any(|part| part == text.as_bytes());
        assert!(holds("up1/beside/src/lib.rs"));
        assert!(!holds(folder.to_str().unwrap()));
    }
}
