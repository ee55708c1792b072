//! The reference evaluator: what a filter matches. Every dialect is tested against it.

use std::collections::BTreeSet;

use super::{Filter, Operand, Test};
use crate::chunk::Chunk;
use crate::decision::Path;
use crate::value::Value;

impl Filter {
    /// Whether the filter matches the chunk.
    ///
    /// Recursion follows the nesting of the filter, which every reader of filters limits to
    /// [`super::MAX_DEPTH`].
    pub fn matches(&self, chunk: &Chunk) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::And(filters) => filters.iter().all(|filter| filter.matches(chunk)),
            Self::Or(filters) => filters.iter().any(|filter| filter.matches(chunk)),
            Self::Not(filter) => !filter.matches(chunk),
            Self::Test(operand, test) => operand.read(chunk).is_some_and(|value| test.holds(&value)),
        }
    }
}

impl Filter {
    /// Whether the filter matches the chunk whatever the attributes at these paths are. Who may not see an attribute must not learn of it
    /// by asking for chunks that have one value or another of it.
    pub fn matches_whatever(&self, hidden: &BTreeSet<Path>, chunk: &Chunk) -> bool {
        if hidden.is_empty() { self.matches(chunk) } else { self.always_is(true, hidden, chunk) }
    }

    /// Whether this is what the filter comes to, whatever the hidden attributes are.
    fn always_is(&self, wanted: bool, hidden: &BTreeSet<Path>, chunk: &Chunk) -> bool {
        match self {
            Self::Always => wanted,
            Self::Never => !wanted,
            Self::And(filters) if wanted => {
                filters.iter().all(|filter| filter.always_is(true, hidden, chunk))
            }
            Self::And(filters) => filters.iter().any(|filter| filter.always_is(false, hidden, chunk)),
            Self::Or(filters) if wanted => filters.iter().any(|filter| filter.always_is(true, hidden, chunk)),
            Self::Or(filters) => filters.iter().all(|filter| filter.always_is(false, hidden, chunk)),
            Self::Not(filter) => filter.always_is(!wanted, hidden, chunk),
            Self::Test(operand, _) => !operand.is_hidden(hidden) && self.matches(chunk) == wanted,
        }
    }
}

impl Operand {
    /// Whether what it reads is one of these attributes, or a part of one, or has one inside.
    fn is_hidden(&self, hidden: &BTreeSet<Path>) -> bool {
        let Self::Attribute(attribute) = self else { return false };
        let path = &attribute.path;
        hidden.iter().any(|hidden| path.starts_with(hidden) || hidden.starts_with(path))
    }

    fn read(&self, chunk: &Chunk) -> Option<Value> {
        match self {
            Self::Attribute(attribute) => chunk.read(&attribute.path, attribute.declared.as_ref()),
            Self::EntityType => Some(Value::String(chunk.uid.entity_type.clone())),
            Self::Id => Some(Value::Entity(chunk.uid.clone())),
            Self::Ancestors => Some(Value::Set(chunk.ancestors.iter().cloned().map(Value::Entity).collect())),
        }
    }
}

impl Test {
    /// Whether the test holds for a value that is present. It never does for one that cannot be read, except
    /// that it exists.
    fn holds(&self, value: &Value) -> bool {
        if matches!(self, Self::Exists) {
            return true;
        }
        if value.ill_typed().is_some() {
            return false;
        }
        match (self, value) {
            (Self::Exists | Self::Readable, _) => true,
            (Self::Equals(expected), value) => value == expected,
            (Self::OneOf(expected), value) => expected.contains(value),
            (Self::Compare(comparison, bound), value) => {
                value.compare(bound).is_some_and(|ordering| comparison.holds(ordering))
            }
            (Self::ContainsAny(wanted), Value::Set(elements)) => {
                wanted.iter().any(|value| elements.contains(value))
            }
            (Self::ContainsAll(wanted), Value::Set(elements)) => {
                wanted.iter().all(|value| elements.contains(value))
            }
            (Self::StartsWith(prefix), Value::String(text)) => text.starts_with(prefix),
            (Self::ContainsAny(_) | Self::ContainsAll(_) | Self::StartsWith(_), _) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(text: &str) -> Filter {
        Filter::from_json(text).unwrap()
    }

    /// Which of eight chunks match, by number: `t` is 1 `"a"`, 2 `"b"`, 3 null, 4 missing, 5 `"a"`, 6 `["a","b"]`,
    /// 7 `""`, 8 `"A"`.
    fn matched(text: &str) -> Vec<usize> {
        let stored = [r#""a""#, r#""b""#, "null", "", r#""a""#, r#"["a","b"]"#, r#""""#, r#""A""#];
        let filter = filter(text);
        let chunk = |json: &&str| {
            let attributes = if json.is_empty() { String::new() } else { format!(r#""t":{json}"#) };
            Chunk::from_json(&format!(r#"{{"id":"c","attributes":{{{attributes}}}}}"#)).unwrap()
        };
        (1..=8).zip(&stored).filter(|(_, json)| filter.matches(&chunk(json))).map(|(n, _)| n).collect()
    }

    #[test]
    fn hidden_attributes_change_nothing() {
        let chunk = Chunk::from_json(r#"{"id":"c","attributes":{"a":1,"s":5,"o":{"x":1,"y":2}}}"#).unwrap();
        let equals = |path: &str, value: i32| format!(r#"{{"op":"equals","attr":[{path}],"value":{value}}}"#);
        let (a, s) = (equals("\"a\"", 1), equals("\"s\"", 5));
        let not = |inner: &str| format!(r#"{{"op":"not","arg":{inner}}}"#);
        let join = |op: &str, l: &str, r: &str| format!(r#"{{"op":"{op}","args":[{l},{r}]}}"#);
        for (text, hidden, expected) in [
            (a.clone(), "s", true),
            (s.clone(), "s", false),
            (not(&s), "s", false),
            (not(&equals("\"s\"", 6)), "s", false),
            (not(&not(&a)), "s", true),
            (join("or", &a, &s), "s", true),
            (join("or", &not(&a), &s), "s", false),
            (join("and", &a, &s), "s", false),
            (not(&join("and", &not(&a), &s)), "s", true),
            (not(&join("or", &not(&a), &s)), "s", false),
            (join("and", &a, &not(&equals("\"a\"", 2))), "s", true),
            (join("and", &not(&a), &equals("\"a\"", 2)), "s", false),
            (not(&join("or", &not(&a), &equals("\"a\"", 2))), "s", true),
            (not(&join("or", &a, &not(&equals("\"a\"", 2)))), "s", false),
            // Of what the filter matches or not, nothing depends on the hidden part alone.
            (join("or", &s, &not(&s)), "s", false),
            (equals("\"o\",\"x\"", 1), "o", false),
            (r#"{"op":"exists","attr":["o"]}"#.to_owned(), "o.x", false),
            (equals("\"o\",\"y\"", 2), "o.x", true),
            (r#"{"op":"always"}"#.to_owned(), "s", true),
            (r#"{"op":"never"}"#.to_owned(), "s", false),
            (not(r#"{"op":"never"}"#), "s", true),
            (
                r#"{"op":"equals","on":"id","value":{"__entity":{"type":"Chunk","id":"c"}}}"#.to_owned(),
                "s",
                true,
            ),
        ] {
            let hidden: BTreeSet<Path> = [hidden.split('.').map(str::to_owned).collect()].into();
            assert_eq!(filter(&text).matches_whatever(&hidden, &chunk), expected, "{text}");
        }
        assert!(filter(&s).matches_whatever(&BTreeSet::new(), &chunk));
    }

    #[test]
    fn tests_over_missing_null_and_other_types_are_false() {
        for (text, expected) in [
            (r#"{"op":"always"}"#, vec![1, 2, 3, 4, 5, 6, 7, 8]),
            (r#"{"op":"never"}"#, vec![]),
            (r#"{"op":"exists","attr":["t"]}"#, vec![1, 2, 5, 6, 7, 8]),
            (r#"{"op":"readable","attr":["t"],"type":"String"}"#, vec![1, 2, 5, 7, 8]),
            (r#"{"op":"equals","attr":["t"],"value":"a"}"#, vec![1, 5]),
            (r#"{"op":"equals","attr":["t"],"value":["b","a","a"]}"#, vec![6]),
            (r#"{"op":"one-of","attr":["t"],"values":["a","","x"]}"#, vec![1, 5, 7]),
            (r#"{"op":"one-of","attr":["t"],"values":[]}"#, vec![]),
            (r#"{"op":"contains-any","attr":["t"],"values":["b","z"]}"#, vec![6]),
            (r#"{"op":"contains-any","attr":["t"],"values":[]}"#, vec![]),
            (r#"{"op":"contains-all","attr":["t"],"values":["b","a"]}"#, vec![6]),
            (r#"{"op":"contains-all","attr":["t"],"values":[]}"#, vec![6]),
            (r#"{"op":"contains-all","attr":["t"],"values":["b","z"]}"#, vec![]),
            (r#"{"op":"starts-with","attr":["t"],"value":"a"}"#, vec![1, 5]),
            (r#"{"op":"starts-with","attr":["t"],"value":""}"#, vec![1, 2, 5, 7, 8]),
            (r#"{"op":"less","attr":["t"],"value":5}"#, vec![]),
            (
                r#"{"op":"equals","attr":["t"],"type":"Entity<U>","value":{"__entity":{"type":"U","id":"a"}}}"#,
                vec![1, 5],
            ),
            (r#"{"op":"equals","attr":["t"],"value":{"__entity":{"type":"U","id":"a"}}}"#, vec![]),
            (r#"{"op":"equals","attr":["t","x"],"value":"a"}"#, vec![]),
        ] {
            assert_eq!(matched(text), expected, "{text}");
            let complement: Vec<_> = (1..=8).filter(|n| !expected.contains(n)).collect();
            let not = format!(r#"{{"op":"not","arg":{text}}}"#);
            assert_eq!(matched(&not), complement, "{not}");
        }
    }

    #[test]
    fn connectives_are_boolean() {
        let a = r#"{"op":"equals","attr":["t"],"value":"a"}"#;
        let b = r#"{"op":"equals","attr":["t"],"value":"b"}"#;
        assert_eq!(matched(&format!(r#"{{"op":"or","args":[{a},{b}]}}"#)), [1, 2, 5]);
        assert_eq!(matched(&format!(r#"{{"op":"and","args":[{a},{b}]}}"#)), [0; 0]);
        assert_eq!(
            matched(&format!(r#"{{"op":"and","args":[{a},{{"op":"exists","attr":["t"]}}]}}"#)),
            [1, 5]
        );
        assert_eq!(matched(r#"{"op":"and","args":[]}"#).len(), 8);
        assert_eq!(matched(r#"{"op":"or","args":[]}"#).len(), 0);
    }

    #[test]
    fn comparisons_keep_to_their_type() {
        let chunk = Chunk::from_json(r#"{"id":"c","attributes":{"n":5,"f":5.0,"d":"2026-01-01"}}"#).unwrap();
        for (text, expected) in [
            (r#"{"op":"less","attr":["n"],"value":5}"#, false),
            (r#"{"op":"less","attr":["n"],"value":6}"#, true),
            (r#"{"op":"less-or-equal","attr":["n"],"value":5}"#, true),
            (r#"{"op":"less-or-equal","attr":["n"],"value":4}"#, false),
            (r#"{"op":"greater","attr":["n"],"value":5}"#, false),
            (r#"{"op":"greater","attr":["n"],"value":4}"#, true),
            (r#"{"op":"greater-or-equal","attr":["n"],"value":5}"#, true),
            (r#"{"op":"greater-or-equal","attr":["n"],"value":6}"#, false),
            (r#"{"op":"less","attr":["f"],"value":6}"#, false),
            (r#"{"op":"exists","attr":["f"]}"#, true),
            (r#"{"op":"readable","attr":["f"]}"#, false),
            (
                r#"{"op":"less","attr":["f"],"type":"decimal","value":{"__extn":{"fn":"decimal","arg":"5.1"}}}"#,
                true,
            ),
            (
                r#"{"op":"less","attr":["d"],"type":"datetime","value":{"__extn":{"fn":"datetime","arg":"2026-01-02"}}}"#,
                true,
            ),
            (r#"{"op":"less","attr":["d"],"value":{"__extn":{"fn":"datetime","arg":"2026-01-02"}}}"#, false),
        ] {
            assert_eq!(filter(text).matches(&chunk), expected, "{text}");
        }
    }

    #[test]
    fn type_id_and_ancestors_are_operands() {
        let chunk = Chunk::from_json(r#"{"id":"c","parents":[{"type":"Folder","id":"f"}]}"#).unwrap();
        for (text, expected) in [
            (r#"{"op":"equals","on":"entity-type","value":"Chunk"}"#, true),
            (r#"{"op":"equals","on":"entity-type","value":"Folder"}"#, false),
            (r#"{"op":"equals","on":"id","value":{"__entity":{"type":"Chunk","id":"c"}}}"#, true),
            (r#"{"op":"equals","on":"id","value":{"__entity":{"type":"Folder","id":"c"}}}"#, false),
            (
                r#"{"op":"contains-any","on":"ancestors","values":[{"__entity":{"type":"Folder","id":"f"}}]}"#,
                true,
            ),
            (
                r#"{"op":"contains-any","on":"ancestors","values":[{"__entity":{"type":"Chunk","id":"c"}}]}"#,
                false,
            ),
        ] {
            assert_eq!(filter(text).matches(&chunk), expected, "{text}");
        }
    }
}
