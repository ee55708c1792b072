//! From the engine's filters and values to the contract's flattened records.

use alloc::vec::Vec;

use bumpalo::Bump;
use tamis_contract::value::{Uid, Value};

use super::abi::{self, Attribute, Comparison, List, Maybe, Membership, Text};
use super::list;
use crate::filter::{Filters, Node, Operand, Test};
use crate::program::{Op, Program};

/// The filter at `root`, without the nodes that only stood on the way to it.
pub(super) fn filter<'a>(
    program: &Program<'a>,
    arena: &'a Bump,
    filters: &Filters<'a>,
    root: u32,
) -> abi::Filter<'a> {
    let (places, _) = filters.places(root);
    let mut answer = Answer { arena, values: Vec::new(), operands: Vec::new() };
    let mut nodes = Vec::new();
    for index in 0..=root {
        let placed = |index: &u32| places.get(*index as usize).copied().unwrap_or(u32::MAX);
        if placed(&index) == u32::MAX {
            continue;
        }
        let node = match filters.node(index) {
            Node::Always => abi::Node::Always,
            Node::Never => abi::Node::Never,
            Node::And(parts) => abi::Node::And(list(arena, parts, placed)),
            Node::Or(parts) => abi::Node::Or(list(arena, parts, placed)),
            Node::Not(part) => abi::Node::Not(placed(&part)),
            Node::Test(test, operand, values) => answer.test(test, operand, values),
        };
        nodes.push(node);
    }
    let operands = list(arena, &answer.operands, |operand| match operand {
        Operand::Attribute(column) => {
            let info = program.column(*column);
            let path = &*arena.alloc_slice_copy(&[Text::from(program.text(info.name))]);
            attribute(path, program.text(info.declared))
        }
        Operand::Field(node) => {
            let declared = program.path(*node).map_or("", |(_, declared)| program.text(declared));
            attribute(path(program, arena, *node), declared)
        }
        Operand::EntityType => abi::Operand::EntityType,
        Operand::Id => abi::Operand::Id,
        Operand::Ancestors => abi::Operand::Ancestors,
    });
    abi::Filter {
        root: nodes.len() as u32 - 1,
        nodes: List::from(&*arena.alloc_slice_copy(&nodes)),
        operands,
        values: List::from(&*arena.alloc_slice_copy(&answer.values)),
    }
}

fn attribute<'a>(path: &'a [Text<'a>], declared: &'a str) -> abi::Operand<'a> {
    let value_type = if declared.is_empty() { Maybe::None } else { Maybe::Some(declared.into()) };
    abi::Operand::Attribute(Attribute { path: path.into(), value_type })
}

/// The names from the attribute to the field that a node reads.
fn path<'a>(program: &Program<'a>, arena: &'a Bump, node: u32) -> &'a [Text<'a>] {
    let (mut length, mut next) = (1, program.node(node));
    while next.op != Op::Column {
        length += 1;
        next = program.node(next.a);
    }
    let path = arena.alloc_slice_fill_copy(length, Text::from(program.text(program.column(next.a).name)));
    let mut next = program.node(node);
    for name in path.iter_mut().skip(1).rev() {
        *name = program.text(next.b).into();
        next = program.node(next.a);
    }
    path
}

/// The lists that the nodes of a filter point into.
struct Answer<'a> {
    arena: &'a Bump,
    values: Vec<abi::Value<'a>>,
    operands: Vec<Operand>,
}

impl<'a> Answer<'a> {
    fn test(&mut self, test: Test, operand: Operand, values: &[Value<'a>]) -> abi::Node<'a> {
        let known = self.operands.iter().position(|known| *known == operand);
        let operand = match known {
            Some(known) => known,
            None => {
                self.operands.push(operand);
                self.operands.len() - 1
            }
        } as u32;
        let mut indices = Vec::new();
        for value in values {
            indices.push(self.value(value));
        }
        let comparison = Comparison(operand, indices.first().copied().unwrap_or(u32::MAX));
        let membership = Membership(operand, List::from(&*self.arena.alloc_slice_copy(&indices)));
        match test {
            Test::Exists => abi::Node::Exists(operand),
            Test::Readable => abi::Node::Readable(operand),
            Test::OneOf if indices.len() == 1 => abi::Node::Equals(comparison),
            Test::OneOf => abi::Node::OneOf(membership),
            Test::Less => abi::Node::Less(comparison),
            Test::LessOrEqual => abi::Node::LessOrEqual(comparison),
            Test::Greater => abi::Node::Greater(comparison),
            Test::GreaterOrEqual => abi::Node::GreaterOrEqual(comparison),
            Test::ContainsAny => abi::Node::ContainsAny(membership),
            Test::ContainsAll => abi::Node::ContainsAll(membership),
            Test::StartsWith => abi::Node::StartsWith(comparison),
        }
    }

    /// Writes a value behind what it holds; its index.
    fn value(&mut self, value: &Value<'a>) -> u32 {
        let uid = |uid: &Uid<'a>| abi::Uid { entity_type: uid.entity_type.into(), id: uid.id.into() };
        let value = match value {
            Value::Bool(value) => abi::Value::Boolean(*value),
            Value::Long(value) => abi::Value::Long(*value),
            Value::Decimal(value) => abi::Value::Decimal(*value),
            Value::Datetime(value) => abi::Value::Datetime(*value),
            Value::Duration(value) => abi::Value::Duration(*value),
            Value::Text(text) => abi::Value::Text((*text).into()),
            Value::IllTyped(reason) => abi::Value::IllTyped((*reason).into()),
            Value::Entity(entity) => abi::Value::Entity(uid(entity)),
            Value::Ip(network) => {
                abi::Value::Ip(abi::IpNetwork { address: network.octets().into(), prefix: network.prefix() })
            }
            Value::Set(elements) => {
                let indices = self.arena.alloc_slice_fill_copy(elements.len(), 0);
                for (index, element) in indices.iter_mut().zip(*elements) {
                    *index = self.value(element);
                }
                abi::Value::Set(List::from(&*indices))
            }
            Value::Record(fields) => {
                let places =
                    self.arena.alloc_slice_fill_copy(fields.len(), abi::Field { name: "".into(), value: 0 });
                for (place, (name, value)) in places.iter_mut().zip(*fields) {
                    *place = abi::Field { name: (*name).into(), value: self.value(value) };
                }
                abi::Value::Record(List::from(&*places))
            }
        };
        self.values.push(value);
        self.values.len() as u32 - 1
    }
}
