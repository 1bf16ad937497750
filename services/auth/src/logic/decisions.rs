//! Decisions for others: by the same engine and the same policies as in the gates.
//!
//! A subject is asked about as their whole self: the credential they will use is not known here. Callers
//! ask about themselves, or with `auth.read` about anybody of their own organisation; those of others
//! are nobody.

use lightning_mesh::{
    authorization::{Decision, Question, Reason, Resource},
    identity::Caller,
    page::Page,
};

use super::{Auth, policies::dry_run::whole};
use crate::{
    Error,
    authzen::{Evaluation, Search, Setting, SubjectName},
    contract,
    domain::{
        UserId,
        principals::{Principal, Subject},
        users,
    },
    error::CredentialError,
    store::Slice,
};

/// The most users that one page of a search looks at.
const MAX_SCANNED: usize = 2_000;
/// How many users are read at a time.
const CHUNK: usize = 200;

/// Whether somebody has a permission, and why.
pub(crate) struct Explained {
    pub(crate) allowed: bool,
    pub(crate) reason: String,
    /// The ids of the policies that decide.
    pub(crate) policies: Vec<String>,
}

/// An answer, or why there is none.
pub(crate) enum Answer {
    Decided(Decision),
    /// Nobody of this organisation is meant.
    NoSuchSubject,
    /// No method needs such a permission.
    NoSuchAction,
}

impl Auth {
    /// Decides about a caller by what is published for their organisation.
    pub(crate) fn decide(&self, question: &Question<'_>) -> Decision {
        match self.published(&question.caller.organization_id) {
            Some(policies) => policies.decide(question),
            None => Decision::by_permission(question),
        }
    }

    /// Decides about the caller themselves with their present credential, nothing being known of the
    /// resource.
    pub(crate) fn decide_about_caller(&self, caller: &Caller, permission: &str) -> Decision {
        let resource = &Resource::unknown(&caller.organization_id);
        let at = self.clock.now();
        self.decide(&Question { caller, permission, resource, method: "", at })
    }

    /// Whether the caller, or the user with this id, has a permission, and why: what roles and scopes
    /// say, unless a policy decides.
    pub(crate) async fn explain_permission(
        &self,
        caller: &Caller,
        permission: &str,
        user_id: &str,
    ) -> Result<Explained, Error> {
        let verdict = self.check_permission(caller, permission, user_id).await?;
        let by_roles = |policies| Explained {
            allowed: verdict.allowed,
            reason: verdict.reason.clone(),
            policies,
        };
        let subject = if user_id.is_empty() || caller.user_id() == Some(user_id) {
            caller.clone()
        } else {
            match self.principal(&Subject::User(user_id.to_owned())).await {
                Ok(principal) => whole(principal),
                Err(Error::Credential(CredentialError::GrantInvalid)) => {
                    return Ok(by_roles(Vec::new()));
                }
                Err(error) => return Err(error),
            }
        };
        let decision = self.decide_about_caller(&subject, permission);
        Ok(match decision.reason {
            Reason::Permission | Reason::NotPermitted => by_roles(decision.policies),
            Reason::Permitted
            | Reason::BeyondCredential
            | Reason::Forbidden
            | Reason::Failed
            | Reason::Unusable
            | Reason::OtherOrganization => Explained {
                allowed: decision.allowed,
                reason: decision.explanation(),
                policies: decision.policies,
            },
        })
    }

    /// Answers a question about somebody.
    pub(crate) async fn evaluate(
        &self,
        caller: &Caller,
        asked: &Evaluation,
    ) -> Result<Answer, Error> {
        let Some(subject) = self.asked_about(caller, &asked.subject).await? else {
            return Ok(Answer::NoSuchSubject);
        };
        if !contract::permissions().contains(&asked.action) {
            return Ok(Answer::NoSuchAction);
        }
        let resource =
            Resource { organization_id: caller.organization_id.clone(), ..asked.resource.clone() };
        Ok(Answer::Decided(self.ask(&subject, &asked.action, &resource, &asked.setting)))
    }

    /// What a subject may do to a resource.
    pub(crate) async fn actions_of(
        &self,
        caller: &Caller,
        search: &Search,
    ) -> Result<Vec<String>, Error> {
        let Some(subject) = self.asked_about(caller, &search.subject).await? else {
            return Ok(Vec::new());
        };
        let resource =
            Resource { organization_id: caller.organization_id.clone(), ..search.resource.clone() };
        let may = |action: &&String| self.ask(&subject, action, &resource, &search.setting).allowed;
        Ok(contract::permissions().iter().filter(may).cloned().collect())
    }

    /// The users who may do something: a page of ids, and the key to go on after.
    pub(crate) async fn subjects_of(
        &self,
        caller: &Caller,
        search: &Search,
        page: &Page,
    ) -> Result<(Vec<String>, Option<(i64, String)>), Error> {
        let resource =
            Resource { organization_id: caller.organization_id.clone(), ..search.resource.clone() };
        let (mut found, mut after, mut scanned) = (Vec::new(), page.after(), 0);
        loop {
            let limit = i64::try_from(CHUNK).unwrap_or(i64::MAX);
            let slice = Slice { after: after.clone(), newest_first: false, limit };
            let users = self.store.users_in(&slice, &caller.organization_id, None, None).await?;
            let is_last = users.len() < CHUNK;
            for user in &users {
                if found.len() >= page.size() || scanned >= MAX_SCANNED {
                    return Ok((found, after));
                }
                scanned += 1;
                after = Some((user.created_at.as_micros(), user.id.to_string()));
                if user.organization_id != caller.organization_id || user.disabled {
                    continue;
                }
                let subject = whole(self.principal_of(user));
                if self.ask(&subject, &search.action, &resource, &search.setting).allowed {
                    found.push(user.id.to_string());
                }
            }
            if is_last {
                return Ok((found, None));
            }
        }
    }

    /// Which of these resources a subject may do something to; none if the subject is nobody.
    pub(crate) async fn among(
        &self,
        caller: &Caller,
        search: &Search,
        resources: Vec<Resource>,
    ) -> Result<Vec<Resource>, Error> {
        let Some(subject) = self.asked_about(caller, &search.subject).await? else {
            return Ok(Vec::new());
        };
        let may = |resource: &Resource| {
            self.ask(&subject, &search.action, resource, &search.setting).allowed
        };
        Ok(resources.into_iter().filter(may).collect())
    }

    fn ask(
        &self,
        subject: &Caller,
        permission: &str,
        resource: &Resource,
        setting: &Setting,
    ) -> Decision {
        let mut caller = subject.clone();
        caller.address = setting.address;
        caller.client_id.clone_from(&setting.client_id);
        caller.acr.clone_from(&setting.acr);
        caller.actors.clone_from(&setting.actors);
        let at = setting.at.unwrap_or_else(|| self.clock.now());
        self.decide(&Question {
            caller: &caller,
            permission,
            resource,
            method: &setting.method,
            at,
        })
    }

    /// Whom a caller asks about, if it is somebody of the same organisation.
    async fn asked_about(
        &self,
        caller: &Caller,
        name: &SubjectName,
    ) -> Result<Option<Caller>, Error> {
        let principal = self.named(name).await?;
        let subject = principal
            .filter(|principal| principal.organization_id == caller.organization_id)
            .map(whole);
        let is_self = subject.as_ref().is_some_and(|subject| {
            subject.subject == caller.subject
                || subject.user_id() == caller.user_id() && caller.user_id().is_some()
        });
        if !is_self && !caller.permits("auth.read") {
            return Err(Error::Denied { permission: "auth.read".to_owned() });
        }
        Ok(subject)
    }

    async fn named(&self, name: &SubjectName) -> Result<Option<Principal>, Error> {
        let id = name.id.clone();
        let subject = match name.kind.as_str() {
            "user" => match self.user_named(&id).await? {
                Some(id) => Subject::User(id),
                None => return Ok(None),
            },
            "service-account" => Subject::ServiceAccount(id),
            "agent" => Subject::Agent(id),
            "client" => Subject::Client(id),
            _ => return Ok(None),
        };
        match self.principal(&subject).await {
            Ok(principal) => Ok(Some(principal)),
            Err(Error::Credential(CredentialError::GrantInvalid)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Users go by id, by name and by address.
    async fn user_named(&self, text: &str) -> Result<Option<String>, Error> {
        if let Ok(id) = UserId::parse(text)
            && let Some(user) = self.store.user(&id).await?
        {
            return Ok(Some(user.id.into()));
        }
        let known = self.store.credentials(&users::login_name(text)).await?;
        Ok(known.map(|known| known.user.id.into()))
    }
}
