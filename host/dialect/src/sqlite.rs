//! SQLite, over a table with a column of JSON metadata.
//!
//! Every rendered test is 0 or 1 and never NULL, so that NOT is plain complement: comparisons that could meet a missing
//! value use `IS`, and every one is guarded by the JSON type of what is stored. Values, lists of values and JSON paths are
//! bound; nothing that a policy or a person wrote becomes part of the text.
//!
//! Exact: `exists`; on texts, whole numbers and booleans `equals`, `one-of`, the four comparisons and `starts-with`; on sets
//! declared as `Set<String>` or `Set<Long>` the two `contains`; the chunk's type, id and ancestors. Anything else widens, and so
//! does a part of the filter that is too large for SQLite.
//!
//! One thing only the table can keep: no attribute's name holds U+0000. SQLite's paths take such a name for the part of it
//! before that character.

use serde_json::{Value as Json, json};
use tamis_core::filter::{Attribute, Comparison, Filter, Operand, Test};
use tamis_core::{EntityUid, Type, Value};

use crate::widen::{Verdict, widen};
use crate::{Dialect, Translation};

/// SQLite binds 32 766 values to a statement. The rest is left to the statement around the condition.
const MAX_PARAMETERS: usize = 32_000;
/// SQLite refuses expressions deeper than 1000. The rest is left to what a single test, and the statement, add.
const MAX_DEPTH: usize = 900;

/// A table that holds chunks, by the names of its columns. The names are the host's own and become part of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sqlite {
    /// JSON object: the attributes.
    pub attributes: &'static str,
    /// Text: the entity type of the chunk.
    pub entity_type: &'static str,
    /// Text: the id of the chunk.
    pub id: &'static str,
    /// JSON array of texts: an [`ancestor_key`] for each ancestor.
    pub ancestors: &'static str,
}

impl Default for Sqlite {
    fn default() -> Self {
        Self { attributes: "attributes", entity_type: "chunk_type", id: "chunk_id", ancestors: "ancestors" }
    }
}

/// A condition, with a value for each `?` in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sql {
    /// An expression that is 0 or 1.
    pub text: String,
    /// Values in the order of the question marks.
    pub parameters: Vec<Parameter>,
}

/// A value to bind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// TEXT.
    Text(String),
    /// INTEGER.
    Integer(i64),
}

impl Parameter {
    /// The value in JSON.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Text(text) => json!(text),
            Self::Integer(value) => json!(value),
        }
    }
}

/// How an ancestor is written in the column of ancestors: `["Folder","x"]`. Unlike `Folder::"x"` it reads in one way only.
pub fn ancestor_key(uid: &EntityUid) -> String {
    json!([uid.entity_type, uid.id]).to_string()
}

impl Dialect for Sqlite {
    type Native = Sql;

    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn translate(&self, filter: &Filter) -> Translation<Sql> {
        let (widened, mut left_out) = widen(filter, &judge);
        let whole = Writer::write(self, &widened);
        if whole.fits(MAX_PARAMETERS) {
            return Translation { native: whole.sql, widened: left_out };
        }
        let parts = match widened {
            Filter::And(parts) => parts,
            other => vec![other],
        };
        let mut room = MAX_PARAMETERS;
        let fits = |part: &Filter| {
            let written = Writer::write(self, part);
            let fits = written.fits(room);
            if fits {
                room -= written.sql.parameters.len();
            }
            fits
        };
        let (fitting, too_large): (Vec<Filter>, Vec<Filter>) = parts.into_iter().partition(fits);
        if !too_large.is_empty() {
            left_out.push("a part that is too large for SQLite".to_owned());
        }
        Translation { native: Writer::write(self, &Filter::and(fitting)).sql, widened: left_out }
    }
}

/// The JSON types that this dialect compares exactly.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scalar {
    Text,
    Integer,
    Boolean,
}

impl Scalar {
    fn of_value(value: &Value) -> Option<Self> {
        match value {
            // SQLite's text functions stop at the character U+0000.
            Value::String(text) if text.contains('\0') => None,
            Value::String(_) => Some(Self::Text),
            Value::Long(_) => Some(Self::Integer),
            Value::Bool(_) => Some(Self::Boolean),
            _ => None,
        }
    }

    fn of_type(declared: &Type) -> Option<Self> {
        match declared {
            Type::String => Some(Self::Text),
            Type::Long => Some(Self::Integer),
            Type::Bool => Some(Self::Boolean),
            _ => None,
        }
    }
}

fn judge(operand: &Operand, test: &Test) -> Verdict {
    match operand {
        Operand::EntityType => judge_entity_type(test),
        Operand::Id => judge_id(test),
        Operand::Ancestors => match test {
            Test::Exists | Test::Readable => Verdict::Exact,
            Test::ContainsAny(values) | Test::ContainsAll(values) if values.iter().all(is_entity) => {
                Verdict::Exact
            }
            _ => Verdict::Inexpressible("a test of the ancestors other than what they contain".to_owned()),
        },
        Operand::Attribute(attribute) => judge_attribute(attribute, test),
    }
}

fn is_entity(value: &Value) -> bool {
    matches!(value, Value::Entity(_))
}

fn judge_entity_type(test: &Test) -> Verdict {
    let is_text = |value: &Value| Scalar::of_value(value) == Some(Scalar::Text);
    match test {
        Test::Exists | Test::Readable => Verdict::Exact,
        Test::Equals(value) if is_text(value) => Verdict::Exact,
        Test::OneOf(values) if values.iter().all(is_text) => Verdict::Exact,
        _ => Verdict::Inexpressible("a test of the type other than equality".to_owned()),
    }
}

fn judge_id(test: &Test) -> Verdict {
    match test {
        Test::Exists | Test::Readable => Verdict::Exact,
        Test::Equals(value) if is_entity(value) => Verdict::Exact,
        Test::OneOf(values) if values.iter().all(is_entity) => Verdict::Exact,
        _ => Verdict::Inexpressible("a test of the id other than equality".to_owned()),
    }
}

fn judge_attribute(attribute: &Attribute, test: &Test) -> Verdict {
    let name = tamis_core::decision::path_text(&attribute.path);
    let inexpressible = |why: &str| Verdict::Inexpressible(format!("`{name}`: {why}"));
    if !attribute.path.iter().all(|name| is_plain(name)) {
        return inexpressible("a name with a quote, a backslash or a control character");
    }
    let (values, element) = match test {
        Test::Exists => return Verdict::Exact,
        Test::Readable => {
            return match &attribute.declared {
                Some(declared) if Scalar::of_type(declared).is_some() => Verdict::Exact,
                _ => inexpressible("readability as this type"),
            };
        }
        Test::StartsWith(prefix) if prefix.contains('\0') => return inexpressible("the character U+0000"),
        Test::StartsWith(_) => return judge_scalar(attribute, Scalar::Text, &inexpressible),
        Test::Equals(value) | Test::Compare(_, value) => (std::slice::from_ref(value), false),
        Test::OneOf(values) => (values.as_slice(), false),
        Test::ContainsAny(values) | Test::ContainsAll(values) => (values.as_slice(), true),
    };
    if element {
        return judge_elements(attribute, values, &inexpressible);
    }
    let mut kinds = values.iter().map(Scalar::of_value);
    let Some(first) = kinds.next() else {
        return Verdict::Never;
    };
    match first {
        Some(kind) if kinds.all(|other| other == Some(kind)) => {
            if matches!(test, Test::Compare(..)) && kind != Scalar::Integer {
                return Verdict::Never;
            }
            judge_scalar(attribute, kind, &inexpressible)
        }
        _ => inexpressible("values that are not all texts, all whole numbers or all booleans"),
    }
}

fn judge_scalar(attribute: &Attribute, kind: Scalar, inexpressible: &dyn Fn(&str) -> Verdict) -> Verdict {
    match &attribute.declared {
        None => Verdict::Exact,
        Some(declared) if Scalar::of_type(declared) == Some(kind) => Verdict::Exact,
        Some(declared) => inexpressible(&format!("comparing a {declared}")),
    }
}

fn judge_elements(
    attribute: &Attribute,
    values: &[Value],
    inexpressible: &dyn Fn(&str) -> Verdict,
) -> Verdict {
    let wanted = match &attribute.declared {
        Some(Type::Set(element)) => match Scalar::of_type(element) {
            Some(kind @ (Scalar::Text | Scalar::Integer)) => kind,
            _ => return inexpressible("the elements of this set"),
        },
        _ => return inexpressible("the elements of a set without a declared type"),
    };
    if values.iter().all(|value| Scalar::of_value(value) == Some(wanted)) {
        Verdict::Exact
    } else {
        inexpressible("elements of another type than declared")
    }
}

/// Whether a name can stand in a quoted JSON path.
fn is_plain(name: &str) -> bool {
    !name.chars().any(|c| c == '"' || c == '\\' || c.is_control())
}

/// Writes what [`judge`] has found exact.
struct Writer<'a> {
    columns: &'a Sqlite,
    sql: Sql,
    /// How many connectives enclose what is being written, and how many did at most.
    depth: usize,
    deepest: usize,
}

impl<'a> Writer<'a> {
    fn write(columns: &'a Sqlite, filter: &Filter) -> Self {
        let sql = Sql { text: String::new(), parameters: Vec::new() };
        let mut writer = Writer { columns, sql, depth: 0, deepest: 0 };
        writer.filter(filter);
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

    fn filter(&mut self, filter: &Filter) {
        match filter {
            Filter::Always => self.text("1"),
            Filter::Never => self.text("0"),
            Filter::And(filters) => self.joined(filters, " AND "),
            Filter::Or(filters) => self.joined(filters, " OR "),
            Filter::Not(inner) => {
                self.enter();
                self.text("NOT ");
                self.filter(inner);
                self.leave();
            }
            Filter::Test(operand, test) => {
                self.text("(");
                match operand {
                    Operand::Attribute(attribute) => self.attribute_test(attribute, test),
                    Operand::EntityType => self.entity_type_test(test),
                    Operand::Id => self.id_test(test),
                    Operand::Ancestors => self.ancestors_test(test),
                }
                self.text(")");
            }
        }
    }

    /// Joins as a balanced tree: SQLite limits the depth of expressions to 1000, and a flat chain is as deep as it is long.
    fn joined(&mut self, filters: &[Filter], operator: &str) {
        match filters {
            [] => self.text(if operator == " AND " { "1" } else { "0" }),
            [one] => self.filter(one),
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

    fn path(attribute: &Attribute) -> Parameter {
        let names: String = attribute.path.iter().map(|name| format!(".\"{name}\"")).collect();
        Parameter::Text(format!("${names}"))
    }

    /// `function(attributes, path)`.
    fn call(&mut self, function: &str, attribute: &Attribute) {
        self.text(&format!("{function}({}, ", self.columns.attributes));
        self.bind(Self::path(attribute));
        self.text(")");
    }

    /// True if what is stored is of this JSON type. JSON numbers beyond 64 bits are of SQLite's type REAL.
    fn guard(&mut self, attribute: &Attribute, kind: Scalar) {
        match kind {
            Scalar::Text => {
                self.call("json_type", attribute);
                self.text(" IS 'text'");
            }
            Scalar::Integer => {
                self.call("json_type", attribute);
                self.text(" IS 'integer' AND typeof(");
                self.call("json_extract", attribute);
                self.text(") = 'integer'");
            }
            Scalar::Boolean => {
                self.text("coalesce(");
                self.call("json_type", attribute);
                self.text(", '') IN ('true', 'false')");
            }
        }
    }

    fn attribute_test(&mut self, attribute: &Attribute, test: &Test) {
        match test {
            Test::Exists => {
                self.text("coalesce(");
                self.call("json_type", attribute);
                self.text(", 'null') <> 'null'");
            }
            Test::Readable => {
                if let Some(kind) = attribute.declared.as_ref().and_then(Scalar::of_type) {
                    self.guard(attribute, kind);
                }
            }
            Test::Equals(value) => self.compare(attribute, " IS ", value),
            Test::Compare(comparison, value) => self.compare(attribute, operator(*comparison), value),
            Test::OneOf(values) => {
                if let Some(kind) = values.first().and_then(Scalar::of_value) {
                    self.guard(attribute, kind);
                }
                self.text(" AND ");
                self.call("json_extract", attribute);
                self.text(" IN (SELECT value FROM json_each(");
                self.bind(list(values));
                self.text("))");
            }
            Test::ContainsAny(values) => {
                self.well_typed_set(attribute);
                self.text(" AND EXISTS (SELECT 1 FROM ");
                self.call("json_each", attribute);
                self.text(" WHERE value IN (SELECT value FROM json_each(");
                self.bind(list(values));
                self.text(")))");
            }
            Test::ContainsAll(values) => {
                self.well_typed_set(attribute);
                self.text(" AND NOT EXISTS (SELECT 1 FROM json_each(");
                self.bind(list(values));
                self.text(") WHERE value NOT IN (SELECT value FROM ");
                self.call("json_each", attribute);
                self.text("))");
            }
            Test::StartsWith(prefix) => {
                self.guard(attribute, Scalar::Text);
                self.text(" AND substr(");
                self.call("json_extract", attribute);
                self.text(", 1, ");
                let length = i64::try_from(prefix.chars().count()).unwrap_or(i64::MAX);
                self.bind(Parameter::Integer(length));
                self.text(") = ");
                self.bind(Parameter::Text(prefix.clone()));
            }
        }
    }

    fn compare(&mut self, attribute: &Attribute, operator: &str, value: &Value) {
        let Some(kind) = Scalar::of_value(value) else {
            return;
        };
        self.guard(attribute, kind);
        self.text(" AND ");
        self.call("json_extract", attribute);
        self.text(operator);
        self.bind(match value {
            Value::String(text) => Parameter::Text(text.clone()),
            Value::Long(number) => Parameter::Integer(*number),
            value => Parameter::Integer(i64::from(*value == Value::Bool(true))),
        });
    }

    /// An array in which every element is of the declared type: one that is not makes the whole set unreadable.
    fn well_typed_set(&mut self, attribute: &Attribute) {
        let element = match &attribute.declared {
            Some(Type::Set(element)) => Scalar::of_type(element),
            _ => None,
        };
        let ill_typed = match element {
            Some(Scalar::Integer) => "type <> 'integer' OR typeof(value) <> 'integer'",
            _ => "type <> 'text'",
        };
        self.call("json_type", attribute);
        self.text(" IS 'array' AND NOT EXISTS (SELECT 1 FROM ");
        self.call("json_each", attribute);
        self.text(&format!(" WHERE {ill_typed})"));
    }

    fn entity_type_test(&mut self, test: &Test) {
        let names = match test {
            Test::Equals(value) => list(std::slice::from_ref(value)),
            Test::OneOf(values) => list(values),
            _ => return self.text("1"),
        };
        self.text(&format!("{} IN (SELECT value FROM json_each(", self.columns.entity_type));
        self.bind(names);
        self.text("))");
    }

    fn id_test(&mut self, test: &Test) {
        let keys = match test {
            Test::Equals(value) => entity_keys(std::slice::from_ref(value)),
            Test::OneOf(values) => entity_keys(values),
            _ => return self.text("1"),
        };
        self.text(&format!(
            "json_array({}, {}) IN (SELECT value FROM json_each(",
            self.columns.entity_type, self.columns.id
        ));
        self.bind(keys);
        self.text("))");
    }

    fn ancestors_test(&mut self, test: &Test) {
        let ancestors = self.columns.ancestors;
        match test {
            Test::ContainsAny(values) => {
                self.text(&format!(
                    "EXISTS (SELECT 1 FROM json_each({ancestors}) WHERE value IN (SELECT value FROM json_each("
                ));
                self.bind(entity_keys(values));
                self.text(")))");
            }
            Test::ContainsAll(values) => {
                self.text("NOT EXISTS (SELECT 1 FROM json_each(");
                self.bind(entity_keys(values));
                self.text(&format!(") WHERE value NOT IN (SELECT value FROM json_each({ancestors})))"));
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
fn list(values: &[Value]) -> Parameter {
    let elements: Vec<Json> = values.iter().map(tamis_core::metadata::write).collect();
    Parameter::Text(Json::Array(elements).to_string())
}

fn entity_keys(values: &[Value]) -> Parameter {
    let key = |value: &Value| if let Value::Entity(uid) = value { Some(ancestor_key(uid)) } else { None };
    Parameter::Text(json!(values.iter().filter_map(key).collect::<Vec<_>>()).to_string())
}
