//! The Python package, by its own tests: `host/python/tests`, with the frameworks and stores that its users have.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use tamis_tests::engines::python_with;
use tamis_tests::root;
// What is tested is its library for Python, which cargo builds for this.
use tamis_python as _;

/// A folder with the package as a wheel installs it: its sources, and the native module that cargo has built.
fn package() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let built = test.parent().unwrap().join("libtamis_python.so");
    assert!(built.exists(), "{} is missing: `cargo test --workspace` builds it", built.display());
    let folder =
        tempfile::Builder::new().prefix("python-").tempdir_in(test.ancestors().nth(3).unwrap()).unwrap();
    let package = folder.path().join("tamis");
    link_all(&root().join("host/python/tamis"), &package);
    symlink(&built, package.join("_native.abi3.so")).unwrap();
    folder.keep()
}

fn link_all(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        let is_code = |suffix| Path::new(&name).extension().is_some_and(|extension| extension == suffix);
        if entry.file_type().unwrap().is_dir() && name != "__pycache__" {
            link_all(&entry.path(), &to.join(&name));
        } else if is_code("py") || is_code("pyi") || name == "py.typed" {
            symlink(entry.path(), to.join(&name)).unwrap();
        }
    }
}

#[test]
fn the_package_passes_its_own_tests() {
    let python = python_with("python", "host/python/tests/requirements.txt");
    let package = package();
    let ran = Command::new(python)
        .args(["-m", "pytest", "--quiet", "-p", "no:cacheprovider"])
        .current_dir(root().join("host/python"))
        .env("PYTHONPATH", &package)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    fs::remove_dir_all(&package).unwrap();
    let text = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{text}{}", String::from_utf8_lossy(&ran.stderr));
    println!("{text}");
}
