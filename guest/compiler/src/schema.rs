//! What a schema says of chunks, entities and actions, from Cedar's own resolution of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Map, Value as Json};

/// A type that a schema declares, written in the notation of the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Bool,
    Long,
    String,
    Decimal,
    Datetime,
    Duration,
    Ip,
    Entity(String),
    Set(Box<Type>),
    Record(Vec<Attribute>),
}

/// An attribute of an entity type, or a field of a record type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attribute {
    pub(crate) name: String,
    pub(crate) declared: Type,
    pub(crate) optional: bool,
}

/// What entities of one type have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shape {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) tags: Option<Type>,
}

/// An action, with all the groups that it is in.
#[derive(Clone, Debug)]
pub(crate) struct Action {
    pub(crate) uid: (String, String),
    pub(crate) groups: BTreeSet<(String, String)>,
    pub(crate) context: Vec<Attribute>,
}

/// A schema, as far as compiling needs it. The default knows nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Schema {
    pub(crate) shapes: BTreeMap<String, Shape>,
    pub(crate) actions: Vec<Action>,
    /// Entity types that some action applies to: what chunks can be.
    chunk_types: BTreeSet<String>,
    /// Whether chunks may be of any type of entity, and so no attribute has one type for all of them.
    any_chunk: bool,
}

/// What all types of chunks together say of one attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChunkAttribute<'a> {
    /// `None` if the types of chunks differ in it.
    pub(crate) declared: Option<&'a Type>,
    pub(crate) optional: bool,
}

impl Schema {
    /// Reads a schema that Cedar resolved to JSON.
    ///
    /// # Errors
    /// With what this compiler does not know. Cedar itself has checked the rest.
    pub(crate) fn from_resolved(json: &Json) -> Result<Self, String> {
        let mut schema = Self::default();
        let namespaces = json.as_object().ok_or("it is not an object")?;
        let common = Common::gather(namespaces);
        let mut parents = BTreeMap::new();
        for (namespace, parts) in namespaces {
            let place = |name: &str| qualified(namespace, name);
            for (name, entity) in members(parts, "entityTypes") {
                let attributes = match entity.get("shape") {
                    Some(shape) => common.attributes(shape, 0)?,
                    None => Vec::new(),
                };
                let tags = entity.get("tags").map(|tags| common.read(tags, 0)).transpose()?;
                schema.shapes.insert(place(name), Shape { attributes, tags });
            }
            for (name, action) in members(parts, "actions") {
                let uid = (place("Action"), name.clone());
                let applies = action.get("appliesTo");
                let context = match applies.and_then(|applies| applies.get("context")) {
                    Some(context) => common.attributes(context, 0)?,
                    None => Vec::new(),
                };
                let types = applies.and_then(|applies| applies.get("resourceTypes")).and_then(Json::as_array);
                schema
                    .chunk_types
                    .extend(types.into_iter().flatten().filter_map(Json::as_str).map(str::to_owned));
                parents.insert(uid.clone(), groups(action, &place("Action")));
                schema.actions.push(Action { uid, groups: BTreeSet::new(), context });
            }
        }
        for action in &mut schema.actions {
            action.groups = above(&action.uid, &parents);
        }
        Ok(schema)
    }

    /// Lets chunks be of any type of entity.
    pub(crate) fn allow_any_chunk(&mut self) {
        self.any_chunk = true;
        self.chunk_types = self.shapes.keys().cloned().collect();
    }

    /// What the schema says of an attribute of chunks; `None` if no type of chunk has it, or there is no schema.
    pub(crate) fn chunk_attribute(&self, name: &str) -> Option<ChunkAttribute<'_>> {
        let mut found: Option<ChunkAttribute<'_>> = None;
        let mut everywhere = true;
        for chunk_type in &self.chunk_types {
            let attributes = self.shapes.get(chunk_type).map_or(&[][..], |shape| &shape.attributes);
            let Some(attribute) = attributes.iter().find(|attribute| attribute.name == name) else {
                everywhere = false;
                continue;
            };
            found = Some(match found {
                None => ChunkAttribute { declared: Some(&attribute.declared), optional: attribute.optional },
                Some(before) => ChunkAttribute {
                    declared: before.declared.filter(|declared| **declared == attribute.declared),
                    optional: before.optional || attribute.optional,
                },
            });
        }
        found.map(|found| ChunkAttribute {
            declared: found.declared.filter(|_| !self.any_chunk),
            optional: found.optional || !everywhere,
        })
    }

    /// All attributes that some type of chunk has.
    pub(crate) fn chunk_attributes(&self) -> BTreeSet<&str> {
        let shapes = self.chunk_types.iter().filter_map(|name| self.shapes.get(name));
        shapes.flat_map(|shape| &shape.attributes).map(|attribute| attribute.name.as_str()).collect()
    }

    /// Whether some type of chunk has tags.
    pub(crate) fn has_tags(&self) -> bool {
        self.chunk_types.iter().filter_map(|name| self.shapes.get(name)).any(|shape| shape.tags.is_some())
    }
}

fn members<'a>(parts: &'a Json, name: &str) -> impl Iterator<Item = (&'a String, &'a Json)> {
    parts.get(name).and_then(Json::as_object).into_iter().flatten()
}

fn qualified(namespace: &str, name: &str) -> String {
    if namespace.is_empty() { name.to_owned() } else { format!("{namespace}::{name}") }
}

/// The groups that an action is in directly.
fn groups(action: &Json, action_type: &str) -> Vec<(String, String)> {
    let groups = action.get("memberOf").and_then(Json::as_array);
    let text = |group: &Json, name: &str| group.get(name).and_then(Json::as_str).map(str::to_owned);
    let uid = |group: &Json| {
        Some((text(group, "type").unwrap_or_else(|| action_type.to_owned()), text(group, "id")?))
    };
    groups.into_iter().flatten().filter_map(uid).collect()
}

fn above(
    uid: &(String, String),
    parents: &BTreeMap<(String, String), Vec<(String, String)>>,
) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    let mut pending = vec![uid];
    while let Some(next) = pending.pop() {
        for parent in parents.get(next).into_iter().flatten() {
            if found.insert(parent.clone()) {
                pending.push(parent);
            }
        }
    }
    found
}

/// Types that a schema gives names to.
struct Common<'a> {
    named: BTreeMap<String, &'a Json>,
}

/// Named types refer to each other at most this often in a row. Cedar refuses cycles, and real schemas stay under five.
const MAX_DEPTH: usize = 32;

impl<'a> Common<'a> {
    fn gather(namespaces: &'a Map<String, Json>) -> Self {
        let mut named = BTreeMap::new();
        for (namespace, parts) in namespaces {
            for (name, declared) in members(parts, "commonTypes") {
                named.insert(qualified(namespace, name), declared);
            }
        }
        Self { named }
    }

    fn read(&self, json: &Json, depth: usize) -> Result<Type, String> {
        if depth > MAX_DEPTH {
            return Err(format!("a type nests deeper than {MAX_DEPTH} levels"));
        }
        let text = |name: &str| json.get(name).and_then(Json::as_str);
        let kind = text("type").ok_or("a type has no `type`")?;
        match kind {
            "Set" => {
                let element = json.get("element").ok_or("a set has no `element`")?;
                return Ok(Type::Set(Box::new(self.read(element, depth + 1)?)));
            }
            "Record" => return Ok(Type::Record(self.fields(json, depth)?)),
            "Entity" => {
                return text("name")
                    .map(|name| Type::Entity(name.to_owned()))
                    .ok_or("an entity has no `name`".to_owned());
            }
            _ => {}
        }
        let name = match kind {
            "EntityOrCommon" | "Extension" => text("name").ok_or("a type has no `name`")?,
            kind => kind,
        };
        if let Some(declared) = self.named.get(name) {
            return self.read(declared, depth + 1);
        }
        Ok(match name.strip_prefix("__cedar::").unwrap_or(name) {
            "Bool" | "Boolean" => Type::Bool,
            "Long" => Type::Long,
            "String" => Type::String,
            "decimal" => Type::Decimal,
            "datetime" => Type::Datetime,
            "duration" => Type::Duration,
            "ipaddr" => Type::Ip,
            _ if kind == "EntityOrCommon" => Type::Entity(name.to_owned()),
            unknown => return Err(format!("the type `{unknown}` is not known to this compiler")),
        })
    }

    /// The attributes of a record type, under whatever name.
    fn attributes(&self, json: &Json, depth: usize) -> Result<Vec<Attribute>, String> {
        match self.read(json, depth)? {
            Type::Record(attributes) => Ok(attributes),
            other => Err(format!("`{other}` is no record")),
        }
    }

    fn fields(&self, json: &Json, depth: usize) -> Result<Vec<Attribute>, String> {
        let read = |(name, declared): (&String, &Json)| {
            let optional = declared.get("required").and_then(Json::as_bool) == Some(false);
            Ok(Attribute { name: name.clone(), declared: self.read(declared, depth + 1)?, optional })
        };
        members(json, "attributes").map(read).collect()
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("Bool"),
            Self::Long => f.write_str("Long"),
            Self::String => f.write_str("String"),
            Self::Decimal => f.write_str("decimal"),
            Self::Datetime => f.write_str("datetime"),
            Self::Duration => f.write_str("duration"),
            Self::Ip => f.write_str("ipaddr"),
            Self::Entity(name) => write!(f, "Entity<{name}>"),
            Self::Set(element) => write!(f, "Set<{element}>"),
            Self::Record(fields) => {
                f.write_str("{")?;
                for (index, field) in fields.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    let mark = if field.optional { "?" } else { "" };
                    write!(f, "{comma}{}{mark}: {}", Json::from(field.name.as_str()), field.declared)?;
                }
                f.write_str("}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(text: &str) -> Schema {
        let (json, _) = cedar_policy::schema_str_to_json_with_resolved_types(text).unwrap();
        Schema::from_resolved(&json).unwrap()
    }

    #[test]
    fn types_read_through_names_and_namespaces() {
        let schema = schema(
            r#"namespace A {
                type R = { a: Long, "b c"?: Set<String>, ip: ipaddr };
                type Deep = { r: R };
                entity Group;
                entity Kind enum ["x"];
                entity Doc in [Doc] = { owner: Group, kind: Kind, r?: Deep, flag: Bool, at: __cedar::datetime } tags Set<Long>;
                action all;
                action view, "edit it" in [all] appliesTo { principal: [Group], resource: [Doc], context: R };
            }"#,
        );
        let doc = schema.shapes.get("A::Doc").unwrap();
        let text: Vec<String> =
            doc.attributes.iter().map(|a| format!("{}: {}", a.name, a.declared)).collect();
        assert_eq!(
            text,
            [
                "at: datetime",
                "flag: Bool",
                "kind: Entity<A::Kind>",
                "owner: Entity<A::Group>",
                "r: {\"r\": {\"a\": Long, \"b c\"?: Set<String>, \"ip\": ipaddr}}",
            ]
        );
        assert_eq!(doc.tags.as_ref().map(ToString::to_string).as_deref(), Some("Set<Long>"));
        let edit = schema.actions.iter().find(|action| action.uid.1 == "edit it").unwrap();
        assert_eq!(edit.groups, BTreeSet::from([("A::Action".to_owned(), "all".to_owned())]));
        assert_eq!(edit.context.len(), 3);
        assert!(schema.has_tags());
    }

    #[test]
    fn an_attribute_of_chunks_is_what_all_their_types_say() {
        let schema = schema(
            r#"entity U; entity A = { x: Long, y: Long, z?: Long }; entity B = { x: Long, y: String };
               entity Never = { w: Long };
               action view appliesTo { principal: U, resource: [A, B] };"#,
        );
        let of = |name| schema.chunk_attribute(name);
        assert_eq!(of("x"), Some(ChunkAttribute { declared: Some(&Type::Long), optional: false }));
        assert_eq!(of("y"), Some(ChunkAttribute { declared: None, optional: false }));
        assert_eq!(of("z"), Some(ChunkAttribute { declared: Some(&Type::Long), optional: true }));
        assert_eq!(of("w"), None);
    }

    #[test]
    fn groups_of_actions_are_transitive() {
        let schema = schema("action a in [b]; action b in [c]; action c;");
        let a = schema.actions.iter().find(|action| action.uid.1 == "a").unwrap();
        assert_eq!(a.groups.len(), 2);
    }
}
