//! What a rewrite of the engine says of chunks, against what is decided on them.

use tamis_contract::value::Value;
use tamis_core::filter::{Attribute, Comparison, Operand, Test};
use tamis_core::{self as core, EntityUid, Filter};
use tamis_engine::filter::{self, Filters, Node};
use tamis_engine::program::{Op, Program};
use tamis_engine::rewrite::Rewrite;

/// The filter of a rewrite, as hosts have it.
///
/// # Errors
///
/// If a type that the program declares is none.
pub fn filter(program: &Program<'_>, rewrite: &Rewrite<'_>) -> Result<Filter, String> {
    node(program, &rewrite.filters, rewrite.root)
}

fn node(program: &Program<'_>, filters: &Filters<'_>, index: u32) -> Result<Filter, String> {
    let all = |parts: &[u32]| -> Result<Vec<Filter>, String> {
        parts
            .iter()
            .map(|part| {
                assert!(*part < index, "a node refers to a later one");
                node(program, filters, *part)
            })
            .collect()
    };
    Ok(match filters.node(index) {
        Node::Always => Filter::Always,
        Node::Never => Filter::Never,
        Node::And(parts) => Filter::And(all(parts)?),
        Node::Or(parts) => Filter::Or(all(parts)?),
        Node::Not(part) => Filter::Not(Box::new(node(program, filters, part)?)),
        Node::Test(kind, operand, values) => {
            let values: Vec<core::Value> = values.iter().map(value).collect();
            Filter::Test(operand_of(program, operand)?, test(kind, values)?)
        }
    })
}

fn operand_of(program: &Program<'_>, operand: filter::Operand) -> Result<Operand, String> {
    Ok(match operand {
        filter::Operand::Attribute(column) => {
            let info = program.column(column);
            let declared = match program.text(info.declared) {
                "" => None,
                text => Some(text.parse().map_err(|error: core::types::TypeError| error.to_string())?),
            };
            Operand::Attribute(Attribute { path: vec![program.text(info.name).to_owned()], declared }.into())
        }
        filter::Operand::Field(node) => {
            let (_, declared) = program.path(node).ok_or("a field that is none")?;
            let (mut path, mut next) = (Vec::new(), program.node(node));
            while next.op != Op::Column {
                path.push(program.text(next.b).to_owned());
                next = program.node(next.a);
            }
            path.push(program.text(program.column(next.a).name).to_owned());
            path.reverse();
            let declared = match program.text(declared) {
                "" => None,
                text => Some(text.parse().map_err(|error: core::types::TypeError| error.to_string())?),
            };
            Operand::Attribute(Attribute { path, declared }.into())
        }
        filter::Operand::EntityType => Operand::EntityType,
        filter::Operand::Id => Operand::Id,
        filter::Operand::Ancestors => Operand::Ancestors,
    })
}

fn test(kind: filter::Test, mut values: Vec<core::Value>) -> Result<Test, String> {
    let mut compare =
        |comparison| values.pop().map(|bound| Test::Compare(comparison, bound)).ok_or("no bound");
    Ok(match kind {
        filter::Test::Exists => Test::Exists,
        filter::Test::Readable => Test::Readable,
        filter::Test::Less => compare(Comparison::Less)?,
        filter::Test::LessOrEqual => compare(Comparison::LessOrEqual)?,
        filter::Test::Greater => compare(Comparison::Greater)?,
        filter::Test::GreaterOrEqual => compare(Comparison::GreaterOrEqual)?,
        filter::Test::OneOf => match <[_; 1]>::try_from(values) {
            Ok([value]) => Test::Equals(value),
            Err(values) => Test::OneOf(values.into()),
        },
        filter::Test::ContainsAny => Test::ContainsAny(values.into()),
        filter::Test::ContainsAll => Test::ContainsAll(values.into()),
        filter::Test::StartsWith => match values.as_slice() {
            [core::Value::String(prefix)] => Test::StartsWith(prefix.clone()),
            _ => return Err(format!("a prefix that is none: {values:?}")),
        },
    })
}

fn value(value: &Value<'_>) -> core::Value {
    match value {
        Value::Bool(value) => core::Value::Bool(*value),
        Value::Long(number) => core::Value::Long(*number),
        Value::Decimal(number) => core::Value::Decimal(*number),
        Value::Datetime(number) => core::Value::Datetime(*number),
        Value::Duration(number) => core::Value::Duration(*number),
        Value::Text(text) => core::Value::String((*text).to_owned()),
        Value::IllTyped(reason) => core::Value::IllTyped((*reason).to_owned()),
        Value::Entity(uid) => core::Value::Entity(EntityUid::new(uid.entity_type, uid.id)),
        Value::Ip(network) => core::Value::Ip(**network),
        Value::Set(elements) => core::Value::Set(elements.iter().map(self::value).collect()),
        Value::Record(fields) => core::Value::Record(
            fields.iter().map(|(name, field)| ((*name).to_owned(), self::value(field))).collect(),
        ),
    }
}
