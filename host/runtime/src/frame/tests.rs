//! What is written reads back as what the chunks hold, and the examples in `wit/FRAME.md` are what is written.

use bumpalo::Bump;
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use tamis_contract::frame::{self, Column as Read, Form, Writer};
use tamis_core::filter::Attribute;
use tamis_core::{Request, Value};

use super::*;

/// More than any test fills.
const ROOM: usize = 1 << 30;

fn attribute(name: &str, declared: Option<&str>) -> Attribute {
    Attribute { path: vec![name.to_owned()], declared: declared.map(|text| text.parse().unwrap()) }
}

fn forms(columns: &[Column]) -> Vec<Form> {
    let form = |column: &Column| match column {
        Column::Codes(_) | Column::EntityType | Column::Ancestors | Column::Tags => Form::Codes,
        Column::Longs(_) => Form::Longs,
        Column::Id => Form::Texts,
    };
    columns.iter().map(form).collect()
}

fn bytes_of(read: &Value) -> Vec<u8> {
    let mut writer = Writer::default();
    value::value(&mut writer, read);
    writer.bytes
}

/// The bytes of one entry, as a policy cuts them off.
fn next_entry<'a>(entries: &mut frame::Reader<'a>, arena: &'a Bump) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.value(&entries.value(arena).unwrap());
    writer.bytes
}

/// What a policy knows of each column, and checks of each frame.
struct Listener {
    columns: Vec<Column>,
    dictionaries: Vec<Vec<Vec<u8>>>,
}

impl Listener {
    fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), dictionaries: vec![Vec::new(); columns.len()] }
    }

    fn hear(&mut self, bytes: &[u8], chunks: &[Chunk]) {
        let forms = forms(&self.columns);
        for end in 0..bytes.len() {
            assert!(frame::read(&bytes[..end], &forms).is_err(), "cut at {end} of {}", bytes.len());
        }
        assert!(frame::read(&[bytes, &[0]].concat(), &forms).is_err());
        let arena = Bump::new();
        let (rows, read) = frame::read(bytes, &forms).unwrap();
        assert_eq!(rows, chunks.len());
        for ((column, known), read) in self.columns.iter().zip(&mut self.dictionaries).zip(&read) {
            if let Read::Codes { first, count, entries, .. } = read {
                assert_eq!(*first, known.len());
                let mut entries = entries.clone();
                known.extend((0..*count).map(|_| next_entry(&mut entries, &arena)));
                assert!(entries.is_empty());
            }
            for (row, chunk) in chunks.iter().enumerate() {
                check(column, known, read, row, chunk);
            }
        }
    }
}

/// A cell holds what the typed call would be given.
fn check(column: &Column, known: &[Vec<u8>], read: &Read<'_>, row: usize, chunk: &Chunk) {
    let stored = |attribute: &Attribute| chunk.read(&attribute.path, attribute.declared.as_ref());
    let code = || match read {
        Read::Codes { codes, .. } => u32::from_le_bytes(codes[row]) as usize,
        other => panic!("{other:?} are no codes"),
    };
    let expected = match column {
        Column::Codes(attribute) => stored(attribute),
        Column::EntityType => Some(Value::String(chunk.uid.entity_type.clone())),
        Column::Ancestors => Some(Value::Set(chunk.ancestors.iter().cloned().map(Value::Entity).collect())),
        Column::Tags => Some(Value::Record(tamis_core::metadata::read_record(&chunk.tags))),
        Column::Id => return assert_eq!(read.text(row), Some(chunk.uid.id.as_str())),
        Column::Longs(attribute) => {
            let Read::Longs { states, numbers } = read else { panic!("{read:?} are no longs") };
            let expected = match stored(attribute) {
                None => (0, 0),
                Some(Value::Long(n) | Value::Decimal(n) | Value::Datetime(n) | Value::Duration(n)) => (1, n),
                Some(_) => (2, 0),
            };
            return assert_eq!((states[row], i64::from_le_bytes(numbers[row])), expected);
        }
    };
    match (code(), expected) {
        (0, None) => {}
        (0, expected) => panic!("{expected:?} became absent"),
        (code, Some(expected)) => {
            // Sets of texts have another order in policies than here, so both go the same way.
            let (bytes, arena) = (bytes_of(&expected), Bump::new());
            assert_eq!(known[code - 1], next_entry(&mut frame::Reader::new(&bytes), &arena), "{expected:?}");
        }
        (_, None) => panic!("what is absent has a code"),
    }
}

/// Attributes of all kinds: some read as declared, some do not.
fn columns_of_everything() -> Vec<Column> {
    let mut columns = vec![Column::EntityType, Column::Id, Column::Ancestors, Column::Tags];
    for declared in ["Long", "decimal", "datetime", "duration"] {
        columns.push(Column::Longs(attribute("a", Some(declared))));
    }
    for declared in
        ["Bool", "Long", "String", "decimal", "Set<String>", "Set<Long>", "Entity<User>", "{a?: Long}"]
    {
        columns.push(Column::Codes(attribute("a", Some(declared))));
    }
    columns.push(Column::Codes(attribute("a", None)));
    columns.push(Column::Codes(attribute("b", None)));
    columns.push(Column::Codes(Attribute { path: vec!["a".to_owned(), "b".to_owned()], declared: None }));
    columns
}

/// Values that are easily taken for one another.
fn json() -> impl Strategy<Value = Json> {
    let odd = [
        "null",
        "true",
        "false",
        "0",
        "1",
        "-1",
        "0.0",
        "-0.0",
        "1.0",
        "1.5",
        "\"\"",
        "\"0\"",
        "\"1\"",
        "\"1.5\"",
        "\"true\"",
        "9223372036854775807",
        "9223372036854775808",
        "1e300",
        "\"2026-01-31\"",
        "\"1h\"",
        "\"a\"",
        "[]",
        "{}",
        r#"{"type":"User","id":"a"}"#,
        r#"{"__entity":{"type":"User","id":"a"}}"#,
        r#"{"__entity":1}"#,
        r#"{"__extn":{"fn":"decimal","arg":"1.5"}}"#,
        r#"{"__extn":{"fn":"ip","arg":"::1"}}"#,
    ];
    let leaf =
        proptest::sample::select(odd.to_vec()).prop_map(|text| serde_json::from_str::<Json>(text).unwrap());
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Json::Array),
            prop::collection::btree_map("[ab]", inner, 0..3).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

fn chunk() -> impl Strategy<Value = Chunk> {
    let fields = || prop::collection::btree_map("[ab]", json(), 0..3);
    let ancestors = prop::collection::btree_set("[ab]{0,2}", 0..3);
    ("[ab]?", "[ab]{0,9}", fields(), fields(), ancestors).prop_map(
        |(entity_type, id, attributes, tags, ancestors)| {
            let mut chunk = Chunk::new(id);
            chunk.uid.entity_type = entity_type;
            chunk.attributes = attributes.into_iter().collect();
            chunk.tags = tags.into_iter().collect();
            chunk.ancestors =
                ancestors.into_iter().map(|id| tamis_core::EntityUid::new("Folder", id)).collect();
            chunk
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn frames_hold_what_chunks_hold(batches in prop::collection::vec(prop::collection::vec(chunk(), 1..12), 1..4)) {
        let columns = columns_of_everything();
        let (mut coder, mut listener) = (Coder::new(&columns, ROOM), Listener::new(&columns));
        for chunks in &batches {
            let (rows, bytes) = coder.frame(chunks);
            prop_assert_eq!(rows, chunks.len());
            listener.hear(bytes, chunks);
        }
    }
}

fn named(id: usize, value: &str) -> Chunk {
    let mut chunk = Chunk::new(id.to_string());
    chunk.attributes.insert("a".to_owned(), value.into());
    chunk
}

#[test]
fn a_known_value_is_sent_once() {
    let columns = [Column::Codes(attribute("a", None))];
    let mut coder = Coder::new(&columns, ROOM);
    let long = "x".repeat(1000);
    let chunks: Vec<Chunk> = (0..100).map(|id| named(id, &long)).collect();
    let (_, bytes) = coder.frame(&chunks);
    assert!(bytes.len() < 1500, "{}", bytes.len());
    let size = coder.size.kept;
    let (_, bytes) = coder.frame(&chunks);
    assert!(bytes.len() < 500, "{}", bytes.len());
    assert_eq!(coder.size.kept, size);
}

#[test]
fn a_frame_ends_with_its_rows_or_its_bytes() {
    let columns = [Column::Codes(attribute("a", None)), Column::Id];
    let few: Vec<Chunk> = (0..MAX_ROWS + 1).map(|id| named(id, &(id % 20).to_string())).collect();
    assert_eq!(Coder::new(&columns, ROOM).frame(&few).0, MAX_ROWS);
    assert_eq!(Coder::new(&columns, ROOM).frame(&few[..0]).0, 0);

    let large = |id| named(id, &format!("{id}{}", "x".repeat(MAX_NEWS / 4)));
    let many: Vec<Chunk> = (0..20).map(large).collect();
    let mut coder = Coder::new(&columns, ROOM);
    assert_eq!(coder.frame(&many).0, 4);
    assert_eq!(coder.frame(&many[4..]).0, 4);
    let huge = [named(0, &"x".repeat(MAX_NEWS * 2)), named(1, "x")];
    assert_eq!(coder.frame(&huge).0, 1, "one at least");

    let mut coder = Coder::new(&columns, 1000);
    assert_eq!(coder.frame(&few).0, 8, "more would not fit in so small a memory");
    assert!(coder.is_full());

    let mut long_id = named(0, "x");
    long_id.uid.id = "x".repeat(MAX_NEWS + 1);
    assert_eq!(coder.frame(&[long_id.clone(), long_id]).0, 1);
}

/// The bytes of an example in `FRAME.md`: hexadecimal, then two spaces and what they say.
fn example(number: usize) -> Vec<u8> {
    let text = include_str!("../../../../wit/FRAME.md");
    let block = text.split("```hex\n").nth(number).unwrap().split("```").next().unwrap();
    let digits =
        block.lines().flat_map(|line| line.split("  ").next().unwrap_or_default().split_whitespace());
    digits.map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

#[test]
fn the_documented_request_is_what_is_written() {
    let request = r#"{"subject":{"type":"User","id":"bob","properties":{"level":3},"parents":[{"type":"Group","id":"hr"}]},
        "action":{"name":"retrieve"}}"#;
    let request = Request::from_json(request).unwrap();
    RequestBytes::of(&request)
        .unwrap()
        .each::<()>(|bytes| {
            assert_eq!(hex(bytes), hex(&example(1)));
            Ok(())
        })
        .unwrap();
}

#[test]
fn the_documented_frame_is_what_is_written() {
    let columns = [
        Column::Codes(attribute("tenant", Some("String"))),
        Column::Longs(attribute("access_level", Some("Long"))),
        Column::Id,
    ];
    let mut coder = Coder::new(&columns, ROOM);
    let chunk = |id: &str, attributes: Json| {
        let mut chunk = Chunk::new(id);
        chunk.attributes = attributes.as_object().unwrap().clone();
        chunk
    };
    coder.frame(&[chunk("0", json!({"tenant": "acme"}))]);
    let chunks = [
        chunk("a", json!({"tenant": "globex", "access_level": 2})),
        chunk("b", json!({"access_level": "high"})),
        chunk("cd", json!({"tenant": "acme", "access_level": -1})),
    ];
    let (_, bytes) = coder.frame(&chunks);
    assert_eq!(hex(bytes), hex(&example(2)));
}

#[test]
fn principals_differ_in_one_number() {
    let request = r#"{"subject":{"type":"User","id":"u"},"actor":[{"type":"Agent","id":"a"},{"type":"Agent","id":"b"}],
        "action":{"name":"retrieve"}}"#;
    let mut all = Vec::new();
    let mut request = RequestBytes::of(&Request::from_json(request).unwrap()).unwrap();
    request
        .each::<()>(|bytes| {
            all.push(bytes.to_vec());
            Ok(())
        })
        .unwrap();
    // Entities are in the order of their uids: both agents, then the user.
    let principals: Vec<u8> = all.iter().map(|bytes| bytes[0]).collect();
    assert_eq!(principals, [2, 0, 1]);
    assert!(all.iter().all(|bytes| bytes[1..] == all[0][1..]));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x} ")).collect()
}
