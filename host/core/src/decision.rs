//! Decisions: what a policy says of one chunk, and how the decisions of several principals combine.

use std::collections::BTreeSet;

/// Names from the outermost to the innermost: `owner.team` is `["owner", "team"]`.
pub type Path = Vec<String>;

/// Writes a path for people: `owner.team`, with names that hold odd characters in quotes.
pub fn path_text(path: &[String]) -> String {
    let plain =
        |name: &String| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
    let names: Vec<String> =
        path.iter().map(|name| if plain(name) { name.clone() } else { format!("{name:?}") }).collect();
    names.join(".")
}

/// A rule that could not be evaluated. For the operator's log; never for the caller.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyError {
    /// The id of the rule.
    pub policy: String,
    /// What went wrong.
    pub message: String,
}

/// What must be removed from an allowed chunk before anyone sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redaction {
    /// Attributes to remove.
    pub attributes: BTreeSet<Path>,
    /// Whether to remove the text.
    pub text: bool,
}

/// What a policy says of one chunk. The default denies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Whether the chunk may be handed out.
    pub allow: bool,
    /// The rules that decided; empty if none applied, which denies.
    pub reasons: BTreeSet<String>,
    /// The rules that failed.
    pub errors: BTreeSet<PolicyError>,
    /// What to remove if the chunk is allowed.
    pub redaction: Redaction,
}

impl Decision {
    /// The decision for a request in which `self` holds for one principal and `other` for another: allowed only
    /// if both allow, with everything removed that either removes.
    ///
    /// A denial names only rules of those that deny, so that an operator is not pointed at a rule that allowed.
    #[must_use]
    pub fn intersect(mut self, other: Decision) -> Decision {
        match (self.allow, other.allow) {
            (true, false) => self.reasons = other.reasons,
            (false, true) => {}
            _ => self.reasons.extend(other.reasons),
        }
        self.allow = self.allow && other.allow;
        self.errors.extend(other.errors);
        self.redaction.attributes.extend(other.redaction.attributes);
        self.redaction.text |= other.redaction.text;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(allow: bool, reason: &str) -> Decision {
        Decision { allow, reasons: [reason.to_owned()].into(), ..Decision::default() }
    }

    #[test]
    fn odd_names_in_a_path_are_quoted() {
        for (path, text) in [
            (vec!["owner", "team_1-a"], "owner.team_1-a"),
            (vec!["a.b", "c"], r#""a.b".c"#),
            (vec![""], r#""""#),
            (vec!["größe"], "größe"),
        ] {
            let path: Path = path.into_iter().map(str::to_owned).collect();
            assert_eq!(path_text(&path), text);
        }
    }

    #[test]
    fn the_default_denies() {
        assert!(!Decision::default().allow);
    }

    #[test]
    fn intersection_allows_only_what_both_allow() {
        for (a, b, allow, reasons) in [
            (true, true, true, vec!["a", "b"]),
            (true, false, false, vec!["b"]),
            (false, true, false, vec!["a"]),
            (false, false, false, vec!["a", "b"]),
        ] {
            let both = decision(a, "a").intersect(decision(b, "b"));
            assert_eq!(both.allow, allow, "{a} and {b}");
            assert_eq!(both.reasons.into_iter().collect::<Vec<_>>(), reasons, "{a} and {b}");
        }
    }

    #[test]
    fn intersection_keeps_every_error_and_redaction() {
        let mut a = decision(true, "a");
        a.redaction.attributes.insert(vec!["salary".into()]);
        a.errors.insert(PolicyError { policy: "p".into(), message: "m".into() });
        let mut b = decision(true, "b");
        b.redaction.text = true;
        b.redaction.attributes.insert(vec!["ssn".into()]);
        b.errors.insert(PolicyError { policy: "q".into(), message: "n".into() });
        for both in [a.clone().intersect(b.clone()), b.intersect(a)] {
            assert!(both.redaction.text);
            assert_eq!(both.redaction.attributes.len(), 2);
            assert_eq!(both.errors.len(), 2);
        }
    }

    #[test]
    fn path_text_quotes_odd_names() {
        let path = |names: &[&str]| path_text(&names.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(path(&["owner", "team"]), "owner.team");
        assert_eq!(path(&["a.b", ""]), r#""a.b"."""#);
    }
}
