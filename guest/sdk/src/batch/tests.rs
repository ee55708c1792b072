//! What a policy is shown of a frame is what the typed call would show it.

use std::cell::RefCell;

use tamis_contract::frame::Writer;

use super::*;
use crate::attribute::Attribute;
use crate::value::ValueRef;

const TENANT: Attribute = Attribute::new(&["tenant"], "String");
const TEAM: Attribute = Attribute::new(&["owner", "team"], "String");
const BOSS: Attribute = Attribute::new(&["owner", "boss", "name"], "Set<Long>");

fn manifest() -> Manifest {
    Manifest::of("test").reads(TENANT).reads_optional(TEAM).reads_optional(BOSS)
}

/// A request without anything, for the entity `principal` of two.
fn request(principal: usize) -> Vec<u8> {
    let mut writer = Writer::default();
    [principal, 0, 0].into_iter().for_each(|size| writer.size(size));
    writer.uid("Action", "retrieve");
    writer.size(0);
    writer.size(2);
    for id in ["a", "b"] {
        writer.uid("User", id);
        writer.size(1);
        writer.text("roles");
        writer.value(&ReadValue::Set(&[ReadValue::Text(id)]));
        writer.size(0);
        writer.size(1);
        writer.uid("Group", "g");
    }
    writer.bytes
}

/// Adds a column of codes: how many entries were there before, new ones, codes.
fn codes(writer: &mut Writer, before: usize, new: &[ReadValue<'_>], codes: &[usize]) {
    let mut entries = Writer::default();
    new.iter().for_each(|value| entries.value(value));
    [before, new.len(), entries.bytes.len()].into_iter().for_each(|size| writer.size(size));
    writer.bytes.append(&mut entries.bytes);
    codes.iter().for_each(|code| writer.size(*code));
}

/// Two rows: one with everything, one with a tenant only.
fn frame() -> Vec<u8> {
    let mut writer = Writer::default();
    writer.size(2);
    codes(&mut writer, 0, &[ReadValue::Text("acme"), ReadValue::IllTyped("a number")], &[1, 2]);
    codes(&mut writer, 0, &[ReadValue::Text("red")], &[1, 0]);
    codes(&mut writer, 0, &[ReadValue::Set(&[ReadValue::Long(1), ReadValue::Long(2)])], &[1, 0]);
    codes(&mut writer, 0, &[ReadValue::Text("Chunk"), ReadValue::Text("Page")], &[2, 1]);
    [1, 3].into_iter().for_each(|end| writer.size(end));
    writer.bytes.extend_from_slice(b"xyz");
    let folder = tamis_contract::value::Uid { entity_type: "Folder", id: "f" };
    codes(&mut writer, 0, &[ReadValue::Set(&[ReadValue::Entity(&folder)]), ReadValue::Set(&[])], &[1, 2]);
    codes(
        &mut writer,
        0,
        &[ReadValue::Record(&[("k", ReadValue::Bool(true))]), ReadValue::Record(&[])],
        &[1, 2],
    );
    writer.bytes
}

/// All that a policy can see of a chunk, as text.
fn seen(request: &Request, chunk: &Chunk) -> String {
    let uid = |uid: &EntityUid| format!("{}::{}", uid.entity_type, uid.id);
    let text = |attribute| match chunk.read_optional(attribute) {
        Ok(value) => value.map(|value| value.text().map_or_else(|error| error.to_string(), str::to_owned)),
        Err(error) => Some(error.to_string()),
    };
    let boss = chunk.read_optional(BOSS).unwrap().map(|boss| {
        boss.elements().unwrap().iter().map(ValueRef::long).collect::<Result<Vec<_>, _>>().unwrap()
    });
    let tags: Vec<(&str, bool)> = chunk
        .tags
        .iter()
        .map(|tag| {
            (
                tag.name.as_str(),
                ValueRef::find(&chunk.values, &chunk.tags, &tag.name).unwrap().unwrap().boolean().unwrap(),
            )
        })
        .collect();
    let names: Vec<&str> = chunk.attributes.iter().map(|field| field.name.as_str()).collect();
    let ancestors: Vec<String> = chunk.ancestors.iter().map(uid).collect();
    let principal = request.principal().unwrap();
    format!(
        "{} {:?}: {} {names:?} {:?} {:?} {boss:?} {tags:?} {ancestors:?}",
        principal.uid().id,
        principal.texts("roles").unwrap(),
        uid(&chunk.uid),
        text(TENANT),
        text(TEAM),
    )
}

fn told(batch: &mut Batch, prepared: u32, frame: &[u8]) -> Result<Vec<String>, FrameError> {
    let all = RefCell::new(Vec::new());
    batch.filter(prepared, frame, |request, chunk| {
        all.borrow_mut().push(seen(request, chunk));
        ALLOW
    })?;
    Ok(all.into_inner())
}

#[test]
fn a_row_is_the_chunk_that_it_stands_for() {
    let mut batch = Batch::of(&manifest());
    let numbers = [batch.prepare(&request(0)).unwrap(), batch.prepare(&request(1)).unwrap()];
    let expected = |id: &str| {
        vec![
            format!(
                r#"{id} ["{id}"]: Page::x ["tenant", "owner"] Some("acme") Some("red") Some([1, 2]) [("k", true)] ["Folder::f"]"#
            ),
            format!(
                r#"{id} ["{id}"]: Chunk::yz ["tenant"] Some("`tenant` is unreadable: a number") None None [] []"#
            ),
        ]
    };
    // The same frame for both principals, and again.
    let mut kept = None;
    for _ in 0..2 {
        assert_eq!(told(&mut batch, numbers[0], &frame()).unwrap(), expected("a"));
        assert_eq!(told(&mut batch, numbers[1], &frame()).unwrap(), expected("b"));
        let values = batch.chunk.values.len();
        assert_eq!(*kept.get_or_insert(values), values, "rows leave nothing behind");
    }
}

#[test]
fn dictionaries_grow_from_frame_to_frame() {
    let mut batch = Batch::of(&Manifest::of("test").reads(TENANT));
    let number = batch.prepare(&request(0)).unwrap();
    let next = |before: usize, new: &[ReadValue<'_>], code: usize, specials: usize| {
        let mut writer = Writer::default();
        writer.size(1);
        codes(&mut writer, before, new, &[code]);
        let once = |value| if specials == 0 { vec![value] } else { vec![] };
        codes(&mut writer, specials, &once(ReadValue::Text("Chunk")), &[1]);
        writer.size(0);
        codes(&mut writer, specials, &once(ReadValue::Set(&[])), &[1]);
        codes(&mut writer, specials, &once(ReadValue::Record(&[])), &[1]);
        writer.bytes
    };
    let mut tenant = |frame: Vec<u8>| {
        let found = RefCell::new(String::new());
        batch
            .filter(number, &frame, |_, chunk| {
                *found.borrow_mut() = chunk.read(TENANT).unwrap().text().unwrap().to_owned();
                ALLOW
            })
            .map(|_| found.into_inner())
    };
    let (acme, globex) = (ReadValue::Text("acme"), ReadValue::Text("globex"));
    assert_eq!(tenant(next(0, &[acme], 1, 0)).unwrap(), "acme");
    assert_eq!(tenant(next(1, &[], 1, 1)).unwrap(), "acme");
    assert_eq!(tenant(next(1, &[globex], 2, 1)).unwrap(), "globex");
    assert_eq!(tenant(next(1, &[globex], 2, 1)).unwrap(), "globex", "sent again");
    assert_eq!(tenant(next(2, &[], 1, 1)).unwrap(), "acme");
    // Codes that no entry has, entries after a gap, and some that are partly known.
    assert_eq!(tenant(next(2, &[], 3, 1)), Err(FrameError));
    assert_eq!(tenant(next(3, &[acme], 1, 1)), Err(FrameError));
    assert_eq!(tenant(next(1, &[acme, acme], 1, 1)), Err(FrameError));
    assert_eq!(tenant(next(3, &[], 1, 1)), Err(FrameError));
}

#[test]
fn bytes_cut_off_anywhere_are_refused() {
    let request = request(0);
    for end in 0..request.len() {
        assert_eq!(Batch::of(&manifest()).prepare(&request[..end]), Err(FrameError), "request cut at {end}");
    }
    assert_eq!(Batch::of(&manifest()).prepare(&[&request[..], &[0]].concat()), Err(FrameError));
    let frame = frame();
    for end in 0..frame.len() {
        let mut batch = Batch::of(&manifest());
        let number = batch.prepare(&request).unwrap();
        assert_eq!(told(&mut batch, number, &frame[..end]), Err(FrameError), "frame cut at {end}");
    }
}

#[test]
fn a_request_that_was_not_prepared_is_refused() {
    let mut batch = Batch::of(&manifest());
    assert_eq!(told(&mut batch, 0, &frame()), Err(FrameError));
    let number = batch.prepare(&request(0)).unwrap();
    assert_eq!(told(&mut batch, number + 1, &frame()), Err(FrameError));
}

#[test]
fn codes_say_what_decisions_do() {
    let redacting = || Decision { redact: vec![vec!["a".to_owned()]], ..Decision::allow_by("r") };
    let without_text = || Decision { redact_text: true, ..Decision::allow_by("r") };
    let failed =
        crate::bindings::tamis::policy::gates::PolicyError { policy: String::new(), message: String::new() };
    for (decision, expected) in [
        (Decision::allow_by("r"), 1),
        (Decision::deny(), 0),
        (redacting(), 3),
        (without_text(), 3),
        (Decision { allow: false, ..redacting() }, 0),
        (Decision { errors: vec![failed.clone()], ..Decision::allow_by("r") }, 5),
        (Decision { errors: vec![failed.clone()], ..redacting() }, 7),
        (Decision { errors: vec![failed], ..Decision::deny() }, 4),
    ] {
        assert_eq!(code(Ok(&decision)), expected, "{decision:?}");
    }
    assert_eq!(code(Err(&Error::new("x"))), 4);
}
