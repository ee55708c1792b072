//! Reading a request: the principal, the subject, the actors, the context.

use crate::bindings::tamis::policy::gates::{Entity, EntityUid, Request, Value};
use crate::error::Error;
use crate::value::ValueRef;

/// An entity of a request, with the values that its attributes point at.
#[derive(Clone, Copy, Debug)]
pub struct EntityRef<'a> {
    entity: &'a Entity,
    values: &'a [Value],
}

impl Request {
    /// For whom this call decides: the subject, or one of the actors.
    ///
    /// # Errors
    /// If the request is malformed.
    pub fn principal(&self) -> Result<EntityRef<'_>, Error> {
        self.entity_at(self.principal)
    }

    /// The user on whose behalf everything happens.
    ///
    /// # Errors
    /// If the request is malformed.
    pub fn subject(&self) -> Result<EntityRef<'_>, Error> {
        self.entity_at(self.subject)
    }

    /// Agents acting for the subject, the one that makes the call first.
    ///
    /// # Errors
    /// If the request is malformed.
    pub fn actors(&self) -> Result<Vec<EntityRef<'_>>, Error> {
        self.actors.iter().map(|index| self.entity_at(*index)).collect()
    }

    /// The name of the action: `retrieve` for a query and its results, `index` at the admit gate.
    pub fn action_name(&self) -> &str {
        &self.action.id
    }

    /// A fact about this request, or `None` if the host did not give it.
    ///
    /// # Errors
    /// If the request is malformed.
    pub fn context<'a>(&'a self, name: &'a str) -> Result<Option<ValueRef<'a>>, Error> {
        ValueRef::find(&self.values, &self.context, name)
    }

    fn entity_at(&self, index: u32) -> Result<EntityRef<'_>, Error> {
        match self.entities.get(index as usize) {
            Some(entity) => Ok(EntityRef { entity, values: &self.values }),
            None => Err(Error::new("the request refers to an entity that is not there")),
        }
    }
}

impl<'a> EntityRef<'a> {
    /// Who or what it is.
    pub fn uid(&self) -> &'a EntityUid {
        &self.entity.uid
    }

    /// Whether its type is `entity_type`.
    pub fn is_a(&self, entity_type: &str) -> bool {
        self.entity.uid.entity_type == entity_type
    }

    /// Whether it is in the group, directly or through another group.
    pub fn is_in(&self, entity_type: &str, id: &str) -> bool {
        self.entity.ancestors.iter().any(|uid| uid.entity_type == entity_type && uid.id == id)
    }

    /// An attribute, or `None` if it is not known.
    ///
    /// # Errors
    /// If the request is malformed.
    pub fn optional(&self, name: &'a str) -> Result<Option<ValueRef<'a>>, Error> {
        ValueRef::find(self.values, &self.entity.attributes, name)
    }

    /// An attribute.
    ///
    /// # Errors
    /// If it is not known.
    pub fn attribute(&self, name: &'a str) -> Result<ValueRef<'a>, Error> {
        let EntityUid { entity_type, id } = self.uid();
        self.optional(name)?
            .ok_or_else(|| Error::new(format!("{entity_type}::{id:?} has no attribute `{name}`")))
    }

    /// An attribute that is a text.
    ///
    /// # Errors
    /// If it is not known or of another type.
    pub fn text(&self, name: &'a str) -> Result<&'a str, Error> {
        self.attribute(name)?.text()
    }

    /// An attribute that is a whole number.
    ///
    /// # Errors
    /// If it is not known or of another type.
    pub fn long(&self, name: &'a str) -> Result<i64, Error> {
        self.attribute(name)?.long()
    }

    /// An attribute that is a set of texts.
    ///
    /// # Errors
    /// If it is not known or of another type.
    pub fn texts(&self, name: &'a str) -> Result<Vec<&'a str>, Error> {
        self.attribute(name)?.texts()
    }
}
