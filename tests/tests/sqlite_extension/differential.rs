//! What a protected table shows, against the policy asked about every row by itself: with the filter or without, the same.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};
use tamis_compiler::Named;
use tamis_core::admit::footprint_faults;
use tamis_core::{Chunk, Request};
use tamis_runtime::{PolicyHandle, Runtime};
use tamis_tests::patient;
use tempfile::TempDir;

use super::*;

const ROWS: usize = 400;
const TYPES: &str = r#"
    entity Folder;
    entity User { tenant: String, clearance: Long, tags: Set<String> };
    entity Chunk in [Folder] { tenant: String, level: Long, open: Bool, tags: Set<String>, owner?: String, score?: decimal };
    action retrieve appliesTo { principal: User, resource: Chunk };
"#;
/// Each with and without the schema, if it makes sense without.
const POLICIES: [&str; 16] = [
    "permit(principal, action, resource) when { resource.tenant == principal.tenant };",
    "forbid(principal, action, resource) unless { resource.tenant == principal.tenant }; permit(principal, action, resource);",
    "forbid(principal, action, resource) when { resource.level > principal.clearance }; permit(principal, action, resource);",
    "permit(principal, action, resource) when { resource.level <= principal.clearance && resource.level != 1 };",
    r#"permit(principal, action, resource) when { ["acme", "initech", ""].contains(resource.tenant) };"#,
    "permit(principal, action, resource) when { [0, 2, 3].contains(resource.level) };",
    "permit(principal, action, resource) when { resource.open };",
    "permit(principal, action, resource) unless { resource.open || resource.level == 0 };",
    "permit(principal, action, resource) when { resource has owner && resource.owner == \"bob\" };",
    "permit(principal, action, resource) unless { resource has owner };",
    "permit(principal, action, resource) when { resource.tags.containsAny(principal.tags) };",
    "permit(principal, action, resource) when { resource.tags.containsAll(principal.tags) || resource.tags.contains(\"z\") };",
    r#"permit(principal, action, resource) when { resource.tenant like "a*" && !(resource.tenant like "*x") };"#,
    r#"permit(principal, action, resource) when { resource == Chunk::"7" || resource == Chunk::"8" };"#,
    r#"permit(principal, action, resource) when { resource in Folder::"1" };"#,
    "permit(principal, action, resource) when { if resource.open then resource.level == 1 else resource.tenant == \"acme\" };",
];

/// The same numbers at every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    fn pick(&mut self, values: &[&str]) -> String {
        values[self.below(values.len())].to_owned()
    }
}

/// A row as SQL literals, in the order of the columns.
fn row(numbers: &mut Numbers) -> Vec<String> {
    let tenants =
        ["'acme'", "'acme'", "'globex'", "'initech'", "''", "'ACME'", "'acmex'", "NULL", "5", "x'61'"];
    vec![
        numbers.pick(&tenants),
        numbers.pick(&["0", "1", "2", "3", "-1", "NULL", "'2'", "'x'", "1.5", "2.0"]),
        numbers.pick(&["0", "1", "1", "NULL", "2", "'true'"]),
        numbers.pick(&[
            "'[\"x\"]'",
            "'[\"x\",\"y\"]'",
            "'[\"z\"]'",
            "'[]'",
            "'[1]'",
            "'[\"x\",1]'",
            "'no json'",
            "NULL",
            "'\"x\"'",
        ]),
        numbers.pick(&["'bob'", "'eve'", "NULL", "NULL", "7"]),
        numbers.pick(&[
            "'[{\"type\":\"Folder\",\"id\":\"1\"}]'",
            "'[{\"type\":\"Folder\",\"id\":\"2\"}]'",
            "NULL",
        ]),
    ]
}

/// The chunk that a row of plain values is, by the rules of the page, written down once more.
fn chunk(id: i64, values: &[Value], boolean: bool) -> Chunk {
    let mut attributes = Map::new();
    for (name, value) in ["tenant", "level", "open", "tags", "owner"].iter().zip(values) {
        let json = match (*name, value) {
            (_, Value::Null) => continue,
            ("open", Value::Integer(0)) if boolean => json!(false),
            ("open", Value::Integer(1)) if boolean => json!(true),
            ("tags", Value::Text(text)) => serde_json::from_str(text).unwrap_or(json!(1e300)),
            (_, Value::Integer(number)) => json!(number),
            (_, Value::Real(number)) => json!(number),
            (_, Value::Text(text)) => json!(text),
            (_, Value::Blob(_)) => json!(1e300),
        };
        attributes.insert((*name).to_owned(), json);
    }
    let mut line = json!({"id": id.to_string(), "attributes": attributes});
    if let Value::Text(parents) = &values[5] {
        line["parents"] = serde_json::from_str(parents).unwrap();
    }
    Chunk::from_json(&line.to_string()).unwrap()
}

fn expected(policy: &str, schema: Option<&str>, request: &str, chunks: &[Chunk]) -> BTreeSet<String> {
    let schema = schema.map(|text| Named { name: "schema", text });
    let compiled = tamis_compiler::compile("policy", Named { name: "policy", text: policy }, schema).unwrap();
    let handle = PolicyHandle::new(&Runtime::shared().unwrap(), &compiled.component, patient()).unwrap();
    let footprint = handle.current().policy().manifest().footprint.clone();
    let decisions = handle.filter(&Request::from_json(request).unwrap(), chunks).unwrap().value;
    let readable = |chunk: &Chunk| footprint_faults(chunk, &footprint).is_empty();
    let allowed = chunks.iter().zip(decisions).filter(|(chunk, decision)| decision.allow && readable(chunk));
    allowed.map(|(chunk, _)| chunk.uid.id.clone()).collect()
}

#[test]
fn a_protected_table_shows_what_the_policy_allows_row_by_row() {
    let folder = TempDir::new().unwrap();
    let (admin, reader) = (file(&folder), file(&folder));
    let columns = "tenant TEXT, level INTEGER, open BOOLEAN, tags JSON, owner TEXT, folders TEXT";
    let mut script = format!(
        "BEGIN;
         CREATE TABLE typed (id INTEGER PRIMARY KEY, {columns});
         CREATE TABLE untyped (id INTEGER PRIMARY KEY, tenant, level, open, tags JSON, owner, folders);
         CREATE TABLE documents (id INTEGER PRIMARY KEY, meta TEXT, folders TEXT);
         CREATE INDEX by_tenant ON typed (tenant, level); CREATE INDEX by_level ON untyped (level);"
    );
    let mut numbers = Numbers(5);
    for id in 1..=ROWS {
        let values = row(&mut numbers).join(", ");
        script += &format!(
            "INSERT INTO typed VALUES ({id}, {values}); INSERT INTO untyped VALUES ({id}, {values});"
        );
    }
    admin.execute_batch(&script).unwrap();
    // What is stored, after SQLite has converted it.
    let chunks = |table: &str, boolean: bool| -> Vec<Chunk> {
        let mut statement = admin.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let chunk = |row: &rusqlite::Row<'_>| {
            let values: Vec<Value> = (1..7).map(|column| row.get(column).unwrap()).collect();
            Ok(chunk(row.get(0)?, &values, boolean))
        };
        statement.query_map([], chunk).unwrap().map(Result::unwrap).collect()
    };
    let (typed, untyped, numeric) =
        (chunks("typed", true), chunks("untyped", true), chunks("untyped", false));
    for chunk in &untyped {
        let parents: Vec<Json> =
            chunk.ancestors.iter().map(|uid| json!({"type": uid.entity_type, "id": uid.id})).collect();
        let id: i64 = chunk.uid.id.parse().unwrap();
        let values = (id, json!(chunk.attributes).to_string(), json!(parents).to_string());
        admin.execute("INSERT INTO documents VALUES (?, ?, ?)", values).unwrap();
    }
    load(&admin, "differs", EVERYBODY);
    let id = r#""id":"id","parents":"folders""#;
    protect(&admin, "typed", "differs", &format!("{{{id}}}"));
    protect(&admin, "untyped", "differs", &format!("{{{id}}}"));
    protect(&admin, "documents", "differs", &format!(r#"{{{id},"attributes":"meta"}}"#));
    admin.execute_batch("COMMIT").unwrap();

    let request = json!({
        "subject": {"type": "User", "id": "u", "properties": {"tenant": "acme", "clearance": 2, "tags": ["x", "y"]}},
        "action": {"name": "retrieve"},
    })
    .to_string();
    ask_as(&reader, &request);
    let (mut some, mut all) = (0, 0);
    for policy in POLICIES {
        for schema in [Some(TYPES), None] {
            let sql = "SELECT tamis_load('differs', ?, ?)";
            admin
                .query_row(sql, (policy, schema), |_| Ok(()))
                .unwrap_or_else(|error| panic!("{policy}: {error}"));
            // Without a schema and a declared type, 1 is a number.
            let untyped_column = if schema.is_some() { &untyped } else { &numeric };
            for (table, chunks) in [("typed", &typed), ("untyped", untyped_column), ("documents", &untyped)] {
                let ids = column(&reader, &format!("SELECT CAST(id AS TEXT) FROM {table}"));
                let text = |id| if let Value::Text(id) = id { id } else { panic!("{id:?}") };
                let shown: BTreeSet<String> = ids.into_iter().map(text).collect();
                let expected = expected(policy, schema, &request, chunks);
                assert_eq!(
                    shown,
                    expected,
                    "{table}, {}: {policy}",
                    schema.map_or("no schema", |_| "schema")
                );
                all += 1;
                some += usize::from(!expected.is_empty() && expected.len() < ROWS);
            }
        }
    }
    assert!(some * 10 > all * 9, "{some} of {all} cases tell rows apart");
}
