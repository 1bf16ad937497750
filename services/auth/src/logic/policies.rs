//! Policies: the draft, publishing it, and going back.
//!
//! Nobody gets more through a publication than they may give. A `permit` that was not published before
//! needs `auth.write`, with which one could give the role as well, and every permission that it is
//! about. Whoever lacks `auth.write` may not publish what gives themselves anything, by dropping a
//! `forbid` for instance. And nobody shuts themselves out of publishing: there would be no way back.

use std::{collections::HashSet, sync::Arc};

use lightning_mesh::{
    authorization::{self, Effect, Policies, PolicyFault, Question, Resource, Source, is_platform},
    etag as etags,
    identity::Caller,
};

use super::Auth;
use crate::{
    Error,
    audit::{Event, Outcome},
    contract,
    domain::policies::{Policy, PolicyChange, PolicyId, Published, Version, draft_etag, joined},
    error::PolicyError,
    store::Slice,
};

pub(crate) mod dry_run;

/// How often a change is tried again when others change the same policy, before it is given up.
const ATTEMPTS: usize = 3;
/// Whoever may not do these any more could not undo it.
const NEEDED: [&str; 2] = ["policies.read", "policies.write"];

/// What is wrong with a draft.
pub(crate) struct Checked {
    pub(crate) faults: Vec<PolicyFault>,
    pub(crate) draft_etag: String,
}

/// What somebody wants to publish.
pub(crate) struct Publication<'a> {
    /// The draft that was looked at; any if empty.
    pub(crate) draft_etag: &'a str,
    /// The version that is to be replaced; any if none.
    pub(crate) base: Option<i64>,
    pub(crate) note: &'a str,
}

impl Auth {
    pub(crate) async fn policy(&self, organization: &str, id: &str) -> Result<Policy, Error> {
        let unknown =
            || Error::Policy(PolicyError::PolicyNotFound { id: id.chars().take(128).collect() });
        let known = PolicyId::parse(id).map_err(|_| unknown())?;
        self.store.policy(organization, &known).await?.ok_or_else(unknown)
    }

    pub(crate) async fn policies(
        &self,
        organization: &str,
        slice: &Slice,
        name: Option<&str>,
    ) -> Result<Vec<Policy>, Error> {
        self.store.policies_in(organization, slice, name).await
    }

    pub(crate) async fn create_policy(
        &self,
        caller: &Caller,
        change: PolicyChange,
    ) -> Result<Policy, Error> {
        let policy = Policy::new(&caller.organization_id, change, self.clock.now())
            .map_err(|wrong| Error::Policy(PolicyError::PolicyInvalid(wrong.0)))?;
        self.store.insert_policy(&policy).await?;
        self.audit(&edited(caller, "policy.created", policy.id.as_str()));
        Ok(policy)
    }

    /// Changes a policy. Empty `etag`: whatever its revision is.
    pub(crate) async fn update_policy(
        &self,
        caller: &Caller,
        id: &str,
        change: &PolicyChange,
        etag: &str,
    ) -> Result<Policy, Error> {
        for _ in 0..ATTEMPTS {
            let policy = self.policy(&caller.organization_id, id).await?;
            if !etags::matches(etag, policy.revision) {
                return Err(Error::EtagMismatch);
            }
            let changed = policy
                .changed(change.clone(), self.clock.now())
                .map_err(|wrong| Error::Policy(PolicyError::PolicyInvalid(wrong.0)))?;
            if self.store.update_policy(&changed).await? {
                self.audit(&edited(caller, "policy.updated", id));
                return Ok(changed);
            }
        }
        Err(Error::EtagMismatch)
    }

    pub(crate) async fn delete_policy(
        &self,
        caller: &Caller,
        id: &str,
        etag: &str,
    ) -> Result<(), Error> {
        let policy = self.policy(&caller.organization_id, id).await?;
        if !etags::matches(etag, policy.revision) {
            return Err(Error::EtagMismatch);
        }
        let revision = Some(policy.revision).filter(|_| !etag.is_empty());
        let gone = self.store.delete_policy(&caller.organization_id, &policy.id, revision).await?;
        match gone {
            true => self.audit(&edited(caller, "policy.deleted", id)),
            false => return Err(Error::EtagMismatch),
        }
        Ok(())
    }

    /// What is wrong with the draft.
    pub(crate) async fn check_policies(&self, organization: &str) -> Result<Checked, Error> {
        let draft = self.store.draft(organization).await?;
        let draft_etag = draft_etag(&draft);
        let (faults, _) = check(enabled(&draft)).await?;
        Ok(Checked { faults, draft_etag })
    }

    /// Publishes the draft.
    pub(crate) async fn publish_policies(
        &self,
        caller: &Caller,
        publication: &Publication<'_>,
    ) -> Result<Version, Error> {
        let draft = self.store.draft(&caller.organization_id).await?;
        let etag = publication.draft_etag.trim_matches('"');
        if !etag.is_empty() && etag != draft_etag(&draft) {
            return Err(Error::Policy(PolicyError::PoliciesChanged));
        }
        let (policies, note) = (enabled(&draft), publication.note);
        self.publish(caller, policies, note, publication.base, None).await
    }

    /// Publishes the policies of an earlier version again.
    pub(crate) async fn roll_back_policies(
        &self,
        caller: &Caller,
        version: i64,
        note: &str,
    ) -> Result<Version, Error> {
        let earlier = self.policy_version(&caller.organization_id, version).await?;
        self.publish(caller, earlier.policies, note, None, Some(earlier.version)).await
    }

    async fn publish(
        &self,
        caller: &Caller,
        policies: Vec<Published>,
        note: &str,
        base: Option<i64>,
        rolled_back_to: Option<i64>,
    ) -> Result<Version, Error> {
        let organization = caller.organization_id.as_str();
        let (faults, effects) = check(policies.clone()).await?;
        if faults.iter().any(|fault| !fault.warning) {
            return Err(Error::Policy(PolicyError::PoliciesFaulty(faults)));
        }
        let before = self.present_version(organization).await?;
        let present = before.as_ref().map_or(0, |before| before.version);
        if base.is_some_and(|base| base != present) {
            return Err(Error::Policy(PolicyError::PoliciesChanged));
        }
        let before = before.map(|before| before.policies).unwrap_or_default();
        if let Err(error) = self.may_publish(caller, &before, &policies, &effects) {
            let denied = Event::by(caller, "policies.published", Outcome::Denied);
            self.audit(&denied.with("reason", error.to_string()));
            return Err(error);
        }
        let version = Version {
            organization_id: organization.to_owned(),
            version: present + 1,
            publisher: caller.subject.clone(),
            note: note.to_owned(),
            created_at: self.clock.now(),
            count: i64::try_from(policies.len()).unwrap_or(i64::MAX),
            policies,
            rolled_back_to,
        };
        if !self.store.publish_policies(&version).await? {
            return Err(Error::Policy(PolicyError::PoliciesChanged));
        }
        self.access.changed().await;
        let event = Event::by(caller, "policies.published", Outcome::Success)
            .on("policy_version", version.version.to_string())
            .with("policies", version.count.to_string());
        self.audit(&event);
        Ok(version)
    }

    /// See the top of this file.
    fn may_publish(
        &self,
        caller: &Caller,
        before: &[Published],
        after: &[Published],
        effects: &[Effect],
    ) -> Result<(), Error> {
        let known: HashSet<_> =
            before.iter().map(|policy| (policy.id.as_str(), policy.text.as_str())).collect();
        let is_known = |id: &str| {
            let same = after.iter().find(|policy| policy.id == id);
            same.is_some_and(|policy| known.contains(&(policy.id.as_str(), policy.text.as_str())))
        };
        for effect in effects.iter().filter(|effect| effect.permits && !is_known(&effect.policy_id))
        {
            let given = effect.permissions.iter().filter(|permission| !is_platform(permission));
            let needed = std::iter::once("auth.write").chain(given.map(String::as_str));
            for permission in needed {
                if !caller.permits(permission) {
                    let (policy_id, permission) = (effect.policy_id.clone(), permission.to_owned());
                    return Err(Error::Policy(PolicyError::PoliciesEscalate {
                        policy_id,
                        permission,
                    }));
                }
            }
        }
        let old = Policies::compile(&caller.organization_id, 0, &joined(before));
        let new = Policies::compile(&caller.organization_id, 0, &joined(after));
        let at = self.clock.now();
        let resource = &Resource::unknown(&caller.organization_id);
        let ask = |permission| Question { caller, permission, resource, method: "", at };
        for permission in NEEDED {
            let decision = new.decide(&ask(permission));
            if !decision.allowed {
                let permission = permission.to_owned();
                return Err(Error::Policy(PolicyError::PoliciesLockout {
                    permission,
                    policies: decision.policies,
                }));
            }
        }
        if caller.permits("auth.write") {
            return Ok(());
        }
        for permission in contract::permissions() {
            let decision = new.decide(&ask(permission));
            if decision.allowed && !old.decide(&ask(permission)).allowed {
                let policy_id = decision.policies.join(",");
                return Err(Error::Policy(PolicyError::PoliciesEscalate {
                    policy_id,
                    permission: permission.clone(),
                }));
            }
        }
        Ok(())
    }

    /// A version with its policies; 0 for the present one.
    pub(crate) async fn policy_version(
        &self,
        organization: &str,
        version: i64,
    ) -> Result<Version, Error> {
        let found = match version {
            0 => self.present_version(organization).await?,
            version => self.store.policy_version(organization, version).await?,
        };
        found.ok_or(Error::Policy(PolicyError::PolicyVersionNotFound { version }))
    }

    pub(crate) async fn policy_versions(
        &self,
        organization: &str,
        before: i64,
        limit: i64,
    ) -> Result<Vec<Version>, Error> {
        self.store.policy_versions(organization, before, limit).await
    }

    async fn present_version(&self, organization: &str) -> Result<Option<Version>, Error> {
        match self.store.policy_versions(organization, i64::MAX, 1).await?.first() {
            Some(newest) => self.store.policy_version(organization, newest.version).await,
            None => Ok(None),
        }
    }

    /// The published policies of an organisation, as every service has them.
    pub(crate) fn published(&self, organization: &str) -> Option<Arc<Policies>> {
        self.access.policy_set(organization).map(|set| set.policies().clone())
    }
}

/// What the draft publishes.
fn enabled(draft: &[Policy]) -> Vec<Published> {
    draft.iter().filter(|policy| !policy.disabled).map(Policy::published).collect()
}

/// Checks policies beside the runtime: a thousand of them take a second.
pub(crate) async fn check(
    policies: Vec<Published>,
) -> Result<(Vec<PolicyFault>, Vec<Effect>), Error> {
    let checking = tokio::task::spawn_blocking(move || {
        authorization::check(
            policies.iter().map(|policy| Source { id: &policy.id, text: &policy.text }),
        )
    });
    checking.await.map_err(|_| Error::Interrupted)
}

fn edited(caller: &Caller, action: &'static str, id: &str) -> Event {
    Event::by(caller, action, Outcome::Success).on("policy", id)
}
