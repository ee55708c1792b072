//! The error of all parsers of extension values.

use thiserror::Error;

/// The longest excerpt of a refused text that an error shows, in characters: enough for every well-formed value.
const EXCERPT_CHARACTERS: usize = 60;

/// A text that is not the extension value it was read as.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("expected {expected}, found `{found}`")]
pub struct ParseError {
    expected: &'static str,
    found: String,
}

impl ParseError {
    /// Says that `expected` was wanted where `text` stood, of which at most 60 characters are kept.
    pub(super) fn new(expected: &'static str, text: &str) -> Self {
        Self { expected, found: excerpt(text) }
    }
}

/// The start of `text`, on one line: control characters escaped, and `…` where the rest is left out.
fn excerpt(text: &str) -> String {
    let mut shown = String::new();
    let mut characters = text.chars();
    for character in characters.by_ref().take(EXCERPT_CHARACTERS) {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    if characters.next().is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
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
