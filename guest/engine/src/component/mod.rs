//! The exports of a compiled policy: from the contract's types to the engine's and back.
//!
//! They are the functions of the world `batch-policy` as the canonical ABI has them: where the parameters or the answer are too much
//! for WebAssembly's own types, there is a pointer to them.

#![allow(unsafe_code, reason = "the host calls these by their names and passes pointers")]

mod abi;
mod convert;
mod manifest;
mod memory;
mod place;

use alloc::vec::Vec;

use abi::{Decision, List, PolicyError, Question, Rewrite, Text};
use bumpalo::Bump;

use crate::batch::Batch;
use crate::fault::Fault;
use crate::program::Program;
use crate::request::RawRequest;
use crate::typed;

/// Ends the call: a host takes this for a trap and denies.
fn abort() -> ! {
    core::arch::wasm32::unreachable()
}

fn program() -> Program<'static> {
    Program::new(place::program()).unwrap_or_else(|_| abort())
}

#[unsafe(export_name = "tamis:policy/gates@0.1.0#describe")]
extern "C" fn describe() -> *const abi::Manifest<'static> {
    memory::answer(manifest::manifest(&program(), memory::call()).unwrap_or_else(|_| abort()))
}

#[unsafe(export_name = "tamis:policy/gates@0.1.0#filter-chunk")]
extern "C" fn filter_chunk(question: &Question<'static>) -> *const Decision<'static> {
    memory::answer(decide(question, memory::call()).unwrap_or_else(|_| abort()))
}

#[unsafe(export_name = "tamis:policy/gates@0.1.0#rewrite-query")]
extern "C" fn rewrite_query(_: *const u8) -> *const Rewrite<'static> {
    let arena = memory::call();
    let manifest = manifest::manifest(&program(), arena).unwrap_or_else(|_| abort());
    let nothing = abi::Filter {
        root: 0,
        nodes: [abi::Node::Always].as_slice().into(),
        operands: [].as_slice().into(),
        values: [].as_slice().into(),
    };
    let mut needs = Vec::new();
    for entry in manifest.footprint.items() {
        needs.push(entry.attribute);
    }
    memory::answer(Rewrite {
        filter: nothing,
        exact: false,
        needs: list(arena, &needs),
        errors: [].as_slice().into(),
    })
}

#[unsafe(export_name = "tamis:policy/batch@0.1.0#columns")]
extern "C" fn columns() -> *const List<'static, abi::Column> {
    memory::answer(manifest::columns(&program(), memory::call()).unwrap_or_else(|_| abort()))
}

#[unsafe(export_name = "tamis:policy/batch@0.1.0#prepare")]
extern "C" fn prepare(request: *const u8, size: usize) -> u32 {
    // SAFETY: the host passes a list of bytes.
    let request = unsafe { List::passed(request, size) }.items();
    let program = program();
    let (arena, batch) = batch();
    let request = RawRequest::read(arena.alloc_slice_copy(request), arena).unwrap_or_else(|_| abort());
    let request = request.complete(program, arena).unwrap_or_else(|_| abort());
    let prepared = batch.prepare(request).unwrap_or_else(|_| abort());
    memory::answer(());
    prepared
}

#[unsafe(export_name = "tamis:policy/batch@0.1.0#filter-chunks")]
extern "C" fn filter_chunks(prepared: u32, frame: *const u8, size: usize) -> *const List<'static, u8> {
    // SAFETY: the host passes a list of bytes.
    let frame = unsafe { List::passed(frame, size) }.items();
    let (_, batch) = batch();
    let codes = batch.filter(prepared, frame).unwrap_or_else(|_| abort());
    memory::answer(list(memory::call(), &codes))
}

fn batch() -> (&'static Bump, &'static mut Batch<'static>) {
    place::batch(|arena| Batch::new(program(), arena).unwrap_or_else(|_| abort()))
}

/// Puts items where the host reads them.
fn list<'a, T: Copy>(arena: &'a Bump, items: &[T]) -> List<'a, T> {
    (&*arena.alloc_slice_copy(items)).into()
}

fn decide<'a>(question: &Question<'a>, arena: &'a Bump) -> Result<Decision<'a>, Fault<'a>> {
    let program = program();
    let request = arena.alloc(convert::request(&question.request, arena).complete(program, arena)?);
    let chunk = arena.alloc(convert::chunk(program, &question.chunk, arena));
    let decision = typed::decide(program, arena, request, chunk)?;
    let rule_id = |rule: u32| program.text(program.rule(rule)?.id).map(Text::from);
    let mut reasons = Vec::new();
    for rule in decision.reasons {
        reasons.push(rule_id(rule)?);
    }
    let mut errors = Vec::new();
    for (rule, fault) in decision.faults {
        let message = &*arena.alloc_str(&fault.message());
        errors.push(PolicyError { policy: rule_id(rule)?, message: message.into() });
    }
    let mut redact = Vec::new();
    for path in decision.redact {
        let mut names: Vec<Text<'_>> = Vec::new();
        for name in path {
            names.push(name.into());
        }
        redact.push(list(arena, &names));
    }
    Ok(Decision {
        allow: decision.allow,
        reasons: list(arena, &reasons),
        errors: list(arena, &errors),
        redact: list(arena, &redact),
        redact_text: decision.redact_text,
    })
}
