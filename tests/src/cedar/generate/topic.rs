//! What a policy or a request is about. Most of a case are about the same, so that they meet.

use crate::cedar::choices::Choices;
use crate::cedar::model::{Action, Model};

/// An action with types that it applies to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Topic<'a> {
    /// The action.
    pub(super) action: &'a Action,
    /// A type of its principals.
    pub(super) principal: &'a str,
    /// A type of its resources.
    pub(super) resource: &'a str,
}

impl<'a> Topic<'a> {
    /// Any topic of the model.
    pub(super) fn any(choices: &mut Choices, model: &'a Model) -> Self {
        let applicable: Vec<_> =
            model.actions.iter().filter(|action| !action.principals.is_empty()).collect();
        let action: &Action = choices.pick::<&Action>(&applicable);
        let principal: &str = choices.pick::<String>(&action.principals);
        // Of two draws the one that is another type: that the principal is the resource is rare in practice.
        let draws = [choices.pick::<String>(&action.resources), choices.pick::<String>(&action.resources)];
        let resource: &str = if draws[0] == principal { draws[1] } else { draws[0] };
        Self { action, principal, resource }
    }

    /// Mostly the same topic.
    pub(super) fn or_another(self, choices: &mut Choices, model: &'a Model) -> Self {
        if choices.chance(60) { self } else { Self::any(choices, model) }
    }
}
