//! What a chunk must hold for a condition to be true of it: a store that has an index of the values in its chunks looks them up there, instead
//! of testing every chunk.

use serde_json::Value as Json;

use crate::plan::{Atom, Field, Plan, Scalar};

/// Of a set that must hold all of many values so many are looked up: each narrows less than the one before.
const MAX_OF_ALL: usize = 4;

/// What is true of every chunk that a condition matches, and maybe of others.
#[derive(Clone, Debug, PartialEq)]
pub enum Cover {
    /// The field is, or is an array that holds, one of these texts, whole numbers and booleans.
    OneOf(Field, Vec<Json>),
    /// All of these.
    Every(Vec<Cover>),
    /// At least one of these; without any, nothing matches.
    Any(Vec<Cover>),
}

impl Cover {
    /// The cover of a plan; `None` if it may match chunks that hold nothing in particular.
    pub(crate) fn of(plan: &Plan) -> Option<Self> {
        match plan {
            Plan::Always | Plan::Not(_) => None,
            Plan::Never => Some(Self::Any(Vec::new())),
            Plan::And(parts) => Self::every(parts.iter().filter_map(Self::of).collect()),
            Plan::Or(parts) => parts.iter().map(Self::of).collect::<Option<_>>().map(Self::Any),
            Plan::Test(field, Atom::OneOf(values) | Atom::ContainsAny(values, _)) => {
                Self::one_of(field, values)
            }
            Plan::Test(field, Atom::ContainsAll(values, _)) => {
                let each = values.iter().take(MAX_OF_ALL).map(std::slice::from_ref);
                Self::every(each.filter_map(|value| Self::one_of(field, value)).collect())
            }
            Plan::Test(
                _,
                Atom::Present | Atom::Is(_) | Atom::IsArray(_) | Atom::Compare(..) | Atom::StartsWith(_),
            ) => None,
        }
    }

    fn every(mut parts: Vec<Self>) -> Option<Self> {
        match parts.len() {
            0 => None,
            1 => parts.pop(),
            _ => Some(Self::Every(parts)),
        }
    }

    /// Numbers with a fraction have none: databases find 2 and 2.0 equal.
    fn one_of(field: &Field, values: &[Scalar]) -> Option<Self> {
        let is_one = |value: &Scalar| !matches!(value, Scalar::Number(_));
        let values =
            values.iter().map(|value| is_one(value).then(|| value.to_json())).collect::<Option<_>>()?;
        Some(Self::OneOf(field.clone(), values))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tamis_core::Filter;

    use crate::Sqlite;

    use super::*;

    /// The cover of a filter in JSON, short: `a=1|2` for one of these, parentheses with `&` and `|`.
    fn cover(filter: &Json) -> Option<String> {
        fn text(cover: &Cover) -> String {
            let joined = |parts: &[Cover], by: &str| parts.iter().map(text).collect::<Vec<_>>().join(by);
            match cover {
                Cover::OneOf(field, values) => {
                    let field = match field {
                        Field::Attribute(path) => path.join("."),
                        Field::Column(name) => format!("#{name}"),
                    };
                    let values: Vec<String> = values.iter().map(Json::to_string).collect();
                    format!("{field}={}", values.join("|"))
                }
                Cover::Every(parts) => format!("({})", joined(parts, " & ")),
                Cover::Any(parts) => format!("({})", joined(parts, " | ")),
            }
        }
        let filter = Filter::from_json(&filter.to_string()).unwrap();
        Sqlite::default().translate_with_cover(&filter).1.as_ref().map(text)
    }

    #[test]
    fn what_must_be_there_covers() {
        let test = |op: &str, name: &str, member: &str, value: Json| json!({"op": op, "attr": [name], member: value});
        let is = |name: &str, value: Json| test("equals", name, "value", value);
        let typed = |op: &str, declared: &str, member: &str, value: Json| json!({"op": op, "attr": ["a", "b"], "type": declared, member: value});
        let join = |op: &str, args: Vec<Json>| json!({"op": op, "args": args});
        let not = |arg: Json| json!({"op": "not", "arg": arg});
        let user = json!({"__entity": {"type": "User", "id": "u"}});
        for (filter, expected) in [
            (json!({"op": "always"}), None),
            (json!({"op": "never"}), Some("()")),
            (is("t", json!("x")), Some(r#"t="x""#)),
            (is("t", json!(true)), Some("t=true")),
            (test("one-of", "t", "values", json!([1, 2])), Some("t=1|2")),
            (test("one-of", "t", "values", json!([1, "1"])), Some(r#"(t=1 | t="1")"#)),
            (typed("equals", "Entity<User>", "value", user.clone()), Some(r#"a.b="u""#)),
            (
                typed(
                    "equals",
                    "datetime",
                    "value",
                    json!({"__extn": {"fn": "datetime", "arg": "2026-01-01"}}),
                ),
                Some(r#"a.b="2026-01-01T00:00:00.000Z""#),
            ),
            (typed("equals", "decimal", "value", json!({"__extn": {"fn": "decimal", "arg": "2.0"}})), None),
            (typed("contains-any", "Set<String>", "values", json!(["x", "y"])), Some(r#"a.b="x"|"y""#)),
            (
                typed("contains-all", "Set<Long>", "values", json!([1, 2, 3, 4, 5])),
                Some("(a.b=1 & a.b=2 & a.b=3 & a.b=4)"),
            ),
            (typed("contains-all", "Set<Long>", "values", json!([])), None),
            // SQLite cannot say what these are.
            (test("contains-any", "t", "values", json!(["x"])), None),
            (is("a\"", json!("x")), None),
            (
                json!({"op": "contains-any", "on": "ancestors", "values": [user]}),
                Some(r##"#ancestors="[\"User\",\"u\"]""##),
            ),
            (test("less", "t", "value", json!(1)), None),
            (test("starts-with", "t", "value", json!("x")), None),
            (json!({"op": "exists", "attr": ["t"]}), None),
            (not(is("t", json!(1))), None),
            (not(not(is("t", json!(1)))), Some("t=1")),
            (
                join("and", vec![is("t", json!(1)), not(is("u", json!(2))), is("v", json!(3))]),
                Some("(t=1 & v=3)"),
            ),
            (join("or", vec![is("t", json!(1)), is("u", json!(2))]), Some("(t=1 | u=2)")),
            (join("or", vec![is("t", json!(1)), not(is("u", json!(2)))]), None),
        ] {
            assert_eq!(cover(&filter).as_deref(), expected, "{filter}");
        }
    }
}
