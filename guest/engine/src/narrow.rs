//! Rewrites in bytes, as the contract's `FRAME.md` defines them.

use alloc::vec::Vec;

use tamis_contract::frame::{Reader, Writer};
use tamis_contract::rewrite::{node, operand};
use tamis_contract::value::Value;

use crate::filter::{Filters, Node, Operand, Test};
use crate::program::{Op, Program, Section, damaged};
use crate::rewrite::Rewrite;

/// What most rewrites fit in.
const USUAL: usize = 2000;

/// The bytes of a rewrite.
pub fn bytes(program: &Program<'_>, rewrite: &Rewrite<'_>) -> Vec<u8> {
    let mut writer = Writer { bytes: Vec::with_capacity(USUAL) };
    writer.bytes.push(u8::from(rewrite.exact));
    let footprint = footprint_size(program);
    writer.size(footprint);
    for position in 0..footprint {
        writer.head(operand::FOOTPRINT, position);
    }
    let rule = |rule: u32| program.text(program.rule(rule).id);
    writer.size(rewrite.faults.len());
    for (failed, fault) in &rewrite.faults {
        writer.text(rule(*failed));
        writer.text(&fault.message());
    }
    writer.size(rewrite.partial.len());
    rewrite.partial.iter().for_each(|partial| writer.text(rule(*partial)));
    filter(&mut writer, program, &rewrite.filters, rewrite.root);
    writer.bytes
}

/// How many attributes the manifest's footprint has.
fn footprint_size(program: &Program<'_>) -> usize {
    let reader = &mut Reader::new(program.section(Section::Manifest));
    // Contract and name; whether it rewrites; both digests and the producer.
    skip_texts(reader, 2);
    reader.byte().unwrap_or_else(|_| damaged());
    skip_texts(reader, 3);
    reader.size().unwrap_or_else(|_| damaged())
}

fn skip_texts(reader: &mut Reader<'_>, count: usize) {
    for _ in 0..count {
        let size = reader.size().unwrap_or_else(|_| damaged());
        reader.take(size).unwrap_or_else(|_| damaged());
    }
}

/// The filter at `root`, without the nodes that only stood on the way to it.
fn filter(writer: &mut Writer, program: &Program<'_>, filters: &Filters<'_>, root: u32) {
    let (places, count) = filters.places(root);
    let place = |index: &u32| places.get(*index as usize).copied().unwrap_or(u32::MAX) as usize;
    writer.size(count as usize);
    for index in 0..=root {
        if place(&index) == u32::MAX as usize {
            continue;
        }
        match filters.node(index) {
            Node::Always => writer.bytes.push(node::ALWAYS),
            Node::Never => writer.bytes.push(node::NEVER),
            Node::And(parts) => {
                writer.head(node::AND, parts.len());
                parts.iter().for_each(|part| writer.size(place(part)));
            }
            Node::Or(parts) => {
                writer.head(node::OR, parts.len());
                parts.iter().for_each(|part| writer.size(place(part)));
            }
            Node::Not(part) => writer.head(node::NOT, place(&part)),
            Node::Test(kind, operand, values) => test(writer, program, kind, operand, values),
        }
    }
}

fn test(writer: &mut Writer, program: &Program<'_>, test: Test, tested: Operand, values: &[Value<'_>]) {
    let tag = match test {
        Test::Exists => node::EXISTS,
        Test::Readable => node::READABLE,
        Test::OneOf if values.len() == 1 => node::EQUALS,
        Test::OneOf => node::ONE_OF,
        Test::Less => node::LESS,
        Test::LessOrEqual => node::LESS_OR_EQUAL,
        Test::Greater => node::GREATER,
        Test::GreaterOrEqual => node::GREATER_OR_EQUAL,
        Test::ContainsAny => node::CONTAINS_ANY,
        Test::ContainsAll => node::CONTAINS_ALL,
        Test::StartsWith => node::STARTS_WITH,
    };
    writer.bytes.push(tag);
    match tested {
        Operand::Attribute(column) => {
            writer.head(operand::FOOTPRINT, program.column(column).attribute as usize)
        }
        Operand::Field(node) => field(writer, program, node),
        Operand::EntityType => writer.bytes.push(operand::ENTITY_TYPE),
        Operand::Id => writer.bytes.push(operand::ID),
        Operand::Ancestors => writer.bytes.push(operand::ANCESTORS),
    }
    if matches!(tag, node::ONE_OF | node::CONTAINS_ANY | node::CONTAINS_ALL) {
        writer.size(values.len());
    }
    values.iter().for_each(|value| writer.value(value));
}

/// The field that a node reads, with the names that lead to it.
fn field(writer: &mut Writer, program: &Program<'_>, node: u32) {
    let (mut names, mut next) = (Vec::new(), program.node(node));
    while next.op != Op::Column {
        names.push(next.b);
        next = program.node(next.a);
    }
    names.push(program.column(next.a).name);
    writer.head(operand::ATTRIBUTE, names.len());
    names.iter().rev().for_each(|name| writer.text(program.text(*name)));
    writer.text(program.path(node).map_or("", |(_, declared)| program.text(declared)));
}
