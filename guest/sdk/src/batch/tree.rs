//! Where the attributes of a footprint go in a chunk: one inside another, as their paths say.

use super::read::append;
use crate::bindings::tamis::policy::gates::{Chunk, Field, Value};

/// Attributes by their first names.
#[derive(Debug, Default)]
pub(super) struct Tree {
    roots: Vec<(String, Node)>,
    /// Which roots a chunk now has, in the order of its attributes.
    loaded: Vec<usize>,
}

#[derive(Debug)]
enum Node {
    /// An attribute, by its place in the footprint.
    Attribute(usize),
    /// Attributes that lie inside this one.
    Record(Vec<(String, Node)>),
}

impl Tree {
    /// The tree of all `paths` of a footprint.
    pub(super) fn of<'a>(paths: impl Iterator<Item = &'a [String]>) -> Self {
        let mut roots = Vec::new();
        for (place, path) in paths.enumerate() {
            insert(&mut roots, path, place);
        }
        Self { roots, loaded: Vec::new() }
    }

    /// Gives a chunk the attributes whose values are at these indices; `None` is absent.
    pub(super) fn load(&mut self, indices: &[Option<u32>], chunk: &mut Chunk) {
        for (place, (name, node)) in self.roots.iter_mut().enumerate() {
            if let Some(value) = value(node, indices, &mut chunk.values) {
                // The name is lent, since copying it would take longer than all else.
                chunk.attributes.push(Field { name: std::mem::take(name), value });
                self.loaded.push(place);
            }
        }
    }

    /// Takes all attributes back. Values of records stay at the end of the chunk's values.
    pub(super) fn unload(&mut self, chunk: &mut Chunk) {
        for (place, field) in self.loaded.drain(..).zip(chunk.attributes.drain(..)) {
            if let Some((name, _)) = self.roots.get_mut(place) {
                *name = field.name;
            }
        }
    }
}

fn insert(nodes: &mut Vec<(String, Node)>, path: &[String], place: usize) {
    let Some((name, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        nodes.push((name.clone(), Node::Attribute(place)));
        return;
    }
    let found = nodes.iter_mut().find_map(|(known, node)| match node {
        Node::Record(inner) if known == name => Some(inner),
        _ => None,
    });
    match found {
        Some(inner) => insert(inner, rest, place),
        None => {
            let mut inner = Vec::new();
            insert(&mut inner, rest, place);
            nodes.push((name.clone(), Node::Record(inner)));
        }
    }
}

/// The index of a node's value. A record without any attribute is absent.
fn value(node: &Node, indices: &[Option<u32>], values: &mut Vec<Value>) -> Option<u32> {
    let inner = match node {
        Node::Attribute(place) => return indices.get(*place).copied().flatten(),
        Node::Record(inner) => inner,
    };
    let mut fields = Vec::new();
    for (name, node) in inner {
        if let Some(value) = value(node, indices, values) {
            fields.push(Field { name: name.clone(), value });
        }
    }
    (!fields.is_empty()).then(|| append(values, Value::Record(fields)))
}
