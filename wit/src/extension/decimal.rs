//! The text of Cedar's `decimal`: a sign, digits, a point, and one to four digits.

use alloc::format;
use alloc::string::String;

use super::{ParseError, append};

/// Digits kept after the point; Cedar fixes the number.
const SCALE: usize = 4;

/// How many units of the last kept digit make one: 10 to the power of [`SCALE`].
const UNITS: u64 = 10_000;

const FORM: &str = "a decimal such as `12.34`, with digits before the point and one to four digits after it";
const RANGE: &str = "a decimal from -922337203685477.5808 to 922337203685477.5807";

/// Reads what Cedar's `decimal("…")` reads, in ten-thousandths.
///
/// Leading zeros and `-0.0` are allowed; a plus sign, an exponent and space are not.
///
/// # Errors
///
/// The text has another form, a fifth digit after the point even if it is zero, or is out of range.
pub fn parse(text: &str) -> Result<i64, ParseError> {
    read(text).map_err(|expected| ParseError::new(expected, text))
}

/// As [`parse`]; the error is what was expected.
///
/// # Errors
///
/// As [`parse`].
pub fn read(text: &str) -> Result<i64, &'static str> {
    let (negative, unsigned) = match text.as_bytes() {
        [b'-', unsigned @ ..] => (true, unsigned),
        unsigned => (false, unsigned),
    };
    // `None` once it is past all bounds; the rest of the text must still have the right form.
    let mut value = Some(0);
    let mut whole = 0_usize;
    let mut fraction: Option<usize> = None;
    for byte in unsigned {
        match (byte, &mut fraction) {
            (b'.', None) if whole > 0 => fraction = Some(0),
            (b'0'..=b'9', digits) => {
                *digits.as_mut().unwrap_or(&mut whole) += 1;
                value = value.and_then(|value| append(value, negative, *byte));
            }
            _ => return Err(FORM),
        }
    }
    let digits = fraction.filter(|digits| (1..=SCALE).contains(digits)).ok_or(FORM)?;
    for _ in digits..SCALE {
        value = value.and_then(|value| append(value, negative, b'0'));
    }
    value.ok_or(RANGE)
}

/// Writes ten-thousandths in Cedar's canonical form, always with four digits after the point: `12.3400`.
pub fn format(value: i64) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let magnitude = value.unsigned_abs();
    format!("{sign}{}.{:0SCALE$}", magnitude / UNITS, magnitude % UNITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_cedars_grammar() {
        let cases = [
            ("0.0", 0),
            ("-0.0", 0),
            ("12.34", 123_400),
            ("-12.34", -123_400),
            ("0.0001", 1),
            ("-0.5", -5_000),
            ("1.0000", 10_000),
            ("0000000000000000000000000000000000000001.5", 15_000),
            ("922337203685477.5807", i64::MAX),
            ("-922337203685477.5808", i64::MIN),
        ];
        for (text, value) in cases {
            assert_eq!(parse(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn refuses_other_forms() {
        let cases = [
            "",
            "-",
            ".",
            "-.",
            "1",
            "1.",
            ".1",
            "-.1",
            "+1.0",
            "--1.0",
            "1.-0",
            "1.2.3",
            "1,2",
            "1.00000",
            "1.2345678",
            "1e1.0",
            " 1.0",
            "1.0 ",
            "1.0\n",
            "1_0.0",
            "0x1.0",
            "−1.0",
            "١.٠",
            "1.٠",
            "1.0\0",
        ];
        for text in cases {
            assert_eq!(parse(text), Err(ParseError::new(FORM, text)), "{text:?}");
        }
    }

    #[test]
    fn refuses_values_out_of_range() {
        let cases = [
            "922337203685477.5808",
            "-922337203685477.5809",
            "922337203685478.0",
            "-922337203685478.0",
            "1000000000000000000000000000000000000000.0",
        ];
        for text in cases {
            assert_eq!(parse(text), Err(ParseError::new(RANGE, text)), "{text}");
        }
    }

    #[test]
    fn writes_four_digits_after_the_point() {
        let cases = [
            (0, "0.0000"),
            (1, "0.0001"),
            (-1, "-0.0001"),
            (123_400, "12.3400"),
            (-10_000, "-1.0000"),
            (i64::MAX, "922337203685477.5807"),
            (i64::MIN, "-922337203685477.5808"),
        ];
        for (value, text) in cases {
            assert_eq!(format(value), text);
            assert_eq!(parse(text), Ok(value), "{text}");
        }
    }
}
