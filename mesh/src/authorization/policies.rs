//! One organisation's policies, compiled, and the decision.

use std::{collections::HashMap, str::FromStr as _, sync::Arc};

use cedar_policy::{PolicyId, PolicySet};
use lightning_proto::auth::v1 as pb;

use super::{Decision, Question, Reason, entities::Asked, index::Index, is_platform};
use crate::{clock::Timestamp, fault::Fault, identity::Caller};

/// One organisation's policies as they were published, or the fact that they cannot be used here.
pub struct Policies {
    organization_id: String,
    version: i64,
    text: String,
    index: Result<Index, Broken>,
}

/// Why policies do not compile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Broken(String);

/// The sets of all organisations that have one.
pub(crate) type Sets = HashMap<String, Arc<Policies>>;

impl Policies {
    /// Compiles a set. One that does not compile, which happens if it was published by a newer auth than
    /// this service, denies everything; see [`Policies::broken`].
    pub fn compile(organization_id: &str, version: i64, text: &str) -> Self {
        let index = compile(text);
        if let Err(error) = &index {
            tracing::error!(
                organization_id,
                version,
                error = %error,
                "the policies of an organisation cannot be used; all its calls are refused"
            );
        }
        let (organization_id, text) = (organization_id.to_owned(), text.to_owned());
        Self { organization_id, version, text, index }
    }

    /// The organisation.
    pub fn organization_id(&self) -> &str {
        &self.organization_id
    }

    /// Which publication it is, from 1.
    pub fn version(&self) -> i64 {
        self.version
    }

    /// Why the set cannot be used, if so.
    pub fn broken(&self) -> Option<&Broken> {
        self.index.as_ref().err()
    }

    /// Decides. `granted` by roles and scopes is found out from the caller.
    pub fn decide(&self, question: &Question<'_>) -> Decision {
        let by_permission = Decision::by_permission(question);
        if by_permission.reason == Reason::OtherOrganization {
            return by_permission;
        }
        let Ok(index) = &self.index else { return Decision::new(Reason::Unusable, Vec::new()) };
        let asked = match Asked::new(question, by_permission.allowed) {
            Ok(asked) => asked,
            Err(error) => {
                tracing::error!(error = %error, "a question cannot be put to the policies");
                return Decision::new(Reason::Failed, Vec::new());
            }
        };
        let matches = index.ask(&asked);
        if !matches.failures.is_empty() {
            return Decision::new(Reason::Failed, matches.failures.into_iter().collect());
        }
        if !matches.forbids.is_empty() {
            return Decision::new(Reason::Forbidden, matches.forbids.into_iter().collect());
        }
        if by_permission.allowed || matches.permits.is_empty() {
            return by_permission;
        }
        let permits = matches.permits.into_iter().collect();
        match may_be_given(question.caller, question.permission) {
            true => Decision::new(Reason::Permitted, permits),
            false => Decision::new(Reason::BeyondCredential, permits),
        }
    }

    /// Decides about a call whose resource is not known yet.
    pub(crate) fn admit(
        &self,
        caller: &Caller,
        permission: &str,
        method: &str,
        at: Timestamp,
    ) -> Result<(), Fault> {
        let resource = &super::Resource::unknown(&caller.organization_id);
        let question = Question { caller, permission, resource, method, at };
        self.enforce(&question)
    }

    /// Decides, notes a denial by policy, and refuses.
    pub(super) fn enforce(&self, question: &Question<'_>) -> Result<(), Fault> {
        let decision = self.decide(question);
        if !decision.allowed && decision.reason != Reason::NotPermitted {
            tracing::info!(
                target: "audit",
                action = "access.denied",
                subject = question.caller.subject,
                organization_id = self.organization_id,
                permission = question.permission,
                method = question.method,
                version = self.version,
                reason = ?decision.reason,
                policies = ?decision.policies,
                "audit"
            );
        }
        decision.enforce(question)
    }
}

/// Compiles what has changed; what has not is kept. Takes up to a tenth of a second for each set of a
/// thousand policies.
pub(crate) fn learn(known: &Sets, sets: &[pb::PolicySet]) -> Sets {
    let compiled = |set: &pb::PolicySet| {
        let same = |policies: &&Arc<Policies>| {
            policies.version == set.version && policies.text == set.text
        };
        known.get(&set.organization_id).filter(same).cloned().unwrap_or_else(|| {
            Arc::new(Policies::compile(&set.organization_id, set.version, &set.text))
        })
    };
    sets.iter().map(|set| (set.organization_id.clone(), compiled(set))).collect()
}

/// Whether a policy may give a caller a permission that the roles do not: up to the scopes of the
/// credential, and nothing of the operators.
fn may_be_given(caller: &Caller, permission: &str) -> bool {
    !is_platform(permission) && caller.reaches(permission)
}

fn compile(text: &str) -> Result<Index, Broken> {
    let set = PolicySet::from_str(text).map_err(|error| Broken(error.to_string()))?;
    if set.num_of_templates() > 0 {
        return Err(Broken("templates are not policies".to_owned()));
    }
    let mut index = Index::default();
    let mut ids = std::collections::HashSet::new();
    for policy in set.policies() {
        let id = policy.annotation("id").map_or_else(|| policy.id().to_string(), str::to_owned);
        if !ids.insert(id.clone()) {
            return Err(Broken(format!("two policies have the id {id:?}")));
        }
        let named = policy.new_id(PolicyId::new(&id));
        index.add(&named).map_err(|error| Broken(error.to_string()))?;
    }
    Ok(index)
}
