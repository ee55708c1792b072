//! The exports of a compiled policy: from the contract's types to the engine's and back.

mod bindings;
mod convert;
mod place;

use alloc::string::String;
use alloc::vec::Vec;

use bindings::exports::tamis::policy::{batch, gates};
use bumpalo::Bump;
use tamis_contract::frame::{Form, FrameError, Reader};

use crate::batch::Batch;
use crate::fault::Fault;
use crate::program::{Program, Section, Source};
use crate::request::RawRequest;
use crate::typed;

struct Policy;

/// Ends the call: a host takes this for a trap and denies.
fn abort() -> ! {
    core::arch::wasm32::unreachable()
}

fn program() -> Program<'static> {
    Program::new(place::program()).unwrap_or_else(|_| abort())
}

impl gates::Guest for Policy {
    fn describe() -> gates::Manifest {
        manifest(&program()).unwrap_or_else(|_| abort())
    }

    fn filter_chunk(request: gates::Request, chunk: gates::Chunk) -> gates::Decision {
        let arena = Bump::new();
        decide(&request, &chunk, &arena).unwrap_or_else(|_| abort())
    }

    fn rewrite_query(_: gates::Request, _: gates::Query) -> gates::Rewrite {
        let manifest = manifest(&program()).unwrap_or_else(|_| abort());
        gates::Rewrite {
            filter: gates::Filter {
                root: 0,
                nodes: [gates::Node::Always].into(),
                operands: Vec::new(),
                values: Vec::new(),
            },
            exact: false,
            needs: manifest.footprint.into_iter().map(|entry| entry.attribute).collect(),
            errors: Vec::new(),
        }
    }
}

impl batch::Guest for Policy {
    fn columns() -> Vec<batch::Column> {
        let columns = program().columns().unwrap_or_else(|_| abort());
        let column = |info: crate::program::ColumnInfo| batch::Column {
            source: match info.source {
                Source::Attribute => batch::Source::Attribute(info.attribute),
                Source::EntityType => batch::Source::EntityType,
                Source::Id => batch::Source::Id,
                Source::Ancestors => batch::Source::Ancestors,
                Source::Tags => batch::Source::Tags,
            },
            form: match info.form.form() {
                Form::Codes => batch::Form::Codes,
                Form::Longs => batch::Form::Longs,
                Form::Texts => batch::Form::Texts,
            },
        };
        columns.into_iter().map(column).collect()
    }

    fn prepare(request: Vec<u8>) -> u32 {
        let program = program();
        place::with_batch(|arena, batch| {
            let request = RawRequest::read(arena.alloc_slice_copy(&request), arena).unwrap_or_else(|_| abort());
            let request = request.complete(program, arena).unwrap_or_else(|_| abort());
            let batch = batch.get_or_insert_with(|| Batch::new(program, arena).unwrap_or_else(|_| abort()));
            batch.prepare(request).unwrap_or_else(|_| abort())
        })
    }

    fn filter_chunks(prepared: u32, frame: Vec<u8>) -> Vec<u8> {
        place::with_batch(|_, batch| {
            let batch = batch.as_mut().unwrap_or_else(|| abort());
            batch.filter(prepared, &frame).unwrap_or_else(|_| abort())
        })
    }
}

fn decide<'a>(
    request: &'a gates::Request,
    chunk: &'a gates::Chunk,
    arena: &'a Bump,
) -> Result<gates::Decision, Fault<'a>> {
    let program = program();
    let request = arena.alloc(convert::request(request, arena).complete(program, arena)?);
    let chunk = arena.alloc(convert::chunk(program, chunk, arena));
    let decision = typed::decide(program, arena, request, chunk)?;
    let rule_id = |rule: u32| program.text(program.rule(rule)?.id).map(String::from);
    let mut reasons = Vec::new();
    for rule in decision.reasons {
        reasons.push(rule_id(rule)?);
    }
    let mut errors = Vec::new();
    for (rule, fault) in decision.faults {
        errors.push(gates::PolicyError { policy: rule_id(rule)?, message: fault.message() });
    }
    let mut redact = Vec::new();
    for path in decision.redact {
        redact.push(path.into_iter().map(String::from).collect());
    }
    Ok(gates::Decision { allow: decision.allow, reasons, errors, redact, redact_text: decision.redact_text })
}

/// The manifest: name, whether it rewrites, digest, producer, footprint, rules.
fn manifest(program: &Program<'_>) -> Result<gates::Manifest, FrameError> {
    let mut reader = Reader::new(program.section(Section::Manifest));
    let contract = String::from(reader.text()?);
    let name = String::from(reader.text()?);
    let can_rewrite = reader.byte()? != 0;
    let source_digest = String::from(reader.text()?);
    let producer = String::from(reader.text()?);
    let mut footprint = Vec::new();
    for _ in 0..reader.size()? {
        let name = String::from(reader.text()?);
        let value_type = String::from(reader.text()?);
        let optional = reader.byte()? != 0;
        let attribute = gates::Attribute {
            path: [name].into(),
            value_type: if value_type.is_empty() { None } else { Some(value_type) },
        };
        footprint.push(gates::FootprintAttribute { attribute, optional });
    }
    let mut policies = Vec::new();
    for _ in 0..reader.size()? {
        let id = String::from(reader.text()?);
        let mut annotations = Vec::new();
        for _ in 0..reader.size()? {
            annotations.push((String::from(reader.text()?), String::from(reader.text()?)));
        }
        policies.push(gates::PolicyInfo { id, annotations });
    }
    Ok(gates::Manifest { contract, name, footprint, policies, can_rewrite, source_digest, producer })
}
