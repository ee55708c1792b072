//! What the command line makes of files, folders, pipes and terminals that are not as one would expect.

#![allow(clippy::unwrap_used, reason = "a test that meets something unexpected fails")]

mod run;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::process::Stdio;

use run::{Folder, Ran};

const POLICY: &str = "permit(principal, action, resource) when { resource.tenant == principal.tenant };\n";
const ALICE: &str = "{\"subject\":{\"type\":\"User\",\"id\":\"alice\",\"properties\":{\"tenant\":\"acme\"}},\"action\":{\"name\":\"retrieve\"}}\n";
const CHUNKS: &str = "{\"id\":\"ours\",\"attributes\":{\"tenant\":\"acme\"},\"text\":\"some words\"}\n";
const TESTS: &str = "policy: p.cedar
requests:
  alice: {subject: {type: User, id: alice, properties: {tenant: acme}}, action: {name: retrieve}}
chunks:
  ours: {attributes: {tenant: acme}}
tests:
  - request: alice
    expect: {ours: allow}
";

/// A folder with a policy, a request, a chunk and tests.
fn desk() -> Folder {
    let desk = Folder::new();
    desk.write("p.cedar", POLICY);
    desk.write("alice.json", ALICE);
    desk.write("c.jsonl", CHUNKS);
    desk.write("p.test.yaml", TESTS);
    desk
}

const FILTER: &str = "filter --policy p.cedar --request alice.json --chunks c.jsonl";

#[test]
fn nobody_need_read_what_is_said() {
    let desk = desk();
    for (words, code) in
        [(FILTER, 0), ("filter --policy none.wasm --request alice.json", 1), ("check alice.json", 5)]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let status = desk.command(words).stdout(Stdio::null()).stderr(writer).status().unwrap();
        assert_eq!(status.code(), Some(code), "{words}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ran = Ran::of(&desk.command(words).stdout(writer).output().unwrap());
        assert!(ran.code == code && !ran.err.contains("panicked"), "{words}: {}", ran.err);
    }
    // What could not be written for another reason is an error.
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let ran = Ran::of(&desk.command(FILTER).stdout(full).output().unwrap());
    assert!(ran.code == 1 && ran.err.contains("No space left"), "{}", ran.err);
}

#[test]
fn an_output_takes_the_place_of_its_file_and_of_no_other() {
    let desk = desk();
    desk.write("out.tmp", "precious");
    desk.write("target.wasm", "old");
    std::os::unix::fs::symlink("target.wasm", desk.path("link.wasm")).unwrap();
    std::fs::create_dir(desk.path("folder")).unwrap();
    let socket = UnixListener::bind(desk.path("socket")).unwrap();
    for (output, code) in [("out.wasm", 0), ("link.wasm", 0), ("folder", 1), ("socket", 1)] {
        let ran = desk.run(&format!("compile p.cedar -o {output}"));
        assert_eq!(ran.code, code, "{output}: {}", ran.err);
        assert!(code == 0 || ran.err.contains(&format!("error: {output}: ")), "{}", ran.err);
    }
    assert_eq!(std::fs::read(desk.path("out.tmp")).unwrap(), b"precious");
    assert_eq!(
        std::fs::read(desk.path("target.wasm")).unwrap(),
        std::fs::read(desk.path("out.wasm")).unwrap()
    );
    assert!(desk.path("link.wasm").is_symlink());
    assert!(desk.path("socket").symlink_metadata().unwrap().file_type().is_socket());
    drop(socket);
    let mode = |name: &str| desk.path(name).metadata().unwrap().permissions().mode();
    assert_eq!(mode("out.wasm"), mode("out.tmp"));
    let mut names: Vec<String> = std::fs::read_dir(desk.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let expected = [
        "alice.json",
        "c.jsonl",
        "folder",
        "link.wasm",
        "out.tmp",
        "out.wasm",
        "p.cedar",
        "p.test.yaml",
        "socket",
        "target.wasm",
    ];
    assert_eq!(names, expected, "nothing is left over");
}

#[test]
fn the_demo_keeps_its_files_beside_no_others() {
    let desk = desk();
    std::fs::create_dir(desk.path("cache")).unwrap();
    desk.write("cache/precious", "precious");
    let ran = desk.run("demo --keep .");
    assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{}", ran.err);
    assert!(ran.err.contains(".: other files are there"), "{}", ran.err);
    assert_eq!(std::fs::read(desk.path("cache/precious")).unwrap(), b"precious");
    assert_eq!(std::fs::read_to_string(desk.path("p.cedar")).unwrap(), POLICY);
}

#[test]
fn marks_and_line_ends_of_other_systems_are_read() {
    let desk = desk();
    for name in ["p.cedar", "alice.json", "c.jsonl", "p.test.yaml"] {
        let text = std::fs::read_to_string(desk.path(name)).unwrap();
        desk.write(name, format!("\u{feff}{}", text.replace('\n', "\r\n")));
    }
    let ran = desk.run(FILTER);
    assert_eq!((ran.code, ran.err.as_str()), (0, "1 allowed, 0 denied\n"));
    assert_eq!(ran.out, CHUNKS);
    let ran = desk.run("test p.test.yaml");
    assert!(ran.code == 0 && ran.out.ends_with("1 passed, 0 failed\n"), "{}{}", ran.out, ran.err);
}

#[test]
fn a_file_of_the_wrong_kind_is_named_with_what_is_wanted() {
    let desk = desk();
    desk.run("compile p.cedar -o p.wasm");
    desk.write("p.txt", POLICY);
    desk.write("P.CEDAR", POLICY);
    desk.write("noise", b"\xff\xfe\x00");
    desk.write("empty.sqlite", "");
    let text = "p.txt: not a policy component: the bytes are not WebAssembly; Cedar policies are in files that end in `.cedar`";
    for (words, code, message) in [
        ("check p.wasm", 1, "p.wasm: it is WebAssembly; what is wanted here is text"),
        ("compile p.wasm -o q.wasm", 1, "p.wasm: it is WebAssembly"),
        ("filter --policy p.txt --request alice.json", 5, text),
        ("inspect p.txt", 5, text),
        ("inspect P.CEDAR", 0, ""),
        (
            "build p.cedar -o q.wasm",
            1,
            "p.cedar: the bytes are not WebAssembly; Cedar policies are for `tamis compile`",
        ),
        ("build p.wasm -o q.wasm", 1, "p.wasm: it is a component already"),
        ("filter --policy p.cedar --request noise", 1, "noise: is not UTF-8"),
        ("filter --policy p.cedar --request .", 1, ".: Is a directory"),
        ("test none.yaml", 1, "error: none.yaml: No such file"),
        (
            "test p.test.yaml --policy p.wasm --require-coverage",
            1,
            "only known of Cedar source, and p.wasm is a component",
        ),
        ("compile p.cedar --schema alice.json -o q.wasm", 5, "alice.json:"),
        (
            "search --db empty.sqlite --policy p.cedar --request alice.json --text x",
            1,
            "empty.sqlite: the file is empty",
        ),
        (
            "search --db noise --policy p.cedar --request alice.json --text x",
            1,
            "error: noise: file is not a database\n",
        ),
        ("search --db . --policy p.cedar --request alice.json --text x", 1, ".: this is a folder"),
        (
            "index --db no/d.sqlite --policy p.cedar --request alice.json --chunks c.jsonl",
            1,
            "no/d.sqlite: there is no such folder",
        ),
        (
            "bench --policy p.cedar --request alice.json --chunks c.jsonl --seconds 0 --batch 1 --save no/run.json",
            1,
            "no/run.json: there is no such folder",
        ),
        ("rewrite --policy p.cedar --request alice.json --fields alice.json", 1, "alice.json: "),
    ] {
        let ran = desk.run(words);
        assert_eq!(ran.code, code, "{words}: {}", ran.err);
        assert!(ran.err.contains(message), "{words}: {}", ran.err);
    }
    desk.write("f.json", "{}");
    let ran = desk.run("rewrite --policy p.cedar --request alice.json --fields f.json");
    assert!(ran.code == 0 && ran.err.contains("f.json is not used"), "{}", ran.err);
}

#[test]
fn a_path_need_not_be_utf8() {
    let desk = desk();
    let name = OsStr::from_bytes(b"t\xff.test.yaml");
    std::fs::write(desk.path("").join(name), TESTS).unwrap();
    for format in ["text", "json", "junit"] {
        let ran = Ran::of(&desk.command(&format!("test --format {format}")).arg(name).output().unwrap());
        assert_eq!(ran.code, 0, "{format}: {}", ran.err);
        assert!(ran.out.contains("t\u{fffd}.test.yaml"), "{format}: {}", ran.out);
    }
}

#[test]
fn what_documents_hold_does_not_command_the_terminal() {
    let desk = desk();
    desk.write(
        "c.jsonl",
        "{\"id\":\"a\",\"attributes\":{\"tenant\":\"acme\",\"title\":\"\\u001b[2Jtitle\"},\"text\":\"words \\u001b]0;owned\\u0007 \\u009b31m\"}\n",
    );
    assert_eq!(
        desk.run("index --db d.sqlite --policy p.cedar --request alice.json --chunks c.jsonl").code,
        0
    );
    let ran = desk.run("search --db d.sqlite --policy p.cedar --request alice.json --text words");
    assert!(
        ran.out.contains("\u{fffd}[2Jtitle") && ran.out.contains("\u{fffd}]0;owned\u{fffd}"),
        "{}",
        ran.out
    );
    assert!(!ran.out.replace('\n', "").contains(char::is_control), "{:?}", ran.out);
}

#[test]
fn what_is_said_of_documents_does_not_command_the_terminal_either() {
    let desk = desk();
    desk.write("odd.jsonl", "{\"id\":\"a\",\"\\u001b]0;owned\\u0007\":1}\n");
    for words in [
        "filter --policy p.cedar --request alice.json --chunks odd.jsonl",
        "index --db d.sqlite --policy p.cedar --request alice.json --chunks odd.jsonl",
        "eval --policy p.cedar --requests odd.jsonl",
        "filter --policy p.cedar --request odd.jsonl",
        "match --filter odd.jsonl --chunks odd.jsonl",
    ] {
        let ran = desk.run(words);
        assert!(ran.code == 1 && ran.err.contains("odd.jsonl"), "{words}: {}", ran.err);
        assert!(!ran.err.replace('\n', "").contains(char::is_control), "{words}: {:?}", ran.err);
    }
}

#[test]
fn a_log_that_nobody_looks_at_has_no_colours() {
    let desk = desk();
    let ran = Ran::of(&desk.command(FILTER).env("XDG_CACHE_HOME", "/dev/null/none").output().unwrap());
    assert_eq!(ran.code, 0);
    assert!(ran.err.contains("WARN") && ran.err.contains("going on without a cache"), "{}", ran.err);
    assert!(!ran.err.contains('\u{1b}'), "{:?}", ran.err);
    let ran = Ran::of(&desk.command(FILTER).env("TAMIS_LOG", "tamis=[").output().unwrap());
    assert!(ran.code == 0 && ran.err.contains("TAMIS_LOG is not used: "), "{}", ran.err);
}

#[test]
fn help_shows_the_form_of_what_is_asked_for() {
    let desk = Folder::new();
    for (words, text) in [
        ("test --help", "  - name: people read what their clearance allows\n"),
        ("bench --help", "--compare served.json --fail-over 10%"),
        ("--help", "Exit codes: 0 done or allowed"),
    ] {
        let ran = desk.run(words);
        assert_eq!(ran.code, 0, "{words}");
        assert!(ran.out.contains(text), "{words}: {}", ran.out);
    }
}
