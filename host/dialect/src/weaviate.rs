//! Weaviate: a `where` filter, of its GraphQL interface. `Not` needs 1.33.
//!
//! The operators are those of the Python client's filters: `{"operator":"ContainsAny","path":["a"],"valueText":["x"]}` is
//! `Filter.by_property("a").contains_any(["x"])`, `Equal` is `equal`, `IsNull` `is_none`, `GreaterThan` `greater_than` and so on; `And` is
//! `Filter.all_of`, `Or` is `Filter.any_of`, `Not` is `Filter.not_`, each of the `operands`. It is written out in a GraphQL query: a
//! variable takes no lists. Characters beyond U+FFFF stand for themselves there, as a pair of escapes is two other characters.
//!
//! The collection is assumed to have `text` properties (or `text[]`) with the tokenization `field` for texts of every kind, also
//! times, `int`, `number` and `boolean` for the rest, and `indexNullState`. A tokenization of another kind matches words; without
//! `indexNullState` version 1.35 refuses `IsNull`, but not deep inside a filter, where it silently leaves out operands.
//!
//! `field` trims white space, so that a text equals others: only of texts that have none around them is equality exact. Empty texts and
//! empty arrays are null to `IsNull`. Texts are ordered by their bytes. The wildcards of `Like` stop at line breaks, so it would miss some beginnings of
//! texts. A property holds one type, so every test is of the type that is stored; but only where every chunk passed the admit gate is it known
//! to be the one that the policy declares. Properties of objects cannot be filtered by.
//!
//! Whole numbers are stored as double-precision ones. Those from 2^63 - 512 on become 2^63, which the client's batches and `insert_many`
//! refuse; its `insert`, which is REST, does not, and the index takes them for the least number. Comparisons go around it.

use serde_json::{Value as Json, json};
use tamis_core::Type;
use tamis_core::filter::{Comparison, Filter};

use crate::fields::{Fields, Place};
use crate::plan::{Atom, Field, Kind, Limits, Plan, Scalar, Verdict};
use crate::planner::plan_by_type;
use crate::{Dialect, Translation, is_identifier};

/// Weaviate has no limits below these: a list of 200 000 texts takes 3 s. The Python client writes no message as deep as 100.
const LIMITS: Limits = Limits { list: 10_000, values: 10_000, depth: 30 };
/// Whole numbers are read from JSON as double-precision numbers, which tell those below this apart.
const MAX_WHOLE: u64 = 1 << 53;
/// The longest name of a property.
const MAX_NAME: usize = 231;

/// A collection whose properties hold chunks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Weaviate {
    /// The properties.
    pub fields: Fields,
}

impl Dialect for Weaviate {
    type Native = Json;

    fn name(&self) -> &'static str {
        "weaviate"
    }

    fn translate(&self, filter: &Filter) -> Translation<Json> {
        let (planned, widened) = plan_by_type(filter, &self.fields, LIMITS, &|field, atom, stored| {
            self.judge(field, atom, stored)
        });
        Translation { native: write(&planned, true), widened }
    }
}

impl Weaviate {
    fn judge(&self, field: &Field, atom: &Atom, stored: Option<&Type>) -> Verdict {
        let inexpressible = |why: &str| Verdict::Inexpressible(why.to_owned());
        let wider = |why: &str| Verdict::Wider(why.to_owned());
        if name(field).is_none() {
            return inexpressible("a name that no property has, or of an attribute inside another");
        }
        let is_blank = |value: &Scalar| matches!(value, Scalar::Text(text) if text.trim().is_empty());
        let is_rounded =
            |value: &Scalar| matches!(value, Scalar::Integer(n) if n.unsigned_abs() >= MAX_WHOLE);
        match atom {
            Atom::IsArray(_) => return inexpressible("whether there is a set"),
            Atom::Is(Kind::Text) => return inexpressible("an empty text cannot be told from none"),
            Atom::StartsWith(_) => return inexpressible("the beginnings of texts"),
            _ if atom.values().iter().any(is_blank) => return inexpressible("a blank text"),
            _ if atom.values().iter().any(is_rounded) => {
                return inexpressible("whole numbers beyond 2^53");
            }
            _ => {}
        }
        let Some(stored) = stored else {
            return match atom {
                Atom::Present => inexpressible("an empty text or set cannot be told from none"),
                _ => wider("whether it is a value of the type that it is compared with"),
            };
        };
        // White space is around neither the names of types nor keys of ancestors.
        let is_text = matches!(stored, Type::String | Type::Entity(_)) && !self.is_type(field);
        let of_texts = matches!(stored, Type::Set(of) if matches!(**of, Type::String | Type::Entity(_)))
            && matches!(field, Field::Attribute(_));
        match atom {
            Atom::Present if matches!(stored, Type::String | Type::Entity(_) | Type::Set(_)) => {
                inexpressible("an empty text or set cannot be told from none")
            }
            Atom::OneOf(_) if is_text => wider("white space around texts"),
            Atom::ContainsAny(..) | Atom::ContainsAll(..) if of_texts => wider("white space around texts"),
            Atom::Compare(_, Scalar::Integer(_)) => Verdict::Bounded(
                "whole numbers from 2^63 - 512 on, which may be indexed as the least".to_owned(),
            ),
            _ => Verdict::Exact,
        }
    }

    fn is_type(&self, field: &Field) -> bool {
        matches!((field, &self.fields.entity_type), (Field::Column(name), Place::Field(of)) if name == of)
    }
}

/// What holds for no less than a plan; if not `wide`, for no more.
fn write(plan: &Plan, wide: bool) -> Json {
    let all = |plans: &[Plan]| plans.iter().map(|plan| write(plan, wide)).collect();
    match plan {
        // Weaviate has no constants. Every object has an id.
        Plan::Never => joined("And", ["Equal", "NotEqual"].map(is_id).into()),
        Plan::Always => joined("Or", ["Equal", "NotEqual"].map(is_id).into()),
        Plan::And(plans) => joined("And", all(plans)),
        Plan::Or(plans) => joined("Or", all(plans)),
        Plan::Not(inner) => json!({"operator": "Not", "operands": [write(inner, !wide)]}),
        Plan::Test(field, atom) => match name(field) {
            Some(name) => test(name, atom, wide),
            // The judge lets no other name pass.
            None => write(if wide { &Plan::Always } else { &Plan::Never }, wide),
        },
    }
}

fn is_id(operator: &str) -> Json {
    json!({"operator": operator, "path": ["_id"], "valueText": "00000000-0000-0000-0000-000000000000"})
}

/// A field as Weaviate names it; `None` if it cannot be a property.
fn name(field: &Field) -> Option<&str> {
    let name = field.flat()?;
    // A property begins with a small letter, whatever it is declared with.
    let is_property = is_identifier(name) && name.starts_with(|first: char| first.is_ascii_lowercase());
    let is_own = matches!(name, "id" | "vector");
    Some(name).filter(|name| is_property && !is_own && name.len() <= MAX_NAME)
}

fn joined(operator: &str, mut operands: Vec<Json>) -> Json {
    match operands.pop() {
        Some(only) if operands.is_empty() => only,
        last => {
            operands.extend(last);
            json!({"operator": operator, "operands": operands})
        }
    }
}

fn test(name: &str, atom: &Atom, wide: bool) -> Json {
    let is = |operator: &str, kind: Kind, value: Json| {
        let of = match kind {
            Kind::Text => "valueText",
            Kind::Integer => "valueInt",
            Kind::Number => "valueNumber",
            Kind::Boolean => "valueBoolean",
        };
        json!({"operator": operator, "path": [name], (of): value})
    };
    let list = |operator: &str, values: &[Scalar]| {
        let kind = values.first().map_or(Kind::Text, Scalar::kind);
        is(operator, kind, values.iter().map(Scalar::to_json).collect())
    };
    match atom {
        // The judge lets neither arrays nor prefixes pass.
        Atom::Present | Atom::Is(_) | Atom::IsArray(_) | Atom::StartsWith(_) => {
            is("IsNull", Kind::Boolean, json!(false))
        }
        Atom::OneOf(values) => match values.as_slice() {
            [value] => is("Equal", value.kind(), value.to_json()),
            values => list("ContainsAny", values),
        },
        Atom::ContainsAny(values, _) => list("ContainsAny", values),
        Atom::ContainsAll(values, _) => list("ContainsAll", values),
        Atom::Compare(comparison, bound) => {
            let operator = match comparison {
                Comparison::Less => "LessThan",
                Comparison::LessOrEqual => "LessThanEqual",
                Comparison::Greater => "GreaterThan",
                Comparison::GreaterOrEqual => "GreaterThanEqual",
            };
            let compares = is(operator, bound.kind(), bound.to_json());
            let is_less = matches!(comparison, Comparison::Less | Comparison::LessOrEqual);
            let least = |operator: &str| is(operator, Kind::Integer, json!(i64::MIN));
            match (bound.kind(), is_less) {
                // What is indexed as the least number may be among the greatest.
                (Kind::Integer, false) if wide => joined("Or", vec![compares, least("Equal")]),
                (Kind::Integer, true) if !wide => joined("And", vec![compares, least("GreaterThan")]),
                _ => compares,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_level(operator: &str, value: i64) -> Json {
        json!({"operator": operator, "path": ["level"], "valueInt": value})
    }

    fn translated(text: &str, admitted: bool) -> (Json, Vec<String>) {
        let fields = Fields { admitted, ..Fields::default() };
        let translation = Weaviate { fields }.translate(&Filter::from_json(text).unwrap());
        (translation.native, translation.widened)
    }

    fn always() -> Json {
        json!({"operator": "Or", "operands": [is_id("Equal"), is_id("NotEqual")]})
    }

    #[test]
    fn filters_become_operators() {
        let user = r#"{"__entity":{"type":"User","id":"u"}}"#;
        let level = r#"{"op":"one-of","attr":["level"],"type":"Long","values":[5]}"#;
        let flag = r#"{"op":"equals","attr":["flag"],"type":"Bool","value":true}"#;
        let five = of_level("Equal", 5);
        let equal = json!({"operator": "Equal", "path": ["flag"], "valueBoolean": true});
        for (filter, native) in [
            (r#"{"op":"always"}"#.to_owned(), always()),
            (
                r#"{"op":"never"}"#.to_owned(),
                json!({"operator": "And", "operands": [is_id("Equal"), is_id("NotEqual")]}),
            ),
            (
                format!(r#"{{"op":"and","args":[{level},{flag}]}}"#),
                json!({"operator": "And", "operands": [five, equal]}),
            ),
            (
                format!(r#"{{"op":"not","arg":{{"op":"or","args":[{level},{flag}]}}}}"#),
                json!({"operator": "Not", "operands": [{"operator": "Or", "operands": [five, equal]}]}),
            ),
            (
                r#"{"op":"exists","attr":["level"],"type":"Long"}"#.to_owned(),
                json!({"operator": "IsNull", "path": ["level"], "valueBoolean": false}),
            ),
            (
                r#"{"op":"one-of","on":"entity-type","values":["Doc","Note"]}"#.to_owned(),
                json!({"operator": "ContainsAny", "path": ["chunk_type"], "valueText": ["Doc", "Note"]}),
            ),
            (
                format!(r#"{{"op":"contains-all","on":"ancestors","values":[{user}]}}"#),
                json!({"operator": "ContainsAll", "path": ["ancestors"], "valueText": ["[\"User\",\"u\"]"]}),
            ),
            (
                r#"{"op":"equals","attr":["at"],"type":"datetime","value":{"__extn":{"fn":"datetime","arg":"2026-01-01"}}}"#.to_owned(),
                json!({"operator": "Equal", "path": ["at"], "valueText": "2026-01-01T00:00:00.000Z"}),
            ),
            (
                r#"{"op":"less","attr":["at"],"type":"datetime","value":{"__extn":{"fn":"datetime","arg":"2026-01-01"}}}"#.to_owned(),
                json!({"operator": "LessThan", "path": ["at"], "valueText": "2026-01-01T00:00:00.000Z"}),
            ),
            (
                r#"{"op":"less","attr":["a"],"type":"decimal","value":{"__extn":{"fn":"decimal","arg":"1.5"}}}"#.to_owned(),
                json!({"operator": "LessThan", "path": ["a"], "valueNumber": 1.5}),
            ),
        ] {
            assert_eq!(translated(&filter, true), (native, vec![]), "{filter}");
        }
    }

    #[test]
    fn comparisons_go_around_what_is_indexed_as_the_least_whole_number() {
        let is = |operator: &str, value: i64| of_level(operator, value);
        for (op, operator) in [("greater", "GreaterThan"), ("greater-or-equal", "GreaterThanEqual")] {
            let filter = format!(r#"{{"op":"{op}","attr":["level"],"type":"Long","value":5}}"#);
            let wider = json!({"operator": "Or", "operands": [is(operator, 5), is("Equal", i64::MIN)]});
            let not = json!({"operator": "Not", "operands": [is(operator, 5)]});
            check_bounds(&filter, wider, not);
        }
        for (op, operator) in [("less", "LessThan"), ("less-or-equal", "LessThanEqual")] {
            let filter = format!(r#"{{"op":"{op}","attr":["level"],"type":"Long","value":5}}"#);
            let narrower =
                json!({"operator": "And", "operands": [is(operator, 5), is("GreaterThan", i64::MIN)]});
            check_bounds(&filter, is(operator, 5), json!({"operator": "Not", "operands": [narrower]}));
        }
    }

    /// A test that is not exact, and its negation.
    fn check_bounds(filter: &str, positive: Json, negated: Json) {
        let not = |filter: &str| format!(r#"{{"op":"not","arg":{filter}}}"#);
        for (filter, native) in
            [(filter.to_owned(), positive.clone()), (not(filter), negated), (not(&not(filter)), positive)]
        {
            let (found, widened) = translated(&filter, true);
            assert_eq!((found, widened.len()), (native, 1), "{filter}");
        }
    }

    #[test]
    fn texts_are_compared_without_the_white_space_around_them() {
        let a = r#"{"op":"equals","attr":["a"],"type":"String","value":"x"}"#;
        let (native, widened) = translated(a, true);
        let equal = json!({"operator": "Equal", "path": ["a"], "valueText": "x"});
        assert_eq!((native, widened.len()), (equal, 1));
        assert_eq!(translated(&format!(r#"{{"op":"not","arg":{a}}}"#), true).0, always());
    }

    #[test]
    fn what_weaviate_cannot_tell_is_left_out() {
        for filter in [
            r#"{"op":"exists","attr":["a"]}"#,
            r#"{"op":"exists","attr":["a"],"type":"String"}"#,
            r#"{"op":"starts-with","attr":["a"],"type":"String","value":""}"#,
            r#"{"op":"starts-with","attr":["a"],"value":""}"#,
            r#"{"op":"equals","attr":["a"],"type":"String","value":" "}"#,
            r#"{"op":"equals","attr":["a","b"],"type":"Long","value":1}"#,
            r#"{"op":"equals","attr":["A"],"type":"Long","value":1}"#,
            r#"{"op":"equals","attr":["id"],"type":"Long","value":1}"#,
            r#"{"op":"equals","attr":["a b"],"type":"Long","value":1}"#,
            r#"{"op":"equals","attr":["_id"],"type":"Long","value":1}"#,
            r#"{"op":"equals","attr":["a"],"type":"Long","value":9007199254740992}"#,
            r#"{"op":"starts-with","attr":["a"],"type":"String","value":"x"}"#,
        ] {
            let (native, widened) = translated(filter, true);
            assert_eq!((native, widened.len()), (always(), 1), "{filter}");
        }
    }
}
