//! The loadable extension, from Python's sqlite3 and from SQLite's own shell, each with the SQLite that the system has.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use tamis_tests::engines::{python_with, sqlite_extension};
use tamis_tests::root;
use tempfile::TempDir;

use super::*;

/// Debian's Python can load extensions; one that was built from source often cannot.
const PYTHON: &str = "/usr/bin/python3";

/// The folder of the Python package that has sqlite-vec.
fn packages() -> PathBuf {
    let python = python_with("sqlite-vec", "tests/engines/requirements-sqlite.txt");
    let library = python.ancestors().nth(2).unwrap().join("lib");
    let version = std::fs::read_dir(library).unwrap().next().unwrap().unwrap();
    version.path().join("site-packages")
}

fn python(script: &str, arguments: &[&str]) -> String {
    let output = Command::new(PYTHON)
        .arg(root().join(script))
        .arg(sqlite_extension())
        .args(arguments)
        .env("PYTHONPATH", packages())
        .output()
        .unwrap();
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{error}");
    out.into_owned()
}

/// What the shell prints for these lines, and what it complains about.
fn shell(folder: &TempDir, lines: &str) -> (String, String) {
    let mut shell = Command::new("sqlite3")
        .arg(folder.path().join("db.sqlite"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let extension = sqlite_extension().with_extension("");
    // The shell takes its own commands at the beginning of a line only.
    let lines: String = lines.lines().map(|line| format!("{}\n", line.trim_start())).collect();
    let text = format!(".load {}\n{lines}", extension.display());
    std::io::Write::write_all(&mut shell.stdin.take().unwrap(), text.as_bytes()).unwrap();
    let output = shell.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn python_is_served() {
    let said = python("tests/engines/sqlite_extension.py", &[]);
    assert!(said.starts_with("ok"), "{said}");
}

#[test]
fn the_shell_is_served() {
    let folder = TempDir::new().unwrap();
    let quoted = |text: &str| text.replace('\'', "''");
    let (out, error) = shell(
        &folder,
        &format!(
            "{TABLE}
             SELECT tamis_load('rag', '{}', '{}');
             SELECT tamis_protect('docs', 'rag');
             SELECT name, generation, error FROM tamis_policies;",
            quoted(POLICY),
            quoted(SCHEMA)
        ),
    );
    assert_eq!((out.as_str(), error.as_str()), ("1\n\nrag|1|\n", ""));
    let (out, error) = shell(
        &folder,
        &format!(
            "SELECT id FROM docs;
             SELECT length(tamis_request('{1}'));
             SELECT id, salary FROM docs;
             SELECT * FROM tamis_protected_docs;
             SELECT readfile('{0}');
             SELECT data FROM fsdir('{0}');
             SELECT data FROM zipfile('{0}');
             .schema tamis_protected_docs
             SELECT tamis_unprotect('docs');
             .dump docs
             SELECT count(*) FROM docs;",
            folder.path().join("db.sqlite").display(),
            user("alice", "acme", 2)
        ),
    );
    assert!(out.starts_with("64\n1|\n2|\n"), "{out}");
    assert!(out.ends_with("\n2\n"), "{out}");
    assert!(!out.contains("globex"), "{out}");
    for message in [
        "no request is set",
        "access to tamis_protected_docs.id is prohibited",
        "not authorized to use function: readfile",
        "access to fsdir.data is prohibited",
        "access to zipfile.data is prohibited",
        "is refused on a connection",
    ] {
        assert!(error.contains(message), "{message}: {error}");
    }
}

#[test]
fn the_demo_shows_what_it_says() {
    let said = python("host/sqlite/demo.py", &[]);
    let counts: Vec<u32> =
        said.lines().filter_map(|line| line.split_once("count(*) FROM chunks: ")?.1.parse().ok()).collect();
    let [dana, carol, dana_later] = counts[..] else { panic!("{said}") };
    assert!(0 < dana_later && dana_later < dana && dana < 2157 && 0 < carol && carol != dana, "{said}");
    assert_eq!(said.matches("refused: ").count(), 8, "{said}");
    assert!(said.contains("SELECT count(*) FROM chunks WHERE tenant = 'globex'\n      0\n"), "{said}");
    assert!(said.contains("generation 2"), "{said}");
    assert!(said.contains("Serialization Failure Handling"), "{said}");
}
