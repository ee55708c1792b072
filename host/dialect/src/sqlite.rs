//! SQLite, over a table with a column of JSON metadata.
//!
//! Every rendered test is 0 or 1 and never NULL, so that NOT is plain complement: comparisons that could meet a missing
//! value use `IS`, and every one is guarded by the JSON type of what is stored. Values, lists of values and JSON paths are
//! bound; nothing that a policy or a person wrote becomes part of the text.
//!
//! Exact is what the plan asks for, except the elements of sets of decimals and of sets without a declared type, names that a JSON path
//! cannot hold, and the character U+0000, which ends a text for SQLite's functions. A part of the filter that is too large for SQLite
//! is left out.
//!
//! Two things only the table can keep. No attribute's name holds U+0000: SQLite's paths take such a name for the part of it
//! before that character. And names are written as they are, not as `\u00e9`: SQLite before 3.45 compares what is written.

use tamis_core::Filter;
use tamis_core::decision::Path;

use crate::cover::Cover;
use crate::fields::Fields;
use crate::plan::{Atom, Field, Kind, Limits, Scalar, Verdict};
use crate::sql::{self, Language, Parameter, Sql, Writer, has_null_character, list, operator};
use crate::{Dialect, Translation, is_identifier};

/// A table that holds chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sqlite {
    /// The column of attributes, a JSON object. The name is the host's own and becomes part of the text.
    pub attributes: &'static str,
    /// Paths into that object, and columns: of text for type and id, of a JSON array of texts for the ancestors.
    pub fields: Fields,
}

impl Default for Sqlite {
    fn default() -> Self {
        Self { attributes: "attributes", fields: Fields::default() }
    }
}

impl Sqlite {
    /// As [`Dialect::translate`], with what the translation has all chunks hold; `None` if that is nothing in particular.
    pub fn translate_with_cover(&self, filter: &Filter) -> (Translation<Sql>, Option<Cover>) {
        let (translation, plan) = sql::translate_and_plan(self, filter, &self.fields);
        (translation, Cover::of(&plan))
    }
}

impl Dialect for Sqlite {
    type Native = Sql;

    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn translate(&self, filter: &Filter) -> Translation<Sql> {
        sql::translate(self, filter, &self.fields)
    }
}

impl Language for Sqlite {
    const NAME: &'static str = "SQLite";
    const TRUE: &'static str = "1";
    const FALSE: &'static str = "0";
    /// SQLite binds 32 766 values to a statement and refuses expressions deeper than 1000. The rest is left to the statement around
    /// the condition, and to what a single test adds. Lists are one value.
    const LIMITS: Limits = Limits { list: usize::MAX, values: 32_000, depth: 900 };

    fn mark(_: usize) -> String {
        "?".to_owned()
    }

    fn judge(&self, field: &Field, atom: &Atom, _: bool) -> Verdict {
        let inexpressible = |why: &str| Verdict::Inexpressible(why.to_owned());
        if matches!(field, Field::Attribute(path) if !path.iter().all(|name| is_plain(name))) {
            return inexpressible("a name with a quote, a backslash or a control character");
        }
        if matches!(field, Field::Column(name) if !is_identifier(name)) {
            return inexpressible("a column whose name is not letters, digits and underscores");
        }
        if has_null_character(atom) {
            return inexpressible("the character U+0000");
        }
        match atom {
            Atom::IsArray(Kind::Number | Kind::Boolean)
            | Atom::ContainsAny(_, Some(Kind::Number | Kind::Boolean))
            | Atom::ContainsAll(_, Some(Kind::Number | Kind::Boolean)) => {
                inexpressible("the elements of this set")
            }
            Atom::ContainsAny(_, None) | Atom::ContainsAll(_, None) => {
                inexpressible("the elements of a set without a declared type")
            }
            _ => Verdict::Exact,
        }
    }

    fn test(writer: &mut Writer<'_, Self>, field: &Field, atom: &Atom) {
        match field {
            Field::Attribute(path) => writer.attribute(path, atom),
            Field::Column(column) => writer.column(column, atom),
        }
    }
}

/// Whether a name can stand in a quoted JSON path.
fn is_plain(name: &str) -> bool {
    !name.chars().any(|c| c == '"' || c == '\\' || c.is_control())
}

impl Writer<'_, Sqlite> {
    /// `function(attributes, path)`.
    fn call(&mut self, function: &str, path: &Path) {
        self.text(&format!("{function}({}, ", self.language.attributes));
        let names: String = path.iter().map(|name| format!(".\"{name}\"")).collect();
        self.bind(Parameter::Text(format!("${names}")));
        self.text(")");
    }

    /// True if what is stored is of this JSON type. JSON numbers beyond 64 bits are of SQLite's type REAL.
    fn guard(&mut self, path: &Path, kind: Kind) {
        match kind {
            Kind::Text => {
                self.call("json_type", path);
                self.text(" IS 'text'");
            }
            Kind::Integer => {
                self.call("json_type", path);
                self.text(" IS 'integer' AND typeof(");
                self.call("json_extract", path);
                self.text(") = 'integer'");
            }
            Kind::Number => {
                self.text("coalesce(");
                self.call("json_type", path);
                self.text(", '') IN ('integer', 'real')");
            }
            Kind::Boolean => {
                self.text("coalesce(");
                self.call("json_type", path);
                self.text(", '') IN ('true', 'false')");
            }
        }
    }

    fn attribute(&mut self, path: &Path, atom: &Atom) {
        match atom {
            Atom::Present => {
                self.text("coalesce(");
                self.call("json_type", path);
                self.text(", 'null') <> 'null'");
            }
            Atom::Is(kind) => self.guard(path, *kind),
            Atom::IsArray(kind) => self.array(path, *kind),
            Atom::OneOf(values) => match values.as_slice() {
                [value] => self.compare(path, " IS ", value),
                values => {
                    if let Some(value) = values.first() {
                        self.guard(path, value.kind());
                    }
                    self.text(" AND ");
                    self.call("json_extract", path);
                    self.text(" IN (SELECT value FROM json_each(");
                    self.bind(list(values));
                    self.text("))");
                }
            },
            Atom::Compare(comparison, bound) => self.compare(path, operator(*comparison), bound),
            // What most rows fail comes first. Of terms joined by AND SQLite takes those without a query first.
            Atom::ContainsAny(values, kind) => {
                self.text("CASE WHEN EXISTS (SELECT 1 FROM ");
                self.call("json_each", path);
                self.text(" WHERE value IN (SELECT value FROM json_each(");
                self.bind(list(values));
                self.text("))) THEN ");
                self.array(path, kind.unwrap_or(Kind::Text));
                self.text(" ELSE 0 END");
            }
            Atom::ContainsAll(values, kind) => {
                self.array(path, kind.unwrap_or(Kind::Text));
                self.text(" AND NOT EXISTS (SELECT 1 FROM json_each(");
                self.bind(list(values));
                self.text(") WHERE value NOT IN (SELECT value FROM ");
                self.call("json_each", path);
                self.text("))");
            }
            Atom::StartsWith(prefix) => {
                self.guard(path, Kind::Text);
                self.text(" AND substr(");
                self.call("json_extract", path);
                self.text(", 1, ");
                let length = i64::try_from(prefix.chars().count()).unwrap_or(i64::MAX);
                self.bind(Parameter::Integer(length));
                self.text(") = ");
                self.bind(Parameter::Text(prefix.clone()));
            }
        }
    }

    fn compare(&mut self, path: &Path, operator: &str, value: &Scalar) {
        self.guard(path, value.kind());
        self.text(" AND ");
        self.call("json_extract", path);
        self.text(operator);
        self.bind(match value {
            Scalar::Text(text) => Parameter::Text(text.clone()),
            Scalar::Integer(number) => Parameter::Integer(*number),
            Scalar::Number(number) => Parameter::Real(*number),
            Scalar::Boolean(value) => Parameter::Integer(i64::from(*value)),
        });
    }

    /// An array in which every element is of the declared type: one that is not makes the whole set unreadable.
    fn array(&mut self, path: &Path, kind: Kind) {
        let ill_typed = match kind {
            Kind::Integer => "type <> 'integer' OR typeof(value) <> 'integer'",
            _ => "type <> 'text'",
        };
        self.call("json_type", path);
        self.text(" IS 'array' AND NOT EXISTS (SELECT 1 FROM ");
        self.call("json_each", path);
        self.text(&format!(" WHERE {ill_typed})"));
    }

    /// A test of what every row has: a text, or the array of ancestors.
    fn column(&mut self, column: &str, atom: &Atom) {
        match atom {
            Atom::OneOf(values) => {
                self.text(&format!("{column} IN (SELECT value FROM json_each("));
                self.bind(list(values));
                self.text("))");
            }
            Atom::ContainsAny(values, _) => {
                self.text(&format!(
                    "EXISTS (SELECT 1 FROM json_each({column}) WHERE value IN (SELECT value FROM json_each("
                ));
                self.bind(list(values));
                self.text(")))");
            }
            Atom::ContainsAll(values, _) => {
                self.text("NOT EXISTS (SELECT 1 FROM json_each(");
                self.bind(list(values));
                self.text(&format!(") WHERE value NOT IN (SELECT value FROM json_each({column})))"));
            }
            _ => self.text("1"),
        }
    }
}
