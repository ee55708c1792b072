//! The exports of a compiled policy: from the contract's types to the engine's and back.
//!
//! They are the functions of the world `batch-policy` as the canonical ABI has them: where the parameters or the answer are too much
//! for WebAssembly's own types, there is a pointer to them.

#![allow(unsafe_code, reason = "the host calls these by their names and passes pointers")]

mod abi;
mod answer;
mod convert;
mod manifest;
mod memory;
mod place;

use abi::{Decision, List, PolicyError, Question, Rewrite, Text};
use bumpalo::Bump;

use crate::batch::Batch;
use crate::fault::Fault;
use crate::program::{Program, damaged};
use crate::request::{RawRequest, Request};
use crate::{rewrite, typed};

fn program() -> Program<'static> {
    Program::new(place::program()).unwrap_or_else(|_| damaged())
}

#[unsafe(export_name = "tamis:policy/gates@0.1.0#describe")]
extern "C" fn describe() -> *const abi::Manifest<'static> {
    memory::answer(manifest::manifest(&program(), memory::call()))
}

#[unsafe(export_name = "tamis:policy/gates@0.1.0#filter-chunk")]
extern "C" fn filter_chunk(question: &Question<'static>) -> *const Decision<'static> {
    memory::answer(decide(question, memory::call()))
}

#[unsafe(export_name = "tamis:policy/gates@0.1.0#rewrite-query")]
extern "C" fn rewrite_query(request: &abi::Request<'static>) -> *const Rewrite<'static> {
    memory::answer(narrow(request, memory::call()))
}

#[unsafe(export_name = "tamis:policy/batch@0.1.0#columns")]
extern "C" fn columns() -> *const List<'static, abi::Column> {
    memory::answer(manifest::columns(&program(), memory::call()))
}

#[unsafe(export_name = "tamis:policy/batch@0.1.0#prepare")]
extern "C" fn prepare(request: *const u8, size: usize) -> u32 {
    // SAFETY: the host passes a list of bytes.
    let request = unsafe { List::passed(request, size) }.items();
    let (arena, batch) = batch();
    let request = RawRequest::read(arena.alloc_slice_copy(request), arena).unwrap_or_else(|_| damaged());
    let prepared = batch.prepare(request.complete(program(), arena).unwrap_or_else(|_| damaged()));
    memory::answer(());
    prepared
}

#[unsafe(export_name = "tamis:policy/batch@0.1.0#filter-chunks")]
extern "C" fn filter_chunks(prepared: u32, frame: *const u8, size: usize) -> *const List<'static, u8> {
    // SAFETY: the host passes a list of bytes.
    let frame = unsafe { List::passed(frame, size) }.items();
    let (_, batch) = batch();
    let codes = batch.filter(prepared, frame).unwrap_or_else(|_| damaged());
    memory::answer((&*memory::call().alloc_slice_copy(&codes)).into())
}

/// Of the query, a text and a number, nothing matters.
#[unsafe(export_name = "tamis:policy/batch@0.1.0#rewrite-prepared")]
extern "C" fn rewrite_prepared(prepared: u32, _: *const u8, _: usize, _: u32) -> *const List<'static, u8> {
    let (_, batch) = batch();
    let bytes = batch.rewrite(prepared, memory::call()).unwrap_or_else(|_| damaged());
    memory::answer((&*memory::call().alloc_slice_copy(&bytes)).into())
}

fn batch() -> (&'static Bump, &'static mut Batch<'static>) {
    place::batch(|arena| Batch::new(program(), arena))
}

/// Puts what is made of items where the host reads it.
fn list<'a, T, U>(arena: &'a Bump, items: &[T], make: impl Fn(&T) -> U) -> List<'a, U> {
    List::from(
        &*arena
            .alloc_slice_fill_with(items.len(), |index| make(items.get(index).unwrap_or_else(|| damaged()))),
    )
}

fn decide<'a>(question: &Question<'a>, arena: &'a Bump) -> Decision<'a> {
    let program = program();
    let request = request(&question.request, arena);
    let chunk = arena.alloc(convert::chunk(program, &question.chunk, arena));
    let decision = typed::decide(program, arena, request, chunk);
    let rule_id = |rule: u32| Text::from(program.text(program.rule(rule).id));
    Decision {
        allow: decision.allow,
        reasons: list(arena, &decision.reasons, |rule| rule_id(*rule)),
        errors: errors(&program, arena, &decision.faults),
        redact: list(arena, &decision.redact, |path| list(arena, path, |name| Text::from(*name))),
        redact_text: decision.redact_text,
    }
}

/// Answers `rewrite-query`. Of the query, which follows the request in what the host passes, nothing matters.
fn narrow<'a>(raw: &abi::Request<'a>, arena: &'a Bump) -> Rewrite<'a> {
    let program = program();
    let rewrite = rewrite::rewrite(program, arena, request(raw, arena));
    let footprint = manifest::footprint(&program, arena).items();
    Rewrite {
        filter: answer::filter(&program, arena, &rewrite.filters, rewrite.root),
        exact: rewrite.exact,
        needs: list(arena, footprint, |entry| entry.attribute),
        errors: errors(&program, arena, &rewrite.faults),
        partial: list(arena, &rewrite.partial, |rule| Text::from(program.text(program.rule(*rule).id))),
    }
}

fn request<'a>(raw: &abi::Request<'a>, arena: &'a Bump) -> &'a Request<'a> {
    let request = convert::request(raw, arena).complete(program(), arena);
    arena.alloc(request.unwrap_or_else(|_| damaged()))
}

fn errors<'a>(
    program: &Program<'a>,
    arena: &'a Bump,
    faults: &[(u32, Fault<'a>)],
) -> List<'a, PolicyError<'a>> {
    list(arena, faults, |(rule, fault)| {
        let message = &*arena.alloc_str(&fault.message());
        PolicyError { policy: program.text(program.rule(*rule).id).into(), message: message.into() }
    })
}
