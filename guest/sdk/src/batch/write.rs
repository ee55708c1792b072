//! Rewrites from the contract's flattened lists into bytes.

use tamis_contract::extension::IpNetwork as ReadNetwork;
use tamis_contract::frame::{FrameError, Writer, tag};
use tamis_contract::rewrite::{node, operand};

use crate::bindings::tamis::policy::gates::{
    Attribute, Comparison, Filter, Manifest, Membership, Node, Operand, Rewrite, Value,
};

/// Writes a rewrite as `FRAME.md` defines it.
///
/// # Errors
/// If a part of it refers to one that is not before it.
pub(crate) fn rewrite(manifest: &Manifest, rewrite: &Rewrite) -> Result<Vec<u8>, FrameError> {
    let mut writer = Writer::default();
    writer.bytes.push(u8::from(rewrite.exact));
    writer.size(rewrite.needs.len());
    rewrite.needs.iter().for_each(|needed| attribute(&mut writer, manifest, needed));
    writer.size(rewrite.errors.len());
    for error in &rewrite.errors {
        writer.text(&error.policy);
        writer.text(&error.message);
    }
    writer.size(rewrite.partial.len());
    rewrite.partial.iter().for_each(|rule| writer.text(rule));
    filter(&mut writer, manifest, &rewrite.filter)?;
    Ok(writer.bytes)
}

/// The nodes up to the root: it refers to none behind it.
fn filter(writer: &mut Writer, manifest: &Manifest, filter: &Filter) -> Result<(), FrameError> {
    let root = filter.root as usize;
    let nodes = filter.nodes.get(..=root).ok_or(FrameError)?;
    writer.size(nodes.len());
    let mut writing = Writing { writer, manifest, filter };
    nodes.iter().enumerate().try_for_each(|(position, node)| writing.node(position, node))
}

fn attribute(writer: &mut Writer, manifest: &Manifest, attribute: &Attribute) {
    match manifest.footprint.iter().position(|entry| entry.attribute == *attribute) {
        Some(position) => {
            writer.bytes.push(operand::FOOTPRINT);
            writer.size(position);
        }
        None => {
            writer.bytes.push(operand::ATTRIBUTE);
            writer.size(attribute.path.len());
            attribute.path.iter().for_each(|name| writer.text(name));
            writer.text(attribute.value_type.as_deref().unwrap_or_default());
        }
    }
}

struct Writing<'a> {
    writer: &'a mut Writer,
    manifest: &'a Manifest,
    filter: &'a Filter,
}

impl Writing<'_> {
    fn node(&mut self, position: usize, node: &Node) -> Result<(), FrameError> {
        match node {
            Node::Always => self.writer.bytes.push(node::ALWAYS),
            Node::Never => self.writer.bytes.push(node::NEVER),
            Node::And(parts) => return self.parts(node::AND, position, parts),
            Node::Or(parts) => return self.parts(node::OR, position, parts),
            Node::Not(part) => {
                self.writer.bytes.push(node::NOT);
                self.writer.size(before(*part, position)?);
            }
            Node::Exists(operand) => return self.operand(node::EXISTS, *operand),
            Node::Readable(operand) => return self.operand(node::READABLE, *operand),
            Node::Equals(test) => return self.comparison(node::EQUALS, test),
            Node::OneOf(test) => return self.membership(node::ONE_OF, test),
            Node::Less(test) => return self.comparison(node::LESS, test),
            Node::LessOrEqual(test) => return self.comparison(node::LESS_OR_EQUAL, test),
            Node::Greater(test) => return self.comparison(node::GREATER, test),
            Node::GreaterOrEqual(test) => return self.comparison(node::GREATER_OR_EQUAL, test),
            Node::ContainsAny(test) => return self.membership(node::CONTAINS_ANY, test),
            Node::ContainsAll(test) => return self.membership(node::CONTAINS_ALL, test),
            Node::StartsWith(test) => return self.comparison(node::STARTS_WITH, test),
        }
        Ok(())
    }

    fn parts(&mut self, tag: u8, position: usize, parts: &[u32]) -> Result<(), FrameError> {
        self.writer.head(tag, parts.len());
        for part in parts {
            self.writer.size(before(*part, position)?);
        }
        Ok(())
    }

    /// The head of a test.
    fn operand(&mut self, tag: u8, index: u32) -> Result<(), FrameError> {
        self.writer.bytes.push(tag);
        match self.filter.operands.get(index as usize).ok_or(FrameError)? {
            Operand::Attribute(tested) => attribute(self.writer, self.manifest, tested),
            Operand::EntityType => self.writer.bytes.push(operand::ENTITY_TYPE),
            Operand::Id => self.writer.bytes.push(operand::ID),
            Operand::Ancestors => self.writer.bytes.push(operand::ANCESTORS),
        }
        Ok(())
    }

    fn comparison(&mut self, tag: u8, test: &Comparison) -> Result<(), FrameError> {
        self.operand(tag, test.operand)?;
        self.value(test.value, self.filter.values.len())
    }

    fn membership(&mut self, tag: u8, test: &Membership) -> Result<(), FrameError> {
        self.operand(tag, test.operand)?;
        self.writer.size(test.values.len());
        test.values.iter().try_for_each(|index| self.value(*index, self.filter.values.len()))
    }

    /// A value, which must come before `bound`.
    fn value(&mut self, index: u32, bound: usize) -> Result<(), FrameError> {
        let position = before(index, bound)?;
        let filter = self.filter;
        match filter.values.get(position).ok_or(FrameError)? {
            Value::Boolean(value) => self.writer.boolean(*value),
            Value::Long(number) => self.writer.number(tag::LONG, *number),
            Value::Text(text) => self.writer.tagged_text(tag::TEXT, text),
            Value::Entity(uid) => self.writer.entity(&uid.entity_type, &uid.id),
            Value::Decimal(number) => self.writer.number(tag::DECIMAL, *number),
            Value::Datetime(number) => self.writer.number(tag::DATETIME, *number),
            Value::Duration(number) => self.writer.number(tag::DURATION, *number),
            Value::Ip(network) => {
                let network = ReadNetwork::from_octets(&network.address, network.prefix);
                self.writer.network(&network.ok_or(FrameError)?);
            }
            Value::Set(elements) => {
                self.writer.head(tag::SET, elements.len());
                elements.iter().try_for_each(|element| self.value(*element, position))?;
            }
            Value::Record(fields) => {
                self.writer.head(tag::RECORD, fields.len());
                for field in fields {
                    self.writer.text(&field.name);
                    self.value(field.value, position)?;
                }
            }
            Value::IllTyped(reason) => self.writer.tagged_text(tag::ILL_TYPED, reason),
        }
        Ok(())
    }
}

/// An index that must be lower than `bound`.
fn before(index: u32, bound: usize) -> Result<usize, FrameError> {
    let index = index as usize;
    if index < bound { Ok(index) } else { Err(FrameError) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::Attribute as Declared;
    use crate::bindings::tamis::policy::gates::EntityUid;

    const LEVEL: Declared = Declared::new(&["level"], "Long");

    /// The bytes of the rewrite in `FRAME.md`: hexadecimal, then two spaces and what they say.
    fn documented() -> Vec<u8> {
        let text = include_str!("../../../../wit/FRAME.md");
        let block = text.split("```hex\n").nth(3).unwrap().split("```").next().unwrap();
        let digits = block.lines().flat_map(|line| line.split("  ").next().unwrap().split_whitespace());
        digits.map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
    }

    fn archive() -> Value {
        Value::Entity(EntityUid { entity_type: "Folder".to_owned(), id: "archive".to_owned() })
    }

    /// What is documented, with more than is asked for behind the root.
    fn rewritten() -> Rewrite {
        Rewrite {
            filter: Filter {
                root: 3,
                nodes: vec![
                    Node::LessOrEqual(Comparison { operand: 1, value: 1 }),
                    Node::ContainsAny(Membership { operand: 0, values: vec![0] }),
                    Node::Not(1),
                    Node::And(vec![0, 2]),
                    Node::Always,
                ],
                operands: vec![Operand::Ancestors, Operand::Attribute(LEVEL.to_contract())],
                values: vec![archive(), Value::Long(2)],
            },
            exact: true,
            needs: vec![LEVEL.to_contract()],
            errors: Vec::new(),
            partial: Vec::new(),
        }
    }

    #[test]
    fn the_documented_rewrite_is_what_is_written() {
        let manifest = Manifest::of("test").reads(LEVEL);
        assert_eq!(rewrite(&manifest, &rewritten()).unwrap(), documented());
        // What the footprint does not have is written out.
        let bytes = rewrite(&Manifest::of("test"), &rewritten()).unwrap();
        assert!(bytes.windows(5).any(|window| window == b"level") && !documented().contains(&b'L'));
    }

    #[test]
    fn what_refers_to_nothing_before_it_is_not_written() {
        let broken: [fn(&mut Filter); 7] = [
            |filter| filter.root = 5,
            |filter| filter.operands.truncate(1),
            |filter| filter.values.truncate(1),
            |filter| filter.nodes[2] = Node::Not(2),
            |filter| filter.nodes[3] = Node::And(vec![0, 3]),
            |filter| filter.values[0] = Value::Set(vec![0]),
            |filter| filter.values[0] = Value::Set(vec![1]),
        ];
        for (number, break_it) in broken.iter().enumerate() {
            let mut rewritten = rewritten();
            break_it(&mut rewritten.filter);
            assert!(rewrite(&Manifest::of("test").reads(LEVEL), &rewritten).is_err(), "{number}");
        }
        let mut nested = rewritten();
        nested.filter.values = vec![archive(), Value::Long(2), Value::Set(vec![0, 1])];
        nested.filter.nodes[0] = Node::Equals(Comparison { operand: 1, value: 2 });
        assert!(rewrite(&Manifest::of("test").reads(LEVEL), &nested).is_ok());
    }
}
