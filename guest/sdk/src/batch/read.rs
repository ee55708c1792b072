//! Requests and values from bytes into the contract's flattened lists.

use bumpalo::Bump;
use tamis_contract::frame::{FrameError, Reader};
use tamis_contract::value::{Field as NamedValue, Uid, Value as ReadValue};

use crate::bindings::tamis::policy::gates::{Entity, EntityUid, Field, IpNetwork, Request, Value};

/// Reads a request as `FRAME.md` defines it.
///
/// # Errors
/// If the bytes are not exactly a request.
pub(super) fn request(bytes: &[u8]) -> Result<Request, FrameError> {
    let arena = Bump::new();
    let mut reader = Reader::new(bytes);
    let mut values = Vec::new();
    let (principal, subject) = (index(&mut reader)?, index(&mut reader)?);
    let mut actors = Vec::new();
    for _ in 0..reader.size()? {
        actors.push(index(&mut reader)?);
    }
    let action = uid(reader.uid()?);
    let context = fields(&mut values, reader.fields(&arena)?);
    let mut entities = Vec::new();
    for _ in 0..reader.size()? {
        entities.push(Entity {
            uid: uid(reader.uid()?),
            attributes: fields(&mut values, reader.fields(&arena)?),
            tags: fields(&mut values, reader.fields(&arena)?),
            ancestors: uids(reader.uids(&arena)?),
        });
    }
    if !reader.is_empty() {
        return Err(FrameError);
    }
    Ok(Request { principal, subject, actors, action, context, entities, values })
}

fn index(reader: &mut Reader<'_>) -> Result<u32, FrameError> {
    u32::try_from(reader.size()?).map_err(|_| FrameError)
}

fn uids(read: &[ReadValue<'_>]) -> Vec<EntityUid> {
    let entity =
        |value: &ReadValue<'_>| if let ReadValue::Entity(read) = value { Some(uid(**read)) } else { None };
    read.iter().filter_map(entity).collect()
}

pub(super) fn uid(read: Uid<'_>) -> EntityUid {
    EntityUid { entity_type: read.entity_type.to_owned(), id: read.id.to_owned() }
}

/// Appends the values of `read` to `values`.
pub(super) fn fields(values: &mut Vec<Value>, read: &[NamedValue<'_>]) -> Vec<Field> {
    read.iter().map(|(name, read)| Field { name: (*name).to_owned(), value: push(values, read) }).collect()
}

/// Appends a value, its parts first, and returns its index.
pub(super) fn push(values: &mut Vec<Value>, read: &ReadValue<'_>) -> u32 {
    let value = match read {
        ReadValue::Bool(value) => Value::Boolean(*value),
        ReadValue::Long(value) => Value::Long(*value),
        ReadValue::Decimal(value) => Value::Decimal(*value),
        ReadValue::Datetime(value) => Value::Datetime(*value),
        ReadValue::Duration(value) => Value::Duration(*value),
        ReadValue::Text(text) => Value::Text((*text).to_owned()),
        ReadValue::IllTyped(reason) => Value::IllTyped((*reason).to_owned()),
        ReadValue::Entity(read) => Value::Entity(uid(**read)),
        ReadValue::Ip(network) => {
            let address = match network.address() {
                std::net::IpAddr::V4(address) => address.octets().to_vec(),
                std::net::IpAddr::V6(address) => address.octets().to_vec(),
            };
            Value::Ip(IpNetwork { address, prefix: network.prefix() })
        }
        ReadValue::Set(elements) => {
            Value::Set(elements.iter().map(|element| push(values, element)).collect())
        }
        ReadValue::Record(read) => Value::Record(fields(values, read)),
    };
    append(values, value)
}

/// Appends a value and returns its index. Memory has 32-bit addresses, so an index always fits; should it ever not, it points
/// nowhere, and reading it is an error.
pub(super) fn append(values: &mut Vec<Value>, value: Value) -> u32 {
    let index = u32::try_from(values.len()).unwrap_or(u32::MAX);
    values.push(value);
    index
}
