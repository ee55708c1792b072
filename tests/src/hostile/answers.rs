//! The records of the contract that a policy answers with, built from parts that need not be valid.

use super::abi::{Abi, numbers, text};

/// What `describe` answers.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The version of the contract.
    pub contract: Abi,
    /// See [`footprint`].
    pub footprint: Abi,
}

/// What `filter-chunk` answers.
#[derive(Clone, Debug)]
pub struct Decision {
    /// A bool.
    pub allow: Abi,
    /// Strings.
    pub reasons: Abi,
    /// See [`policy_error`].
    pub errors: Abi,
    /// Lists of strings.
    pub redact: Abi,
    /// A bool.
    pub redact_text: Abi,
}

/// What `rewrite-query` answers.
#[derive(Clone, Debug)]
pub struct Rewrite {
    /// Index of a node.
    pub root: u32,
    /// See [`node`].
    pub nodes: Vec<Abi>,
    /// See [`operand`].
    pub operands: Vec<Abi>,
    /// See [`value`].
    pub values: Vec<Abi>,
    /// See [`attribute`].
    pub needs: Vec<Abi>,
}

impl Manifest {
    /// Reads nothing.
    pub fn good() -> Self {
        Self { contract: text("0.1.0"), footprint: Abi::List(vec![]) }
    }

    pub(super) fn abi(&self) -> Abi {
        let (name, policies, can_rewrite) = (text("hostile"), Abi::List(vec![]), Abi::U8(1));
        let (source_digest, schema_digest, producer) = (text(""), text(""), text("tests"));
        let (contract, footprint) = (self.contract.clone(), self.footprint.clone());
        Abi::Record(vec![
            contract,
            name,
            footprint,
            policies,
            can_rewrite,
            source_digest,
            schema_digest,
            producer,
        ])
    }
}

impl Decision {
    /// Allows, so that whatever goes unnoticed shows.
    pub fn allow() -> Self {
        let none = Abi::List(vec![]);
        let (reasons, errors) = (none.clone(), none.clone());
        Self { allow: Abi::U8(1), reasons, errors, redact: none, redact_text: Abi::U8(0) }
    }

    /// Denies.
    pub fn deny() -> Self {
        Self { allow: Abi::U8(0), ..Self::allow() }
    }

    pub(super) fn abi(&self) -> Abi {
        let Self { allow, reasons, errors, redact, redact_text } = self.clone();
        Abi::Record(vec![allow, reasons, errors, redact, redact_text])
    }
}

impl Rewrite {
    /// A filter of `nodes`, the last of which is the root.
    pub fn of(nodes: Vec<Abi>) -> Self {
        let root = u32::try_from(nodes.len()).unwrap().saturating_sub(1);
        Self { root, nodes, operands: vec![operand::id()], values: vec![], needs: vec![] }
    }

    /// A filter that looks at `values` through `node`.
    pub fn of_values(node: Abi, values: Vec<Abi>) -> Self {
        Self { values, ..Self::of(vec![node]) }
    }

    pub(super) fn abi(&self) -> Abi {
        let Self { root, nodes, operands, values, needs } = self.clone();
        let filter =
            Abi::Record(vec![Abi::U32(root), Abi::List(nodes), Abi::List(operands), Abi::List(values)]);
        Abi::Record(vec![filter, Abi::U8(0), Abi::List(needs), Abi::List(vec![]), Abi::List(vec![])])
    }
}

/// A path and perhaps the notation of a type.
pub type Entry<'a> = (&'a [&'a str], Option<&'a str>);

/// The footprint of `entries`, all optional.
pub fn footprint(entries: &[Entry<'_>]) -> Abi {
    let entry = |(path, value_type): &Entry<'_>| Abi::Record(vec![attribute(path, *value_type), Abi::U8(1)]);
    Abi::List(entries.iter().map(entry).collect())
}

/// A path and the notation of a type.
pub fn attribute(path: &[&str], value_type: Option<&str>) -> Abi {
    let value_type = value_type.map_or_else(|| option(0, Abi::Record(vec![])), |name| option(1, text(name)));
    Abi::Record(vec![super::abi::texts(path), value_type])
}

/// An optional string, whose discriminant should be 0 or 1.
pub fn option(case: u8, payload: Abi) -> Abi {
    Abi::Case { case, payload: Box::new(payload), size: 12, align: 4 }
}

/// A rule that failed.
pub fn policy_error(policy: &str, message: &str) -> Abi {
    Abi::Record(vec![text(policy), text(message)])
}

/// A column of a frame: the case of its source, the attribute if it is one, and the case of its form.
pub fn column(source: u8, attribute: u32, form: u8) -> Abi {
    let source = Abi::Case { case: source, payload: Box::new(Abi::U32(attribute)), size: 8, align: 4 };
    Abi::Record(vec![source, Abi::U8(form)])
}

/// Operands of a filter.
pub mod operand {
    use super::Abi;

    /// Any case, the contract's or not.
    pub fn case(case: u8, payload: Abi) -> Abi {
        Abi::Case { case, payload: Box::new(payload), size: 24, align: 4 }
    }

    /// An attribute: see [`super::attribute`].
    pub fn attribute(path: &[&str], value_type: Option<&str>) -> Abi {
        case(0, super::attribute(path, value_type))
    }

    /// The chunk's uid.
    pub fn id() -> Abi {
        case(2, Abi::Record(vec![]))
    }
}

/// Nodes of a filter.
pub mod node {
    use super::{Abi, numbers};

    /// Any case, the contract's or not.
    pub fn case(case: u8, payload: Abi) -> Abi {
        Abi::Case { case, payload: Box::new(payload), size: 16, align: 4 }
    }

    /// Matches everything.
    pub fn always() -> Abi {
        case(0, Abi::Record(vec![]))
    }

    /// Matches what all nodes match.
    pub fn and(nodes: &[u32]) -> Abi {
        case(2, numbers(nodes))
    }

    /// Matches what one of the nodes matches.
    pub fn or(nodes: &[u32]) -> Abi {
        case(3, numbers(nodes))
    }

    /// Matches what a node does not.
    pub fn not(node: u32) -> Abi {
        case(4, Abi::U32(node))
    }

    /// The operand is present.
    pub fn exists(operand: u32) -> Abi {
        case(5, Abi::U32(operand))
    }

    /// Operand 0 equals the value.
    pub fn equals(value: u32) -> Abi {
        case(7, Abi::Record(vec![Abi::U32(0), Abi::U32(value)]))
    }

    /// Operand 0 equals one of the values.
    pub fn one_of(values: &[u32]) -> Abi {
        case(8, Abi::Record(vec![Abi::U32(0), numbers(values)]))
    }

    /// Operand 0 begins with the value.
    pub fn starts_with(value: u32) -> Abi {
        case(15, Abi::Record(vec![Abi::U32(0), Abi::U32(value)]))
    }
}

/// Values of a filter.
pub mod value {
    use super::{Abi, numbers, text};

    /// Any case, the contract's or not.
    pub fn case(case: u8, payload: Abi) -> Abi {
        Abi::Case { case, payload: Box::new(payload), size: 24, align: 8 }
    }

    /// A number.
    pub fn long(number: i64) -> Abi {
        case(1, Abi::S64(number))
    }

    /// A string.
    pub fn string(content: &str) -> Abi {
        case(2, text(content))
    }

    /// The identity of an entity.
    pub fn entity(entity_type: &str, id: &str) -> Abi {
        case(3, Abi::Record(vec![text(entity_type), text(id)]))
    }

    /// An address and the length of its prefix.
    pub fn ip(address: &[u8], prefix: u8) -> Abi {
        let address = Abi::List(address.iter().map(|byte| Abi::U8(*byte)).collect());
        case(7, Abi::Record(vec![address, Abi::U8(prefix)]))
    }

    /// A set of other values.
    pub fn set(values: &[u32]) -> Abi {
        case(8, numbers(values))
    }

    /// A record of other values.
    pub fn record(fields: &[(&str, u32)]) -> Abi {
        let field = |(name, value): &(&str, u32)| Abi::Record(vec![text(name), Abi::U32(*value)]);
        case(9, Abi::List(fields.iter().map(field).collect()))
    }

    /// A value that cannot be read.
    pub fn ill_typed(reason: &str) -> Abi {
        case(10, text(reason))
    }
}

/// What `rewrite-prepared` answers, valid or not.
pub mod bytes {
    use tamis_contract::frame::{Writer, tag};
    use tamis_contract::rewrite::{node, operand};

    /// The node that matches everything.
    pub const ALWAYS: &[u8] = &[node::ALWAYS];

    /// What stands in front of the nodes: inexact, needing nothing, nothing failed, nothing partial.
    pub const HEAD: [u8; 13] = [0; 13];

    /// A rewrite whose filter has these nodes.
    pub fn rewrite<N: AsRef<[u8]>>(nodes: &[N]) -> Vec<u8> {
        rewrite_with(&HEAD, nodes)
    }

    /// A rewrite whose filter has these nodes, with what stands in front of them.
    pub fn rewrite_with<N: AsRef<[u8]>>(head: &[u8], nodes: &[N]) -> Vec<u8> {
        let mut writer = Writer { bytes: head.to_vec() };
        writer.size(nodes.len());
        nodes.iter().for_each(|node| writer.bytes.extend(node.as_ref()));
        writer.bytes
    }

    /// Any byte, then numbers.
    pub fn numbers(tag: u8, numbers: &[u32]) -> Vec<u8> {
        let numbers = numbers.iter().flat_map(|number| number.to_le_bytes());
        std::iter::once(tag).chain(numbers).collect()
    }

    /// A node of that kind with these parts: `and` or `or`.
    pub fn parts(tag: u8, parts: &[u32]) -> Vec<u8> {
        numbers(tag, &[&[u32::try_from(parts.len()).unwrap()], parts].concat())
    }

    /// A test of an operand, and what follows.
    pub fn test(tag: u8, operand: &[u8], rest: &[u8]) -> Vec<u8> {
        [&[tag], operand, rest].concat()
    }

    /// A test of the chunk's id.
    pub fn of_id(tag: u8, rest: &[u8]) -> Vec<u8> {
        test(tag, &[operand::ID], rest)
    }

    /// An attribute that is not named by its position.
    pub fn attribute(path: &[&str], declared: &str) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.head(operand::ATTRIBUTE, path.len());
        path.iter().for_each(|name| writer.text(name));
        writer.text(declared);
        writer.bytes
    }

    /// A text as a value.
    pub fn text(text: &str) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.tagged_text(tag::TEXT, text);
        writer.bytes
    }
}
