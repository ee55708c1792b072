//! Database engines that come as packages, nearly all of them Python's, for tests against the real thing.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::root;

/// The Python that has the engines of `tests/engines/requirements.txt`. The first call of a checkout installs them into
/// `target/engines`, which takes a minute or two.
pub fn python() -> PathBuf {
    python_with("engines", "tests/engines/requirements.txt")
}

/// The Python that has what a file of the checkout lists, in a folder of its own under `target`.
pub fn python_with(folder: &str, requirements: &str) -> PathBuf {
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    let requirements = root().join(requirements);
    let wanted = std::fs::read_to_string(&requirements).unwrap();
    let folder = target().join(folder);
    let (python, installed) = (folder.join("bin/python"), folder.join("installed.txt"));
    if std::fs::read_to_string(&installed).is_ok_and(|text| text == wanted) {
        return python;
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder));
    let install =
        ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:", "-r"];
    run(Command::new(&python).args(install).arg(requirements));
    std::fs::write(&installed, wanted).unwrap();
    python
}

/// The folder with what `opensearch` or `elasticsearch` consists of. The first call of a checkout has Maven fetch it into `target`: 45 MB or 40.
fn search_engine(name: &str) -> PathBuf {
    static FETCHING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = FETCHING.lock().unwrap_or_else(PoisonError::into_inner);
    let project = root().join(format!("tests/engines/{name}_pom.xml"));
    let wanted = std::fs::read_to_string(&project).unwrap();
    let folder = target().join(name);
    let fetched = folder.join("fetched.xml");
    if std::fs::read_to_string(&fetched).is_ok_and(|text| text == wanted) {
        return folder;
    }
    // Java takes whatever lies there.
    let _ = std::fs::remove_dir_all(&folder);
    let mut place = OsString::from("-Dfolder=");
    place.push(&folder);
    run(Command::new("mvn").args(["--quiet", "--batch-mode", "package", "--file"]).arg(&project).arg(place));
    std::fs::write(&fetched, wanted).unwrap();
    folder
}

/// The loadable extension of SQLite. Cargo builds it apart from everything else, as it must not have an SQLite of its own; the first time
/// that takes some minutes.
pub fn sqlite_extension() -> PathBuf {
    static BUILDING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let library = target().join("extension/debug/tamis.so");
    let build = ["sqlite", "--debug"];
    run(Command::new(root().join("run")).args(build).env("CARGO_TARGET_DIR", target()));
    assert!(library.exists(), "{} is missing", library.display());
    library
}

/// The server of Weaviate. `./run test` has built it, or the first test that asks for it does, which takes some minutes.
pub fn weaviate_server() -> PathBuf {
    run(Command::new(root().join("run")).arg("weaviate").env("CARGO_TARGET_DIR", target()));
    target().join("weaviate/server")
}

/// The folder that cargo builds into.
fn target() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(3).unwrap().to_owned()
}

/// An example that cargo built together with this test.
pub fn example_binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let binary = test.ancestors().nth(2).unwrap().join("examples").join(name);
    assert!(binary.exists(), "{} is missing: `cargo test --workspace` builds it", binary.display());
    binary
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&output.stdout));
}

/// A server, which ends with this.
#[derive(Debug)]
pub struct Server {
    process: Child,
    address: String,
}

impl Server {
    /// PostgreSQL with pgvector. Its address is the folder of its socket.
    pub fn postgres() -> Self {
        Self::start("tests/engines/serve_postgres.py", None)
    }

    /// The same with the extension that `./run postgres` has built; or the server that the pg_config `TAMIS_TEST_PG_CONFIG` is of, with the
    /// extension that is installed there.
    pub fn postgres_with_tamis() -> Self {
        if let Some(pg_config) = std::env::var_os("TAMIS_TEST_PG_CONFIG") {
            return Self::start("tests/engines/serve_postgres.py", Some(Path::new(&pg_config)));
        }
        let built = target().join("postgres");
        assert!(built.join("tamis.so").exists(), "the extension is missing: `./run postgres` builds it");
        Self::start("tests/engines/serve_postgres.py", Some(&built))
    }

    /// What a search needs of Qdrant's REST interface, over its engine. Its address is a URL.
    pub fn qdrant() -> Self {
        let mut server = Self::start("tests/engines/serve_qdrant.py", None);
        server.address = format!("http://127.0.0.1:{}", server.address);
        server
    }

    /// `opensearch` or `elasticsearch`. Its address is a host and a port.
    pub fn search_engine(name: &str) -> Self {
        let folder = search_engine(name);
        let program = root().join(format!("tests/engines/serve_{name}.java"));
        let mut command = Command::new("java");
        // It runs for some seconds, so little is worth compiling well.
        command.args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"]);
        Self::run(command.arg(folder.join("jars/*")).arg(program).arg(folder))
    }

    fn start(script: &str, argument: Option<&Path>) -> Self {
        Self::run(Command::new(python()).arg(root().join(script)).args(argument))
    }

    /// A program that prints its address, and ends with its input.
    fn run(command: &mut Command) -> Self {
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut output = std::io::BufReader::new(process.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut output, &mut line).unwrap();
        assert!(!line.trim().is_empty(), "the server did not start");
        Self { process, address: line.trim().to_owned() }
    }

    /// Where it is.
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The server stops when its input ends.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}
