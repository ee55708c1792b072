//! LanceDB, over a table with a column for each attribute.
//!
//! A column is `string`, `int64`, `float64` or `bool`, or a list of these, as its attribute's declared type is stored
//! (`tamis_core::normal`), and null where the attribute is absent; an attribute within another may be a field of a structure. The
//! columns of type and id are `string`, that of ancestors is a list of them.
//!
//! LanceDB takes a text without parameters. So values become literals, all of them in [`literal`], and a name that is not letters,
//! digits and underscores is left out. Every rendered test is true or false and never null, so that NOT is plain complement.
//!
//! All that the plan asks for is exact where the filter declares a type. Where it declares none, the test is wider: the column may be
//! of any type, and LanceDB refuses a value of another one.

use tamis_core::Filter;

use crate::fields::Fields;
use crate::plan::{Atom, Field, Limits, Scalar, Verdict};
use crate::sql::{self, Language, Writer, has_null_character, operator};
use crate::{Dialect, Translation, is_identifier};

/// A table that holds chunks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LanceDb {
    /// Columns, or paths into columns of structures.
    pub fields: Fields,
}

impl Dialect for LanceDb {
    type Native = String;

    fn name(&self) -> &'static str {
        "lancedb"
    }

    fn translate(&self, filter: &Filter) -> Translation<String> {
        let Translation { native, widened } = sql::translate(self, filter, &self.fields);
        Translation { native: native.text, widened }
    }
}

impl Language for LanceDb {
    const NAME: &'static str = "LanceDB";
    const TRUE: &'static str = "TRUE";
    const FALSE: &'static str = "FALSE";
    /// The parser gives up at 50 levels, of which a connective takes two and a single test some; beyond, what it takes to refuse a
    /// filter grows eightfold every four levels, to minutes. 100 000 values are a megabyte and take a second.
    const LIMITS: Limits = Limits { list: 100_000, values: 100_000, depth: 16 };

    /// There are no parameters.
    fn mark(_: usize) -> String {
        Self::FALSE.to_owned()
    }

    fn judge(&self, field: &Field, atom: &Atom, typed: bool) -> Verdict {
        let is_written = match field {
            Field::Column(name) => is_identifier(name),
            Field::Attribute(path) => path.iter().all(|name| is_identifier(name)),
        };
        if !is_written {
            return Verdict::Inexpressible("a name that is not letters, digits and underscores".to_owned());
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
            Field::Column(name) => format!("`{name}`"),
            Field::Attribute(path) => {
                path.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(".")
            }
        };
        writer.count(atom.values().len());
        writer.text(&format!("{column} IS NOT NULL{}", test(&column, atom)));
    }
}

/// What must hold of a column that is not null, after ` AND `.
fn test(column: &str, atom: &Atom) -> String {
    // One element that is null makes the whole set unreadable.
    let is_whole = || format!(" AND array_position({column}, NULL) IS NULL");
    match atom {
        Atom::Present | Atom::Is(_) => String::new(),
        Atom::IsArray(_) => is_whole(),
        Atom::OneOf(values) => match values.as_slice() {
            [value] => format!(" AND {column} = {}", literal(value)),
            values => format!(" AND {column} IN ({})", literals(values)),
        },
        Atom::Compare(comparison, bound) => {
            format!(" AND {column}{}{}", operator(*comparison), literal(bound))
        }
        Atom::ContainsAny(values, _) => {
            format!("{} AND array_has_any({column}, [{}])", is_whole(), literals(values))
        }
        Atom::ContainsAll(values, _) => {
            format!("{} AND array_has_all({column}, [{}])", is_whole(), literals(values))
        }
        Atom::StartsWith(prefix) => {
            format!(" AND starts_with({column}, {})", literal(&Scalar::Text(prefix.clone())))
        }
    }
}

fn literals(values: &[Scalar]) -> String {
    values.iter().map(literal).collect::<Vec<_>>().join(", ")
}

/// A value as SQL reads it. Within a text only the quote that ends it means anything, and two of them are one that does not;
/// backslashes are themselves.
fn literal(value: &Scalar) -> String {
    match value {
        Scalar::Text(text) => format!("'{}'", text.replace('\'', "''")),
        // Its number without the sign is no 64-bit number; the parser makes it a float, which equals it.
        Scalar::Integer(i64::MIN) => format!("CAST({} AS BIGINT)", i64::MIN),
        Scalar::Integer(number) => number.to_string(),
        // With a point, whatever the number: without one it is no float.
        Scalar::Number(number) => format!("{number:?}"),
        Scalar::Boolean(true) => "TRUE".to_owned(),
        Scalar::Boolean(false) => "FALSE".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn translated(filter: &str) -> Translation<String> {
        let fields = Fields { admitted: true, ..Fields::default() };
        LanceDb { fields }.translate(&Filter::from_json(filter).unwrap())
    }

    #[test]
    fn filters_become_texts() {
        for (filter, text) in [
            (r#"{"op":"always"}"#, "TRUE"),
            (r#"{"op":"never"}"#, "FALSE"),
            (r#"{"op":"one-of","attr":["t"],"type":"String","values":[]}"#, "FALSE"),
            (r#"{"op":"not","arg":{"op":"exists","attr":["t"]}}"#, "NOT (`t` IS NOT NULL)"),
            (
                r#"{"op":"equals","attr":["o","user"],"type":"String","value":"x' OR 'y\\' -- "}"#,
                r"(`o`.`user` IS NOT NULL AND `o`.`user` = 'x'' OR ''y\'' -- ')",
            ),
            (
                r#"{"op":"less","attr":["d"],"type":"decimal","value":{"__extn":{"fn":"decimal","arg":"2.0"}}}"#,
                "(`d` IS NOT NULL AND `d` < 2.0)",
            ),
            (
                r#"{"op":"one-of","attr":["n"],"type":"Long","values":[-9223372036854775808,-5]}"#,
                "(`n` IS NOT NULL AND `n` IN (CAST(-9223372036854775808 AS BIGINT), -5))",
            ),
            (
                r#"{"op":"contains-all","attr":["s"],"type":"Set<Bool>","values":[true,false]}"#,
                "(`s` IS NOT NULL AND array_position(`s`, NULL) IS NULL AND array_has_all(`s`, [TRUE, FALSE]))",
            ),
            (
                r#"{"op":"contains-any","on":"ancestors","values":[{"__entity":{"type":"F","id":"it's"}}]}"#,
                r#"(`ancestors` IS NOT NULL AND array_position(`ancestors`, NULL) IS NULL AND array_has_any(`ancestors`, ['["F","it''s"]']))"#,
            ),
            (
                r#"{"op":"starts-with","attr":["t"],"type":"String","value":"'%"}"#,
                "(`t` IS NOT NULL AND starts_with(`t`, '''%'))",
            ),
        ] {
            let translation = translated(filter);
            assert_eq!(translation.native, text, "{filter}");
            assert_eq!(translation.widened, [""; 0], "{filter}");
        }
    }

    #[test]
    fn a_literal_ends_where_its_value_ends() {
        for text in ["", "'", "''", "'''", "\\'", "a'b'c", "' OR TRUE --", "\u{2019}", "\n"] {
            let literal = literal(&Scalar::Text(text.to_owned()));
            let inner = literal.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).unwrap();
            assert_eq!(inner.split("''").map(|part| part.contains('\'')).max(), Some(false), "{literal}");
            assert_eq!(inner.replace("''", "'"), text);
        }
    }

    #[test]
    fn what_cannot_be_said_is_left_out_with_its_reason() {
        for (filter, text, reason) in [
            (r#"{"op":"exists","attr":["a`b"]}"#, "TRUE", "letters, digits and underscores"),
            (r#"{"op":"exists","attr":["a","b c"]}"#, "TRUE", "letters, digits and underscores"),
            (r#"{"op":"exists","attr":[""]}"#, "TRUE", "letters, digits and underscores"),
            (r#"{"op":"equals","attr":["a"],"type":"String","value":"\u0000"}"#, "TRUE", "U+0000"),
            (
                r#"{"op":"equals","attr":["a"],"value":"5"}"#,
                "(`a` IS NOT NULL AND `a` = '5')",
                "none is declared",
            ),
            (r#"{"op":"not","arg":{"op":"equals","attr":["a"],"value":"5"}}"#, "TRUE", "none is declared"),
        ] {
            let translation = translated(filter);
            assert_eq!(translation.native, text, "{filter}");
            assert!(translation.widened.iter().any(|left_out| left_out.contains(reason)), "{filter}");
        }
    }

    #[test]
    fn what_is_too_deep_or_too_long_is_left_out() {
        let exists = |name: &str| json!({"op":"exists","attr":[name]});
        let nested = |levels: usize| {
            (0..levels).fold(exists("a"), |inner, level| {
                let op = if level % 2 == 0 { "and" } else { "or" };
                json!({"op":op,"args":[exists("b"), inner]})
            })
        };
        assert!(translated(&nested(16).to_string()).is_exact());
        let translation = translated(&nested(17).to_string());
        assert_eq!(translation.widened, ["a part that is too large for LanceDB"]);
        assert_eq!(translation.native, "(`b` IS NOT NULL)");
        let many: Vec<usize> = (0..100_001).collect();
        let filter = json!({"op":"one-of","attr":["n"],"type":"Long","values":many});
        assert_eq!(translated(&filter.to_string()).native, "TRUE");
    }
}
