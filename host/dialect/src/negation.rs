//! Filters of operators in JSON, `{"$and":[…]}`, for databases that have no NOT: negations go down to the tests.

use serde_json::{Value as Json, json};

use crate::plan::{Atom, Field, Plan};

/// Writes a plan, or its negation. `constants` are two tests of which just one holds, and `test` writes one test or its negation;
/// `None` for a field that the dialect's judge lets not pass.
pub(crate) fn write(
    plan: &Plan,
    negated: bool,
    constants: &dyn Fn() -> Vec<Json>,
    test: &dyn Fn(&Field, &Atom, bool) -> Option<Json>,
) -> Json {
    let all = |plans: &[Plan]| plans.iter().map(|plan| write(plan, negated, constants, test)).collect();
    match plan {
        Plan::Always | Plan::Never => joined((*plan == Plan::Always) != negated, constants()),
        Plan::And(plans) => joined(negated, all(plans)),
        Plan::Or(plans) => joined(!negated, all(plans)),
        Plan::Not(inner) => write(inner, !negated, constants, test),
        Plan::Test(field, atom) => {
            test(field, atom, negated).unwrap_or_else(|| write(&Plan::Always, negated, constants, test))
        }
    }
}

/// `$or` or `$and` of these. Some databases refuse one of them alone.
pub(crate) fn joined(any: bool, mut parts: Vec<Json>) -> Json {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        last => {
            parts.extend(last);
            json!({(if any { "$or" } else { "$and" }): parts})
        }
    }
}
