//! Where a collection keeps what a filter tests.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value as Json};
use tamis_core::decision::Path;
use tamis_core::input;
use tamis_core::manifest::FootprintAttribute;
use tamis_core::{InputError, Redaction};

/// Where a collection keeps what a filter tests, by the names that the database knows.
///
/// Values are expected in their normal form, as the admit gate stores them: see [`tamis_core::normal`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields {
    /// Attributes whose field is not the path of the attribute itself.
    pub attributes: BTreeMap<Path, Path>,
    /// The entity type of the chunk.
    pub entity_type: Place,
    /// The id of the chunk.
    pub id: Place,
    /// An array with an [`ancestor_key`](crate::ancestor_key) for each ancestor.
    pub ancestors: Place,
    /// Whether every chunk of the collection passed the admit gate, so that an attribute with a declared type is of that type
    /// wherever it is present. Databases that cannot ask for the type of what they store are exact only then.
    pub admitted: bool,
    /// Attributes that every chunk has, if all were admitted: see [`Fields::require`].
    pub required: BTreeSet<Path>,
}

/// Where one fact about a chunk is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this field.
    Field(String),
    /// Nowhere, as it is the same for all chunks.
    Constant(String),
    /// Nowhere: tests of it are left to the filter gate.
    Absent,
}

impl Default for Fields {
    fn default() -> Self {
        Self {
            attributes: BTreeMap::new(),
            entity_type: Place::Field("chunk_type".to_owned()),
            id: Place::Field("chunk_id".to_owned()),
            ancestors: Place::Field("ancestors".to_owned()),
            admitted: false,
            required: BTreeSet::new(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFields {
    #[serde(default)]
    attributes: Vec<RawAttribute>,
    entity_type: Option<RawPlace>,
    id: Option<RawPlace>,
    ancestors: Option<RawPlace>,
    #[serde(default)]
    admitted: bool,
    #[serde(default)]
    required: BTreeSet<Path>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAttribute {
    attr: Path,
    field: Path,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawPlace {
    Field(String),
    Constant(String),
    Absent(bool),
}

impl Fields {
    /// Reads `{"attributes":[{"attr":["owner","team"],"field":["owner_team"]}],"entity_type":{"constant":"Chunk"},
    /// "id":{"field":"doc"},"ancestors":{"absent":true},"admitted":true,"required":[["tenant"]]}`; what is left out is as in [`Fields::default`].
    ///
    /// # Errors
    /// For JSON of another shape, with its place.
    pub fn from_json(text: &str) -> Result<Self, InputError> {
        let raw: RawFields = input::parse(text)?;
        let default = Self::default();
        let place = |raw: Option<RawPlace>, default: Place, name: &str| match raw {
            None => Ok(default),
            Some(RawPlace::Field(name)) => Ok(Place::Field(name)),
            Some(RawPlace::Constant(value)) if name == "entity_type" => Ok(Place::Constant(value)),
            Some(RawPlace::Absent(true)) => Ok(Place::Absent),
            Some(_) => Err(InputError::new(name, "is neither `{\"field\":name}` nor `{\"absent\":true}`")),
        };
        let mut attributes = BTreeMap::new();
        for (index, RawAttribute { attr, field }) in raw.attributes.into_iter().enumerate() {
            if attr.is_empty() || field.is_empty() {
                return Err(InputError::new(format!("attributes[{index}]"), "has an empty path"));
            }
            attributes.insert(attr, field);
        }
        Ok(Self {
            attributes,
            entity_type: place(raw.entity_type, default.entity_type, "entity_type")?,
            id: place(raw.id, default.id, "id")?,
            ancestors: place(raw.ancestors, default.ancestors, "ancestors")?,
            admitted: raw.admitted,
            required: raw.required,
        })
    }

    /// If all chunks were admitted, takes it that each has what this policy cannot do without: the admit gate lets in no other. Some
    /// databases cannot ask whether something is there.
    pub fn require(&mut self, footprint: &[FootprintAttribute]) {
        if self.admitted {
            let needed = footprint.iter().filter(|entry| !entry.optional);
            self.required.extend(needed.map(|entry| entry.attribute.path.clone()));
        }
    }

    /// The attributes of a chunk, out of what the database stores of them. What is mapped is read from its field alone: another field
    /// that has the attribute's name is not the attribute.
    pub fn restore(&self, mut stored: Map<String, Json>) -> Map<String, Json> {
        // All are read before the first is put where another may be read.
        let mapped: Vec<_> =
            self.attributes.iter().map(|(path, field)| (path, at(&stored, field).cloned())).collect();
        for (path, value) in mapped {
            put(&mut stored, path, value);
        }
        stored
    }

    /// A redaction that also removes the fields in which the database keeps what is to be removed: [`Fields::restore`] leaves them beside
    /// the attributes.
    pub fn withheld(&self, redaction: &Redaction) -> Redaction {
        let mut withheld = redaction.clone();
        for (path, field) in &self.attributes {
            for removed in &redaction.attributes {
                if path.starts_with(removed) {
                    withheld.attributes.insert(field.clone());
                } else if let Some(inside) = removed.strip_prefix(path.as_slice()) {
                    withheld.attributes.insert([field, inside].concat());
                }
            }
        }
        withheld
    }

    /// The field of an attribute: inside that of the record that it is in, where only that one is mapped.
    pub fn of(&self, path: &[String]) -> Path {
        let mapped = (1..=path.len()).rev().find_map(|length| {
            let (record, inside) = path.split_at_checked(length)?;
            Some([self.attributes.get(record)?, inside].concat())
        });
        mapped.unwrap_or_else(|| path.to_vec())
    }

    /// Whether an attribute is a record of which some part lies elsewhere: no field holds all of it.
    pub(crate) fn is_scattered(&self, path: &[String]) -> bool {
        self.attributes.keys().any(|mapped| mapped.len() > path.len() && mapped.starts_with(path))
    }
}

fn at<'a>(object: &'a Map<String, Json>, path: &[String]) -> Option<&'a Json> {
    let (name, rest) = path.split_first()?;
    let value = object.get(name)?;
    if rest.is_empty() { Some(value) } else { at(value.as_object()?, rest) }
}

/// Makes the value at a path this one, or nothing. What stands in the way, as it is no object, gives way to a value.
fn put(object: &mut Map<String, Json>, path: &[String], value: Option<Json>) {
    match (path, value) {
        ([], _) => {}
        ([name], Some(value)) => {
            object.insert(name.clone(), value);
        }
        ([name], None) => {
            object.remove(name);
        }
        ([name, rest @ ..], value) => {
            let inner = object.get_mut(name).and_then(Json::as_object_mut);
            match (inner, value) {
                (Some(inner), value) => put(inner, rest, value),
                (None, Some(value)) => {
                    let mut inner = Map::new();
                    put(&mut inner, rest, Some(value));
                    object.insert(name.clone(), inner.into());
                }
                (None, None) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn attributes_are_read_from_the_fields_that_filters_test() {
        let fields = Fields::from_json(
            r#"{"attributes":[{"attr":["owner","team"],"field":["owner_team"]},{"attr":["tenant"],"field":["meta","t"]},
                              {"attr":["a"],"field":["b"]},{"attr":["b"],"field":["a"]}]}"#,
        )
        .unwrap();
        for (stored, expected) in [
            (
                json!({"owner_team": "x", "meta": {"t": 1}}),
                json!({"owner_team": "x", "meta": {"t": 1}, "owner": {"team": "x"}, "tenant": 1}),
            ),
            // Not what a filter tests.
            (json!({"tenant": "own", "owner": {"team": "own", "x": 1}}), json!({"owner": {"x": 1}})),
            (json!({"owner": 5, "owner_team": "x"}), json!({"owner": {"team": "x"}, "owner_team": "x"})),
            (json!({"owner": 5}), json!({"owner": 5})),
            (json!({"a": 1, "b": 2}), json!({"a": 2, "b": 1})),
        ] {
            assert_eq!(json!(fields.restore(stored.as_object().unwrap().clone())), expected);
        }
    }

    /// A filter that tested another field than the gate reads would match what the gate denies, and miss what it allows.
    #[test]
    fn filters_test_what_is_read() {
        let fields = Fields::from_json(
            r#"{"attributes":[{"attr":["owner"],"field":["meta","owner"]},{"attr":["owner","mail"],"field":["mail"]}]}"#,
        )
        .unwrap();
        let stored = json!({"meta": {"owner": {"team": "x", "mail": 1}}, "owner": {"team": "y", "mail": 2}, "mail": 3});
        let stored = stored.as_object().unwrap();
        let chunk = fields.restore(stored.clone());
        for (path, field) in [
            (vec!["owner", "team"], vec!["meta", "owner", "team"]),
            (vec!["owner", "mail"], vec!["mail"]),
            (vec!["owner", "none"], vec!["meta", "owner", "none"]),
        ] {
            let text = |path: Vec<&str>| path.into_iter().map(str::to_owned).collect::<Path>();
            let (path, field) = (text(path), text(field));
            assert_eq!(fields.of(&path), field);
            assert_eq!(at(&chunk, &path), at(stored, &field), "{path:?}");
        }
    }

    #[test]
    fn what_is_removed_is_removed_wherever_it_is() {
        let fields = Fields::from_json(
            r#"{"attributes":[{"attr":["pay"],"field":["meta","salary"]},{"attr":["owner","mail"],"field":["mail"]},
                              {"attr":["a"],"field":["b"]}]}"#,
        )
        .unwrap();
        let path = |text: &str| text.split('.').map(str::to_owned).collect::<Path>();
        for (removed, withheld) in [
            ("pay", vec!["meta.salary", "pay"]),
            ("owner", vec!["mail", "owner"]),
            ("owner.mail", vec!["mail", "owner.mail"]),
            ("owner.mail.host", vec!["mail.host", "owner.mail.host"]),
            ("owner.name", vec!["owner.name"]),
            ("b", vec!["b"]),
        ] {
            let redaction = Redaction { attributes: [path(removed)].into(), text: true };
            let expected = withheld.into_iter().map(path).collect();
            assert_eq!(fields.withheld(&redaction), Redaction { attributes: expected, text: true });
        }
    }

    #[test]
    fn fields_are_read_from_json() {
        assert_eq!(Fields::from_json("{}").unwrap(), Fields::default());
        let fields = Fields::from_json(
            r#"{"attributes":[{"attr":["owner","team"],"field":["owner_team"]}],"entity_type":{"constant":"Doc"},
                "id":{"field":"doc"},"ancestors":{"absent":true},"admitted":true}"#,
        )
        .unwrap();
        assert_eq!(fields.of(&["owner".into(), "team".into()]), ["owner_team"]);
        assert_eq!(fields.of(&["owner".into(), "team".into(), "name".into()]), ["owner_team", "name"]);
        assert_eq!(fields.of(&["owner".into()]), ["owner"]);
        assert_eq!(fields.entity_type, Place::Constant("Doc".to_owned()));
        assert_eq!((fields.id, fields.ancestors), (Place::Field("doc".to_owned()), Place::Absent));
        assert!(fields.admitted);
    }

    #[test]
    fn what_is_no_map_of_fields_is_refused_with_its_place() {
        for (text, place) in [
            (r#"{"atributes":[]}"#, "atributes"),
            (r#"{"attributes":[{"attr":[],"field":["a"]}]}"#, "attributes[0]"),
            (r#"{"id":{"constant":"x"}}"#, "id"),
            (r#"{"ancestors":{"absent":false}}"#, "ancestors"),
        ] {
            let error = Fields::from_json(text).unwrap_err().to_string();
            assert!(error.contains(place), "{text}: {error}");
        }
    }
}
