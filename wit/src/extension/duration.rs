//! The text of Cedar's `duration`: a sign, then quantities of days, hours, minutes, seconds and milliseconds.

use alloc::format;
use alloc::string::String;

use super::{ParseError, append};

const FORM: &str = "a duration such as `1d2h3m4s5ms`, with its units in this order";
const RANGE: &str = "a duration from -9223372036854775808ms to 9223372036854775807ms";

/// Reads what Cedar's `duration("…")` reads, in milliseconds.
///
/// Any units may be left out but not all of them; one sign covers all quantities, and a quantity may be of any
/// size (`90m`) and have leading zeros.
///
/// # Errors
///
/// The text has another form, or the whole is out of range.
pub fn parse(text: &str) -> Result<i64, ParseError> {
    read(text).map_err(|expected| ParseError::new(expected, text))
}

/// As [`parse`]; the error is what was expected.
///
/// # Errors
///
/// As [`parse`].
pub fn read(text: &str) -> Result<i64, &'static str> {
    let (negative, mut rest) = match text.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    // `None` once it is past all bounds; the rest of the text must still have the right form. All quantities have the same
    // sign, so that nothing comes back from there.
    let mut total = Some(0_i64);
    let mut last = 0;
    loop {
        let mut quantity = None;
        while let [digit @ b'0'..=b'9', after @ ..] = rest {
            quantity = Some(quantity.unwrap_or(Some(0)).and_then(|value| append(value, negative, *digit)));
            rest = after;
        }
        let (millis, after) = match rest {
            [b'd', after @ ..] => (86_400_000, after),
            [b'h', after @ ..] => (3_600_000, after),
            [b'm', b's', after @ ..] => (1, after),
            [b'm', after @ ..] => (60_000, after),
            [b's', after @ ..] => (1_000, after),
            _ => return Err(FORM),
        };
        // Units follow one another from the largest to the smallest.
        let Some(quantity) = quantity.filter(|_| last == 0 || millis < last) else { return Err(FORM) };
        last = millis;
        rest = after;
        total = match (total, quantity) {
            (Some(total), Some(quantity)) => {
                quantity.checked_mul(millis).and_then(|more| total.checked_add(more))
            }
            _ => None,
        };
        if rest.is_empty() {
            return total.ok_or(RANGE);
        }
    }
}

/// Writes milliseconds in Cedar's canonical form, without larger units: `93784005ms`.
pub fn format(millis: i64) -> String {
    format!("{millis}ms")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_cedars_grammar() {
        let cases = [
            ("1d2h3m4s5ms", 93_784_005),
            ("-1d2h3m4s5ms", -93_784_005),
            ("5m", 300_000),
            ("5ms", 5),
            ("5m5ms", 300_005),
            ("1d1ms", 86_400_001),
            ("90m", 5_400_000),
            ("0d", 0),
            ("-0ms", 0),
            ("000000000000000000000000000000000000000000000001s", 1_000),
            ("9223372036854775807ms", i64::MAX),
            ("-9223372036854775808ms", i64::MIN),
            ("-0d9223372036854775808ms", i64::MIN),
            ("106751991167d7h12m55s807ms", i64::MAX),
            ("-106751991167d7h12m55s808ms", i64::MIN),
        ];
        for (text, millis) in cases {
            assert_eq!(parse(text), Ok(millis), "{text}");
        }
    }

    #[test]
    fn refuses_other_forms() {
        let cases = [
            "",
            "-",
            "--1d",
            "+1d",
            "1",
            "-1",
            "d",
            "-ms",
            "1D",
            "1y",
            "1dd",
            "1d2d",
            "1h2d",
            "1ms2s",
            "1s2m",
            "1d 2h",
            " 1d",
            "1d ",
            "1d\n",
            "1.5h",
            "1d-2h",
            "1sm",
            "1mm",
            "1m s",
            "2h3",
            "1m2",
            "١d",
            "−1d",
            "99999999999999999999999999999999999999999999d1",
            "1d\0",
        ];
        for text in cases {
            assert_eq!(parse(text), Err(ParseError::new(FORM, text)), "{text:?}");
        }
    }

    #[test]
    fn refuses_values_out_of_range() {
        let cases = [
            "9223372036854775808ms",
            "-9223372036854775809ms",
            "106751991167d7h12m55s808ms",
            "-106751991167d7h12m55s809ms",
            "106751991168d",
            "18446744073709551616ms",
            "170141183460469231731687303715884105727d1h",
            "999999999999999999999999999999999999999999999999999999d",
        ];
        for text in cases {
            assert_eq!(parse(text), Err(ParseError::new(RANGE, text)), "{text}");
        }
    }

    #[test]
    fn writes_milliseconds() {
        for (millis, text) in [
            (0, "0ms"),
            (-1, "-1ms"),
            (93_784_005, "93784005ms"),
            (i64::MAX, "9223372036854775807ms"),
            (i64::MIN, "-9223372036854775808ms"),
        ] {
            assert_eq!(format(millis), text);
            assert_eq!(parse(text), Ok(millis), "{text}");
        }
    }
}
