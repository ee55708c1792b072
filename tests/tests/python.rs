//! The Python package, by its own tests: `host/python/tests`, with the frameworks and stores that its users have.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use tamis_tests::engines::python_with;
use tamis_tests::root;
// What is tested is its library for Python, which cargo builds for this.
use tamis_python as _;

#[test]
fn the_package_passes_its_own_tests() {
    let test = std::env::current_exe().unwrap();
    let built = test.parent().unwrap().join("libtamis_python.so");
    assert!(built.exists(), "{} is missing: `cargo test --workspace` builds it", built.display());
    // Beside its sources, the package can be imported as it is.
    let package = root().join("host/python");
    let native = package.join("tamis/_native.abi3.so");
    if fs::read_link(&native).is_ok_and(|target| target != built) || !native.exists() {
        let _ = fs::remove_file(&native);
        symlink(&built, &native).unwrap();
    }
    let python = python_with("python", "host/python/tests/requirements.txt");
    let ran = Command::new(python)
        .args(["-m", "pytest", "--quiet", "-p", "no:cacheprovider"])
        .current_dir(&package)
        .env("PYTHONPATH", &package)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{text}{}", String::from_utf8_lossy(&ran.stderr));
    println!("{text}");
}
