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
    let fields = read(text.as_bytes()).ok_or_else(|| ParseError::new(FORM, text))?;
    let day = calendar::number_of(fields.year, fields.month, fields.day)
        .ok_or_else(|| ParseError::new(DATE, text))?;
    if fields.hour > 23 || fields.minute > 59 || fields.second > 59 {
        return Err(ParseError::new(TIME, text));
    }
    let (sign, hours, minutes) = fields.offset;
    if hours > 23 || minutes > 59 {
        return Err(ParseError::new(OFFSET, text));
    }
    let time = fields.hour * HOUR + fields.minute * MINUTE + fields.second * 1_000 + fields.millisecond;
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

/// What the digits of a datetime say, before anything asks whether such a day or time exists.
#[derive(Default)]
struct Fields {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    millisecond: i64,
    /// Sign, hours and minutes.
    offset: (i64, i64, i64),
}

/// Takes the whole of a datetime apart; `None` if it has another form.
fn read(text: &[u8]) -> Option<Fields> {
    let [y1, y2, y3, y4, b'-', mo1, mo2, b'-', d1, d2, rest @ ..] = text else { return None };
    let date = Fields {
        year: number([y1, y2, y3, y4])?,
        month: number([mo1, mo2])?,
        day: number([d1, d2])?,
        ..Fields::default()
    };
    if rest.is_empty() {
        return Some(date);
    }
    let [b'T', h1, h2, b':', mi1, mi2, b':', s1, s2, rest @ ..] = rest else { return None };
    let (millisecond, zone) = match rest {
        [b'.', ms1, ms2, ms3, zone @ ..] => (number([ms1, ms2, ms3])?, zone),
        zone => (0, zone),
    };
    let offset = match zone {
        [b'Z'] => (1, 0, 0),
        [b'+', h1, h2, m1, m2] => (1, number([h1, h2])?, number([m1, m2])?),
        [b'-', h1, h2, m1, m2] => (-1, number([h1, h2])?, number([m1, m2])?),
        _ => return None,
    };
    Some(Fields {
        hour: number([h1, h2])?,
        minute: number([mi1, mi2])?,
        second: number([s1, s2])?,
        millisecond,
        offset,
        ..date
    })
}

/// The number that at most four digits write; `None` if one of them is not an ASCII digit.
fn number<const N: usize>(digits: [&u8; N]) -> Option<i64> {
    digits.into_iter().try_fold(0, |value, digit| {
        digit.is_ascii_digit().then(|| value * 10 + i64::from(digit.saturating_sub(b'0')))
    })
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
