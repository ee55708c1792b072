//! Random Cedar policies, entities and requests, and what Cedar itself decides on them.

pub mod case;
pub mod choices;
pub mod differ;
pub mod draft;
pub mod expression;
pub mod generate;
pub mod model;
pub mod oracle;
pub mod ours;
pub mod policy;
pub mod text;
pub mod value;
