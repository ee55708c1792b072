//! Failures, by who can fix them. Every one of them denies.

use std::any::Any;

/// Why a policy could not be loaded or could not answer. No variant carries a decision: failing is denying.
///
/// The text is for the operator. It can quote the policy and the request, so it must not reach a caller who could
/// show it to a model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text that the policy is made from does not compile. Whoever wrote it can fix it.
    #[error("the policy does not compile: {0}")]
    Source(String),
    /// The bytes are no policy component. Whoever built them can fix it.
    #[error("not a policy component: {0}")]
    Artifact(String),
    /// The component breaks the contract: another version, or an answer that the contract does not allow.
    #[error("the policy breaks the contract: {0}")]
    Contract(String),
    /// A limit was reached: time, fuel, memory, or size of an answer.
    #[error("the policy reached a limit: {0}")]
    Limit(String),
    /// The policy's own code gave up.
    #[error("the policy failed: {0}")]
    Trap(String),
    /// A self-test of the host's refused the policy.
    #[error("the policy did not pass the self-test: {0}")]
    SelfTest(String),
    /// This machine or its configuration is in the way.
    #[error("host: {0}")]
    Host(String),
}

impl Error {
    /// One word for the variant, for logs and metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Source(_) => "source",
            Self::Artifact(_) => "artifact",
            Self::Contract(_) => "contract",
            Self::Limit(_) => "limit",
            Self::Trap(_) => "trap",
            Self::SelfTest(_) => "self-test",
            Self::Host(_) => "host",
        }
    }
}

/// Characters of a policy's own text that an error quotes at most.
const MAX_QUOTED: usize = 500;

/// A message that may quote a policy, fit for a log and a terminal: cut to a length that people read, and without control
/// characters.
pub(crate) fn excerpt(message: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let mut text: String = message.chars().take(MAX_QUOTED).map(plain).collect();
    if message.chars().nth(MAX_QUOTED).is_some() {
        text.push('…');
    }
    text
}

/// What a panic said.
pub(crate) fn panic_message(panic: Box<dyn Any + Send>) -> String {
    let text = panic.downcast::<String>().map(|text| *text);
    text.unwrap_or_else(|panic| panic.downcast::<&str>().map_or("it panicked", |text| *text).to_owned())
}
