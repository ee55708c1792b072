//! From what a policy answered to core types. Nothing in it is trusted: every index is checked, and shared parts
//! cannot be used to make a small answer unfold into a huge one.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tamis_contract::{MAX_FOOTPRINT, VERSION};
use tamis_core::extension::IpNetwork;
use tamis_core::filter::{Attribute, Comparison, Filter, MAX_DEPTH, Operand, Test};
use tamis_core::manifest::{FootprintAttribute, Manifest, PolicyInfo};
use tamis_core::value::Record;
use tamis_core::{Decision, EntityUid, PolicyError, Redaction, Rewrite, Value};

use super::gates;
use crate::error::{Error, excerpt};

/// Bytes that the filter of one answer may unfold into. Parts can be shared, so that a small answer could otherwise become
/// a tree of any size; a filter for a subject in 100 000 groups takes some 10 MB.
const MAX_UNFOLDED: usize = 32 << 20;

/// What a node, a value or an operand takes up besides its text.
const PART: usize = 64;

/// Values inside values nest at most this deep, as JSON does.
const MAX_VALUE_DEPTH: usize = 128;

fn broken(message: impl Into<String>) -> Error {
    Error::Contract(excerpt(&message.into()))
}

/// A decision for one chunk.
pub(crate) fn decision(raw: gates::Decision) -> Result<Decision, Error> {
    if raw.redact.iter().any(Vec::is_empty) {
        return Err(broken("a decision redacts an attribute without a name"));
    }
    Ok(Decision {
        allow: raw.allow,
        reasons: raw.reasons.into_iter().collect(),
        errors: policy_errors(raw.errors),
        redaction: Redaction { attributes: raw.redact.into_iter().collect(), text: raw.redact_text },
    })
}

/// A manifest that this host can serve: its contract version, attributes and types are valid.
pub(crate) fn manifest(raw: gates::Manifest) -> Result<Manifest, Error> {
    if raw.contract != VERSION {
        return Err(broken(format!("it implements version `{}`; this host speaks {VERSION}", raw.contract)));
    }
    if raw.footprint.len() > MAX_FOOTPRINT {
        let count = raw.footprint.len();
        return Err(Error::Limit(format!(
            "its footprint has {count} attributes; at most {MAX_FOOTPRINT} are allowed"
        )));
    }
    let mut footprint: Vec<FootprintAttribute> = Vec::with_capacity(raw.footprint.len());
    for entry in raw.footprint {
        let attribute = attribute(entry.attribute)?;
        let overlaps = |known: &FootprintAttribute| {
            let (a, b) = (&known.attribute.path, &attribute.path);
            a.starts_with(b) || b.starts_with(a)
        };
        if let Some(known) = footprint.iter().find(|known| overlaps(known)) {
            let known = tamis_core::decision::path_text(&known.attribute.path);
            return Err(broken(format!(
                "its footprint names the attribute `{known}` twice, or a part of it"
            )));
        }
        footprint.push(FootprintAttribute { attribute, optional: entry.optional });
    }
    let policies = raw
        .policies
        .into_iter()
        .map(|info| PolicyInfo { id: info.id, annotations: info.annotations })
        .collect();
    Ok(Manifest {
        contract: raw.contract,
        name: raw.name,
        footprint,
        policies,
        can_rewrite: raw.can_rewrite,
        source_digest: raw.source_digest,
        schema_digest: raw.schema_digest,
        producer: raw.producer,
    })
}

/// A rewrite whose filter nests no deeper than a filter from JSON may.
pub(crate) fn rewrite(raw: gates::Rewrite) -> Result<Rewrite, Error> {
    let operands = raw.filter.operands.iter().map(operand).collect::<Result<_, _>>()?;
    let mut unfold = Unfold { raw: &raw.filter, operands, left: MAX_UNFOLDED };
    let filter = unfold.node(raw.filter.root, raw.filter.nodes.len(), 0)?;
    let needs: BTreeSet<Attribute> = raw.needs.into_iter().map(attribute).collect::<Result<_, _>>()?;
    let (errors, partial) = (policy_errors(raw.errors), raw.partial.into_iter().collect());
    Ok(Rewrite { filter, exact: raw.exact, needs, errors, partial })
}

fn policy_errors(raw: Vec<gates::PolicyError>) -> BTreeSet<PolicyError> {
    raw.into_iter().map(|error| PolicyError { policy: error.policy, message: error.message }).collect()
}

fn attribute(raw: gates::Attribute) -> Result<Attribute, Error> {
    if raw.path.is_empty() {
        return Err(broken("an attribute has no name"));
    }
    let declared = raw.value_type.map(|text| text.parse()).transpose();
    let declared = declared.map_err(|error: tamis_core::types::TypeError| {
        let name = tamis_core::decision::path_text(&raw.path);
        broken(format!("attribute `{name}`: {error}"))
    })?;
    Ok(Attribute { path: raw.path, declared })
}

/// Unfolds a flattened filter into a tree. An index must be lower than that of the node it stands in, so there are no
/// cycles; `left` bounds, in bytes, what sharing can multiply.
struct Unfold<'a> {
    raw: &'a gates::Filter,
    /// Read once, however many tests there are of each.
    operands: Vec<Operand>,
    left: usize,
}

fn operand(raw: &gates::Operand) -> Result<Operand, Error> {
    Ok(match raw {
        gates::Operand::Attribute(raw) => Operand::Attribute(attribute(raw.clone())?),
        gates::Operand::EntityType => Operand::EntityType,
        gates::Operand::Id => Operand::Id,
        gates::Operand::Ancestors => Operand::Ancestors,
    })
}

impl Unfold<'_> {
    /// Takes a part with so many bytes of text from what is left.
    fn spend(&mut self, text: usize) -> Result<(), Error> {
        match self.left.checked_sub(text.saturating_add(PART)) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(Error::Limit(format!("its filter unfolds to more than {MAX_UNFOLDED} bytes"))),
        }
    }

    /// The node at `index`, which must lie below `bound`.
    fn node(&mut self, index: u32, bound: usize, depth: usize) -> Result<Filter, Error> {
        self.spend(0)?;
        if depth > MAX_DEPTH {
            return Err(Error::Limit(format!("its filter nests deeper than {MAX_DEPTH} levels")));
        }
        let position = index as usize;
        let raw = self.raw;
        let node = raw.nodes.get(position).filter(|_| position < bound);
        let node =
            node.ok_or_else(|| broken(format!("its filter refers to node {index}, which is not before it")))?;
        let mut all = |children: &[u32]| -> Result<Vec<Filter>, Error> {
            children.iter().map(|child| self.node(*child, position, depth + 1)).collect()
        };
        Ok(match node {
            gates::Node::Always => Filter::Always,
            gates::Node::Never => Filter::Never,
            gates::Node::And(children) => Filter::And(all(children)?),
            gates::Node::Or(children) => Filter::Or(all(children)?),
            gates::Node::Not(child) => Filter::Not(Box::new(self.node(*child, position, depth + 1)?)),
            gates::Node::Exists(operand) => Filter::Test(self.operand(*operand)?, Test::Exists),
            gates::Node::Readable(operand) => Filter::Test(self.operand(*operand)?, Test::Readable),
            gates::Node::Equals(raw) => self.comparison(raw, Test::Equals)?,
            gates::Node::Less(raw) => self.comparison(raw, |v| Test::Compare(Comparison::Less, v))?,
            gates::Node::LessOrEqual(raw) => {
                self.comparison(raw, |v| Test::Compare(Comparison::LessOrEqual, v))?
            }
            gates::Node::Greater(raw) => self.comparison(raw, |v| Test::Compare(Comparison::Greater, v))?,
            gates::Node::GreaterOrEqual(raw) => {
                self.comparison(raw, |v| Test::Compare(Comparison::GreaterOrEqual, v))?
            }
            gates::Node::OneOf(raw) => self.membership(raw, Test::OneOf)?,
            gates::Node::ContainsAny(raw) => self.membership(raw, Test::ContainsAny)?,
            gates::Node::ContainsAll(raw) => self.membership(raw, Test::ContainsAll)?,
            gates::Node::StartsWith(raw) => match self.value(raw.value, self.raw.values.len(), 0)? {
                Value::String(prefix) => Filter::Test(self.operand(raw.operand)?, Test::StartsWith(prefix)),
                value => return Err(broken(format!("its filter has a prefix of type {}", value.kind()))),
            },
        })
    }

    fn comparison(&mut self, raw: &gates::Comparison, test: impl Fn(Value) -> Test) -> Result<Filter, Error> {
        let value = self.value(raw.value, self.raw.values.len(), 0)?;
        Ok(Filter::Test(self.operand(raw.operand)?, test(value)))
    }

    fn membership(
        &mut self,
        raw: &gates::Membership,
        test: impl Fn(Vec<Value>) -> Test,
    ) -> Result<Filter, Error> {
        let bound = self.raw.values.len();
        let values = raw.values.iter().map(|index| self.value(*index, bound, 0)).collect::<Result<_, _>>()?;
        Ok(Filter::Test(self.operand(raw.operand)?, test(values)))
    }

    fn operand(&mut self, index: u32) -> Result<Operand, Error> {
        let position = index as usize;
        if let Some(gates::Operand::Attribute(raw)) = self.raw.operands.get(position) {
            let text = raw.path.iter().map(|name| name.len() + PART).sum::<usize>();
            self.spend(text + raw.value_type.as_ref().map_or(0, String::len))?;
        }
        let operand = self.operands.get(position).cloned();
        operand.ok_or_else(|| broken(format!("its filter refers to operand {index}, which is not there")))
    }

    /// The value at `index`, which must lie below `bound`.
    fn value(&mut self, index: u32, bound: usize, depth: usize) -> Result<Value, Error> {
        if depth > MAX_VALUE_DEPTH {
            return Err(Error::Limit(format!(
                "its filter has values nested deeper than {MAX_VALUE_DEPTH} levels"
            )));
        }
        let position = index as usize;
        let raw = self.raw;
        let value = raw.values.get(position).filter(|_| position < bound);
        let value = value
            .ok_or_else(|| broken(format!("its filter refers to value {index}, which is not before it")))?;
        self.spend(text_of(value))?;
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
                    set.insert(self.value(*element, position, depth + 1)?);
                }
                Value::Set(set)
            }
            gates::Value::Record(fields) => {
                let mut record = Record::new();
                for field in fields {
                    let value = self.value(field.value, position, depth + 1)?;
                    if record.insert(field.name.clone(), value).is_some() {
                        return Err(broken(format!(
                            "its filter has a record with two fields `{}`",
                            field.name
                        )));
                    }
                }
                Value::Record(record)
            }
            gates::Value::IllTyped(_) => return Err(broken("its filter compares with an ill-typed value")),
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
