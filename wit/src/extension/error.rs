//! The error of all parsers of extension values.

use alloc::string::String;
use core::error::Error;
use core::fmt::{self, Write as _};

/// The longest excerpt of a refused text that an error shows, on one line, with control characters escaped and `…` where the
/// rest is left out: enough for every well-formed value.
const EXCERPT_CHARACTERS: usize = 60;

/// A text that is not the extension value it was read as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    expected: &'static str,
    found: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "expected {}, found `", self.expected)?;
        let mut characters = self.found.chars();
        for character in characters.by_ref().take(EXCERPT_CHARACTERS) {
            if character.is_control() {
                write!(formatter, "{}", character.escape_default())?;
            } else {
                formatter.write_char(character)?;
            }
        }
        if characters.next().is_some() {
            formatter.write_char('…')?;
        }
        formatter.write_char('`')
    }
}

impl Error for ParseError {}

impl ParseError {
    /// What was expected.
    pub fn expected(&self) -> &'static str {
        self.expected
    }

    /// Says that `expected` was wanted where `text` stood, of which no more is kept than an error shows.
    pub(super) fn new(expected: &'static str, text: &str) -> Self {
        Self { expected, found: text.chars().take(EXCERPT_CHARACTERS + 1).collect() }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::ToOwned;
    use std::format;
    use std::string::ToString;

    use super::*;

    #[test]
    fn shows_what_was_expected_and_what_was_found() {
        let cases = [
            ("12", "expected a decimal, found `12`".to_owned()),
            ("", "expected a decimal, found ``".to_owned()),
            ("1\n2\0", "expected a decimal, found `1\\n2\\u{0}`".to_owned()),
            (&"é".repeat(60), format!("expected a decimal, found `{}`", "é".repeat(60))),
            (&"é".repeat(61), format!("expected a decimal, found `{}…`", "é".repeat(60))),
        ];
        for (text, message) in cases {
            assert_eq!(ParseError::new("a decimal", text).to_string(), message);
        }
    }
}
