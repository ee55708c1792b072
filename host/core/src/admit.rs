//! The first half of the admit gate: a chunk must carry, readable, what the policy will ask of it later.

use crate::chunk::Chunk;
use crate::decision::path_text;
use crate::manifest::FootprintAttribute;
use crate::metadata;

/// Everything that keeps `chunk` from being decided on later: footprint attributes that are missing or ill-typed.
/// Empty if there is nothing.
///
/// A chunk that passes here may still be denied by the policy under the action `index`.
pub fn footprint_faults(chunk: &Chunk, footprint: &[FootprintAttribute]) -> Vec<String> {
    let fault = |entry: &FootprintAttribute| {
        let name = path_text(&entry.attribute.path);
        match chunk.read(&entry.attribute.path, entry.attribute.declared.as_ref()) {
            None if entry.optional => None,
            None => Some(format!("attribute `{name}` is missing")),
            Some(value) => {
                let misshapen = || {
                    let stored = chunk.stored(&entry.attribute.path)?;
                    metadata::misshapen(stored, entry.attribute.declared.as_ref()?)
                };
                let reason = value.ill_typed().map(str::to_owned).or_else(misshapen)?;
                Some(format!("attribute `{name}` is ill-typed: {reason}"))
            }
        }
    };
    footprint.iter().filter_map(fault).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::Attribute;

    fn entry(path: &[&str], declared: Option<&str>, optional: bool) -> FootprintAttribute {
        let path = path.iter().map(ToString::to_string).collect();
        let declared = declared.map(|text| text.parse().unwrap());
        FootprintAttribute { attribute: Attribute { path, declared }, optional }
    }

    #[test]
    fn missing_and_ill_typed_attributes_are_faults() {
        let footprint = [
            entry(&["tenant"], Some("String"), false),
            entry(&["level"], Some("Long"), false),
            entry(&["owner", "team"], None, true),
            entry(&["place"], Some("{room: Long, seat?: {row: Long}}"), true),
        ];
        for (attributes, faults) in [
            (r#"{"tenant":"a","level":1}"#, vec![]),
            (r#"{"tenant":"a","level":1,"other":1.5}"#, vec![]),
            (r#"{"tenant":"a","level":null}"#, vec!["attribute `level` is missing"]),
            (r#"{"tenant":"a","level":1,"place":{"room":1,"seat":{"row":2}}}"#, vec![]),
            (
                r#"{"tenant":"a","level":1,"place":{"seat":{"row":2}}}"#,
                vec!["attribute `place` is ill-typed: a record without the field `room`"],
            ),
            (
                r#"{"tenant":"a","level":1,"place":{"room":1,"seat":{"row":2,"x":1}}}"#,
                vec!["attribute `place` is ill-typed: a record with the undeclared field `x`"],
            ),
            (
                r#"{"level":"1","owner":{"team":1.5}}"#,
                vec![
                    "attribute `tenant` is missing",
                    "attribute `level` is ill-typed: a string where Long is declared",
                    "attribute `owner.team` is ill-typed: the number 1.5 is not a 64-bit whole number",
                ],
            ),
        ] {
            let chunk = Chunk::from_json(&format!(r#"{{"id":"c","attributes":{attributes}}}"#)).unwrap();
            assert_eq!(footprint_faults(&chunk, &footprint), faults, "{attributes}");
        }
    }
}
