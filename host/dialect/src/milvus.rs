//! Milvus: a boolean expression with a value for each template parameter in it, over a column of JSON that holds the attributes.
//!
//! Milvus compares the type of a value along with it, but takes whole and other numbers for each other; over what is missing, null or of
//! another type its tests are false and their negations true. `exists` holds for null, so it is not used: there is something single if
//! it is in the order of texts or of numbers, or a truth value.
//!
//! The columns of type and id are VARCHAR, that of the ancestors is an ARRAY of it; none of them, nor that of JSON, is nullable. All this was
//! seen of Milvus 2.3; parameters need 2.5, or later.

use serde::Serialize;
use serde_json::{Map, Value as Json, json};
use tamis_core::Type;
use tamis_core::filter::{Comparison, Filter};

use crate::fields::Fields;
use crate::plan::{Atom, Field, Kind, Limits, Plan, Scalar, Verdict};
use crate::planner::plan_by_type;
use crate::{Dialect, Translation, is_identifier};

/// Lists of 100 000 values, 10 000 tests and nesting of 48 were seen to work.
const LIMITS: Limits = Limits { list: 100_000, values: 100_000, depth: 40 };
const MAX_TESTS: usize = 10_000;

/// A collection of chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Milvus {
    /// The column of attributes, of JSON. The name is the host's own and becomes part of the expression.
    pub attributes: &'static str,
    /// Paths into that column, and columns.
    pub fields: Fields,
}

impl Default for Milvus {
    fn default() -> Self {
        Self { attributes: "attributes", fields: Fields::default() }
    }
}

/// An expression, named as the arguments of Milvus's Python client are. Its REST interface calls the parameters `exprParams`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Expression {
    /// The expression, with parameters such as `{p0}`.
    pub filter: String,
    /// A value for each parameter.
    pub filter_params: Map<String, Json>,
}

impl Dialect for Milvus {
    type Native = Expression;

    fn name(&self) -> &'static str {
        "milvus"
    }

    fn translate(&self, filter: &Filter) -> Translation<Expression> {
        let (planned, mut widened) = plan_by_type(filter, &self.fields, LIMITS, &judge);
        let planned = planned.with_tests(MAX_TESTS, &mut widened);
        let expression = Expression { filter: String::new(), filter_params: Map::new() };
        let mut writer = Writer { attributes: self.attributes, expression };
        writer.plan(&planned);
        Translation { native: writer.expression, widened }
    }
}

fn judge(field: &Field, atom: &Atom, stored: Option<&Type>) -> Verdict {
    let is_known = match field {
        Field::Column(name) => is_identifier(name),
        Field::Attribute(path) => path.iter().all(|name| is_plain(name)),
    };
    if !is_known {
        return Verdict::Inexpressible("a name that an expression cannot hold, or a number".to_owned());
    }
    let wider = |why: &str| Verdict::Wider(why.to_owned());
    let of_integers = matches!(atom, Atom::Is(Kind::Integer | Kind::Number))
        || atom.values().iter().any(|value| value.kind() == Kind::Integer);
    match (atom, stored) {
        (Atom::IsArray(_), _) | (Atom::Present, None | Some(Type::Set(_) | Type::Record(_))) => {
            Verdict::Inexpressible("whether there is a set, or something of any type".to_owned())
        }
        (Atom::StartsWith(prefix), _) if next(prefix).is_none() => {
            Verdict::Inexpressible("the beginnings of texts that no text comes after".to_owned())
        }
        (_, Some(_)) => Verdict::Exact,
        (Atom::ContainsAny(..) | Atom::ContainsAll(..), None) => {
            wider("whether all that it holds is of one type")
        }
        (_, None) if of_integers => wider("whether it is a whole number"),
        (_, None) => Verdict::Exact,
    }
}

/// Whether a name can be quoted and is nothing else then. One of digits would be a place in an array.
fn is_plain(name: &str) -> bool {
    name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | ' '))
        && !name.chars().all(|c| c.is_ascii_digit() || c == '-')
}

/// The first text after all that begin with `prefix`, in the order of bytes.
fn next(prefix: &str) -> Option<String> {
    let mut characters: Vec<char> = prefix.chars().collect();
    while let Some(last) = characters.pop() {
        // What comes after U+D7FF is U+E000.
        if let Some(after) = (last..=char::MAX).nth(1) {
            characters.push(after);
            return Some(characters.into_iter().collect());
        }
    }
    None
}

struct Writer {
    attributes: &'static str,
    expression: Expression,
}

impl Writer {
    fn text(&mut self, text: &str) {
        self.expression.filter.push_str(text);
    }

    fn bind(&mut self, value: Json) {
        let name = format!("p{}", self.expression.filter_params.len());
        self.text(&format!("{{{name}}}"));
        self.expression.filter_params.insert(name, value);
    }

    fn plan(&mut self, plan: &Plan) {
        match plan {
            // There are no constants, and empty lists were not always taken for what they are.
            Plan::Always => self.constant("or"),
            Plan::Never => self.constant("and"),
            Plan::And(plans) => self.joined(plans, " and "),
            Plan::Or(plans) => self.joined(plans, " or "),
            Plan::Not(inner) => {
                self.text("not ");
                self.plan(inner);
            }
            Plan::Test(field, atom) => {
                let field = match field {
                    Field::Column(name) => name.clone(),
                    Field::Attribute(path) => {
                        let names = path.iter().map(|name| format!("[\"{name}\"]"));
                        self.attributes.to_owned() + &names.collect::<String>()
                    }
                };
                self.text("(");
                self.test(&field, atom);
                self.text(")");
            }
        }
    }

    fn constant(&mut self, operator: &str) {
        let exists = format!("(exists {}[\"a\"])", self.attributes);
        self.text(&format!("({exists} {operator} not {exists})"));
    }

    fn joined(&mut self, plans: &[Plan], operator: &str) {
        self.text("(");
        for (index, plan) in plans.iter().enumerate() {
            self.text(if index > 0 { operator } else { "" });
            self.plan(plan);
        }
        self.text(")");
    }

    fn test(&mut self, field: &str, atom: &Atom) {
        match atom {
            // The judge lets no other than a single value pass for what is present.
            Atom::Present | Atom::IsArray(_) => {
                self.kind(field, Kind::Text);
                self.text(" or ");
                self.kind(field, Kind::Number);
                self.text(" or ");
                self.kind(field, Kind::Boolean);
            }
            Atom::Is(kind) => self.kind(field, *kind),
            Atom::OneOf(values) => match values.as_slice() {
                [value] => self.compare(field, "==", value.to_json()),
                values => self.compare(field, "in", list(values)),
            },
            Atom::Compare(comparison, bound) => {
                let operator = match comparison {
                    Comparison::Less => "<",
                    Comparison::LessOrEqual => "<=",
                    Comparison::Greater => ">",
                    Comparison::GreaterOrEqual => ">=",
                };
                self.compare(field, operator, bound.to_json());
            }
            Atom::ContainsAny(values, _) => self.contains("json_contains_any", field, values),
            Atom::ContainsAll(values, _) => self.contains("json_contains_all", field, values),
            Atom::StartsWith(prefix) => {
                self.compare(field, ">=", json!(prefix));
                if let Some(next) = next(prefix) {
                    self.text(" and ");
                    self.compare(field, "<", json!(next));
                }
            }
        }
    }

    /// True for single values of this kind.
    fn kind(&mut self, field: &str, kind: Kind) {
        match kind {
            Kind::Text => self.compare(field, ">=", json!("")),
            Kind::Integer | Kind::Number => {
                self.compare(field, "<", json!(0));
                self.text(" or ");
                self.compare(field, ">=", json!(0));
            }
            Kind::Boolean => self.compare(field, "in", json!([true, false])),
        }
    }

    fn compare(&mut self, field: &str, operator: &str, value: Json) {
        self.text(&format!("{field} {operator} "));
        self.bind(value);
    }

    fn contains(&mut self, function: &str, field: &str, values: &[Scalar]) {
        self.text(&format!("{function}({field}, "));
        self.bind(list(values));
        self.text(")");
    }
}

fn list(values: &[Scalar]) -> Json {
    values.iter().map(Scalar::to_json).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(text: &str, admitted: bool) -> (String, Json, Vec<String>) {
        let fields = Fields { admitted, ..Fields::default() };
        let translation = Milvus { fields, ..Milvus::default() }.translate(&Filter::from_json(text).unwrap());
        let Expression { filter, filter_params } = translation.native;
        (filter, filter_params.values().cloned().collect(), translation.widened)
    }

    #[test]
    fn filters_become_expressions() {
        let a = r#"{"op":"equals","attr":["a"],"value":"x\" or true"}"#;
        let n = r#"{"op":"less","attr":["o","n n"],"type":"Long","value":5}"#;
        for (filter, expression, values) in [
            (
                r#"{"op":"always"}"#.to_owned(),
                r#"((exists attributes["a"]) or not (exists attributes["a"]))"#,
                json!([]),
            ),
            (
                r#"{"op":"never"}"#.to_owned(),
                r#"((exists attributes["a"]) and not (exists attributes["a"]))"#,
                json!([]),
            ),
            (a.to_owned(), r#"(attributes["a"] == {p0})"#, json!(["x\" or true"])),
            (
                format!(r#"{{"op":"or","args":[{{"op":"not","arg":{a}}},{n}]}}"#),
                r#"(not (attributes["a"] == {p0}) or (attributes["o"]["n n"] < {p1}))"#,
                json!(["x\" or true", 5]),
            ),
            (
                r#"{"op":"one-of","attr":["a"],"type":"Long","values":[1,2]}"#.to_owned(),
                r#"(attributes["a"] in {p0})"#,
                json!([[1, 2]]),
            ),
            (
                r#"{"op":"starts-with","attr":["a"],"value":"a%\ud7ff"}"#.to_owned(),
                r#"(attributes["a"] >= {p0} and attributes["a"] < {p1})"#,
                json!(["a%\u{d7ff}", "a%\u{e000}"]),
            ),
            (
                r#"{"op":"contains-all","attr":["a"],"type":"Set<String>","values":["x","y"]}"#.to_owned(),
                r#"(json_contains_all(attributes["a"], {p0}))"#,
                json!([["x", "y"]]),
            ),
            (
                r#"{"op":"contains-any","on":"ancestors","values":[{"__entity":{"type":"U","id":"u"}}]}"#
                    .to_owned(),
                "(json_contains_any(ancestors, {p0}))",
                json!([["[\"U\",\"u\"]"]]),
            ),
            (
                r#"{"op":"exists","attr":["a"],"type":"Bool"}"#.to_owned(),
                r#"(attributes["a"] >= {p0} or attributes["a"] < {p1} or attributes["a"] >= {p2} or attributes["a"] in {p3})"#,
                json!(["", 0, 0, [true, false]]),
            ),
        ] {
            assert_eq!(translated(&filter, true), (expression.to_owned(), values, vec![]), "{filter}");
        }
    }

    #[test]
    fn what_milvus_cannot_tell_is_left_out() {
        let always = translated(r#"{"op":"always"}"#, true).0;
        for (filter, admitted) in [
            (r#"{"op":"exists","attr":["a"]}"#, true),
            (r#"{"op":"exists","attr":["a"],"type":"Set<Long>"}"#, true),
            (r#"{"op":"equals","attr":["a\"] or attributes[\"b"],"value":"x"}"#, true),
            (r#"{"op":"equals","attr":["{p0}"],"value":"x"}"#, true),
            (r#"{"op":"equals","attr":["a","0"],"value":"x"}"#, true),
            (r#"{"op":"equals","attr":[""],"value":"x"}"#, true),
            (r#"{"op":"starts-with","attr":["a"],"value":"\udbff\udfff"}"#, true),
            (r#"{"op":"not","arg":{"op":"equals","attr":["a"],"value":1}}"#, true),
            (
                r#"{"op":"not","arg":{"op":"contains-any","attr":["a"],"type":"Set<Long>","values":[1]}}"#,
                false,
            ),
        ] {
            let (expression, _, widened) = translated(filter, admitted);
            assert_eq!((expression, widened.len()), (always.clone(), 1), "{filter}");
        }
    }
}
