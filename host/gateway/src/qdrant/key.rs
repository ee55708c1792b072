//! Keys of payloads: `owner."first name"`, `tags[]`, `rows[0].name`.

use tamis_core::decision::Path;

use crate::answer::Refusal;

/// A longer key is refused; Qdrant's own are short.
const MAX_KEY: usize = 1024;

/// The names along a key. What `[]` and `[0]` pick of an array is left out: whatever is asked of an element is asked of the array.
pub(super) fn path(key: &str) -> Result<Path, Refusal> {
    read(key).ok_or_else(|| Refusal::bad(format!("`{key}` is no key of a payload")))
}

fn read(key: &str) -> Option<Path> {
    if key.len() > MAX_KEY {
        return None;
    }
    let mut path = Path::new();
    let mut rest = key;
    loop {
        let (name, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => rest.split_at(rest.find(['.', '[', '"']).unwrap_or(rest.len())),
        };
        let bare = !rest.starts_with('"');
        if name.contains('\\') {
            return None;
        }
        if bare && (name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || "_-".contains(c))) {
            return None;
        }
        path.push(name.to_owned());
        rest = after;
        while let Some(inside) = rest.strip_prefix('[') {
            let (index, after) = inside.split_once(']')?;
            if !index.chars().all(|c| c.is_ascii_digit()) {
                return None;
            }
            rest = after;
        }
        if rest.is_empty() {
            return Some(path);
        }
        rest = rest.strip_prefix('.')?;
    }
}

/// Whether one of two paths lies in the other.
pub(super) fn overlap(one: &[String], other: &[String]) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_paths() {
        for (key, expected) in [
            ("a", vec!["a"]),
            ("owner.team", vec!["owner", "team"]),
            ("owner.\"first name\"", vec!["owner", "first name"]),
            ("\"a.b\"", vec!["a.b"]),
            ("tags[]", vec!["tags"]),
            ("rows[0].name", vec!["rows", "name"]),
            ("rows[][1].\"x\"[]", vec!["rows", "x"]),
            ("größe", vec!["größe"]),
        ] {
            assert_eq!(path(key).unwrap(), expected, "{key}");
        }
    }

    #[test]
    fn what_qdrant_might_read_otherwise_is_refused() {
        for key in [
            "", ".", "a.", ".a", "a..b", "a[", "a]", "a[x]", "a[-1]", "\"a", "a\"b\"", "a[]b", "a b", "a\\b",
            "\"a\"b",
        ] {
            assert!(path(key).is_err(), "{key}");
        }
    }
}
