//! Entities: users, groups, agents, actions, and the groups that they are in.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::value::Record;

/// The identity of an entity: a type and an id that is unique within it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityUid {
    /// Such as `User` or `Acme::User`.
    pub entity_type: String,
    /// Any text.
    pub id: String,
}

impl EntityUid {
    /// The entity `entity_type::"id"`.
    pub fn new(entity_type: impl Into<String>, id: impl Into<String>) -> Self {
        Self { entity_type: entity_type.into(), id: id.into() }
    }
}

impl fmt::Display for EntityUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{:?}", self.entity_type, self.id)
    }
}

/// What is known of one entity.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entity {
    /// Who or what it is.
    pub uid: EntityUid,
    /// Facts about it.
    pub attributes: Record,
    /// Facts whose names are data.
    pub tags: Record,
    /// The groups that it is in directly.
    pub parents: BTreeSet<EntityUid>,
}

impl Entity {
    /// An entity of which nothing is known but its identity.
    pub fn new(uid: EntityUid) -> Self {
        Self { uid, attributes: Record::new(), tags: Record::new(), parents: BTreeSet::new() }
    }
}

/// Entities by identity, each with the set of all its ancestors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Entities {
    by_uid: BTreeMap<EntityUid, (Entity, BTreeSet<EntityUid>)>,
}

/// An entity that is its own ancestor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is its own ancestor: the groups form a cycle")]
pub struct CycleError(pub EntityUid);

impl Entities {
    /// Computes the ancestors of every entity. A parent that is not among `entities` is an ancestor without parents.
    ///
    /// # Errors
    /// If an entity would be its own ancestor. Of two entities with the same uid the later one wins; callers that
    /// read input refuse duplicates first.
    pub fn new(entities: impl IntoIterator<Item = Entity>) -> Result<Self, CycleError> {
        let entities: BTreeMap<EntityUid, Entity> =
            entities.into_iter().map(|entity| (entity.uid.clone(), entity)).collect();
        let mut closed: BTreeMap<EntityUid, BTreeSet<EntityUid>> = BTreeMap::new();
        for uid in entities.keys() {
            let mut ancestors = BTreeSet::new();
            let mut pending = vec![uid];
            while let Some(next) = pending.pop() {
                for parent in entities.get(next).into_iter().flat_map(|entity| &entity.parents) {
                    if parent == uid {
                        return Err(CycleError(uid.clone()));
                    }
                    if ancestors.insert(parent.clone()) {
                        pending.push(parent);
                    }
                }
            }
            closed.insert(uid.clone(), ancestors);
        }
        let by_uid = entities
            .into_iter()
            .map(|(uid, entity)| {
                let ancestors = closed.remove(&uid).unwrap_or_default();
                (uid, (entity, ancestors))
            })
            .collect();
        Ok(Self { by_uid })
    }

    /// The entity, if it is known.
    pub fn get(&self, uid: &EntityUid) -> Option<&Entity> {
        self.by_uid.get(uid).map(|(entity, _)| entity)
    }

    /// All ancestors of an entity, without itself; `None` if the entity is not known.
    pub fn ancestors(&self, uid: &EntityUid) -> Option<&BTreeSet<EntityUid>> {
        self.by_uid.get(uid).map(|(_, ancestors)| ancestors)
    }

    /// Every entity with its ancestors, ordered by uid.
    pub fn iter(&self) -> impl Iterator<Item = (&Entity, &BTreeSet<EntityUid>)> {
        self.by_uid.values().map(|(entity, ancestors)| (entity, ancestors))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(id: &str, parents: &[&str]) -> Entity {
        let mut entity = Entity::new(EntityUid::new("Group", id));
        entity.parents = parents.iter().map(|id| EntityUid::new("Group", *id)).collect();
        entity
    }

    #[test]
    fn ancestors_are_transitive_and_may_be_unknown() {
        let entities = Entities::new([group("a", &["b"]), group("b", &["c", "d"])]).unwrap();
        let ancestors = entities.ancestors(&EntityUid::new("Group", "a")).unwrap();
        let ids: Vec<_> = ancestors.iter().map(|uid| uid.id.as_str()).collect();
        assert_eq!(ids, ["b", "c", "d"]);
        let all: Vec<_> = entities.iter().map(|(entity, up)| (entity.uid.id.as_str(), up.len())).collect();
        assert_eq!(all, [("a", 3), ("b", 2)]);
    }

    #[test]
    fn a_cycle_is_refused() {
        let error = Entities::new([group("a", &["b"]), group("b", &["a"])]).unwrap_err();
        assert_eq!(error.0, EntityUid::new("Group", "a"));
        assert!(Entities::new([group("a", &["a"])]).is_err());
    }

    #[test]
    fn a_diamond_is_no_cycle() {
        assert!(Entities::new([group("a", &["b", "c"]), group("b", &["d"]), group("c", &["d"])]).is_ok());
    }
}
