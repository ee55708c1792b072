//! Types, and values of them.

use super::pools::{self, ExtensionTexts};
use crate::cedar::choices::Choices;
use crate::cedar::model::{Field, Model, Shape, Type};
use crate::cedar::value::{Fields, Uid, Value};

const SCALARS: &[(usize, &Type)] = &[
    (3, &Type::Bool),
    (5, &Type::Long),
    (5, &Type::Text),
    (2, &Type::Decimal),
    (2, &Type::Ip),
    (2, &Type::Datetime),
    (2, &Type::Duration),
];

/// A type, nested up to a depth.
pub(super) fn any_type(choices: &mut Choices, entity_types: &[String], depth: usize) -> Type {
    let composite = if depth == 0 { 0 } else { 4 };
    match choices.weighted(&[(16, 0), (4, 1), (2 * composite, 2), (composite, 3)]) {
        0 => choices.weighted(SCALARS).clone(),
        1 => Type::Entity(choices.pick(entity_types).clone()),
        2 => Type::Set(Box::new(any_type(choices, entity_types, depth - 1))),
        _ => Type::Record(any_shape(choices, entity_types, depth - 1, 3)),
    }
}

/// Up to `most` fields of types that are nested up to a depth.
pub(super) fn any_shape(choices: &mut Choices, entity_types: &[String], depth: usize, most: usize) -> Shape {
    let field = |choices: &mut Choices| {
        let name = pools::name(choices).to_owned();
        let holds = any_type(choices, entity_types, depth);
        (name, Field { holds, required: choices.chance(70) })
    };
    (0..choices.between(0, most)).map(|_| field(choices)).collect()
}

/// A value of a type. Sets are seldom large.
pub(super) fn value(choices: &mut Choices, model: &Model, of: &Type) -> Value {
    match of {
        Type::Bool => Value::Bool(choices.chance(50)),
        Type::Long => Value::Long(pools::long(choices)),
        Type::Text => Value::Text(pools::text(choices).to_owned()),
        Type::Decimal => extension(choices, &pools::DECIMAL),
        Type::Ip => extension(choices, &pools::IP),
        Type::Duration => extension(choices, &pools::DURATION),
        Type::Datetime => datetime(choices),
        Type::Entity(name) => Value::Entity(uid(choices, model, name)),
        Type::Set(element) => set(choices, model, element),
        Type::Record(shape) => Value::Record(fields(choices, model, shape)),
    }
}

/// Values for the fields of a shape.
pub(super) fn fields(choices: &mut Choices, model: &Model, shape: &Shape) -> Fields {
    let mut fields = Fields::new();
    for (name, field) in shape {
        if field.required || choices.chance(60) {
            fields.insert(name.clone(), value(choices, model, &field.holds));
        }
    }
    fields
}

/// A value of any type, where JSON without a schema may hold it.
pub(super) fn anything(choices: &mut Choices, model: &Model, depth: usize) -> Value {
    if depth > 0 && choices.chance(15) {
        let elements = (0..choices.between(0, 3)).map(|_| anything(choices, model, depth - 1));
        return Value::Set(elements.collect());
    }
    if choices.rarely(10) {
        return look_alike(choices);
    }
    let of = any_type(choices, &names(model), depth);
    value(choices, model, &of)
}

/// A record that is nearly an entity or an extension value of Cedar's JSON.
fn look_alike(choices: &mut Choices) -> Value {
    let name = choices.word(&["__entity", "__extn", "type", "fn"]);
    let text = Value::Text(pools::text(choices).to_owned());
    Value::Record(Fields::from([(name.to_owned(), text)]))
}

/// The names of the entity types.
pub(super) fn names(model: &Model) -> Vec<String> {
    model.entity_types.iter().map(|entity_type| entity_type.name.clone()).collect()
}

/// An entity of a type: of those that the case uses, or of those that no store holds.
pub(super) fn uid(choices: &mut Choices, model: &Model, entity_type: &str) -> Uid {
    let known = model.entity_type(entity_type);
    match known {
        Some(known) if known.enumerated || choices.chance(93) => {
            Uid::new(entity_type, choices.pick::<String>(&known.ids))
        }
        _ => Uid::new(entity_type, pools::id(choices)),
    }
}

fn extension(choices: &mut Choices, texts: &ExtensionTexts) -> Value {
    Value::Extension(texts.constructor, vec![Value::Text(choices.word(texts.valid).to_owned())])
}

/// A moment: seldom one that only `offset` reaches.
fn datetime(choices: &mut Choices) -> Value {
    let moment = extension(choices, &pools::DATETIME);
    if !choices.chance(6) {
        return moment;
    }
    let epoch = Value::Extension("datetime", vec![Value::Text("1970-01-01".to_owned())]);
    let duration = extension(choices, &pools::DURATION);
    Value::Extension("offset", vec![epoch, duration])
}

fn set(choices: &mut Choices, model: &Model, element: &Type) -> Value {
    if choices.rarely(10) {
        return Value::Set(many(choices, element));
    }
    let count = choices.weighted(&[(3, 0), (5, 1), (5, 2), (4, 3), (2, 5)]);
    Value::Set((0..count).map(|_| value(choices, model, element)).collect())
}

/// Hundreds of elements, seldom thousands: numbers or texts, whatever the type says they should be.
fn many(choices: &mut Choices, element: &Type) -> Vec<Value> {
    let count = if choices.chance(3) { 3000 } else { choices.between(100, 400) };
    match element {
        Type::Long => (0..count).map(|number| Value::Long(i64::try_from(number).expect("few"))).collect(),
        Type::Text => (0..count).map(|number| Value::Text(format!("text {number}"))).collect(),
        _ => Vec::new(),
    }
}
