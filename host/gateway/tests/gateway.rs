//! The program: its help, `--check`, and configurations that are wrong.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failure here is a failure of the test"
)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const CONFIG: &str = r#"listen = "127.0.0.1:0"
[upstream]
url = "http://127.0.0.1:1"
[policy]
path = "policy.cedar"
[tokens]
algorithm = "HS256"
secret_file = "secret"
[collections.docs]
text = "page_content"
fields = { attributes = [{ attr = ["team"], field = ["metadata", "team"] }], id = { absent = true } }
"#;

fn run(folder: &Path, config: &str, more: &[&str]) -> Output {
    std::fs::write(folder.join("policy.cedar"), "permit(principal, action, resource);").unwrap();
    std::fs::write(folder.join("secret"), "a secret of more than thirty-two bytes\n").unwrap();
    std::fs::write(folder.join("short"), "short\n").unwrap();
    std::fs::write(folder.join("jwks.json"), r#"{"keys":[]}"#).unwrap();
    std::fs::write(folder.join("broken.cedar"), "permit(").unwrap();
    let file = folder.join("gateway.toml");
    std::fs::write(&file, config).unwrap();
    let program = env!("CARGO_BIN_EXE_tamis-gateway");
    Command::new(program).arg("--config").arg(file).args(more).env_remove("TAMIS_LOG").output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_configuration_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), CONFIG, &["--check"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let told = text(&output.stdout);
    for part in ["policy policy, ", "tokens HS256", "collections docs", "in front of http://127.0.0.1:1"] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
    assert!(!told.contains("thirty-two"));
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    for (from, to, place, message) in [
        ("listen = ", "listne = ", ":1:1: ", "unknown field `listne`"),
        ("127.0.0.1:0", "nowhere", ":1:10: ", "invalid socket address"),
        ("url = ", "url = [] #", ":3:7: ", "invalid type"),
        ("[upstream]", "[upstream", ":2:", "expected"),
        ("\"HS256\"", "\"none\"", ":7:13: ", "none of HS256"),
        ("\"HS256\"", "\"RS256\"", ":6: ", "RS256 wants `jwks_file`"),
        ("secret_file", "jwks_file", ":6: ", "HS256 wants"),
        ("text = ", "txet = ", ":10:1: ", "unknown field `txet`"),
        ("{ absent = true }", "{ constant = \"x\" }", ":11:10: ", "id: is neither"),
        ("attributes = ", "atributes = ", ":11:10: ", "atributes"),
        ("collections.docs", "collections.\"a/b\"", ":9:", "other characters"),
        ("path = ", "schema = \"s\"\npath = \"policy.wasm\" #", ":4: ", "was compiled with what schema"),
        ("[policy]", "timeout_ms = 0\n[policy]", ":4:14: ", "nothing is done in no time"),
        ("secret_file", "leeway = 60000\nsecret_file", ":6: ", "`leeway` is 60000 seconds"),
        ("[policy]", "[limits]\npayload = 0\n[policy]", ":4: ", "a limit of 0"),
        ("[policy]", "[limits]\nhits = 10000\n[policy]", ":4: ", "`hits` is 10000"),
        ("[policy]", "[limits]\nrequests = 0\n[policy]", ":4: ", "`requests` is 0"),
        ("[policy]", "api_key_env = \"X\"\napi_key_file = \"key\"\n[policy]", ":2: ", "exclude each other"),
    ] {
        let config = CONFIG.replacen(from, to, 1);
        assert_ne!(config, CONFIG, "{from}");
        let output = run(folder.path(), &config, &["--check"]);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{to}: {error}");
        let place = format!("{}{place}", folder.path().join("gateway.toml").display());
        assert!(error.contains(&place), "{to}: {place} is not in {error}");
        assert!(error.contains(message), "{to}: {message} is not in {error}");
    }
}

#[test]
fn what_it_names_must_be_there_and_right() {
    let folder = tempfile::tempdir().unwrap();
    for (from, to, message) in [
        ("\"secret\"", "\"missing\"", "missing: No such file"),
        ("\"secret\"", "\"short\"", "short: the secret has 5 bytes"),
        ("secret_file = \"secret\"", "secret_env = \"TAMIS_TEST_UNSET\"", "`TAMIS_TEST_UNSET`"),
        ("policy.cedar", "missing.cedar", "missing.cedar: No such file"),
        ("policy.cedar", "broken.cedar", "broken.cedar"),
        ("http://127.0.0.1:1", "ftp://127.0.0.1", "is no URL such as"),
        ("http://127.0.0.1:1", "http://me:mine@127.0.0.1:1", "is no URL such as"),
        ("http://127.0.0.1:1", "http://127.0.0.1:1/?x=1", "is no URL such as"),
        (
            "[collections.docs]",
            "agents = { bot = { parents = [{ typ = \"Group\", id = \"hr\" }] } }\n[collections.docs]",
            "`tokens.agents`, \"bot\": ",
        ),
        (
            "algorithm = \"HS256\"\nsecret_file = \"secret\"",
            "algorithm = \"RS256\"\njwks_file = \"jwks.json\"\nissuer = \"i\"\naudience = \"a\"",
            "jwks.json: it holds no key for RS256",
        ),
    ] {
        let config = CONFIG.replacen(from, to, 1);
        let output = run(folder.path(), &config, &["--check"]);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{to}: {error}");
        assert!(error.contains(message), "{to}: {message} is not in {error}");
        assert!(!error.contains("thirty-two"));
    }
}

#[test]
fn the_help_teaches() {
    let help = Command::new(env!("CARGO_BIN_EXE_tamis-gateway")).arg("--help").output().unwrap();
    let help = text(&help.stdout);
    for part in ["--config", "--check", "[collections.docs]", "QdrantClient(", "TAMIS_LOG"] {
        assert!(help.contains(part), "{part}");
    }
    let nothing = Command::new(env!("CARGO_BIN_EXE_tamis-gateway")).output().unwrap();
    assert_eq!(nothing.status.code(), Some(2));
}

/// What comes back for a request without a token.
fn ask(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

#[test]
fn it_serves_until_it_is_told_to_stop() {
    let folder = tempfile::tempdir().unwrap();
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (listen, metrics) = (free(), free());
    let to = format!("listen = \"{listen}\"\nmetrics = \"{metrics}\"");
    let config = CONFIG.replace("listen = \"127.0.0.1:0\"", &to);
    // It also writes the files.
    run(folder.path(), &config, &["--check"]);
    let mut process = Command::new(env!("CARGO_BIN_EXE_tamis-gateway"))
        .arg("--config")
        .arg(folder.path().join("gateway.toml"))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while ask(&listen, "/healthz").is_none() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(ask(&listen, "/healthz").unwrap().starts_with("HTTP/1.1 200 "));
    assert!(ask(&listen, "/collections").unwrap().starts_with("HTTP/1.1 401 "));
    assert!(ask(&metrics, "/metrics").unwrap().contains("tamis_requests_total{status=\"401\"} 1\n"));
    let told = Command::new("kill").arg(process.id().to_string()).status().unwrap();
    assert!(told.success());
    let mut log = String::new();
    process.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(process.wait().unwrap().success(), "{log}");
    assert!(log.contains("serving") && log.contains("no token") && log.contains("stopped"), "{log}");
}
