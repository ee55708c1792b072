//! The text of Cedar's extension values: `decimal`, `datetime`, `duration` and `ip`.
//!
//! Each parser accepts what Cedar 4.14's constructor of the same name accepts and yields the same value;
//! `tests/tests/extension_values.rs` holds them to it. Each formatter writes text that its parser and Cedar's read
//! back as the same value, with the one exception that [`datetime::format`] states.
//!
//! `parse` is for hosts and says what it found; `read` is for policies, which say less and are smaller.
//!
//! No arithmetic or comparison of the values lives here.

mod calendar;
pub mod datetime;
pub mod decimal;
pub mod duration;
mod error;
pub mod ip;

pub use error::ParseError;
pub use ip::IpNetwork;

/// One more decimal digit behind those of `value`, which are all of one sign; `None` if that does not fit.
///
/// The digit has the sign already, because the lowest value has no positive counterpart.
fn append(value: i64, negative: bool, digit: u8) -> Option<i64> {
    let digit = i64::from(digit.saturating_sub(b'0'));
    value.checked_mul(10)?.checked_add(if negative { -digit } else { digit })
}
