//! Building requests and chunks by hand, for a policy's own unit tests.

use crate::attribute::Attribute;
use crate::bindings::tamis::policy::gates::{Chunk, Entity, EntityUid, Field, Request, Value};
use crate::filter::Literal;

/// A value for a builder: a [`Literal`], or a set of them.
#[derive(Clone, Debug, PartialEq)]
pub enum TestValue {
    /// One value.
    One(Literal),
    /// A set of values.
    Set(Vec<Literal>),
}

impl<L: Into<Literal>> From<L> for TestValue {
    fn from(value: L) -> Self {
        Self::One(value.into())
    }
}

impl<L: Into<Literal>, const N: usize> From<[L; N]> for TestValue {
    fn from(values: [L; N]) -> Self {
        Self::Set(values.into_iter().map(Into::into).collect())
    }
}

impl TestValue {
    fn push(self, values: &mut Vec<Value>) -> u32 {
        let value = match self {
            Self::One(literal) => literal.into_value(),
            Self::Set(literals) => {
                Value::Set(literals.into_iter().map(|literal| push(values, literal.into_value())).collect())
            }
        };
        push(values, value)
    }
}

fn push<T>(list: &mut Vec<T>, element: T) -> u32 {
    list.push(element);
    u32::try_from(list.len() - 1).unwrap_or(u32::MAX)
}

/// Builds a request by one principal.
#[derive(Clone, Debug)]
pub struct RequestBuilder {
    request: Request,
}

impl RequestBuilder {
    /// A request by the user `id`, for the action `retrieve`.
    pub fn user(id: &str) -> Self {
        Self::by("User", id)
    }

    /// A request for which an entity of any type is the principal and the subject.
    pub fn by(entity_type: &str, id: &str) -> Self {
        let uid = EntityUid { entity_type: entity_type.to_owned(), id: id.to_owned() };
        let principal = Entity { uid, attributes: Vec::new(), tags: Vec::new(), ancestors: Vec::new() };
        let action = EntityUid { entity_type: "Action".to_owned(), id: "retrieve".to_owned() };
        let request = Request {
            principal: 0,
            subject: 0,
            actors: Vec::new(),
            action,
            context: Vec::new(),
            entities: vec![principal],
            values: Vec::new(),
        };
        Self { request }
    }

    /// The action to be done.
    #[must_use]
    pub fn action(mut self, name: &str) -> Self {
        name.clone_into(&mut self.request.action.id);
        self
    }

    /// An attribute of the principal.
    #[must_use]
    pub fn attribute(mut self, name: &str, value: impl Into<TestValue>) -> Self {
        let value = value.into().push(&mut self.request.values);
        for entity in self.request.entities.iter_mut().take(1) {
            entity.attributes.push(Field { name: name.to_owned(), value });
        }
        self
    }

    /// A group that the principal is in.
    #[must_use]
    pub fn member_of(mut self, entity_type: &str, id: &str) -> Self {
        for entity in self.request.entities.iter_mut().take(1) {
            entity.ancestors.push(EntityUid { entity_type: entity_type.to_owned(), id: id.to_owned() });
        }
        self
    }

    /// A fact about the request.
    #[must_use]
    pub fn context(mut self, name: &str, value: impl Into<TestValue>) -> Self {
        let value = value.into().push(&mut self.request.values);
        self.request.context.push(Field { name: name.to_owned(), value });
        self
    }

    /// The request.
    pub fn build(self) -> Request {
        self.request
    }
}

/// Builds a chunk. Attributes lie at the top: a path of more than one name is not supported here.
#[derive(Clone, Debug)]
pub struct ChunkBuilder {
    chunk: Chunk,
}

impl ChunkBuilder {
    /// A chunk without attributes.
    pub fn new(id: &str) -> Self {
        let uid = EntityUid { entity_type: "Chunk".to_owned(), id: id.to_owned() };
        let chunk = Chunk {
            uid,
            attributes: Vec::new(),
            tags: Vec::new(),
            ancestors: Vec::new(),
            values: Vec::new(),
        };
        Self { chunk }
    }

    /// An attribute of the chunk.
    #[must_use]
    pub fn attribute(mut self, attribute: Attribute, value: impl Into<TestValue>) -> Self {
        let value = value.into().push(&mut self.chunk.values);
        self.chunk.attributes.push(Field { name: attribute.text(), value });
        self
    }

    /// A folder that the chunk is in.
    #[must_use]
    pub fn inside(mut self, entity_type: &str, id: &str) -> Self {
        self.chunk.ancestors.push(EntityUid { entity_type: entity_type.to_owned(), id: id.to_owned() });
        self
    }

    /// The chunk.
    pub fn build(self) -> Chunk {
        self.chunk
    }
}
