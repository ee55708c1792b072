//! A request as the engine holds it, and chunks as expressions see them.

use alloc::vec;
use alloc::vec::Vec;

use bumpalo::Bump;
use tamis_contract::frame::{FrameError, Reader};
use tamis_contract::value::{Field, Uid, Value, holds, place, record_fields, sort};

use crate::coerce::Coerce;
use crate::fault::Fault;
use crate::program::{KeyKind, Program, Section, width};

/// What is known of one entity.
#[derive(Clone, Copy, Debug)]
pub struct Entity<'a> {
    /// Its identity.
    pub uid: Uid<'a>,
    /// Its attributes.
    pub attributes: &'a [Field<'a>],
    /// Its tags.
    pub tags: &'a [Field<'a>],
    /// Everything above it: the elements of a set of entities.
    pub ancestors: &'a [Value<'a>],
}

/// A request as hosts make it.
#[derive(Clone, Debug)]
pub struct RawRequest<'a> {
    /// For whom to decide: an index into `entities`.
    pub principal: usize,
    /// The user on whose behalf everything happens: an index into `entities`.
    pub subject: usize,
    /// Agents acting for the subject: indices into `entities`.
    pub actors: Vec<usize>,
    /// What is to be done.
    pub action: Uid<'a>,
    /// Facts about the request.
    pub context: &'a [Field<'a>],
    /// Everything that is known.
    pub entities: Vec<Entity<'a>>,
}

/// Who asks to do what.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// For whom to decide.
    pub principal: Uid<'a>,
    /// What is to be done.
    pub action: Uid<'a>,
    /// Facts about the request, a record.
    pub context: Value<'a>,
    /// Everything that is known, in the order of the uids.
    entities: &'a [Entity<'a>],
}

impl<'a> RawRequest<'a> {
    /// Reads a request as `FRAME.md` defines it.
    ///
    /// # Errors
    /// If the bytes are not exactly a request.
    pub fn read(bytes: &'a [u8], arena: &'a Bump) -> Result<Self, FrameError> {
        let mut reader = Reader::new(bytes);
        let (principal, subject) = (reader.size()?, reader.size()?);
        let mut actors = Vec::new();
        for _ in 0..reader.size()? {
            actors.push(reader.size()?);
        }
        let action = reader.uid()?;
        let context = reader.fields(arena)?;
        let mut entities = Vec::new();
        for _ in 0..reader.size()? {
            entities.push(Entity {
                uid: reader.uid()?,
                attributes: reader.fields(arena)?,
                tags: reader.fields(arena)?,
                ancestors: reader.uids(arena)?,
            });
        }
        if reader.is_empty() {
            Ok(Self { principal, subject, actors, action, context, entities })
        } else {
            Err(FrameError)
        }
    }

    /// Completes the request: values get the types that the program's schema gives them, the action gets the schema's groups, and
    /// with actors the context gets `subject` and `actors`.
    ///
    /// # Errors
    /// If the request refers to an entity that is not there.
    pub fn complete(self, program: Program<'a>, arena: &'a Bump) -> Result<Request<'a>, Fault<'a>> {
        let Self { principal, subject, actors, action, context, mut entities } = self;
        let coerce = Coerce { program, arena };
        let find =
            |index: usize| entities.get(index).map(|entity: &Entity<'a>| entity.uid).ok_or(Fault::Program);
        let principal = find(principal)?;
        let mut context = coerce.context(&action, context);
        if !actors.is_empty() {
            let mut acting = Vec::new();
            for actor in actors {
                acting.push(Value::entity(arena, find(actor)?));
            }
            let mut facts = Vec::new();
            facts.push(("subject", Value::entity(arena, find(subject)?)));
            facts.push(("actors", Value::set(arena, acting)));
            for fact in context {
                if fact.0 != "subject" && fact.0 != "actors" {
                    facts.push(*fact);
                }
            }
            context = record_fields(arena, facts);
        }
        for entity in &mut entities {
            coerce.entity(entity);
        }
        let mut groups = program.action_groups(&action);
        if groups.len() > 0 {
            let entity = match entities.iter_mut().find(|entity| entity.uid == action) {
                Some(entity) => entity,
                None => entities.push_mut(Entity { uid: action, attributes: &[], tags: &[], ancestors: &[] }),
            };
            let mut ancestors = Vec::from(entity.ancestors);
            while let (Some(entity_type), Some(id)) = (groups.next(), groups.next()) {
                ancestors.push(Value::entity(arena, program.uid(entity_type, id)));
            }
            if let Value::Set(all) = Value::set(arena, ancestors) {
                entity.ancestors = all;
            }
        }
        sort(&mut entities, |a, b| a.uid < b.uid);
        // In the arena, as the request may be: what lies there is never dropped.
        let entities = &*arena.alloc_slice_copy(&entities);
        Ok(Request { principal, action, context: Value::Record(context), entities })
    }
}

impl<'a> Request<'a> {
    /// A request of which nothing is known, for what needs none.
    pub fn nobody() -> Self {
        let nothing = Uid { entity_type: "", id: "" };
        Self { principal: nothing, action: nothing, context: Value::Record(&[]), entities: &[] }
    }

    /// What is known of an entity.
    pub fn entity(&self, uid: &Uid<'_>) -> Option<&Entity<'a>> {
        let at = place(self.entities.len(), &|index| {
            self.entities.get(index).is_some_and(|entity| entity.uid < *uid)
        });
        self.entities.get(at).filter(|entity| entity.uid == *uid)
    }

    /// Everything that is known.
    pub(crate) fn entities(&self) -> &[Entity<'a>] {
        self.entities
    }

    /// Everything above an entity.
    pub(crate) fn ancestors(&self, uid: &Uid<'_>) -> &'a [Value<'a>] {
        self.entity(uid).map_or(&[], |entity| entity.ancestors)
    }

    /// Whether an entity is another one or below it.
    pub fn is_in(&self, uid: &Uid<'_>, group: &Uid<'_>) -> bool {
        uid == group || holds(self.ancestors(uid), &Value::Entity(group))
    }

    /// For each rule of the program 1 if its scope can hold for this principal and action, and otherwise 0.
    pub fn candidates(&self, program: &Program<'a>) -> Vec<u8> {
        let mut marks = vec![0; program.count(Section::Rules, width::RULE) as usize];
        program.mark_rules(KeyKind::Always, &Uid { entity_type: "", id: "" }, &mut marks);
        for (kind, uid) in [(KeyKind::Principal, &self.principal), (KeyKind::Action, &self.action)] {
            program.mark_rules(kind, uid, &mut marks);
            for ancestor in self.ancestors(uid) {
                if let Value::Entity(ancestor) = ancestor {
                    program.mark_rules(kind, ancestor, &mut marks);
                }
            }
        }
        marks
    }
}

/// A chunk, as expressions see it.
pub trait Chunk<'a> {
    /// Its entity type.
    fn entity_type(&self) -> &'a str;
    /// Its identity.
    fn uid(&self) -> Uid<'a>;
    /// The attribute in a column of the program; `None` if it is absent.
    fn column(&self, column: u32) -> Option<Value<'a>>;
    /// Its tags.
    fn tags(&self) -> &'a [Field<'a>];
    /// Everything above it: the elements of a set of entities.
    fn ancestors(&self) -> &'a [Value<'a>];
}
