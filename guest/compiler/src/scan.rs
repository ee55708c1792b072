//! A look at the source before Cedar's parser sees it: what would nest too deep is refused here.
//!
//! The parser and everything behind it recurse along the source, so what they are given must be bounded. This counts brackets and
//! operators; it need not understand them.

/// Source texts are at most this long, in bytes. Ten thousand policies are some two megabytes.
pub(crate) const MAX_BYTES: usize = 16 << 20;
/// Brackets nest at most this deep.
const MAX_BRACKETS: usize = 200;
/// Signs and words of operators in one policy; each may be one level deep in the syntax tree. With [`crate::front::STACK`] this leaves
/// thirteen kilobytes for each.
const MAX_OPERATORS: usize = 20_000;
/// Words that are operators.
const OPERATORS: [&str; 5] = ["if", "in", "has", "like", "is"];

/// Where a source text asks for too much, in bytes, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) at: usize,
    pub(crate) message: String,
}

/// Checks a source text.
pub(crate) fn check(source: &str) -> Result<(), Refusal> {
    if source.len() > MAX_BYTES {
        let message = format!("the source is {} bytes long; at most {MAX_BYTES} are allowed", source.len());
        return Err(Refusal { at: 0, message });
    }
    let (mut brackets, mut operators) = (0_usize, 0_usize);
    for (at, token) in (Tokens { source, at: 0 }) {
        let sign = match token {
            Token::Text => continue,
            Token::Word(word) if !OPERATORS.contains(&word) => continue,
            Token::Word(_) => b'.',
            Token::Sign(sign) => sign,
        };
        match sign {
            b'(' | b'[' | b'{' => {
                brackets += 1;
                if brackets > MAX_BRACKETS {
                    return Err(Refusal {
                        at,
                        message: format!("brackets nest deeper than {MAX_BRACKETS} levels"),
                    });
                }
            }
            b')' | b']' | b'}' => brackets = brackets.saturating_sub(1),
            b';' if brackets == 0 => operators = 0,
            b',' | b';' | b':' => {}
            _ => {
                operators += 1;
                if operators > MAX_OPERATORS {
                    let message =
                        format!("a policy has more than {MAX_OPERATORS} signs and words of operators");
                    return Err(Refusal { at, message });
                }
            }
        }
    }
    Ok(())
}

enum Token<'a> {
    Word(&'a str),
    Text,
    Sign(u8),
}

/// Every token with its place.
struct Tokens<'a> {
    source: &'a str,
    at: usize,
}

impl<'a> Iterator for Tokens<'a> {
    type Item = (usize, Token<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.source.as_bytes();
        let of_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
        loop {
            let start = self.at;
            let first = *bytes.get(start)?;
            self.at += 1;
            match first {
                b' ' | b'\t' | b'\n' | b'\r' => {}
                b'/' if bytes.get(self.at) == Some(&b'/') => {
                    while bytes.get(self.at).is_some_and(|byte| *byte != b'\n') {
                        self.at += 1;
                    }
                }
                b'"' => {
                    while let Some(byte) = bytes.get(self.at) {
                        self.at += if *byte == b'\\' { 2 } else { 1 };
                        if *byte == b'"' {
                            break;
                        }
                    }
                    return Some((start, Token::Text));
                }
                first if of_word(first) => {
                    while bytes.get(self.at).is_some_and(|byte| of_word(*byte)) {
                        self.at += 1;
                    }
                    return Some((start, Token::Word(self.source.get(start..self.at).unwrap_or_default())));
                }
                sign => return Some((start, Token::Sign(sign))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(source: &str) -> bool {
        check(source).is_err()
    }

    #[test]
    fn what_nests_too_deep_is_refused() {
        let wrap = |open: &str, close: &str, depth: usize| {
            format!(
                "permit(principal, action, resource) when {{ {}1{} }};",
                open.repeat(depth),
                close.repeat(depth)
            )
        };
        for (open, close) in
            [("(", ")"), ("[", "]"), ("{a:", "}"), ("!", ""), ("-", ""), ("if a then b else ", "")]
        {
            assert!(refused(&wrap(open, close, 100_000)), "{open}");
            assert!(!refused(&wrap(open, close, 150)), "{open}");
        }
        for chain in ["1 + ", "a && ", "a.b == "] {
            assert!(refused(&wrap(chain, "", 100_000)), "{chain}");
            assert!(!refused(&wrap(chain, "", 1_000)), "{chain}");
        }
    }

    #[test]
    fn many_policies_and_long_lists_are_fine() {
        let policies = "permit(principal, action, resource) when { a && b };\n".repeat(10_000);
        assert_eq!(check(&policies), Ok(()));
        let list = format!(
            "permit(principal, action, resource) when {{ [{}].isEmpty() }};",
            "A::B::\"x\",".repeat(100_000)
        );
        assert_eq!(check(&list), Ok(()));
    }

    #[test]
    fn strings_and_comments_are_not_looked_into() {
        let deep = "(".repeat(1000);
        assert_eq!(check(&format!("// {deep}\n \"{deep} \\\" {deep}\" x")), Ok(()));
        assert!(refused(&format!("// x\n{deep}")));
        assert!(!refused(&format!("\"{deep}")), "an open string ends with the source");
    }
}
