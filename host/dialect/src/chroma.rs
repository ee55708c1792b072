//! Chroma: a `where` of its collections.
//!
//! Chroma compares the type of a value along with it, but takes whole and other numbers for each other, and then drops the fraction. It
//! has no NOT, so negations go down to the tests: `$nin` and `$not_contains` are the complements of `$in` and `$contains`, over
//! missing fields too. It cannot ask whether there is something, orders numbers only, and knows no prefixes and no nested objects.
//!
//! Metadata is flat: an attribute inside another needs a field of its own in [`Fields::attributes`]. An attribute that Chroma does not
//! take as it is (null, an empty or mixed array, an object) is to be left out of the metadata.

use serde_json::{Value as Json, json};
use tamis_core::Type;
use tamis_core::filter::{Comparison, Filter};

use crate::fields::Fields;
use crate::negation::{self, joined};
use crate::plan::{Atom, Field, Kind, Limits, Plan, Scalar, Verdict};
use crate::planner::plan_by_type;
use crate::{Dialect, Translation};

/// Chroma binds each number of a list twice, and its SQLite takes 32 766 values; nesting of 60 was seen to work and of 100
/// to be refused.
const LIMITS: Limits = Limits { list: 10_000, values: 15_000, depth: 40 };
/// Chroma makes each test a level of an expression, of which its SQLite takes 1000: 900 were seen to work and 990 to fail.
const MAX_TESTS: usize = 800;

/// A collection whose metadata hold chunks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chroma {
    /// Where in the metadata things are.
    pub fields: Fields,
}

impl Dialect for Chroma {
    type Native = Json;

    fn name(&self) -> &'static str {
        "chroma"
    }

    fn translate(&self, filter: &Filter) -> Translation<Json> {
        let (planned, mut widened) = plan_by_type(filter, &self.fields, LIMITS, &judge);
        let planned = planned.with_tests(MAX_TESTS, &mut widened);
        Translation { native: write(&planned, false), widened }
    }
}

fn judge(field: &Field, atom: &Atom, stored: Option<&Type>) -> Verdict {
    let inexpressible = |why: &str| Verdict::Inexpressible(why.to_owned());
    if name(field).is_none() {
        return inexpressible("a name that Chroma does not take, or of an attribute inside another");
    }
    match atom {
        Atom::Present | Atom::Is(_) | Atom::IsArray(_) => inexpressible("whether there is something"),
        Atom::StartsWith(_) => inexpressible("the beginnings of texts"),
        Atom::Compare(_, Scalar::Text(_)) => inexpressible("the order of texts"),
        // Whole numbers may be stored for such as have no fraction, and are compared with the whole part.
        Atom::OneOf(_) | Atom::Compare(..) if kind(atom) == Some(Kind::Number) => {
            Verdict::Wider("numbers with fractions, which Chroma may compare without".to_owned())
        }
        _ if kind(atom) == Some(Kind::Number) => inexpressible("sets of numbers with fractions"),
        Atom::OneOf(_) | Atom::Compare(..) if kind(atom) == Some(Kind::Integer) && stored.is_none() => {
            Verdict::Wider("whether it is a whole number".to_owned())
        }
        Atom::Compare(..) => Verdict::Unnegated("whether there is no such number".to_owned()),
        Atom::OneOf(_) | Atom::ContainsAny(..) | Atom::ContainsAll(..) => Verdict::Exact,
    }
}

fn kind(atom: &Atom) -> Option<Kind> {
    atom.values().first().map(Scalar::kind)
}

/// A field as Chroma names it; `None` if it is not one of the metadata, or of those that Chroma keeps for itself.
fn name(field: &Field) -> Option<&str> {
    let name = field.flat()?;
    let reserved = name.is_empty() || name.starts_with(['$', '#']) || name.starts_with("chroma:");
    Some(name).filter(|_| !reserved)
}

/// Chroma has no constants, and its empty filter is everything.
fn constants() -> Vec<Json> {
    vec![json!({"chunk_id": {"$eq": ""}}), json!({"chunk_id": {"$ne": ""}})]
}

fn write(plan: &Plan, negated: bool) -> Json {
    negation::write(plan, negated, &constants, &|field, atom, negated| {
        Some(test(name(field)?, atom, negated))
    })
}

fn test(name: &str, atom: &Atom, negated: bool) -> Json {
    let contains = if negated { "$not_contains" } else { "$contains" };
    let each = |values: &[Scalar]| {
        values.iter().map(|value| json!({(name): {(contains): value.to_json()}})).collect::<Vec<_>>()
    };
    match atom {
        Atom::OneOf(values) => {
            let values: Vec<Json> = values.iter().map(Scalar::to_json).collect();
            json!({(name): {(if negated { "$nin" } else { "$in" }): values}})
        }
        Atom::Compare(comparison, bound) => {
            let operator = match (comparison, bound) {
                // What is compared without its fraction is only sure not to be beyond the bound.
                (Comparison::Less | Comparison::LessOrEqual, Scalar::Number(_)) => "$lte",
                (Comparison::Greater | Comparison::GreaterOrEqual, Scalar::Number(_)) => "$gte",
                (Comparison::Less, _) => "$lt",
                (Comparison::LessOrEqual, _) => "$lte",
                (Comparison::Greater, _) => "$gt",
                (Comparison::GreaterOrEqual, _) => "$gte",
            };
            json!({(name): {(operator): bound.to_json()}})
        }
        Atom::ContainsAny(values, _) => joined(!negated, each(values)),
        Atom::ContainsAll(values, _) => joined(negated, each(values)),
        // The judge lets none of them pass.
        Atom::Present | Atom::Is(_) | Atom::IsArray(_) | Atom::StartsWith(_) => write(&Plan::Always, negated),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(text: &str, admitted: bool) -> (Json, Vec<String>) {
        let fields = Fields { admitted, ..Fields::default() };
        let translation = Chroma { fields }.translate(&Filter::from_json(text).unwrap());
        (translation.native, translation.widened)
    }

    fn always() -> Json {
        json!({"$or": [{"chunk_id": {"$eq": ""}}, {"chunk_id": {"$ne": ""}}]})
    }

    #[test]
    fn negations_go_down_to_the_tests() {
        let never = json!({"$and": [{"chunk_id": {"$eq": ""}}, {"chunk_id": {"$ne": ""}}]});
        let a = r#"{"op":"equals","attr":["a"],"value":"x"}"#;
        let tags = r#"{"op":"contains-any","attr":["t"],"values":["x","y"]}"#;
        let less = r#"{"op":"less","attr":["n"],"type":"Long","value":-5}"#;
        let not = |text: &str| format!(r#"{{"op":"not","arg":{text}}}"#);
        let or = |l: &str, r: &str| format!(r#"{{"op":"or","args":[{l},{r}]}}"#);
        for (filter, native) in [
            (r#"{"op":"always"}"#.to_owned(), always()),
            (r#"{"op":"never"}"#.to_owned(), never.clone()),
            (r#"{"op":"one-of","attr":["a"],"values":[]}"#.to_owned(), never),
            (a.to_owned(), json!({"a": {"$in": ["x"]}})),
            (not(a), json!({"a": {"$nin": ["x"]}})),
            (tags.to_owned(), json!({"$or": [{"t": {"$contains": "x"}}, {"t": {"$contains": "y"}}]})),
            (not(tags), json!({"$and": [{"t": {"$not_contains": "x"}}, {"t": {"$not_contains": "y"}}]})),
            (
                not(&tags.replace("any", "all")),
                json!({"$or": [{"t": {"$not_contains": "x"}}, {"t": {"$not_contains": "y"}}]}),
            ),
            (not(&or(a, &not(less))), json!({"$and": [{"a": {"$nin": ["x"]}}, {"n": {"$lt": -5}}]})),
        ] {
            assert_eq!(translated(&filter, true), (native, vec![]), "{filter}");
        }
    }

    #[test]
    fn what_chroma_cannot_tell_is_left_out() {
        for filter in [
            r#"{"op":"exists","attr":["a"]}"#,
            r#"{"op":"starts-with","attr":["a"],"type":"String","value":"x"}"#,
            r#"{"op":"equals","attr":["a","b"],"type":"String","value":"x"}"#,
            r##"{"op":"equals","attr":["#document"],"type":"String","value":"x"}"##,
            r#"{"op":"equals","attr":["$and"],"type":"String","value":"x"}"#,
            r#"{"op":"equals","attr":[""],"type":"String","value":"x"}"#,
            r#"{"op":"not","arg":{"op":"less","attr":["a"],"type":"Long","value":5}}"#,
            r#"{"op":"not","arg":{"op":"equals","attr":["a"],"value":5}}"#,
            r#"{"op":"less","attr":["a"],"type":"datetime","value":{"__extn":{"fn":"datetime","arg":"2026-01-01"}}}"#,
            r#"{"op":"not","arg":{"op":"equals","attr":["a"],"type":"decimal","value":{"__extn":{"fn":"decimal","arg":"1.5"}}}}"#,
        ] {
            let (native, widened) = translated(filter, true);
            assert_eq!((native, widened.len()), (always(), 1), "{filter}");
        }
        let less =
            r#"{"op":"less","attr":["a"],"type":"decimal","value":{"__extn":{"fn":"decimal","arg":"1.5"}}}"#;
        let (native, widened) = translated(less, true);
        assert_eq!((native, widened.len()), (json!({"a": {"$lte": 1.5}}), 1));
    }

    #[test]
    fn too_many_tests_are_left_out() {
        let values: Vec<String> = (0..801).map(|n| format!(r#""{n}""#)).collect();
        let many = format!(r#"{{"op":"contains-any","attr":["a"],"values":[{}]}}"#, values.join(","));
        let filter = format!(r#"{{"op":"and","args":[{many},{{"op":"equals","attr":["b"],"value":"x"}}]}}"#);
        let (native, widened) = translated(&filter, true);
        assert_eq!((native, widened.len()), (json!({"b": {"$in": ["x"]}}), 1));
    }
}
