//! All that touches the server: arguments, datums, tables, the clock, transactions. Everything unsafe is here, but what pgrx's macros
//! write in `functions`.

#![allow(unsafe_code)]

pub(crate) mod call;
pub(crate) mod clock;
mod expression;
mod jsonb;
pub(crate) mod kept;
pub(crate) mod plan;
pub(crate) mod process;
pub(crate) mod table;
pub(crate) mod value;
mod varlena;
