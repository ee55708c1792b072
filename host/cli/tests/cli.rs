//! The command line as scripts use it: forms, output, exit codes, and what it says of bad input.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that meets something unexpected fails"
)]

mod run;

use run::Folder;
use serde_json::json;

const BOB: &str = r#"{"subject":{"type":"User","id":"bob","properties":{"tenant":"acme","clearance":1,"roles":["analyst"]}},
                     "action":{"name":"retrieve"}}"#;
const LOADER: &str = r#"{"subject":{"type":"Service","id":"loader","properties":{"tenant":"acme","roles":["indexer"]}},
                        "action":{"name":"index"}}"#;
const CHUNKS: &str = r#"{"id":"open","attributes":{"tenant":"acme","access_level":0,"user_roles":["analyst"]},"text":"open words","vector":[1,0]}
{"id":"high","attributes":{"tenant":"acme","access_level":3,"user_roles":["analyst"]},"text":"high words","vector":[1,0.1]}
{"id":"bare","attributes":{"tenant":"acme"},"text":"bare words","vector":[0,1]}
{"id":"foreign","attributes":{"tenant":"globex","access_level":0,"user_roles":["analyst"]},"text":"foreign words","vector":[0,1]}
"#;

/// A folder with a policy, a request and a few chunks.
fn bench() -> Folder {
    let folder = Folder::new();
    folder.write("p.wasm", tamis_tests::example("clearance"));
    folder.write("bob.json", BOB);
    folder.write("loader.json", LOADER);
    folder.write("c.jsonl", CHUNKS);
    folder
}

#[test]
fn inspect_shows_what_a_policy_is() {
    let bench = bench();
    let ran = bench.run("inspect p.wasm --format json");
    assert_eq!(ran.code, 0, "{}", ran.err);
    let json = &ran.lines()[0];
    assert_eq!(json["name"], "clearance");
    assert_eq!(json["contract"], "0.1.0");
    assert_eq!(json["imports"], json!([]));
    assert_eq!(json["footprint"][0], json!({"attr": ["tenant"], "type": "String", "optional": false}));
    assert!(json["digest"].as_str().unwrap().starts_with("sha256:"));
    assert!(bench.run("inspect p.wasm").out.contains("Set<String>"));
}

#[test]
fn filter_prints_what_is_allowed_and_explains() {
    let bench = bench();
    let ran = bench.run("filter --policy p.wasm --request bob.json --chunks c.jsonl");
    assert_eq!((ran.code, ran.ids()), (0, vec!["open".to_owned()]), "{}", ran.err);
    assert_eq!(ran.err, "1 allowed, 3 denied\n");
    assert_eq!(ran.out.trim(), CHUNKS.lines().next().unwrap(), "an allowed line is handed on as it was");

    let ran = bench.run_with("filter --policy p.wasm --request bob.json --explain --format json", CHUNKS);
    assert_eq!(ran.code, 0);
    assert_eq!(ran.err, "{\"allowed\":1,\"denied\":3,\"unreadable\":0}\n");
    assert_eq!(
        ran.lines()[1],
        json!({"id": "high", "decision": "deny", "reasons": ["clearance"], "errors": []})
    );
    assert_eq!(ran.lines()[2]["errors"][0]["message"], "the chunk has no attribute `access_level`");
}

#[test]
fn an_unreadable_line_is_denied_named_and_loses_nothing_else() {
    let bench = bench();
    let broken =
        format!("{{\"id\":\nnot json\n\n{{\"id\":\"twice\",\"id\":\"twice\"}}\n{CHUNKS}{{\"id\":3}}\n");
    bench.write("broken.jsonl", broken);
    let ran = bench.run("filter --policy p.wasm --request bob.json --chunks broken.jsonl --explain");
    assert_eq!(ran.code, 1);
    assert_eq!(ran.lines().len(), 8);
    assert!(ran.err.contains("broken.jsonl:2: line 1 column 2: expected ident"), "{}", ran.err);
    assert!(ran.err.contains("broken.jsonl:4: line 1 column 18: the key `id` occurs twice"), "{}", ran.err);
    assert!(ran.err.contains("broken.jsonl:9: id: invalid type: integer `3`"), "{}", ran.err);
    assert!(ran.err.contains("1 allowed, 3 denied, 4 unreadable"), "{}", ran.err);
    assert_eq!(ran.lines()[1]["decision"], "deny");

    let mut bytes = b"\xff\xfe\n".to_vec();
    bytes.extend(CHUNKS.as_bytes());
    bench.write("latin.jsonl", bytes);
    let ran = bench.run("filter --policy p.wasm --request bob.json --chunks latin.jsonl");
    assert_eq!((ran.code, ran.ids()), (1, vec!["open".to_owned()]));
    assert!(ran.err.contains("latin.jsonl:1: is not UTF-8"), "{}", ran.err);
}

#[test]
fn eval_answers_both_forms_in_order() {
    let bench = bench();
    let attributes = r#"{"tenant":"acme","access_level":0,"user_roles":["analyst"]}"#;
    let person = r#"{"tenant":"acme","clearance":1,"roles":["analyst"]}"#;
    let questions = format!(
        r#"{{"subject":{{"type":"User","id":"bob","properties":{person}}},"action":{{"name":"retrieve"}},"resource":{{"type":"Doc","id":"d","properties":{attributes}}}}}
{{"principal":{{"type":"User","id":"bob"}},"action":{{"type":"Action","id":"retrieve"}},"resource":{{"type":"Doc","id":"d"}},"context":{{}}}}
{{"principal":{{"type":"User","id":"eve"}},"action":{{"type":"Action","id":"retrieve"}},"resource":{{"type":"Doc","id":"d"}}}}
"#
    );
    bench.write("q.jsonl", &questions);
    bench.write(
        "e.json",
        format!(
            r#"[{{"uid":{{"type":"User","id":"bob"}},"attrs":{person},"parents":[]}},{{"uid":{{"type":"Doc","id":"d"}},"attrs":{attributes},"parents":[]}}]"#
        ),
    );
    let ran = bench.run("eval --policy p.wasm --entities e.json --requests q.jsonl");
    assert_eq!(ran.code, 0, "{}", ran.err);
    let allow = json!({"decision": "allow", "reasons": ["role"], "errors": []});
    let deny = json!({"decision": "deny", "reasons": [], "errors": ["clearance"]});
    assert_eq!(ran.lines(), [allow.clone(), allow, deny]);

    let one = questions.lines().last().unwrap();
    assert_eq!(bench.run_with("eval --policy p.wasm --entities e.json", one).code, 3, "one line, denied");
    let ran = bench.run_with("eval --policy p.wasm", "{}\n");
    assert_eq!((ran.code, ran.lines()[0]["decision"].as_str()), (1, Some("deny")));
    assert!(ran.err.contains("standard input:1: missing field `subject`"), "{}", ran.err);
}

#[test]
fn rewrite_and_match_agree_with_filter() {
    let bench = bench();
    let ran = bench.run("rewrite --policy p.wasm --request bob.json --emit ast");
    assert_eq!(ran.code, 0, "{}", ran.err);
    let json = &ran.lines()[0];
    assert_eq!((&json["exact"], json["needs"].as_array().unwrap().len()), (&json!(true), 3));
    bench.write("f.json", &ran.out);
    let ran = bench.run("match --filter f.json --chunks c.jsonl");
    assert_eq!((ran.code, ran.out.as_str()), (0, "open\n"));
    bench.write("inner.json", json["filter"].to_string());
    assert_eq!(bench.run("match --filter inner.json --chunks c.jsonl").out, "open\n");

    // No id is taken for another one, or for two.
    bench.write("all.json", r#"{"op":"always"}"#);
    let ids = ["a\nopen", "plain id", "\"open\"", "é"];
    let chunks: String = ids.iter().map(|id| json!({"id": id}).to_string() + "\n").collect();
    let ran = bench.run_with("match --filter all.json", &chunks);
    assert_eq!(ran.out, "\"a\\nopen\"\nplain id\n\"\\\"open\\\"\"\né\n");

    let sql = bench.run("rewrite --policy p.wasm --request bob.json --emit sqlite").lines().remove(0);
    assert_eq!(sql["exact"], true);
    let question_marks = sql["filter"]["sql"].as_str().unwrap().matches('?').count();
    assert_eq!(sql["filter"]["parameters"].as_array().unwrap().len(), question_marks);
}

#[test]
fn rewrite_explains_what_is_left_to_the_gate() {
    let bench = bench();
    bench.write(
        "p.cedar",
        r#"@id("tenant") forbid(principal, action, resource) unless { resource.tenant == principal.tenant };
           @id("levels") permit(principal, action, resource) when { resource.access_level + 1 < principal.clearance };
           @id("open") permit(principal, action, resource) when { resource.access_level == 0 };"#,
    );
    let json = bench.run("rewrite --policy p.cedar --request bob.json --emit sqlite").lines().remove(0);
    assert_eq!(json["exact"], false);
    let ran = bench.run("rewrite --policy p.cedar --request bob.json --emit sqlite --explain");
    assert_eq!(ran.code, 0, "{}", ran.err);
    for words in [
        "tenant = \"acme\"",
        "by the policy: no filter can say all of `levels`",
        "by sqlite: `tenant`: whether what no type is declared for can be read",
        "needs back: access_level, tenant",
    ] {
        assert!(ran.out.contains(words), "{words}: {}", ran.out);
    }
    bench.write("f.json", r#"{"attributes":[{"attr":["tenant"],"field":["owner","tenant"]}]}"#);
    let ran = bench.run("rewrite --policy p.cedar --request bob.json --emit sqlite --fields f.json");
    assert!(ran.out.contains(r#"$.\"owner\".\"tenant\""#), "{}", ran.out);
    assert_eq!(bench.run("rewrite --policy p.cedar --request bob.json --emit oracle").code, 2);
    bench.write("f.json", r#"{"id":{"constant":"x"}}"#);
    let ran = bench.run("rewrite --policy p.cedar --request bob.json --emit sqlite --fields f.json");
    assert!(ran.code == 1 && ran.err.contains("f.json") && ran.err.contains("id"), "{}", ran.err);
}

#[test]
fn index_then_search() {
    let bench = bench();
    let ran = bench.run("index --db d.sqlite --policy p.wasm --request loader.json --chunks c.jsonl");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("2 stored, 2 rejected, 0 unreadable"), "{}", ran.err);
    assert_eq!(ran.lines()[0]["id"], "bare");
    assert_eq!(ran.lines()[0]["rejected"][0], "attribute `access_level` is missing");
    assert_eq!(ran.lines()[1]["rejected"][0], "denied by tenant-isolation");

    bench.write("v.json", "[1, 0]");
    for by in ["--vector v.json", "--text words"] {
        let ran = bench.run(&format!(
            "search --db d.sqlite --policy p.wasm --request bob.json {by} -k 10 --format json"
        ));
        assert_eq!(ran.code, 0, "{}", ran.err);
        let json = &ran.lines()[0];
        assert_eq!(json["hits"].as_array().unwrap().len(), 1, "{by}");
        assert_eq!(json["hits"][0]["id"], "open");
        for (name, value) in [
            ("complete", json!(true)),
            ("examined", json!(1)),
            ("denied", json!(0)),
            ("exact", json!(true)),
            ("generation", json!(1)),
        ] {
            assert_eq!(json[name], value, "{name}");
        }
    }
    let people = bench.run("search --db d.sqlite --policy p.wasm --request bob.json --text words");
    assert!(people.out.contains("open words"), "{}", people.out);
}

#[test]
fn wrong_input_is_an_error_that_names_the_place() {
    let bench = bench();
    bench.run("index --db d.sqlite --policy p.wasm --request loader.json --chunks c.jsonl");
    bench.write("v3.json", "[1,0,0]");
    bench.write("words.json", "[\"a\"]");
    bench.write("nobody.json", r#"{"action":{"name":"retrieve"}}"#);
    bench.write("text.wasm", "permit(principal, action, resource);");
    bench.write("core.wasm", b"\0asm\x01\0\0\0");
    bench.write("not.sqlite", "this is no database, and it is long enough to look at");
    bench.write("bad.json", r#"{"op":"eq"}"#);
    let cut = &tamis_tests::example("clearance")[..5000];
    bench.write("cut.wasm", cut);
    let search = "search --db d.sqlite --policy p.wasm --request bob.json";
    for (words, code, message) in [
        ("filter --policy none.wasm --request bob.json", 1, "none.wasm: No such file"),
        ("filter --policy text.wasm --request bob.json", 5, "the bytes are not WebAssembly"),
        (
            "filter --policy core.wasm --request bob.json",
            5,
            "it is a core module; `tamis build` makes components",
        ),
        (
            "filter --policy cut.wasm --request bob.json",
            5,
            "cut.wasm: not a policy component: it is not valid",
        ),
        ("filter --policy p.wasm --request none.json", 1, "none.json: No such file"),
        ("filter --policy p.wasm --request nobody.json", 1, "nobody.json: missing field `subject`"),
        ("filter --policy p.wasm --request bob.json --chunks none.jsonl", 1, "none.jsonl: No such file"),
        ("filter --policy p.wasm", 2, "--request"),
        ("rewrite --policy p.wasm --request bob.json --emit oracle", 2, "possible values: ast, chroma"),
        ("match --filter bad.json --chunks c.jsonl", 1, "bad.json: filter: the member `attr` is missing"),
        (
            "search --db none.sqlite --policy p.wasm --request bob.json --text x",
            1,
            "none.sqlite: there is no such database",
        ),
        (
            "search --db not.sqlite --policy p.wasm --request bob.json --text x",
            1,
            "not.sqlite: file is not a database",
        ),
        (&format!("{search} --text x -k 0"), 1, "k is 0; it must be from 1 to 10000"),
        (&format!("{search} --text x -k 10001"), 1, "k is 10001; it must be from 1 to 10000"),
        (&format!("{search} --text x -k 99999999999"), 2, "99999999999"),
        (&format!("{search} --text !!"), 1, "the text has no words to search for"),
        (&format!("{search} --vector v3.json"), 1, "the vector has 3 numbers; this database has 2"),
        (&format!("{search} --vector words.json"), 1, "words.json: [0]: invalid type: string"),
        (&format!("{search} --vector v3.json --text x"), 2, "cannot be used with"),
        (search, 2, "--vector"),
    ] {
        let ran = bench.run(words);
        assert_eq!(ran.code, code, "{words}: {}", ran.err);
        assert!(ran.err.contains(message), "{words}: {}", ran.err);
        assert_eq!(ran.out, "", "{words}: nothing is handed out");
    }
}

#[test]
fn build_makes_a_component_from_a_crate() {
    let bench = bench();
    let source = tamis_tests::root().join("guest/examples/data-source");
    let output = bench.path("made/policy.wasm");
    let words = format!("build {} -o {}", source.display(), output.display());
    let ran = bench.run(&words);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(bench.run("inspect made/policy.wasm").out.contains("agent_usable"));
    let again = std::fs::read(&output).unwrap();
    assert_eq!(bench.run(&words).code, 0);
    assert_eq!(std::fs::read(&output).unwrap(), again, "the same source gives the same bytes");
    assert!(!contains(&again, tamis_tests::root().to_str().unwrap().as_bytes()), "no path of this machine");

    bench.write("junk.wasm", b"\0asm\x01\0\0\0");
    let ran = bench.run("build junk.wasm -o out.wasm");
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("does not implement the policy contract"), "{}", ran.err);
    assert!(!bench.path("out.wasm").exists());
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn the_demo_runs_and_what_it_keeps_can_be_searched() {
    let bench = Folder::new();
    let ran = bench.run("demo --keep kept --question 3");
    assert_eq!(ran.code, 0, "{}", ran.err);
    let row = ran.out.lines().skip_while(|line| !line.starts_with("  searches")).nth(1).unwrap();
    let cells: Vec<&str> = row.split_whitespace().collect();
    assert!(cells[0].parse::<u32>().unwrap() > 0, "{row}");
    assert_eq!(cells[1..3], ["0", "0"], "no search failed, none mixed generations: {row}");
    let found = bench.run(
        "search --db kept/chunks.sqlite --policy kept/policy.cedar --schema kept/policy.cedarschema --request kept/bob.json --text backup -k 3 --format json",
    );
    assert_eq!(found.lines()[0]["hits"].as_array().unwrap().len(), 3, "{}", found.err);
}
