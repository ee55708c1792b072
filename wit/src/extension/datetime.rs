//! The text of Cedar's `datetime`: a date, or a date and time with its offset from UTC.

use alloc::format;
use alloc::string::String;

use super::{ParseError, calendar, duration};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

const FORM: &str = "a datetime such as `2024-10-15`, `2024-10-15T11:35:00Z`, `2024-10-15T11:35:00.250Z` \
    or `2024-10-15T11:35:00+0100`";
const DATE: &str = "a datetime whose day is in the calendar";
const TIME: &str = "a datetime whose time is from 00:00:00 to 23:59:59";
const OFFSET: &str = "a datetime whose offset is from -2359 to +2359";

/// Reads what Cedar's `datetime("…")` reads, in milliseconds since 1970-01-01T00:00:00Z.
///
/// A date alone is its midnight in UTC. The year is any of 0000 to 9999; the offset may carry the instant up to a
/// day beyond them.
///
/// # Errors
///
/// The text has another form (a time needs seconds and `Z` or an offset, a fraction needs three digits), or names a
/// day, a time or an offset that does not exist. A leap second (`23:59:60`) does not.
pub fn parse(text: &str) -> Result<i64, ParseError> {
    read(text).map_err(|expected| ParseError::new(expected, text))
}

/// As [`parse`]; the error is what was expected.
///
/// # Errors
///
/// As [`parse`].
pub fn read(text: &str) -> Result<i64, &'static str> {
    let (sign, fields) = fields(text.as_bytes()).ok_or(FORM)?;
    let [year, month, day, hour, minute, second, millisecond, hours, minutes] = fields;
    let day = calendar::number_of(year, month, day).ok_or(DATE)?;
    if hour > 23 || minute > 59 || second > 59 {
        return Err(TIME);
    }
    if hours > 23 || minutes > 59 {
        return Err(OFFSET);
    }
    let time = hour * HOUR + minute * MINUTE + second * 1_000 + millisecond;
    Ok(day * DAY + time - sign * (hours * HOUR + minutes * MINUTE))
}

/// Writes milliseconds since 1970-01-01T00:00:00Z as UTC with milliseconds, `2024-10-15T11:35:00.250Z`.
///
/// An instant outside the years 0000 to 9999 has no such text. It is written as the Cedar expression that is its
/// canonical form, `datetime("1970-01-01").offset(duration("253402300800000ms"))`, which [`parse`] does not read.
pub fn format(millis: i64) -> String {
    match calendar::date_of(millis.div_euclid(DAY)) {
        Some((year, month, day)) => {
            let time = millis.rem_euclid(DAY);
            let (hour, minute) = (time / HOUR, time / MINUTE % 60);
            let (second, millisecond) = (time / 1_000 % 60, time % 1_000);
            format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z")
        }
        None => format!("datetime(\"1970-01-01\").offset(duration(\"{}\"))", duration::format(millis)),
    }
}

/// The sign of the offset, then what the digits say, before anything asks whether such a day or time exists: year, month, day, hour,
/// minute, second, millisecond, and the offset's hours and minutes. `None` if the text has another form.
fn fields(text: &[u8]) -> Option<(i64, [i64; 9])> {
    let mut fields = [0; 9];
    let mut sign = 1;
    let mut rest = take(text, b"0000-11-22", &mut fields)?;
    if !rest.is_empty() {
        rest = take(rest, b"T33:44:55", &mut fields)?;
        if rest.first() == Some(&b'.') {
            rest = take(rest, b".666", &mut fields)?;
        }
        rest = match rest {
            [b'-', offset @ ..] => {
                sign = -1;
                take(offset, b"7788", &mut fields)?
            }
            [b'+', offset @ ..] => take(offset, b"7788", &mut fields)?,
            _ => take(rest, b"Z", &mut fields)?,
        };
    }
    rest.is_empty().then_some((sign, fields))
}

/// Takes what looks like `form` from the front of a text. A digit in it stands for any digit, of the field with that number.
fn take<'a>(mut text: &'a [u8], form: &[u8], fields: &mut [i64; 9]) -> Option<&'a [u8]> {
    for wanted in form {
        let (byte, rest) = text.split_first()?;
        text = rest;
        match fields.get_mut(usize::from(wanted.wrapping_sub(b'0'))) {
            Some(field) if byte.is_ascii_digit() => *field = *field * 10 + i64::from(byte - b'0'),
            None if byte == wanted => {}
            _ => return None,
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_cedars_grammar() {
        let cases = [
            ("1970-01-01", 0),
            ("1969-12-31", -DAY),
            ("2024-10-24", 20_020 * DAY),
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T00:00:00.001Z", 1),
            ("1970-01-01T23:59:59.999Z", DAY - 1),
            ("1970-01-01T00:00:00+0100", -HOUR),
            ("1970-01-01T00:00:00-0130", HOUR + 30 * MINUTE),
            ("1970-01-01T00:00:00.250-0000", 250),
            ("1970-01-01T00:00:00+0000", 0),
            ("2000-02-29T00:00:00Z", 11_016 * DAY),
            ("0000-01-01", -62_167_219_200_000),
            ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
            ("0000-01-01T00:00:00+2359", -62_167_219_200_000 - DAY + MINUTE),
            ("9999-12-31T23:59:59.999-2359", 253_402_300_799_999 + DAY - MINUTE),
        ];
        for (text, millis) in cases {
            assert_eq!(parse(text), Ok(millis), "{text}");
        }
    }

    #[test]
    fn refuses_other_forms() {
        let cases = [
            "",
            "2024",
            "2024-1-01",
            "24-01-01",
            "10000-01-01",
            "-2024-01-01",
            "+2024-01-01",
            "2024/01/01",
            "2024-01-01 ",
            " 2024-01-01",
            "2024-01-01\n",
            "2024-01-01T",
            "2024-01-01Z",
            "2024-01-01T00:00",
            "2024-01-01T00:00Z",
            "2024-01-01T00:00:00",
            "2024-01-01t00:00:00Z",
            "2024-01-01T00:00:00z",
            "2024-01-01 00:00:00Z",
            "2024-01-01T00:00:00ZZ",
            "2024-01-01T00:00:00.Z",
            "2024-01-01T00:00:00.1Z",
            "2024-01-01T00:00:00.12Z",
            "2024-01-01T00:00:00.1234Z",
            "2024-01-01T00:00:00.123",
            "2024-01-01T00:00:00,123Z",
            "2024-01-01T00:00:00+01",
            "2024-01-01T00:00:00+01:00",
            "2024-01-01T00:00:00+00000",
            "2024-01-01T00:00:00Z+0000",
            "2024-01-01T00:00:00➕0000",
            "2024-01-01T+1:00:00Z",
            "٢٠٢٤-01-01",
            "2024-01-0١",
        ];
        for text in cases {
            assert_eq!(parse(text), Err(ParseError::new(FORM, text)), "{text:?}");
        }
    }

    #[test]
    fn refuses_what_does_not_exist() {
        let cases = [
            ("2024-00-01", DATE),
            ("2024-13-01", DATE),
            ("2024-01-00", DATE),
            ("2024-04-31", DATE),
            ("2023-02-29", DATE),
            ("1900-02-29T00:00:00Z", DATE),
            ("2024-01-01T24:00:00Z", TIME),
            ("2024-01-01T00:60:00Z", TIME),
            ("2016-12-31T23:59:60Z", TIME),
            ("2024-01-01T00:00:00+2400", OFFSET),
            ("2024-01-01T00:00:00-0060", OFFSET),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), Err(ParseError::new(expected, text)), "{text}");
        }
    }

    #[test]
    fn writes_utc_with_milliseconds() {
        let cases = [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (1_728_992_100_250, "2024-10-15T11:35:00.250Z"),
            (-62_167_219_200_000, "0000-01-01T00:00:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ];
        for (millis, text) in cases {
            assert_eq!(format(millis), text);
            assert_eq!(parse(text), Ok(millis), "{text}");
        }
    }

    #[test]
    fn writes_an_offset_outside_four_digit_years() {
        let cases = [
            (253_402_300_800_000, "253402300800000ms"),
            (-62_167_219_200_001, "-62167219200001ms"),
            (i64::MAX, "9223372036854775807ms"),
            (i64::MIN, "-9223372036854775808ms"),
        ];
        for (millis, offset) in cases {
            let text = format(millis);
            assert_eq!(text, format!("datetime(\"1970-01-01\").offset(duration(\"{offset}\"))"));
            assert!(parse(&text).is_err());
        }
    }
}
