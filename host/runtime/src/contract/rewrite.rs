//! From a rewrite in bytes, as `wit/FRAME.md` defines them, to the core type, in one pass.

use std::collections::BTreeSet;
use std::iter::{Copied, Map};
use std::slice::Iter;
use std::sync::Arc;

use tamis_contract::frame::{FrameError, Reader, Writer, tag};
use tamis_contract::rewrite::{node, operand};
use tamis_core::extension::IpNetwork;
use tamis_core::filter::{Attribute, Comparison, Filter, Operand, Test};
use tamis_core::manifest::FootprintAttribute;
use tamis_core::value::Record;
use tamis_core::{EntityUid, PolicyError, Rewrite, Value};

use super::tree::{EXPECTED, Node, PART, Room, Source, Tree};
use super::{broken, decode, filter};
use crate::error::Error;

/// The attributes that positions in a footprint stand for.
#[derive(Debug)]
pub(crate) struct Footprint {
    /// Each, and how much text it has.
    attributes: Vec<(Arc<Attribute>, usize)>,
    /// All of them, as a rewrite that needs all says it: in order.
    whole: (Vec<u8>, Arc<BTreeSet<Attribute>>),
}

impl Footprint {
    pub(crate) fn new(footprint: &[FootprintAttribute]) -> Self {
        let mut whole = Writer::default();
        whole.size(footprint.len());
        for position in 0..footprint.len() {
            whole.bytes.push(operand::FOOTPRINT);
            whole.size(position);
        }
        let attributes = footprint.iter().map(|entry| {
            let declared = entry.attribute.declared.as_ref().map_or(0, |declared| declared.to_string().len());
            let names = entry.attribute.path.iter().map(String::as_str);
            (Arc::new(entry.attribute.clone()), text_of(names) + declared)
        });
        let attributes: Vec<_> = attributes.collect();
        let needs = footprint.iter().map(|entry| entry.attribute.clone()).collect();
        Self { attributes, whole: (whole.bytes, Arc::new(needs)) }
    }
}

/// What the names of a path take up.
fn text_of<'a>(path: impl Iterator<Item = &'a str>) -> usize {
    path.map(|name| name.len() + PART).sum()
}

/// Reads what `rewrite-prepared` answered.
///
/// # Errors
/// [`Error::Contract`] if the bytes are not exactly a rewrite, [`Error::Limit`] if its filter is too deep or too large.
pub(crate) fn read_rewrite(bytes: &[u8], footprint: &Footprint) -> Result<Rewrite, Error> {
    let source = Bytes { size: bytes.len(), footprint };
    let reader = &mut Reader::new(bytes);
    let exact = match source.get(reader, Reader::byte)? {
        exact @ (0 | 1) => exact == 1,
        other => return Err(source.unknown(reader, "neither exact nor not", other)),
    };
    let (all, needs) = &footprint.whole;
    let needs = if reader.skip(all) { Arc::clone(needs) } else { Arc::new(source.needs(reader)?) };
    let mut errors = BTreeSet::new();
    for _ in 0..source.get(reader, Reader::size)? {
        let policy = source.get(reader, Reader::text)?.to_owned();
        errors.insert(PolicyError { policy, message: source.get(reader, Reader::text)?.to_owned() });
    }
    let mut partial = BTreeSet::new();
    for _ in 0..source.get(reader, Reader::size)? {
        partial.insert(source.get(reader, Reader::text)?.to_owned());
    }
    let filter = source.filter(reader)?;
    Ok(Rewrite { filter: filter.into(), exact, needs, errors, partial })
}

/// Where nodes are read from.
struct Bytes<'a> {
    /// How many bytes there are.
    size: usize,
    footprint: &'a Footprint,
}

/// The numbers of nodes, as they are written.
type Numbers<'a> = Map<Copied<Iter<'a, [u8; 4]>>, fn([u8; 4]) -> u32>;

impl<'a> Bytes<'a> {
    /// Reads what must be there.
    fn get<T>(
        &self,
        reader: &mut Reader<'a>,
        read: impl FnOnce(&mut Reader<'a>) -> Result<T, FrameError>,
    ) -> Result<T, Error> {
        let at = self.size - reader.left();
        read(reader).map_err(|FrameError| {
            broken(format!(
                "its rewrite is not in the contract's form: what begins at byte {at} is cut off or no text"
            ))
        })
    }

    /// Says that the byte before the reader has no meaning there.
    fn unknown(&self, reader: &Reader<'_>, what: &str, found: u8) -> Error {
        let at = self.size - reader.left() - 1;
        broken(format!("its rewrite is not in the contract's form: {found} at byte {at} is {what}"))
    }

    fn needs(&self, reader: &mut Reader<'a>) -> Result<BTreeSet<Attribute>, Error> {
        let mut needs = BTreeSet::new();
        // A position takes five bytes, and what it stands for may be large: none is read twice.
        let mut named = vec![false; self.footprint.attributes.len()];
        for _ in 0..self.get(reader, Reader::size)? {
            match self.get(reader, Reader::byte)? {
                operand::FOOTPRINT => {
                    let position = self.get(reader, Reader::size)?;
                    let (attribute, _) = self.known(position)?;
                    if named.get_mut(position).is_none_or(|named| std::mem::replace(named, true)) {
                        return Err(broken(format!("its rewrite needs attribute {position} twice")));
                    }
                    needs.insert((**attribute).clone());
                }
                operand::ATTRIBUTE => {
                    needs.insert(self.named(reader)?.0);
                }
                other => return Err(self.unknown(reader, "no attribute", other)),
            }
        }
        Ok(needs)
    }

    fn filter(self, reader: &mut Reader<'a>) -> Result<Filter, Error> {
        let (size, count) = (self.size, self.get(reader, Reader::size)?);
        let root = count.checked_sub(1).and_then(|root| u32::try_from(root).ok());
        let root = root.ok_or_else(|| broken("its filter has no nodes"))?;
        let mut tree = Tree::new(self, count);
        for _ in 0..count {
            tree.add(reader)?;
        }
        if !reader.is_empty() {
            let at = size - reader.left();
            return Err(broken(format!(
                "its rewrite is not in the contract's form: it ends at byte {at} of {size}"
            )));
        }
        tree.root(root)
    }

    /// The attribute at a position in the footprint, and how much text it has.
    fn known(&self, position: usize) -> Result<&(Arc<Attribute>, usize), Error> {
        self.footprint.attributes.get(position).ok_or_else(|| {
            broken(format!("its rewrite refers to attribute {position}, which its footprint has not"))
        })
    }

    /// An attribute with its path and type, and how much text it has.
    fn named(&self, reader: &mut Reader<'a>) -> Result<(Attribute, usize), Error> {
        let mut path = Vec::new();
        for _ in 0..self.get(reader, Reader::size)? {
            path.push(self.get(reader, Reader::text)?.to_owned());
        }
        let declared = self.get(reader, Reader::text)?;
        let text = text_of(path.iter().map(String::as_str)) + declared.len();
        Ok((decode::attribute_of(path, (!declared.is_empty()).then_some(declared))?, text))
    }

    /// An operand, and how much it takes up.
    fn operand(&self, reader: &mut Reader<'a>) -> Result<(Operand, usize), Error> {
        Ok(match self.get(reader, Reader::byte)? {
            operand::FOOTPRINT => {
                let (attribute, text) = self.known(self.get(reader, Reader::size)?)?;
                (Operand::Attribute(Arc::clone(attribute)), PART + text)
            }
            operand::ATTRIBUTE => {
                let (attribute, text) = self.named(reader)?;
                (Operand::Attribute(attribute.into()), PART + text)
            }
            operand::ENTITY_TYPE => (Operand::EntityType, 0),
            operand::ID => (Operand::Id, 0),
            operand::ANCESTORS => (Operand::Ancestors, 0),
            other => return Err(self.unknown(reader, "no operand", other)),
        })
    }

    /// The operand of a test.
    fn tested(&self, reader: &mut Reader<'a>, room: &mut Room) -> Result<Operand, Error> {
        let (operand, size) = self.operand(reader)?;
        room.take(size)?;
        Ok(operand)
    }

    fn values(&self, reader: &mut Reader<'a>, room: &mut Room) -> Result<Arc<[Value]>, Error> {
        let count = self.get(reader, Reader::size)?;
        let mut values = Vec::with_capacity(count.min(EXPECTED));
        for _ in 0..count {
            values.push(self.value(reader, 0, room)?);
        }
        Ok(values.into())
    }

    fn numbers(&self, reader: &mut Reader<'a>) -> Result<Numbers<'a>, Error> {
        let count = self.get(reader, Reader::size)?;
        let numbers: &[[u8; 4]] = self.get(reader, |reader| reader.arrays(count))?;
        Ok(numbers.iter().copied().map(u32::from_le_bytes as fn([u8; 4]) -> u32))
    }

    fn number(&self, reader: &mut Reader<'a>) -> Result<u32, Error> {
        let number = self.get(reader, Reader::size)?;
        Ok(u32::try_from(number).unwrap_or(u32::MAX))
    }

    fn value(&self, reader: &mut Reader<'a>, depth: usize, room: &mut Room) -> Result<Value, Error> {
        Room::check_depth(depth)?;
        room.take(PART)?;
        Ok(match self.get(reader, Reader::byte)? {
            tag::FALSE => Value::Bool(false),
            tag::TRUE => Value::Bool(true),
            tag::LONG => Value::Long(self.get(reader, Reader::number)?),
            tag::TEXT => Value::String(self.text(reader, room)?.to_owned()),
            tag::ENTITY => Value::Entity(EntityUid::new(self.text(reader, room)?, self.text(reader, room)?)),
            tag::DECIMAL => Value::Decimal(self.get(reader, Reader::number)?),
            tag::DATETIME => Value::Datetime(self.get(reader, Reader::number)?),
            tag::DURATION => Value::Duration(self.get(reader, Reader::number)?),
            tag::IPV4 => self.network(reader, 4)?,
            tag::IPV6 => self.network(reader, 16)?,
            tag::SET => {
                let mut set = BTreeSet::new();
                for _ in 0..self.get(reader, Reader::size)? {
                    if !set.insert(self.value(reader, depth + 1, room)?) {
                        return Err(broken("its filter has a set that holds a value twice"));
                    }
                }
                Value::Set(set)
            }
            tag::RECORD => {
                let mut record = Record::new();
                for _ in 0..self.get(reader, Reader::size)? {
                    let name = self.text(reader, room)?;
                    filter::insert(&mut record, name, self.value(reader, depth + 1, room)?)?;
                }
                Value::Record(record)
            }
            tag::ILL_TYPED => return Err(filter::ill_typed()),
            other => return Err(self.unknown(reader, "no value", other)),
        })
    }

    fn text(&self, reader: &mut Reader<'a>, room: &mut Room) -> Result<&'a str, Error> {
        let text = self.get(reader, Reader::text)?;
        room.take(text.len())?;
        Ok(text)
    }

    fn network(&self, reader: &mut Reader<'a>, size: usize) -> Result<Value, Error> {
        let address = self.get(reader, |reader| reader.take(size))?;
        let prefix = self.get(reader, Reader::byte)?;
        let network = IpNetwork::from_octets(address, prefix);
        network.map(Value::Ip).ok_or_else(|| self.unknown(reader, "no prefix of such an address", prefix))
    }
}

impl<'a> Source for Bytes<'a> {
    type Place = Reader<'a>;
    type Numbers = Numbers<'a>;

    fn read(&self, reader: &mut Reader<'a>, room: &mut Room) -> Result<Node<Numbers<'a>>, Error> {
        let tag = self.get(reader, Reader::byte)?;
        match tag {
            node::ALWAYS => return Ok(Node::Always),
            node::NEVER => return Ok(Node::Never),
            node::AND => return Ok(Node::And(self.numbers(reader)?)),
            node::OR => return Ok(Node::Or(self.numbers(reader)?)),
            node::NOT => return Ok(Node::Not(self.number(reader)?)),
            node::EXISTS..=node::STARTS_WITH => {}
            other => return Err(self.unknown(reader, "no node", other)),
        }
        let operand = self.tested(reader, room)?;
        let mut compared = |comparison| Ok(Test::Compare(comparison, self.value(reader, 0, room)?));
        let test = match tag {
            node::EXISTS => Test::Exists,
            node::READABLE => Test::Readable,
            node::LESS => compared(Comparison::Less)?,
            node::LESS_OR_EQUAL => compared(Comparison::LessOrEqual)?,
            node::GREATER => compared(Comparison::Greater)?,
            node::GREATER_OR_EQUAL => compared(Comparison::GreaterOrEqual)?,
            node::EQUALS => Test::Equals(self.value(reader, 0, room)?),
            node::ONE_OF => Test::OneOf(self.values(reader, room)?),
            node::CONTAINS_ANY => Test::ContainsAny(self.values(reader, room)?),
            node::CONTAINS_ALL => Test::ContainsAll(self.values(reader, room)?),
            _ => filter::starts_with(self.value(reader, 0, room)?)?,
        };
        Ok(Node::Test(operand, test))
    }
}

#[cfg(test)]
mod tests {
    use tamis_core::Filter;

    use super::*;
    use crate::frame::documented;

    fn level() -> FootprintAttribute {
        let attribute = Attribute { path: vec!["level".to_owned()], declared: Some("Long".parse().unwrap()) };
        FootprintAttribute { attribute, optional: false }
    }

    #[test]
    fn the_documented_rewrite_is_read() {
        let read = read_rewrite(&documented(3), &Footprint::new(&[level()])).unwrap();
        let text = r#"{"op":"and","args":[
            {"op":"less-or-equal","attr":["level"],"type":"Long","value":2},
            {"op":"not","arg":{"op":"contains-any","on":"ancestors","values":[{"__entity":{"type":"Folder","id":"archive"}}]}}]}"#;
        assert_eq!(*read.filter, Filter::from_json(text).unwrap());
        assert!(read.exact && read.errors.is_empty() && read.partial.is_empty());
        assert_eq!(*read.needs, [level().attribute].into());
        // Without a footprint there is no such attribute.
        assert!(read_rewrite(&documented(3), &Footprint::new(&[])).is_err());
    }

    #[test]
    fn what_is_not_exactly_a_rewrite_is_refused() {
        let (bytes, footprint) = (documented(3), Footprint::new(&[level()]));
        for end in 0..bytes.len() {
            let error = read_rewrite(&bytes[..end], &footprint).unwrap_err();
            assert!(matches!(error, Error::Contract(_)), "cut at {end}: {error}");
        }
        assert!(read_rewrite(&[&bytes[..], &[0]].concat(), &footprint).is_err());
        // Nothing that one wrong byte makes of it ends the host.
        for at in 0..bytes.len() {
            for wrong in 0..=255 {
                let mut bytes = bytes.clone();
                bytes[at] = wrong;
                let _ = read_rewrite(&bytes, &footprint);
            }
        }
    }
}
