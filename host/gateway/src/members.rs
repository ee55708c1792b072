//! Reading a client's JSON strictly: what nobody took is refused.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use crate::answer::Refusal;

/// What a map takes for its first members, a member beside the others, and a text; about.
const OBJECT: usize = 640;
const MEMBER: usize = 96;
const TEXT: usize = 32;
/// What each value takes. It depends on whether maps keep their order.
const VALUE: usize = size_of::<Json>();
/// JSON may take so many times its longest text: as much as a list of digits. One of small objects would take several times that.
const SWELLING: usize = VALUE / 2 + 4;

/// Refuses JSON that would take many times the memory that texts of up to `limit` bytes commonly do, before it is read.
pub(crate) fn check_weight(text: &[u8], limit: usize) -> Result<(), Refusal> {
    if weight(text) <= limit.saturating_mul(SWELLING) {
        return Ok(());
    }
    Err(Refusal::too_much("there are too many values, or too small ones, in this JSON"))
}

/// Bytes that a text of JSON takes once it is read, about.
fn weight(text: &[u8]) -> usize {
    let (mut inside, mut escaped) = (false, false);
    let of_byte = |byte: &u8| match (inside, byte) {
        (true, _) if escaped => {
            escaped = false;
            0
        }
        (true, b'\\') => {
            escaped = true;
            0
        }
        (_, b'"') => {
            inside = !inside;
            TEXT / 2
        }
        (false, b'{') => OBJECT,
        (false, b':') => MEMBER,
        (false, b'[' | b',') => VALUE,
        _ => 0,
    };
    text.len() + text.iter().map(of_byte).sum::<usize>()
}

/// The members of an object that are yet to be read. A null member is an absent one, as for Qdrant.
#[derive(Debug)]
pub(crate) struct Members {
    place: String,
    rest: Map<String, Json>,
}

impl Members {
    /// The members of what a client sent.
    pub(crate) fn of_body(body: &[u8]) -> Result<Self, Refusal> {
        let text = std::str::from_utf8(body).map_err(|_| Refusal::bad("the body is not UTF-8"))?;
        let json = tamis_core::input::parse_json(text)
            .map_err(|error| Refusal::bad(format!("the body is not what it should be: {error}")))?;
        Self::of(json, "the body")
    }

    /// The members of an object at `place`.
    pub(crate) fn of(json: Json, place: impl Into<String>) -> Result<Self, Refusal> {
        let place = place.into();
        match json {
            Json::Object(rest) => Ok(Self { place, rest }),
            _ => Err(Refusal::bad(format!("{place} is no object"))),
        }
    }

    /// A member as it is.
    pub(crate) fn json(&mut self, name: &str) -> Option<Json> {
        self.rest.remove(name).filter(|json| !json.is_null())
    }

    /// A member of some type.
    pub(crate) fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>, Refusal> {
        let Some(json) = self.json(name) else { return Ok(None) };
        match serde_json::from_value(json) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(Refusal::bad(format!("{}: {error}", self.place_of(name)))),
        }
    }

    /// A member that must be there.
    pub(crate) fn need(&mut self, name: &str) -> Result<Json, Refusal> {
        self.json(name).ok_or_else(|| Refusal::bad(format!("{} is missing", self.place_of(name))))
    }

    /// Where a member is, for people.
    pub(crate) fn place_of(&self, name: &str) -> String {
        format!("{}, `{name}`", self.place)
    }

    /// The names of what nobody took.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.rest.iter().filter(|(_, json)| !json.is_null()).map(|(name, _)| name.as_str())
    }

    /// Refuses what nobody took. Null is as good as nothing.
    pub(crate) fn end(self) -> Result<(), Refusal> {
        match self.rest.into_iter().find(|(_, json)| !json.is_null()) {
            None => Ok(()),
            Some((name, _)) => {
                Err(Refusal::forbidden(format!("{}: `{name}` is not served by this gateway", self.place)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_swells_is_refused() {
        const LIMIT: usize = 1 << 16;
        let filled = |part: &str| format!("[{}1]", part.repeat(LIMIT / part.len() - 2));
        let point = format!(
            "{{\"id\":1,\"vector\":{:?},\"payload\":{{\"tenant\":\"a\",\"text\":\"words\"}}}},",
            [0.5; 32]
        );
        for (text, taken) in [
            (filled("0,"), true),
            (filled("0.25,"), true),
            (format!("[\"{}\"]", "{,:\\\"[".repeat(LIMIT / 8)), true),
            (filled("\"a text\","), true),
            (filled(&point), true),
            (filled("{\"\":0},"), false),
            (filled("{\"a\":{\"b\":{\"c\":0}}},"), false),
        ] {
            assert!(text.len() <= LIMIT);
            assert_eq!(
                check_weight(text.as_bytes(), LIMIT).is_ok(),
                taken,
                "{}",
                text.get(..40).unwrap_or_default()
            );
        }
    }
}
