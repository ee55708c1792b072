//! Decisions on batches of chunks, as codes.

use alloc::vec::Vec;

use bumpalo::Bump;
use tamis_contract::frame::{self, Column, Form};
use tamis_contract::value::{Field, Uid, Value, place};

use crate::coerce::Coerce;
use crate::evaluate::Evaluator;
use crate::fault::Fault;
use crate::program::{ColumnInfo, List, Node, Op, Program, Source, damaged, flag};
use crate::request::{Chunk, Request};
use crate::residual::{self, Block, Residual};
use crate::{narrow, rewrite, typed};

/// Bits of the code that answers for a chunk.
pub mod verdict {
    /// The chunk may be handed out.
    pub const ALLOW: u8 = 1;
    /// Only with something removed: `filter-chunk` says what.
    pub const REDACT: u8 = 2;
    /// A rule failed on the way to this decision: `filter-chunk` says which.
    pub const FAULT: u8 = 4;
}

/// Constants are read anew at each use, except sets with more elements than this.
const LARGE_SET: u32 = 8;

/// A program, the values that chunks of earlier frames had, and the requests that were prepared.
pub struct Batch<'a> {
    program: Program<'a>,
    arena: &'a Bump,
    columns: Vec<ColumnInfo>,
    forms: Vec<Form>,
    dictionaries: Vec<Vec<Value<'a>>>,
    constants: Vec<(u32, Value<'a>)>,
    prepared: Vec<Prepared<'a>>,
}

/// A request with the rules that can still apply.
struct Prepared<'a> {
    request: Request<'a>,
    /// Those that forbid, and those that permit.
    rules: [Vec<Residual>; 2],
    /// Those that permit with something removed, and what.
    redacting: Vec<Redacting<'a>>,
    /// The numbers of all these, in order.
    left: Vec<u32>,
    /// Rules that fail whatever the chunk, by number.
    failed: Vec<u32>,
}

impl Prepared<'_> {
    /// The conditions that are left, by the numbers of their rules, and those that fail.
    fn conditions(&self, program: &Program<'_>) -> impl Iterator<Item = (u32, &Residual)> {
        let Self { rules: [forbid, permit], redacting, left, failed, .. } = self;
        let (mut forbid, mut permit, mut redacting) = (forbid.iter(), permit.iter(), redacting.iter());
        let condition = move |rule: &u32| {
            let residual = match program.rule(*rule).flags & (flag::FORBID | flag::REDACTS) {
                0 => permit.next(),
                flag::REDACTS => redacting.next().map(|redacting| &redacting.residual),
                _ => forbid.next(),
            };
            (*rule, residual.unwrap_or_else(|| damaged()))
        };
        left.iter().map(condition).chain(failed.iter().map(|rule| (*rule, &Residual::Known(None))))
    }
}

/// A rule that permits with something removed.
struct Redacting<'a> {
    residual: Residual,
    paths: Vec<&'a [&'a str]>,
    /// Which chunks of a block it permits.
    yes: u64,
}

impl<'a> Batch<'a> {
    /// Gets ready to run a program. What lasts as long as the batch goes into the arena.
    pub fn new(program: Program<'a>, arena: &'a Bump) -> Self {
        let columns = program.columns();
        let (mut forms, mut dictionaries) = (Vec::new(), Vec::new());
        for column in &columns {
            forms.push(column.form.form());
            dictionaries.push(Vec::new());
        }
        Self { program, arena, columns, forms, dictionaries, constants: Vec::new(), prepared: Vec::new() }
    }

    /// Specialises the program to a request. The number is for [`Self::filter`].
    pub fn prepare(&mut self, request: Request<'a>) -> u32 {
        let (mut left, mut failed) = (Vec::new(), Vec::new());
        let mut rules = [const { Vec::new() }; 2];
        let mut redacting = Vec::new();
        let scratch = Bump::new();
        let evaluator = Evaluator::new(self.program, &request, &scratch);
        for (index, candidate) in (0..).zip(request.candidates(&self.program)) {
            if candidate == 0 {
                continue;
            }
            let rule = self.program.rule(index);
            match residual::specialise(&evaluator, &self.columns, rule.condition) {
                Residual::Known(Some(false)) => {}
                Residual::Known(None) => failed.push(index),
                residual => {
                    left.push(index);
                    read_constants(self.program, self.arena, &mut self.constants, rule.condition);
                    let [forbid, permit] = &mut rules;
                    match rule.flags & (flag::FORBID | flag::REDACTS) {
                        0 => permit.push(residual),
                        flag::REDACTS => {
                            let paths = typed::paths(self.program, self.arena, &rule);
                            redacting.push(Redacting { residual, paths, yes: 0 });
                        }
                        _ => forbid.push(residual),
                    }
                }
            }
        }
        self.prepared.push(Prepared { request, rules, redacting, left, failed });
        (self.prepared.len() - 1) as u32
    }

    /// Decides on every chunk of a frame: one code of [`verdict`] bits for each.
    ///
    /// # Errors
    /// If the request was not prepared, the bytes are not a frame, or a code is not in its dictionary. Nothing is allowed then.
    pub fn filter(&mut self, prepared: u32, bytes: &[u8]) -> Result<Vec<u8>, Fault<'a>> {
        let (rows, columns) = frame::read(bytes, &self.forms).map_err(|_| Fault::Program)?;
        self.learn(&columns)?;
        let Self { program, columns: infos, dictionaries, constants, prepared: all, .. } = self;
        let Prepared { request, rules, redacting, failed, .. } =
            all.get_mut(prepared as usize).ok_or(Fault::Program)?;
        let scratch = Bump::new();
        let table = Table { program: *program, infos, columns: &columns, dictionaries, arena: &scratch };
        let evaluate = |node: u32, row: usize| {
            let mut evaluator = Evaluator::new(*program, request, &scratch);
            let chunk: &dyn Chunk<'_> = scratch.alloc(Row { table, row });
            evaluator.chunk = Some(chunk);
            evaluator.constants = constants;
            evaluator.boolean(node)
        };
        let mut verdicts = Vec::with_capacity(rows);
        for start in (0..rows).step_by(64) {
            let size = (rows - start).min(64);
            let block = Block { columns: &columns, start, evaluate: &evaluate };
            let decided = decide(rules, redacting, &block, u64::MAX >> (64 - size));
            let faults = if !failed.is_empty() { u64::MAX } else { decided.fault };
            for position in 0..size {
                let bit = |bits: u64| (bits >> position & 1) as u8;
                verdicts.push(
                    (bit(decided.allow) * verdict::ALLOW)
                        | (bit(decided.redact) * verdict::REDACT)
                        | (bit(faults) * verdict::FAULT),
                );
            }
        }
        Ok(verdicts)
    }

    /// Says which chunks can be allowed, in the contract's bytes. What it takes on the way goes into the arena.
    ///
    /// # Errors
    /// If the request was not prepared.
    pub fn rewrite(&self, prepared: u32, arena: &Bump) -> Result<Vec<u8>, Fault<'a>> {
        let prepared = self.prepared.get(prepared as usize).ok_or(Fault::Program)?;
        let rewrite = rewrite::rewrite_residuals(
            self.program,
            arena,
            &prepared.request,
            prepared.conditions(&self.program),
        );
        Ok(narrow::bytes(&self.program, &rewrite))
    }

    /// Takes the new entries of a frame into the dictionaries, and checks all codes.
    fn learn(&mut self, columns: &[Column<'_>]) -> Result<(), Fault<'a>> {
        for (column, dictionary) in columns.iter().zip(&mut self.dictionaries) {
            let Column::Codes { first, count, entries, codes } = column else { continue };
            // A frame that is sent again, for another principal, brings nothing new.
            if *count > 0 && *first == dictionary.len() {
                let mut entries = entries.copied(self.arena);
                for _ in 0..*count {
                    dictionary.push(entries.value(self.arena).map_err(|_| Fault::Program)?);
                }
            } else if first.saturating_add(*count) > dictionary.len() {
                return Err(Fault::Program);
            }
            let mut largest = 0;
            for code in *codes {
                largest = largest.max(u32::from_le_bytes(*code));
            }
            if largest as usize > dictionary.len() {
                return Err(Fault::Program);
            }
        }
        Ok(())
    }
}

/// Reads the large constants below a node.
fn read_constants<'a>(
    program: Program<'a>,
    arena: &'a Bump,
    constants: &mut Vec<(u32, Value<'a>)>,
    index: u32,
) {
    let mut node = program.node(index);
    while node.op.is_chained() {
        read_constants(program, arena, constants, node.b);
        node = program.node(node.a);
    }
    let Node { op, a, b, c, .. } = node;
    match op {
        Op::Constant if program.set_size(a) > LARGE_SET => {
            let at = place(constants.len(), &|at| constants.get(at).is_some_and(|(known, _)| *known < a));
            if constants.get(at).is_none_or(|(known, _)| *known != a) {
                constants.push((a, program.constant(arena, a)));
                // Those behind it move up.
                if let Some(behind) = constants.get_mut(at..) {
                    for index in (1..behind.len()).rev() {
                        if let Some([one, other]) = behind.get_mut(index - 1..=index) {
                            core::mem::swap(one, other);
                        }
                    }
                }
            }
        }
        Op::Set => {
            for element in program.list(List { start: b, length: c }) {
                read_constants(program, arena, constants, element);
            }
        }
        _ => {
            for operand in [a, b, c].into_iter().take(op.operands()) {
                read_constants(program, arena, constants, operand);
            }
        }
    }
}

/// Outcomes for a block of chunks.
struct Decided {
    allow: u64,
    redact: u64,
    fault: u64,
}

/// Asks the rules that forbid about all chunks, those that permit about chunks that nothing forbids and nothing permits yet, and all that
/// redact about the others: what is removed is what each of them removes.
fn decide(
    rules: &mut [Vec<Residual>; 2],
    redacting: &mut [Redacting<'_>],
    block: &Block<'_>,
    all: u64,
) -> Decided {
    let (mut open, mut fault) = (all, 0);
    let mut satisfied = [0; 2];
    for (group, satisfied) in rules.iter_mut().zip(&mut satisfied) {
        for residual in group {
            if open == 0 {
                break;
            }
            let outcome = residual.outcome(block, open);
            fault |= open & !(outcome.yes | outcome.no);
            *satisfied |= open & outcome.yes;
            open &= !outcome.yes;
        }
    }
    let [_, plain] = satisfied;
    let (mut permitted, mut several) = (0, 0);
    for rule in redacting.iter_mut() {
        let outcome = rule.residual.outcome(block, open);
        fault |= open & !(outcome.yes | outcome.no);
        rule.yes = open & outcome.yes;
        several |= permitted & rule.yes;
        permitted |= rule.yes;
    }
    let mut redact = permitted;
    while several != 0 {
        let chunk = several & several.wrapping_neg();
        several &= !chunk;
        let mut rules = redacting.iter().filter(|rule| rule.yes & chunk != 0);
        let mut removed = rules.next().map(|rule| rule.paths.clone()).unwrap_or_default();
        for rule in rules {
            removed = typed::intersect(&removed, &rule.paths);
        }
        if removed.is_empty() {
            redact &= !chunk;
        }
    }
    Decided { allow: plain | permitted, redact, fault }
}

/// The rows of a frame.
#[derive(Clone, Copy)]
struct Table<'a> {
    program: Program<'a>,
    infos: &'a [ColumnInfo],
    columns: &'a [Column<'a>],
    dictionaries: &'a [Vec<Value<'a>>],
    arena: &'a Bump,
}

/// One row of a frame.
struct Row<'a> {
    table: Table<'a>,
    row: usize,
}

impl<'a> Row<'a> {
    fn cell(&self, index: usize) -> Option<Value<'a>> {
        let cell = self.table.columns.get(index).and_then(|column| self.read(index, column));
        cell.unwrap_or_else(|| damaged())
    }

    /// A cell of a column; the outer `None` if it is not there at all.
    fn read(&self, index: usize, column: &'a Column<'a>) -> Option<Option<Value<'a>>> {
        Some(match column {
            Column::Codes { codes, .. } => match u32::from_le_bytes(*codes.get(self.row)?) {
                frame::ABSENT => None,
                code => Some(*self.table.dictionaries.get(index)?.get(code as usize - 1)?),
            },
            Column::Longs { states, numbers } => match (*states.get(self.row)?, *numbers.get(self.row)?) {
                (frame::state::ABSENT, _) => None,
                (frame::state::PRESENT, number) => {
                    Some(self.table.infos.get(index)?.form.value(i64::from_le_bytes(number)))
                }
                _ => Some(Value::IllTyped("it is not of the declared type")),
            },
            Column::Texts { .. } => Some(Value::Text(column.text(self.row)?)),
        })
    }

    /// The cell of the column with a source other than an attribute, and whether a schema converts it.
    fn special(&self, source: Source) -> (Option<Value<'a>>, bool) {
        for (index, info) in self.table.infos.iter().enumerate() {
            if info.source == source {
                return (self.cell(index), info.converted);
            }
        }
        damaged()
    }

    fn text(&self, source: Source) -> &'a str {
        if let (Some(Value::Text(text)), _) = self.special(source) { text } else { damaged() }
    }
}

impl<'a> Chunk<'a> for Row<'a> {
    fn entity_type(&self) -> &'a str {
        self.text(Source::EntityType)
    }

    fn uid(&self) -> Uid<'a> {
        Uid { entity_type: self.entity_type(), id: self.text(Source::Id) }
    }

    fn column(&self, column: u32) -> Option<Value<'a>> {
        let value = self.cell(column as usize)?;
        let Table { program, infos, arena, .. } = self.table;
        match infos.get(column as usize) {
            Some(info) if info.converted => {
                Some(Coerce { program, arena }.attribute(self.entity_type(), program.text(info.name), value))
            }
            _ => Some(value),
        }
    }

    fn tags(&self) -> &'a [Field<'a>] {
        let Table { program, arena, .. } = self.table;
        match self.special(Source::Tags) {
            (Some(Value::Record(tags)), true) => Coerce { program, arena }.tags(self.entity_type(), tags),
            (Some(Value::Record(tags)), false) => tags,
            (None, _) => &[],
            _ => damaged(),
        }
    }

    fn ancestors(&self) -> &'a [Value<'a>] {
        match self.special(Source::Ancestors) {
            (Some(Value::Set(ancestors)), _) => ancestors,
            (None, _) => &[],
            _ => damaged(),
        }
    }
}
