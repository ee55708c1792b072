//! Pinecone: a `filter` over the metadata of an index.
//!
//! Pinecone has no NOT, so negations go down to the tests. Whether `$ne` and `$nin` hold for a missing field has changed over time:
//! beside each of them stands `$exists`. Its numbers are double-precision; texts have no order and no beginnings. A test of a list holds if
//! it does for one of the elements, so single values are exact only where every chunk passed the admit gate.
//!
//! Metadata is flat, and holds no null: an attribute inside another needs a field of its own in [`Fields::attributes`]. The only arrays are
//! those of texts.

use serde_json::{Value as Json, json};
use tamis_core::Type;
use tamis_core::filter::{Comparison, Filter};

use crate::fields::Fields;
use crate::negation::{self, joined};
use crate::plan::{Atom, Field, Kind, Limits, Plan, Scalar, Verdict};
use crate::planner::plan_by_type;
use crate::{Dialect, Translation};

/// `$in` and `$nin` take 10 000 values. Nesting is not limited by its documentation; policies hardly go deeper.
const LIMITS: Limits = Limits { list: 10_000, values: 10_000, depth: 30 };
/// Double-precision numbers tell whole numbers below this apart.
const MAX_WHOLE: u64 = 1 << 53;

/// An index whose metadata hold chunks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pinecone {
    /// Where in the metadata things are.
    pub fields: Fields,
}

impl Dialect for Pinecone {
    type Native = Json;

    fn name(&self) -> &'static str {
        "pinecone"
    }

    fn translate(&self, filter: &Filter) -> Translation<Json> {
        let (planned, widened) = plan_by_type(filter, &self.fields, LIMITS, &judge);
        Translation { native: write(&planned, false), widened }
    }
}

fn judge(field: &Field, atom: &Atom, stored: Option<&Type>) -> Verdict {
    let inexpressible = |why: &str| Verdict::Inexpressible(why.to_owned());
    if name(field).is_none() {
        return inexpressible("a name that Pinecone does not take, or of an attribute inside another");
    }
    let is_rounded =
        |value: &Scalar| matches!(value, Scalar::Integer(number) if number.unsigned_abs() >= MAX_WHOLE);
    match (atom, stored) {
        (Atom::IsArray(_), _) | (Atom::Present, None | Some(Type::Set(_))) => {
            inexpressible("an empty set may not be stored")
        }
        (Atom::StartsWith(_), _) => inexpressible("the beginnings of texts"),
        (Atom::Compare(_, Scalar::Text(_)), _) => inexpressible("the order of texts"),
        (Atom::ContainsAny(values, _) | Atom::ContainsAll(values, _), _)
            if values.iter().any(|value| value.kind() != Kind::Text) =>
        {
            inexpressible("sets of anything but texts")
        }
        (Atom::OneOf(_) | Atom::Compare(..), _) if atom.values().iter().any(is_rounded) => {
            Verdict::Wider("whole numbers beyond 2^53, which are rounded".to_owned())
        }
        (_, None) => Verdict::Wider("whether it is a value of the type that it is compared with".to_owned()),
        (Atom::ContainsAny(..) | Atom::ContainsAll(..), _) => {
            Verdict::Unnegated("what a set does not contain".to_owned())
        }
        (_, Some(_)) => Verdict::Exact,
    }
}

/// A field as Pinecone names it; `None` if it is not one of the metadata, or would be an operator.
fn name(field: &Field) -> Option<&str> {
    field.flat().filter(|name| !name.is_empty() && !name.starts_with('$'))
}

/// Pinecone has no constants, and its empty filter is everything.
fn constants() -> Vec<Json> {
    vec![json!({"chunk_id": {"$exists": true}}), json!({"chunk_id": {"$exists": false}})]
}

fn write(plan: &Plan, negated: bool) -> Json {
    negation::write(plan, negated, &constants, &|field, atom, negated| {
        Some(test(name(field)?, atom, negated))
    })
}

fn test(name: &str, atom: &Atom, negated: bool) -> Json {
    let is = |operator: &str, value: Json| json!({(name): {(operator): value}});
    let or_missing = |test: Json| joined(true, vec![is("$exists", json!(false)), test]);
    match atom {
        Atom::Present | Atom::Is(_) | Atom::IsArray(_) => is("$exists", json!(!negated)),
        Atom::OneOf(values) if values.iter().any(|value| value.kind() == Kind::Boolean) => {
            // `$in` takes texts and numbers.
            let each = |operator| values.iter().map(|value| is(operator, value.to_json())).collect();
            if negated { or_missing(joined(false, each("$ne"))) } else { joined(true, each("$eq")) }
        }
        Atom::OneOf(values) if negated => or_missing(is("$nin", list(values))),
        Atom::OneOf(values) | Atom::ContainsAny(values, _) => is("$in", list(values)),
        Atom::ContainsAll(values, _) => {
            joined(false, values.iter().map(|value| is("$in", list(std::slice::from_ref(value)))).collect())
        }
        Atom::Compare(comparison, bound) => {
            let rounded = matches!(bound, Scalar::Integer(bound) if bound.unsigned_abs() >= MAX_WHOLE);
            let less = matches!(comparison, Comparison::Less | Comparison::LessOrEqual) != negated;
            let or_equal =
                matches!(comparison, Comparison::LessOrEqual | Comparison::GreaterOrEqual) != negated;
            let operator = match (less, or_equal || rounded) {
                (true, false) => "$lt",
                (true, true) => "$lte",
                (false, false) => "$gt",
                (false, true) => "$gte",
            };
            let test = is(operator, bound.to_json());
            if negated { or_missing(test) } else { test }
        }
        // The judge lets none pass.
        Atom::StartsWith(_) => write(&Plan::Always, negated),
    }
}

fn list(values: &[Scalar]) -> Json {
    values.iter().map(Scalar::to_json).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(text: &str, admitted: bool) -> (Json, Vec<String>) {
        let fields = Fields { admitted, ..Fields::default() };
        let translation = Pinecone { fields }.translate(&Filter::from_json(text).unwrap());
        (translation.native, translation.widened)
    }

    fn always() -> Json {
        json!({"$or": [{"chunk_id": {"$exists": true}}, {"chunk_id": {"$exists": false}}]})
    }

    #[test]
    fn negations_go_down_to_the_tests() {
        let never = json!({"$and": [{"chunk_id": {"$exists": true}}, {"chunk_id": {"$exists": false}}]});
        let missing = |name: &str, test: Json| json!({"$or": [{(name): {"$exists": false}}, test]});
        let a = r#"{"op":"one-of","attr":["a"],"type":"String","values":["x","y"]}"#;
        let flag = r#"{"op":"equals","attr":["f"],"type":"Bool","value":true}"#;
        let less = r#"{"op":"less","attr":["n"],"type":"Long","value":-5}"#;
        let exists = r#"{"op":"exists","attr":["n"],"type":"Long"}"#;
        let not = |text: &str| format!(r#"{{"op":"not","arg":{text}}}"#);
        for (filter, native) in [
            (r#"{"op":"always"}"#.to_owned(), always()),
            (r#"{"op":"never"}"#.to_owned(), never.clone()),
            (r#"{"op":"one-of","attr":["a"],"values":[]}"#.to_owned(), never),
            (a.to_owned(), json!({"a": {"$in": ["x", "y"]}})),
            (not(a), missing("a", json!({"a": {"$nin": ["x", "y"]}}))),
            (flag.to_owned(), json!({"f": {"$eq": true}})),
            (not(flag), missing("f", json!({"f": {"$ne": true}}))),
            (less.to_owned(), json!({"n": {"$lt": -5}})),
            (not(less), missing("n", json!({"n": {"$gte": -5}}))),
            (not(&less.replace("less", "greater-or-equal")), missing("n", json!({"n": {"$lt": -5}}))),
            (exists.to_owned(), json!({"n": {"$exists": true}})),
            (not(exists), json!({"n": {"$exists": false}})),
            (
                format!(r#"{{"op":"not","arg":{{"op":"or","args":[{exists},{less}]}}}}"#),
                json!({"$and": [{"n": {"$exists": false}}, missing("n", json!({"n": {"$gte": -5}}))]}),
            ),
            (
                r#"{"op":"contains-all","attr":["t"],"type":"Set<String>","values":["x","y"]}"#.to_owned(),
                json!({"$and": [{"t": {"$in": ["x"]}}, {"t": {"$in": ["y"]}}]}),
            ),
        ] {
            assert_eq!(translated(&filter, true), (native, vec![]), "{filter}");
        }
    }

    #[test]
    fn what_pinecone_cannot_tell_is_left_out() {
        for filter in [
            r#"{"op":"exists","attr":["a"]}"#,
            r#"{"op":"starts-with","attr":["a"],"type":"String","value":"x"}"#,
            r#"{"op":"equals","attr":["a","b"],"type":"String","value":"x"}"#,
            r#"{"op":"equals","attr":["$and"],"type":"String","value":"x"}"#,
            r#"{"op":"contains-any","attr":["a"],"type":"Set<Long>","values":[1]}"#,
            r#"{"op":"not","arg":{"op":"contains-any","attr":["a"],"type":"Set<String>","values":["x"]}}"#,
            r#"{"op":"not","arg":{"op":"equals","attr":["a"],"value":"x"}}"#,
            r#"{"op":"not","arg":{"op":"equals","attr":["a"],"type":"Long","value":9007199254740992}}"#,
            r#"{"op":"less","attr":["a"],"type":"datetime","value":{"__extn":{"fn":"datetime","arg":"2026-01-01"}}}"#,
        ] {
            let (native, widened) = translated(filter, true);
            assert_eq!((native, widened.len()), (always(), 1), "{filter}");
        }
        let greater = r#"{"op":"greater","attr":["a"],"type":"Long","value":9007199254740992}"#;
        let (native, widened) = translated(greater, true);
        assert_eq!((native, widened.len()), (json!({"a": {"$gte": 9_007_199_254_740_992_i64}}), 1));
    }
}
