//! What a plan was made for: a request, and the policy that served then. It stands in the plan as a text.

use crate::error::Failure;
use crate::server::process;
use crate::{request, serving};

/// What a plan was made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Basis {
    /// Tells the request from others.
    pub(crate) serial: u64,
    /// When the client's statement began that it was made in.
    pub(crate) moment: i64,
    pub(crate) policy: String,
    pub(crate) generation: i64,
    pub(crate) digest: String,
}

impl Basis {
    /// `1 817263123 2 3e84c1… rag`
    pub(crate) fn to_text(&self) -> String {
        let Self { serial, moment, policy, generation, digest } = self;
        format!("{serial} {moment} {generation} {digest} {policy}")
    }

    /// What the plan was made for that a statement starts with. What was planned by this statement, or by the one that opened the
    /// cursor, ends on the policy that it began with.
    ///
    /// # Errors
    /// If the plan is of another request, or of an earlier statement and a policy that was replaced since.
    pub(crate) fn of_this_statement(text: &str) -> Result<Self, Failure> {
        let basis = Self::from_text(text).filter(|basis| basis.serial == request::serial());
        let basis = basis.ok_or_else(Failure::stale)?;
        if process::is_of_this_statement(basis.moment)
            || format!("{:x}", serving::policy(&basis.policy)?.policy.digest()) == basis.digest
        {
            return Ok(basis);
        }
        Err(Failure::stale())
    }

    fn from_text(text: &str) -> Option<Self> {
        let mut parts = text.splitn(5, ' ');
        let basis = Self {
            serial: parts.next()?.parse().ok()?,
            moment: parts.next()?.parse().ok()?,
            generation: parts.next()?.parse().ok()?,
            digest: parts.next()?.to_owned(),
            policy: parts.next()?.to_owned(),
        };
        // Anybody can write such a text, and a file may be named by this.
        let is_digest = basis.digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_digest.then_some(basis)
    }
}
