//! A request as the engine holds it, and chunks as expressions see them.

use alloc::vec::Vec;

use bumpalo::Bump;
use tamis_contract::frame::{FrameError, Reader};
use tamis_contract::value::{Field, Uid, Value, holds, record_fields, sort};

use crate::coerce::Coerce;
use crate::fault::Fault;
use crate::program::{KeyKind, Program};

/// What is known of one entity.
#[derive(Clone, Debug)]
pub struct Entity<'a> {
    /// Its identity.
    pub uid: Uid<'a>,
    /// Its attributes.
    pub attributes: &'a [Field<'a>],
    /// Its tags.
    pub tags: &'a [Field<'a>],
    /// Everything above it, in ascending order.
    pub ancestors: Vec<Uid<'a>>,
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
    entities: Vec<Entity<'a>>,
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
                ancestors: reader.uids()?,
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
    /// If the program is damaged, or the request refers to an entity that is not there.
    pub fn complete(self, program: Program<'a>, arena: &'a Bump) -> Result<Request<'a>, Fault<'a>> {
        let Self { principal, subject, actors, action, context, mut entities } = self;
        let coerce = Coerce { program, arena };
        let find =
            |index: usize| entities.get(index).map(|entity: &Entity<'a>| entity.uid).ok_or(Fault::Program);
        let principal = find(principal)?;
        let mut context = coerce.context(&action, context)?;
        if !actors.is_empty() {
            let mut acting = Vec::new();
            for actor in actors {
                acting.push(Value::entity(arena, find(actor)?));
            }
            let mut facts = Vec::from(context);
            facts.retain(|(name, _)| *name != "subject" && *name != "actors");
            facts.push(("subject", Value::entity(arena, find(subject)?)));
            facts.push(("actors", Value::set(arena, acting)));
            context = record_fields(arena, facts);
        }
        for entity in &mut entities {
            coerce.entity(entity)?;
        }
        let mut groups = Vec::new();
        program.action_groups(&action, &mut groups)?;
        if !groups.is_empty() {
            match entities.iter_mut().find(|entity| entity.uid == action) {
                Some(entity) => entity.ancestors.extend(groups),
                None => entities.push(Entity { uid: action, attributes: &[], tags: &[], ancestors: groups }),
            }
        }
        for entity in &mut entities {
            sort(&mut entity.ancestors, |a, b| a < b);
        }
        sort(&mut entities, |a, b| a.uid < b.uid);
        Ok(Request { principal, action, context: Value::Record(context), entities })
    }
}

impl<'a> Request<'a> {
    /// A request of which nothing is known, for what needs none.
    pub fn nobody() -> Self {
        let nothing = Uid { entity_type: "", id: "" };
        Self { principal: nothing, action: nothing, context: Value::Record(&[]), entities: Vec::new() }
    }

    /// What is known of an entity.
    pub fn entity(&self, uid: &Uid<'_>) -> Option<&Entity<'a>> {
        let at = self.entities.partition_point(|entity| entity.uid < *uid);
        self.entities.get(at).filter(|entity| entity.uid == *uid)
    }

    /// Everything above an entity.
    fn ancestors(&self, uid: &Uid<'_>) -> &[Uid<'a>] {
        self.entity(uid).map_or(&[], |entity| &entity.ancestors)
    }

    /// Whether an entity is another one or below it.
    pub fn is_in(&self, uid: &Uid<'_>, group: &Uid<'_>) -> bool {
        uid == group || holds(self.ancestors(uid), group)
    }

    /// The rules whose scope can hold for this principal and action, in ascending order.
    ///
    /// # Errors
    /// If the program is damaged.
    pub fn candidates(&self, program: &Program<'a>) -> Result<Vec<u32>, Fault<'a>> {
        let mut rules = Vec::new();
        program.rules_of(KeyKind::Always, &Uid { entity_type: "", id: "" }, &mut rules)?;
        for (kind, uid) in [(KeyKind::Principal, &self.principal), (KeyKind::Action, &self.action)] {
            program.rules_of(kind, uid, &mut rules)?;
            for ancestor in self.ancestors(uid) {
                program.rules_of(kind, ancestor, &mut rules)?;
            }
        }
        sort(&mut rules, |a, b| a < b);
        rules.dedup();
        Ok(rules)
    }
}

/// A chunk, as expressions see it.
pub trait Chunk<'a> {
    /// Its entity type.
    fn entity_type(&self) -> Result<&'a str, Fault<'a>>;
    /// Its identity.
    fn uid(&self) -> Result<Uid<'a>, Fault<'a>>;
    /// The attribute in a column of the program; `None` if it is absent.
    fn column(&self, column: u32) -> Result<Option<Value<'a>>, Fault<'a>>;
    /// Its tags.
    fn tags(&self) -> Result<&'a [Field<'a>], Fault<'a>>;
    /// Whether an entity is among its ancestors.
    fn is_below(&self, group: &Uid<'_>) -> Result<bool, Fault<'a>>;
}
