//! Random filters and chunks, and a runner for random tests.
//!
//! Names and values come from small pools, so that a filter often meets a chunk that it was not made for. The pools
//! hold what databases get wrong: null bytes, quotes, path syntax, the ends of number ranges, what JSON cannot tell apart.

use std::collections::BTreeSet;
use std::fmt::Debug;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngSeed, TestCaseResult, TestRunner};
use serde_json::{Map, Value as Json, json};
use tamis_core::extension::IpNetwork;
use tamis_core::filter::{Attribute, Comparison, Filter, Operand, Test};
use tamis_core::manifest::FootprintAttribute;
use tamis_core::{Attributes, Chunk, EntityUid, Type, Value, metadata};

/// Part of many generated names and texts, and of nothing else, so that a test can see where they end up.
pub const MARKER: &str = "Zq7x";

/// Checks `cases` values, or as many as `PROPTEST_CASES` says, and panics with the seed and a minimal case at the first
/// that fails. The seed is fixed unless `PROPTEST_RNG_SEED` names one.
pub fn hold<S: Strategy>(cases: u32, strategy: S, check: impl Fn(S::Value) -> TestCaseResult)
where
    S::Value: Debug,
{
    let config = config(cases);
    let seed = config.rng_seed;
    if let Err(failure) = TestRunner::new(config).run(&strategy, check) {
        panic!("PROPTEST_RNG_SEED {seed:?}: {failure}");
    }
}

/// `count` values, the same at every run with the same seed.
pub fn sample<S: Strategy>(count: usize, strategy: S) -> Vec<S::Value> {
    let mut runner = TestRunner::new(config(1));
    (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

fn config(cases: u32) -> Config {
    let mut config = Config { failure_persistence: None, ..Config::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(20_260_401);
    }
    config
}

// ---- names and texts ----

/// Names that any JSON path can hold in quotes.
const PLAIN_NAMES: &[&str] = &[
    "a.b", "a b", "$", "$.a", "a[0]", "[0]", "0", "#-1", "'", "é😀", "", "type", "Zq7x", "a?", "--", "A",
    "value",
];

/// Names that some path syntax cannot hold.
const ODD_NAMES: &[&str] = &[
    "a\"b", "\"", "a\\", "\\", "\\u0061", "\u{1}", "\n", "\0", "a\0", "\u{7f}", "\u{85}", "Zq7x\"", "a\".\"b",
];

const TEXTS: &[&str] = &[
    "",
    "A",
    "abc",
    "Zq7x",
    "a\0b",
    "a\0",
    "\0",
    "é",
    "e\u{301}",
    "😀",
    "😀a",
    "\u{ffff}",
    "1",
    "0",
    "5",
    "1.5",
    "true",
    "false",
    "null",
    "%",
    "a%",
    "_",
    "*",
    "a*",
    "'",
    "\"",
    "\\",
    "' OR 1=1 --",
    "[]",
    "{}",
    "[\"a\"]",
    "a ",
    "\n",
    "\u{1}",
    "2026-01-01",
    "10.0.0.0/8",
    "9223372036854775807",
];

const LONGS: &[i64] =
    &[-1, i64::MIN, i64::MIN + 1, i64::MAX, i64::MAX - 1, 1 << 53, (1 << 53) + 1, 987_654_321];

const FLOATS: &[f64] = &[
    0.0,
    -0.0,
    1.0,
    5.0,
    1.5,
    0.1,
    9_223_372_036_854_775_808.0,
    -9_223_372_036_854_775_808.0,
    1e300,
    5e-324,
];

/// The name of an attribute.
pub fn name() -> BoxedStrategy<String> {
    prop_oneof![
        12 => Just("a".to_owned()),
        5 => Just("b".to_owned()),
        2 => Just(MARKER.to_owned()),
        3 => select(PLAIN_NAMES).prop_map(str::to_owned),
        1 => select(ODD_NAMES).prop_map(str::to_owned),
    ]
    .boxed()
}

/// Where an attribute is.
pub fn path() -> BoxedStrategy<Vec<String>> {
    prop_oneof![8 => prop::collection::vec(name(), 1), 2 => prop::collection::vec(name(), 2..4)].boxed()
}

/// Any text.
pub fn text() -> BoxedStrategy<String> {
    prop_oneof![
        8 => select(vec!["a", "b", "ab", "aZq7x"]).prop_map(str::to_owned),
        4 => select(TEXTS).prop_map(str::to_owned),
        1 => any::<String>(),
    ]
    .boxed()
}

/// Any whole number.
pub fn long() -> BoxedStrategy<i64> {
    prop_oneof![8 => select(vec![0, 1, 5]), 4 => select(LONGS), 1 => any::<i64>()].boxed()
}

/// The identity of a chunk, of a folder, or of something with an odd type.
pub fn uid() -> BoxedStrategy<EntityUid> {
    let entity_type = prop_oneof![4 => Just("Chunk"), 3 => Just("Folder"), 1 => select(vec!["", "A::B", "Chunk\0", "\"Zq7x", "\u{1}"])];
    (entity_type, text()).prop_map(|(entity_type, id)| EntityUid::new(entity_type, id)).boxed()
}

// ---- chunks ----

/// Any JSON that can be metadata.
pub fn json() -> BoxedStrategy<Json> {
    let number = prop_oneof![
        5 => long().prop_map(Json::from),
        1 => select(FLOATS).prop_map(Json::from),
        1 => any::<i32>().prop_map(|eighths| Json::from(f64::from(eighths) / 8.0)),
        1 => select(vec![i64::MAX as u64 + 1, u64::MAX]).prop_map(Json::from),
    ];
    let scalar = prop_oneof![
        1 => Just(Json::Null),
        1 => any::<bool>().prop_map(Json::from),
        4 => number,
        4 => text().prop_map(Json::from),
    ];
    let list = |element: BoxedStrategy<Json>| prop::collection::vec(element, 0..4).prop_map(Json::Array);
    let escape = prop_oneof![
        uid().prop_map(|uid| json!({"__entity": {"type": uid.entity_type, "id": uid.id}})),
        uid().prop_map(|uid| json!({"type": uid.entity_type, "id": uid.id})),
        text().prop_map(|text| json!({"__extn": {"fn": "decimal", "arg": text}})),
        text().prop_map(|text| json!({"__entity": text})),
    ];
    let leaf = prop_oneof![
        12 => scalar.clone(),
        3 => list(text().prop_map(Json::from).boxed()),
        3 => list(prop_oneof![20 => long().prop_map(Json::from), 1 => Just(json!(u64::MAX))].boxed()),
        2 => list(scalar.boxed()),
        1 => escape,
    ];
    leaf.prop_recursive(2, 8, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Json::Array),
            object(inner).prop_map(Json::Object),
        ]
    })
    .boxed()
}

fn object(member: impl Strategy<Value = Json> + 'static) -> BoxedStrategy<Attributes> {
    prop::collection::vec((name().prop_map(storable), member), 1..8).prop_map(Map::from_iter).boxed()
}

/// SQLite's JSON paths take a name for the part of it before a null byte, so the store refuses such a name.
fn storable(name: String) -> String {
    name.replace('\0', "\u{2}")
}

/// A chunk without text and vector.
pub fn chunk() -> BoxedStrategy<Chunk> {
    (uid(), object(json()), object(json()), prop::collection::btree_set(uid(), 0..3))
        .prop_map(|(uid, attributes, tags, ancestors)| Chunk {
            uid,
            attributes,
            tags,
            ancestors,
            ..Chunk::new("")
        })
        .boxed()
}

/// `count` chunks, each with an id of its own.
pub fn chunks(count: usize) -> Vec<Chunk> {
    let mut seen = BTreeSet::new();
    let mut chunks = sample(count, chunk());
    for (index, chunk) in chunks.iter_mut().enumerate() {
        if !seen.insert(chunk.uid.id.clone()) {
            chunk.uid.id = format!("chunk {index}");
        }
    }
    chunks
}

// ---- filters ----

/// A value to compare with.
pub fn value() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        4 => text().prop_map(Value::String),
        4 => long().prop_map(Value::Long),
        1 => any::<bool>().prop_map(Value::Bool),
        1 => uid().prop_map(Value::Entity),
        1 => select(LONGS).prop_map(Value::Decimal),
        1 => (0..3_i64).prop_map(|days| Value::Datetime(days * 86_400_000)),
        1 => (-3..3_i64).prop_map(Value::Duration),
        1 => any::<u32>().prop_map(|bits| Value::Ip(IpNetwork::new(bits.to_be_bytes().into(), 8).unwrap())),
    ];
    leaf.prop_recursive(1, 4, 3, |inner| {
        prop_oneof![
            prop::collection::btree_set(inner.clone(), 0..3).prop_map(Value::Set),
            prop::collection::btree_map(name().prop_map(storable), inner, 0..3).prop_map(Value::Record),
        ]
    })
    .boxed()
}

/// A type that an attribute may be declared with.
pub fn declared() -> BoxedStrategy<Type> {
    let leaf = prop_oneof![
        4 => Just(Type::String),
        4 => Just(Type::Long),
        2 => Just(Type::Bool),
        1 => select(vec![Type::Decimal, Type::Datetime, Type::Duration, Type::Ip]),
        1 => select(vec!["Chunk", "Folder"]).prop_map(|name| Type::Entity(name.to_owned())),
    ];
    let set = leaf.clone().prop_map(|element| Type::Set(Box::new(element)));
    let record = select(vec!["{a: Long}", "{a?: String, b?: Long}", "Set<Set<Long>>"])
        .prop_map(|text| text.parse().unwrap());
    prop_oneof![6 => leaf, 3 => set, 1 => record].boxed()
}

/// A list of values: often empty or short, sometimes long.
fn list(values: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Vec<Value>> {
    let values = values.boxed();
    prop_oneof![
        1 => prop::collection::vec(values.clone(), 0),
        8 => prop::collection::vec(values.clone(), 1..4),
        1 => prop::collection::vec(values, 50..200),
    ]
    .boxed()
}

fn comparison() -> BoxedStrategy<Comparison> {
    select(vec![Comparison::Less, Comparison::LessOrEqual, Comparison::Greater, Comparison::GreaterOrEqual])
        .boxed()
}

/// A test that makes sense, with the type that its attribute would be declared with.
fn sensible_test() -> BoxedStrategy<(Type, Test)> {
    let scalar = |scalar_type: Type, values: BoxedStrategy<Value>| {
        prop_oneof![
            3 => values.clone().prop_map(Test::Equals),
            2 => list(values).prop_map(|values| Test::OneOf(values.into())),
            1 => Just(Test::Readable),
            1 => Just(Test::Exists),
        ]
        .prop_map(move |test| (scalar_type.clone(), test))
    };
    let set = |element: Type, values: BoxedStrategy<Value>| {
        prop_oneof![
            list(values.clone()).prop_map(|values| Test::ContainsAny(values.into())),
            prop::collection::vec(values, 0..3).prop_map(|values| Test::ContainsAll(values.into())),
        ]
        .prop_map(move |test| (Type::Set(Box::new(element.clone())), test))
    };
    let texts = || text().prop_map(Value::String).boxed();
    let longs = || long().prop_map(Value::Long).boxed();
    prop_oneof![
        3 => scalar(Type::String, texts()),
        3 => scalar(Type::Long, longs()),
        1 => scalar(Type::Bool, any::<bool>().prop_map(Value::Bool).boxed()),
        2 => (comparison(), longs()).prop_map(|(comparison, bound)| (Type::Long, Test::Compare(comparison, bound))),
        2 => text().prop_map(|prefix| (Type::String, Test::StartsWith(prefix))),
        2 => set(Type::String, texts()),
        2 => set(Type::Long, longs()),
    ]
    .boxed()
}

/// Any test, whether or not it makes sense.
fn any_test() -> BoxedStrategy<Test> {
    prop_oneof![
        Just(Test::Exists),
        Just(Test::Readable),
        value().prop_map(Test::Equals),
        list(value()).prop_map(|values| Test::OneOf(values.into())),
        (comparison(), value()).prop_map(|(comparison, bound)| Test::Compare(comparison, bound)),
        list(value()).prop_map(|values| Test::ContainsAny(values.into())),
        prop::collection::vec(value(), 0..3).prop_map(|values| Test::ContainsAll(values.into())),
        text().prop_map(Test::StartsWith),
    ]
    .boxed()
}

/// A test of an attribute: of its declared type, of no type, or any test of any attribute.
pub fn attribute_test() -> BoxedStrategy<(Attribute, Test)> {
    let sensible = (path(), sensible_test(), 0..5_u8).prop_map(|(path, (of_type, test), untyped)| {
        let is_set = matches!(of_type, Type::Set(_));
        (Attribute { path, declared: (is_set || untyped > 1).then_some(of_type) }, test)
    });
    let any = (path(), prop::option::of(declared()), any_test())
        .prop_map(|(path, declared, test)| (Attribute { path, declared }, test));
    prop_oneof![9 => sensible, 2 => any].boxed()
}

fn leaf() -> BoxedStrategy<Filter> {
    let uids = || list(uid().prop_map(Value::Entity));
    let of_id = prop_oneof![
        4 => uid().prop_map(|uid| Test::Equals(Value::Entity(uid))),
        4 => uids().prop_map(|values| Test::OneOf(values.into())),
        1 => any_test(),
    ];
    let of_ancestors = prop_oneof![
        4 => uids().prop_map(|values| Test::ContainsAny(values.into())),
        4 => prop::collection::vec(uid().prop_map(Value::Entity), 0..3).prop_map(|values| Test::ContainsAll(values.into())),
        1 => any_test(),
    ];
    prop_oneof![
        20 => attribute_test().prop_map(|(attribute, test)| Filter::Test(Operand::Attribute(attribute.into()), test)),
        2 => of_id.prop_map(|test| Filter::Test(Operand::Id, test)),
        2 => of_ancestors.prop_map(|test| Filter::Test(Operand::Ancestors, test)),
        1 => select(vec![Filter::Always, Filter::Never]),
    ]
    .boxed()
}

/// Any filter, built without the constructors that fold.
pub fn filter() -> BoxedStrategy<Filter> {
    leaf()
        .prop_recursive(4, 12, 4, |inner| {
            let parts =
                || prop_oneof![1 => Just(Vec::new()), 9 => prop::collection::vec(inner.clone(), 1..4)];
            prop_oneof![
                2 => parts().prop_map(Filter::And),
                2 => parts().prop_map(Filter::Or),
                3 => inner.prop_map(|filter| Filter::Not(Box::new(filter))),
            ]
        })
        .boxed()
}

/// Whether all that the filter reads is spelled as the admit gate has it stored.
pub fn is_normal(chunk: &Chunk, filter: &Filter) -> bool {
    match filter {
        Filter::And(parts) | Filter::Or(parts) => parts.iter().all(|part| is_normal(chunk, part)),
        Filter::Not(inner) => is_normal(chunk, inner),
        Filter::Test(Operand::Attribute(attribute), _) => {
            let mut normal = chunk.clone();
            let entry = FootprintAttribute { attribute: (**attribute).clone(), optional: true };
            tamis_core::normal::normalise(&mut normal, &[entry]);
            normal == *chunk
        }
        _ => true,
    }
}

// ---- chunks made for a test ----

/// How what is stored relates to what a test compares with.
#[derive(Clone, Copy, Debug)]
pub enum Aim {
    /// The value itself.
    Hit,
    /// Text one character longer, or the next number.
    Above,
    /// Text one character shorter, or the number before.
    Below,
    /// An array of the value and nothing else.
    Alone,
    /// An array of the value and a text.
    Beside,
    /// An array of the value and a number that is too large.
    BesideTooLarge,
    /// A number as a float or a text; a text in capitals.
    Disguised,
}

/// One way to miss, or to hit.
pub fn aim() -> BoxedStrategy<Aim> {
    const MISSES: &[Aim] =
        &[Aim::Above, Aim::Below, Aim::Alone, Aim::Beside, Aim::BesideTooLarge, Aim::Disguised];
    prop_oneof![1 => Just(Aim::Hit), 2 => select(MISSES)].boxed()
}

/// A chunk whose attribute holds what `test` compares with, or nearly.
pub fn aimed_at(id: &str, attribute: &Attribute, test: &Test, aim: Aim) -> Chunk {
    let values = match test {
        Test::Exists | Test::Readable => Vec::new(),
        Test::Equals(value) | Test::Compare(_, value) => vec![value.clone()],
        Test::OneOf(values) | Test::ContainsAny(values) | Test::ContainsAll(values) => values.to_vec(),
        Test::StartsWith(prefix) => vec![Value::String(prefix.clone())],
    };
    let all: Vec<Json> = values.iter().map(|value| near(value, aim)).collect();
    let first = all.first().cloned().unwrap_or_default();
    let stored = match (test, aim) {
        (_, Aim::Alone) => json!([first]),
        (_, Aim::Beside) => json!([first, "a"]),
        (_, Aim::BesideTooLarge) => json!([first, u64::MAX]),
        (Test::ContainsAny(_) | Test::ContainsAll(_), _) => Json::Array(all),
        _ => first,
    };
    let mut names = attribute.path.iter().rev();
    let innermost = storable(names.next().unwrap().clone());
    let whole = names.fold(Map::from_iter([(innermost, stored)]), |inner, name| {
        Map::from_iter([(storable(name.clone()), Json::Object(inner))])
    });
    Chunk { attributes: whole, ..Chunk::new(id) }
}

fn near(value: &Value, aim: Aim) -> Json {
    match (aim, value) {
        (Aim::Above, Value::Long(number)) => json!(number.saturating_add(1)),
        (Aim::Below, Value::Long(number)) => json!(number.saturating_sub(1)),
        (Aim::Disguised, Value::Long(number)) if number % 2 == 0 && number.unsigned_abs() < 1 << 53 => {
            json!(*number as f64)
        }
        (Aim::Disguised, Value::Long(number)) => json!(number.to_string()),
        (Aim::Above, Value::String(text)) => json!(format!("{text}x")),
        (Aim::Below, Value::String(text)) => {
            let mut chars = text.chars();
            chars.next_back();
            json!(chars.as_str())
        }
        (Aim::Disguised, Value::String(text)) => json!(text.to_uppercase()),
        (Aim::Disguised, Value::Bool(value)) => json!(i64::from(*value)),
        (_, value) => metadata::write(value),
    }
}
