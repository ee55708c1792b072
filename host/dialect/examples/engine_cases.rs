//! Random chunks, and random filters over them in one dialect's language, for a real engine to be tested with.
//!
//! ```text
//! cargo run -q -p tamis-dialect --example engine_cases -- DIALECT [--cases N] [--seed S] [--admitted]
//! ```
//!
//! prints one JSON object for `tests/engines/DIALECT.py`:
//!
//! ```text
//! {"chunks":   [{"id","type","attributes":{…},"ancestors":["[\"Folder\",\"x\"]",…]}…],
//!  "declared": [{"attr":["org","unit"],"type":"String"}…],
//!  "columns":  bool, whether the dialect asks for a column for each of them,
//!  "cases":    [{"filter":{…},"native":…,"widened":[…],"exact":bool,"matches":[ids by the reference evaluator]}…]}
//! ```
//!
//! Attributes are as the admit gate stores them: [`normalise`] has seen them, with the one type that `declared` has. With
//! `--admitted` all of them passed that gate, so none is ill-typed, and filters read each by its own type. Missing and null they
//! may be in either case, and one attribute has no declared type.

use std::process::ExitCode;

use serde_json::{Map, Value as Json, json};
use tamis_core::decision::Path;
use tamis_core::filter::{Attribute, Comparison, Filter, Operand, Test};
use tamis_core::manifest::FootprintAttribute;
use tamis_core::normal::normalise;
use tamis_core::{Chunk, EntityUid, Type, Value, metadata};
use tamis_dialect::{Emit, Fields, ancestor_key};

const USAGE: &str = "usage: engine_cases DIALECT [--cases N] [--seed S] [--admitted]";

/// Enough that most filters split them.
const CHUNKS: usize = 120;
/// How deep filters nest.
const DEPTH: usize = 4;
/// A list that no engine may take for granted, and that stays readable.
const LONG_LIST: usize = 300;

/// A dialect, over a collection that has no place for a path where attributes have columns.
fn dialect(name: &str, admitted: bool) -> Option<Box<dyn Emit>> {
    let mut fields = Fields { admitted, ..Fields::default() };
    if name == "postgres-columns" {
        fields.attributes.insert(path(&["org", "unit"]), path(&["org_unit"]));
    }
    tamis_dialect::dialect(name, fields)
}

/// Whether every attribute has a column of its declared type.
fn has_columns(name: &str) -> bool {
    ["postgres-columns", "duckdb", "lancedb"].contains(&name)
}

/// Whether an attribute has values of one type of JSON only.
fn has_types(name: &str) -> bool {
    has_columns(name) || name == "weaviate"
}

/// Path, type, values of the type, and others, each as JSON. The last one has no declared type.
const ATTRIBUTES: [(&[&str], Option<&str>, &str, &str); 19] = [
    (&["t"], Some("String"), TEXTS, r#"[5, 1.5, true, ["a"], ["a", "b"], {"a": "a"}, [], {}]"#),
    (&["team"], Some("String"), r#"["red", "blue", "red-1", "reder", "Red", "green"]"#, r#"[["red"], 0]"#),
    (&["n"], Some("Long"), LONGS, r#"[5.0, 5.5, "5", true, [5], 18446744073709551615, 1e300, {}]"#),
    (&["level"], Some("Long"), "[1, 2, 3, 4, 5]", r#"["3", 3.5, [3], false]"#),
    (&["flag"], Some("Bool"), "[true, false]", r#"["true", 1, 0, [true], "", {}]"#),
    (&["score"], Some("decimal"), DECIMALS, r#"["high", 1.00001, true, [1.5], 1e300, {"a": 1.5}]"#),
    (&["at"], Some("datetime"), TIMES, r#"["yesterday", 0, "2026-13-01", ["2026-01-01"], true, "~"]"#),
    (&["span"], Some("duration"), r#"["1d", "24h", "0ms", "-1s", "1h30m"]"#, r#"["long", 5, ["1d"]]"#),
    (
        &["net"],
        Some("ipaddr"),
        r#"["10.0.0.0/8", "10.0.0.1", "::1", "192.168.0.0/16"]"#,
        r#"["home", 10, ["::1"]]"#,
    ),
    (
        &["owner"],
        Some("Entity<User>"),
        r#"["alice", "bob", {"type": "User", "id": "carol"}, "", "User::\"x\"", "Zoë"]"#,
        r#"[{"type": "Group", "id": "alice"}, ["alice"], 7, {"a": "b"}]"#,
    ),
    (
        &["tags"],
        Some("Set<String>"),
        r#"[[], ["a"], ["b", "a"], ["", "é"], ["a", "b", "c"], ["it's"], ["a,b"], ["B"], ["c", "ß"]]"#,
        r#"["a", ["a", 5], [["a"]], ["a", null], {"a": "a"}, [null], 5]"#,
    ),
    (
        &["readers"],
        Some("Set<Entity<User>>"),
        r#"[[], ["alice"], ["bob", "carol"], [{"type": "User", "id": "alice"}, "dave"], ["alice", "bob", "Zoë"]]"#,
        r#"["alice", [{"type": "Group", "id": "g"}], ["alice", 1], {}]"#,
    ),
    (
        &["numbers"],
        Some("Set<Long>"),
        "[[], [1], [2, 1], [3, 5, 8], [-1, 0], [9223372036854775807], [-9223372036854775808, 5]]",
        r#"[1, [1, 1.0], [1.5], ["1"], [1, null], [18446744073709551615], {}]"#,
    ),
    (
        &["flags"],
        Some("Set<Bool>"),
        "[[], [true], [false], [true, false]]",
        r#"[true, ["true"], [1], [null]]"#,
    ),
    (&["org", "unit"], Some("String"), r#"["hr", "it", "", "h\"r", "HR"]"#, r#"[5, ["hr"], {"x": "hr"}]"#),
    // Not the one above, and a name of what paths and queries are written with.
    (&["org.unit"], Some("String"), r#"["hr", "it", "", "x"]"#, r#"[5, ["hr"], {"x": "hr"}]"#),
    (&["é [0] {p0} $1 ?"], Some("String"), r#"["a", "b", "", "A"]"#, r#"[5, ["a"], {"a": "a"}]"#),
    (&["it's \"a.b\""], Some("String"), r#"["a", "b", "'", "\""]"#, r#"[5, ["a"]]"#),
    (
        &["any"],
        None,
        r#"["a", "b", "5", 5, 0, -7, true, false, ["a", "b"], [5], [], [true], {"a": "a"}, {}]"#,
        r#"[1.5, 5.0, [1.5], [null], ["a", 1.5], {"a": 1.5}, 18446744073709551615]"#,
    ),
];

const TEXTS: &str = r#"["a", "b", "A", "", "ab", "abc", "é", "e\u0301", "z", "日本", "\ud83d\ude00", "it's", "a\"b",
    "a\\b", "a%b", "a_b", "a*b", "' OR 1=1 --", " a", "a ", "a\nb", "true", "null", "5", "$1", "?", "{}", "a,b", "[\"a\"]",
    "a long text of the kind that people put in titles, over and over: a long text of the kind that people put in titles"]"#;
const LONGS: &str = "[0, 1, -1, 5, 6, 7, 100, -100, 2147483648, 9007199254740992, 9007199254740993,
    -9007199254740993, 9223372036854775806, 9223372036854775807, -9223372036854775808]";
const DECIMALS: &str =
    r#"[0, 1, 1.5, "1.50", -1.5, 0.1, 0.3, 2.0, 1.1, -0.0001, "99.9999", 123456789.1234, 100000000000.0001]"#;
const TIMES: &str = r#"["2026-01-01", "2026-01-01T00:00:00.001Z", "2026-01-01T01:00:00+0100", "1969-12-31",
    "0000-01-01", "9999-12-31T23:59:59Z", "2025-06-15T12:30:00Z"]"#;

/// What else filters ask for.
const OTHERS: &str = r#"["a", "nowhere", "", "\u0000", "a\u0000", 5, -5, true, false, 4611686018427387904,
    {"__entity": {"type": "User", "id": "alice"}}, {"__entity": {"type": "Group", "id": "g"}},
    {"__extn": {"fn": "decimal", "arg": "1.5"}}, {"__extn": {"fn": "datetime", "arg": "2026-01-01"}},
    {"__extn": {"fn": "duration", "arg": "1d"}}, {"__extn": {"fn": "ip", "arg": "::1"}}, ["a", "b"], [], {"a": "a"}]"#;

const PREFIXES: [&str; 17] =
    ["", "a", "A", "ab", "é", "e", "red", "it'", "a\"", "a\\", "a%", "a_", "日", " ", "2026-", "' OR", "a*"];
const CHUNK_TYPES: [&str; 3] = ["Chunk", "Doc", "it's::Doc"];

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (mut name, mut cases, mut seed, mut admitted) = (None, Some(400), Some(1), false);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next()?.parse::<usize>().ok();
        match argument.as_str() {
            "--cases" => cases = number(),
            "--seed" => seed = number(),
            "--admitted" => admitted = true,
            _ => name = Some(argument),
        }
    }
    let declared = declared();
    let columns = name.as_deref().is_some_and(has_columns);
    let types = name.as_deref().is_some_and(has_types);
    let emit = name.and_then(|name| dialect(&name, admitted));
    let (Some(emit), Some(cases), Some(seed)) = (emit, cases, seed) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let mut random = Random { state: seed as u64, admitted, types, columns };
    let chunks: Vec<Chunk> = (0..CHUNKS).map(|index| chunk(&mut random, index, &declared)).collect();
    let cases: Vec<Json> = (0..cases).map(|index| case(&mut random, index, emit.as_ref(), &chunks)).collect();
    let chunks: Vec<Json> = chunks.iter().map(chunk_json).collect();
    let declared: Vec<Json> = declared.iter().map(|entry| entry.attribute.to_json()).collect();
    println!("{}", json!({"chunks": chunks, "declared": declared, "columns": columns, "cases": cases}));
    ExitCode::SUCCESS
}

/// The attributes that have a type.
fn declared() -> Vec<FootprintAttribute> {
    let typed = ATTRIBUTES.iter().filter(|(_, declared, ..)| declared.is_some());
    typed.map(|row| FootprintAttribute { attribute: attribute(row.0, row.1), optional: true }).collect()
}

fn path(names: &[&str]) -> Path {
    names.iter().map(ToString::to_string).collect()
}

fn attribute(names: &[&str], declared: Option<&str>) -> Attribute {
    Attribute { path: path(names), declared: declared.and_then(|text| text.parse().ok()) }
}

fn chunk_json(chunk: &Chunk) -> Json {
    let ancestors: Vec<String> = chunk.ancestors.iter().map(ancestor_key).collect();
    json!({
        "id": chunk.uid.id,
        "type": chunk.uid.entity_type,
        "attributes": chunk.attributes,
        "ancestors": ancestors,
    })
}

// ---- Chunks ----

fn chunk(random: &mut Random, index: usize, declared: &[FootprintAttribute]) -> Chunk {
    let mut chunk = Chunk::new(id(index));
    chunk.uid.entity_type = random.pick(&CHUNK_TYPES).to_owned();
    for (names, declared, values, others) in ATTRIBUTES {
        let mut others = list(others);
        if random.types {
            let declared = attribute(names, declared).declared;
            others.retain(|other| declared.as_ref().is_some_and(|declared| has_place(other, declared)));
        }
        let stored = match random.below(20) {
            0..4 => continue,
            4 => Json::Null,
            5..8 if !random.admitted && !others.is_empty() => random.pick(&others),
            _ => random.pick(&list(values)),
        };
        put(&mut chunk.attributes, names, stored);
    }
    if !random.admitted && !random.types && random.below(10) == 0 {
        chunk
            .attributes
            .insert("org".to_owned(), random.pick(&list(r#"["hr", ["hr"], [{"unit": "hr"}], null]"#)));
    }
    for _ in 0..random.below(4) {
        chunk.ancestors.insert(ancestor(random));
    }
    normalise(&mut chunk, declared);
    chunk
}

/// Whether a column for values of a type takes this, as databases do: any text for a point in time, and null in a list.
fn has_place(other: &Json, declared: &Type) -> bool {
    match declared {
        Type::Bool => other.is_boolean(),
        Type::Long => other.is_i64(),
        Type::Decimal => other.is_number(),
        Type::String | Type::Entity(_) | Type::Datetime | Type::Duration | Type::Ip => other.is_string(),
        Type::Set(element) => other.as_array().is_some_and(|elements| {
            elements.iter().all(|stored| stored.is_null() || has_place(stored, element))
        }),
        Type::Record(_) => false,
    }
}

/// Ids are texts of any kind too.
fn id(index: usize) -> String {
    match index % 10 {
        0 => format!("it's {index}"),
        1 => format!("\"{index}\" \\ é"),
        _ => format!("c-{index}"),
    }
}

fn ancestor(random: &mut Random) -> EntityUid {
    let entity_type = random.pick(&["Folder", "Drive", "A::B"]);
    EntityUid::new(entity_type, random.pick(&["x", "y", "", "it's", "q\"", "é", "a,b"]))
}

fn put(object: &mut Map<String, Json>, path: &[&str], stored: Json) {
    match path {
        [] => {}
        [name] => {
            object.insert((*name).to_owned(), stored);
        }
        [name, rest @ ..] => {
            let inner = object.entry(*name).or_insert_with(|| json!({}));
            if let Json::Object(inner) = inner {
                put(inner, rest, stored);
            }
        }
    }
}

fn list(text: &str) -> Vec<Json> {
    serde_json::from_str(text).unwrap_or_default()
}

// ---- Filters ----

fn case(random: &mut Random, index: usize, emit: &dyn Emit, chunks: &[Chunk]) -> Json {
    // Every other filter is a single test, as it is or negated: nested ones hide which test is at fault.
    let filter = match index % 4 {
        0 => leaf(random),
        1 => Filter::Not(Box::new(leaf(random))),
        _ => nested(random, DEPTH),
    };
    let translation = emit.emit(&filter);
    let matches: Vec<&str> =
        chunks.iter().filter(|chunk| filter.matches(chunk)).map(|chunk| chunk.uid.id.as_str()).collect();
    json!({
        "filter": filter.to_json(),
        "exact": translation.is_exact(),
        "native": translation.native,
        "widened": translation.widened,
        "matches": matches,
    })
}

fn nested(random: &mut Random, depth: usize) -> Filter {
    if depth == 0 {
        return leaf(random);
    }
    let parts = |random: &mut Random| {
        let count = 1 + random.below(3);
        (0..count).map(|_| nested(random, depth - 1)).collect()
    };
    match random.below(100) {
        0 => Filter::Always,
        1 => Filter::Never,
        2..30 => leaf(random),
        30..60 => Filter::And(parts(random)),
        60..85 => Filter::Or(parts(random)),
        _ => Filter::Not(Box::new(nested(random, depth - 1))),
    }
}

fn leaf(random: &mut Random) -> Filter {
    let uid = |random: &mut Random| {
        let entity_type = random.pick(&["Chunk", "Doc", "it's::Doc", "Other"]);
        let index = random.below(CHUNKS + 10);
        Value::Entity(EntityUid::new(entity_type, id(index)))
    };
    let (operand, test) = match random.below(20) {
        0 => {
            let names =
                |random: &mut Random| Value::from(random.pick(&["Chunk", "Doc", "it's::Doc", "Other"]));
            (Operand::EntityType, scalar_test(random, names))
        }
        1 => (Operand::Id, scalar_test(random, uid)),
        2 => (Operand::Ancestors, set_test(random, |random| Value::Entity(ancestor(random)))),
        _ => {
            let known = if random.columns { ATTRIBUTES.len() - 1 } else { ATTRIBUTES.len() };
            let (path, declared, values, _) = random.pick(ATTRIBUTES.get(..known).unwrap_or_default());
            let declared = declared.filter(|_| random.admitted || random.columns || random.below(4) > 0);
            let attribute = attribute(path, declared);
            let test = attribute_test(random, attribute.declared.as_ref(), &list(values));
            (Operand::Attribute(attribute.into()), test)
        }
    };
    Filter::Test(operand, test)
}

fn attribute_test(random: &mut Random, declared: Option<&Type>, stored: &[Json]) -> Test {
    let others = list(OTHERS);
    let value = |random: &mut Random| {
        let read = match random.below(8) {
            0 => metadata::read(&random.pick(&others), None),
            _ => metadata::read(&random.pick(stored), declared),
        };
        read.filter(|value| value.ill_typed().is_none()).unwrap_or(Value::Long(5))
    };
    // One of the elements, where what is stored is a set.
    let element = |random: &mut Random| match value(random) {
        Value::Set(elements) => {
            let elements: Vec<Value> = elements.into_iter().collect();
            if elements.is_empty() { Value::from("a") } else { random.pick(&elements) }
        }
        value => value,
    };
    let is_set = matches!(declared, Some(Type::Set(_))) || stored.first().is_some_and(Json::is_array);
    match random.below(10) {
        0 => Test::Exists,
        1 => Test::Readable,
        2..8 if is_set => set_test(random, element),
        2 => Test::StartsWith(random.pick(&PREFIXES).to_owned()),
        3..6 => {
            let all =
                [Comparison::Less, Comparison::LessOrEqual, Comparison::Greater, Comparison::GreaterOrEqual];
            Test::Compare(random.pick(&all), value(random))
        }
        6 => set_test(random, element),
        _ => scalar_test(random, value),
    }
}

fn scalar_test(random: &mut Random, value: impl Fn(&mut Random) -> Value) -> Test {
    match random.below(10) {
        0 => Test::Exists,
        1..5 => Test::Equals(value(random)),
        _ => Test::OneOf(values(random, value).into()),
    }
}

fn set_test(random: &mut Random, element: impl Fn(&mut Random) -> Value) -> Test {
    if random.below(3) == 0 {
        Test::ContainsAll(values(random, element).into())
    } else {
        Test::ContainsAny(values(random, element).into())
    }
}

fn values(random: &mut Random, value: impl Fn(&mut Random) -> Value) -> Vec<Value> {
    let count = random.below(5);
    let mut values: Vec<Value> = (0..count).map(|_| value(random)).collect();
    if random.below(40) == 0 {
        values.extend((0..LONG_LIST).map(|index| Value::from(format!("more-{index}"))));
    }
    values
}

/// SplitMix64: a seed and a few lines, so that a case can be had again.
struct Random {
    state: u64,
    /// Whether all that it makes passed the admit gate.
    admitted: bool,
    /// Whether what an attribute has is at least of the right type of JSON.
    types: bool,
    /// Whether it is for columns, so that filters keep to attributes with a declared type.
    columns: bool,
}

impl Random {
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is small: the bias does not matter.
    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 33) as usize % end
    }

    /// One of `all`, which is not empty.
    fn pick<T: Clone>(&mut self, all: &[T]) -> T {
        #[allow(clippy::indexing_slicing, reason = "below the length")]
        all[self.below(all.len())].clone()
    }
}
