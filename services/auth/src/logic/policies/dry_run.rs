//! What a publication would change, found out by deciding everything twice.
//!
//! Every user of the organisation is asked about every permission of the contract, by what is published
//! and by the draft. Callers are taken as their whole selves, with no narrower credential, from the
//! address and at the time that were given; what depends on anything else shows only in use.

use std::{net::IpAddr, sync::Arc};

use lightning_mesh::{
    authorization::{Decision, Policies, Question, Resource},
    clock::Timestamp,
    identity::Caller,
};

use super::{check, enabled};
use crate::{
    Error, contract,
    domain::{
        policies::{draft_etag, joined},
        principals::Principal,
    },
    error::PolicyError,
    logic::Auth,
    store::Slice,
};

/// The most decisions that are compared: a few seconds of one core.
const MAX_DECISIONS: usize = 200_000;
/// The most users that are asked about.
const MAX_USERS: usize = 1_000;
/// The most changes that are told.
const MAX_CHANGES: usize = 1_000;
/// The most resources that can be named.
pub(crate) const MAX_RESOURCES: usize = 20;

/// What to try.
pub(crate) struct Trial {
    pub(crate) resources: Vec<Resource>,
    pub(crate) address: Option<IpAddr>,
    pub(crate) at: Option<Timestamp>,
}

/// A decision that would change.
pub(crate) struct Change {
    pub(crate) subject: String,
    pub(crate) name: String,
    pub(crate) permission: String,
    /// None for the resource that is not known yet.
    pub(crate) resource: Option<Resource>,
    pub(crate) before: Decision,
    pub(crate) after: Decision,
}

/// What would change.
pub(crate) struct Difference {
    pub(crate) changes: Vec<Change>,
    pub(crate) change_count: usize,
    pub(crate) decision_count: usize,
    pub(crate) truncated: bool,
    pub(crate) base_version: i64,
    pub(crate) draft_etag: String,
}

impl Auth {
    /// Compares the draft with what is published.
    pub(crate) async fn dry_run(&self, caller: &Caller, trial: Trial) -> Result<Difference, Error> {
        let organization = caller.organization_id.clone();
        let draft = self.store.draft(&organization).await?;
        let policies = enabled(&draft);
        let (faults, _) = check(policies.clone()).await?;
        if faults.iter().any(|fault| !fault.warning) {
            return Err(Error::Policy(PolicyError::PoliciesFaulty(faults)));
        }
        let present = self.present_version(&organization).await?;
        let base_version = present.as_ref().map_or(0, |present| present.version);
        let before = joined(&present.map(|present| present.policies).unwrap_or_default());
        let after = joined(&policies);
        let each = contract::permissions().len().max(1) * (trial.resources.len() + 1);
        let most = (MAX_DECISIONS / each).clamp(1, MAX_USERS);
        let (people, truncated) = self.people(&organization, most).await?;
        let at = trial.at.unwrap_or_else(|| self.clock.now());
        let comparing = tokio::task::spawn_blocking(move || {
            let before = Policies::compile(&organization, base_version, &before);
            let after = Policies::compile(&organization, base_version + 1, &after);
            compare(&before, &after, &people, &trial, at)
        });
        let (changes, change_count, decision_count) =
            comparing.await.map_err(|_| Error::Interrupted)?;
        let draft_etag = draft_etag(&draft);
        Ok(Difference {
            changes,
            change_count,
            decision_count,
            truncated,
            base_version,
            draft_etag,
        })
    }

    /// The users of an organisation who can act, and whether there are more.
    async fn people(&self, organization: &str, most: usize) -> Result<(Vec<Caller>, bool), Error> {
        let (mut people, mut after) = (Vec::new(), None);
        loop {
            let slice = Slice { after: after.take(), newest_first: false, limit: 500 };
            let users = self.store.users_in(&slice, organization, None, None).await?;
            let Some(last) = users.last() else { return Ok((people, false)) };
            after = Some((last.created_at.as_micros(), last.id.to_string()));
            let ours = users.iter().filter(|user| user.organization_id == organization);
            for user in ours.filter(|user| !user.disabled) {
                if people.len() >= most {
                    return Ok((people, true));
                }
                people.push(whole(self.principal_of(user)));
            }
        }
    }
}

/// A principal as the caller that they are with a credential that is not narrowed.
pub(crate) fn whole(principal: Principal) -> Caller {
    let mut caller = Caller::new(principal.subject.full(), principal.name, principal.permissions);
    caller.organization_id = principal.organization_id;
    caller.roles = principal.roles;
    caller.groups = principal.groups;
    caller.reach = vec!["*".to_owned()];
    caller
}

fn compare(
    before: &Policies,
    after: &Policies,
    people: &[Caller],
    trial: &Trial,
    at: Timestamp,
) -> (Vec<Change>, usize, usize) {
    let unknown = Arc::new(Resource::unknown(before.organization_id()));
    let (mut changes, mut changed, mut compared) = (Vec::new(), 0, 0);
    for person in people {
        let mut caller = person.clone();
        caller.address = trial.address;
        for permission in contract::permissions() {
            let named = trial.resources.iter().map(|resource| (resource, Some(resource)));
            for (resource, shown) in std::iter::once((&*unknown, None)).chain(named) {
                let question = Question { caller: &caller, permission, resource, method: "", at };
                let (old, new) = (before.decide(&question), after.decide(&question));
                compared += 1;
                if old.allowed == new.allowed {
                    continue;
                }
                changed += 1;
                if changes.len() < MAX_CHANGES {
                    changes.push(Change {
                        subject: caller.subject.clone(),
                        name: caller.name.clone(),
                        permission: permission.clone(),
                        resource: shown.cloned(),
                        before: old,
                        after: new,
                    });
                }
            }
        }
    }
    (changes, changed, compared)
}
