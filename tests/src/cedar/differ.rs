//! Compares decisions request by request.

use std::cell::Cell;
use std::fmt::{self, Display, Formatter};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::case::Case;
use super::oracle::{self, Explained, Verdict};

thread_local! {
    static IN_OURS: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is inside `ours`, whose panic is a difference and needs no message of its own.
pub fn is_in_ours() -> bool {
    IN_OURS.get()
}

/// A request on which the two sides do not agree.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The case, with this one request.
    pub case: Case,
    /// What Cedar decides.
    pub oracle: Verdict,
    /// What the other side decides, or why it does not.
    pub ours: Result<Verdict, String>,
}

/// Compares the verdicts on every request of a case, and returns those of Cedar.
///
/// A case that Cedar itself refuses compares nothing and returns no verdicts. A panic of `ours` is its error.
///
/// # Errors
///
/// The first request on which decision, reasons or errors differ, or which `ours` has no verdict on.
pub fn differ(
    case: &Case,
    ours: impl Fn(&Case) -> Result<Vec<Verdict>, String>,
) -> Result<Vec<Explained>, Box<Difference>> {
    let Ok(expected) = oracle::explain(case) else {
        return Ok(Vec::new());
    };
    IN_OURS.set(true);
    let found = catch_unwind(AssertUnwindSafe(|| ours(case))).unwrap_or_else(|panic| Err(message(&*panic)));
    IN_OURS.set(false);
    for (request, (oracle, _)) in expected.iter().enumerate() {
        let ours = match &found {
            Ok(verdicts) => verdicts.get(request).cloned().ok_or_else(|| "no verdict".to_owned()),
            Err(error) => Err(error.clone()),
        };
        if ours.as_ref() != Ok(oracle) {
            return Err(Box::new(Difference { case: case.only(request), oracle: oracle.clone(), ours }));
        }
    }
    Ok(expected)
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panicked: {}", text.unwrap_or("without a message"))
}

impl Display for Difference {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.case.schema {
            writeln!(f, "schema:\n{schema}")?;
        }
        writeln!(f, "policies:\n{}", self.case.policies)?;
        writeln!(f, "entities:\n{:#}", self.case.entities)?;
        for request in &self.case.requests {
            writeln!(f, "request:\n{request:#}")?;
        }
        writeln!(f, "cedar: {}", self.oracle)?;
        match &self.ours {
            Ok(verdict) => writeln!(f, "ours:  {verdict}"),
            Err(error) => writeln!(f, "ours:  {error}"),
        }
    }
}

impl Display for Verdict {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let decision = if self.allow { "allow" } else { "deny" };
        write!(f, "{decision}, reasons {:?}, errors {:?}", self.reasons, self.errors)
    }
}
