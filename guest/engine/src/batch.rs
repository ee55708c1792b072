//! Decisions on batches of chunks, as codes.

use alloc::vec;
use alloc::vec::Vec;

use bumpalo::Bump;
use tamis_contract::frame::{self, Column, Form};
use tamis_contract::value::{Field, Uid, Value, holds, sort};

use crate::coerce::Coerce;
use crate::evaluate::Evaluator;
use crate::fault::Fault;
use crate::program::{ColumnForm, ColumnInfo, List, Op, Program, Source, flag};
use crate::request::{Chunk, Request};
use crate::residual::{self, Block, Residual};

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

/// A request with the rules that can still apply, those that forbid first.
struct Prepared<'a> {
    request: Request<'a>,
    rules: Vec<(u32, Residual)>,
    /// Whether a rule fails whatever the chunk.
    fault: bool,
}

impl<'a> Batch<'a> {
    /// Gets ready to run a program. What lasts as long as the batch goes into the arena.
    ///
    /// # Errors
    /// If the program is damaged.
    pub fn new(program: Program<'a>, arena: &'a Bump) -> Result<Self, Fault<'a>> {
        let columns = program.columns()?;
        let forms = columns.iter().map(|column| column.form.form()).collect();
        let dictionaries = vec![Vec::new(); columns.len()];
        Ok(Self { program, arena, columns, forms, dictionaries, constants: Vec::new(), prepared: Vec::new() })
    }

    /// Specialises the program to a request. The number is for [`Self::filter`].
    ///
    /// # Errors
    /// If the program is damaged.
    pub fn prepare(&mut self, request: Request<'a>) -> Result<u32, Fault<'a>> {
        let mut fault = false;
        let mut rules = Vec::new();
        let mut conditions = Vec::new();
        let scratch = Bump::new();
        let evaluator = Evaluator {
            program: self.program,
            request: &request,
            chunk: None,
            arena: &scratch,
            constants: &[],
        };
        for index in request.candidates(&self.program)? {
            let rule = self.program.rule(index)?;
            match residual::specialise(&evaluator, &self.columns, rule.condition)
                .map_err(|_| Fault::Program)?
            {
                Residual::Known(Some(false)) => {}
                Residual::Known(None) => fault = true,
                residual => {
                    conditions.push(rule.condition);
                    rules.push((rule.flags, residual));
                }
            }
        }
        let order = |flags: u32| (flags & flag::FORBID == 0, flags & flag::REDACTS != 0);
        sort(&mut rules, |(a, _), (b, _)| order(*a) < order(*b));
        for condition in conditions {
            self.read_constants(condition)?;
        }
        self.prepared.push(Prepared { request, rules, fault });
        Ok(u32::try_from(self.prepared.len() - 1).unwrap_or(u32::MAX))
    }

    /// Reads the large constants below a node.
    fn read_constants(&mut self, index: u32) -> Result<(), Fault<'a>> {
        let node = self.program.node(index)?;
        match node.op {
            Op::Constant if self.program.set_size(node.a)? > LARGE_SET => {
                let at = self.constants.partition_point(|(known, _)| *known < node.a);
                if self.constants.get(at).is_none_or(|(known, _)| *known != node.a) {
                    let value = self.program.constant(self.arena, node.a)?;
                    self.constants.insert(at, (node.a, value));
                }
            }
            Op::Set => {
                for element in self.program.list(List { start: node.b, length: node.c }) {
                    self.read_constants(element)?;
                }
            }
            op => {
                for operand in [node.a, node.b, node.c].into_iter().take(op.operands()) {
                    self.read_constants(operand)?;
                }
            }
        }
        Ok(())
    }

    /// Decides on every chunk of a frame: one code of [`verdict`] bits for each.
    ///
    /// # Errors
    /// If the request was not prepared, the bytes are not a frame, or a code is not in its dictionary. Nothing is allowed then.
    pub fn filter(&mut self, prepared: u32, bytes: &[u8]) -> Result<Vec<u8>, Fault<'a>> {
        let (rows, columns) = frame::read(bytes, &self.forms).map_err(|_| Fault::Program)?;
        self.learn(&columns)?;
        let Self { program, columns: infos, dictionaries, constants, prepared: all, .. } = self;
        let Prepared { request, rules, fault } = all.get_mut(prepared as usize).ok_or(Fault::Program)?;
        let scratch = Bump::new();
        let table = Table { program: *program, infos, columns: &columns, dictionaries, arena: &scratch };
        let evaluate = |node: u32, index: usize| {
            let chunk = Row { table, row: index };
            let chunk: &dyn Chunk<'_> = scratch.alloc(chunk);
            let evaluator =
                Evaluator { program: *program, request, chunk: Some(chunk), arena: &scratch, constants };
            evaluator.boolean(node).ok()
        };
        let mut verdicts = Vec::with_capacity(rows);
        for start in (0..rows).step_by(64) {
            let size = (rows - start).min(64);
            let block = Block { columns: &columns, start, evaluate: &evaluate };
            let decided = decide(rules, &block, u64::MAX >> (64 - size));
            let faults = if *fault { u64::MAX } else { decided.fault };
            for position in 0..size {
                let bit = |bits: u64| (bits >> position & 1) as u8;
                verdicts.push(
                    bit(decided.allow) * verdict::ALLOW
                        | bit(decided.redact) * verdict::REDACT
                        | bit(faults) * verdict::FAULT,
                );
            }
        }
        Ok(verdicts)
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
            } else if first + count > dictionary.len() {
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

/// Outcomes for a block of chunks.
struct Decided {
    allow: u64,
    redact: u64,
    fault: u64,
}

/// Asks the rules that forbid about all chunks, those that permit about chunks that nothing forbids and nothing permits yet.
fn decide(rules: &mut [(u32, Residual)], block: &Block<'_>, all: u64) -> Decided {
    let (mut open, mut plain, mut redacted, mut fault) = (all, 0, 0, 0);
    for (flags, residual) in rules {
        if open == 0 {
            break;
        }
        let outcome = residual.outcome(block, open);
        fault |= open & !(outcome.yes | outcome.no);
        let satisfied = open & outcome.yes;
        open &= !satisfied;
        match *flags & (flag::FORBID | flag::REDACTS) {
            0 => plain |= satisfied,
            flag::REDACTS => redacted |= satisfied,
            _ => {}
        }
    }
    Decided { allow: plain | redacted, redact: redacted, fault }
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
    fn cell(&self, index: usize) -> Result<Option<Value<'a>>, Fault<'a>> {
        match self.table.columns.get(index) {
            Some(Column::Codes { codes, .. }) => {
                let code = u32::from_le_bytes(*codes.get(self.row).ok_or(Fault::Program)?);
                let Some(entry) = code.checked_sub(1) else { return Ok(None) };
                let dictionary = self.table.dictionaries.get(index).ok_or(Fault::Program)?;
                dictionary.get(entry as usize).map(|value| Some(*value)).ok_or(Fault::Program)
            }
            Some(Column::Longs { states, numbers }) => {
                let form = self.table.infos.get(index).map_or(ColumnForm::Longs, |info| info.form);
                match (states.get(self.row), numbers.get(self.row)) {
                    (Some(&frame::state::ABSENT), _) => Ok(None),
                    (Some(&frame::state::PRESENT), Some(number)) => {
                        Ok(Some(form.value(i64::from_le_bytes(*number))))
                    }
                    _ => Ok(Some(Value::IllTyped("it is not of the declared type"))),
                }
            }
            Some(texts) => texts.text(self.row).map(|text| Some(Value::Text(text))).ok_or(Fault::Program),
            None => Err(Fault::Program),
        }
    }

    /// The cell of the column with a source other than an attribute.
    fn special(&self, source: Source) -> Result<Option<Value<'a>>, Fault<'a>> {
        match self.table.infos.iter().position(|info| info.source == source) {
            Some(index) => self.cell(index),
            None => Err(Fault::Program),
        }
    }
}

impl<'a> Chunk<'a> for Row<'a> {
    fn entity_type(&self) -> Result<&'a str, Fault<'a>> {
        if let Some(Value::Text(text)) = self.special(Source::EntityType)? {
            Ok(text)
        } else {
            Err(Fault::Program)
        }
    }

    fn uid(&self) -> Result<Uid<'a>, Fault<'a>> {
        let Some(Value::Text(id)) = self.special(Source::Id)? else { return Err(Fault::Program) };
        Ok(Uid { entity_type: self.entity_type()?, id })
    }

    fn column(&self, column: u32) -> Result<Option<Value<'a>>, Fault<'a>> {
        let value = self.cell(column as usize)?;
        let Table { program, infos, arena, .. } = self.table;
        match (value, infos.get(column as usize)) {
            (Some(value), Some(info)) if info.converted => Coerce { program, arena }
                .attribute(self.entity_type()?, program.text(info.name)?, value)
                .map(Some),
            (value, _) => Ok(value),
        }
    }

    fn tags(&self) -> Result<&'a [Field<'a>], Fault<'a>> {
        let Table { program, infos, arena, .. } = self.table;
        let info = infos.iter().find(|info| info.source == Source::Tags).ok_or(Fault::Program)?;
        match self.special(Source::Tags)? {
            Some(Value::Record(tags)) if info.converted => {
                Coerce { program, arena }.tags(self.entity_type()?, tags)
            }
            Some(Value::Record(tags)) => Ok(tags),
            None => Ok(&[]),
            _ => Err(Fault::Program),
        }
    }

    fn is_below(&self, group: &Uid<'_>) -> Result<bool, Fault<'a>> {
        match self.special(Source::Ancestors)? {
            Some(Value::Set(ancestors)) => Ok(holds(ancestors, &Value::Entity(group))),
            None => Ok(false),
            _ => Err(Fault::Program),
        }
    }
}
