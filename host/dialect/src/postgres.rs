//! PostgreSQL, over a table with a JSONB column of attributes, or with a column for each.
//!
//! ```sql
//! CREATE TABLE chunks (chunk_id text NOT NULL, chunk_type text NOT NULL, ancestors text[] NOT NULL, attributes jsonb NOT NULL);
//! CREATE TABLE chunks (chunk_id text NOT NULL, chunk_type text NOT NULL, ancestors text[] NOT NULL, tenant text, level bigint, …);
//! ```
//!
//! Every rendered test is true or false and never NULL, so that NOT is plain complement. Values, lists and JSON keys are bound as
//! `$1`, `$2`, …, and every one of them is cast, so that its type does not depend on the driver: text, bigint or double precision.
//! A list is one text, a JSON array, of any length. Texts compare by their bytes, whatever the database's locale.
//!
//! In JSONB each test is guarded by the JSON type of what is stored, in a CASE, so that no cast meets what it cannot take. All that
//! the plan asks for is exact, except sets without a declared type, which may hold elements that cannot be read. Up to 100 values of
//! an attribute, or of the elements of a set, are asked for by `@>`, which a GIN index on the attributes serves.
//!
//! A column of its own is `text`, `bigint`, `double precision` or `boolean`, or an array of these, as its attribute's declared
//! type is stored (`tamis_core::normal`); collations are deterministic, as they are by default. A test without a declared type is
//! wider: its column may be of any type. Where that is another one than the value's, PostgreSQL refuses the query.
//!
//! One thing only the table can keep: JSONB forgets how a number was written. An ill-typed `1e16` or `-0.0` is the whole
//! number that it equals.

use serde_json::{Map, Value as Json, json};
use tamis_core::Filter;
use tamis_core::decision::Path;

use crate::fields::Fields;
use crate::plan::{Atom, Field, Kind, Limits, Scalar, Verdict};
use crate::sql::{self, Language, Parameter, Sql, Writer, has_null_character, list, operator, quoted};
use crate::{Dialect, Translation};

/// Names longer than this are cut off silently, so that they mean another column.
const MAX_NAME: usize = 63;
/// Up to so many values, arrays are compared by `&&`, which a GIN index serves. It takes each value with each element: without an
/// index, 100 000 values cost 2 ms for each row. What is written for longer lists makes a table of hashes of them, once.
const MAX_OVERLAP: usize = 100;
/// Up to so many values, members of JSON objects are asked for by `@>`, which a GIN index serves, each for itself.
const MAX_CONTAINED: usize = 100;

/// A table that holds chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Postgres {
    /// Where the attributes are.
    pub attributes: Attributes,
    /// Paths into the JSON object, or columns, one for each attribute; columns `text` for type and id and `text[]` for the ancestors.
    pub fields: Fields,
}

/// Where a table keeps attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attributes {
    /// In a column of JSON objects with this name, which is never NULL.
    Json(String),
    /// Each in a column of its own, which is NULL where the attribute is absent.
    Columns,
}

impl Default for Postgres {
    fn default() -> Self {
        Self { attributes: Attributes::Json("attributes".to_owned()), fields: Fields::default() }
    }
}

impl Dialect for Postgres {
    type Native = Sql;

    fn name(&self) -> &'static str {
        match self.attributes {
            Attributes::Json(_) => "postgres",
            Attributes::Columns => "postgres-columns",
        }
    }

    fn translate(&self, filter: &Filter) -> Translation<Sql> {
        sql::translate(self, filter, &self.fields)
    }
}

impl Language for Postgres {
    const NAME: &'static str = "PostgreSQL";
    const TRUE: &'static str = "TRUE";
    const FALSE: &'static str = "FALSE";
    /// The protocol counts parameters in 16 bits; nesting is limited by a stack of 2 MB. The rest is left to the statement around
    /// the condition.
    const LIMITS: Limits = Limits { list: usize::MAX, values: 60_000, depth: 500 };

    fn mark(number: usize) -> String {
        format!("${number}")
    }

    fn judge(&self, field: &Field, atom: &Atom, typed: bool) -> Verdict {
        let inexpressible = |why: &str| Verdict::Inexpressible(why.to_owned());
        let is_name = |name: &str| !name.is_empty() && name.len() <= MAX_NAME && !name.contains('\0');
        let is_written = match (field, &self.attributes) {
            (Field::Column(name), _) => is_name(name),
            (Field::Attribute(path), Attributes::Json(column)) => {
                is_name(column) && !path.iter().any(|name| name.contains('\0'))
            }
            (Field::Attribute(path), Attributes::Columns) => match path.as_slice() {
                [name] => is_name(name),
                _ => return inexpressible("a path that is not mapped to a column"),
            },
        };
        if !is_written {
            return inexpressible("a name that PostgreSQL does not take as it is");
        }
        if has_null_character(atom) {
            return inexpressible("the character U+0000");
        }
        match (field, &self.attributes, atom) {
            (Field::Column(_), ..) | (_, Attributes::Columns, Atom::Present) => Verdict::Exact,
            (_, Attributes::Columns, _) if !typed => Verdict::Wider(
                "whether the column is of the type that is tested, where none is declared".to_owned(),
            ),
            (_, Attributes::Json(_), Atom::ContainsAny(_, None) | Atom::ContainsAll(_, None)) => {
                Verdict::Wider("whether all elements of a set without a declared type can be read".to_owned())
            }
            _ => Verdict::Exact,
        }
    }

    fn test(writer: &mut Writer<'_, Self>, field: &Field, atom: &Atom) {
        match (field, &writer.language.attributes) {
            (Field::Column(column), _) => writer.column(&quoted(column), atom),
            (Field::Attribute(path), Attributes::Json(column)) => {
                let column = quoted(column);
                writer.member(&column, path, atom);
            }
            (Field::Attribute(path), Attributes::Columns) => {
                let name: String = path.iter().map(|name| quoted(name)).collect();
                writer.column(&name, atom);
            }
        }
    }
}

// ---- A member of a JSON object ----

impl Writer<'_, Postgres> {
    fn member(&mut self, column: &str, path: &Path, atom: &Atom) {
        match atom {
            Atom::OneOf(values) if values.len() <= MAX_CONTAINED => {
                self.contains_any(column, path, values.iter().map(Scalar::to_json).collect());
                if values.first().map(Scalar::kind) == Some(Kind::Integer) {
                    self.and(column, path, &Atom::Is(Kind::Integer));
                }
            }
            Atom::ContainsAny(values, kind) if values.len() <= MAX_CONTAINED => {
                self.contains_any(
                    column,
                    path,
                    values.iter().map(|value| json!([value.to_json()])).collect(),
                );
                if let Some(kind) = kind {
                    self.and(column, path, &Atom::IsArray(*kind));
                }
            }
            Atom::ContainsAll(values, kind) => {
                self.contains_any(column, path, vec![values.iter().map(Scalar::to_json).collect()]);
                if let Some(kind) = kind {
                    self.and(column, path, &Atom::IsArray(*kind));
                }
            }
            atom => {
                let place = self.place(column, path);
                let test = self.member_test(&place, atom);
                self.text(&test);
            }
        }
    }

    /// Where a member is: NULL if it, or an object above it, is missing.
    fn place(&mut self, column: &str, path: &Path) -> String {
        let keys: String = path.iter().map(|name| format!(" -> {}", self.text_mark(name.clone()))).collect();
        format!("({column}{keys})")
    }

    fn member_test(&mut self, place: &str, atom: &Atom) -> String {
        match atom {
            Atom::Present => format!("coalesce(jsonb_typeof({place}) <> 'null', FALSE)"),
            Atom::Is(kind) => is(place, *kind, "TRUE"),
            Atom::IsArray(kind) => match json_type(*kind) {
                // No query within the query, which costs a microsecond for each row.
                Some(name) => format!(
                    "CASE jsonb_typeof({place}) WHEN 'array' \
                     THEN NOT jsonb_path_exists({place}, 'strict $[*] ? (@.type() != \"{name}\")') ELSE FALSE END"
                ),
                None => is_array(place, &format!("coalesce(bool_and({}), TRUE)", element(Some(*kind)))),
            },
            Atom::OneOf(values) => {
                let Some(kind) = values.first().map(Scalar::kind) else { return "FALSE".to_owned() };
                let list = self.json_mark(list(values));
                is(place, kind, &format!("{place} IN (SELECT jsonb_array_elements({list}))"))
            }
            Atom::Compare(comparison, bound) => {
                let operator = operator(*comparison);
                let test = match bound {
                    Scalar::Text(text) => {
                        format!(
                            "({place} #>> '{{}}') COLLATE \"C\"{operator}{}",
                            self.text_mark(text.clone())
                        )
                    }
                    Scalar::Integer(number) => {
                        format!(
                            "{place}::numeric{operator}{}::bigint",
                            self.mark(Parameter::Integer(*number))
                        )
                    }
                    // As text: a double loses digits where it becomes numeric.
                    Scalar::Number(number) => {
                        format!("{place}::numeric{operator}{}::numeric", self.text_mark(number.to_string()))
                    }
                    Scalar::Boolean(_) => "FALSE".to_owned(),
                };
                is(place, bound.kind(), &test)
            }
            Atom::ContainsAny(values, kind) => {
                let list = self.json_mark(list(values));
                let found = format!("bool_or(element IN (SELECT jsonb_array_elements({list})))");
                is_array(place, &format!("coalesce(bool_and({}) AND {found}, FALSE)", element(*kind)))
            }
            Atom::StartsWith(prefix) => {
                let prefix = self.text_mark(prefix.clone());
                is(place, Kind::Text, &format!("starts_with(({place} #>> '{{}}') COLLATE \"C\", {prefix})"))
            }
            // Written by `contains_any`.
            Atom::ContainsAll(..) => "FALSE".to_owned(),
        }
    }

    /// True if the member is, or as an array contains, what one of the values is or contains. Numbers are equal if they are for
    /// mathematics.
    fn contains_any(&mut self, column: &str, path: &Path, values: Vec<Json>) {
        let object = |value| {
            path.iter().rev().fold(value, |inner, name| Map::from_iter([(name.clone(), inner)]).into())
        };
        // Each a parameter of its own: the planner estimates by what it is.
        let mut marks: Vec<String> = values
            .into_iter()
            .map(|value| self.json_mark(Parameter::Text(object(value).to_string())))
            .collect();
        let contained = match marks.pop() {
            Some(only) if marks.is_empty() => only,
            last => {
                marks.extend(last);
                format!("ANY (ARRAY[{}])", marks.join(", "))
            }
        };
        self.text(&format!("{column} @> {contained}"));
    }

    /// Another test of the same member.
    fn and(&mut self, column: &str, path: &Path, atom: &Atom) {
        let place = self.place(column, path);
        let test = self.member_test(&place, atom);
        self.text(&format!(" AND {test}"));
    }

    fn text_mark(&mut self, text: String) -> String {
        self.mark(Parameter::Text(text)) + "::text"
    }

    /// A text first: some drivers bind by the type of the parameter, and have none for JSON.
    fn json_mark(&mut self, parameter: Parameter) -> String {
        self.mark(parameter) + "::text::jsonb"
    }
}

/// True if what is there is of this kind and the test, which only then is evaluated, holds.
fn is(place: &str, kind: Kind, test: &str) -> String {
    let (name, more) = match json_type(kind) {
        Some(name) => (name, String::new()),
        None => (
            "number",
            format!(
                "scale({place}::numeric) = 0 AND {place}::numeric BETWEEN {} AND {} AND ",
                i64::MIN,
                i64::MAX
            ),
        ),
    };
    format!("CASE jsonb_typeof({place}) WHEN '{name}' THEN {more}{test} ELSE FALSE END")
}

/// The type of JSON that holds values of this kind and no others.
fn json_type(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Text => Some("string"),
        Kind::Boolean => Some("boolean"),
        Kind::Number => Some("number"),
        Kind::Integer => None,
    }
}

/// True if what is there is an array and this holds for all of its elements together.
fn is_array(place: &str, aggregate: &str) -> String {
    format!(
        "CASE jsonb_typeof({place}) WHEN 'array' THEN (SELECT {aggregate} FROM jsonb_array_elements({place}) AS element) \
         ELSE FALSE END"
    )
}

/// True if an element is of the declared kind: one that is not makes the whole set unreadable.
fn element(kind: Option<Kind>) -> String {
    kind.map_or("TRUE".to_owned(), |kind| is("element", kind, "TRUE"))
}

// ---- A column ----

impl Writer<'_, Postgres> {
    fn column(&mut self, column: &str, atom: &Atom) {
        let test = self.column_test(column, atom);
        self.text(&test);
    }

    fn column_test(&mut self, column: &str, atom: &Atom) -> String {
        match atom {
            Atom::Present | Atom::Is(_) => format!("{column} IS NOT NULL"),
            Atom::IsArray(_) => is_whole(column),
            Atom::OneOf(values) => match values.as_slice() {
                [value] => format!("{column} IS NOT NULL AND {column} = {}", self.scalar(value)),
                values => format!("{column} IS NOT NULL AND {column} IN ({})", self.elements(values)),
            },
            Atom::Compare(comparison, bound) => {
                let collation = if bound.kind() == Kind::Text { " COLLATE \"C\"" } else { "" };
                let (operator, bound) = (operator(*comparison), self.scalar(bound));
                format!("{column} IS NOT NULL AND {column}{collation}{operator}{bound}")
            }
            Atom::ContainsAny(values, _) if values.len() <= MAX_OVERLAP => {
                format!("{} AND {column} && ARRAY({})", is_whole(column), self.elements(values))
            }
            Atom::ContainsAny(values, _) => {
                // `IS TRUE` keeps the list a table of hashes, made once. Without it it is joined anew with every row.
                let found = format!("(element IN ({})) IS TRUE", self.elements(values));
                let exists = format!("EXISTS (SELECT FROM unnest({column}) AS element WHERE {found})");
                format!("{} AND {exists}", is_whole(column))
            }
            Atom::ContainsAll(values, _) => {
                format!("{} AND {column} @> ARRAY({})", is_whole(column), self.elements(values))
            }
            Atom::StartsWith(prefix) => {
                let prefix = self.text_mark(prefix.clone());
                format!("{column} IS NOT NULL AND starts_with({column} COLLATE \"C\", {prefix})")
            }
        }
    }

    fn scalar(&mut self, value: &Scalar) -> String {
        let mark = self.mark(match value {
            Scalar::Text(text) => Parameter::Text(text.clone()),
            Scalar::Integer(number) => Parameter::Integer(*number),
            Scalar::Number(number) => Parameter::Real(*number),
            // Some drivers take no text for a boolean, so it is cast twice.
            Scalar::Boolean(value) => return self.text_mark(value.to_string()) + "::boolean",
        });
        format!("{mark}::{}", type_name(value.kind()))
    }

    /// A query for the values of a list.
    fn elements(&mut self, values: &[Scalar]) -> String {
        let kind = values.first().map_or(Kind::Text, Scalar::kind);
        let list = self.json_mark(list(values));
        format!("SELECT jsonb_array_elements_text({list})::{}", type_name(kind))
    }
}

/// True if the column has an array of one dimension without NULL.
fn is_whole(column: &str) -> String {
    format!(
        "CASE WHEN {column} IS NULL OR array_ndims({column}) > 1 THEN FALSE ELSE array_position({column}, NULL) IS NULL END"
    )
}

fn type_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "text",
        Kind::Integer => "bigint",
        Kind::Number => "double precision",
        Kind::Boolean => "boolean",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::Place;

    fn json_table() -> Postgres {
        Postgres::default()
    }

    fn columns() -> Postgres {
        let fields = Fields { admitted: true, ..Fields::default() };
        Postgres { attributes: Attributes::Columns, fields }
    }

    fn translated(dialect: &Postgres, filter: &str) -> Translation<Sql> {
        dialect.translate(&Filter::from_json(filter).unwrap())
    }

    #[test]
    fn filters_become_conditions_with_bound_values() {
        for (dialect, filter, text, parameters) in [
            (json_table(), r#"{"op":"always"}"#, "TRUE", json!([])),
            (json_table(), r#"{"op":"never"}"#, "FALSE", json!([])),
            (
                json_table(),
                r#"{"op":"and","args":[{"op":"exists","attr":["a"]},{"op":"never"}]}"#,
                "FALSE",
                json!([]),
            ),
            (
                json_table(),
                r#"{"op":"equals","attr":["o","t"],"value":"x"}"#,
                r#"("attributes" @> $1::text::jsonb)"#,
                json!([r#"{"o":{"t":"x"}}"#]),
            ),
            (
                json_table(),
                r#"{"op":"not","arg":{"op":"one-of","attr":["o","t"],"values":["x","'"]}}"#,
                r#"NOT ("attributes" @> ANY (ARRAY[$1::text::jsonb, $2::text::jsonb]))"#,
                json!([r#"{"o":{"t":"x"}}"#, r#"{"o":{"t":"'"}}"#]),
            ),
            (
                json_table(),
                r#"{"op":"contains-any","attr":["s"],"type":"Set<String>","values":["x"]}"#,
                r#"("attributes" @> $1::text::jsonb AND CASE jsonb_typeof(("attributes" -> $2::text)) WHEN 'array' THEN NOT jsonb_path_exists(("attributes" -> $2::text), 'strict $[*] ? (@.type() != "string")') ELSE FALSE END)"#,
                json!([r#"{"s":["x"]}"#, "s"]),
            ),
            (
                json_table(),
                r#"{"op":"starts-with","attr":["t"],"value":"x%"}"#,
                r#"(CASE jsonb_typeof(("attributes" -> $1::text)) WHEN 'string' THEN starts_with((("attributes" -> $1::text) #>> '{}') COLLATE "C", $2::text) ELSE FALSE END)"#,
                json!(["t", "x%"]),
            ),
            (
                json_table(),
                r#"{"op":"contains-any","on":"ancestors","values":[{"__entity":{"type":"F","id":"x"}}]}"#,
                r#"(CASE WHEN "ancestors" IS NULL OR array_ndims("ancestors") > 1 THEN FALSE ELSE array_position("ancestors", NULL) IS NULL END AND "ancestors" && ARRAY(SELECT jsonb_array_elements_text($1::text::jsonb)::text))"#,
                json!([r#"["[\"F\",\"x\"]"]"#]),
            ),
            (
                columns(),
                r#"{"op":"less","attr":["n"],"type":"Long","value":5}"#,
                r#"("n" IS NOT NULL AND "n" < $1::bigint)"#,
                json!([5]),
            ),
            (
                columns(),
                r#"{"op":"equals","attr":["user"],"type":"String","value":"x"}"#,
                r#"("user" IS NOT NULL AND "user" = $1::text)"#,
                json!(["x"]),
            ),
            (
                columns(),
                r#"{"op":"greater","attr":["at"],"type":"datetime","value":{"__extn":{"fn":"datetime","arg":"2026-01-01"}}}"#,
                r#"("at" IS NOT NULL AND "at" COLLATE "C" > $1::text)"#,
                json!(["2026-01-01T00:00:00.000Z"]),
            ),
            (
                columns(),
                r#"{"op":"equals","attr":["a\"; DROP"],"type":"Bool","value":true}"#,
                r#"("a""; DROP" IS NOT NULL AND "a""; DROP" = $1::text::boolean)"#,
                json!(["true"]),
            ),
        ] {
            let translation = translated(&dialect, filter);
            assert_eq!(translation.native.text, text, "{filter}");
            assert_eq!(serde_json::to_value(&translation.native.parameters).unwrap(), parameters, "{filter}");
            assert_eq!(translation.widened, [""; 0], "{filter}");
        }
    }

    #[test]
    fn what_cannot_be_said_is_left_out_with_its_reason() {
        let long = "x".repeat(64);
        let on = |name: &str| format!(r#"{{"op":"exists","attr":[{}]}}"#, json!(name));
        for (dialect, filter, text, reason) in [
            (columns(), on(&long), "TRUE", "does not take"),
            (columns(), on(""), "TRUE", "does not take"),
            (columns(), on("a\0"), "TRUE", "does not take"),
            (json_table(), on("a\0"), "TRUE", "does not take"),
            (columns(), r#"{"op":"exists","attr":["a","b"]}"#.to_owned(), "TRUE", "not mapped"),
            (json_table(), r#"{"op":"equals","attr":["a"],"value":"\u0000"}"#.to_owned(), "TRUE", "U+0000"),
            (
                json_table(),
                r#"{"op":"not","arg":{"op":"contains-all","attr":["a"],"values":["x"]}}"#.to_owned(),
                "TRUE",
                "set without a declared type",
            ),
            (
                columns(),
                r#"{"op":"equals","attr":["a"],"value":5}"#.to_owned(),
                r#"("a" IS NOT NULL AND "a" = $1::bigint)"#,
                "where none is declared",
            ),
            (
                columns(),
                r#"{"op":"not","arg":{"op":"equals","attr":["a"],"value":5}}"#.to_owned(),
                "TRUE",
                "where none is declared",
            ),
        ] {
            let translation = translated(&dialect, &filter);
            assert_eq!(translation.native.text, text, "{filter}");
            assert!(translation.widened.iter().any(|left_out| left_out.contains(reason)), "{filter}");
        }
        let fields = Fields { id: Place::Field(long), ..Fields::default() };
        let filter = r#"{"op":"equals","on":"id","value":{"__entity":{"type":"Chunk","id":"x"}}}"#;
        let translation = translated(&Postgres { fields, ..Postgres::default() }, filter);
        assert_eq!(translation.native.text, r#"("chunk_type" IS NOT NULL AND "chunk_type" = $1::text)"#);
        assert!(!translation.is_exact());
    }

    #[test]
    fn a_long_list_is_one_parameter_and_too_much_is_left_out() {
        let values: Vec<String> = (0..100_000).map(|n| n.to_string()).collect();
        for (dialect, filter) in [
            (json_table(), json!({"op":"one-of","attr":["t"],"values":values})),
            (json_table(), json!({"op":"contains-any","attr":["t"],"type":"Set<String>","values":values})),
            (columns(), json!({"op":"contains-any","attr":["t"],"type":"Set<String>","values":values})),
        ] {
            let translation = translated(&dialect, &filter.to_string());
            assert!(translation.is_exact() && translation.native.text.len() < 500);
            assert!(translation.native.parameters.len() < 4);
        }
        let test = |n: usize| json!({"op":"less","attr":[n.to_string()],"value":n});
        let many: Vec<Json> = (0..200)
            .map(|n| json!({"op":"or","args":(0..200).map(|m| test(200 * n + m)).collect::<Vec<_>>()}))
            .collect();
        let translation = translated(&json_table(), &json!({"op":"and","args":many}).to_string());
        assert_eq!(translation.widened, ["a part that is too large for PostgreSQL"]);
        assert!((59_000..=60_000).contains(&translation.native.parameters.len()));
    }
}
