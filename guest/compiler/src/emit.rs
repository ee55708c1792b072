//! From the intermediate form to the bytes of a program.

use std::collections::BTreeMap;

use tamis_engine::coerce::{NONE, kind};
use tamis_engine::program::{self, Binding, ColumnForm, List, Node, Op, SECTIONS, Section, Source};

use crate::ir::Ir;
use crate::manifest::Manifest;
use crate::rules::Rules;
use crate::schema::{Attribute, Schema, Type};

/// Writes the program of rules.
pub(crate) fn program(mut ir: Ir, rules: &Rules, schema: &Schema, manifest: &Manifest) -> Vec<u8> {
    let forms = forms(&ir, schema);
    let names: BTreeMap<u32, u32> = attribute_numbers(&ir, manifest);
    let declared: Vec<u32> = declared(&mut ir, &names, manifest);
    for ((info, form), declared) in ir.columns_mut().iter_mut().zip(forms).zip(declared) {
        info.form = form;
        info.declared = declared;
    }
    let mut sections: [Vec<u8>; SECTIONS] = Default::default();
    let mut set = |section: Section, numbers: &mut dyn Iterator<Item = u32>| {
        if let Some(place) = sections.get_mut(section as usize) {
            place.extend(numbers.flat_map(u32::to_le_bytes));
        }
    };
    // These add texts and lists, so they come first.
    let paths = paths(&mut ir, schema);
    let types = types(&mut ir, schema);
    let actions = actions(&mut ir, schema);
    let keys = keys(&mut ir, rules);
    set(Section::Paths, &mut paths.into_iter().flatten());
    set(Section::Types, &mut types.types.into_iter().flatten());
    set(Section::Shapes, &mut types.shapes.into_iter().flatten());
    set(Section::Actions, &mut actions.into_iter().flatten());
    set(Section::Keys, &mut keys.into_iter().flatten());
    set(Section::Lists, &mut ir.list_numbers());
    set(Section::Nodes, &mut ir.nodes().iter().flat_map(Node::encode));
    set(
        Section::Rules,
        &mut rules.rules.iter().flat_map(|rule| {
            let List { start, length } = rule.redactions;
            [rule.id, rule.flags, rule.condition, start, length]
        }),
    );
    set(
        Section::Columns,
        &mut ir.columns().iter().flat_map(|info| {
            let attribute = names.get(&info.name).copied().unwrap_or(0);
            [
                u32::from(info.source as u8),
                u32::from(info.form as u8),
                info.name,
                attribute,
                u32::from(info.converted),
                info.declared,
            ]
        }),
    );
    let mut bytes = Vec::new();
    let texts = placed(&mut bytes, ir.texts().iter().map(String::as_bytes));
    let constants = placed(&mut bytes, ir.constants().iter().map(Vec::as_slice));
    set(Section::Texts, &mut texts.into_iter());
    set(Section::Constants, &mut constants.into_iter());
    for (section, content) in [(Section::Bytes, bytes), (Section::Manifest, manifest.encode())] {
        if let Some(place) = sections.get_mut(section as usize) {
            *place = content;
        }
    }
    program::assemble(sections.each_ref().map(Vec::as_slice))
}

fn number(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

/// Puts items one after the other; the start and size of each.
fn placed<'a>(bytes: &mut Vec<u8>, items: impl Iterator<Item = &'a [u8]>) -> Vec<u32> {
    let mut places = Vec::new();
    for item in items {
        places.extend([number(bytes.len()), number(item.len())]);
        bytes.extend_from_slice(item);
    }
    places
}

/// The number in the footprint of each attribute, by its name.
fn attribute_numbers(ir: &Ir, manifest: &Manifest) -> BTreeMap<u32, u32> {
    let position = |name: u32| {
        let name = ir.texts().get(name as usize)?;
        manifest.footprint.iter().position(|entry| entry.name == *name)
    };
    let attributes = ir.columns().iter().filter(|info| info.source == Source::Attribute);
    attributes.filter_map(|info| Some((info.name, number(position(info.name)?)))).collect()
}

/// The nodes that read a field of a record that an attribute is declared as, or ask whether it is there.
fn paths(ir: &mut Ir, schema: &Schema) -> Vec<[u32; program::width::PATH]> {
    let mut types: BTreeMap<u32, Type> = BTreeMap::new();
    let mut first: BTreeMap<(u32, u32), u32> = BTreeMap::new();
    let mut paths = Vec::new();
    for (index, node) in (0..).zip(ir.nodes().to_vec()) {
        match node.op {
            Op::Column => {
                let name =
                    ir.columns().get(node.a as usize).filter(|info| !info.converted).map(|info| info.name);
                // What has no type of its own is not the attribute that has no name.
                let Some(name) = name.and_then(|name| ir.texts().get(name as usize)) else { continue };
                if let Some(declared) = schema.chunk_attribute(name).and_then(|attribute| attribute.declared)
                {
                    types.insert(index, declared.clone());
                }
            }
            Op::Attribute | Op::Has if node.c == 0 => {
                let Some(Type::Record(fields)) = types.get(&node.a) else { continue };
                let name = ir.texts().get(node.b as usize).map_or("", String::as_str);
                let field =
                    fields.iter().find(|field| field.name == name).map(|field| field.declared.clone());
                let text = ir.text(&field.as_ref().map(ToString::to_string).unwrap_or_default());
                let first = *first.entry((node.a, node.b)).or_insert(index);
                paths.push([index, first, text]);
                if let (Op::Attribute, Some(declared)) = (node.op, field) {
                    types.insert(index, declared);
                }
            }
            _ => {}
        }
    }
    paths
}

/// The text with the declared type of each column.
fn declared(ir: &mut Ir, names: &BTreeMap<u32, u32>, manifest: &Manifest) -> Vec<u32> {
    let columns: Vec<u32> = ir.columns().iter().map(|info| info.name).collect();
    let entry = |name: &u32| manifest.footprint.get(*names.get(name)? as usize);
    let text = |name: u32| entry(&name).and_then(|entry| entry.declared.clone()).unwrap_or_default();
    columns.into_iter().map(|name| ir.text(&text(name))).collect()
}

/// How each column is best sent. As numbers, without a dictionary, where they are only compared with what the request knows: then
/// each chunk costs one comparison, however many different numbers there are.
fn forms(ir: &Ir, schema: &Schema) -> Vec<ColumnForm> {
    let mut forms: Vec<ColumnForm> = ir.columns().iter().map(|info| info.form).collect();
    for (info, form) in ir.columns().iter().zip(&mut forms) {
        let name = ir.texts().get(info.name as usize).map_or("", String::as_str);
        let declared = schema.chunk_attribute(name).and_then(|attribute| attribute.declared);
        if info.source == Source::Attribute {
            *form = match declared {
                Some(Type::Long) => ColumnForm::Longs,
                Some(Type::Decimal) => ColumnForm::Decimals,
                Some(Type::Datetime) => ColumnForm::Datetimes,
                Some(Type::Duration) => ColumnForm::Durations,
                _ => ColumnForm::Codes,
            };
        }
    }
    for node in ir.nodes() {
        let operands = ir.operands(node);
        let column = |index: &u32| ir.at(*index).filter(|node| node.op == Op::Column).map(|node| node.a);
        let of_request = |index: &u32| ir.at(*index).is_some_and(|node| node.binding == Binding::Request);
        let compares = match node.op {
            Op::Equal | Op::Less | Op::LessOrEqual | Op::DecimalLess | Op::DecimalLessOrEqual => {
                operands.iter().any(of_request)
            }
            _ => false,
        };
        for column in operands.iter().filter_map(column).filter(|_| !compares) {
            if let Some(form) = forms.get_mut(column as usize) {
                *form = ColumnForm::Codes;
            }
        }
    }
    forms
}

fn keys(ir: &mut Ir, rules: &Rules) -> Vec<[u32; program::width::KEY]> {
    let mut keys = Vec::new();
    for ((kind, entity_type, id), numbers) in &rules.keys {
        let List { start, length } = ir.list(numbers.clone());
        keys.push([u32::from(*kind), ir.text(entity_type), ir.text(id), start, length]);
    }
    keys
}

fn actions(ir: &mut Ir, schema: &Schema) -> Vec<[u32; program::width::ACTION]> {
    let mut actions = Vec::new();
    for action in schema.actions.iter().filter(|action| !action.groups.is_empty()) {
        let groups =
            action.groups.iter().flat_map(|(entity_type, id)| [ir.text(entity_type), ir.text(id)]).collect();
        let List { start, length } = ir.list(groups);
        actions.push([ir.text(&action.uid.0), ir.text(&action.uid.1), start, length]);
    }
    actions
}

/// Types that values of requests are converted to, and what has them.
#[derive(Default)]
struct Types {
    types: Vec<[u32; 3]>,
    shapes: Vec<[u32; 4]>,
}

fn types(ir: &mut Ir, schema: &Schema) -> Types {
    let mut types = Types::default();
    for (name, shape) in &schema.shapes {
        let attributes = types.record(ir, &shape.attributes);
        let tags = shape.tags.as_ref().map_or(NONE, |tags| types.add(ir, tags));
        let name = ir.text(name);
        types.shapes.push([name, NONE, attributes, tags]);
    }
    for action in schema.actions.iter().filter(|action| !action.context.is_empty()) {
        let context = types.record(ir, &action.context);
        let (entity_type, id) = (ir.text(&action.uid.0), ir.text(&action.uid.1));
        types.shapes.push([entity_type, id, context, NONE]);
    }
    types
}

impl Types {
    fn add(&mut self, ir: &mut Ir, declared: &Type) -> u32 {
        let numbers = match declared {
            // JSON has these.
            Type::Bool | Type::Long | Type::String => [kind::ANY, 0, 0],
            Type::Entity(name) => [kind::ENTITY, ir.text(name), 0],
            Type::Decimal => [kind::DECIMAL, 0, 0],
            Type::Datetime => [kind::DATETIME, 0, 0],
            Type::Duration => [kind::DURATION, 0, 0],
            Type::Ip => [kind::IP, 0, 0],
            Type::Set(element) => [kind::SET, self.add(ir, element), 0],
            Type::Record(fields) => return self.record(ir, fields),
        };
        self.push(numbers)
    }

    fn record(&mut self, ir: &mut Ir, fields: &[Attribute]) -> u32 {
        let mut pairs = Vec::new();
        for field in fields {
            pairs.extend([ir.text(&field.name), self.add(ir, &field.declared)]);
        }
        let List { start, length } = ir.list(pairs);
        self.push([kind::RECORD, start, length])
    }

    fn push(&mut self, numbers: [u32; 3]) -> u32 {
        if let Some(known) = self.types.iter().position(|known| *known == numbers) {
            return number(known);
        }
        self.types.push(numbers);
        number(self.types.len() - 1)
    }
}
