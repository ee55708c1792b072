//! What is compared with Cedar: the compiler, and the engine that compiled policies contain, run natively.

use bumpalo::Bump;
use tamis_compiler::{Compiled, Named};
use tamis_contract::frame::{Form, Writer, state};
use tamis_contract::value::{Field, Uid, Value, record_fields};
use tamis_core::manifest::FootprintAttribute;
use tamis_core::request::KnownEntities;
use tamis_core::value::Record;
use tamis_core::{self as core, EntityUid, Filter, Request};
use tamis_engine::batch::{Batch, verdict};
use tamis_engine::fault::Fault;
use tamis_engine::program::{ColumnInfo, Program, Source};
use tamis_engine::request::{Entity, RawRequest};
use tamis_engine::rewrite::{self, Rewrite};
use tamis_engine::typed::{self, Chunk, Decision};

use super::case::Case;
use super::narrowed::{self, Narrow};
use super::oracle::{self, Verdict};

/// The verdicts of our own compiler and engine.
///
/// Every request is decided chunk by chunk and as part of a batch with the chunks of all other requests; the two must agree. The
/// filter that the policies come to for the request must match every chunk that is allowed, and no other if it says that it is exact.
///
/// # Errors
///
/// Says what could not be read or compiled, or where the ways to a decision disagree.
pub fn decide(case: &Case) -> Result<Vec<Verdict>, String> {
    let entities = KnownEntities::from_json(&case.entities.to_string()).map_err(|error| error.to_string())?;
    let mut questions = Vec::new();
    for request in &case.requests {
        let read = Request::evaluation_from_json(&request.to_string(), &entities);
        questions.push(read.map_err(|error| error.to_string())?);
    }
    let arena = Bump::new();
    // With a schema, there are two ways to read a chunk; they must agree on what conforms to it.
    let schema = case.schema.as_deref();
    let compiled = compile(tamis_compiler::compile, &case.policies, schema)?;
    let footprint = footprint(&compiled.manifest)?;
    let side = Side::new(&arena, &compiled, &footprint)?;
    let mut verdicts = side.verdicts(&questions)?;
    if schema.is_some() {
        let open = compile(tamis_compiler::compile_for_any_chunk, &case.policies, schema)?;
        let footprint = self::footprint(&open.manifest)?;
        let typed =
            std::mem::replace(&mut verdicts, Side::new(&arena, &open, &footprint)?.verdicts(&questions)?);
        for (number, conforms) in oracle::conforming(case)?.into_iter().enumerate() {
            if conforms && typed.get(number) != verdicts.get(number) {
                return Err(format!("request {number}: {:?} by the declared types", typed.get(number)));
            }
        }
    }
    let chunks: Vec<&core::Chunk> = questions.iter().map(|(_, chunk)| chunk).collect();
    for (number, (request, _)) in questions.iter().enumerate() {
        side.compare(request, &chunks).map_err(|error| format!("request {number}: {error}"))?;
        side.rewrite(request, &chunks).map_err(|error| format!("request {number}: {error}"))?;
    }
    Ok(verdicts)
}

/// What a request's rewrite came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Narrowed {
    /// The filter.
    pub filter: Filter,
    /// Whether it says that it is exact.
    pub exact: bool,
    /// Of the chunks, how many are allowed.
    pub allowed: usize,
    /// Of the chunks, how many the filter matches.
    pub matched: usize,
}

/// The filters of a policy set for requests, each compared with what is decided on each chunk.
///
/// # Errors
///
/// Says what could not be compiled, or which chunk the filter should match and does not, or matches though it is exact.
pub fn narrow(
    policies: &str,
    schema: Option<&str>,
    requests: &[Request],
    chunks: &[core::Chunk],
) -> Result<Vec<Narrowed>, String> {
    let compiled = compile(tamis_compiler::compile, policies, schema)?;
    let footprint = footprint(&compiled.manifest)?;
    let arena = Bump::new();
    let side = Side::new(&arena, &compiled, &footprint)?;
    let chunks: Vec<&core::Chunk> = chunks.iter().collect();
    requests.iter().map(|request| side.rewrite(request, &chunks)).collect()
}

fn compile(
    how: impl Fn(&str, Named<'_>, Option<Named<'_>>) -> Result<Compiled, tamis_compiler::Error>,
    policies: &str,
    schema: Option<&str>,
) -> Result<Compiled, String> {
    let policies = Named { name: "policies", text: policies };
    let schema = schema.map(|text| Named { name: "schema", text });
    how("case", policies, schema).map_err(|error| error.to_string())
}

fn footprint(manifest: &tamis_compiler::Manifest) -> Result<Vec<FootprintAttribute>, String> {
    let entry = |entry: &tamis_compiler::FootprintAttribute| {
        let declared = entry.declared.as_deref().map(str::parse).transpose();
        let declared = declared.map_err(|error: core::types::TypeError| error.to_string())?;
        let attribute = core::filter::Attribute { path: vec![entry.name.clone()], declared };
        Ok(FootprintAttribute { attribute, optional: entry.optional })
    };
    manifest.footprint.iter().map(entry).collect()
}

#[derive(Clone, Copy)]
struct Side<'a> {
    arena: &'a Bump,
    program: Program<'a>,
    footprint: &'a [FootprintAttribute],
}

impl<'a> Side<'a> {
    fn new(
        arena: &'a Bump,
        compiled: &Compiled,
        footprint: &'a [FootprintAttribute],
    ) -> Result<Self, String> {
        let program =
            Program::new(arena.alloc_slice_copy(&compiled.program)).map_err(|fault| fault.message())?;
        Ok(Side { arena, program, footprint })
    }

    fn verdicts(&self, questions: &[(Request, core::Chunk)]) -> Result<Vec<Verdict>, String> {
        questions.iter().map(|(request, chunk)| Ok(Self::verdict(&self.alone(request, chunk)?))).collect()
    }

    /// Decides on one chunk.
    fn alone(&self, request: &Request, chunk: &core::Chunk) -> Result<Decision<'a>, String> {
        let request = self
            .arena
            .alloc(self.request(request).complete(self.program, self.arena).map_err(|f| f.message())?);
        let chunk = self.arena.alloc(self.chunk(chunk));
        Ok(typed::decide(self.program, self.arena, request, chunk))
    }

    /// Rules are numbered in the order of the source, as Cedar names policies; what `@id` calls them is another matter.
    fn verdict(decision: &Decision<'_>) -> Verdict {
        let id = |rule: u32| format!("policy{rule}");
        Verdict {
            allow: decision.allow,
            reasons: decision.reasons.iter().map(|rule| id(*rule)).collect(),
            errors: decision.faults.iter().map(|(rule, _)| id(*rule)).collect(),
        }
    }

    /// Decides on chunks as a batch, twice, and compares with what comes of each alone.
    fn compare(&self, request: &Request, chunks: &[&core::Chunk]) -> Result<(), String> {
        let mut batch = Batch::new(self.program, self.arena);
        let raw =
            self.request(request).complete(self.program, self.arena).map_err(|fault| fault.message())?;
        let prepared = batch.prepare(raw);
        let mut sent = vec![0; self.program.columns().len()];
        // The first chunk alone, then all of them: dictionaries grow from frame to frame.
        for rows in [chunks.get(..1).unwrap_or_default(), chunks] {
            let frame = self.frame(rows, &mut sent)?;
            let codes = batch.filter(prepared, &frame).map_err(|fault| fault.message())?;
            if codes.len() != rows.len() {
                return Err(format!("{} codes for {} chunks", codes.len(), rows.len()));
            }
            for (code, chunk) in codes.iter().zip(rows) {
                let alone = self.alone(request, chunk)?;
                let redacts = alone.allow && (!alone.redact.is_empty() || alone.redact_text);
                let agrees = (code & verdict::ALLOW != 0) == alone.allow
                    && (code & verdict::REDACT != 0) == redacts
                    && (code & verdict::FAULT == 0 || !alone.faults.is_empty());
                if !agrees {
                    return Err(format!("code {code} in a batch, alone {alone:?} for {}", chunk.uid));
                }
            }
        }
        Ok(())
    }

    /// Compares the filter for a request with what is decided on each chunk.
    fn rewrite(&self, request: &Request, chunks: &[&core::Chunk]) -> Result<Narrowed, String> {
        let completed = self.request(request).complete(self.program, self.arena).map_err(|f| f.message())?;
        let rewrite = rewrite::rewrite(self.program, self.arena, self.arena.alloc(completed));
        let filter = super::rewrite::filter(&self.program, &rewrite)?;
        self.compare_prepared(request, &rewrite, &filter)?;
        let (mut allowed, mut matched) = (0, 0);
        for chunk in chunks {
            let decision = self.alone(request, chunk)?;
            let matches = filter.matches(chunk);
            allowed += usize::from(decision.allow);
            matched += usize::from(matches);
            if decision.allow && !matches || rewrite.exact && decision.allow != matches {
                let exact = if rewrite.exact { "exact" } else { "superset" };
                return Err(format!(
                    "`{filter}` ({exact}) matches: {matches}, decided {decision:?} for {}",
                    chunk.uid
                ));
            }
        }
        Ok(Narrowed { filter, exact: rewrite.exact, allowed, matched })
    }

    /// Compares a rewrite, and its filter as hosts have it, with what is answered for a prepared request.
    fn compare_prepared(
        &self,
        request: &Request,
        rewrite: &Rewrite<'_>,
        filter: &Filter,
    ) -> Result<(), String> {
        let mut batch = Batch::new(self.program, self.arena);
        let completed = self.request(request).complete(self.program, self.arena).map_err(|f| f.message())?;
        let prepared = batch.prepare(completed);
        let bytes = batch.rewrite(prepared, self.arena).map_err(|fault| fault.message())?;
        let found = narrowed::read(&bytes, self.footprint)?;
        let rule = |rule: u32| self.program.text(self.program.rule(rule).id).to_owned();
        let failed = |(failed, fault): &(u32, Fault<'_>)| (rule(*failed), fault.message());
        let expected = Narrow {
            exact: rewrite.exact,
            needs: self.footprint.iter().map(|entry| entry.attribute.clone()).collect(),
            errors: rewrite.faults.iter().map(failed).collect(),
            partial: rewrite.partial.iter().map(|partial| rule(*partial)).collect(),
            filter: filter.clone(),
        };
        if found == expected { Ok(()) } else { Err(format!("prepared {found:?}, otherwise {expected:?}")) }
    }

    /// A frame of chunks. Every value is a new entry of its dictionary: `sent` says how many entries there were before.
    fn frame(&self, chunks: &[&core::Chunk], sent: &mut [usize]) -> Result<Vec<u8>, String> {
        let mut frame = Writer::default();
        frame.size(chunks.len());
        let columns = self.program.columns();
        for (index, (info, sent)) in columns.iter().zip(sent).enumerate() {
            let cells: Vec<Option<Value<'_>>> =
                chunks.iter().map(|chunk| self.cell(info, index, chunk)).collect::<Result<_, _>>()?;
            match info.form.form() {
                Form::Codes => {
                    let mut entries = Writer::default();
                    let mut codes = Writer::default();
                    let mut count = 0;
                    for cell in &cells {
                        match cell {
                            Some(value) => {
                                entries.value(value);
                                count += 1;
                                codes.size(*sent + count);
                            }
                            None => codes.size(0),
                        }
                    }
                    [*sent, count, entries.bytes.len()].into_iter().for_each(|size| frame.size(size));
                    frame.bytes.extend(entries.bytes);
                    frame.bytes.extend(codes.bytes);
                    *sent += count;
                }
                Form::Longs => {
                    let number = |cell: &Option<Value<'_>>| match cell {
                        None => (state::ABSENT, 0),
                        Some(value) => info
                            .form
                            .number(value)
                            .map_or((state::ILL_TYPED, 0), |number| (state::PRESENT, number)),
                    };
                    frame.bytes.extend(cells.iter().map(|cell| number(cell).0));
                    frame.bytes.extend(cells.iter().flat_map(|cell| number(cell).1.to_le_bytes()));
                }
                Form::Texts => {
                    let texts: Vec<&str> = cells
                        .iter()
                        .map(|cell| if let Some(Value::Text(text)) = cell { text } else { "" })
                        .collect();
                    let mut end = 0;
                    for text in &texts {
                        end += text.len();
                        frame.size(end);
                    }
                    texts.iter().for_each(|text| frame.bytes.extend_from_slice(text.as_bytes()));
                }
            }
        }
        Ok(frame.bytes)
    }

    fn cell(
        &self,
        info: &ColumnInfo,
        index: usize,
        chunk: &core::Chunk,
    ) -> Result<Option<Value<'a>>, String> {
        Ok(match info.source {
            Source::Attribute => {
                // As a host does it: by the footprint, with no knowledge of the chunk's own type.
                let name = self.program.text(info.name);
                let entry =
                    self.footprint.get(info.attribute as usize).ok_or("a column without an attribute")?;
                if entry.attribute.path != [name] {
                    return Err(format!(
                        "column {index} is `{name}`, the footprint has {:?}",
                        entry.attribute.path
                    ));
                }
                let value = chunk.read(&entry.attribute.path, entry.attribute.declared.as_ref());
                value.map(|value| self.value(&value))
            }
            Source::EntityType => Some(Value::Text(self.arena.alloc_str(&chunk.uid.entity_type))),
            Source::Id => Some(Value::Text(self.arena.alloc_str(&chunk.uid.id))),
            Source::Ancestors => Some(Value::Set(self.uids(chunk.ancestors.iter()))),
            Source::Tags => Some(Value::Record(self.fields(&core::metadata::read_record(&chunk.tags)))),
        })
    }

    fn chunk(&self, chunk: &core::Chunk) -> Chunk<'a> {
        let mut attributes = Record::new();
        for entry in self.footprint {
            if let Some(value) = chunk.read(&entry.attribute.path, entry.attribute.declared.as_ref()) {
                attributes.insert(entry.attribute.path[0].clone(), value);
            }
        }
        Chunk {
            program: self.program,
            uid: self.uid(&chunk.uid),
            attributes: self.fields(&attributes),
            tags: self.fields(&core::metadata::read_record(&chunk.tags)),
            ancestors: self.uids(chunk.ancestors.iter()),
            arena: self.arena,
        }
    }

    fn request(&self, request: &Request) -> RawRequest<'a> {
        let mut entities = Vec::new();
        let mut principal = 0;
        for (entity, ancestors) in request.entities().iter() {
            if entity.uid == *request.subject() {
                principal = entities.len();
            }
            entities.push(Entity {
                uid: self.uid(&entity.uid),
                attributes: self.fields(&entity.attributes),
                tags: self.fields(&entity.tags),
                ancestors: self.uids(ancestors.iter()),
            });
        }
        RawRequest {
            principal,
            subject: principal,
            actors: Vec::new(),
            action: self.uid(request.action()),
            context: self.fields(request.context()),
            entities,
        }
    }

    /// A set of entities.
    fn uids<'b>(&self, uids: impl Iterator<Item = &'b EntityUid>) -> &'a [Value<'a>] {
        match Value::set(self.arena, uids.map(|uid| Value::entity(self.arena, self.uid(uid))).collect()) {
            Value::Set(uids) => uids,
            _ => &[],
        }
    }

    fn uid(&self, uid: &EntityUid) -> Uid<'a> {
        Uid { entity_type: self.arena.alloc_str(&uid.entity_type), id: self.arena.alloc_str(&uid.id) }
    }

    fn fields(&self, record: &Record) -> &'a [Field<'a>] {
        let field =
            |(name, value): (&String, &core::Value)| (&*self.arena.alloc_str(name), self.value(value));
        record_fields(self.arena, record.iter().map(field).collect())
    }

    fn value(&self, value: &core::Value) -> Value<'a> {
        match value {
            core::Value::Bool(value) => Value::Bool(*value),
            core::Value::Long(number) => Value::Long(*number),
            core::Value::String(text) => Value::Text(self.arena.alloc_str(text)),
            core::Value::Entity(uid) => Value::entity(self.arena, self.uid(uid)),
            core::Value::Decimal(number) => Value::Decimal(*number),
            core::Value::Datetime(number) => Value::Datetime(*number),
            core::Value::Duration(number) => Value::Duration(*number),
            core::Value::Ip(network) => Value::Ip(self.arena.alloc(*network)),
            core::Value::Set(elements) => {
                Value::set(self.arena, elements.iter().map(|element| self.value(element)).collect())
            }
            core::Value::Record(fields) => Value::Record(self.fields(fields)),
            core::Value::IllTyped(reason) => Value::IllTyped(self.arena.alloc_str(reason)),
        }
    }
}
