//! Core values and requests as bytes.

use std::collections::{BTreeMap, BTreeSet};

use tamis_contract::frame::{Writer, tag};
use tamis_core::value::Record;
use tamis_core::{EntityUid, Request, Value};

use crate::error::Error;

/// A request, and where each of its principals is among its entities.
#[derive(Debug)]
pub(crate) struct RequestBytes {
    bytes: Vec<u8>,
    principals: Vec<u32>,
}

impl RequestBytes {
    /// Writes a request once for everyone in it.
    ///
    /// # Errors
    /// [`Error::Host`] if a principal is not among the entities.
    pub(crate) fn of(request: &Request) -> Result<Self, Error> {
        let mut positions: BTreeMap<&EntityUid, u32> = BTreeMap::new();
        for ((entity, _), position) in request.entities().iter().zip(0_u32..) {
            positions.insert(&entity.uid, position);
        }
        let find = |uid: &EntityUid| {
            let known = positions.get(uid).copied();
            known.ok_or_else(|| Error::Host(format!("`{uid}` is not among the request's entities")))
        };
        let principals: Vec<u32> = request.principals().map(find).collect::<Result<_, _>>()?;
        let subject = find(request.subject())?;
        let mut writer = Writer::default();
        // For whom: set by `each`.
        writer.size(0);
        writer.size(subject as usize);
        writer.size(request.actors().len());
        for actor in request.actors() {
            writer.size(find(actor)? as usize);
        }
        writer.uid(&request.action().entity_type, &request.action().id);
        fields(&mut writer, request.context());
        writer.size(positions.len());
        for (entity, ancestors) in request.entities().iter() {
            writer.uid(&entity.uid.entity_type, &entity.uid.id);
            fields(&mut writer, &entity.attributes);
            fields(&mut writer, &entity.tags);
            writer.size(ancestors.len());
            ancestors.iter().for_each(|uid| writer.uid(&uid.entity_type, &uid.id));
        }
        Ok(Self { bytes: writer.bytes, principals })
    }

    /// Calls `act` with the request as it is for the subject, then for each actor.
    pub(crate) fn each<E>(&mut self, mut act: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        for principal in &self.principals {
            if let Some(place) = self.bytes.first_chunk_mut() {
                *place = principal.to_le_bytes();
            }
            act(&self.bytes)?;
        }
        Ok(())
    }
}

fn fields(writer: &mut Writer, record: &Record) {
    writer.size(record.len());
    for (name, field) in record {
        writer.text(name);
        value(writer, field);
    }
}

/// The set of `ancestors`, as a set of entities.
pub(super) fn uids(writer: &mut Writer, ancestors: &BTreeSet<EntityUid>) {
    writer.head(tag::SET, ancestors.len());
    ancestors.iter().for_each(|uid| writer.entity(&uid.entity_type, &uid.id));
}

/// Any value.
pub(super) fn value(writer: &mut Writer, value: &Value) {
    match value {
        Value::Bool(value) => writer.boolean(*value),
        Value::Long(number) => writer.number(tag::LONG, *number),
        Value::String(text) => writer.tagged_text(tag::TEXT, text),
        Value::Entity(uid) => writer.entity(&uid.entity_type, &uid.id),
        Value::Decimal(number) => writer.number(tag::DECIMAL, *number),
        Value::Datetime(number) => writer.number(tag::DATETIME, *number),
        Value::Duration(number) => writer.number(tag::DURATION, *number),
        Value::Ip(network) => writer.network(network),
        Value::Set(elements) => {
            writer.head(tag::SET, elements.len());
            elements.iter().for_each(|element| self::value(writer, element));
        }
        Value::Record(record) => {
            writer.bytes.push(tag::RECORD);
            fields(writer, record);
        }
        Value::IllTyped(reason) => writer.tagged_text(tag::ILL_TYPED, reason),
    }
}
