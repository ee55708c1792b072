//! Days of the proleptic Gregorian calendar from 0000-01-01 to 9999-12-31, numbered from 1970-01-01.
//!
//! The arithmetic counts years from March, which puts the leap day last. Source: Howard Hinnant, "chrono-Compatible
//! Low-Level Date Algorithms", <https://howardhinnant.github.io/date_algorithms.html>.

use core::ops::RangeInclusive;

/// The years that four digits write.
const YEARS: RangeInclusive<i64> = 0..=9999;

/// The numbers of 0000-01-01 and 9999-12-31.
const DAYS: RangeInclusive<i64> = -719_528..=2_932_896;

/// Days from 0000-03-01, where the arithmetic starts, to 1970-01-01.
const MARCH_OF_YEAR_ZERO: i64 = 719_468;

/// Days in 400 years, after which the calendar repeats.
const ERA: i64 = 146_097;

/// The number of a day of the calendar; `None` if there is no such day or its year has not four digits.
pub(super) fn number_of(year: i64, month: i64, day: i64) -> Option<i64> {
    if !YEARS.contains(&year) || !(1..=days_in(year, month)?).contains(&day) {
        return None;
    }
    let (year, months_since_march) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let day_of_year = (153 * months_since_march + 2) / 5 + day - 1;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    Some(year * 365 + leap_days + day_of_year - MARCH_OF_YEAR_ZERO)
}

/// The year, month and day of a number of a day; `None` if the year has not four digits.
pub(super) fn date_of(number: i64) -> Option<(i64, i64, i64)> {
    if !DAYS.contains(&number) {
        return None;
    }
    let number = number + MARCH_OF_YEAR_ZERO;
    let day = number.rem_euclid(ERA);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let months_since_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * months_since_march + 2) / 5 + 1;
    let year = year + number.div_euclid(ERA) * 400;
    Some(if months_since_march < 10 {
        (year, months_since_march + 3, day_of_month)
    } else {
        (year + 1, months_since_march - 9, day_of_month)
    })
}

/// Days in a month; `None` if there is no such month.
fn days_in(year: i64, month: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 => Some(if leap { 29 } else { 28 }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_known_days() {
        let cases = [
            (1970, 1, 1, Some(0)),
            (1969, 12, 31, Some(-1)),
            (2000, 2, 29, Some(11_016)),
            (2024, 10, 24, Some(20_020)),
            (0, 1, 1, Some(*DAYS.start())),
            (9999, 12, 31, Some(*DAYS.end())),
            (0, 2, 29, Some(-719_469)),
            (1900, 2, 29, None),
            (2023, 2, 29, None),
            (2024, 4, 31, None),
            (2024, 0, 1, None),
            (2024, 13, 1, None),
            (2024, 1, 0, None),
            (2024, 1, 32, None),
            (-1, 12, 31, None),
            (10_000, 1, 1, None),
        ];
        for (year, month, day, number) in cases {
            assert_eq!(number_of(year, month, day), number, "{year}-{month}-{day}");
        }
    }

    /// Walks the whole calendar one day at a time, which needs none of the arithmetic under test.
    #[test]
    fn numbers_every_day_in_turn() {
        let mut number = *DAYS.start();
        for year in YEARS {
            for month in 1..=12 {
                for day in 1..=days_in(year, month).unwrap() {
                    assert_eq!(number_of(year, month, day), Some(number));
                    assert_eq!(date_of(number), Some((year, month, day)));
                    number += 1;
                }
            }
        }
        assert_eq!(number, DAYS.end() + 1);
    }

    #[test]
    fn has_no_date_outside_four_digit_years() {
        for number in [DAYS.start() - 1, DAYS.end() + 1, i64::MIN, i64::MAX] {
            assert_eq!(date_of(number), None);
        }
    }
}
