//! What tests must reach: a policy set rebuilt so that each of its branches is a rule of its own.
//!
//! A branch is an operand of `&&` and `||`, the condition of an `if`, or a whole condition. It becomes two rules: one that applies where
//! the branch is reached and true, one where it is reached and false. Deciding on a chunk with that component and reading the reasons
//! then says what was reached, by the same engine that decides in earnest.

use cedar_policy::pst::{BinaryOp, Clause, Expr, UnaryOp};
use tamis_engine::program::{Op, Rule};

use crate::front::Front;
use crate::ir::{Ir, TooMuch};
use crate::lower::Lower;
use crate::manifest::{self, Manifest};
use crate::problem::Problems;
use crate::rules::Rules;
use crate::{Error, emit, link, name_chunk, refused};

/// One condition that a policy consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// The id of the policy.
    pub policy: String,
    /// The condition as Cedar writes it; `None` for the policy's condition as a whole, its scope included.
    pub text: Option<String>,
}

/// The branches of a policy set, and a component that tells which of them a chunk reaches.
#[derive(Clone, Debug)]
pub struct Branches {
    /// Answers `filter-chunk` with reasons: the number of a branch in decimal, then `+` where it was true and `-` where it was false.
    pub component: Vec<u8>,
    /// The branches by number.
    pub branches: Vec<Branch>,
}

pub(crate) fn build(front: &Front) -> Result<Branches, Error> {
    let mut ir = Ir::default();
    let mut found = Found { branches: Vec::new(), rules: Rules::default() };
    let mut problems = Vec::new();
    for policy in &front.policies {
        let mut walk = Walk {
            lower: Lower { ir: &mut ir, schema: &front.schema },
            found: &mut found,
            policy: &policy.id,
        };
        if let Err(reason) = walk.policy(&policy.template) {
            problems.push(refused(front, policy, &reason));
        }
    }
    problems.extend(name_chunk(&mut ir, front).err());
    if !problems.is_empty() {
        return Err(Problems(problems).into());
    }
    let Found { branches, rules } = found;
    let manifest = Manifest {
        name: "branches".to_owned(),
        footprint: manifest::footprint(&ir, &front.schema),
        policies: Vec::new(),
        source_digest: String::new(),
        schema_digest: String::new(),
    };
    let program = emit::program(ir, &rules, &front.schema, &manifest);
    Ok(Branches { component: link::component(&program, &manifest.to_json().to_string())?, branches })
}

struct Found {
    branches: Vec<Branch>,
    rules: Rules,
}

struct Walk<'a> {
    lower: Lower<'a>,
    found: &'a mut Found,
    policy: &'a str,
}

impl Walk<'_> {
    fn policy(&mut self, policy: &cedar_policy::pst::Template) -> Result<(), TooMuch> {
        let whole = self.lower.condition(policy)?;
        let always = self.lower.boolean(true)?;
        self.add(None, always, whole)?;
        let mut reached = self.lower.scope_alone(policy)?;
        for clause in policy.clauses() {
            let (condition, wanted) = match clause {
                Clause::When(condition) => (condition, true),
                Clause::Unless(condition) => (condition, false),
            };
            let [yes, no] = self.walk(condition, reached)?;
            reached = if wanted { yes } else { no };
        }
        Ok(())
    }

    /// Adds the branches of an expression that is reached under the condition `reached`. Returns the conditions under which it is
    /// reached and true, and reached and false.
    fn walk(&mut self, expression: &Expr, reached: u32) -> Result<[u32; 2], TooMuch> {
        match expression {
            Expr::BinaryOp { op: BinaryOp::And, left, right } => {
                let [yes, _] = self.walk(left, reached)?;
                self.walk(right, yes)?;
            }
            Expr::BinaryOp { op: BinaryOp::Or, left, right } => {
                let [_, no] = self.walk(left, reached)?;
                self.walk(right, no)?;
            }
            Expr::UnaryOp { op: UnaryOp::Not, expr } => {
                let [yes, no] = self.walk(expr, reached)?;
                return Ok([no, yes]);
            }
            Expr::IfThenElse { cond, then_expr, else_expr } => {
                let [yes, no] = self.walk(cond, reached)?;
                for (branch, reached) in [(then_expr, yes), (else_expr, no)] {
                    self.walk(branch, reached)?;
                }
            }
            // Nobody waits for a constant to come out otherwise.
            Expr::Literal(_) => {}
            _ => {
                let node = self.lower.expression(expression)?;
                return self.add(Some(expression.to_string()), reached, node);
            }
        }
        let node = self.lower.expression(expression)?;
        self.outcomes(reached, node)
    }

    fn outcomes(&mut self, reached: u32, node: u32) -> Result<[u32; 2], TooMuch> {
        let opposite = self.lower.ir.node(Op::Not, node, 0, 0)?;
        Ok([
            self.lower.ir.node(Op::And, reached, node, 0)?,
            self.lower.ir.node(Op::And, reached, opposite, 0)?,
        ])
    }

    fn add(&mut self, text: Option<String>, reached: u32, node: u32) -> Result<[u32; 2], TooMuch> {
        let outcomes = self.outcomes(reached, node)?;
        let number = self.found.branches.len();
        self.found.branches.push(Branch { policy: self.policy.to_owned(), text });
        for (condition, sign) in outcomes.into_iter().zip(["+", "-"]) {
            let id = self.lower.ir.text(&format!("{number}{sign}"));
            let redactions = self.lower.ir.list(Vec::new());
            self.found.rules.push_always(Rule { id, flags: 0, condition, redactions });
        }
        Ok(outcomes)
    }
}
