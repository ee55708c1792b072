//! What is written reads back as what the chunks hold, and the examples in `wit/FRAME.md` are what is written.

use bumpalo::Bump;
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use tamis_contract::frame::{self, Column as Read, Form, Writer};
use tamis_core::filter::Attribute;
use tamis_core::{Chunk, Request, Value};

use super::*;

/// More than any test fills.
const ROOM: usize = 1 << 30;

fn attribute(name: &str, declared: Option<&str>) -> Attribute {
    Attribute { path: vec![name.to_owned()], declared: declared.map(|text| text.parse().unwrap()) }
}

fn forms(columns: &[Column]) -> Vec<Form> {
    let form = |column: &Column| match column {
        Column::Codes(..) | Column::EntityType | Column::Ancestors | Column::Tags => Form::Codes,
        Column::Longs(..) => Form::Longs,
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
    /// For each row the first chunk that was coded as it.
    rows: Vec<Chunk>,
}

impl Listener {
    fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), dictionaries: vec![Vec::new(); columns.len()], rows: Vec::new() }
    }

    /// Hears of chunks, as they were coded.
    fn hear(&mut self, part: &Part<'_>, chunks: &[Chunk]) {
        assert_eq!(part.numbers.len(), chunks.len());
        self.rows.truncate(part.first);
        for (number, chunk) in part.numbers.iter().zip(chunks) {
            match self.rows.get(*number as usize) {
                // What a policy cannot tell apart reads alike.
                Some(first) => self.columns.iter().for_each(|column| {
                    assert_eq!(seen(column, first), seen(column, chunk));
                }),
                None => {
                    assert_eq!(*number as usize, self.rows.len());
                    self.rows.push(chunk.clone());
                }
            }
        }
        assert_eq!(self.rows.len(), part.first + part.rows);
        if part.rows == 0 {
            return assert!(part.frame.is_empty());
        }
        self.hear_frame(part.frame, part.first);
    }

    /// Hears of the rows from `first` on.
    fn hear_frame(&mut self, bytes: &[u8], first: usize) {
        let chunks = &self.rows[first..];
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

/// What the typed call would be given.
fn expected(column: &Column, chunk: &Chunk) -> Option<Value> {
    match column {
        Column::Codes(_, attribute) | Column::Longs(_, attribute) => {
            chunk.read(&attribute.path, attribute.declared.as_ref())
        }
        Column::EntityType => Some(Value::String(chunk.uid.entity_type.clone())),
        Column::Ancestors => Some(Value::Set(chunk.ancestors.iter().cloned().map(Value::Entity).collect())),
        Column::Tags => Some(Value::Record(tamis_core::metadata::read_record(&chunk.tags))),
        Column::Id => Some(Value::String(chunk.uid.id.clone())),
    }
}

/// What a policy sees of that in a frame: of a number that cannot be read not why.
fn seen(column: &Column, chunk: &Chunk) -> Option<Value> {
    match (column, expected(column, chunk)) {
        (Column::Longs(..), Some(Value::IllTyped(_))) => Some(Value::IllTyped(String::new())),
        (_, expected) => expected,
    }
}

/// A cell holds what the typed call would be given.
fn check(column: &Column, known: &[Vec<u8>], read: &Read<'_>, row: usize, chunk: &Chunk) {
    let code = || match read {
        Read::Codes { codes, .. } => u32::from_le_bytes(codes[row]) as usize,
        other => panic!("{other:?} are no codes"),
    };
    let expected = expected(column, chunk);
    match column {
        Column::Id => return assert_eq!(read.text(row), Some(chunk.uid.id.as_str())),
        Column::Longs(..) => {
            let Read::Longs { states, numbers } = read else { panic!("{read:?} are no longs") };
            let expected = match expected {
                None => (0, 0),
                Some(Value::Long(n) | Value::Decimal(n) | Value::Datetime(n) | Value::Duration(n)) => (1, n),
                Some(_) => (2, 0),
            };
            return assert_eq!((states[row], i64::from_le_bytes(numbers[row])), expected);
        }
        _ => {}
    }
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
        columns.push(Column::Longs(0, attribute("a", Some(declared))));
    }
    for declared in
        ["Bool", "Long", "String", "decimal", "Set<String>", "Set<Long>", "Entity<User>", "{a?: Long}"]
    {
        columns.push(Column::Codes(0, attribute("a", Some(declared))));
    }
    columns.push(Column::Codes(0, attribute("a", None)));
    columns.push(Column::Codes(0, attribute("b", None)));
    columns.push(Column::Codes(0, Attribute { path: vec!["a".to_owned(), "b".to_owned()], declared: None }));
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
        // With ids no two rows are equal.
        let all = columns_of_everything();
        let without_ids: Vec<Column> = all.iter().filter(|column| **column != Column::Id).cloned().collect();
        for columns in [&all[..], &without_ids, &without_ids[..1], &without_ids[3..5], &[]] {
            let (mut coder, mut listener) = (Coder::new(columns, ROOM), Listener::new(columns));
            for chunks in batches.iter().chain(&batches) {
                listener.hear(&coder.code(chunks).unwrap(), chunks);
                for chunk in chunks {
                    let known = coder.known(chunk).unwrap();
                    prop_assert_eq!(known.is_some(), !columns.contains(&Column::Id));
                    if let Some(number) = known {
                        for column in columns {
                            prop_assert_eq!(seen(column, &listener.rows[number as usize]), seen(column, chunk));
                        }
                    }
                }
            }
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
    let columns = [Column::Codes(0, attribute("a", None))];
    let mut coder = Coder::new(&columns, ROOM);
    let long = "x".repeat(1000);
    let chunks: Vec<Chunk> = (0..100).map(|id| named(id, &long)).collect();
    let part = coder.code(&chunks).unwrap();
    assert_eq!((part.rows, part.numbers), (1, &[0; 100][..]));
    assert!(part.frame.len() < 1100, "{}", part.frame.len());
    let size = coder.size.kept;
    assert_eq!(coder.code(&chunks).unwrap().rows, 0);
    assert_eq!(coder.size.kept, size);
    assert_eq!(coder.known(&named(0, "other")).unwrap(), None);
    // With the id every chunk is a row, but the value is still sent once.
    let mut coder = Coder::new(&[&columns[..], &[Column::Id]].concat(), ROOM);
    for most in [1500 + 1000, 500 + 1000] {
        let part = coder.code(&chunks).unwrap();
        assert_eq!(part.rows, 100);
        assert!(part.frame.len() < most, "{}", part.frame.len());
    }
}

#[test]
fn a_frame_ends_with_its_rows_or_its_bytes() {
    let columns = [Column::Codes(0, attribute("a", None)), Column::Id];
    let few: Vec<Chunk> = (0..MAX_ROWS + 1).map(|id| named(id, &(id % 20).to_string())).collect();
    let taken = |coder: &mut Coder, chunks: &[Chunk]| coder.code(chunks).unwrap().numbers.len();
    assert_eq!(taken(&mut Coder::new(&columns, ROOM), &few), MAX_ROWS);
    assert_eq!(taken(&mut Coder::new(&columns, ROOM), &few[..0]), 0);

    let large = |id| named(id, &format!("{id}{}", "x".repeat(MAX_NEWS / 4)));
    let many: Vec<Chunk> = (0..20).map(large).collect();
    let mut coder = Coder::new(&columns, ROOM);
    assert_eq!(taken(&mut coder, &many), 4);
    assert_eq!(taken(&mut coder, &many[4..]), 4);
    let huge = [named(0, &"x".repeat(MAX_NEWS * 2)), named(1, "x")];
    assert_eq!(taken(&mut coder, &huge), 1, "one at least");

    let mut coder = Coder::new(&columns, 1000);
    assert_eq!(taken(&mut coder, &few), 8, "more would not fit in so small a memory");
    assert!(coder.is_full());

    let mut long_id = named(0, "x");
    long_id.uid.id = "x".repeat(MAX_NEWS + 1);
    assert_eq!(taken(&mut coder, &[long_id.clone(), long_id]), 1);
}

#[test]
fn what_a_policy_is_told_little_of_takes_the_room_that_the_host_needs_for_it() {
    let large = |id: usize| json!([id, "x".repeat(10_000)]);
    let ill_typed = |id: usize| {
        let mut chunk = Chunk::new("c");
        chunk.attributes.insert("a".to_owned(), large(id));
        chunk
    };
    let tagged = |id: usize| {
        let mut chunk = Chunk::new("c");
        chunk.tags.insert("t".to_owned(), json!([large(id), null]));
        chunk
    };
    let columns = [Column::Codes(0, attribute("a", Some("String"))), Column::Tags];
    for chunk in [&ill_typed as &dyn Fn(usize) -> Chunk, &tagged] {
        let mut coder = Coder::new(&columns, 100_000);
        let fitting = (0..1000).take_while(|id| {
            let Part { frame, .. } = coder.code(&[chunk(*id)]).unwrap();
            assert!(frame.len() < 200);
            !coder.is_full()
        });
        assert!((10..200).contains(&fitting.count()));
    }
}

/// The bytes of an example in `FRAME.md`: hexadecimal, then two spaces and what they say.
pub(crate) fn example(number: usize) -> Vec<u8> {
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
        Column::Codes(0, attribute("tenant", Some("String"))),
        Column::Longs(0, attribute("access_level", Some("Long"))),
        Column::Id,
    ];
    let mut coder = Coder::new(&columns, ROOM);
    let chunk = |id: &str, attributes: Json| {
        let mut chunk = Chunk::new(id);
        chunk.attributes = attributes.as_object().unwrap().clone();
        chunk
    };
    coder.code(&[chunk("0", json!({"tenant": "acme"}))]).unwrap();
    let chunks = [
        chunk("a", json!({"tenant": "globex", "access_level": 2})),
        chunk("b", json!({"access_level": "high"})),
        chunk("cd", json!({"tenant": "acme", "access_level": -1})),
    ];
    assert_eq!(hex(coder.code(&chunks).unwrap().frame), hex(&example(2)));
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
