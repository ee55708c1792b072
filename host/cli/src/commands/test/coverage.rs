//! Which branches of the policies the tests reach.

use anyhow::{Context, Result};
use tamis_compiler::{Branch, Branches};
use tamis_core::{Chunk, Request};
use tamis_runtime::{Limits, Policy, Runtime};

/// What the tests reached of each branch.
pub(super) struct Coverage {
    policy: Policy,
    pub(super) branches: Vec<(Branch, Reached)>,
}

/// How a branch came out in some test.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reached {
    pub(super) yes: bool,
    pub(super) no: bool,
}

impl Coverage {
    pub(super) fn new(runtime: &Runtime, limits: &Limits, branches: Branches) -> Result<Self> {
        let policy = Policy::load(runtime, &branches.component, limits)?;
        let branches = branches.branches.into_iter().map(|branch| (branch, Reached::default())).collect();
        Ok(Self { policy, branches })
    }

    /// Adds what these chunks reach for everyone in the request.
    pub(super) fn add(&mut self, request: &Request, chunks: &[Chunk]) -> Result<()> {
        for decision in self.policy.explain(request, chunks)? {
            for reason in &decision.reasons {
                let (number, sign) =
                    reason.split_at_checked(reason.len() - 1).context("a branch without a number")?;
                if let Some((_, reached)) = self.branches.get_mut(number.parse::<usize>()?) {
                    reached.yes |= sign == "+";
                    reached.no |= sign == "-";
                }
            }
        }
        Ok(())
    }

    /// Policies that applied in some test, and all of them.
    pub(super) fn policies(&self) -> (usize, usize) {
        let whole = || self.branches.iter().filter(|(branch, _)| branch.text.is_none());
        (whole().filter(|(_, reached)| reached.yes).count(), whole().count())
    }

    /// Outcomes of branches that some test reached, and all of them.
    pub(super) fn outcomes(&self) -> (usize, usize) {
        let parts = || self.branches.iter().filter(|(branch, _)| branch.text.is_some());
        (
            parts().map(|(_, reached)| usize::from(reached.yes) + usize::from(reached.no)).sum(),
            2 * parts().count(),
        )
    }

    pub(super) fn is_complete(&self) -> bool {
        let (applied, policies) = self.policies();
        let (reached, outcomes) = self.outcomes();
        applied == policies && reached == outcomes
    }

    /// What no test reached, for people.
    pub(super) fn gaps(&self) -> Vec<String> {
        let gap = |(branch, reached): &(Branch, Reached)| {
            let policy = &branch.policy;
            match (&branch.text, reached.yes, reached.no) {
                (None, true, _) | (Some(_), true, true) => None,
                (None, false, _) => Some(format!("`{policy}` never applied")),
                (Some(text), false, false) => Some(format!("`{policy}`: `{text}` was never reached")),
                (Some(text), true, false) => Some(format!("`{policy}`: `{text}` was never false")),
                (Some(text), false, true) => Some(format!("`{policy}`: `{text}` was never true")),
            }
        };
        self.branches.iter().filter_map(gap).collect()
    }
}
