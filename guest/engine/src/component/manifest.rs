//! What a policy says of itself.

use alloc::vec::Vec;

use bumpalo::Bump;
use tamis_contract::frame::{Form, Reader};

use super::abi::{self, Attribute, FootprintAttribute, List, Manifest, Maybe, PolicyInfo, Text};
use super::list;
use crate::fault::Fault;
use crate::program::{Program, Section, Source};

/// The manifest: name, whether it rewrites, digest, producer, footprint, rules.
pub(super) fn manifest<'a>(program: &Program<'a>, arena: &'a Bump) -> Result<Manifest<'a>, Fault<'a>> {
    read(&mut Reader::new(program.section(Section::Manifest)), arena).ok_or(Fault::Program)
}

fn read<'a>(reader: &mut Reader<'a>, arena: &'a Bump) -> Option<Manifest<'a>> {
    let contract = text(reader)?;
    let name = text(reader)?;
    let can_rewrite = reader.byte().ok()? != 0;
    let source_digest = text(reader)?;
    let producer = text(reader)?;
    let mut footprint = Vec::new();
    for _ in 0..reader.size().ok()? {
        let name = text(reader)?;
        let value_type = text(reader)?;
        let optional = reader.byte().ok()? != 0;
        let value_type = if value_type.items().is_empty() { Maybe::None } else { Maybe::Some(value_type) };
        footprint.push(FootprintAttribute {
            attribute: Attribute { path: list(arena, &[name]), value_type },
            optional,
        });
    }
    let mut policies = Vec::new();
    for _ in 0..reader.size().ok()? {
        let id = text(reader)?;
        let mut annotations = Vec::new();
        for _ in 0..reader.size().ok()? {
            annotations.push([text(reader)?, text(reader)?]);
        }
        policies.push(PolicyInfo { id, annotations: list(arena, &annotations) });
    }
    let (footprint, policies) = (list(arena, &footprint), list(arena, &policies));
    Some(Manifest { contract, name, footprint, policies, can_rewrite, source_digest, producer })
}

fn text<'a>(reader: &mut Reader<'a>) -> Option<Text<'a>> {
    reader.text().ok().map(Text::from)
}

/// What frames must hold.
pub(super) fn columns<'a>(
    program: &Program<'a>,
    arena: &'a Bump,
) -> Result<List<'a, abi::Column>, Fault<'a>> {
    let mut columns = Vec::new();
    for info in program.columns()? {
        columns.push(abi::Column {
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
        });
    }
    Ok(list(arena, &columns))
}
