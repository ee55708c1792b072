//! Types of attributes, in the notation that policies declare them in.
//!
//! ```text
//! type   = "Bool" | "Long" | "String" | "decimal" | "datetime" | "duration" | "ipaddr"
//!        | "Set<" type ">" | "Entity<" name ">" | "{" [ field { "," field } ] "}"
//! field  = ( identifier | JSON string ) [ "?" ] ":" type          "?": the field may be absent
//! name   = identifier { "::" identifier }
//! ```
//!
//! White space may stand between any two tokens.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Types nest at most this deep. Real schemas stay under five; the limit keeps the reader's recursion small.
const MAX_DEPTH: usize = 32;

/// The type that a stored value is read as.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Type {
    /// True or false.
    Bool,
    /// A whole number.
    Long,
    /// Any text.
    String,
    /// A decimal number with up to four digits behind the point.
    Decimal,
    /// A point in time.
    Datetime,
    /// A span of time.
    Duration,
    /// An IP address or range.
    Ip,
    /// An entity of the named type.
    Entity(String),
    /// A set whose elements all have one type.
    Set(Box<Type>),
    /// A record with exactly these fields.
    Record(BTreeMap<String, FieldType>),
}

/// The type of a record's field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldType {
    /// The type of the value.
    pub field_type: Type,
    /// Whether the field may be absent.
    pub optional: bool,
}

/// Text that is not a type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a type: {message} at byte {at}")]
pub struct TypeError {
    text: String,
    at: usize,
    message: String,
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("Bool"),
            Self::Long => f.write_str("Long"),
            Self::String => f.write_str("String"),
            Self::Decimal => f.write_str("decimal"),
            Self::Datetime => f.write_str("datetime"),
            Self::Duration => f.write_str("duration"),
            Self::Ip => f.write_str("ipaddr"),
            Self::Entity(name) => write!(f, "Entity<{name}>"),
            Self::Set(element) => write!(f, "Set<{element}>"),
            Self::Record(fields) => {
                f.write_str("{")?;
                for (index, (name, field)) in fields.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    let mark = if field.optional { "?" } else { "" };
                    if is_identifier(name) {
                        write!(f, "{comma}{name}{mark}: {}", field.field_type)?;
                    } else {
                        let quoted = serde_json::Value::String(name.clone());
                        write!(f, "{comma}{quoted}{mark}: {}", field.field_type)?;
                    }
                }
                f.write_str("}")
            }
        }
    }
}

impl FromStr for Type {
    type Err = TypeError;

    fn from_str(text: &str) -> Result<Self, TypeError> {
        let mut reader = Reader { text, rest: text };
        let parsed = reader.read_type(0)?;
        reader.skip_space();
        if reader.rest.is_empty() { Ok(parsed) } else { Err(reader.error("something follows the type")) }
    }
}

fn is_identifier(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn error(&self, message: impl Into<String>) -> TypeError {
        let at = self.text.len() - self.rest.len();
        TypeError { text: self.text.chars().take(80).collect(), at, message: message.into() }
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, token: &str) -> bool {
        self.skip_space();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: &str) -> Result<(), TypeError> {
        if self.take(token) { Ok(()) } else { Err(self.error(format!("`{token}` is missing"))) }
    }

    fn identifier(&mut self) -> Result<&'a str, TypeError> {
        self.skip_space();
        let end =
            self.rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        if !is_identifier(word) {
            return Err(self.error("a name is missing"));
        }
        self.rest = rest;
        Ok(word)
    }

    fn read_type(&mut self, depth: usize) -> Result<Type, TypeError> {
        if depth > MAX_DEPTH {
            return Err(self.error("it nests too deep"));
        }
        if self.take("{") {
            return self.read_record(depth);
        }
        let before = self.rest;
        let word = self.identifier()?;
        Ok(match word {
            "Bool" => Type::Bool,
            "Long" => Type::Long,
            "String" => Type::String,
            "decimal" => Type::Decimal,
            "datetime" => Type::Datetime,
            "duration" => Type::Duration,
            "ipaddr" => Type::Ip,
            "Set" => {
                self.expect("<")?;
                let element = self.read_type(depth + 1)?;
                self.expect(">")?;
                Type::Set(Box::new(element))
            }
            "Entity" => {
                self.expect("<")?;
                let mut name = self.identifier()?.to_owned();
                while self.take("::") {
                    name.push_str("::");
                    name.push_str(self.identifier()?);
                }
                self.expect(">")?;
                Type::Entity(name)
            }
            unknown => {
                self.rest = before;
                return Err(self.error(format!(
                    "`{unknown}` is none of Bool, Long, String, decimal, datetime, duration, ipaddr, Set<…>, \
                     Entity<…>"
                )));
            }
        })
    }

    fn read_record(&mut self, depth: usize) -> Result<Type, TypeError> {
        let mut fields = BTreeMap::new();
        if self.take("}") {
            return Ok(Type::Record(fields));
        }
        loop {
            let name = self.read_field_name()?;
            let optional = self.take("?");
            self.expect(":")?;
            let field_type = self.read_type(depth + 1)?;
            if fields.insert(name, FieldType { field_type, optional }).is_some() {
                return Err(self.error("a field occurs twice"));
            }
            if !self.take(",") {
                self.expect("}")?;
                return Ok(Type::Record(fields));
            }
        }
    }

    fn read_field_name(&mut self) -> Result<String, TypeError> {
        self.skip_space();
        if !self.rest.starts_with('"') {
            return self.identifier().map(str::to_owned);
        }
        let mut names = serde_json::Deserializer::from_str(self.rest).into_iter::<String>();
        let name = names
            .next()
            .and_then(Result::ok)
            .ok_or_else(|| self.error("a quoted name is not a JSON string"))?;
        self.rest = self.rest.get(names.byte_offset()..).unwrap_or("");
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_reads_back_as_written() {
        for text in [
            "Bool",
            "Long",
            "String",
            "decimal",
            "datetime",
            "duration",
            "ipaddr",
            "Entity<User>",
            "Entity<Acme::Hr::User>",
            "Set<String>",
            "Set<Set<Entity<Group>>>",
            "{}",
            "{a: Long, b?: Set<{c: Bool}>}",
            r#"{"\"?": String, "a b": Long}"#,
        ] {
            assert_eq!(text.parse::<Type>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn white_space_is_free() {
        let spaced = " Set <\n Entity < A :: B > > ".parse::<Type>().unwrap();
        assert_eq!(spaced, Type::Set(Box::new(Type::Entity("A::B".into()))));
    }

    #[test]
    fn what_is_no_type_is_refused_with_its_place() {
        for (text, message) in [
            ("", "`` is not a type: a name is missing at byte 0"),
            (
                "string",
                "`string` is not a type: `string` is none of Bool, Long, String, decimal, datetime, duration, ipaddr, Set<…>, Entity<…> at byte 0",
            ),
            ("Set<String", "`Set<String` is not a type: `>` is missing at byte 10"),
            ("Long Long", "`Long Long` is not a type: something follows the type at byte 5"),
            ("Entity<>", "`Entity<>` is not a type: a name is missing at byte 7"),
            ("{a: Long, a: Bool}", "`{a: Long, a: Bool}` is not a type: a field occurs twice at byte 17"),
            ("{\"a: Long}", "`{\"a: Long}` is not a type: a quoted name is not a JSON string at byte 1"),
        ] {
            assert_eq!(text.parse::<Type>().unwrap_err().to_string(), message);
        }
        let deep = format!("{}Long{}", "Set<".repeat(1000), ">".repeat(1000));
        assert!(deep.parse::<Type>().unwrap_err().to_string().contains("too deep"));
    }
}
