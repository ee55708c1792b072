//! Qdrant, over payloads that hold the attributes: a `filter` of its REST interface.
//!
//! Qdrant's tests hold for an array if they hold for one of its elements, and those of numbers for whole numbers and others alike.
//! So, unless every chunk passed the admit gate, a test of a single value also asks that no element of an array (`t[]`) meets it, and
//! tests of numbers and of sets hold for more than they say. An absent value, null and an empty array are one to Qdrant.
//!
//! Where a field has an index of the payload, it must be of the type that the attribute is declared with: an index holds no other values,
//! so that a filter misses them. Prefixes need Qdrant 1.19.

use serde_json::{Value as Json, json};
use tamis_core::filter::{Comparison, Filter};
use tamis_core::{Type, decision::Path};

use crate::fields::Fields;
use crate::plan::{Atom, Field, Kind, Limits, Plan, Scalar, Verdict};
use crate::planner::plan_by_type;
use crate::{Dialect, Translation};

/// Lists of 100 000 values were seen to work. The REST interface reads JSON of up to 127 levels; a connective takes two of
/// them, a test and the request around the filter some more.
const LIMITS: Limits = Limits { list: 100_000, values: 100_000, depth: 48 };
/// Ranges compare double-precision numbers, which tell whole numbers below this apart.
const MAX_BOUND: u64 = 1 << 53;

/// A collection of points whose payloads hold chunks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Qdrant {
    /// Where in the payload things are.
    pub fields: Fields,
}

impl Dialect for Qdrant {
    type Native = Json;

    fn name(&self) -> &'static str {
        "qdrant"
    }

    fn translate(&self, filter: &Filter) -> Translation<Json> {
        let (planned, widened) = plan_by_type(filter, &self.fields, LIMITS, &|field, atom, stored| {
            self.judge(field, atom, stored)
        });
        Translation { native: self.filter(&planned), widened }
    }
}

fn is_number(atom: &Atom) -> bool {
    atom.values().iter().any(|value| matches!(value.kind(), Kind::Integer | Kind::Number))
}

impl Qdrant {
    fn judge(&self, field: &Field, atom: &Atom, stored: Option<&Type>) -> Verdict {
        if key(field).is_none() {
            return Verdict::Inexpressible("a name with a quote or a backslash".to_owned());
        }
        if let Atom::Compare(_, Scalar::Integer(bound)) = atom
            && bound.unsigned_abs() >= MAX_BOUND
        {
            return Verdict::Inexpressible("the order of whole numbers beyond 2^53".to_owned());
        }
        let wider = |why: &str| Verdict::Wider(why.to_owned());
        match (atom, stored) {
            (Atom::IsArray(_), _) | (Atom::Present, None | Some(Type::Set(_))) => {
                Verdict::Inexpressible("an empty set cannot be told from none".to_owned())
            }
            (_, Some(_)) => Verdict::Exact,
            (Atom::OneOf(_) | Atom::StartsWith(_), None) if !self.fields.admitted && !is_number(atom) => {
                Verdict::Exact
            }
            (Atom::ContainsAny(..) | Atom::ContainsAll(..), None) => {
                wider("whether it is a set of such values")
            }
            _ => wider("whether it is a value of the type that it is compared with"),
        }
    }

    fn filter(&self, plan: &Plan) -> Json {
        match (plan, self.condition(plan)) {
            (Plan::Test(..), condition) => json!({"must": [condition]}),
            (_, filter) => filter,
        }
    }

    /// A condition: that on a field, or a filter.
    fn condition(&self, plan: &Plan) -> Json {
        let all = |plans: &[Plan]| plans.iter().map(|plan| self.condition(plan)).collect::<Vec<_>>();
        match plan {
            // An empty list of conditions matches everything, in each of the three places.
            Plan::Always => json!({"must_not": [{"has_id": []}]}),
            Plan::Never => json!({"must": [{"has_id": []}]}),
            Plan::And(plans) => json!({"must": all(plans)}),
            Plan::Or(plans) => json!({"should": all(plans)}),
            Plan::Not(inner) => json!({"must_not": [self.condition(inner)]}),
            Plan::Test(field, atom) => self.test(field, atom),
        }
    }

    fn test(&self, field: &Field, atom: &Atom) -> Json {
        // The judge lets no other name pass.
        let Some(key) = key(field) else { return self.condition(&Plan::Always) };
        let may_be_array = matches!(field, Field::Attribute(_)) && !self.fields.admitted;
        let single = |test: &dyn Fn(&str) -> Vec<Json>| {
            if may_be_array {
                json!({"should": test(&key), "must_not": test(&format!("{key}[]"))})
            } else {
                joined("should", test(&key))
            }
        };
        match atom {
            Atom::Present | Atom::Is(_) | Atom::IsArray(_) => {
                json!({"must_not": [{"is_empty": {"key": key}}]})
            }
            Atom::OneOf(values) => single(&|key| one_of(key, values)),
            Atom::Compare(comparison, bound) => {
                single(&|key| vec![json!({"key": key, "range": {(range(*comparison)): bound.to_json()}})])
            }
            Atom::StartsWith(prefix) => single(&|key| vec![json!({"key": key, "match": {"prefix": prefix}})]),
            Atom::ContainsAny(values, _) => joined("should", one_of(&key, values)),
            Atom::ContainsAll(values, _) => {
                let each = values.iter().flat_map(|value| one_of(&key, std::slice::from_ref(value)));
                joined("must", each.collect())
            }
        }
    }
}

/// Several conditions as one.
fn joined(name: &str, mut conditions: Vec<Json>) -> Json {
    match conditions.pop() {
        Some(only) if conditions.is_empty() => only,
        Some(last) => {
            conditions.push(last);
            json!({(name): conditions})
        }
        // No test compares with no value.
        None => json!({"must_not": [{"has_id": []}]}),
    }
}

/// Conditions of which one holds if the field holds one of the values.
fn one_of(key: &str, values: &[Scalar]) -> Vec<Json> {
    let json = || values.iter().map(Scalar::to_json);
    match values {
        [Scalar::Text(_) | Scalar::Integer(_), _, ..] => {
            vec![json!({"key": key, "match": {"any": json().collect::<Vec<_>>()}})]
        }
        // `match` takes no number with a fraction.
        [Scalar::Number(_), ..] => {
            json().map(|value| json!({"key": key, "range": {"gte": value, "lte": value}})).collect()
        }
        _ => json().map(|value| json!({"key": key, "match": {"value": value}})).collect(),
    }
}

fn range(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Less => "lt",
        Comparison::LessOrEqual => "lte",
        Comparison::Greater => "gt",
        Comparison::GreaterOrEqual => "gte",
    }
}

/// A field as Qdrant names it: `owner."first name"`. `None` if a name cannot be quoted.
fn key(field: &Field) -> Option<String> {
    let quoted = |name: &String| -> Option<String> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        match name {
            name if !name.is_empty() && name.chars().all(is_plain) => Some(name.clone()),
            name if name.contains(['"', '\\']) => None,
            name => Some(format!("\"{name}\"")),
        }
    };
    match field {
        Field::Attribute(path) => Some(path.iter().map(quoted).collect::<Option<Path>>()?.join(".")),
        Field::Column(name) => quoted(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(text: &str, admitted: bool) -> (Json, Vec<String>) {
        let fields = Fields { admitted, ..Fields::default() };
        let translation = Qdrant { fields }.translate(&Filter::from_json(text).unwrap());
        (translation.native, translation.widened)
    }

    #[test]
    fn filters_become_conditions() {
        let user = r#"{"__entity":{"type":"User","id":"u"}}"#;
        for (filter, native) in [
            (r#"{"op":"always"}"#.to_owned(), json!({"must_not": [{"has_id": []}]})),
            (r#"{"op":"never"}"#.to_owned(), json!({"must": [{"has_id": []}]})),
            (r#"{"op":"or","args":[]}"#.to_owned(), json!({"must": [{"has_id": []}]})),
            (
                r#"{"op":"exists","attr":["a"],"type":"Long"}"#.to_owned(),
                json!({"must": [{"must_not": [{"is_empty": {"key": "a"}}]}]}),
            ),
            (
                r#"{"op":"equals","attr":["owner","first name"],"type":"String","value":"x"}"#.to_owned(),
                json!({"must": [{"key": "owner.\"first name\"", "match": {"value": "x"}}]}),
            ),
            (
                r#"{"op":"not","arg":{"op":"one-of","attr":["a"],"type":"Long","values":[1,9223372036854775807]}}"#
                    .to_owned(),
                json!({"must_not": [{"key": "a", "match": {"any": [1, i64::MAX]}}]}),
            ),
            (
                r#"{"op":"one-of","attr":["a"],"type":"Bool","values":[true,false]}"#.to_owned(),
                json!({"must": [{"should": [{"key": "a", "match": {"value": true}}, {"key": "a", "match": {"value": false}}]}]}),
            ),
            (
                r#"{"op":"equals","attr":["a"],"type":"decimal","value":{"__extn":{"fn":"decimal","arg":"1.5"}}}"#
                    .to_owned(),
                json!({"must": [{"key": "a", "range": {"gte": 1.5, "lte": 1.5}}]}),
            ),
            (
                r#"{"op":"less","attr":["a"],"type":"datetime","value":{"__extn":{"fn":"datetime","arg":"2026-01-01"}}}"#
                    .to_owned(),
                json!({"must": [{"key": "a", "range": {"lt": "2026-01-01T00:00:00.000Z"}}]}),
            ),
            (
                r#"{"op":"starts-with","attr":["a"],"type":"String","value":"x"}"#.to_owned(),
                json!({"must": [{"key": "a", "match": {"prefix": "x"}}]}),
            ),
            (
                format!(r#"{{"op":"contains-all","on":"ancestors","values":[{user},{user}]}}"#),
                json!({"must": [{"must": [
                    {"key": "ancestors", "match": {"value": "[\"User\",\"u\"]"}},
                    {"key": "ancestors", "match": {"value": "[\"User\",\"u\"]"}},
                ]}]}),
            ),
        ] {
            assert_eq!(translated(&filter, true), (native, vec![]), "{filter}");
        }
    }

    #[test]
    fn what_is_not_known_to_be_single_is_guarded() {
        let (native, widened) = translated(r#"{"op":"equals","attr":["a","b"],"value":"x"}"#, false);
        assert!(widened.is_empty());
        let test = |key: &str| json!([{"key": key, "match": {"value": "x"}}]);
        assert_eq!(native, json!({"must": [{"should": test("a.b"), "must_not": test("a.b[]")}]}));
    }

    #[test]
    fn what_qdrant_cannot_tell_is_left_out() {
        let always = json!({"must_not": [{"has_id": []}]});
        for (filter, admitted) in [
            (r#"{"op":"exists","attr":["a"]}"#, true),
            (r#"{"op":"exists","attr":["a"],"type":"Long"}"#, false),
            (r#"{"op":"readable","attr":["a"],"type":"Set<String>"}"#, true),
            (r#"{"op":"less","attr":["a"],"type":"Long","value":9007199254740992}"#, true),
            (r#"{"op":"equals","attr":["a\"b"],"type":"Long","value":1}"#, true),
            (r#"{"op":"equals","attr":["a","b\\"],"type":"Long","value":1}"#, true),
            // A number equals a whole number that it only comes near, and an array that holds it.
            (r#"{"op":"not","arg":{"op":"equals","attr":["a"],"value":1}}"#, true),
            (r#"{"op":"not","arg":{"op":"equals","attr":["a"],"type":"Long","value":1}}"#, false),
            (
                r#"{"op":"not","arg":{"op":"contains-any","attr":["a"],"type":"Set<Long>","values":[1]}}"#,
                false,
            ),
        ] {
            let (native, widened) = translated(filter, admitted);
            assert_eq!((native, widened.len()), (always.clone(), 1), "{filter}");
        }
    }

    #[test]
    fn filters_stay_within_what_is_read() {
        let mut filter = r#"{"op":"equals","attr":["a"],"type":"Long","value":1}"#.to_owned();
        for _ in 0..20 {
            let other = r#"{"op":"equals","attr":["b"],"type":"Long","value":2}"#;
            filter = format!(r#"{{"op":"or","args":[{other},{{"op":"and","args":[{other},{filter}]}}]}}"#);
        }
        let (native, widened) = translated(&filter, false);
        assert!(serde_json::from_str::<Json>(&native.to_string()).is_ok());
        assert_eq!(
            widened,
            [
                "`a`: whether it is a value of the type that it is compared with",
                "`b`: whether it is a value of the type that it is compared with"
            ]
        );
        let deeper = format!(r#"{{"op":"not","arg":{{"op":"or","args":[{filter},{filter}]}}}}"#);
        assert!(translated(&deeper, true).1.is_empty());
    }
}
