//! From the contract's flattened filter to a tree.

use std::collections::BTreeSet;
use std::iter::Copied;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::slice::Iter;
use std::sync::Arc;

use tamis_core::extension::IpNetwork;
use tamis_core::filter::{Comparison, Filter, Operand, Test};
use tamis_core::value::Record;
use tamis_core::{EntityUid, Value};

use super::tree::{Node, PART, Room, Source, Tree};
use super::{broken, decode, gates};
use crate::error::Error;

/// The tree of a filter.
pub(super) fn filter(raw: &gates::Filter) -> Result<Filter, Error> {
    let operands = raw.operands.iter().map(operand).collect::<Result<_, _>>()?;
    let mut tree = Tree::new(Records { raw, operands }, raw.nodes.len());
    for mut node in &raw.nodes {
        tree.add(&mut node)?;
    }
    tree.root(raw.root)
}

fn operand(raw: &gates::Operand) -> Result<Operand, Error> {
    Ok(match raw {
        gates::Operand::Attribute(raw) => Operand::Attribute(decode::attribute(raw.clone())?.into()),
        gates::Operand::EntityType => Operand::EntityType,
        gates::Operand::Id => Operand::Id,
        gates::Operand::Ancestors => Operand::Ancestors,
    })
}

/// The records of a filter.
struct Records<'a> {
    raw: &'a gates::Filter,
    /// Read once, however many tests there are of each.
    operands: Vec<Operand>,
}

impl<'a> Source for Records<'a> {
    type Place = &'a gates::Node;
    type Numbers = Copied<Iter<'a, u32>>;

    fn read(&self, place: &mut &'a gates::Node, room: &mut Room) -> Result<Node<Self::Numbers>, Error> {
        let comparison = |comparison| move |value| Test::Compare(comparison, value);
        Ok(match *place {
            gates::Node::Always => Node::Always,
            gates::Node::Never => Node::Never,
            gates::Node::And(numbers) => Node::And(numbers.iter().copied()),
            gates::Node::Or(numbers) => Node::Or(numbers.iter().copied()),
            gates::Node::Not(number) => Node::Not(*number),
            gates::Node::Exists(operand) => Node::Test(self.operand(*operand, room)?, Test::Exists),
            gates::Node::Readable(operand) => Node::Test(self.operand(*operand, room)?, Test::Readable),
            gates::Node::Equals(raw) => self.comparison(raw, room, Test::Equals)?,
            gates::Node::Less(raw) => self.comparison(raw, room, comparison(Comparison::Less))?,
            gates::Node::LessOrEqual(raw) => {
                self.comparison(raw, room, comparison(Comparison::LessOrEqual))?
            }
            gates::Node::Greater(raw) => self.comparison(raw, room, comparison(Comparison::Greater))?,
            gates::Node::GreaterOrEqual(raw) => {
                self.comparison(raw, room, comparison(Comparison::GreaterOrEqual))?
            }
            gates::Node::OneOf(raw) => self.membership(raw, room, Test::OneOf)?,
            gates::Node::ContainsAny(raw) => self.membership(raw, room, Test::ContainsAny)?,
            gates::Node::ContainsAll(raw) => self.membership(raw, room, Test::ContainsAll)?,
            gates::Node::StartsWith(raw) => {
                let value = self.value(raw.value, self.raw.values.len(), 0, room)?;
                Node::Test(self.operand(raw.operand, room)?, starts_with(value)?)
            }
        })
    }
}

/// The test whether a text begins with a value, which must be one.
pub(super) fn starts_with(value: Value) -> Result<Test, Error> {
    match value {
        Value::String(prefix) => Ok(Test::StartsWith(prefix)),
        value => Err(broken(format!("its filter has a prefix of type {}", value.kind()))),
    }
}

pub(super) fn ill_typed() -> Error {
    broken("its filter compares with an ill-typed value")
}

/// Adds a field to a record, which must not have it.
pub(super) fn insert(record: &mut Record, name: &str, value: Value) -> Result<(), Error> {
    match record.insert(name.to_owned(), value) {
        None => Ok(()),
        Some(_) => Err(broken(format!("its filter has a record with two fields `{name}`"))),
    }
}

impl Records<'_> {
    fn comparison<I>(
        &self,
        raw: &gates::Comparison,
        room: &mut Room,
        test: impl Fn(Value) -> Test,
    ) -> Result<Node<I>, Error> {
        let value = self.value(raw.value, self.raw.values.len(), 0, room)?;
        Ok(Node::Test(self.operand(raw.operand, room)?, test(value)))
    }

    fn membership<I>(
        &self,
        raw: &gates::Membership,
        room: &mut Room,
        test: impl Fn(Arc<[Value]>) -> Test,
    ) -> Result<Node<I>, Error> {
        let bound = self.raw.values.len();
        let values = raw.values.iter().map(|index| self.value(*index, bound, 0, room));
        let values = values.collect::<Result<Vec<_>, _>>()?;
        Ok(Node::Test(self.operand(raw.operand, room)?, test(values.into())))
    }

    fn operand(&self, index: u32, room: &mut Room) -> Result<Operand, Error> {
        let position = index as usize;
        if let Some(gates::Operand::Attribute(raw)) = self.raw.operands.get(position) {
            let text = raw.path.iter().map(|name| name.len() + PART).sum::<usize>();
            room.take(PART + text + raw.value_type.as_ref().map_or(0, String::len))?;
        }
        let operand = self.operands.get(position).cloned();
        operand.ok_or_else(|| broken(format!("its filter refers to operand {index}, which is not there")))
    }

    /// The value at `index`, which must lie below `bound`.
    fn value(&self, index: u32, bound: usize, depth: usize, room: &mut Room) -> Result<Value, Error> {
        Room::check_depth(depth)?;
        let position = index as usize;
        let value = self.raw.values.get(position).filter(|_| position < bound);
        let value = value
            .ok_or_else(|| broken(format!("its filter refers to value {index}, which is not before it")))?;
        room.take(PART + text_of(value))?;
        Ok(match value {
            gates::Value::Boolean(value) => Value::Bool(*value),
            gates::Value::Long(value) => Value::Long(*value),
            gates::Value::Text(text) => Value::String(text.clone()),
            gates::Value::Entity(uid) => {
                Value::Entity(EntityUid::new(uid.entity_type.clone(), uid.id.clone()))
            }
            gates::Value::Decimal(value) => Value::Decimal(*value),
            gates::Value::Datetime(value) => Value::Datetime(*value),
            gates::Value::Duration(value) => Value::Duration(*value),
            gates::Value::Ip(network) => Value::Ip(ip_network(network)?),
            gates::Value::Set(elements) => {
                let mut set = BTreeSet::new();
                for element in elements {
                    set.insert(self.value(*element, position, depth + 1, room)?);
                }
                Value::Set(set)
            }
            gates::Value::Record(fields) => {
                let mut record = Record::new();
                for field in fields {
                    let value = self.value(field.value, position, depth + 1, room)?;
                    insert(&mut record, &field.name, value)?;
                }
                Value::Record(record)
            }
            gates::Value::IllTyped(_) => return Err(ill_typed()),
        })
    }
}

/// Bytes of text in a value itself, and room for references to others.
fn text_of(value: &gates::Value) -> usize {
    match value {
        gates::Value::Text(text) | gates::Value::IllTyped(text) => text.len(),
        gates::Value::Entity(uid) => uid.entity_type.len() + uid.id.len(),
        gates::Value::Record(fields) => fields.iter().map(|field| field.name.len()).sum(),
        _ => 0,
    }
}

fn ip_network(raw: &gates::IpNetwork) -> Result<IpNetwork, Error> {
    let address = if let Ok(octets) = <[u8; 4]>::try_from(raw.address.as_slice()) {
        IpAddr::V4(Ipv4Addr::from(octets))
    } else if let Ok(octets) = <[u8; 16]>::try_from(raw.address.as_slice()) {
        IpAddr::V6(Ipv6Addr::from(octets))
    } else {
        return Err(broken(format!("its filter has an ip address of {} bytes", raw.address.len())));
    };
    IpNetwork::new(address, raw.prefix).map_err(|error| broken(error.to_string()))
}
