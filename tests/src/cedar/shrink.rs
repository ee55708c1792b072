//! Makes a case that fails as small as it can be made while it still fails.
//!
//! It works on trees, so that every step is a whole policy, entity, attribute or expression, and every step makes the
//! case simpler, so that it ends.

use std::time::{Duration, Instant};

use super::draft::Draft;
use super::policy::{Policy, Scope};
use super::simpler;
use super::value::{Escapes, Fields};

/// How long smaller cases are tried; a fast `fails` needs a second or two.
const PATIENCE: Duration = Duration::from_secs(60);

/// The smallest case that is found to fail, starting from one that does.
pub fn shrink(draft: Draft, fails: impl Fn(&Draft) -> bool) -> Draft {
    let mut shrinker = Shrinker { best: draft, fails, deadline: Instant::now() + PATIENCE };
    loop {
        let mut smaller = shrinker.requests();
        smaller |= shrinker.attempt(|draft| draft.schema.take().is_some());
        smaller |= shrinker.policies();
        smaller |= shrinker.entities();
        smaller |= shrinker.schema();
        if !smaller {
            return shrinker.best;
        }
    }
}

struct Shrinker<F> {
    best: Draft,
    fails: F,
    deadline: Instant,
}

impl<F: Fn(&Draft) -> bool> Shrinker<F> {
    /// Keeps a change, which says whether it changed anything, if the case still fails with it.
    fn attempt(&mut self, change: impl FnOnce(&mut Draft) -> bool) -> bool {
        let mut smaller = self.best.clone();
        if Instant::now() > self.deadline || !change(&mut smaller) {
            return false;
        }
        let fails = (self.fails)(&smaller);
        if fails {
            self.best = smaller;
        }
        fails
    }

    /// Deletes elements of a list: halves, then quarters, and at last each alone.
    fn delete<T>(&mut self, list: impl Fn(&mut Draft) -> Option<&mut Vec<T>>) -> bool {
        let mut smaller = false;
        let Some(mut run) = list(&mut self.best).map(|list| list.len()) else { return false };
        while run > 0 {
            let mut from = 0;
            while list(&mut self.best).is_some_and(|list| from < list.len()) {
                let deleted = self.attempt(|draft| {
                    let Some(list) = list(draft) else { return false };
                    list.drain(from..(from + run).min(list.len()));
                    true
                });
                smaller |= deleted;
                from += if deleted { 0 } else { run };
            }
            run /= 2;
        }
        smaller
    }

    fn requests(&mut self) -> bool {
        let mut smaller = self.delete(|draft| Some(&mut draft.requests));
        for index in 0..self.best.requests.len() {
            smaller |= self.fields(|draft| draft.requests.get_mut(index).map(|request| &mut request.context));
        }
        smaller
    }

    fn policies(&mut self) -> bool {
        let mut smaller = self.delete(|draft| Some(&mut draft.policies));
        for index in 0..self.best.policies.len() {
            smaller |=
                self.delete(|draft| draft.policies.get_mut(index).map(|policy| &mut policy.conditions));
            smaller |=
                self.delete(|draft| draft.policies.get_mut(index).map(|policy| &mut policy.annotations));
            let scopes: [fn(&mut Policy) -> &mut Scope; 3] =
                [|policy| &mut policy.principal, |policy| &mut policy.action, |policy| &mut policy.resource];
            for scope in scopes {
                smaller |= self.attempt(|draft| {
                    let scope = scope(&mut draft.policies[index]);
                    std::mem::replace(scope, Scope::Any) != Scope::Any
                });
            }
            for condition in 0..self.best.policies[index].conditions.len() {
                smaller |= self.body(index, condition);
            }
        }
        smaller
    }

    /// Replaces each node of an expression by something simpler, from the root on.
    fn body(&mut self, policy: usize, condition: usize) -> bool {
        let mut smaller = false;
        let mut node = 0;
        loop {
            let body = &mut self.best.policies[policy].conditions[condition].body;
            let Some(expression) = body.node_mut(node) else { return smaller };
            let replaced = simpler::expressions(expression).into_iter().any(|simpler| {
                self.attempt(|draft| {
                    let body = &mut draft.policies[policy].conditions[condition].body;
                    body.node_mut(node).map(|node| *node = simpler).is_some()
                })
            });
            smaller |= replaced;
            node += usize::from(!replaced);
        }
    }

    fn entities(&mut self) -> bool {
        let mut smaller = self.delete(|draft| Some(&mut draft.entities));
        for index in 0..self.best.entities.len() {
            smaller |= self.delete(|draft| draft.entities.get_mut(index).map(|entity| &mut entity.parents));
            smaller |=
                self.fields(|draft| draft.entities.get_mut(index).map(|entity| &mut entity.attributes));
            smaller |= self.fields(|draft| draft.entities.get_mut(index).map(|entity| &mut entity.tags));
            smaller |= self.attempt(|draft| {
                let escapes = &mut draft.entities[index].escapes;
                std::mem::replace(escapes, Escapes::Explicit) != Escapes::Explicit
            });
            smaller |= self.attempt(|draft| {
                let escapes = &mut draft.entities[index].uid_escapes;
                std::mem::replace(escapes, Escapes::Implicit) != Escapes::Implicit
            });
        }
        smaller
    }

    /// Deletes named values, and makes the rest simpler.
    fn fields(&mut self, fields: impl Fn(&mut Draft) -> Option<&mut Fields>) -> bool {
        let mut smaller = false;
        let Some(names) = fields(&mut self.best).map(|fields| fields.keys().cloned().collect::<Vec<_>>())
        else {
            return false;
        };
        for name in names {
            if self.attempt(|draft| fields(draft).is_some_and(|fields| fields.remove(&name).is_some())) {
                smaller = true;
                continue;
            }
            while let Some(value) = fields(&mut self.best).and_then(|fields| fields.get(&name)) {
                let replaced = simpler::values(value).into_iter().any(|simpler| {
                    self.attempt(|draft| {
                        fields(draft).is_some_and(|fields| fields.insert(name.clone(), simpler).is_some())
                    })
                });
                if !replaced {
                    break;
                }
                smaller = true;
            }
        }
        smaller
    }

    /// Deletes what the schema declares, with what entities hold of it.
    fn schema(&mut self) -> bool {
        let mut smaller = self.delete(|draft| draft.schema.as_mut().map(|schema| &mut schema.actions));
        smaller |= self.delete(|draft| draft.schema.as_mut().map(|schema| &mut schema.entity_types));
        let types = self.best.schema.as_ref().map_or(0, |schema| schema.entity_types.len());
        for index in 0..types {
            smaller |= self
                .delete(|draft| draft.schema.as_mut().map(|schema| &mut schema.entity_types[index].parents));
            smaller |= self.declared_attributes(index);
            smaller |= self.attempt(|draft| {
                draft.schema.as_mut().is_some_and(|schema| schema.entity_types[index].tags.take().is_some())
            });
        }
        let actions = self.best.schema.as_ref().map_or(0, |schema| schema.actions.len());
        for index in 0..actions {
            smaller |= self.attempt(|draft| {
                draft
                    .schema
                    .as_mut()
                    .is_some_and(|schema| !std::mem::take(&mut schema.actions[index].context).is_empty())
            });
        }
        smaller
    }

    fn declared_attributes(&mut self, entity_type: usize) -> bool {
        let mut smaller = false;
        let Some(schema) = &self.best.schema else { return false };
        let names: Vec<_> = schema.entity_types[entity_type].attributes.keys().cloned().collect();
        for name in names {
            smaller |= self.attempt(|draft| {
                let Some(schema) = &mut draft.schema else { return false };
                let entity_type = &mut schema.entity_types[entity_type];
                for entity in &mut draft.entities {
                    if entity.uid.entity_type == entity_type.name {
                        entity.attributes.remove(&name);
                    }
                }
                entity_type.attributes.remove(&name).is_some()
            });
        }
        smaller
    }
}
