//! The `like` operator.

/// Stands for any run of characters in a pattern; no character has this number.
pub const WILDCARD: u32 = u32::MAX;

/// Whether `text` matches a pattern of characters and wildcards.
///
/// Goes back to the last wildcard only, so the time is bounded by the product of both lengths.
pub fn matches(text: &str, pattern: impl Iterator<Item = u32> + Clone) -> bool {
    let mut text = text.chars();
    let mut pattern = pattern;
    // Behind the last wildcard, and the text that is left when it stands for one character more.
    let mut retry = None;
    loop {
        match pattern.next() {
            Some(WILDCARD) => retry = Some((pattern.clone(), text.clone())),
            Some(wanted) => {
                if text.next().map(u32::from) == Some(wanted) {
                    continue;
                }
                match back(&mut retry) {
                    Some((again, left)) => (pattern, text) = (again, left),
                    None => return false,
                }
            }
            None if text.as_str().is_empty() => return true,
            None => match back(&mut retry) {
                Some((again, left)) => (pattern, text) = (again, left),
                None => return false,
            },
        }
    }
}

/// Lets the last wildcard stand for one character more; `None` if the text has no more.
fn back<'a, P: Clone>(retry: &mut Option<(P, core::str::Chars<'a>)>) -> Option<(P, core::str::Chars<'a>)> {
    let (pattern, text) = retry.as_mut()?;
    text.next()?;
    Some((pattern.clone(), text.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_for_any_run() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("**", "", true),
            ("*", "abc", true),
            ("a*", "abc", true),
            ("a*", "bac", false),
            ("*c", "abc", true),
            ("*b*", "abc", true),
            ("*ab", "aab", true),
            ("a*b*c", "aXbXbc", true),
            ("a*b*c", "aXbXbd", false),
            ("é*", "été", true),
            ("a", "", false),
            ("*a", "aaaa", true),
            ("*aab", "aaab", true),
            ("ab", "abc", false),
        ] {
            let wanted: Vec<u32> =
                pattern.chars().map(|c| if c == '*' { WILDCARD } else { u32::from(c) }).collect();
            assert_eq!(matches(text, wanted.iter().copied()), expected, "{pattern} {text}");
        }
    }
}
