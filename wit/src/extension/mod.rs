//! The text of Cedar's extension values: `decimal`, `datetime`, `duration` and `ip`.
//!
//! Each parser accepts what Cedar 4.14's constructor of the same name accepts and yields the same value;
//! `tests/tests/extension_values.rs` holds them to it. Each formatter writes text that its parser and Cedar's read
//! back as the same value, with the one exception that [`datetime::format`] states.
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
