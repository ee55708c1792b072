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
//! One thing only the table can keep: no attribute's name holds U+0000. SQLite's paths take such a name for the part of it
//! before that character.

use serde::Serialize;
use serde_json::Value as Json;
use tamis_core::Filter;
use tamis_core::decision::Path;
use tamis_core::filter::Comparison;

use crate::fields::Fields;
use crate::plan::{Atom, Field, Kind, Limits, Plan, Scalar, Verdict, plan};
use crate::{Dialect, Translation, is_identifier};

/// Lists are one value and disjunctions are balanced, so what SQLite takes is counted once it is written.
const LIMITS: Limits = Limits { list: usize::MAX, values: usize::MAX, depth: usize::MAX };
/// SQLite binds 32 766 values to a statement. The rest is left to the statement around the condition.
const MAX_PARAMETERS: usize = 32_000;
/// SQLite refuses expressions deeper than 1000. The rest is left to what a single test, and the statement, add.
const MAX_DEPTH: usize = 900;

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

/// A condition, with a value for each `?` in it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sql {
    /// An expression that is true or false, and never NULL.
    #[serde(rename = "sql")]
    pub text: String,
    /// Values in the order of the question marks.
    pub parameters: Vec<Parameter>,
}

/// A value to bind.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Parameter {
    /// TEXT.
    Text(String),
    /// INTEGER.
    Integer(i64),
    /// REAL.
    Real(f64),
}

impl Dialect for Sqlite {
    type Native = Sql;

    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn translate(&self, filter: &Filter) -> Translation<Sql> {
        let (planned, mut left_out) = plan(filter, &self.fields, LIMITS, &Self::judge);
        let whole = Writer::write(self, &planned);
        if whole.fits(MAX_PARAMETERS) {
            return Translation { native: whole.sql, widened: left_out };
        }
        let parts = match planned {
            Plan::And(parts) => parts,
            other => vec![other],
        };
        let mut room = MAX_PARAMETERS;
        let fits = |part: &Plan| {
            let written = Writer::write(self, part);
            let fits = written.fits(room);
            if fits {
                room -= written.sql.parameters.len();
            }
            fits
        };
        let (fitting, too_large): (Vec<Plan>, Vec<Plan>) = parts.into_iter().partition(fits);
        if !too_large.is_empty() {
            left_out.push("a part that is too large for SQLite".to_owned());
        }
        Translation { native: Writer::write(self, &Plan::And(fitting)).sql, widened: left_out }
    }
}

impl Sqlite {
    fn judge(field: &Field, atom: &Atom) -> Verdict {
        let inexpressible = |why: &str| Verdict::Inexpressible(why.to_owned());
        if matches!(field, Field::Attribute(path) if !path.iter().all(|name| is_plain(name))) {
            return inexpressible("a name with a quote, a backslash or a control character");
        }
        if matches!(field, Field::Column(name) if !is_identifier(name)) {
            return inexpressible("a column whose name is not letters, digits and underscores");
        }
        let has_null = |value: &Scalar| matches!(value, Scalar::Text(text) if text.contains('\0'));
        if atom.values().iter().any(has_null)
            || matches!(atom, Atom::StartsWith(prefix) if prefix.contains('\0'))
        {
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
}

/// Whether a name can stand in a quoted JSON path.
fn is_plain(name: &str) -> bool {
    !name.chars().any(|c| c == '"' || c == '\\' || c.is_control())
}

/// Writes what [`Sqlite::judge`] has found exact.
struct Writer<'a> {
    columns: &'a Sqlite,
    sql: Sql,
    /// How many connectives enclose what is being written, and how many did at most.
    depth: usize,
    deepest: usize,
}

impl<'a> Writer<'a> {
    fn write(columns: &'a Sqlite, plan: &Plan) -> Self {
        let sql = Sql { text: String::new(), parameters: Vec::new() };
        let mut writer = Writer { columns, sql, depth: 0, deepest: 0 };
        writer.plan(plan);
        writer
    }

    /// Whether SQLite takes it, with `room` for so many values.
    fn fits(&self, room: usize) -> bool {
        self.sql.parameters.len() <= room && self.deepest <= MAX_DEPTH
    }

    fn enter(&mut self) {
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
    }

    fn leave(&mut self) {
        self.depth -= 1;
    }

    fn text(&mut self, text: &str) {
        self.sql.text.push_str(text);
    }

    fn bind(&mut self, parameter: Parameter) {
        self.text("?");
        self.sql.parameters.push(parameter);
    }

    fn plan(&mut self, plan: &Plan) {
        match plan {
            Plan::Always => self.text("1"),
            Plan::Never => self.text("0"),
            Plan::And(plans) => self.joined(plans, " AND "),
            Plan::Or(plans) => self.joined(plans, " OR "),
            Plan::Not(inner) => {
                self.enter();
                self.text("NOT ");
                self.plan(inner);
                self.leave();
            }
            Plan::Test(field, atom) => {
                self.text("(");
                match field {
                    Field::Attribute(path) => self.attribute(path, atom),
                    Field::Column(column) => self.column(column, atom),
                }
                self.text(")");
            }
        }
    }

    /// Joins as a balanced tree: SQLite limits the depth of expressions to 1000, and a flat chain is as deep as it is long.
    fn joined(&mut self, plans: &[Plan], operator: &str) {
        match plans {
            [] => self.text(if operator == " AND " { "1" } else { "0" }),
            [one] => self.plan(one),
            many => {
                let (left, right) = many.split_at(many.len() / 2);
                self.enter();
                self.text("(");
                self.joined(left, operator);
                self.text(operator);
                self.joined(right, operator);
                self.text(")");
                self.leave();
            }
        }
    }

    /// `function(attributes, path)`.
    fn call(&mut self, function: &str, path: &Path) {
        self.text(&format!("{function}({}, ", self.columns.attributes));
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
            Atom::ContainsAny(values, kind) => {
                self.array(path, kind.unwrap_or(Kind::Text));
                self.text(" AND EXISTS (SELECT 1 FROM ");
                self.call("json_each", path);
                self.text(" WHERE value IN (SELECT value FROM json_each(");
                self.bind(list(values));
                self.text(")))");
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

fn operator(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Less => " < ",
        Comparison::LessOrEqual => " <= ",
        Comparison::Greater => " > ",
        Comparison::GreaterOrEqual => " >= ",
    }
}

/// A list as one parameter: a JSON array, whatever its length.
fn list(values: &[Scalar]) -> Parameter {
    Parameter::Text(Json::Array(values.iter().map(Scalar::to_json).collect()).to_string())
}
