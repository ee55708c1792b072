//! Requests: who asks, for whom, to do what. The JSON form follows OpenID AuthZEN 1.0.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value as Json};

use crate::chunk::{Attributes, Chunk};
use crate::entity::{Entities, Entity, EntityUid};
use crate::input::{self, InputError, Object, RawUid};
use crate::metadata::read_record;
use crate::value::Record;

/// The action of a query and of its results.
pub const RETRIEVE: &str = "retrieve";
/// The action at the admit gate.
pub const INDEX: &str = "index";
/// The entity type of an action that is given by name.
pub const ACTION_TYPE: &str = "Action";

/// Who asks, for whom, to do what.
///
/// There is always a subject; the subject and every actor are among the entities.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    subject: EntityUid,
    actors: Vec<EntityUid>,
    action: EntityUid,
    context: Record,
    /// Shared: a request is kept where it is asked for, and groups are most of it.
    entities: Arc<Entities>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSubject {
    #[serde(rename = "type")]
    entity_type: String,
    id: String,
    #[serde(default)]
    properties: Map<String, Json>,
    #[serde(default)]
    tags: Map<String, Json>,
    #[serde(default)]
    parents: Vec<Object<RawUid>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAction {
    name: String,
    #[serde(default)]
    properties: Map<String, Json>,
}

/// An entity in Cedar's JSON form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntity {
    uid: RawEntityUid,
    #[serde(default)]
    attrs: Map<String, Json>,
    #[serde(default)]
    parents: Vec<RawEntityUid>,
    #[serde(default)]
    tags: Map<String, Json>,
}

/// A uid, plain or in Cedar's explicit form.
struct RawEntityUid(EntityUid);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRequest {
    subject: Object<RawSubject>,
    #[serde(default)]
    actor: Vec<Object<RawSubject>>,
    action: Object<RawAction>,
    resource: Option<Object<RawSubject>>,
    #[serde(default)]
    context: Map<String, Json>,
    #[serde(default)]
    entities: Vec<Object<RawEntity>>,
}

/// A request in Cedar's own form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCedarRequest {
    principal: RawEntityUid,
    action: RawEntityUid,
    resource: RawEntityUid,
    #[serde(default)]
    context: Map<String, Json>,
    #[serde(default)]
    entities: Vec<Object<RawEntity>>,
}

impl Request {
    /// A request by `subject` in person, with nothing known but its identity.
    pub fn new(subject: EntityUid, action: &str) -> Self {
        let entity = Entity::new(subject.clone());
        Self {
            subject,
            actors: Vec::new(),
            action: EntityUid::new(ACTION_TYPE, action),
            context: Record::new(),
            // A single entity without parents cannot form a cycle.
            entities: Entities::new([entity]).unwrap_or_default().into(),
        }
    }

    /// Reads `{"subject", "actor", "action", "context", "entities"}`. Only the subject and the action are required.
    ///
    /// # Errors
    /// For JSON that is not of this shape, an object with a key twice, an entity that is given twice, groups that
    /// form a cycle, or a `resource`: chunks are not part of this request.
    pub fn from_json(text: &str) -> Result<Self, InputError> {
        let Object(raw): Object<RawRequest> = input::parse(text)?;
        if raw.resource.is_some() {
            return Err(InputError::new(
                "resource",
                "is not part of this request; the chunks are the resources",
            ));
        }
        Ok(raw.resolve(Vec::new())?.0)
    }

    /// Reads one whole question: a request as [`Request::from_json`] takes it with a `resource`, or one in Cedar's
    /// own form (`principal`, `action`, `resource`, `context`, `entities`). `known` are entities for every request.
    ///
    /// # Errors
    /// As [`Request::from_json`], and if there is no resource.
    pub fn evaluation_from_json(text: &str, known: &KnownEntities) -> Result<(Self, Chunk), InputError> {
        let json = input::parse_json(text)?;
        if json.get("principal").is_some() {
            let Object(raw): Object<RawCedarRequest> = input::from_json(json)?;
            return raw.resolve(&known.0);
        }
        let Object(raw): Object<RawRequest> = input::from_json(json)?;
        let (request, resource) = raw.resolve(known.0.clone())?;
        let chunk = resource.ok_or_else(|| InputError::new("resource", "is missing"))?;
        Ok((request, chunk))
    }

    /// The same request with another action.
    #[must_use]
    pub fn with_action(mut self, action: &str) -> Self {
        self.action = EntityUid::new(ACTION_TYPE, action);
        self
    }

    /// The user on whose behalf everything happens.
    pub fn subject(&self) -> &EntityUid {
        &self.subject
    }

    /// Agents acting for the subject, the one that makes the call first.
    pub fn actors(&self) -> &[EntityUid] {
        &self.actors
    }

    /// Everyone for whom the policy must allow: the subject, then every actor.
    pub fn principals(&self) -> impl Iterator<Item = &EntityUid> {
        std::iter::once(&self.subject).chain(&self.actors)
    }

    /// What is to be done.
    pub fn action(&self) -> &EntityUid {
        &self.action
    }

    /// Facts about this request that belong to no entity.
    pub fn context(&self) -> &Record {
        &self.context
    }

    /// Everyone and everything that is known, the subject and the actors included.
    pub fn entities(&self) -> &Entities {
        &self.entities
    }
}

/// Entities in Cedar's JSON form, read once for many evaluations.
#[derive(Clone, Debug, Default)]
pub struct KnownEntities(Vec<KnownEntity>);

#[derive(Clone, Debug)]
struct KnownEntity {
    uid: EntityUid,
    attributes: Attributes,
    tags: Attributes,
    parents: BTreeSet<EntityUid>,
}

impl KnownEntities {
    /// Reads a JSON array of entities, each `{"uid", "attrs", "parents", "tags"}`.
    ///
    /// # Errors
    /// For JSON that is not of this shape, or an entity that is given twice.
    pub fn from_json(text: &str) -> Result<Self, InputError> {
        let raw: Vec<Object<RawEntity>> = input::parse(text)?;
        let entities: Vec<KnownEntity> = raw.into_iter().map(|Object(raw)| raw.into()).collect();
        let mut seen = BTreeSet::new();
        match entities.iter().find(|entity| !seen.insert(&entity.uid)) {
            Some(twice) => Err(InputError::new("", format!("`{}` is given twice", twice.uid))),
            None => Ok(Self(entities)),
        }
    }
}

impl From<RawEntity> for KnownEntity {
    fn from(raw: RawEntity) -> Self {
        Self {
            uid: raw.uid.0,
            attributes: raw.attrs,
            tags: raw.tags,
            parents: raw.parents.into_iter().map(|uid| uid.0).collect(),
        }
    }
}

impl From<&KnownEntity> for Entity {
    fn from(known: &KnownEntity) -> Self {
        Self {
            uid: known.uid.clone(),
            attributes: read_record(&known.attributes),
            tags: read_record(&known.tags),
            parents: known.parents.clone(),
        }
    }
}

impl From<RawSubject> for KnownEntity {
    fn from(raw: RawSubject) -> Self {
        Self {
            uid: EntityUid::new(raw.entity_type, raw.id),
            attributes: raw.properties,
            tags: raw.tags,
            parents: raw.parents.into_iter().map(|Object(uid)| uid.into()).collect(),
        }
    }
}

impl<'de> Deserialize<'de> for RawEntityUid {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Explicit {
            __entity: Object<RawUid>,
        }

        let json = Json::deserialize(deserializer)?;
        let explicit = json.get("__entity").is_some();
        let uid = if explicit {
            serde_json::from_value::<Object<Explicit>>(json).map(|Object(explicit)| explicit.__entity)
        } else {
            serde_json::from_value(json)
        };
        uid.map(|Object(uid)| Self(uid.into())).map_err(serde::de::Error::custom)
    }
}

impl RawRequest {
    fn resolve(self, known: Vec<KnownEntity>) -> Result<(Request, Option<Chunk>), InputError> {
        let mut entities = Gathered::default();
        let Object(subject) = self.subject;
        let subject = entities.add(subject.into(), "subject")?;
        let mut actors = Vec::with_capacity(self.actor.len());
        for (index, Object(actor)) in self.actor.into_iter().enumerate() {
            let actor = KnownEntity::from(actor);
            if actor.uid == subject || actors.contains(&actor.uid) {
                let message = format!("`{}` is given twice", actor.uid);
                return Err(InputError::new(format!("actor[{index}]"), message));
            }
            actors.push(entities.add(actor, &format!("actor[{index}]"))?);
        }
        let Object(action) = self.action;
        let action_uid = EntityUid::new(ACTION_TYPE, action.name);
        if !action.properties.is_empty() {
            let action = KnownEntity {
                uid: action_uid.clone(),
                attributes: action.properties,
                tags: Attributes::new(),
                parents: BTreeSet::new(),
            };
            entities.add(action, "action")?;
        }
        for (index, Object(entity)) in self.entities.into_iter().enumerate() {
            entities.add(entity.into(), &format!("entities[{index}]"))?;
        }
        entities.add_known(known);
        let resource = self.resource.map(|Object(resource)| KnownEntity::from(resource));
        let chunk = resource.map(|resource| entities.chunk(resource)).transpose()?;
        let request = Request {
            subject,
            actors,
            action: action_uid,
            context: read_record(&self.context),
            entities: entities.close()?.into(),
        };
        Ok((request, chunk))
    }
}

impl RawCedarRequest {
    fn resolve(self, known: &[KnownEntity]) -> Result<(Request, Chunk), InputError> {
        let mut entities = Gathered::default();
        for (index, Object(entity)) in self.entities.into_iter().enumerate() {
            entities.add(entity.into(), &format!("entities[{index}]"))?;
        }
        let subject = entities.add(KnownEntity::bare(self.principal.0), "principal")?;
        entities.add_known(known.to_vec());
        let chunk = entities.chunk(KnownEntity::bare(self.resource.0))?;
        let request = Request {
            subject,
            actors: Vec::new(),
            action: self.action.0,
            context: read_record(&self.context),
            entities: entities.close()?.into(),
        };
        Ok((request, chunk))
    }
}

impl KnownEntity {
    fn bare(uid: EntityUid) -> Self {
        Self { uid, attributes: Attributes::new(), tags: Attributes::new(), parents: BTreeSet::new() }
    }

    fn is_bare(&self) -> bool {
        self.attributes.is_empty() && self.tags.is_empty() && self.parents.is_empty()
    }
}

/// The entities of one request while it is read.
#[derive(Default)]
struct Gathered {
    by_uid: BTreeMap<EntityUid, KnownEntity>,
}

impl Gathered {
    /// Adds an entity that the request names. A bare mention takes whatever is said of it elsewhere; two
    /// descriptions are an error.
    fn add(&mut self, entity: KnownEntity, place: &str) -> Result<EntityUid, InputError> {
        let uid = entity.uid.clone();
        match self.by_uid.get(&uid) {
            Some(known) if !known.is_bare() && !entity.is_bare() => {
                return Err(InputError::new(place, format!("`{uid}` is described twice")));
            }
            Some(known) if !known.is_bare() => {}
            _ => {
                self.by_uid.insert(uid.clone(), entity);
            }
        }
        Ok(uid)
    }

    /// Adds entities that are known to every request; what the request says of them comes first.
    fn add_known(&mut self, known: Vec<KnownEntity>) {
        for entity in known {
            let place = self.by_uid.entry(entity.uid.clone()).or_insert_with(|| entity.clone());
            if place.is_bare() {
                *place = entity;
            }
        }
    }

    /// The resource of an evaluation as a chunk, with all its ancestors. A bare mention takes what is known of it.
    fn chunk(&self, mentioned: KnownEntity) -> Result<Chunk, InputError> {
        let known = self.by_uid.get(&mentioned.uid).filter(|_| mentioned.is_bare()).cloned();
        let resource = known.unwrap_or(mentioned);
        let mut ancestors = BTreeSet::new();
        let mut pending: Vec<&EntityUid> = resource.parents.iter().collect();
        while let Some(uid) = pending.pop() {
            if *uid == resource.uid {
                return Err(InputError::new("resource", crate::entity::CycleError(uid.clone())));
            }
            if ancestors.insert(uid.clone()) {
                pending.extend(self.by_uid.get(uid).into_iter().flat_map(|entity| &entity.parents));
            }
        }
        Ok(Chunk {
            uid: resource.uid,
            attributes: resource.attributes,
            tags: resource.tags,
            ancestors,
            text: None,
            vector: None,
        })
    }

    fn close(&self) -> Result<Entities, InputError> {
        Entities::new(self.by_uid.values().map(Entity::from))
            .map_err(|error| InputError::new("entities", error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Value;

    const FULL: &str = r#"{
        "subject": {"type": "User", "id": "alice", "properties": {"level": 3, "none": null},
                    "parents": [{"type": "Group", "id": "hr"}]},
        "actor": [{"type": "Agent", "id": "copilot"}],
        "action": {"name": "retrieve"},
        "context": {"mfa": true},
        "entities": [{"uid": {"type": "Group", "id": "hr"}, "parents": [{"__entity": {"type": "Group", "id": "all"}}]}]
    }"#;

    #[test]
    fn a_request_reads_from_json() {
        let request = Request::from_json(FULL).unwrap();
        let alice = EntityUid::new("User", "alice");
        let copilot = EntityUid::new("Agent", "copilot");
        assert_eq!(request.subject(), &alice);
        assert_eq!(request.principals().collect::<Vec<_>>(), [&alice, &copilot]);
        assert_eq!(request.action(), &EntityUid::new("Action", "retrieve"));
        assert_eq!(request.context().get("mfa"), Some(&Value::Bool(true)));
        let attributes = &request.entities().get(&alice).unwrap().attributes;
        assert_eq!(attributes, &Record::from([("level".to_owned(), Value::Long(3))]));
        let ancestors = request.entities().ancestors(&alice).unwrap();
        assert_eq!(ancestors.len(), 2, "hr, and through it all");
        assert!(request.entities().get(&copilot).is_some());
    }

    #[test]
    fn bad_requests_name_the_place() {
        for (text, message) in [
            ("", "line 1 column 0: EOF"),
            ("[]", "invalid type: sequence, expected a JSON object"),
            ("{}", "missing field `subject`"),
            (r#"{"subject":{"type":"U","id":"a"}}"#, "missing field `action`"),
            (r#"{"subject":"alice","action":{"name":"r"}}"#, "subject: invalid type: string"),
            (r#"{"subject":["U","a"],"action":{"name":"r"}}"#, "subject: invalid type: sequence"),
            (
                r#"{"subject":{"type":"U","id":7},"action":{"name":"r"}}"#,
                "subject.id: invalid type: integer `7`",
            ),
            (
                r#"{"subject":{"type":"U","id":"a","roles":[]},"action":{"name":"r"}}"#,
                "subject.roles: unknown field",
            ),
            (
                r#"{"subject":{"type":"U","id":"a"},"action":{"name":"r"},"user":1}"#,
                "user: unknown field `user`",
            ),
            (
                r#"{"subject":{"type":"U","id":"a","id":"b"},"action":{"name":"r"}}"#,
                "the key `id` occurs twice",
            ),
            (
                r#"{"subject":{"type":"U","id":"a"},"actor":[{"type":"U","id":"a"}],"action":{"name":"r"}}"#,
                "actor[0]: `U::\"a\"` is given twice",
            ),
            (
                r#"{"subject":{"type":"U","id":"a"},"action":{"name":"r"},"resource":{"type":"C","id":"c"}}"#,
                "resource: is not part",
            ),
            (
                r#"{"subject":{"type":"U","id":"a","parents":[{"type":"U","id":"a"}]},"action":{"name":"r"}}"#,
                "cycle",
            ),
            (
                r#"{"subject":{"type":"U","id":"a"},"action":{"name":"r"},"context":[]}"#,
                "context: invalid type",
            ),
        ] {
            let error = Request::from_json(text).unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn a_bare_mention_takes_what_is_said_elsewhere() {
        let text = r#"{"subject":{"type":"User","id":"a"},"action":{"name":"view"},"resource":{"type":"Doc","id":"d"},
                       "entities":[{"uid":{"type":"User","id":"a"},"attrs":{"level":1}}]}"#;
        let known = KnownEntities::from_json(
            r#"[{"uid":{"type":"User","id":"a"},"attrs":{"level":9}},{"uid":{"type":"Doc","id":"d"},"attrs":{"x":1}}]"#,
        )
        .unwrap();
        let (request, chunk) = Request::evaluation_from_json(text, &known).unwrap();
        let subject = request.entities().get(request.subject()).unwrap();
        assert_eq!(subject.attributes.get("level"), Some(&Value::Long(1)), "the request comes first");
        assert_eq!(chunk.attributes.get("x"), Some(&Json::from(1)));

        let twice = text.replace(r#""id":"a"}"#, r#""id":"a","properties":{"level":2}}"#);
        let twice = twice.replacen(r#","properties":{"level":2}},"attrs""#, r#"},"attrs""#, 1);
        let error = Request::evaluation_from_json(&twice, &known).unwrap_err();
        assert_eq!(error.to_string(), "entities[0]: `User::\"a\"` is described twice");
    }

    #[test]
    fn what_is_said_of_someone_stays_whatever_is_mentioned_later() {
        let request = Request::from_json(
            r#"{"subject":{"type":"User","id":"a","properties":{"level":1}},
                "actor":[{"type":"Agent","id":"x","properties":{"level":2}},{"type":"Agent","id":"y"}],
                "action":{"name":"view","properties":{"risk":3}},
                "entities":[{"uid":{"type":"User","id":"a"}},{"uid":{"type":"Agent","id":"x"}}]}"#,
        )
        .unwrap();
        let agents = [EntityUid::new("Agent", "x"), EntityUid::new("Agent", "y")];
        assert_eq!(request.actors(), agents);
        let of = |uid: &EntityUid, name: &str| request.entities().get(uid)?.attributes.get(name).cloned();
        assert_eq!(of(request.subject(), "level"), Some(Value::Long(1)));
        assert_eq!(of(&agents[0], "level"), Some(Value::Long(2)));
        assert_eq!(of(request.action(), "risk"), Some(Value::Long(3)));
    }

    #[test]
    fn an_evaluation_has_a_resource_in_either_form() {
        let known = KnownEntities::from_json(
            r#"[{"uid":{"type":"Doc","id":"d"},"attrs":{"level":1},"parents":[{"type":"Folder","id":"f"}]},
                {"uid":{"type":"Folder","id":"f"},"parents":[{"type":"Folder","id":"g"}]}]"#,
        )
        .unwrap();
        let cedar = r#"{"principal":{"type":"User","id":"a"},"action":{"type":"Action","id":"view"},
                        "resource":{"__entity":{"type":"Doc","id":"d"}}}"#;
        let (request, chunk) = Request::evaluation_from_json(cedar, &known).unwrap();
        assert_eq!(request.subject(), &EntityUid::new("User", "a"));
        assert_eq!(chunk.ancestors.len(), 2);
        assert_eq!(chunk.attributes.get("level"), Some(&Json::from(1)));

        let authzen = r#"{"subject":{"type":"User","id":"a"},"action":{"name":"view"},
                          "resource":{"type":"Doc","id":"d","properties":{"level":2},"parents":[{"type":"Folder","id":"f"}]}}"#;
        let (_, chunk) = Request::evaluation_from_json(authzen, &known).unwrap();
        assert_eq!(chunk.ancestors.len(), 2);
        assert_eq!(chunk.attributes.get("level"), Some(&Json::from(2)));

        let without = r#"{"subject":{"type":"User","id":"a"},"action":{"name":"view"}}"#;
        let error = Request::evaluation_from_json(without, &known).unwrap_err();
        assert_eq!(error.to_string(), "resource: is missing");
    }
}
