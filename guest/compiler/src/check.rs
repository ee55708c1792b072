//! Warnings about what compiles but is probably not meant.

use crate::front::Front;
use crate::ir::Ir;
use crate::problem::Problem;
use crate::rules::Rules;

/// Looks at every policy.
pub(crate) fn warnings(front: &Front, _ir: &Ir, _rules: &Rules) -> Vec<Problem> {
    let mut warnings = Vec::new();
    for id in &front.unlinked {
        warnings.push(Problem::warning(&front.source, format!("nothing links the template `{id}`, so it never applies")));
    }
    warnings
}
