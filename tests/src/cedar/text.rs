//! Texts and names as Cedar writes them.

/// Words that no attribute can be accessed by with a dot.
const RESERVED: &[&str] = &["true", "false", "if", "then", "else", "in", "is", "like", "has", "__cedar"];

/// Whether the name can stand after a dot.
pub fn is_identifier(name: &str) -> bool {
    let mut chars = name.chars();
    let first = chars.next().is_some_and(|first| first == '_' || first.is_ascii_alphabetic());
    let rest = chars.all(|char| char == '_' || char.is_ascii_alphanumeric());
    first && rest && !RESERVED.contains(&name)
}

/// The text in quotes, with escapes where they are needed.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text))
}

/// The text as it stands between quotes.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '"' => escaped.push_str("\\\""),
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            '\0' => escaped.push_str("\\0"),
            char if char.is_control() => escaped.extend(char.escape_unicode()),
            char => escaped.push(char),
        }
    }
    escaped
}
