//! Rewrites in bytes, read by the letter of `FRAME.md` and with nothing of the host's: nodes first, then the tree.

use tamis_core::extension::IpNetwork;
use tamis_core::filter::{Attribute, Comparison, Operand, Test};
use tamis_core::manifest::FootprintAttribute;
use tamis_core::{EntityUid, Filter, Value};

/// A rewrite, with everything in the order in which it stands there.
#[derive(Clone, Debug, PartialEq)]
pub struct Narrow {
    /// Whether the filter matches no more than is allowed.
    pub exact: bool,
    /// What the gate needs.
    pub needs: Vec<Attribute>,
    /// Rules that failed, and why.
    pub errors: Vec<(String, String)>,
    /// Rules that are said only in part.
    pub partial: Vec<String>,
    /// The filter.
    pub filter: Filter,
}

/// Reads a rewrite of a policy with this footprint.
///
/// # Errors
///
/// Says what is not as `FRAME.md` has it.
pub fn read(bytes: &[u8], footprint: &[FootprintAttribute]) -> Result<Narrow, String> {
    let mut left = Left { bytes, footprint };
    let exact = match left.byte()? {
        0 => false,
        1 => true,
        other => return Err(format!("exact is {other}")),
    };
    let needs = left.several(|left| match left.operand()? {
        Operand::Attribute(attribute) => Ok((*attribute).clone()),
        other => Err(format!("it needs {other:?}")),
    })?;
    let errors = left.several(|left| Ok((left.text()?, left.text()?)))?;
    let partial = left.several(Left::text)?;
    let nodes = left.several(Left::node)?;
    if !left.bytes.is_empty() {
        return Err(format!("{} bytes are left", left.bytes.len()));
    }
    let root = nodes.len().checked_sub(1).ok_or("there are no nodes")?;
    Ok(Narrow { exact, needs, errors, partial, filter: tree(&nodes, root)? })
}

enum Node {
    Constant(bool),
    All(Vec<usize>),
    Any(Vec<usize>),
    Not(usize),
    Test(Operand, Test),
}

fn tree(nodes: &[Node], index: usize) -> Result<Filter, String> {
    let part = |part: &usize| {
        if *part < index { tree(nodes, *part) } else { Err(format!("node {index} refers to {part}")) }
    };
    let parts = |all: &[usize]| all.iter().map(part).collect::<Result<Vec<_>, _>>();
    Ok(match nodes.get(index).ok_or("no such node")? {
        Node::Constant(true) => Filter::Always,
        Node::Constant(false) => Filter::Never,
        Node::All(all) => Filter::And(parts(all)?),
        Node::Any(all) => Filter::Or(parts(all)?),
        Node::Not(inner) => Filter::Not(Box::new(part(inner)?)),
        Node::Test(operand, test) => Filter::Test(operand.clone(), test.clone()),
    })
}

/// What was not read yet.
struct Left<'a> {
    bytes: &'a [u8],
    footprint: &'a [FootprintAttribute],
}

impl Left<'_> {
    fn take(&mut self, count: usize) -> Result<Vec<u8>, String> {
        let (taken, left) = self.bytes.split_at_checked(count).ok_or("it ends too early")?;
        self.bytes = left;
        Ok(taken.to_vec())
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    fn size(&mut self) -> Result<usize, String> {
        let bytes = self.take(4)?;
        Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    fn number(&mut self) -> Result<i64, String> {
        Ok(i64::from_le_bytes(self.take(8)?.try_into().unwrap()))
    }

    fn text(&mut self) -> Result<String, String> {
        let size = self.size()?;
        String::from_utf8(self.take(size)?).map_err(|error| error.to_string())
    }

    fn several<T>(&mut self, mut read: impl FnMut(&mut Self) -> Result<T, String>) -> Result<Vec<T>, String> {
        (0..self.size()?).map(|_| read(self)).collect()
    }

    fn node(&mut self) -> Result<Node, String> {
        let tag = self.byte()?;
        Ok(match tag {
            0 => Node::Constant(true),
            1 => Node::Constant(false),
            2 => Node::All(self.several(Self::size)?),
            3 => Node::Any(self.several(Self::size)?),
            4 => Node::Not(self.size()?),
            _ => {
                let operand = self.operand()?;
                Node::Test(operand, self.test(tag)?)
            }
        })
    }

    fn test(&mut self, tag: u8) -> Result<Test, String> {
        Ok(match tag {
            5 => Test::Exists,
            6 => Test::Readable,
            7 => Test::Equals(self.value()?),
            8 => Test::OneOf(self.several(Self::value)?.into()),
            9 => Test::Compare(Comparison::Less, self.value()?),
            10 => Test::Compare(Comparison::LessOrEqual, self.value()?),
            11 => Test::Compare(Comparison::Greater, self.value()?),
            12 => Test::Compare(Comparison::GreaterOrEqual, self.value()?),
            13 => Test::ContainsAny(self.several(Self::value)?.into()),
            14 => Test::ContainsAll(self.several(Self::value)?.into()),
            15 => match self.value()? {
                Value::String(prefix) => Test::StartsWith(prefix),
                other => return Err(format!("a prefix is {other:?}")),
            },
            other => return Err(format!("a node has the tag {other}")),
        })
    }

    fn operand(&mut self) -> Result<Operand, String> {
        Ok(match self.byte()? {
            0 => {
                let position = self.size()?;
                let entry = self.footprint.get(position).ok_or(format!("no attribute {position}"))?;
                Operand::Attribute(entry.attribute.clone().into())
            }
            1 => {
                let path = self.several(Self::text)?;
                let declared = match self.text()?.as_str() {
                    "" => None,
                    text => Some(text.parse().map_err(|error| format!("{error}"))?),
                };
                Operand::Attribute(Attribute { path, declared }.into())
            }
            2 => Operand::EntityType,
            3 => Operand::Id,
            4 => Operand::Ancestors,
            other => return Err(format!("an operand has the tag {other}")),
        })
    }

    fn value(&mut self) -> Result<Value, String> {
        Ok(match self.byte()? {
            0 => Value::Bool(false),
            1 => Value::Bool(true),
            2 => Value::Long(self.number()?),
            3 => Value::String(self.text()?),
            4 => Value::Entity(EntityUid::new(self.text()?, self.text()?)),
            5 => Value::Decimal(self.number()?),
            6 => Value::Datetime(self.number()?),
            7 => Value::Duration(self.number()?),
            8 => self.network(4)?,
            9 => self.network(16)?,
            10 => Value::Set(self.several(Self::value)?.into_iter().collect()),
            11 => {
                Value::Record(self.several(|left| Ok((left.text()?, left.value()?)))?.into_iter().collect())
            }
            other => return Err(format!("a value has the tag {other}")),
        })
    }

    fn network(&mut self, size: usize) -> Result<Value, String> {
        let address = self.take(size)?;
        let network = IpNetwork::from_octets(&address, self.byte()?).ok_or("no network")?;
        Ok(Value::Ip(network))
    }
}
