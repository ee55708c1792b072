//! A case before it is written down: trees, which can be made smaller piece by piece.

use serde_json::{Value as Json, json};

use super::case::Case;
use super::model::Model;
use super::policy::Policy;
use super::value::{Escapes, Fields, Uid, Value, fields_json};

/// A case as trees.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The schema, if the case has one.
    pub schema: Option<Model>,
    /// The policies.
    pub policies: Vec<Policy>,
    /// The entities.
    pub entities: Vec<Entity>,
    /// The requests.
    pub requests: Vec<Request>,
}

/// An entity of the store.
#[derive(Clone, Debug)]
pub struct Entity {
    /// Its uid.
    pub uid: Uid,
    /// Its attributes.
    pub attributes: Fields,
    /// Its tags.
    pub tags: Fields,
    /// The entities that it is directly in.
    pub parents: Vec<Uid>,
    /// How its attributes are written.
    pub escapes: Escapes,
    /// How its uid and those of its parents are written; both ways are right.
    pub uid_escapes: Escapes,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    /// Who asks.
    pub principal: Uid,
    /// To do what.
    pub action: Uid,
    /// To what.
    pub resource: Uid,
    /// What else is known.
    pub context: Fields,
}

impl Draft {
    /// The case.
    pub fn case(&self) -> Case {
        Case {
            schema: self.schema.as_ref().map(Model::schema),
            policies: self.policies.iter().map(ToString::to_string).collect(),
            entities: self.entities.iter().map(Entity::json).collect(),
            requests: self.requests.iter().map(Request::json).collect(),
        }
    }

    /// How many policies, expressions, entities and values there are, to tell a small case from a large one.
    pub fn size(&self) -> usize {
        let conditions = self.policies.iter().flat_map(|policy| &policy.conditions);
        let expressions: usize = conditions.map(|condition| condition.body.size()).sum();
        let values: usize =
            self.entities.iter().map(|entity| entity.attributes.len() + entity.tags.len()).sum();
        self.policies.len() + expressions + self.entities.len() + values
    }
}

impl Entity {
    /// The entity in Cedar's JSON.
    pub fn json(&self) -> Json {
        let uid = |uid: &Uid| Value::Entity(uid.clone()).json(self.uid_escapes);
        let mut json = json!({
            "uid": uid(&self.uid),
            "attrs": fields_json(&self.attributes, self.escapes),
            "parents": self.parents.iter().map(uid).collect::<Vec<_>>(),
        });
        if !self.tags.is_empty() {
            json["tags"] = fields_json(&self.tags, self.escapes);
        }
        json
    }
}

impl Request {
    /// The request in Cedar's JSON.
    pub fn json(&self) -> Json {
        json!({
            "principal": self.principal.json(),
            "action": self.action.json(),
            "resource": self.resource.json(),
            "context": fields_json(&self.context, Escapes::Explicit),
        })
    }
}
