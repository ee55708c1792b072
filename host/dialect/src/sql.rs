//! SQL conditions: text with parameters, and what is the same in every SQL, namely how conditions are joined and how what is too
//! large for the database is left out. What a test of one field looks like is for each dialect to say.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value as Json;
use tamis_core::Filter;
use tamis_core::decision::Path;
use tamis_core::filter::{Comparison, Operand};

use crate::Translation;
use crate::fields::Fields;
use crate::plan::{Atom, Field, Limits, Plan, Scalar, Verdict};
use crate::planner::plan;

/// A condition, with a value for each parameter in it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sql {
    /// An expression that is true or false, and never NULL.
    #[serde(rename = "sql")]
    pub text: String,
    /// Values in the order of the question marks, or of the numbers of the parameters.
    pub parameters: Vec<Parameter>,
}

/// A value to bind.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Parameter {
    /// TEXT.
    Text(String),
    /// INTEGER, BIGINT.
    Integer(i64),
    /// REAL, DOUBLE PRECISION.
    Real(f64),
}

/// What one SQL has of its own.
pub(crate) trait Language: Sized {
    /// Its name, for people.
    const NAME: &'static str;
    /// A condition that always holds.
    const TRUE: &'static str;
    /// A condition that never does.
    const FALSE: &'static str;
    /// How many values a condition may have, in a list and in all, and how deep it may be once it is written.
    const LIMITS: Limits;

    /// How the text refers to the parameter with this number; the first is 1.
    fn mark(number: usize) -> String;

    /// Whether a test can be expressed. `typed` is whether the filter declares a type wherever it tests this field, if that is an
    /// attribute's.
    fn judge(&self, field: &Field, atom: &Atom, typed: bool) -> Verdict;

    /// Writes a test that is not inexpressible, so that it is never NULL. It stands in parentheses.
    fn test(writer: &mut Writer<'_, Self>, field: &Field, atom: &Atom);
}

/// Translates a filter, less what is too large.
pub(crate) fn translate<L: Language>(language: &L, filter: &Filter, fields: &Fields) -> Translation<Sql> {
    translate_and_plan(language, filter, fields).0
}

/// As [`translate`], with what was translated.
pub(crate) fn translate_and_plan<L: Language>(
    language: &L,
    filter: &Filter,
    fields: &Fields,
) -> (Translation<Sql>, Plan) {
    // What counts is what is written: joins are balanced, and a list may be one value.
    let limits = Limits { list: L::LIMITS.list, values: usize::MAX, depth: usize::MAX };
    let mut untyped = BTreeSet::new();
    find_untyped(filter, fields, &mut untyped);
    let judge = |field: &Field, atom: &Atom| {
        let typed = !matches!(field, Field::Attribute(path) if untyped.contains(path));
        language.judge(field, atom, typed)
    };
    let (planned, mut left_out) = plan(filter, fields, limits, &judge);
    let whole = Writer::write(language, &planned);
    if whole.fits(L::LIMITS.values, 0) {
        return (Translation { native: whole.sql, widened: left_out }, planned);
    }
    let parts = match planned {
        Plan::And(parts) => parts,
        other => vec![other],
    };
    let mut room = L::LIMITS.values;
    // The tree that joins the parts again.
    let joins = parts.len().next_power_of_two().ilog2();
    let fits = |part: &Plan| {
        let written = Writer::write(language, part);
        let fits = written.fits(room, joins as usize);
        if fits {
            room -= written.values;
        }
        fits
    };
    let (fitting, too_large): (Vec<Plan>, Vec<Plan>) = parts.into_iter().partition(fits);
    if !too_large.is_empty() {
        left_out.push(format!("a part that is too large for {}", L::NAME));
    }
    let fitting = Plan::And(fitting);
    (Translation { native: Writer::write(language, &fitting).sql, widened: left_out }, fitting)
}

/// The fields of attributes that the filter tests without a declared type. What a column of one type makes of such a test depends on
/// that type, which is not known here.
fn find_untyped(filter: &Filter, fields: &Fields, found: &mut BTreeSet<Path>) {
    match filter {
        Filter::And(parts) | Filter::Or(parts) => {
            parts.iter().for_each(|part| find_untyped(part, fields, found));
        }
        Filter::Not(inner) => find_untyped(inner, fields, found),
        Filter::Test(Operand::Attribute(attribute), _) if attribute.declared.is_none() => {
            found.insert(fields.of(&attribute.path));
        }
        Filter::Test(..) | Filter::Always | Filter::Never => {}
    }
}

/// Writes what is expressible.
pub(crate) struct Writer<'a, L> {
    pub(crate) language: &'a L,
    sql: Sql,
    /// How many values it has.
    values: usize,
    /// How many connectives enclose what is being written, and how many did at most.
    depth: usize,
    deepest: usize,
}

impl<'a, L: Language> Writer<'a, L> {
    fn write(language: &'a L, plan: &Plan) -> Self {
        let sql = Sql { text: String::new(), parameters: Vec::new() };
        let mut writer = Writer { language, sql, values: 0, depth: 0, deepest: 0 };
        writer.plan(plan);
        writer
    }

    /// Whether the database takes it, with `room` for so many values, inside so many connectives.
    fn fits(&self, room: usize, outside: usize) -> bool {
        self.values <= room && self.deepest + outside <= L::LIMITS.depth
    }

    /// Writes the dialect's own words.
    pub(crate) fn text(&mut self, text: &str) {
        self.sql.text.push_str(text);
    }

    /// Writes a parameter.
    pub(crate) fn bind(&mut self, parameter: Parameter) {
        let mark = self.mark(parameter);
        self.text(&mark);
    }

    /// Counts values that are written as literals.
    pub(crate) fn count(&mut self, literals: usize) {
        self.values += literals;
    }

    /// Binds a value; the text is to refer to it by what this returns.
    pub(crate) fn mark(&mut self, parameter: Parameter) -> String {
        self.values += 1;
        self.sql.parameters.push(parameter);
        L::mark(self.sql.parameters.len())
    }

    fn enter(&mut self) {
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
    }

    fn leave(&mut self) {
        self.depth -= 1;
    }

    fn plan(&mut self, plan: &Plan) {
        match plan {
            Plan::Always => self.text(L::TRUE),
            Plan::Never => self.text(L::FALSE),
            Plan::And(plans) => self.joined(plans, " AND ", L::TRUE),
            Plan::Or(plans) => self.joined(plans, " OR ", L::FALSE),
            Plan::Not(inner) => {
                self.enter();
                self.text("NOT ");
                self.plan(inner);
                self.leave();
            }
            Plan::Test(field, atom) => {
                self.text("(");
                L::test(self, field, atom);
                self.text(")");
            }
        }
    }

    /// Joins as a balanced tree: databases limit the depth of expressions, and a flat chain is as deep as it is long.
    fn joined(&mut self, plans: &[Plan], operator: &str, of_none: &str) {
        match plans {
            [] => self.text(of_none),
            [one] => self.plan(one),
            many => {
                let (left, right) = many.split_at(many.len() / 2);
                self.enter();
                self.text("(");
                self.joined(left, operator, of_none);
                self.text(operator);
                self.joined(right, operator, of_none);
                self.text(")");
                self.leave();
            }
        }
    }
}

/// The operator, between spaces.
pub(crate) fn operator(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Less => " < ",
        Comparison::LessOrEqual => " <= ",
        Comparison::Greater => " > ",
        Comparison::GreaterOrEqual => " >= ",
    }
}

/// A name in double quotes, as it is. Without them some names are keywords: `user` would be who runs the query.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A list as one parameter: a JSON array, whatever its length.
pub(crate) fn list(values: &[Scalar]) -> Parameter {
    Parameter::Text(Json::Array(values.iter().map(Scalar::to_json).collect()).to_string())
}

/// Whether a test compares with a text that holds U+0000, which ends a text for some databases and is refused by others.
pub(crate) fn has_null_character(atom: &Atom) -> bool {
    atom.values().iter().any(|value| matches!(value, Scalar::Text(text) if text.contains('\0')))
        || matches!(atom, Atom::StartsWith(prefix) if prefix.contains('\0'))
}
