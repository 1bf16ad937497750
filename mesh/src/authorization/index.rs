//! Policies by what their scopes name, so that a decision looks only at those that can matter.
//!
//! A policy whose scope says `action == A`, `principal in P` or `resource == R` can only match a question
//! about these, so it lies in a bucket under them; a bucket is a small Cedar policy set. Which buckets a
//! question needs follows from its action, its principal and its resource and everything they are in.
//! This leaves policies out that cannot match and none that can, so that the answer is that of Cedar over
//! the whole set. Policies that name nothing are looked at each time.

use std::collections::{BTreeSet, HashMap, HashSet};

use cedar_policy::{
    ActionConstraint, Authorizer, Decision, EntityUid, Policy, PolicySet, PolicySetError,
    PrincipalConstraint, ResourceConstraint,
};

use super::entities::Asked;

/// The action, the principal and the resource that a scope names; none for any.
type Key = (Option<EntityUid>, Option<EntityUid>, Option<EntityUid>);

/// One organisation's policies, in buckets.
#[derive(Default)]
pub(super) struct Index {
    buckets: HashMap<Key, PolicySet>,
    /// What occurs in keys at all, so that few combinations are tried.
    actions: HashSet<Option<EntityUid>>,
    principals: HashSet<Option<EntityUid>>,
    resources: HashSet<Option<EntityUid>>,
}

/// What the policies say together, each by its id.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Matches {
    pub(super) permits: BTreeSet<String>,
    pub(super) forbids: BTreeSet<String>,
    pub(super) failures: BTreeSet<String>,
}

impl Index {
    pub(super) fn add(&mut self, policy: &Policy) -> Result<(), Box<PolicySetError>> {
        let principal = match policy.principal_constraint() {
            PrincipalConstraint::Any | PrincipalConstraint::Is(_) => None,
            PrincipalConstraint::In(uid)
            | PrincipalConstraint::Eq(uid)
            | PrincipalConstraint::IsIn(_, uid) => Some(uid),
        };
        let resource = match policy.resource_constraint() {
            ResourceConstraint::Any | ResourceConstraint::Is(_) => None,
            ResourceConstraint::In(uid)
            | ResourceConstraint::Eq(uid)
            | ResourceConstraint::IsIn(_, uid) => Some(uid),
        };
        let actions = match policy.action_constraint() {
            ActionConstraint::Any => vec![None],
            ActionConstraint::Eq(uid) => vec![Some(uid)],
            ActionConstraint::In(uids) => uids.into_iter().map(Some).collect(),
        };
        let actions: HashSet<_> = actions.into_iter().collect();
        for action in actions {
            let key = (action.clone(), principal.clone(), resource.clone());
            self.buckets.entry(key).or_default().add(policy.clone()).map_err(Box::new)?;
            self.actions.insert(action);
        }
        self.principals.insert(principal);
        self.resources.insert(resource);
        Ok(())
    }

    /// What the policies say to a question.
    pub(super) fn ask(&self, asked: &Asked) -> Matches {
        let authorizer = Authorizer::new();
        let mut matches = Matches::default();
        let principals = named(&asked.principals, &self.principals);
        let resources = named(&asked.resources, &self.resources);
        for action in named(&asked.actions, &self.actions) {
            for principal in &principals {
                for resource in &resources {
                    let key = (action.clone(), principal.clone(), resource.clone());
                    let Some(bucket) = self.buckets.get(&key) else { continue };
                    let answer = authorizer.is_authorized(&asked.request, bucket, &asked.entities);
                    // The reasons of a denial are the `forbid`s that match; without one there are none.
                    let reasons = answer.diagnostics().reason().map(ToString::to_string);
                    match answer.decision() {
                        Decision::Allow => matches.permits.extend(reasons),
                        Decision::Deny => matches.forbids.extend(reasons),
                    }
                    let errors = answer.diagnostics().errors();
                    matches.failures.extend(errors.map(|error| {
                        let cedar_policy::AuthorizationError::PolicyEvaluationError(error) = error;
                        error.policy_id().to_string()
                    }));
                }
            }
        }
        matches
    }
}

/// Those of a question's entities that occur in keys, and "any".
fn named(candidates: &[EntityUid], used: &HashSet<Option<EntityUid>>) -> Vec<Option<EntityUid>> {
    let any = std::iter::once(None);
    let all = any.chain(candidates.iter().cloned().map(Some));
    all.filter(|candidate| used.contains(candidate)).collect()
}
