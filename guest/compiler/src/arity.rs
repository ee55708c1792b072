//! Calls with too few or too many arguments. Cedar's parser takes them and they fail when they are evaluated; its syntax tree has no
//! place for them. So they are replaced by a call that fails as well.

use serde_json::{Value as Json, json};

/// Functions and methods of the extension types, with the number of their arguments, the one before the dot included.
const FUNCTIONS: &[(&str, usize)] = &[
    ("decimal", 1),
    ("lessThan", 2),
    ("lessThanOrEqual", 2),
    ("greaterThan", 2),
    ("greaterThanOrEqual", 2),
    ("ip", 1),
    ("isIpv4", 1),
    ("isIpv6", 1),
    ("isLoopback", 1),
    ("isMulticast", 1),
    ("isInRange", 2),
    ("datetime", 1),
    ("offset", 2),
    ("durationSince", 2),
    ("toDate", 1),
    ("toTime", 1),
    ("duration", 1),
    ("toMilliseconds", 1),
    ("toSeconds", 1),
    ("toMinutes", 1),
    ("toHours", 1),
    ("toDays", 1),
];

/// Replaces such calls in a policy in Cedar's JSON form.
pub(crate) fn replace_wrong_calls(expression: &mut Json) {
    match expression {
        Json::Array(elements) => elements.iter_mut().for_each(replace_wrong_calls),
        Json::Object(object) => {
            let mut members = object.iter();
            let wrong = match (members.next(), members.next()) {
                (Some((name, Json::Array(arguments))), None) => {
                    FUNCTIONS.iter().any(|(function, count)| name == function && arguments.len() != *count)
                }
                _ => false,
            };
            if wrong {
                *expression = json!({"decimal": [{"Value": "a call with another number of arguments"}]});
                return;
            }
            for (name, inner) in object {
                // Literals hold no calls.
                if name != "Value" {
                    replace_wrong_calls(inner);
                }
            }
        }
        _ => {}
    }
}
