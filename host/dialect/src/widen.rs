//! Leaving out what a database cannot express, always on the wide side.

use tamis_core::Filter;
use tamis_core::filter::{Operand, Test};

/// What a dialect says of one test.
pub(crate) enum Verdict {
    /// It can be expressed exactly.
    Exact,
    /// It can never hold, whatever is stored.
    Never,
    /// It cannot be expressed; the text says what and why.
    Inexpressible(String),
}

/// Replaces every test that `judge` finds inexpressible: by `always` where the filter wants it to hold, by `never` where
/// the filter wants it not to. Returns a filter that matches at least what `filter` matches, with constants folded, and
/// what was left out.
pub(crate) fn widen(filter: &Filter, judge: &dyn Fn(&Operand, &Test) -> Verdict) -> (Filter, Vec<String>) {
    let mut left_out = Vec::new();
    let widened = bound(filter, Filter::Always, judge, &mut left_out);
    (widened, left_out)
}

/// A filter without inexpressible tests; each is replaced by `unknown`: `always` gives a bound from above, `never` one
/// from below.
fn bound(
    filter: &Filter,
    unknown: Filter,
    judge: &dyn Fn(&Operand, &Test) -> Verdict,
    left_out: &mut Vec<String>,
) -> Filter {
    match filter {
        Filter::Always | Filter::Never => filter.clone(),
        Filter::And(filters) => {
            Filter::and(filters.iter().map(|part| bound(part, unknown.clone(), judge, left_out)))
        }
        Filter::Or(filters) => {
            Filter::or(filters.iter().map(|part| bound(part, unknown.clone(), judge, left_out)))
        }
        Filter::Not(inner) => {
            let opposite = if unknown == Filter::Always { Filter::Never } else { Filter::Always };
            Filter::negate(bound(inner, opposite, judge, left_out))
        }
        Filter::Test(operand, test) => match judge(operand, test) {
            Verdict::Exact => filter.clone(),
            Verdict::Never => Filter::Never,
            Verdict::Inexpressible(what) => {
                if !left_out.contains(&what) {
                    left_out.push(what);
                }
                unknown
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(name: &str) -> String {
        format!(r#"{{"op":"exists","attr":["{name}"]}}"#)
    }

    /// Attributes called `x…` are inexpressible, those called `n…` never hold.
    fn judge(operand: &Operand, _: &Test) -> Verdict {
        let Operand::Attribute(attribute) = operand else { return Verdict::Exact };
        match attribute.path[0].chars().next() {
            Some('x') => Verdict::Inexpressible(attribute.path[0].clone()),
            Some('n') => Verdict::Never,
            _ => Verdict::Exact,
        }
    }

    #[test]
    fn what_is_inexpressible_widens_by_its_sign() {
        let (a, x, n) = (test("a"), test("x"), test("n"));
        let always = r#"{"op":"always"}"#.to_owned();
        let never = r#"{"op":"never"}"#.to_owned();
        let and = |l: &str, r: &str| format!(r#"{{"op":"and","args":[{l},{r}]}}"#);
        let or = |l: &str, r: &str| format!(r#"{{"op":"or","args":[{l},{r}]}}"#);
        let not = |inner: &str| format!(r#"{{"op":"not","arg":{inner}}}"#);
        for (text, widened, left_out) in [
            (a.clone(), a.clone(), false),
            (x.clone(), always.clone(), true),
            (not(&x), always.clone(), true),
            (not(&not(&x)), always.clone(), true),
            (n.clone(), never.clone(), false),
            (not(&n), always.clone(), false),
            (and(&a, &x), a.clone(), true),
            (or(&a, &x), always.clone(), true),
            (not(&and(&a, &x)), always.clone(), true),
            (not(&or(&a, &x)), not(&a), true),
            (and(&a, &not(&and(&x, &a))), a.clone(), true),
            (or(&n, &a), a.clone(), false),
        ] {
            let (result, reasons) = widen(&Filter::from_json(&text).unwrap(), &judge);
            assert_eq!(result, Filter::from_json(&widened).unwrap(), "{text}");
            assert_eq!(!reasons.is_empty(), left_out, "{text}");
        }
    }
}
