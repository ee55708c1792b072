//! DuckDB, over a table with a column for each attribute.
//!
//! ```sql
//! CREATE TABLE chunks (chunk_id VARCHAR, chunk_type VARCHAR, ancestors VARCHAR[], tenant VARCHAR, level BIGINT, readers VARCHAR[], …);
//! ```
//!
//! A column is `VARCHAR`, `BIGINT`, `DOUBLE` or `BOOLEAN`, or a list of these, as its attribute's declared type is stored
//! (`tamis_core::normal`), and NULL where the attribute is absent; an attribute within another may be a field of a `STRUCT`. Every
//! rendered test is true or false and never NULL, so that NOT is plain complement. Values and lists are bound as `$1`, `$2`, …, each
//! with a cast. A list is one text, a JSON array, which the extension `json` reads; it is part of every DuckDB.
//!
//! All that the plan asks for is exact where the filter declares a type. Where it declares none, the test is wider: the column may be
//! of any type, and DuckDB casts the value to it, or fails.
//!
//! Two things only the database can keep: names of columns differ in more than case, as DuckDB ignores that, even in quotes; and
//! `default_collation` is as it was, since another one lets texts be equal that are not.

use tamis_core::Filter;

use crate::fields::Fields;
use crate::plan::{Atom, Field, Kind, Limits, Scalar, Verdict};
use crate::sql::{self, Language, Parameter, Sql, Writer, has_null_character, list, operator, quoted};
use crate::{Dialect, Translation};

/// Up to so many values, a list in a column is compared with them by `list_has_any`, which is the fastest for few. It takes each
/// value with each element: for 100 000 values, 2 ms for each row.
const MAX_COMPARED: usize = 100;

/// A table that holds chunks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DuckDb {
    /// Columns, or paths into columns of structures: of text for type and id, of lists of text for the ancestors.
    pub fields: Fields,
}

impl Dialect for DuckDb {
    type Native = Sql;

    fn name(&self) -> &'static str {
        "duckdb"
    }

    fn translate(&self, filter: &Filter) -> Translation<Sql> {
        sql::translate(self, filter, &self.fields)
    }
}

impl Language for DuckDb {
    const NAME: &'static str = "DuckDB";
    const TRUE: &'static str = "TRUE";
    const FALSE: &'static str = "FALSE";
    /// DuckDB refuses expressions deeper than 1000, but plans them in more than the square of depth and size: 0.3 s for 100
    /// negations within one another, 10 s for 300; 0.1 s for 1000 values, minutes for 30 000.
    const LIMITS: Limits = Limits { list: usize::MAX, values: 2_000, depth: 100 };

    fn mark(number: usize) -> String {
        format!("${number}")
    }

    fn judge(&self, field: &Field, atom: &Atom, typed: bool) -> Verdict {
        let is_name = |name: &str| !name.is_empty() && !name.contains('\0');
        let is_written = match field {
            Field::Column(name) => is_name(name),
            Field::Attribute(path) => path.iter().all(|name| is_name(name)),
        };
        if !is_written {
            return Verdict::Inexpressible("a name that DuckDB does not take".to_owned());
        }
        if has_null_character(atom) {
            return Verdict::Inexpressible("the character U+0000".to_owned());
        }
        if typed || *atom == Atom::Present {
            return Verdict::Exact;
        }
        Verdict::Wider("whether the column is of the type that is tested, where none is declared".to_owned())
    }

    fn test(writer: &mut Writer<'_, Self>, field: &Field, atom: &Atom) {
        let column = match field {
            Field::Column(name) => quoted(name),
            // In parentheses, the first name is no table's.
            Field::Attribute(path) => {
                path.iter().map(|name| quoted(name)).fold(String::new(), |outer, name| {
                    if outer.is_empty() { name } else { format!("({outer}).{name}") }
                })
            }
        };
        let test = writer.column(&column, atom);
        writer.text(&format!("{column} IS NOT NULL{test}"));
    }
}

impl Writer<'_, DuckDb> {
    /// What must hold of a column that is not NULL, after ` AND `.
    fn column(&mut self, column: &str, atom: &Atom) -> String {
        match atom {
            Atom::Present | Atom::Is(_) => String::new(),
            Atom::IsArray(_) => is_whole(column),
            Atom::OneOf(values) => match values.as_slice() {
                [value] => format!(" AND {column} = {}", self.scalar(value)),
                values => format!(" AND {column} IN (SELECT unnest({}))", self.list(values)),
            },
            Atom::Compare(comparison, bound) => {
                format!(" AND {column}{}{}", operator(*comparison), self.scalar(bound))
            }
            Atom::ContainsAny(values, _) if values.len() <= MAX_COMPARED => {
                format!("{} AND list_has_any({column}, {})", is_whole(column), self.list(values))
            }
            Atom::ContainsAny(values, _) => format!(
                "{} AND EXISTS (SELECT 1 FROM (SELECT unnest({column}) AS element) WHERE element IN (SELECT unnest({})))",
                is_whole(column),
                self.list(values)
            ),
            Atom::ContainsAll(values, _) => {
                format!("{} AND list_has_all({column}, {})", is_whole(column), self.list(values))
            }
            Atom::StartsWith(prefix) => {
                let prefix = self.mark(Parameter::Text(prefix.clone()));
                format!(" AND starts_with({column}, {prefix}::VARCHAR)")
            }
        }
    }

    fn scalar(&mut self, value: &Scalar) -> String {
        let mark = self.mark(match value {
            Scalar::Text(text) => Parameter::Text(text.clone()),
            Scalar::Integer(number) => Parameter::Integer(*number),
            Scalar::Number(number) => Parameter::Real(*number),
            Scalar::Boolean(value) => Parameter::Text(value.to_string()),
        });
        format!("{mark}::{}", type_name(value.kind()))
    }

    fn list(&mut self, values: &[Scalar]) -> String {
        let kind = values.first().map_or(Kind::Text, Scalar::kind);
        format!("from_json({}::VARCHAR, '[\"{}\"]')", self.mark(list(values)), type_name(kind))
    }
}

/// No element is NULL: one that is makes the whole set unreadable.
fn is_whole(column: &str) -> String {
    format!(" AND list_count({column}) = len({column})")
}

fn type_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "VARCHAR",
        Kind::Integer => "BIGINT",
        Kind::Number => "DOUBLE",
        Kind::Boolean => "BOOLEAN",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn translated(filter: &str) -> Translation<Sql> {
        let fields = Fields { admitted: true, ..Fields::default() };
        DuckDb { fields }.translate(&Filter::from_json(filter).unwrap())
    }

    #[test]
    fn filters_become_conditions_with_bound_values() {
        for (filter, text, parameters) in [
            (r#"{"op":"always"}"#, "TRUE", json!([])),
            (r#"{"op":"never"}"#, "FALSE", json!([])),
            (r#"{"op":"one-of","attr":["t"],"type":"String","values":[]}"#, "FALSE", json!([])),
            (r#"{"op":"not","arg":{"op":"exists","attr":["t"]}}"#, r#"NOT ("t" IS NOT NULL)"#, json!([])),
            (
                r#"{"op":"equals","attr":["o","a.b"],"type":"Long","value":-5}"#,
                r#"(("o")."a.b" IS NOT NULL AND ("o")."a.b" = $1::BIGINT)"#,
                json!([-5]),
            ),
            (
                r#"{"op":"equals","attr":["a\"b"],"type":"Bool","value":true}"#,
                r#"("a""b" IS NOT NULL AND "a""b" = $1::BOOLEAN)"#,
                json!(["true"]),
            ),
            (
                r#"{"op":"one-of","attr":["t"],"type":"String","values":["x","'"]}"#,
                r#"("t" IS NOT NULL AND "t" IN (SELECT unnest(from_json($1::VARCHAR, '["VARCHAR"]'))))"#,
                json!([r#"["x","'"]"#]),
            ),
            (
                r#"{"op":"contains-any","attr":["s"],"type":"Set<Long>","values":[1,2]}"#,
                r#"("s" IS NOT NULL AND list_count("s") = len("s") AND list_has_any("s", from_json($1::VARCHAR, '["BIGINT"]')))"#,
                json!(["[1,2]"]),
            ),
            (
                r#"{"op":"starts-with","attr":["t"],"type":"String","value":"x%"}"#,
                r#"("t" IS NOT NULL AND starts_with("t", $1::VARCHAR))"#,
                json!(["x%"]),
            ),
        ] {
            let translation = translated(filter);
            assert_eq!(translation.native.text, text, "{filter}");
            assert_eq!(serde_json::to_value(&translation.native.parameters).unwrap(), parameters, "{filter}");
            assert_eq!(translation.widened, [""; 0], "{filter}");
        }
    }

    #[test]
    fn what_cannot_be_said_is_left_out_with_its_reason() {
        for (filter, text, reason) in [
            (r#"{"op":"exists","attr":[""]}"#, "TRUE", "does not take"),
            (r#"{"op":"exists","attr":["a\u0000"]}"#, "TRUE", "does not take"),
            (r#"{"op":"equals","attr":["a"],"type":"String","value":"\u0000"}"#, "TRUE", "U+0000"),
            (
                r#"{"op":"equals","attr":["a"],"value":"5"}"#,
                r#"("a" IS NOT NULL AND "a" = $1::VARCHAR)"#,
                "none is declared",
            ),
            (r#"{"op":"not","arg":{"op":"equals","attr":["a"],"value":"5"}}"#, "TRUE", "none is declared"),
        ] {
            let translation = translated(filter);
            assert_eq!(translation.native.text, text, "{filter}");
            assert!(translation.widened.iter().any(|left_out| left_out.contains(reason)), "{filter}");
        }
    }

    #[test]
    fn what_takes_too_long_is_left_out() {
        let test = |n: usize| json!({"op":"less","attr":["n"],"type":"Long","value":n});
        let any =
            |from: usize| json!({"op":"or","args":(from..from + 1500).map(test).collect::<Vec<Json>>()});
        let translation = translated(&json!({"op":"and","args":[any(0), any(5), test(7)]}).to_string());
        assert_eq!(translation.widened, ["a part that is too large for DuckDB"]);
        assert_eq!(translation.native.parameters.len(), 1501);
    }
}
