//! The entity types and actions that a case speaks of, and their schema in Cedar's syntax.
//!
//! A case without a schema has a model too: most of its values follow it, and nothing makes them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::text::quoted;
use super::value::Uid;

/// The type of a value.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Type {
    /// `Bool`.
    Bool,
    /// `Long`.
    Long,
    /// `String`.
    Text,
    /// `decimal`.
    Decimal,
    /// `ipaddr`.
    Ip,
    /// `datetime`.
    Datetime,
    /// `duration`.
    Duration,
    /// A reference to an entity of a type.
    Entity(String),
    /// A set with elements of one type.
    Set(Box<Type>),
    /// A record.
    Record(Shape),
}

/// The fields of a record, the attributes of an entity.
pub type Shape = BTreeMap<String, Field>;

/// The type of a field.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Field {
    /// What it holds.
    pub holds: Type,
    /// Whether it is always there.
    pub required: bool,
}

/// The type of some entities.
#[derive(Clone, Debug)]
pub struct EntityType {
    /// Its name with its namespaces.
    pub name: String,
    /// The types of the entities that one of this type may be in: those further down the list, and itself.
    pub parents: Vec<String>,
    /// Its attributes.
    pub attributes: Shape,
    /// What its tags hold, if it has tags.
    pub tags: Option<Type>,
    /// The ids that the case uses.
    pub ids: Vec<String>,
    /// Whether the schema lists the ids. Such a type has no attributes, tags and parents.
    pub enumerated: bool,
}

/// An action.
#[derive(Clone, Debug)]
pub struct Action {
    /// Its uid.
    pub uid: Uid,
    /// The actions that it is in, further down the list.
    pub parents: Vec<Uid>,
    /// The types of its principals; none for a mere group.
    pub principals: Vec<String>,
    /// The types of its resources; none for a mere group.
    pub resources: Vec<String>,
    /// Its context.
    pub context: Shape,
}

/// Entity types and actions.
#[derive(Clone, Debug)]
pub struct Model {
    /// At least one that is not enumerated.
    pub entity_types: Vec<EntityType>,
    /// At least one that applies to something.
    pub actions: Vec<Action>,
}

impl Model {
    /// The entity type of a name.
    pub fn entity_type(&self, name: &str) -> Option<&EntityType> {
        self.entity_types.iter().find(|entity_type| entity_type.name == name)
    }

    /// The schema in Cedar's syntax.
    pub fn schema(&self) -> String {
        let entities = self.entity_types.iter().map(|entity_type| {
            let (namespace, name) = split(&entity_type.name);
            (namespace, entity_declaration(entity_type, name))
        });
        let actions =
            self.actions.iter().map(|action| (split(&action.uid.entity_type).0, action_declaration(action)));
        let declarations: Vec<_> = entities.chain(actions).collect();
        let namespaces: BTreeSet<_> = declarations.iter().map(|(namespace, _)| *namespace).collect();
        let mut schema = String::new();
        for namespace in namespaces {
            let inside = declarations.iter().filter(|(of, _)| *of == namespace);
            let text: String = inside.map(|(_, declaration)| declaration.as_str()).collect();
            let wrapped =
                if namespace.is_empty() { text } else { format!("namespace {namespace} {{\n{text}}}\n") };
            schema.push_str(&wrapped);
        }
        schema
    }
}

/// The namespaces and the name of a type.
fn split(name: &str) -> (&str, &str) {
    name.rsplit_once("::").unwrap_or(("", name))
}

fn entity_declaration(entity_type: &EntityType, name: &str) -> String {
    if entity_type.enumerated {
        let ids: Vec<_> = entity_type.ids.iter().map(|id| quoted(id)).collect();
        return format!("entity {name} enum [{}];\n", ids.join(", "));
    }
    let mut text = format!("entity {name}");
    if !entity_type.parents.is_empty() {
        let _ = write!(text, " in [{}]", entity_type.parents.join(", "));
    }
    let _ = write!(text, " {}", shape_text(&entity_type.attributes));
    if let Some(tags) = &entity_type.tags {
        let _ = write!(text, " tags {}", type_text(tags));
    }
    text + ";\n"
}

fn action_declaration(action: &Action) -> String {
    let mut text = format!("action {}", quoted(&action.uid.id));
    if !action.parents.is_empty() {
        let parents: Vec<_> = action.parents.iter().map(uid_text).collect();
        let _ = write!(text, " in [{}]", parents.join(", "));
    }
    if !action.principals.is_empty() {
        let _ = write!(
            text,
            " appliesTo {{ principal: [{}], resource: [{}], context: {} }}",
            action.principals.join(", "),
            action.resources.join(", "),
            shape_text(&action.context)
        );
    }
    text + ";\n"
}

/// A uid as policies and schemas write it.
pub fn uid_text(uid: &Uid) -> String {
    format!("{}::{}", uid.entity_type, quoted(&uid.id))
}

fn shape_text(shape: &Shape) -> String {
    let fields: Vec<_> = shape
        .iter()
        .map(|(name, field)| {
            let optional = if field.required { "" } else { "?" };
            format!("{}{optional}: {}", quoted(name), type_text(&field.holds))
        })
        .collect();
    format!("{{{}}}", fields.join(", "))
}

fn type_text(of: &Type) -> String {
    match of {
        Type::Bool => "Bool".to_owned(),
        Type::Long => "Long".to_owned(),
        Type::Text => "String".to_owned(),
        Type::Decimal => "decimal".to_owned(),
        Type::Ip => "ipaddr".to_owned(),
        Type::Datetime => "datetime".to_owned(),
        Type::Duration => "duration".to_owned(),
        Type::Entity(name) => name.clone(),
        Type::Set(element) => format!("Set<{}>", type_text(element)),
        Type::Record(shape) => shape_text(shape),
    }
}
