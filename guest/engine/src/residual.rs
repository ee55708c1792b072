//! Conditions specialised to a request: what is left to look at for each chunk.
//!
//! A condition over 64 chunks at a time has two sets of chunks as its outcome: where it is true and where it is false. Where it is
//! neither, it failed. So `a && b` is true where both are, and false where `a` is false, or `a` is true and `b` false.

use alloc::boxed::Box;
use alloc::vec::Vec;

use tamis_contract::frame::{self, Column, Form};

use crate::evaluate::Evaluator;
use crate::fault::Fault;
use crate::program::{Binding, ColumnForm, ColumnInfo, Node, Op, damaged};

/// Chunks where a condition is true, and where it is false; a bit for each of 64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Where it is true.
    pub yes: u64,
    /// Where it is false.
    pub no: u64,
}

/// A condition, specialised to a request.
#[derive(Debug)]
pub enum Residual {
    /// The same for every chunk; `None` if it fails for every chunk.
    Known(Option<bool>),
    /// The second where the first is true, the third where it is false. `a && b` is `if a then b else false`, and so on.
    If(Box<[Residual; 3]>),
    /// A node that reads one column of codes, with its outcome for each code, as far as it is known.
    OfCode {
        /// The node.
        node: u32,
        /// The column.
        column: u16,
        /// For each code: what is known of it.
        memo: Vec<u8>,
    },
    /// A test of one column of numbers.
    OfNumber {
        /// The column.
        column: u16,
        /// What is tested.
        test: NumberTest,
        /// What the number is compared with.
        bound: i64,
    },
    /// Whether a column of numbers has something for the chunk, readable or not.
    Present(u16),
    /// A node that is evaluated for each chunk.
    OfChunk(u32),
}

/// What is known of a condition over one code.
mod memo {
    /// Not evaluated yet.
    pub(super) const UNKNOWN: u8 = 0;
    /// True.
    pub(super) const YES: u8 = 1;
    /// False.
    pub(super) const NO: u8 = 2;
    /// Failed.
    pub(super) const FAULT: u8 = 4;
}

/// A test of a number that is there; it fails where none is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberTest {
    /// It equals the bound.
    Equal,
    /// It is less than the bound.
    Less,
    /// It is less than the bound or equals it.
    LessOrEqual,
    /// It is greater than the bound.
    Greater,
    /// It is greater than the bound or equals it.
    GreaterOrEqual,
}

impl NumberTest {
    fn holds(self, number: i64, bound: i64) -> bool {
        match self {
            Self::Equal => number == bound,
            Self::Less => number < bound,
            Self::LessOrEqual => number <= bound,
            Self::Greater => number > bound,
            Self::GreaterOrEqual => number >= bound,
        }
    }

    /// The same test with its sides exchanged.
    fn mirrored(self) -> Self {
        match self {
            Self::Equal => Self::Equal,
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
        }
    }
}

/// Specialises the condition at node `index` to the evaluator's request.
pub fn specialise(evaluator: &Evaluator<'_>, columns: &[ColumnInfo], index: u32) -> Residual {
    let node = evaluator.program.node(index);
    if node.binding == Binding::Request {
        let outcome = evaluator.boolean(index);
        if outcome.is_none() && evaluator.fault() == Fault::Program {
            damaged();
        }
        return Residual::Known(outcome);
    }
    let structure = structure(evaluator, columns, &node);
    let Binding::Column(column) = node.binding else {
        return structure.unwrap_or(Residual::OfChunk(index));
    };
    let info = columns.get(usize::from(column)).unwrap_or_else(|| damaged());
    match (structure, info.form.form()) {
        (Some(known @ Residual::Known(_)), _) => known,
        (_, Form::Codes) => Residual::OfCode { node: index, column, memo: Vec::new() },
        (Some(structure), _) => structure,
        (None, Form::Longs) if node.op == Op::HasColumn => Residual::Present(column),
        (None, Form::Longs) => {
            number_test(evaluator, &node, column, info.form).unwrap_or(Residual::OfChunk(index))
        }
        (None, Form::Texts) => Residual::OfChunk(index),
    }
}

/// One of the two outcomes of a connective.
#[derive(Clone, Copy)]
enum Branch {
    Known(bool),
    Node(u32),
}

/// Specialises the parts of a connective; `None` for a node that is none.
fn structure(evaluator: &Evaluator<'_>, columns: &[ColumnInfo], node: &Node) -> Option<Residual> {
    use Branch::Known;
    let (then, otherwise) = match node.op {
        Op::And => (Branch::Node(node.b), Known(false)),
        Op::Or => (Known(true), Branch::Node(node.b)),
        Op::Not => (Known(false), Known(true)),
        Op::If => (Branch::Node(node.b), Branch::Node(node.c)),
        _ => return None,
    };
    let branch = |branch: Branch| match branch {
        Known(known) => Residual::Known(Some(known)),
        Branch::Node(node) => specialise(evaluator, columns, node),
    };
    Some(match specialise(evaluator, columns, node.a) {
        Residual::Known(Some(condition)) => branch(if condition { then } else { otherwise }),
        Residual::Known(None) => Residual::Known(None),
        condition => match (branch(then), branch(otherwise)) {
            (Residual::Known(Some(true)), Residual::Known(Some(false))) => condition,
            (then, otherwise) => Residual::If(Box::new([condition, then, otherwise])),
        },
    })
}

/// A comparison of a column of numbers with something that does not change from chunk to chunk.
fn number_test(evaluator: &Evaluator<'_>, node: &Node, column: u16, form: ColumnForm) -> Option<Residual> {
    let test = match (node.op, form) {
        (Op::Equal, _) => NumberTest::Equal,
        (Op::Less, ColumnForm::Longs | ColumnForm::Datetimes | ColumnForm::Durations)
        | (Op::DecimalLess, ColumnForm::Decimals) => NumberTest::Less,
        (Op::LessOrEqual, ColumnForm::Longs | ColumnForm::Datetimes | ColumnForm::Durations)
        | (Op::DecimalLessOrEqual, ColumnForm::Decimals) => NumberTest::LessOrEqual,
        _ => return None,
    };
    let (a, b) = (evaluator.program.node(node.a), evaluator.program.node(node.b));
    let (test, other) = match (a.op, b.op) {
        (Op::Column, _) if b.binding == Binding::Request => (test, node.b),
        (_, Op::Column) if a.binding == Binding::Request => (test.mirrored(), node.a),
        _ => return None,
    };
    match evaluator.value(other) {
        None => Some(Residual::Known(None)),
        Some(other) => form.number(&other).map(|bound| Residual::OfNumber { column, test, bound }),
    }
}

/// What a residual needs to be evaluated over a block of chunks.
pub(crate) struct Block<'a> {
    /// The columns of the frame.
    pub(crate) columns: &'a [Column<'a>],
    /// The first chunk of the block.
    pub(crate) start: usize,
    /// Evaluates a node for one chunk; `None` if it fails.
    pub(crate) evaluate: &'a dyn Fn(u32, usize) -> Option<bool>,
}

impl Residual {
    /// The outcome for the chunks of a block that `wanted` names. Bits of other chunks mean nothing.
    pub(crate) fn outcome(&mut self, block: &Block<'_>, wanted: u64) -> Outcome {
        if wanted == 0 {
            return Outcome::default();
        }
        match self {
            Self::Known(Some(true)) => Outcome { yes: u64::MAX, no: 0 },
            Self::Known(Some(false)) => Outcome { yes: 0, no: u64::MAX },
            Self::Known(None) => Outcome::default(),
            Self::If(parts) => {
                let [condition, then, otherwise] = &mut **parts;
                let condition = condition.outcome(block, wanted);
                let then = then.outcome(block, wanted & condition.yes);
                let otherwise = otherwise.outcome(block, wanted & condition.no);
                Outcome {
                    yes: (condition.yes & then.yes) | (condition.no & otherwise.yes),
                    no: (condition.yes & then.no) | (condition.no & otherwise.no),
                }
            }
            Self::OfCode { node, column, memo } => of_code(block, wanted, *node, usize::from(*column), memo),
            Self::OfNumber { column, test, bound } => of_number(block, usize::from(*column), *test, *bound),
            Self::Present(column) => present(block, usize::from(*column)),
            Self::OfChunk(node) => of_chunk(block, wanted, *node),
        }
    }
}

fn of_code(block: &Block<'_>, wanted: u64, node: u32, column: usize, memo: &mut Vec<u8>) -> Outcome {
    let Some(Column::Codes { codes, .. }) = block.columns.get(column) else { return Outcome::default() };
    let codes = codes.get(block.start..).unwrap_or_default();
    let mut outcome = Outcome::default();
    // Most conditions are asked about few chunks: those that the conditions before them left.
    let mut left = wanted;
    while left != 0 {
        let position = left.trailing_zeros();
        left &= left - 1;
        let Some(code) = codes.get(position as usize) else { break };
        let code = u32::from_le_bytes(*code) as usize;
        let mut known = memo.get(code).copied().unwrap_or(memo::UNKNOWN);
        if known == memo::UNKNOWN {
            known = match (block.evaluate)(node, block.start + position as usize) {
                Some(true) => memo::YES,
                Some(false) => memo::NO,
                None => memo::FAULT,
            };
            if memo.len() <= code {
                memo.resize(code + 1, memo::UNKNOWN);
            }
            if let Some(place) = memo.get_mut(code) {
                *place = known;
            }
        }
        outcome.yes |= u64::from(known & memo::YES) << position;
        outcome.no |= u64::from(known >> 1 & memo::YES) << position;
    }
    outcome
}

fn of_number(block: &Block<'_>, column: usize, test: NumberTest, bound: i64) -> Outcome {
    let Some(Column::Longs { states, numbers }) = block.columns.get(column) else {
        return Outcome::default();
    };
    let rows = states.iter().zip(*numbers).skip(block.start).take(64);
    let mut outcome = Outcome::default();
    for (position, (state, number)) in rows.enumerate() {
        let present = u64::from(*state == frame::state::PRESENT);
        let holds = u64::from(test.holds(i64::from_le_bytes(*number), bound));
        outcome.yes |= (present & holds) << position;
        outcome.no |= (present & (holds ^ 1)) << position;
    }
    outcome
}

fn present(block: &Block<'_>, column: usize) -> Outcome {
    let Some(Column::Longs { states, .. }) = block.columns.get(column) else { return Outcome::default() };
    let mut outcome = Outcome::default();
    for (position, state) in states.iter().skip(block.start).take(64).enumerate() {
        let absent = u64::from(*state == frame::state::ABSENT);
        outcome.no |= absent << position;
        outcome.yes |= (absent ^ 1) << position;
    }
    outcome
}

fn of_chunk(block: &Block<'_>, wanted: u64, node: u32) -> Outcome {
    let mut outcome = Outcome::default();
    let mut left = wanted;
    while left != 0 {
        let position = left.trailing_zeros();
        left &= left - 1;
        match (block.evaluate)(node, block.start + position as usize) {
            Some(true) => outcome.yes |= 1 << position,
            Some(false) => outcome.no |= 1 << position,
            None => {}
        }
    }
    outcome
}
