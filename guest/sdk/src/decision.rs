//! Making decisions and combining them.

use crate::bindings::tamis::policy::gates::Decision;

impl Decision {
    /// Allows, because of the rule `rule`.
    pub fn allow_by(rule: &str) -> Self {
        Self { allow: true, ..Self::deny_by(rule) }
    }

    /// Denies, because of the rule `rule`.
    pub fn deny_by(rule: &str) -> Self {
        Self { reasons: vec![rule.to_owned()], ..Self::deny() }
    }

    /// Denies because no rule allows.
    pub fn deny() -> Self {
        Self { allow: false, reasons: Vec::new(), errors: Vec::new(), redact: Vec::new(), redact_text: false }
    }

    /// Allows only if both allow. A denial keeps the reasons of those that deny.
    #[must_use]
    pub fn and(mut self, other: Decision) -> Self {
        match (self.allow, other.allow) {
            (true, false) => self.reasons = other.reasons,
            (false, true) => {}
            _ => self.reasons.extend(other.reasons),
        }
        self.allow = self.allow && other.allow;
        self.errors.extend(other.errors);
        self.redact.extend(other.redact);
        self.redact_text = self.redact_text || other.redact_text;
        self
    }
}
