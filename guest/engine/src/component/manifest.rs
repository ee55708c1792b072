//! What a policy says of itself.

use bumpalo::Bump;
use tamis_contract::frame::{Form, Reader};

use super::abi::{self, Attribute, FootprintAttribute, List, Manifest, Maybe, PolicyInfo, Text};
use crate::program::{Program, Section, Source, damaged, width};

/// The manifest: name, whether it rewrites, digests, producer, footprint, rules.
pub(super) fn manifest<'a>(program: &Program<'a>, arena: &'a Bump) -> Manifest<'a> {
    let reader = &mut Reader::new(program.section(Section::Manifest));
    let mut manifest = without_rules(reader, arena);
    manifest.policies = several(reader, arena, |reader| {
        let id = text(reader);
        PolicyInfo { id, annotations: several(reader, arena, |reader| [text(reader), text(reader)]) }
    });
    manifest
}

/// What the policy reads of chunks.
pub(super) fn footprint<'a>(program: &Program<'a>, arena: &'a Bump) -> List<'a, FootprintAttribute<'a>> {
    without_rules(&mut Reader::new(program.section(Section::Manifest)), arena).footprint
}

/// What stands in front of the rules, of which there may be thousands.
fn without_rules<'a>(reader: &mut Reader<'a>, arena: &'a Bump) -> Manifest<'a> {
    let contract = text(reader);
    let name = text(reader);
    let can_rewrite = flag(reader);
    let source_digest = text(reader);
    let schema_digest = text(reader);
    let producer = text(reader);
    let footprint = several(reader, arena, |reader| {
        let path = List::from(&*arena.alloc_slice_copy(&[text(reader)]));
        let value_type = text(reader);
        let value_type = if value_type.items().is_empty() { Maybe::None } else { Maybe::Some(value_type) };
        FootprintAttribute { attribute: Attribute { path, value_type }, optional: flag(reader) }
    });
    let policies = [].as_slice().into();
    Manifest { contract, name, footprint, policies, can_rewrite, source_digest, schema_digest, producer }
}

fn text<'a>(reader: &mut Reader<'a>) -> Text<'a> {
    reader.text().unwrap_or_else(|_| damaged()).into()
}

fn flag(reader: &mut Reader<'_>) -> bool {
    reader.byte().unwrap_or_else(|_| damaged()) != 0
}

/// As many items as the number in front of them says.
fn several<'a, 'r, T>(
    reader: &mut Reader<'r>,
    arena: &'a Bump,
    mut read: impl FnMut(&mut Reader<'r>) -> T,
) -> List<'a, T> {
    let count = reader.size().unwrap_or_else(|_| damaged());
    List::from(&*arena.alloc_slice_fill_with(count, |_| read(reader)))
}

/// What frames must hold.
pub(super) fn columns<'a>(program: &Program<'a>, arena: &'a Bump) -> List<'a, abi::Column> {
    let count = program.count(Section::Columns, width::COLUMN);
    let column = |index: usize| {
        let info = program.column(index as u32);
        abi::Column {
            source: match info.source {
                Source::Attribute => abi::Source::Attribute(info.attribute),
                Source::EntityType => abi::Source::EntityType,
                Source::Id => abi::Source::Id,
                Source::Ancestors => abi::Source::Ancestors,
                Source::Tags => abi::Source::Tags,
            },
            form: match info.form.form() {
                Form::Codes => abi::Form::Codes,
                Form::Longs => abi::Form::Longs,
                Form::Texts => abi::Form::Texts,
            },
        }
    };
    List::from(&*arena.alloc_slice_fill_with(count as usize, column))
}
